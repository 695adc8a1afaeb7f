import {
  framesPerSecondMax,
  segmentSizeBytes,
  tcpGoodputBitsPerSecondMax,
  WIRE_OVERHEAD_SIZE_BYTES,
  wireBits,
  wireBytes
} from "@vnic/net-stack/core"
import { describe, expect, test } from "vitest"

const TEN_GIGABIT = 10e9

describe("wire arithmetic at 10 Gb/s", () => {
  test("a frame costs 24 bytes more than software sees", () => {
    expect(WIRE_OVERHEAD_SIZE_BYTES).toBe(24)
    expect(wireBytes(1514)).toBe(1538)
    expect(wireBits(1514)).toBe(12_304)
  })

  test("short frames are padded to the minimum", () => {
    expect(wireBytes(54)).toBe(wireBytes(60))
    expect(wireBytes(60)).toBe(84)
    expect(wireBytes(61)).toBe(85)
  })

  test.each([
    [1514, 812_744],
    [9014, 138_305],
    [60, 14_880_952]
  ])("frames of %i bytes pass at most %i times a second", (frameBytes, framesPerSecond) => {
    expect(Math.round(framesPerSecondMax(frameBytes, TEN_GIGABIT))).toBe(framesPerSecond)
  })

  test.each([
    [1500, false, 1460, "9.493"],
    [1500, true, 1448, "9.415"],
    [9000, false, 8960, "9.914"],
    [9000, true, 8948, "9.900"]
  ])("MTU %i with time stamps %s: segments of %i bytes, %s Gb/s", (mtuBytes, timestamps, segment, gbps) => {
    expect(segmentSizeBytes(mtuBytes, timestamps)).toBe(segment)
    expect((tcpGoodputBitsPerSecondMax(mtuBytes, timestamps, TEN_GIGABIT) / 1e9).toFixed(3)).toBe(gbps)
  })
})
