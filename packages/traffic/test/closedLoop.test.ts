import { fc, test as property } from "@fast-check/vitest"
import { makePrng } from "@vnic/sim/core"
import { type ClosedLoop, lapCountOf, windowBytesMaxOf } from "@vnic/traffic/core"
import { describe, expect, it } from "vitest"
import { closedLoop, makeIdealWorld, MS_PS } from "./idealWorld.ts"

describe("goodput at MTU 1500", () => {
  it.each([
    [false, 1460, 9.493],
    [true, 1448, 9.415]
  ])("is what the wire leaves, time stamps %s", (timestamps, segmentBytes, goodputGbps) => {
    const { frames, host, measure, traffic } = makeIdealWorld({ traffic: closedLoop({ timestamps }) })
    const report = measure(1 * MS_PS, 10 * MS_PS)
    const exactFrames = (10 * MS_PS) / 1_230_400
    const deliveredFrames = report.goodputBits / 8 / segmentBytes
    expect(Math.abs(deliveredFrames - exactFrames)).toBeLessThanOrEqual(1)
    expect(report.goodputGbps).toBeCloseTo(goodputGbps, 2)
    expect(report.goodputGbps).toBeLessThanOrEqual((segmentBytes * 8) / 1.2304e3 + (segmentBytes * 8) / 1e7)
    expect(report.goodputGbpsCi95).toBeLessThan(0.01)
    expect(report.frames).toMatchObject({ corrupt: 0, repeated: 0, offered: host.framesArrived })
    expect(report.frames.delivered).toBe(report.frames.offered)
    expect(report.retransmissions).toEqual({ segments: 0, fast: 0, timeouts: 0 })
    expect(traffic.isDrained).toBe(true)
    expect(frames.inUse).toBe(0)
    // First bit to last bit: an ideal host adds nothing.
    expect(report.latencyNs).toMatchObject({ p50: 1214, p999: 1214, max: 1214 })
  })

  it("keeps wire bits, frame bits and goodput apart", () => {
    const { measure } = makeIdealWorld({ traffic: closedLoop() })
    const { goodputBits, inbound } = measure(1 * MS_PS, 5 * MS_PS)
    expect(inbound.frameBits).toBe(inbound.frames * 1518 * 8)
    expect(inbound.wireBits).toBe(inbound.frames * 1538 * 8)
    expect(goodputBits).toBe(inbound.frames * 1460 * 8)
  })

  it("of 64-byte frames is 6 bytes each", () => {
    const { measure } = makeIdealWorld({ traffic: closedLoop({ frameBytes: 64, windowBytes: 1536 }), check: "line" })
    const report = measure(0.2 * MS_PS, 1 * MS_PS)
    expect(report.inbound.frameBits).toBe(report.inbound.frames * 64 * 8)
    expect(report.goodputBits).toBe(report.inbound.frames * 6 * 8)
    expect(report.wireGbps).toBeCloseTo(10, 1)
  })
})

describe("the largest window", () => {
  property.prop([fc.integer({ min: 1, max: 65_536 }), fc.integer({ min: 1, max: 9000 })])(
    "is the last whose segments of all streams have their times kept",
    (streams, segmentBytes) => {
      const most = windowBytesMaxOf(streams, segmentBytes)
      const laps = (windowBytes: number): number => lapCountOf(windowBytes, segmentBytes) * streams
      expect(most % segmentBytes).toBe(0)
      // Windows of less than 2 GiB are what anybody can ask for.
      if (most < 2 ** 31) expect(laps(most)).toBeLessThanOrEqual(1 << 22)
      if (most + segmentBytes < 2 ** 31) expect(laps(most + segmentBytes)).toBeGreaterThan(1 << 21)
    }
  )
})

describe("wire times", () => {
  it.each([
    [64, 6],
    [64, 120],
    [66, 64],
    [67, 36],
    [73, 255],
    [1518, 65_536]
  ])(
    "of frames of %i bytes have each a place of their own in a window of %i, wherever it lies",
    (frameBytes, windowBytes) => {
      const { traffic } = makeIdealWorld({ traffic: closedLoop({ streams: 2, frameBytes, windowBytes }) })
      const source = traffic.source as ClosedLoop
      const { segmentBytes } = source
      const segments = source.sender.windowBytes / segmentBytes
      // Around the start, and where offsets wrap.
      for (let from = -500; from < 500; from++) {
        const laps = Array.from({ length: segments }, (_, index) =>
          source.lapOf(1, ((from + index) * segmentBytes) | 0)
        )
        expect(new Set(laps).size).toBe(segments)
        expect(Math.min(...laps)).toBeGreaterThanOrEqual(source.firstBitsPs.length / 2)
        expect(Math.max(...laps)).toBeLessThan(source.firstBitsPs.length)
      }
    }
  )
})

describe("drops", () => {
  property.prop([fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0, max: 60 }), fc.boolean()], { numRuns: 8 })(
    "cost throughput and never stall a stream",
    (seed, lossPercent, timestamps) => {
      const prng = makePrng(seed, 99)
      const { frames, host, measure, traffic } = makeIdealWorld({
        traffic: closedLoop({ timestamps, streams: 4 }),
        seed,
        host: { isDropped: () => prng.below(100) < lossPercent },
        retransmissionTimeoutPs: 2 * MS_PS
      })
      const report = measure(1 * MS_PS, 3 * MS_PS)
      expect(report.frames.offered).toBe(report.frames.delivered + host.framesDropped)
      expect(report.frames.corrupt).toBe(0)
      expect(traffic.isDrained).toBe(true)
      expect(frames.inUse).toBe(0)
      const receiver = host.receiver!
      // A sender that has been stopped gives a stream up after nine time-outs in a row, and no other.
      const { streamsGivenUp } = (traffic.source as ClosedLoop).sender.counters()
      if (lossPercent <= 10) expect(streamsGivenUp).toBe(0)
      const streams = [0, 1, 2, 3]
      expect(streams.filter((stream) => receiver.hasHole(stream)).length).toBeLessThanOrEqual(streamsGivenUp)
      for (const stream of streams) expect(receiver.deliveredTotalBytes[stream]).toBeGreaterThan(0)
      const delivered = receiver.deliveredTotalBytes.reduce((sum, bytes) => sum + bytes, 0)
      // What lies beyond the hole of a stream that was given up has come, but is not in order.
      const newBytes = traffic.streamSink!.newBytes[0]!
      if (streamsGivenUp === 0) expect(newBytes).toBe(delivered)
      else expect(newBytes).toBeGreaterThanOrEqual(delivered)
    },
    60_000
  )

  it("of every frame for longer than a time-out are survived", () => {
    const world = makeIdealWorld({
      traffic: closedLoop(),
      host: { isDropped: () => world.timeline.nowPs > MS_PS && world.timeline.nowPs < 30 * MS_PS },
      retransmissionTimeoutPs: 5 * MS_PS
    })
    const { host, run, traffic } = world
    traffic.start()
    run(30 * MS_PS)
    const before = Float64Array.from(host.receiver!.deliveredTotalBytes)
    run(10 * MS_PS)
    host.receiver!.deliveredTotalBytes.forEach((bytes, stream) => expect(bytes).toBeGreaterThan(before[stream]!))
    expect(traffic.throughput().retransmissions.timeouts).toBeGreaterThan(0)
  })
})

describe("the latency of a segment that was sent again", () => {
  /** One frame of the middle of a window of 1 ms is lost. */
  const lose = (windowBytes: number) => {
    const { measure } = makeIdealWorld({
      traffic: closedLoop({ streams: 1, windowBytes }),
      host: { isDropped: (frame) => frame === 100, delayedAckPs: 0 },
      startSpreadPs: 0,
      retransmissionTimeoutPs: 0.5 * MS_PS
    })
    return measure(0, 1 * MS_PS)
  }

  it("is counted from its first transmission, over a time-out", () => {
    const { latencyNs, retransmissions } = lose(1460)
    expect(retransmissions).toEqual({ segments: 1, fast: 0, timeouts: 1 })
    // The first bit is a preamble behind the time-out's beginning, and the last one 1214.4 ns behind the first.
    expect(latencyNs.max).toBe(500_000 + 1214)
  })

  it("and over a fast retransmit; what waits behind the hole has arrived", () => {
    const { latencyNs, retransmissions } = lose(64 * 1460)
    expect(retransmissions).toEqual({ segments: 1, fast: 1, timeouts: 0 })
    expect(latencyNs.max).toBeGreaterThan(3 * 1230)
    expect(latencyNs.max).toBeLessThan(10 * 1230)
    expect(latencyNs.p99).toBeLessThan(1230)
  })
})

describe("checks", () => {
  it("find a damaged byte, whichever it is", () => {
    const { host, measure } = makeIdealWorld({
      traffic: closedLoop(),
      host: { isDamaged: (frame) => frame % 100 === 7 }
    })
    const report = measure(0, 2 * MS_PS)
    expect(host.framesDamaged).toBeGreaterThan(10)
    expect(report.frames.corrupt).toBe(host.framesDamaged)
  })

  it.each([
    [false, 54],
    [true, 66]
  ])("find a damaged byte in the headers, time stamps %s", (timestamps, headerBytes) => {
    for (let index = 0; index < headerBytes; index++) {
      const { frames, host, memory, run, traffic } = makeIdealWorld({
        traffic: closedLoop({ streams: 1, windowBytes: 2920, timestamps })
      })
      const { deliver } = host
      host.deliver = (frame) => {
        memory.bytes[frames.headOffset(frame) + index]! ^= 1 << (index % 8)
        deliver.call(host, frame)
      }
      traffic.start()
      run(MS_PS)
      expect(traffic.streamSink!.framesDelivered).toBeGreaterThan(0)
      expect(traffic.streamSink!.framesCorrupt).toBe(traffic.streamSink!.framesDelivered)
    }
  })

  it("of one line in turn find some of them", () => {
    const { measure, host } = makeIdealWorld({
      traffic: closedLoop(),
      check: "line",
      host: { isDamaged: () => true }
    })
    const report = measure(0, 2 * MS_PS)
    const lines = Math.ceil(1460 / 64)
    expect(report.frames.corrupt).toBeGreaterThanOrEqual(Math.floor(host.framesDamaged / lines) - 1)
    expect(report.frames.corrupt).toBeLessThan(host.framesDamaged)
  })

  it("take a frame that nobody sent for corrupt", () => {
    const { traffic } = makeIdealWorld({ traffic: closedLoop() })
    traffic.streamSink!.deliverForeign()
    expect(traffic.throughput().frames).toMatchObject({ delivered: 1, corrupt: 1 })
  })
})

describe("a seed", () => {
  const run = (seed: number) => {
    const { measure, traffic, timeline } = makeIdealWorld({ traffic: closedLoop(), seed })
    const report = measure(0, 1 * MS_PS)
    return { report, events: timeline.eventsRun, ports: Array.from(traffic.streamEndpoints!.sender.ports) }
  }

  it("gives the same run again", () => {
    expect(run(5)).toEqual(run(5))
  })

  it("and another one another", () => {
    expect(run(5).ports).not.toEqual(run(6).ports)
  })
})
