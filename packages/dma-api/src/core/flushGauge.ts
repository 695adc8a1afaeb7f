/**
 * How long, and how much, a device could still use translations that were removed: from the moment an entry is
 * cleared until the flush that covers it is done. What deferred flushing costs in protection, as figures.
 *
 * What waits is counted by the number of flushes that had begun when it was cleared: a flush covers all that was
 * cleared before it began, whoever queued it. So a flush closes a few sums, however many entries wait.
 */
import { fail } from "@vnic/sim/core"

/** What the gauge has seen since the beginning. */
export interface FlushCounts {
  /** Invalidations asked for. */
  readonly flushes: number
  /** Unmaps that a flush has covered, and how long theirs took to come: all together and the longest, picoseconds. */
  readonly unmapsFlushed: number
  readonly windowSumPs: number
  readonly windowMaxPs: number
  /** Bytes that are unmapped and may be reached all the same: now, and at most. */
  readonly staleBytes: number
  readonly staleBytesMax: number
  /** Bytes times picoseconds for which they could be. */
  readonly staleBytePs: number
}

/** Nothing was ever flushed. */
export const NO_FLUSHES: FlushCounts = {
  flushes: 0,
  unmapsFlushed: 0,
  windowSumPs: 0,
  windowMaxPs: 0,
  staleBytes: 0,
  staleBytesMax: 0,
  staleBytePs: 0
}

/** Numbers of a flush that has not begun yet. */
const STRIDE = 6
const COUNT = 0
const BYTES = 1
/** Time of the first, and sums over all, counted from it: small, so that they stay exact. */
const SINCE_PS = 2
const SUM_PS = 3
const SUM_BYTE_PS = 4
/** The earliest, counted likewise: CPUs come in the order of events, their times a little out of it. */
const EARLIEST_PS = 5

export class FlushGauge {
  /** Flushes begun. What is cleared now waits for one that is not among them. */
  begun = 0
  private flushes = 0
  private unmapsFlushed = 0
  private windowSumPs = 0
  private windowMaxPs = 0
  private staleBytes = 0
  private staleBytesMax = 0
  private staleBytePs = 0
  /** Everything that was cleared before this many flushes had begun is covered. */
  private closedBelow = 0
  declare private readonly waiting: Float64Array
  declare private readonly mask: number

  /** At most one flush of each CPU is under way at a time. */
  constructor(cpuCount: number) {
    let slots = 4
    while (slots < cpuCount + 2) slots *= 2
    this.mask = slots - 1
    this.waiting = new Float64Array(slots * STRIDE)
  }

  /** Entries of `bytes` bytes of bus addresses were cleared. */
  readonly cleared = (bytes: number, atPs: number): void => {
    const { waiting } = this
    const at = (this.begun & this.mask) * STRIDE
    if (waiting[at + COUNT] === 0) waiting[at + SINCE_PS] = atPs
    const sincePs = atPs - waiting[at + SINCE_PS]!
    waiting[at + COUNT]! += 1
    waiting[at + BYTES]! += bytes
    waiting[at + SUM_PS]! += sincePs
    waiting[at + SUM_BYTE_PS]! += sincePs * bytes
    if (sincePs < waiting[at + EARLIEST_PS]!) waiting[at + EARLIEST_PS] = sincePs
    this.staleBytes += bytes
    if (this.staleBytes > this.staleBytesMax) this.staleBytesMax = this.staleBytes
  }

  /** Bytes that were cleared at `clearedAtPs`, with `begun` as it was then, are mapped again just as they were. */
  readonly mappedAgain = (bytes: number, begun: number, clearedAtPs: number, atPs: number): void => {
    if (begun < this.closedBelow) return
    const { waiting } = this
    const at = (begun & this.mask) * STRIDE
    waiting[at + BYTES]! -= bytes
    waiting[at + SUM_BYTE_PS]! -= (clearedAtPs - waiting[at + SINCE_PS]!) * bytes
    this.staleBytes -= bytes
    this.staleBytePs += (atPs - clearedAtPs) * bytes
  }

  /** A flush of everything begins; its number. */
  readonly begin = (): number => {
    this.begun++
    this.flushes++
    if (this.begun - this.closedBelow > this.mask) fail("more flushes under way than CPUs")
    return this.begun
  }

  /** It is done: what was cleared before it began is beyond reach. */
  readonly end = (flush: number, atPs: number): void => {
    for (; this.closedBelow < flush; this.closedBelow++) this.close((this.closedBelow & this.mask) * STRIDE, atPs)
  }

  private readonly close = (at: number, atPs: number): void => {
    const { waiting } = this
    const count = waiting[at + COUNT]!
    const bytes = waiting[at + BYTES]!
    if (count === 0) return
    const sincePs = atPs - waiting[at + SINCE_PS]!
    const maxPs = sincePs - waiting[at + EARLIEST_PS]!
    this.add(count, bytes, maxPs, sincePs * count - waiting[at + SUM_PS]!, sincePs * bytes - waiting[at + SUM_BYTE_PS]!)
    waiting.fill(0, at, at + STRIDE)
  }

  private readonly add = (count: number, bytes: number, maxPs: number, sumPs: number, bytePs: number): void => {
    this.unmapsFlushed += count
    this.windowSumPs += sumPs
    if (maxPs > this.windowMaxPs) this.windowMaxPs = maxPs
    this.staleBytes -= bytes
    this.staleBytePs += bytePs
  }

  /** A flush of one unmap's entries begins, ... */
  readonly opened = (bytes: number): void => {
    this.flushes++
    this.staleBytes += bytes
    if (this.staleBytes > this.staleBytesMax) this.staleBytesMax = this.staleBytes
  }

  /** ... are beyond reach after `windowPs`. */
  readonly closed = (bytes: number, windowPs: number): void => {
    this.add(1, bytes, windowPs, windowPs, windowPs * bytes)
  }

  readonly counts = (): FlushCounts => ({
    flushes: this.flushes,
    unmapsFlushed: this.unmapsFlushed,
    windowSumPs: this.windowSumPs,
    windowMaxPs: this.windowMaxPs,
    staleBytes: this.staleBytes,
    staleBytesMax: this.staleBytesMax,
    staleBytePs: this.staleBytePs
  })
}
