import { IMIX_FRAME_BYTES, type OpenLoop, SENDER_BACKLOG_FRAMES } from "@vnic/traffic/core"
import { describe, expect, it } from "vitest"
import { makeIdealWorld, MS_PS, openLoop } from "./idealWorld.ts"

const meanOf = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length

const gapsOf = (settings: Parameters<typeof openLoop>[0], durationPs: number) => {
  const { measure, traffic } = makeIdealWorld({ traffic: openLoop(settings) })
  const report = measure(0, durationPs)
  const source = traffic.source as OpenLoop
  const count = report.frames.offered
  expect(count).toBeLessThan(source.schedulesPs.length)
  const gaps = Array.from(
    { length: count - 1 },
    (_, index) => source.schedulesPs[index + 1]! - source.schedulesPs[index]!
  )
  return { gaps, report, lengths: Array.from(source.lengths.subarray(0, count)) }
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
    const { deliver } = host
    host.deliver = (frame) => {
      const at = kept.length * 2048
      frames.copyOut(frame, 0, frames.lengthBytes(frame), at)
      kept.push(at)
      if (kept.length > 3) deliver.call(host, frame)
      else frames.free(frame)
    }
    traffic.start()
    run(10_000_000)
    const sink = traffic.frameSink!
    const deliveredBefore = sink.framesDelivered
    sink.deliverFrame(0, kept[1]!, 512, kept[1]! + 512, 1002)
    expect(sink.counters()).toEqual({ framesDelivered: deliveredBefore + 1, framesCorrupt: 0, framesRepeated: 0 })
    expect(sink).toMatchObject({ framesReordered: 1 })
    sink.deliverFrame(0, kept[1]!, 512, kept[1]! + 512, 1002)
    expect(sink.framesRepeated).toBe(1)
    memory.bytes[kept[0]! + 49]! ^= 64
    sink.deliverFrame(0, kept[0]!, 512, kept[0]! + 512, 1002)
    sink.deliverFrame(0, kept[2]!, 512, kept[2]! + 512, 1001)
    sink.deliverFrame(0, kept[2]!, 20, kept[2]! + 20, 1494)
    expect(sink.framesCorrupt).toBe(3)
  })
})
