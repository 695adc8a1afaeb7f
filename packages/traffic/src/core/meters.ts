/**
 * What the window saw, three quantities kept apart: wire bits (everything that takes time on the medium)
 * and frame bits (frames with their check sequence) are metered by each medium, goodput (what the receiver
 * gets above TCP or UDP) here, where frames are delivered.
 */
import { type Histogram, makeHistogram } from "@vnic/sim/core"
import { PART_NONE, Tally, type Window } from "./window.ts"

const PS_PER_NS = 1000
/** Latencies up to here are recorded as small integers. */
const LATENCY_NS_MAX = 0x3fff_ffff

/** Alias of an imported constant, for the hottest function. */
const NO_PART = PART_NONE

/** What reached the sink, by the window part in which it passed the wire. */
export class DeliveryMeter {
  readonly goodputBytes = new Tally()
  readonly frames = new Tally()
  /** Nanoseconds from the first bit first on the wire, or from the scheduled time of sending, to the sink. */
  readonly latencyNs: Histogram = makeHistogram()
  declare readonly window: Window

  constructor(window: Window) {
    this.window = window
  }

  /** Counts a frame whose last bit passed the wire at lastBitsPs[index]; returns its part or PART_NONE. */
  countFrame(lastBitsPs: Float64Array, index: number): number {
    const part = this.window.partOf(lastBitsPs, index)
    if (part !== NO_PART) this.frames.add(part, 1)
    return part
  }

  /** Records the time from sincePs[index] to nowPs[0]. */
  recordLatency(sincePs: Float64Array, index: number, nowPs: Float64Array): void {
    const latencyNs = (nowPs[0]! - sincePs[index]!) / PS_PER_NS
    if (latencyNs < LATENCY_NS_MAX) this.latencyNs.record(latencyNs | 0)
    else this.latencyNs.record(Math.floor(latencyNs))
  }
}
