/**
 * A window's pages as bits, 64 to a word: set for a page in use. Looking, setting and clearing are what every
 * allocator made of a bitmap shares; which part is searched, and from where, is its policy.
 */
import { assert, fail } from "@vnic/sim/core"
import {
  CACHE_LINE_BYTES,
  IOVA_NONE as iovaNone,
  WORK_CACHE_LINES as workCacheLines,
  WORK_NAMES,
  WORK_WORDS as workWords,
  type WindowPages
} from "./allocator.ts"
import { alignedPageOf, alignUp as alignUpFrom } from "./powersOfTwo.ts"
import { boundaryBehind, UsablePages } from "./usable.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const IOVA_NONE = iovaNone
const WORK_WORDS = workWords
const WORK_CACHE_LINES = workCacheLines
const alignUp = alignUpFrom
/** log2 of a cache line's bits. */
const LINE_SHIFT = 31 - Math.clz32(CACHE_LINE_BYTES * 8)

export class Bits {
  declare readonly pageCount: number
  /** The pages that can be handed out; the bits of the others are set for ever. */
  declare readonly usable: UsablePages
  /** Words and cache lines that were looked at since they were last set to 0. */
  readonly steps = new Float64Array(WORK_NAMES.length)
  declare private readonly words: Int32Array
  declare private readonly startPage: number
  /** Alignments count from here. */
  declare private readonly origin: number
  /** Of the usable pages, where the way to them is too long for each free. */
  declare private readonly lowest: number
  declare private readonly hasHoles: boolean

  constructor(window: WindowPages) {
    const { pageCount } = window
    assert(pageCount >= 4 && pageCount <= 1 << 28, "bitmap size out of range")
    this.pageCount = pageCount
    this.startPage = window.startPage
    this.origin = alignedPageOf(window.startPage)
    this.usable = new UsablePages(window)
    this.lowest = this.usable.lowest
    this.hasHoles = this.usable.holes.length > 0
    this.words = new Int32Array(Math.ceil(pageCount / 32))
    this.set(0, this.usable.lowest)
    for (const hole of this.usable.holes) this.set(hole.firstPage, hole.pageCount)
  }

  /** An operation begins: its steps are counted from 0. */
  readonly begin = (): void => {
    this.steps[WORK_WORDS] = 0
    this.steps[WORK_CACHE_LINES] = 0
  }

  /**
   * The first run of `pages` free pages in [from, limit) that starts at a multiple of `alignment` on the bus, or
   * IOVA_NONE. One that crosses a boundary is passed over, and the search goes on behind that boundary, as the
   * kernel's does; a boundary of 0 is none. [Linux 6.12 lib/iommu-helper.c iommu_area_alloc]
   *
   * MODEL: the kernel counts boundaries on the bus and alignments from the window's first page; its windows begin at
   * multiples of whatever is asked for, where that is the same.
   */
  readonly search = (from: number, limit: number, pages: number, alignment: number, boundary: number): number => {
    // `alignUp`, written out: this is the way of most.
    const start = from + ((this.origin - from) & (alignment - 1))
    const end = start + pages
    // Most find room at once, and in one word: small enough to become a part of whoever searches.
    const isInWord = end <= limit && (start & 31) + pages <= 32 && boundary === 0
    if (!isInWord || (this.words[start >> 5]! & bitsOf(start, end)) !== 0) {
      return this.searchOn(start, limit, pages, alignment, boundary)
    }
    this.steps[WORK_WORDS]! += 1
    this.steps[WORK_CACHE_LINES]! += 1
    return start
  }

  /** The search from an aligned page on. */
  private readonly searchOn = (
    from: number,
    limit: number,
    pages: number,
    alignment: number,
    boundary: number
  ): number => {
    const { origin, steps, words } = this
    let start = from
    /** Pages from start up to here are free. */
    let index = start
    let lastWord = -1
    let lastLine = -1
    while (start + pages <= limit) {
      if (index >> 6 !== lastWord) {
        lastWord = index >> 6
        steps[WORK_WORDS]! += 1
        if (index >> LINE_SHIFT !== lastLine) {
          lastLine = index >> LINE_SHIFT
          steps[WORK_CACHE_LINES]! += 1
        }
      }
      const stop = wordEnd(index, start + pages)
      const word = words[index >> 5]!
      const used = word & bitsOf(index, stop)
      if (used === 0) {
        if (stop < start + pages) {
          index = stop
          continue
        }
        if (boundary === 0) return start
        const behind = boundaryBehind(start, boundary, this.startPage)
        if (stop <= behind) return start
        if (pages > boundary) return IOVA_NONE
        start = alignUp(behind, alignment, origin)
        index = start
        // What lies behind the boundary is looked at again.
        lastWord = -1
      } else {
        // Behind the used page, and behind those that follow it without a gap in the same word.
        const bit = lowestBit(used)
        const gaps = ~(word >> bit)
        const behind = gaps === 0 ? (index | 31) + 1 : (index & ~31) + bit + lowestBit(gaps)
        start = alignUp(behind, alignment, origin)
        index = start
      }
    }
    return IOVA_NONE
  }

  /** Pages that a search has found are in use from now on. */
  readonly set = (first: number, pages: number): void => {
    const { words } = this
    const end = first + pages
    let index = first
    while (index < end) {
      const stop = wordEnd(index, end)
      words[index >> 5]! |= bitsOf(index, stop)
      index = stop
    }
  }

  /** Pages in use are free again. */
  readonly clear = (first: number, pages: number): void => {
    const { steps, words } = this
    const end = first + pages
    const isInside = first >= this.lowest && end <= this.pageCount
    if (!isInside || (this.hasHoles && !this.usable.has(first, pages))) fail("an IOVA outside the window was freed")
    steps[WORK_WORDS]! += ((end - 1) >> 6) - (first >> 6) + 1
    steps[WORK_CACHE_LINES]! += ((end - 1) >> LINE_SHIFT) - (first >> LINE_SHIFT) + 1
    let index = first
    while (index < end) {
      const stop = wordEnd(index, end)
      const bits = bitsOf(index, stop)
      if ((words[index >> 5]! & bits) !== bits) fail("an IOVA that is not allocated was freed")
      words[index >> 5]! &= ~bits
      index = stop
    }
  }

  /** Is this page in use or reserved? */
  readonly isUsed = (page: number): boolean => {
    return (this.words[page >> 5]! & (1 << (page & 31))) !== 0
  }
}

/** Number of the lowest bit that is set. */
const lowestBit = (word: number): number => 31 - Math.clz32(word & -word)

/** The end of a run, or of the 32-bit word that `index` lies in. */
const wordEnd = (index: number, end: number): number => {
  const next = (index | 31) + 1
  return end < next ? end : next
}

/** The bits of pages [index, stop) in their word; 1 to 32 of them. */
const bitsOf = (index: number, stop: number): number => (-1 >>> (32 - stop + index)) << (index & 31)
