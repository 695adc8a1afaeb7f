/**
 * What a receiver holds beyond its first hole: per stream a sorted list of disjoint ranges of sequence
 * numbers [RFC 9293 3.10.7.4]. Sequence numbers are int32 and wrap; they are compared relative to the next
 * one expected, which every range lies beyond, within a window below 2^31.
 *
 * The lists are short, and as long as they must be: the window alone is the limit of what may be held.
 */

/** Ranges that a list has room for at first; the room is doubled, for all streams, when one needs more. */
const RANGES_FIRST = 4

export class ReceivedRanges {
  private capacity = RANGES_FIRST
  /** First sequence number of each range; stream × capacity + position. */
  private starts: Int32Array
  /** Sequence number after the last of each range. */
  private ends: Int32Array
  /** Ranges held, of each stream. */
  declare private readonly counts: Int32Array

  constructor(streamCount: number) {
    this.starts = new Int32Array(streamCount * RANGES_FIRST)
    this.ends = new Int32Array(streamCount * RANGES_FIRST)
    this.counts = new Int32Array(streamCount)
  }

  /** Ranges that `stream` holds: 0 when nothing is missing. */
  count(stream: number): number {
    return this.counts[stream]!
  }

  /** Adds [start, end), merging what touches; returns how many of its numbers are new. */
  insert(stream: number, next: number, start: number, end: number): number {
    if (this.counts[stream] === this.capacity) this.widen()
    const { starts, ends } = this
    const base = stream * this.capacity
    const count = this.counts[stream]!
    const from = (start - next) | 0
    const to = (end - next) | 0
    // Segments mostly arrive in order behind a hole, so the place is nearly always at the back.
    let after = count
    while (after > 0 && ((starts[base + after - 1]! - next) | 0) > to) after--
    let first = after
    let mergedStart = start
    let mergedEnd = end
    let held = 0
    while (first > 0 && ((ends[base + first - 1]! - next) | 0) >= from) {
      first--
      const rangeStart = starts[base + first]!
      const rangeEnd = ends[base + first]!
      held += (rangeEnd - rangeStart) | 0
      if (((rangeStart - mergedStart) | 0) < 0) mergedStart = rangeStart
      if (((rangeEnd - mergedEnd) | 0) > 0) mergedEnd = rangeEnd
    }
    if (first === after) {
      this.move(base, after, count, after + 1)
      this.counts[stream] = count + 1
    } else if (after - first > 1) {
      this.move(base, after, count, first + 1)
      this.counts[stream] = count - (after - first) + 1
    }
    starts[base + first] = mergedStart
    ends[base + first] = mergedEnd
    return ((mergedEnd - mergedStart) | 0) - held
  }

  /** How many of the numbers [next, end) are held already. */
  overlap(stream: number, next: number, end: number): number {
    const base = stream * this.capacity
    const to = (end - next) | 0
    let held = 0
    for (let range = base; range < base + this.counts[stream]!; range++) {
      const rangeFrom = (this.starts[range]! - next) | 0
      const rangeTo = (this.ends[range]! - next) | 0
      if (rangeFrom >= to) break
      held += (rangeTo < to ? rangeTo : to) - rangeFrom
    }
    return held
  }

  /** Gives up the ranges that begin at or before `end`; returns the first number still missing. */
  absorb(stream: number, end: number): number {
    const base = stream * this.capacity
    const count = this.counts[stream]!
    let reached = end
    let gone = 0
    while (gone < count && ((this.starts[base + gone]! - reached) | 0) <= 0) {
      const rangeEnd = this.ends[base + gone]!
      if (((rangeEnd - reached) | 0) > 0) reached = rangeEnd
      gone++
    }
    if (gone > 0) {
      this.move(base, gone, count, 0)
      this.counts[stream] = count - gone
    }
    return reached
  }

  private widen(): void {
    const narrow = this.capacity
    this.capacity = 2 * narrow
    this.starts = spreadRows(this.starts, narrow)
    this.ends = spreadRows(this.ends, narrow)
  }

  /** Moves the ranges at positions [from, to) so that the first of them is at `target`. */
  private move(base: number, from: number, to: number, target: number): void {
    this.starts.copyWithin(base + target, base + from, base + to)
    this.ends.copyWithin(base + target, base + from, base + to)
  }
}

/** The rows of a table whose rows are twice as long. */
const spreadRows = (table: Int32Array, rowLength: number): Int32Array => {
  const wide = new Int32Array(2 * table.length)
  for (let at = 0; at < table.length; at += rowLength) wide.set(table.subarray(at, at + rowLength), 2 * at)
  return wide
}
