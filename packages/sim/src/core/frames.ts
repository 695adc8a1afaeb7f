/**
 * Frames between two ends of a link: on the wire, and in the packet buffer of a device. A frame is a
 * handle (its slot number). Its bytes, without preamble and FCS, are a head, written into the slot's own
 * 2 KiB of storage, and a body, a slice of some other storage that does not change while the frame lives
 * (a generator's payload pattern, a capture): so bytes are copied once, by the device's DMA.
 */
import { assert, fail } from "./assert.ts"
import type { Memory } from "./memory.ts"

/** A frame's slot number in its pool. */
export type Frame = number

/** Storage of one slot; the largest frame of an MTU of 1500 with two VLAN tags fits. */
export const FRAME_SLOT_BYTES = 2048
const FRAME_SLOT_SHIFT = 11

export class FramePool {
  /** Bytes in the slot's own storage. */
  declare readonly headBytes: Int32Array
  /** Where the body starts in memory. */
  declare readonly bodyOffset: Int32Array
  /** Bytes of the body; 0 when the head is the whole frame. */
  declare readonly bodyBytes: Int32Array
  declare private readonly base: number
  declare private readonly freeSlots: Int32Array
  declare private freeCount: number
  declare private readonly memory: Memory
  /** Told of each frame that a device has brought into host memory, and for which of its receive queues. */
  stored: ((frame: Frame, queue: number) => void) | undefined = undefined

  constructor(memory: Memory, capacity: number) {
    this.memory = memory
    this.headBytes = new Int32Array(capacity)
    this.bodyOffset = new Int32Array(capacity)
    this.bodyBytes = new Int32Array(capacity)
    this.freeSlots = Int32Array.from({ length: capacity }, (_, index) => capacity - 1 - index)
    this.freeCount = capacity
    this.base = memory.reserveOutside(capacity * FRAME_SLOT_BYTES)
  }

  /** Frames that are allocated now. */
  get inUse(): number {
    return this.freeSlots.length - this.freeCount
  }

  /** A frame without bytes. A pool is as large as its world can need; an empty one is a defect. */
  readonly allocate = (): Frame => {
    if (this.freeCount === 0) fail("the frame pool is empty")
    const frame = this.freeSlots[--this.freeCount]!
    this.headBytes[frame] = 0
    this.bodyBytes[frame] = 0
    return frame
  }

  /** Gives the slot back; the frame is gone. */
  readonly free = (frame: Frame): void => {
    if (this.freeCount === this.freeSlots.length) fail("more frames were given back than were taken")
    this.freeSlots[this.freeCount++] = frame
  }

  /** Where the slot's own storage starts in memory. */
  readonly headOffset = (frame: Frame): number => {
    return this.base + (frame << FRAME_SLOT_SHIFT)
  }

  /** Length without FCS. */
  readonly lengthBytes = (frame: Frame): number => {
    return this.headBytes[frame]! + this.bodyBytes[frame]!
  }

  /** Copies `sizeBytes` of the frame, from byte `from` on, to `to` in memory. */
  readonly copyOut = (frame: Frame, from: number, sizeBytes: number, to: number): void => {
    const headBytes = this.headBytes[frame]!
    if (from + sizeBytes > headBytes + this.bodyBytes[frame]!) fail("a copy passes the end of its frame")
    if (from < headBytes) {
      const inHead = headBytes - from < sizeBytes ? headBytes - from : sizeBytes
      this.memory.copy(this.headOffset(frame) + from, to, inHead)
      if (inHead < sizeBytes) this.memory.copy(this.bodyOffset[frame]!, to + inHead, sizeBytes - inHead)
      return
    }
    this.memory.copy(this.bodyOffset[frame]! + from - headBytes, to, sizeBytes)
  }

  /** Appends bytes from memory to the head. */
  readonly append = (frame: Frame, from: number, sizeBytes: number): void => {
    const headBytes = this.headBytes[frame]!
    assert(headBytes + sizeBytes <= FRAME_SLOT_BYTES, "a frame is longer than its slot")
    this.memory.copy(from, this.headOffset(frame) + headBytes, sizeBytes)
    this.headBytes[frame] = headBytes + sizeBytes
  }

  /** One byte of the frame. */
  readonly byteAt = (frame: Frame, index: number): number => {
    const headBytes = this.headBytes[frame]!
    return index < headBytes
      ? this.memory.bytes[this.headOffset(frame) + index]!
      : this.memory.bytes[this.bodyOffset[frame]! + index - headBytes]!
  }
}

/** A pool of `capacity` frames; their storage lies outside the host's memory. */
export const makeFramePool = (memory: Memory, capacity: number): FramePool => new FramePool(memory, capacity)
