import { describe, expect, it } from "vitest"
import { fc, test } from "@fast-check/vitest"
import {
  DMATXCTL,
  EICR,
  EICR_PCI_BIT,
  EITR,
  GOTCL,
  GPTC,
  HLREG0,
  HLREG0_TXPADEN_BIT,
  QPTC,
  TDH,
  TDWBAH,
  TDWBAL,
  TXD_DEXT_BIT,
  TXD_DTYP_CONTEXT,
  TXD_EOP_BIT,
  TXD_RS_BIT,
  TXDCTL,
  TXDCTL_ENABLE_BIT,
  TXPBSIZE
} from "@vnic/nic-device/registers"
import { bringUp, type DeviceBench, makeDeviceBench } from "@vnic/nic-device/testing"
import { plainFrame } from "./support/packets.ts"

const RING = 0x20000
const RING_STRIDE = 0x10000
const DATA = 0x400000
const SETTLE_PS = 1e8

/** A bench with transmit rings of 16 descriptors, and a driver that counts. */
function transmitter(queues = 1, threshold = 0, descriptors = 16) {
  const bench = makeDeviceBench()
  bringUp(bench)
  const next = Array.from({ length: queues }, () => 0)
  const base = (queue: number): number => RING + queue * RING_STRIDE
  for (let queue = 0; queue < queues; queue++) {
    bench.driver.startTx({ queue, base: base(queue), descriptors, writeBackThreshold: threshold })
  }
  let data = DATA
  /** Writes a packet in parts of these sizes; the tail does not move. */
  const put = (bytes: ReadonlyArray<number>, parts = [bytes.length], queue = 0, flags = TXD_RS_BIT): void => {
    let from = 0
    parts.forEach((size, part) => {
      bench.memory.bytes.set(bytes.slice(from, from + size), data)
      const last = part === parts.length - 1 ? TXD_EOP_BIT | flags : 0
      bench.driver.writeTxDescriptor(base(queue), next[queue]!, data, size, bytes.length, last)
      next[queue] = (next[queue]! + 1) % descriptors
      from += size
      data += (size + 63) & ~63
    })
  }
  const go = (queue = 0): void => bench.driver.setTxTail(queue, next[queue]!)
  const isDone = (index: number, queue = 0): boolean => bench.driver.descriptor(base(queue), index)[3] === 1
  return { bench, device: bench.device, put, go, isDone, next }
}

const sent = ({ phy }: DeviceBench): Array<Array<number>> => phy.frames.map((frame) => Array.from(frame))

describe("a transmitted packet", () => {
  it("reaches the link whole, its descriptor is reported done, and the head moves", () => {
    const { bench, device, go, isDone, put } = transmitter()
    put(plainFrame(1514))
    bench.run(SETTLE_PS)
    expect(sent(bench)).toEqual([])
    go()
    expect(isDone(0)).toBe(false)
    bench.run(SETTLE_PS)
    expect(sent(bench)).toEqual([plainFrame(1514)])
    expect(isDone(0)).toBe(true)
    expect(device.readRegister(TDH(0))).toBe(1)
    expect([device.readRegister(GPTC), device.readRegister(GOTCL), device.readRegister(QPTC(0))]).toEqual([1, 1518, 1])
    expect(bench.frames.inUse).toBe(0)
  })

  it("is gathered from its descriptors, and only those that ask are reported", () => {
    const { bench, go, isDone, put } = transmitter()
    put(plainFrame(1000, 1), [14, 20, 500, 466])
    put(plainFrame(300, 2), [300], 0, 0)
    put(plainFrame(400, 3), [100, 0, 300])
    go()
    bench.run(SETTLE_PS)
    expect(sent(bench)).toEqual([plainFrame(1000, 1), plainFrame(300, 2), plainFrame(400, 3)])
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((index) => isDone(index))).toEqual([
      false,
      false,
      false,
      true,
      false,
      false,
      false,
      true
    ])
  })

  it("is not sent before its last descriptor is there", () => {
    const { bench, put, next } = transmitter()
    put(plainFrame(1000), [500, 500])
    bench.driver.setTxTail(0, 1)
    bench.run(SETTLE_PS)
    expect(sent(bench)).toEqual([])
    bench.driver.setTxTail(0, next[0]!)
    bench.run(SETTLE_PS)
    expect(sent(bench)).toEqual([plainFrame(1000)])
  })

  it("is read after its descriptor, at the bus's rate and memory's latency", () => {
    const { bench, go, put } = transmitter()
    put(plainFrame(512))
    const startPs = bench.timeline.nowPs
    go()
    bench.run(SETTLE_PS)
    const fetchedPs = 24 * 250 + (16 + 20) * 250 + 600_000
    expect(bench.phy.atPs[0]! - startPs).toBe(fetchedPs + 24 * 250 + (512 + 2 * 20) * 250 + 600_000)
  })

  it("keeps nobody from the bus while it waits for its descriptor", () => {
    const queues = 16
    const { bench, go, put } = transmitter(queues)
    for (let queue = 0; queue < queues; queue++) put(plainFrame(60, queue), [60], queue)
    const startPs = bench.timeline.nowPs
    for (let queue = 0; queue < queues; queue++) go(queue)
    bench.run(SETTLE_PS)
    // All descriptors are asked for at once, then all data: each way is taken for the bytes that pass it, no longer.
    const fetchedPs = queues * 24 * 250 + (16 + 20) * 250 + 600_000
    const readPs = 24 * 250 + queues * (60 + 20) * 250 + 600_000
    expect(sent(bench)).toHaveLength(queues)
    expect(bench.phy.atPs.at(-1)! - startPs).toBeLessThanOrEqual(fetchedPs + readPs + queues * (16 + 20) * 250)
  })

  it("is padded to 60 bytes when HLREG0 says so", () => {
    const { bench, device, go, put } = transmitter()
    put(plainFrame(54, 1))
    go()
    bench.run(SETTLE_PS)
    device.writeRegister(HLREG0, device.readRegister(HLREG0) & ~HLREG0_TXPADEN_BIT)
    put(plainFrame(54, 2))
    go()
    bench.run(SETTLE_PS)
    expect(sent(bench)).toEqual([[...plainFrame(54, 1), 0, 0, 0, 0, 0, 0], plainFrame(54, 2)])
    expect(device.counters().tx.padded).toBe(1)
  })

  it("waits until transmission is on", () => {
    const { bench, device, go, put } = transmitter()
    device.writeRegister(DMATXCTL, 0)
    put(plainFrame(100))
    go()
    bench.run(SETTLE_PS)
    expect(sent(bench)).toEqual([])
    device.writeRegister(DMATXCTL, 1)
    bench.run(SETTLE_PS)
    expect(sent(bench)).toEqual([plainFrame(100)])
  })

  it("is dropped when it is no frame: too short, too long; a context descriptor is none", () => {
    const { bench, device, isDone, put } = transmitter()
    put(plainFrame(100).slice(0, 5))
    put(Array.from({ length: 2100 }, () => 1))
    bench.driver.writeTxDescriptor(RING, 2, 0, 0, 0)
    bench.memory.words[(RING + 2 * 16 + 8) >> 2] = TXD_DEXT_BIT | TXD_DTYP_CONTEXT | 0x1234
    bench.driver.writeTxDescriptor(RING, 3, DATA, 60, 60)
    bench.driver.setTxTail(0, 4)
    bench.run(SETTLE_PS)
    expect(bench.phy.frames.length).toBe(1)
    expect([0, 1, 2, 3].map((index) => isDone(index))).toEqual([true, true, false, true])
    expect(device.counters().tx.malformed).toBe(2)
    expect(bench.frames.inUse).toBe(0)
  })
})

describe("write-back", () => {
  it("comes in batches of WTHRESH, the rest after the throttle interval", () => {
    const { bench, device, go, isDone, put } = transmitter(1, 4)
    bench.driver.setVectors(0, 0, 1)
    device.writeRegister(EITR(1), 10 << 3)
    for (let count = 0; count < 6; count++) put(plainFrame(60, count), [60], 0, 0)
    go()
    bench.run(1e7)
    expect([3, 4, 5].map((index) => isDone(index))).toEqual([true, false, false])
    expect(device.readRegister(TDH(0))).toBe(6)
    bench.run(10 * 2_048_000)
    expect([3, 4, 5].map((index) => isDone(index))).toEqual([true, true, true])
  })

  it("goes round the end of the ring", () => {
    const { bench, go, isDone, put } = transmitter(1, 8)
    for (let round = 0; round < 5; round++) {
      for (let count = 0; count < 7; count++) put(plainFrame(60, count))
      go()
      bench.run(SETTLE_PS)
    }
    expect(bench.phy.frames.length).toBe(35)
    expect(isDone((34 % 16) as number)).toBe(true)
  })

  it("writes the head in place of descriptors with head write-back", () => {
    const { bench, device, go, isDone, put } = transmitter()
    device.writeRegister(TDWBAL(0), 0x30000 | 1)
    device.writeRegister(TDWBAH(0), 0)
    put(plainFrame(60))
    put(plainFrame(60))
    go()
    bench.run(SETTLE_PS)
    expect(bench.memory.words[0x30000 >> 2]).toBe(2)
    expect(isDone(0)).toBe(false)
  })
})

describe("the transmit buffer", () => {
  it("keeps reading not further ahead of the wire than it is long", () => {
    const { bench, device, go, put } = transmitter(1, 0, 64)
    device.writeRegister(TXPBSIZE(0), 8 << 10)
    for (let count = 0; count < 63; count++) put(plainFrame(1514, count))
    go()
    bench.run(SETTLE_PS)
    expect(bench.phy.frames.length).toBe(63)
    const wirePs = (1514 + 24) * 800
    bench.phy.atPs.forEach((atPs, index) => {
      const aheadPs = bench.phy.atPs[0]! + (index + 1) * wirePs - atPs
      expect(aheadPs).toBeLessThanOrEqual((8 * 1024 + 2048) * 800)
    })
  })

  it("keeps the wire busy while there is something to send", () => {
    const { bench, go, put } = transmitter(1, 0, 64)
    for (let count = 0; count < 63; count++) put(plainFrame(1514, count))
    const startPs = bench.timeline.nowPs
    go()
    bench.run(SETTLE_PS)
    const wirePs = (1514 + 24) * 800
    expect(bench.phy.departPs[0]! - startPs).toBeLessThan(63 * wirePs + 2_500_000)
  })

  it("serves queues in turn", () => {
    const { bench, go, put } = transmitter(3)
    for (let queue = 0; queue < 3; queue++) {
      for (let count = 0; count < 4; count++) put(plainFrame(1514, 10 * queue + count), [1514], queue)
    }
    for (let queue = 0; queue < 3; queue++) go(queue)
    bench.run(SETTLE_PS)
    const counts = bench.device.counters().tx.sentByQueue
    expect(counts.slice(0, 4)).toEqual([4, 4, 4, 0])
    const order = sent(bench).map((frame) => [0, 1, 2].find((queue) => isOf(frame, queue))!)
    // After queue 0's head start all three alternate.
    expect(order.slice(-6).toSorted()).not.toEqual([2, 2, 2, 2, 2, 2])
  })
})

const isOf = (frame: Array<number>, queue: number): boolean =>
  [0, 1, 2, 3].some((count) => plainFrame(1514, 10 * queue + count).every((byte, index) => byte === frame[index]))

describe("a transmit fault", () => {
  for (const [faultAt, name] of [
    [1, "fetch"],
    [2, "data read"],
    [3, "write-back"]
  ] as const) {
    it(`of a ${name} sets EICR.PCI and stops the queue until it is enabled again`, () => {
      const { bench, device, go, put } = transmitter()
      bench.busMaster.faultAt = bench.busMaster.accesses + faultAt
      put(plainFrame(60, 1))
      go()
      bench.run(SETTLE_PS)
      put(plainFrame(60, 2))
      go()
      bench.run(SETTLE_PS)
      expect(device.readRegister(EICR) & EICR_PCI_BIT).not.toBe(0)
      expect(bench.phy.frames.length).toBe(faultAt === 3 ? 1 : 0)
      expect(bench.frames.inUse).toBe(0)
      device.writeRegister(TXDCTL(0), 0)
      device.writeRegister(TXDCTL(0), TXDCTL_ENABLE_BIT)
      bench.run(SETTLE_PS)
      expect(bench.phy.frames.length).toBe(2)
    })
  }
})

describe("random packets", () => {
  const packets = fc.array(
    fc.record({
      parts: fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 5 }),
      queue: fc.nat(2),
      isRung: fc.boolean()
    }),
    { maxLength: 30 }
  )
  test.prop([packets, fc.constantFrom(0, 1, 4, 8)], { numRuns: 60 })(
    "come out whole and in the order of their queue",
    (sequence, threshold) => {
      const { bench, go, put } = transmitter(3, threshold, 256)
      const expected: Array<Array<Array<number>>> = [[], [], []]
      sequence.forEach(({ isRung, parts, queue }, seed) => {
        const size = parts.reduce((sum, part) => sum + part, 0) + 20
        const bytes = plainFrame(size, seed)
        put(bytes, [20, ...parts], queue)
        expected[queue]!.push(size < 60 ? [...bytes, ...Array(60 - size).fill(0)] : bytes)
        if (isRung) go(queue)
      })
      for (let queue = 0; queue < 3; queue++) go(queue)
      bench.run(1e9)
      const all = sent(bench)
      expect(all.length).toBe(sequence.length)
      for (const frames of expected) {
        const keys = frames.map(String)
        expect(all.map(String).filter((frame) => keys.includes(frame))).toEqual(keys)
      }
      expect(bench.frames.inUse).toBe(0)
    }
  )
})
