/** No register write and no descriptor makes the device crash, lose a frame or write outside what it was given. */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import {
  offsetOf,
  RDLEN,
  RDT,
  REGISTERS,
  RXDCTL,
  RXDCTL_ENABLE_BIT,
  TDLEN,
  TDT,
  TXDCTL,
  TXDCTL_ENABLE_BIT
} from "@vnic/nic-device/registers"
import { bringUp, type DeviceBench, makeDeviceBench } from "@vnic/nic-device/testing"
import { plainFrame } from "./support/packets.ts"
import { startRing } from "./support/ring.ts"

const expectBalance = ({ device, frames }: DeviceBench): void => {
  const { rx } = device.counters()
  const dropped = Object.values(rx.dropped).reduce((sum, count) => sum + count, 0)
  expect(rx.inFlight).toBe(rx.arrived - rx.delivered - dropped)
  expect(rx.inFlight).toBeGreaterThanOrEqual(0)
  expect(frames.inUse).toBeLessThanOrEqual(rx.inFlight + 64)
}

const interesting = fc.oneof(
  fc.constantFrom(0, -1, 1, 0x02000000, 0x04000000, 7, 8, 9, 0x80, 0x7fffffff, -0x80000000),
  fc.integer({ min: -0x80000000, max: 0x7fffffff }),
  fc.integer({ min: 0, max: 0x3ff }),
  fc.integer({ min: 0, max: 0x7fffff })
)
/** Registers of the first three queues and all single ones: where a write has an effect. */
const offsets = fc.constantFrom(
  ...REGISTERS.flatMap((definition) =>
    Array.from({ length: Math.min(definition.count, 3) }, (_, index) => offsetOf(definition, index))
  )
)
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("write" as const), offset: offsets, value: interesting }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("read" as const), offset: offsets, value: fc.constant(0) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("frame" as const),
      offset: fc.constant(0),
      value: fc.integer({ min: 14, max: 1514 })
    })
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("run" as const),
      offset: fc.constant(0),
      value: fc.integer({ min: 0, max: 5_000_000 })
    })
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("scribble" as const),
      offset: fc.integer({ min: 0, max: 4095 }),
      value: interesting
    })
  }
)

describe("a hostile driver", () => {
  test.prop([fc.array(action, { maxLength: 120 })], { numRuns: 150 })("cannot upset the device", (actions) => {
    const bench = makeDeviceBench({ hostSizeBytes: 1 << 23, frameCount: 512 })
    bringUp(bench)
    const { device } = bench
    startRing(bench).post(7)
    startRing(bench, { queue: 1, isDropping: false }).post(3)
    bench.driver.startTx({ queue: 0, base: 0x40000, descriptors: 16 })
    for (const { kind, offset, value } of actions) {
      if (kind === "write") device.writeRegister(offset, value)
      else if (kind === "read") device.readRegister(offset)
      else if (kind === "frame") device.frameArrived(bench.frame(plainFrame(value)))
      else if (kind === "run") bench.run(value)
      else bench.memory.words[0x10000 + offset] = value
    }
    bench.run(1e9)
    expectBalance(bench)
  })

  it("may give rings without length, tails past the end and lengths that are no ring's", () => {
    const bench = makeDeviceBench()
    bringUp(bench)
    const { device } = bench
    for (const lengthBytes of [0, 1, 127, 128, 129, -1, 0x7fffffff]) {
      for (const tail of [0, 7, 8, 9, 0xffff, -1]) {
        device.writeRegister(RDLEN(0), lengthBytes)
        device.writeRegister(TDLEN(0), lengthBytes)
        device.writeRegister(RXDCTL(0), RXDCTL_ENABLE_BIT)
        device.writeRegister(TXDCTL(0), TXDCTL_ENABLE_BIT)
        device.writeRegister(RDT(0), tail)
        device.writeRegister(TDT(0), tail)
        device.frameArrived(bench.frame(plainFrame(60)))
        bench.run(1e7)
        device.writeRegister(RXDCTL(0), 0)
        device.writeRegister(TXDCTL(0), 0)
        bench.run(1e7)
      }
    }
    expectBalance(bench)
  })

  it("may send a packet without end: the queue stops", () => {
    const bench = makeDeviceBench()
    bringUp(bench)
    bench.driver.startTx({ queue: 0, base: 0x40000, descriptors: 64 })
    for (let index = 0; index < 64; index++) bench.driver.writeTxDescriptor(0x40000, index, 0x50000, 10, 10, 0)
    bench.driver.setTxTail(0, 63)
    bench.run(1e9)
    expect(bench.phy.frames.length).toBe(0)
    expect(bench.device.counters().tx.malformed).toBe(1)
    expect(bench.frames.inUse).toBe(0)
  })
})
