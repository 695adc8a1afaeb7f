/**
 * Frames that are in the host's memory and that the sink has yet to see: number, length and times of each, for
 * every receive queue in the order in which they came to memory, which is the order in which the sink sees them.
 * A frame that the device drops never comes here, so no overload pushes out what is held.
 *
 * A queue's entries are a ring of at least twice what its descriptors hold. A frame that the driver dropped is
 * passed over when a later one is seen. What was seen or passed over stays until it is overwritten, so that a frame
 * that comes again or late is known for what it is.
 */
export class HeldFrames {
  declare readonly numbers: Int32Array
  declare readonly lengths: Int32Array
  /** When the frame was due, and when its last bit passed the wire. */
  declare readonly schedulesPs: Float64Array
  declare readonly lastBitsPs: Float64Array
  /** 1 when the sink has seen the frame. */
  declare readonly isSeen: Uint8Array
  /** Of each queue, int32: frames that have come, and how many of them are seen or passed over. */
  declare private readonly ends: Int32Array
  declare private readonly nexts: Int32Array
  declare private readonly ringEntries: number

  constructor(queueCount: number, framesHeldPerQueue: number) {
    let ringEntries = 2
    while (ringEntries < 2 * framesHeldPerQueue) ringEntries *= 2
    const entries = queueCount * ringEntries
    this.ringEntries = ringEntries
    this.numbers = new Int32Array(entries)
    this.lengths = new Int32Array(entries)
    this.schedulesPs = new Float64Array(entries)
    this.lastBitsPs = new Float64Array(entries)
    this.isSeen = new Uint8Array(entries)
    this.ends = new Int32Array(queueCount)
    this.nexts = new Int32Array(queueCount)
  }

  /** The entry of a frame that has come to memory; the caller fills it. */
  add(queue: number): number {
    const { ringEntries } = this
    const place = this.ends[queue]!
    const at = this.entryOf(queue, place)
    this.ends[queue] = place + 1
    // Nothing of a full ring is seen: the driver drops all of it. The oldest is given up.
    if (((place - this.nexts[queue]!) | 0) === ringEntries) this.nexts[queue]! += 1
    this.isSeen[at] = 0
    return at
  }

  /** The entry of the frame with this number, or HELD_NONE. What came to memory before it is passed over. */
  find(queue: number, number: number): number {
    const end = this.ends[queue]!
    for (let place = this.nexts[queue]!; place !== end; place = (place + 1) | 0) {
      const at = this.entryOf(queue, place)
      if (this.numbers[at] !== number) continue
      this.nexts[queue] = place + 1
      return at
    }
    return this.findOld(queue, number)
  }

  /** Looks at what was seen or passed over. An entry that was never filled has length 0. */
  private findOld(queue: number, number: number): number {
    const first = (this.ends[queue]! - this.ringEntries) | 0
    for (let place = this.nexts[queue]!; place !== first;) {
      place = (place - 1) | 0
      const at = this.entryOf(queue, place)
      if (this.numbers[at] === number && this.lengths[at] !== 0) return at
    }
    return HELD_NONE
  }

  private entryOf(queue: number, place: number): number {
    return queue * this.ringEntries + (place & (this.ringEntries - 1))
  }
}

/** No entry. */
export const HELD_NONE = -1
