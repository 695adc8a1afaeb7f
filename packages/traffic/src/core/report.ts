/** The throughput report as plain data: what the link carried, and what of it arrived. */
import { assert } from "@vnic/sim/core"
import type { Link } from "./link.ts"
import type { Medium } from "./medium.ts"
import type { DeliveryMeter } from "./meters.ts"
import type { SinkCounters } from "./sink.ts"
import { WINDOW_PARTS } from "./window.ts"

const SECOND_PS = 1e12
const GIGA = 1e9
const BITS = 8
/** Where a byte takes no whole picoseconds, sums of times are rounded, by far less than this. */
const ROUNDING_SHARE = 1e-6

/** One direction of the link inside the window. Frames count whole, those whose last bit passed in it. */
export interface DirectionReport {
  readonly frames: number
  /** Frames with padding and check sequence. */
  readonly frameBits: number
  readonly frameGbps: number
  /** Frames, preambles and gaps. */
  readonly wireBits: number
  /** The link's rate for the part of the window in which the direction was taken: a frame across an edge in part. */
  readonly wireGbps: number
  /** That part, 0..1. */
  readonly busyShare: number
}

export interface ThroughputReport {
  /** The measured window; all rates are means over it. */
  readonly windowPs: number
  /** TCP payload accepted once; UDP payload delivered; in a replay, payload of TCP and UDP delivered. */
  readonly goodputBits: number
  readonly goodputGbps: number
  /** Half-width of the mean's 95 % confidence interval, from 20 equal parts of the window. */
  readonly goodputGbpsCi95: number
  /** Toward the device, what the meters saw on the medium. */
  readonly wireGbps: number
  readonly frameGbps: number
  /** Delivered frames whose last bit passed the wire inside the window, a second. */
  readonly framesPerSecond: number
  readonly inbound: DirectionReport
  readonly outbound: DirectionReport
  /** Over the whole run. `offered` went on the wire; `lostAtSender` found the sender's backlog full. */
  readonly frames: {
    readonly offered: number
    readonly delivered: number
    readonly corrupt: number
    readonly repeated: number
    readonly padded: number
    readonly lostAtSender: number
    /** Frames from the device that arrived at the link partner. */
    readonly returned: number
  }
  /** First bit on the wire (open loop: time due) to the sink, of frames inside the window. */
  readonly latencyNs: {
    readonly count: number
    readonly p50: number
    readonly p90: number
    readonly p99: number
    readonly p999: number
    readonly max: number
  }
  /** What the senders of a closed loop counted over the whole run; zeros otherwise. */
  readonly retransmissions: { readonly segments: number; readonly fast: number; readonly timeouts: number }
}

/** One of the window's equal parts. */
export interface ThroughputSample {
  readonly part: number
  readonly fromPs: number
  readonly toPs: number
  readonly goodputGbps: number
  readonly wireGbps: number
  readonly framesPerSecond: number
}

export interface ReportInput {
  readonly link: Link
  readonly meter: DeliveryMeter
  readonly counters: SinkCounters
  readonly framesPadded: number
  readonly framesLostAtSender: number
  readonly retransmissions: ThroughputReport["retransmissions"]
}

const gbps = (bits: number, durationPs: number): number =>
  durationPs > 0 ? (bits * (SECOND_PS / GIGA)) / durationPs : 0

function directionReport(medium: Medium, link: Link, windowPs: number): DirectionReport {
  const frameBits = medium.frameBytesInWindow.sum * BITS
  const share = windowPs > 0 ? medium.busyPsInWindow / windowPs : 0
  assert(share <= 1 + ROUNDING_SHARE, "a wire was taken for longer than there is time")
  const busyShare = Math.min(1, share)
  return {
    frames: medium.framesInWindow.sum,
    frameBits,
    frameGbps: gbps(frameBits, windowPs),
    wireBits: medium.wireBytesInWindow * BITS,
    wireGbps: (busyShare * link.rateBitsPerSecond) / GIGA,
    busyShare
  }
}

/** What the window saw of the link and of the sink, and what the whole run counted. */
export function throughputReport(input: ReportInput): ThroughputReport {
  const { counters, link, meter } = input
  const windowPs = meter.window.durationPs
  const inbound = directionReport(link.inbound, link, windowPs)
  const goodputBits = meter.goodputBytes.sum * BITS
  const latency = meter.latencyNs
  return {
    windowPs,
    goodputBits,
    goodputGbps: gbps(goodputBits, windowPs),
    goodputGbpsCi95: gbps(meter.goodputBytes.halfWidth95 * BITS, meter.window.partPs),
    wireGbps: inbound.wireGbps,
    frameGbps: inbound.frameGbps,
    framesPerSecond: windowPs > 0 ? (meter.frames.sum * SECOND_PS) / windowPs : 0,
    inbound,
    outbound: directionReport(link.outbound, link, windowPs),
    frames: {
      offered: link.inbound.frames,
      delivered: counters.framesDelivered,
      corrupt: counters.framesCorrupt,
      repeated: counters.framesRepeated,
      padded: input.framesPadded,
      lostAtSender: input.framesLostAtSender,
      returned: link.outbound.frames
    },
    latencyNs: {
      count: latency.count,
      p50: latency.percentile(0.5),
      p90: latency.percentile(0.9),
      p99: latency.percentile(0.99),
      p999: latency.percentile(0.999),
      max: latency.max
    },
    retransmissions: input.retransmissions
  }
}

/** The parts of the window that are over at `nowPs`. */
export function throughputSamples(input: ReportInput, nowPs: number): ReadonlyArray<ThroughputSample> {
  const { link, meter } = input
  const { window } = meter
  if (!window.isPlanned) return []
  const samples: Array<ThroughputSample> = []
  for (let part = 0; part < WINDOW_PARTS; part++) {
    const fromPs = window.openPs + part * window.partPs
    const toPs = fromPs + window.partPs
    if (toPs > nowPs) break
    samples.push({
      part,
      fromPs,
      toPs,
      goodputGbps: gbps(meter.goodputBytes.parts[part]! * BITS, window.partPs),
      wireGbps: gbps(link.inbound.wireBytesInPart(part) * BITS, window.partPs),
      framesPerSecond: (meter.frames.parts[part]! * SECOND_PS) / window.partPs
    })
  }
  return samples
}
