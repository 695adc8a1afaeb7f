/**
 * How much of its window each stream of a sender uses [RFC 5681: cwnd]: all of it until the stream's first time-out,
 * and from then on what slow start and congestion avoidance [RFC 5681 3.1] give it, until that is all of it again.
 */
/** An acknowledgement of more segments than this has jumped. */
const ADVANCE_SEGMENTS_MAX = 4

export class UsableWindow {
  /** Bytes that each stream may have under way. */
  declare readonly bytes: Int32Array
  /** Where slow start ends [RFC 5681: ssthresh]. */
  declare private readonly thresholds: Int32Array
  declare private readonly segmentBytes: number
  declare private readonly windowBytes: number

  constructor(streamCount: number, segmentBytes: number, windowBytes: number) {
    this.bytes = new Int32Array(streamCount).fill(windowBytes)
    this.thresholds = new Int32Array(streamCount)
    this.segmentBytes = segmentBytes
    this.windowBytes = windowBytes
  }

  /** After a time-out: one segment. The threshold stays when that one segment has timed out again. */
  collapse(stream: number, underWayBytes: number): void {
    if (this.bytes[stream]! > this.segmentBytes) this.setThreshold(stream, underWayBytes)
    this.bytes[stream] = this.segmentBytes
  }

  /** At a fast retransmit: half of what is under way. A window that is whole stays so. */
  halve(stream: number, underWayBytes: number): void {
    if (this.bytes[stream]! === this.windowBytes) return
    this.setThreshold(stream, underWayBytes)
    this.bytes[stream] = this.thresholds[stream]!
  }

  private setThreshold(stream: number, underWayBytes: number): void {
    this.thresholds[stream] = Math.max(underWayBytes >> 1, 2 * this.segmentBytes)
  }

  /** At an acknowledgement of new bytes: a segment in slow start, then about a segment for each window. */
  grow(stream: number): void {
    const { segmentBytes, windowBytes } = this
    const before = this.bytes[stream]!
    const isSlowStart = before < this.thresholds[stream]!
    const stepBytes = isSlowStart ? segmentBytes : Math.ceil((segmentBytes * segmentBytes) / before)
    this.bytes[stream] = Math.min(before + stepBytes, windowBytes)
  }

  /**
   * What duplicate acknowledgements mean for a stream that sends again after a time-out: a loss, unless the
   * acknowledgement before them had jumped over what the receiver held [RFC 6582 4.1].
   */
  isLossLikely(stream: number, lastAdvanceBytes: number): boolean {
    return this.bytes[stream]! > this.segmentBytes && lastAdvanceBytes <= ADVANCE_SEGMENTS_MAX * this.segmentBytes
  }
}
