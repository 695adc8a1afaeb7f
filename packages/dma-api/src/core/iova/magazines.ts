/**
 * Caches of freed ranges, per CPU and per order (1, 2, 4 .. 32 pages): each CPU has a loaded magazine and the previous
 * one, 127 ranges each, and all CPUs share a depot of full magazines per order. What was freed last is handed out
 * first. Ranges in here are free for their CPU and taken for the tree behind.
 *
 * Plain structure: who may touch what, and when, is the caller's business.
 * [Linux 6.12 drivers/iommu/iova.c, struct iova_magazine, iova_cpu_rcache, iova_rcache]
 */
import { fail } from "@vnic/sim/core"
import { IOVA_NONE as iovaNone } from "./allocator.ts"

// A copy in this module: an imported binding costs a load and a check at each use.
const IOVA_NONE = iovaNone

/** Orders 0 to 5 are cached. */
export const ORDER_COUNT = 6
/** Ranges in a full magazine. */
export const MAGAZINE_RANGES = 127

/** No magazine. */
export const NO_MAGAZINE = -1

export class Magazines {
  /** Pages of all ranges in here. */
  cachedPages = 0
  /** Entries looked at by the last `pop`. */
  scanned = 0
  /** Of each order, full magazines in the depot. */
  readonly depotCounts = new Int32Array(ORDER_COUNT)
  /** ranges[magazine * MAGAZINE_RANGES ..]: first pages, the one that was put in last at counts[magazine] - 1. */
  private ranges: Int32Array
  private counts: Int32Array
  /** Behind each magazine of the depot, or of the spare ones, the next. */
  private nexts: Int32Array
  declare private readonly loaded: Int32Array
  declare private readonly previous: Int32Array
  private readonly depotHeads = new Int32Array(ORDER_COUNT).fill(NO_MAGAZINE)
  private spareHead = NO_MAGAZINE
  private madeCount = 0

  constructor(cpuCount: number) {
    const slots = cpuCount * ORDER_COUNT
    this.ranges = new Int32Array(2 * slots * MAGAZINE_RANGES)
    this.counts = new Int32Array(2 * slots)
    this.nexts = new Int32Array(2 * slots)
    this.loaded = Int32Array.from({ length: slots }, () => this.takeEmpty())
    this.previous = Int32Array.from({ length: slots }, () => this.takeEmpty())
  }

  /** A slot is a CPU's two magazines of an order. */
  readonly slotOf = (cpu: number, order: number): number => cpu * ORDER_COUNT + order

  /** Has the slot a range, in either magazine? */
  readonly hasRange = (slot: number): boolean => {
    return this.counts[this.loaded[slot]!]! + this.counts[this.previous[slot]!]! > 0
  }

  /** Has the slot room, in either magazine? */
  readonly hasRoom = (slot: number): boolean => {
    return this.counts[this.loaded[slot]!]! + this.counts[this.previous[slot]!]! < 2 * MAGAZINE_RANGES
  }

  /**
   * Of the loaded magazine, or of the previous one when that is empty, the range put in last that begins at or
   * below `last`; or IOVA_NONE.
   */
  readonly pop = (slot: number, last: number): number => {
    if (this.counts[this.loaded[slot]!] === 0) this.swap(slot)
    const magazine = this.loaded[slot]!
    const count = this.counts[magazine]!
    const ranges = this.ranges
    const base = magazine * MAGAZINE_RANGES
    let index = base + count - 1
    while (index >= base && ranges[index]! > last) index--
    this.scanned = base + count - (index < base ? base : index)
    if (index < base) return IOVA_NONE
    const page = ranges[index]!
    ranges[index] = ranges[base + count - 1]!
    this.counts[magazine] = count - 1
    this.cachedPages -= 1 << (slot % ORDER_COUNT)
    return page
  }

  /** Puts a range into the loaded magazine, or into the previous one when that is full. */
  readonly push = (slot: number, page: number): void => {
    if (this.counts[this.loaded[slot]!] === MAGAZINE_RANGES) this.swap(slot)
    const magazine = this.loaded[slot]!
    const count = this.counts[magazine]!
    if (count === MAGAZINE_RANGES) fail("a range was put into a full magazine")
    this.ranges[magazine * MAGAZINE_RANGES + count] = page
    this.counts[magazine] = count + 1
    this.cachedPages += 1 << (slot % ORDER_COUNT)
  }

  private readonly swap = (slot: number): void => {
    const loaded = this.loaded[slot]!
    this.loaded[slot] = this.previous[slot]!
    this.previous[slot] = loaded
  }

  /** Takes the loaded magazine out of a slot and leaves an empty one. */
  readonly unload = (slot: number): number => {
    const magazine = this.loaded[slot]!
    this.loaded[slot] = this.takeEmpty()
    return magazine
  }

  /** Puts a full magazine on top of the depot. */
  readonly store = (order: number, magazine: number): void => {
    this.nexts[magazine] = this.depotHeads[order]!
    this.depotHeads[order] = magazine
    this.depotCounts[order]! += 1
  }

  /** Takes the magazine that was put into the depot last, or NO_MAGAZINE. */
  readonly fetch = (order: number): number => {
    const magazine = this.depotHeads[order]!
    if (magazine === NO_MAGAZINE) return NO_MAGAZINE
    this.depotHeads[order] = this.nexts[magazine]!
    this.depotCounts[order]! -= 1
    return magazine
  }

  /** Puts a magazine from the depot into a slot in place of its loaded one, which is empty. */
  readonly load = (slot: number, magazine: number): void => {
    this.discard(this.loaded[slot]!)
    this.loaded[slot] = magazine
  }

  /** Ranges in a magazine, and each of them. */
  readonly countOf = (magazine: number): number => this.counts[magazine]!
  readonly rangeAt = (magazine: number, index: number): number => this.ranges[magazine * MAGAZINE_RANGES + index]!
  readonly loadedOf = (slot: number): number => this.loaded[slot]!
  readonly previousOf = (slot: number): number => this.previous[slot]!

  /** The magazine's ranges have gone back to the tree. */
  readonly empty = (order: number, magazine: number): void => {
    this.cachedPages -= this.counts[magazine]! << order
    this.counts[magazine] = 0
  }

  /** An empty magazine that no slot has any more. */
  readonly discard = (magazine: number): void => {
    if (this.counts[magazine] !== 0) fail("a magazine was discarded with ranges in it")
    this.nexts[magazine] = this.spareHead
    this.spareHead = magazine
  }

  private readonly takeEmpty = (): number => {
    const spare = this.spareHead
    if (spare !== NO_MAGAZINE) {
      this.spareHead = this.nexts[spare]!
      return spare
    }
    if (this.madeCount === this.counts.length) this.grow()
    return this.madeCount++
  }

  private readonly grow = (): void => {
    this.ranges = doubled(this.ranges)
    this.counts = doubled(this.counts)
    this.nexts = doubled(this.nexts)
  }
}

const doubled = (values: Int32Array): Int32Array => {
  const longer = new Int32Array(values.length * 2)
  longer.set(values)
  return longer
}
