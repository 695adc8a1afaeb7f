/**
 * The bitmap IOVA allocator of powerpc before June 2012: one bit an entry, small requests (up to 15 pages)
 * next-fit in the lower half, large ones in the upper half. When a half has no room from its hint on it is
 * searched again from its start, then a small request searches the upper half and a large one everything,
 * then the request fails.
 *
 * After a small allocation the hint moves on to the next block of 16 entries (one cache line of TCEs). The
 * last entry of the range that is searched is never handed out, and entry 0 is reserved when the window
 * starts at bus address 0. A device that reaches part of the window only searches that part; from its start,
 * but for a first try at the hint modulo its reach. [Linux 3.4 arch/powerpc/kernel/iommu.c, lib/iommu-helper.c]
 *
 * The caller holds the table's lock. Work is counted in 64-bit words looked at.
 */
import { assert, fail } from "@vnic/sim/core"

/** No run of entries that long is free. */
export const IOVA_NONE = -1

/** Requests above this many pages are large. */
export const SMALL_PAGES_MAX = 15
/** Entries that the hint moves on by after a small allocation. */
export const BLOCK_ENTRIES = 16

export class BitmapAllocator {
  declare readonly pageCount: number
  /** Entries that are allocated now, reserved ones not counted. */
  pagesUsed = 0
  /** 64-bit words looked at by the last operation, and by all. */
  wordsScanned = 0
  wordsScannedSum = 0
  declare private readonly words: Int32Array
  declare private readonly halfPoint: number
  declare private readonly reservedEnd: number
  declare private smallHint: number
  declare private largeHint: number

  constructor(pageCount: number, isEntryZeroReserved: boolean) {
    assert(pageCount >= 4 && pageCount <= 1 << 28, "bitmap size out of range")
    this.pageCount = pageCount
    this.words = new Int32Array(Math.ceil(pageCount / 32))
    this.halfPoint = pageCount >> 1
    this.reservedEnd = isEntryZeroReserved ? 1 : 0
    this.smallHint = 0
    this.largeHint = this.halfPoint
    if (isEntryZeroReserved) this.words[0] = 1
  }

  /**
   * The first entry of a free run of `pages` entries whose start is a multiple of `alignment` (a power of
   * two), now allocated; or IOVA_NONE. The device can address the first `reach` entries.
   */
  readonly allocate = (pages: number, alignment: number, reach: number = this.pageCount): number => {
    this.wordsScanned = 0
    const isLarge = pages > SMALL_PAGES_MAX
    const low = isLarge ? this.halfPoint : 0
    const high = isLarge ? this.pageCount : this.halfPoint
    const hint = isLarge ? this.largeHint : this.smallHint
    let entry = this.search(high <= reach || reach === 0 ? hint : hint % reach, high, pages, alignment, reach)
    if (entry === IOVA_NONE) entry = this.search(high <= reach ? low : 0, high, pages, alignment, reach)
    if (entry === IOVA_NONE) {
      const start = isLarge || this.pageCount > reach ? 0 : this.halfPoint
      entry = this.search(start, this.pageCount, pages, alignment, reach)
    }
    this.wordsScannedSum += this.wordsScanned
    if (entry === IOVA_NONE) return IOVA_NONE
    this.mark(entry, pages)
    this.pagesUsed += pages
    const end = entry + pages
    if (isLarge) this.largeHint = end
    else this.smallHint = (end + BLOCK_ENTRIES - 1) & ~(BLOCK_ENTRIES - 1)
    return entry
  }

  /** Would there be such a run among the first `reach` entries if nothing was allocated? */
  readonly canEverFit = (pages: number, alignment: number, reach: number): boolean => {
    return this.reservedEnd * alignment + pages <= reach - 1
  }

  /** Gives `pages` entries from `entry` on back. */
  readonly free = (entry: number, pages: number): void => {
    const words = this.words
    const end = entry + pages
    if (entry < this.reservedEnd || end > this.pageCount) fail("an IOVA outside the window was freed")
    this.wordsScanned = ((end - 1) >> 6) - (entry >> 6) + 1
    this.wordsScannedSum += this.wordsScanned
    let index = entry
    while (index < end) {
      const stop = wordEnd(index, end)
      const bits = bitsOf(index, stop)
      if ((words[index >> 5]! & bits) !== bits) fail("an IOVA that is not allocated was freed")
      words[index >> 5]! &= ~bits
      index = stop
    }
    this.pagesUsed -= pages
  }

  /** Is this entry allocated or reserved? */
  readonly isUsed = (entry: number): boolean => {
    return (this.words[entry >> 5]! & (1 << (entry & 31))) !== 0
  }

  private readonly mark = (entry: number, pages: number): void => {
    const words = this.words
    const end = entry + pages
    let index = entry
    while (index < end) {
      const stop = wordEnd(index, end)
      words[index >> 5]! |= bitsOf(index, stop)
      index = stop
    }
  }

  /** First aligned free run in [from, to - 1), and within reach: the last entry of the range is left alone. */
  private readonly search = (from: number, to: number, pages: number, alignment: number, reach: number): number => {
    const words = this.words
    const limit = (to < reach ? to : reach) - 1
    let start = (from + alignment - 1) & -alignment
    /** Entries from start up to here are free. */
    let index = start
    let lastWord = -1
    while (start + pages <= limit) {
      if (index >> 6 !== lastWord) {
        lastWord = index >> 6
        this.wordsScanned++
      }
      const stop = wordEnd(index, start + pages)
      const word = words[index >> 5]!
      const used = word & bitsOf(index, stop)
      if (used === 0) {
        if (stop === start + pages) return start
        index = stop
      } else {
        // Behind the used entry, and behind those that follow it without a gap in the same word.
        const bit = lowestBit(used)
        const gaps = ~(word >> bit)
        const behind = gaps === 0 ? (index | 31) + 1 : (index & ~31) + bit + lowestBit(gaps)
        start = (behind + alignment - 1) & -alignment
        index = start
      }
    }
    return IOVA_NONE
  }
}

/** Number of the lowest bit that is set. */
const lowestBit = (word: number): number => 31 - Math.clz32(word & -word)

/** The end of a run, or of the 32-bit word that `index` lies in. */
const wordEnd = (index: number, end: number): number => {
  const next = (index | 31) + 1
  return end < next ? end : next
}

/** The bits of entries [index, stop) in their word; 1 to 32 of them. */
const bitsOf = (index: number, stop: number): number => (-1 >>> (32 - stop + index)) << (index & 31)

/** A bitmap over `pageCount` entries, all free but entry 0 where that is reserved. */
export const makeBitmapAllocator = (pageCount: number, isEntryZeroReserved: boolean): BitmapAllocator =>
  new BitmapAllocator(pageCount, isEntryZeroReserved)
