/**
 * The rings of one direction, and the descriptors of them that the chip holds. Descriptors are fetched in
 * batches, as many as fit and as the driver has given, never at or beyond the tail. What is read is read at
 * the time of the fetch; it can be used when its completion has arrived.
 *
 * MODEL: a fetch that faults stops its queue until the queue or the device is reset. Prefetch thresholds of
 * the registers are not obeyed: a batch is eight or more, fewer when the chip has fewer than eight left.
 */
import type { Timeline } from "@vnic/sim/core"
import * as Registers from "../registers.ts"
import type { Bus } from "./bus.ts"
import type { BusMaster } from "./ports.ts"
import * as Layout from "./layout.ts"

// Imported names cost a load and a check at each use; the hot path has its own.
const { TWO_TO_32, TAG_QUEUE_SHIFT } = Layout
const { DESCRIPTOR_BYTES, DESCRIPTOR_WORDS, QUEUE_COUNT } = Registers

/** Slots of a queue's on-chip store; its limit may be lower. */
const SLOTS = 64
const BATCH = 8
const PAGE_BYTES = 4096

export class DescriptorRings {
  /** Bus address, descriptors of the ring (0: none), tail, and the next descriptor to be done. */
  readonly base = new Float64Array(QUEUE_COUNT)
  readonly length = new Int32Array(QUEUE_COUNT)
  readonly tail = new Int32Array(QUEUE_COUNT)
  readonly head = new Int32Array(QUEUE_COUNT)
  readonly isEnabled = new Uint8Array(QUEUE_COUNT)
  /** A fault has stopped the queue. */
  readonly isStopped = new Uint8Array(QUEUE_COUNT)
  /** Descriptors on chip: words, time of arrival, first slot, count; ring index of the first. */
  readonly words = new Int32Array(QUEUE_COUNT * SLOTS * DESCRIPTOR_WORDS)
  readonly readyPs = new Float64Array(QUEUE_COUNT * SLOTS)
  readonly cacheFirst = new Int32Array(QUEUE_COUNT)
  readonly cacheCount = new Int32Array(QUEUE_COUNT)
  readonly nextToUse = new Int32Array(QUEUE_COUNT)
  /** Fetches since the device was made. */
  fetches = 0
  private readonly nextToFetch = new Int32Array(QUEUE_COUNT)
  declare private readonly limit: number
  /** So many descriptors on chip leave room for a batch. */
  declare private readonly refillBelow: number
  declare private readonly tagBase: number
  private readonly times = new Float64Array(16)
  declare private readonly timeline: Timeline
  declare private readonly bus: Bus
  declare private readonly busMaster: BusMaster
  declare private readonly onFault: (queue: number) => void

  constructor(
    timeline: Timeline,
    bus: Bus,
    busMaster: BusMaster,
    limit: number,
    tagBase: number,
    onFault: (queue: number) => void
  ) {
    this.timeline = timeline
    this.bus = bus
    this.busMaster = busMaster
    this.limit = limit
    this.refillBelow = limit - BATCH
    this.tagBase = tagBase
    this.onFault = onFault
  }

  /** Slot of the oldest descriptor on chip, in `readyPs`; four times that in `words`. */
  readonly oldest = (queue: number): number => {
    return queue * SLOTS + this.cacheFirst[queue]!
  }

  /** Slot of the descriptor `count` behind the oldest. */
  readonly after = (queue: number, count: number): number => {
    return queue * SLOTS + ((this.cacheFirst[queue]! + count) & (SLOTS - 1))
  }

  /** Bus address of a descriptor. */
  readonly addressOf = (queue: number, index: number): number => {
    return this.base[queue]! + index * DESCRIPTOR_BYTES
  }

  /** Takes the oldest descriptor off the chip, and reads more when there is room for a batch. */
  readonly consume = (queue: number): void => {
    this.cacheFirst[queue] = (this.cacheFirst[queue]! + 1) & (SLOTS - 1)
    this.cacheCount[queue]! -= 1
    const next = this.nextToUse[queue]! + 1
    this.nextToUse[queue] = next >= this.length[queue]! ? 0 : next
    if (this.cacheCount[queue]! <= this.refillBelow) this.fetch(queue)
  }

  /** Descriptors that the driver has given and the chip has not read. A senseless tail gives none. */
  readonly available = (queue: number): number => {
    const length = this.length[queue]!
    const tail = this.tail[queue]!
    const next = this.nextToFetch[queue]!
    if (tail >= length || next >= length) return 0
    const count = tail - next
    return count < 0 ? count + length : count
  }

  /** Reads more descriptors when a batch is worth it. */
  readonly fetch = (queue: number): void => {
    const count = this.cacheCount[queue]!
    if (count > this.refillBelow) return
    if (count < BATCH || this.available(queue) >= BATCH) this.fetchAll(queue)
  }

  /** Reads as many descriptors as there are and fit. */
  readonly fetchAll = (queue: number): void => {
    if (this.isEnabled[queue] === 0 || this.isStopped[queue] === 1) return
    let wanted = this.available(queue)
    const room = this.limit - this.cacheCount[queue]!
    if (wanted > room) wanted = room
    while (wanted > 0) {
      const read = this.fetchPiece(queue, wanted)
      if (read === 0) return
      wanted -= read
    }
  }

  /** Reads what one request can: up to the end of the ring, of the store and of the 4 KiB page. */
  private readonly fetchPiece = (queue: number, wanted: number): number => {
    const next = this.nextToFetch[queue]!
    const slot = (this.cacheFirst[queue]! + this.cacheCount[queue]!) & (SLOTS - 1)
    const busAddr = this.addressOf(queue, next)
    const inPage = busAddr % PAGE_BYTES
    let count = wanted
    if (count > SLOTS - slot) count = SLOTS - slot
    if (count > this.length[queue]! - next) count = this.length[queue]! - next
    if (count > (PAGE_BYTES - inPage) / DESCRIPTOR_BYTES) count = (PAGE_BYTES - inPage) / DESCRIPTOR_BYTES
    const at = queue * SLOTS + slot
    const tag = this.tagBase | (queue << TAG_QUEUE_SHIFT) | next
    this.fetches++
    this.bus.read(count * DESCRIPTOR_BYTES, inPage, this.times, 0)
    if (!this.busMaster.readWords(busAddr, this.words, at * DESCRIPTOR_WORDS, count * DESCRIPTOR_WORDS, tag)) {
      this.stop(queue)
      return 0
    }
    let readyPs = this.times[0]! + this.busMaster.latencyPs[0]!
    // A queue's fetches are done in their order, whatever their translations took.
    if (this.cacheCount[queue]! > 0) {
      const beforePs = this.readyPs[this.after(queue, this.cacheCount[queue]! - 1)]!
      if (beforePs > readyPs) readyPs = beforePs
    }
    for (let index = 0; index < count; index++) this.readyPs[at + index] = readyPs
    this.cacheCount[queue]! += count
    this.nextToFetch[queue] = next + count === this.length[queue]! ? 0 : next + count
    return count
  }

  /** A bus access for this queue failed: it does nothing more. */
  stop(queue: number): void {
    this.isStopped[queue] = 1
    this.onFault(queue)
  }

  /** A descriptor was done: the head moves past it. */
  readonly advanceHead = (queue: number, index: number): void => {
    this.head[queue] = index + 1 >= this.length[queue]! ? 0 : index + 1
  }

  /** The driver gave the ring a place. */
  setBase(queue: number, low: number, high: number): void {
    this.base[queue] = (high >>> 0) * TWO_TO_32 + (low >>> 0)
    this.forget(queue)
  }

  /** The driver gave the ring a length, in bytes. */
  setLength(queue: number, sizeBytes: number): void {
    this.length[queue] = sizeBytes / DESCRIPTOR_BYTES
    this.forget(queue)
  }

  /** The driver moved the head, which it may while the queue is off. */
  setHead(queue: number, index: number): void {
    if (this.isEnabled[queue] === 1) return
    this.head[queue] = index
    this.forget(queue)
  }

  /** On or off. On begins at the head. */
  enable(queue: number, isOn: boolean): void {
    this.isEnabled[queue] = isOn ? 1 : 0
    this.isStopped[queue] = 0
    this.forget(queue)
  }

  /** Drops what is on chip; the next fetch begins at the head. */
  private forget(queue: number): void {
    this.cacheCount[queue] = 0
    this.nextToUse[queue] = this.head[queue]!
    this.nextToFetch[queue] = this.head[queue]!
  }

  /** As after a device reset. */
  reset(): void {
    for (const state of [this.base, this.length, this.tail, this.head, this.isEnabled, this.isStopped]) state.fill(0)
    for (let queue = 0; queue < QUEUE_COUNT; queue++) this.forget(queue)
  }
}
