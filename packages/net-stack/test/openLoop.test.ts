import { makeOpenLoopFrames, makeStreamEndpoints, STREAM_NONE } from "@vnic/net-stack/core"
import { dissect } from "@vnic/net-stack/testing"
import { fc, test as property } from "@fast-check/vitest"
import { describe, expect, test } from "vitest"

const frames = makeOpenLoopFrames(makeStreamEndpoints(4))

describe("open-loop test frames", () => {
  test("byte for byte, at the minimum", () => {
    const bytes = new Uint8Array(64).fill(0xee)
    expect(frames.write(2, 0x01020304, 60, bytes, 2)).toBe(50)
    expect(Buffer.from(bytes.slice(2, 52)).toString("hex")).toBe(
      "020000000002" +
        "020000000001" +
        "0800" +
        "4500002e" +
        "03044000" +
        "401123b9" +
        "0a000001" +
        "0a000002" +
        "80021451" +
        "001a" +
        "0000" +
        "00000002" +
        "01020304"
    )
    expect([bytes[1], bytes[52]]).toEqual([0xee, 0xee])
  })

  property.prop([fc.nat(3), fc.integer(), fc.integer({ min: 60, max: 1514 }), fc.nat(7)])(
    "come back as they were written",
    (flow, sequence, frameSizeBytes, offset) => {
      const bytes = new Uint8Array(2048)
      frames.write(flow, sequence, frameSizeBytes, bytes, offset)
      expect(frames.parse(bytes, offset, frameSizeBytes)).toBe(flow)
      expect(frames.sequence).toBe(sequence)
      expect(frames.fillSizeBytes).toBe(frameSizeBytes - 50)
      const { ipv4, udp } = dissect(bytes, offset, frameSizeBytes)
      expect(ipv4!.isChecksumValid).toBe(true)
      expect(udp).toMatchObject({ sourcePort: 32768 + flow, destinationPort: 5201, lengthBytes: frameSizeBytes - 34 })
    }
  )

  test.each([
    ["EtherType", 12],
    ["header length", 14],
    ["IP checksum", 24],
    ["protocol", 23],
    ["source address", 26],
    ["destination address", 33],
    ["source port", 34],
    ["destination port", 36],
    ["UDP length", 38],
    ["flow index", 42],
    ["flow index of another flow", 45]
  ])("a wrong %s is noticed", (_, at) => {
    const bytes = new Uint8Array(100)
    frames.write(1, 5, 100, bytes, 0)
    bytes[at]! ^= 1
    expect(frames.parse(bytes, 0, 100)).toBe(STREAM_NONE)
  })

  test("frames that are too short or too long are refused", () => {
    const bytes = new Uint8Array(100)
    expect(() => frames.write(0, 0, 59, bytes, 0)).toThrow("shorter than Ethernet allows")
    expect(() => frames.write(0, 0, 70_000, bytes, 0)).toThrow("longer than IPv4 allows")
    expect(frames.parse(bytes, 0, 59)).toBe(STREAM_NONE)
  })
})
