import { fc, test as property } from "@fast-check/vitest"
import { HELD_NONE, HeldFrames, IMIX_FRAME_BYTES, type OpenLoop, SENDER_BACKLOG_FRAMES } from "@vnic/traffic/core"
import { describe, expect, it } from "vitest"
import { makeIdealWorld, MS_PS, openLoop } from "./idealWorld.ts"

/** More than any table of frames sent could hold. */
const DROPPED = 300_000

const meanOf = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length

const gapsOf = (settings: Parameters<typeof openLoop>[0], durationPs: number) => {
  const { measure, traffic, frames } = makeIdealWorld({ traffic: openLoop(settings) })
  const source = traffic.source as OpenLoop
  const schedulesPs: Array<number> = []
  const lengths: Array<number> = []
  source.frameTimed = function (frame) {
    schedulesPs.push(this.schedulesPs[frame]!)
    lengths.push(frames.lengthBytes(frame))
    Object.getPrototypeOf(this).frameTimed.call(this, frame)
  }
  const report = measure(0, durationPs)
  expect(lengths).toHaveLength(report.frames.offered)
  const gaps = schedulesPs.slice(1).map((schedulePs, index) => schedulePs - schedulesPs[index]!)
  return { gaps, report, lengths }
}

describe("constant arrivals", () => {
  it("are evenly spaced in wire time", () => {
    const { gaps, report } = gapsOf({ rateBitsPerSecond: 1e9, frameBytes: 1518 }, 10 * MS_PS)
    expect(new Set(gaps)).toEqual(new Set([12_304_000]))
    expect(report.wireGbps).toBeCloseTo(1, 2)
    expect(report.frames).toMatchObject({ lostAtSender: 0, corrupt: 0, repeated: 0 })
    expect(report.frames.delivered).toBe(report.frames.offered)
    // Preamble, delimiter and frame: the wire is free when the frame is due.
    expect(report.latencyNs.max).toBe(1220)
  })

  it("of a rate that gives no whole picoseconds do not drift", () => {
    const { gaps } = gapsOf({ rateBitsPerSecond: 3e9, frameBytes: 64 }, MS_PS)
    expect(meanOf(gaps)).toBeCloseTo((84 * 8e12) / 3e9, 0)
  })

  it("give way while the wire stands, and are woken in time when it does", () => {
    const { traffic, run } = makeIdealWorld({ traffic: openLoop({ rateBitsPerSecond: 1e6, frameBytes: 1518 }) })
    traffic.start()
    run(100 * MS_PS)
    const sent = traffic.throughput().frames.offered
    expect(sent).toBeGreaterThanOrEqual(8)
    expect(sent).toBeLessThanOrEqual(9)
    traffic.stop()
    run(100 * MS_PS)
    expect(traffic.throughput().frames.offered).toBe(sent)
    expect(traffic.isDrained).toBe(true)
  })
})

describe("Poisson arrivals", () => {
  it("have exponential distances: the deviation is the mean", () => {
    const { gaps, report } = gapsOf({ rateBitsPerSecond: 4e9, frameBytes: 300, arrivals: "poisson" }, 60 * MS_PS)
    const expected = (320 * 8e12) / 4e9
    const mean = meanOf(gaps)
    const deviation = Math.sqrt(meanOf(gaps.map((gap) => (gap - mean) ** 2)))
    expect(gaps.length).toBeGreaterThan(90_000)
    // Three standard errors: 3 / sqrt(90,000) of the mean, and sqrt(2) times that of the deviation.
    expect(Math.abs(mean / expected - 1)).toBeLessThan(0.01)
    expect(Math.abs(deviation / expected - 1)).toBeLessThan(0.0142)
    expect(report.wireGbps).toBeCloseTo(4, 1)
    // Frames wait for each other, which is part of their latency.
    expect(report.latencyNs.p99).toBeGreaterThan(report.latencyNs.p50)
  })
})

describe("sizes", () => {
  it("of the simple IMIX are 7 : 4 : 1", () => {
    const { lengths } = gapsOf({ frameBytes: "imix" }, 50 * MS_PS)
    const shares = IMIX_FRAME_BYTES.map(
      (size) => lengths.filter((length) => length + 4 === size).length / lengths.length
    )
    expect(shares[0]).toBeCloseTo(7 / 12, 1)
    expect(shares[1]).toBeCloseTo(4 / 12, 1)
    expect(shares[2]).toBeCloseTo(1 / 12, 1)
    const mean = (7 * 64 + 4 * 594 + 1518) / 12
    expect(Math.abs((meanOf(lengths) + 4) / mean - 1)).toBeLessThan(0.01)
  })
})

describe("a line that is too slow", () => {
  it("lets the backlog grow to its limit, and loses the rest at the sender", () => {
    const { measure, traffic, host, frames } = makeIdealWorld({
      traffic: openLoop({ rateBitsPerSecond: 20e9, frameBytes: 64 })
    })
    const report = measure(0, 2 * MS_PS)
    const source = traffic.source as OpenLoop
    expect(report.frames.lostAtSender).toBeGreaterThan(0)
    expect(source.framesScheduled).toBe(report.frames.offered + report.frames.lostAtSender)
    expect(report.frames.offered).toBe(host.framesArrived)
    expect(report.wireGbps).toBeCloseTo(10, 1)
    expect(report.latencyNs.max).toBeLessThan((SENDER_BACKLOG_FRAMES + 2) * 67.2)
    expect(frames.inUse).toBe(0)
  })
})

describe("the sink", () => {
  it("counts what is dropped, damaged, repeated or out of order", () => {
    const { host, measure, traffic } = makeIdealWorld({
      traffic: openLoop({ rateBitsPerSecond: 1e9, frameBytes: "imix" }),
      host: { isDropped: (frame) => frame % 50 === 3, isDamaged: (frame) => frame % 50 === 5 }
    })
    const report = measure(0, 5 * MS_PS)
    expect(report.frames.offered).toBe(report.frames.delivered + host.framesDropped)
    expect(report.frames.corrupt).toBe(host.framesDamaged)
    expect(report.frames.repeated).toBe(0)
    expect(traffic.frameSink).toMatchObject({ framesReordered: 0 })
  })

  it("knows a frame that comes twice, late, or from nowhere", () => {
    const { host, memory, frames, traffic, run } = makeIdealWorld({ traffic: openLoop({ flows: 1 }) })
    const kept: Array<number> = []
    let queue = 0
    const { deliver } = host
    host.deliver = (frame) => {
      const at = kept.length * 2048
      frames.copyOut(frame, 0, frames.lengthBytes(frame), at)
      kept.push(at)
      queue = host.queueOfFrame(frame)
      if (kept.length > 3) deliver.call(host, frame)
      else {
        frames.stored?.(frame, queue)
        frames.free(frame)
      }
    }
    traffic.start()
    run(10_000_000)
    const sink = traffic.frameSink!
    const deliveredBefore = sink.framesDelivered
    sink.deliverFrame(queue, kept[1]!, 512, kept[1]! + 512, 1002)
    expect(sink.counters()).toEqual({ framesDelivered: deliveredBefore + 1, framesCorrupt: 0, framesRepeated: 0 })
    expect(sink).toMatchObject({ framesReordered: 1 })
    sink.deliverFrame(queue, kept[1]!, 512, kept[1]! + 512, 1002)
    expect(sink.framesRepeated).toBe(1)
    memory.bytes[kept[0]! + 49]! ^= 64
    sink.deliverFrame(queue, kept[0]!, 512, kept[0]! + 512, 1002)
    sink.deliverFrame(queue, kept[2]!, 512, kept[2]! + 512, 1001)
    sink.deliverFrame(queue, kept[2]!, 20, kept[2]! + 20, 1494)
    expect(sink.framesCorrupt).toBe(3)
  })

  it("checks and meters a frame however many were dropped since it was sent", () => {
    const { host, measure, traffic, memory, frames } = makeIdealWorld({
      traffic: openLoop({ frameBytes: 64 }),
      framesHeldPerQueue: 1
    })
    const at = 2048
    let count = 0
    let queue = 0
    const { deliver } = host
    const sink = traffic.frameSink!
    host.deliver = (frame) => {
      count++
      if (count === 100) {
        queue = host.queueOfFrame(frame)
        frames.copyOut(frame, 0, 60, at)
        frames.stored?.(frame, queue)
      }
      if (count === DROPPED + 100) {
        sink.nowPs[0] = 1e12
        sink.deliverFrame(queue, at, 60, at + 60, 0)
        // The same with a flipped bit, and again as it was.
        memory.bytes[at + 55]! ^= 1
        sink.deliverFrame(queue, at, 60, at + 60, 0)
        memory.bytes[at + 55]! ^= 1
        sink.deliverFrame(queue, at, 60, at + 60, 0)
      }
      if (count <= DROPPED + 100) frames.free(frame)
      else deliver.call(host, frame)
    }
    const report = measure(0, 25 * MS_PS)
    expect(report.frames).toMatchObject({ corrupt: 1, repeated: 1, offered: count, delivered: count - DROPPED - 97 })
    // What passed the wire in the window, which all but the very last did.
    expect(report.latencyNs.count).toBeGreaterThanOrEqual(count - DROPPED - 100)
    expect(report.goodputBits).toBe(report.latencyNs.count * 18 * 8)
    expect(report.latencyNs.max).toBeGreaterThan(9e8)
  })
})

describe("held frames", () => {
  interface Entry {
    readonly number: number
    isSeen: boolean
  }
  const steps = fc.array(
    fc.record({ queue: fc.nat(2), stored: fc.nat(6), lost: fc.nat(7), seen: fc.nat(4), old: fc.nat(9) }),
    { maxLength: 60 }
  )

  property.prop([fc.integer({ min: 1, max: 6 }), steps, fc.constantFrom(0, 2 ** 31 - 20, 2 ** 32 - 20)])(
    "are found by number, in whatever part they are lost, seen again or late",
    (framesHeld, steps, firstNumber) => {
      const held = new HeldFrames(3, framesHeld)
      // Of each queue: everything that has ever come, and where what is still in its ring begins.
      const queues: ReadonlyArray<Array<Entry>> = [[], [], []]
      const waiting = [0, 0, 0]
      let number = firstNumber | 0
      const see = (queue: number, entry: Entry): void => {
        const at = held.find(queue, entry.number)
        expect(held.numbers[at]).toBe(entry.number)
        expect(held.isSeen[at]).toBe(entry.isSeen ? 1 : 0)
        held.isSeen[at] = 1
        entry.isSeen = true
      }
      for (const { queue, stored, lost, seen, old } of steps) {
        const entries = queues[queue]!
        for (let count = 0; count < stored && entries.length - waiting[queue]! < framesHeld; count++) {
          // What the device drops in between has a number as well.
          number = (number + 1 + (count & 1)) | 0
          const at = held.add(queue)
          held.numbers[at] = number
          held.lengths[at] = 60
          entries.push({ number, isSeen: false })
        }
        waiting[queue] = Math.min(entries.length, waiting[queue]! + lost)
        for (let count = 0; count < seen && waiting[queue]! < entries.length; count++) {
          see(queue, entries[waiting[queue]!]!)
          waiting[queue]!++
        }
        const index = entries.length - 1 - old
        // Late or again, as long as it cannot have been overwritten.
        if (index >= 0 && index < waiting[queue]! && old < framesHeld) see(queue, entries[index]!)
        expect(held.find(queue, (number + 1) | 0)).toBe(HELD_NONE)
      }
    }
  )
})
