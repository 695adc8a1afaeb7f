/**
 * Descriptor write-backs of one direction on their way to memory. Posted writes arrive in the order in which
 * they were sent: one that could be seen earlier than the one before it, of either direction, waits.
 *
 * A record is eight words: four of payload, queue, descriptor, and two more.
 */
import { fail, type Source, type Timeline } from "@vnic/sim/core"
import * as Layout from "./layout.ts"

// Imported names cost a load and a check at each use; the hot path has its own.
const { HOT_LENGTH, RECORD_WORDS, RECORD_QUEUE, RECORD_VOID } = Layout

const RECORDS = 1024

/** Runs when a write has reached memory; `at` is the first word of its record. */
export type WrittenHandler = (at: number) => void

/** When the last write of a device, of either direction, is seen in memory. */
export const makePostedOrder = (): Float64Array => new Float64Array(HOT_LENGTH)

export class PostedWrites {
  readonly records = new Int32Array(RECORDS * RECORD_WORDS)
  /** Writes under way. */
  count = 0
  /** seenPs[0]: when the record that is sent next is seen in memory. */
  readonly seenPs = new Float64Array(HOT_LENGTH)
  private next = 0
  declare private readonly order: Float64Array
  declare private readonly timeline: Timeline
  declare private readonly lane: Source

  constructor(timeline: Timeline, name: string, order: Float64Array, handler: WrittenHandler) {
    this.timeline = timeline
    this.order = order
    this.lane = timeline.addLane(name, handler, RECORDS)
  }

  /** The record to be filled next. */
  get nextAt(): number {
    return this.next * RECORD_WORDS
  }

  /** Sends the record at `nextAt`: it is seen in memory at seenPs[0], or with the write before it. */
  readonly send = (): void => {
    if (this.count >= RECORDS) fail("too many posted writes")
    const { order, seenPs } = this
    if (seenPs[0]! > order[0]!) order[0] = seenPs[0]!
    const at = this.next * RECORD_WORDS
    this.next = (this.next + 1) & (RECORDS - 1)
    this.count++
    this.timeline.push(this.lane, order[0]!, at)
  }

  /** Calls `each` for every write under way of this queue, and makes it void. */
  cancel(queue: number, each: WrittenHandler): void {
    for (let back = this.count; back > 0; back--) {
      const at = ((this.next - back) & (RECORDS - 1)) * RECORD_WORDS
      if (this.records[at + RECORD_QUEUE] !== queue) continue
      each(at)
      this.records[at + RECORD_QUEUE] = RECORD_VOID
    }
  }

  /** Writes under way of one queue. */
  countOf(queue: number): number {
    let count = 0
    for (let back = this.count; back > 0; back--) {
      const at = ((this.next - back) & (RECORDS - 1)) * RECORD_WORDS
      if (this.records[at + RECORD_QUEUE] === queue) count++
    }
    return count
  }
}
