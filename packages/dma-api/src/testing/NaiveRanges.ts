/**
 * The oracle of IOVA allocators: a window's entries as an array of booleans, one bitmap allocator's policy
 * spelt out entry by entry, and ranges that are asked about by linear search. Slow, and short enough to believe.
 */
import { IOVA_NONE } from "../core/iova/allocator.ts"
import { BLOCK_ENTRIES, SMALL_PAGES_MAX } from "../core/iova/bitmap.ts"

export class NaiveRanges {
  /** used[entry]: allocated or reserved. */
  readonly used: Array<boolean>
  /** 64-bit words that the last allocation looked at. */
  wordsScanned = 0
  private readonly half: number
  private smallHint = 0
  private largeHint: number
  private readonly startPage: number

  /** `startPage` is the bus page of the window's first entry: alignments and boundaries are those of the bus. */
  constructor(pageCount: number, isEntryZeroReserved: boolean, startPage = 0) {
    this.startPage = startPage
    this.used = Array.from({ length: pageCount }, (_, entry) => isEntryZeroReserved && entry === 0)
    this.half = Math.floor(pageCount / 2)
    this.largeHint = this.half
  }

  /** The range that the policy chooses, now used; or IOVA_NONE. */
  allocate(pages: number, alignment = 1, reach = this.used.length, boundary = 0): number {
    const count = this.used.length
    const isLarge = pages > SMALL_PAGES_MAX
    const ownEnd = isLarge ? count : this.half
    const hint = isLarge ? this.largeHint : this.smallHint
    const passes =
      reach >= ownEnd
        ? [
            [hint, ownEnd],
            [isLarge ? this.half : 0, ownEnd]
          ]
        : [
            [reach === 0 ? 0 : hint % reach, reach],
            [0, reach]
          ]
    passes.push([isLarge || reach < count ? 0 : this.half, Math.min(count, reach)])
    this.wordsScanned = 0
    for (const [from, to] of passes) {
      const entry = this.firstFit(from!, to!, pages, alignment, boundary)
      if (entry === IOVA_NONE) continue
      this.used.fill(true, entry, entry + pages)
      const end = entry + pages
      if (isLarge) this.largeHint = end
      else this.smallHint = Math.ceil(end / BLOCK_ENTRIES) * BLOCK_ENTRIES
      return entry
    }
    return IOVA_NONE
  }

  free(entry: number, pages: number): void {
    this.used.fill(false, entry, entry + pages)
  }

  /** The last entry of a range that is searched is left alone. */
  private firstFit(from: number, to: number, pages: number, alignment: number, boundary: number): number {
    const lookedAt = new Set<number>()
    let found = IOVA_NONE
    let start = this.alignedFrom(from, alignment)
    while (found === IOVA_NONE && start + pages <= to - 1) {
      let entry = start
      while (entry < start + pages) {
        lookedAt.add(Math.floor(entry / 64))
        if (this.used[entry]) break
        entry++
      }
      if (entry < start + pages) start = this.alignedFrom(entry + 1, alignment)
      else if (!this.isAcross(start, pages, boundary)) found = start
      else if (pages > boundary) break
      else {
        start = this.behindBoundary(start, alignment, boundary)
        // Behind the boundary it is a new search.
        this.wordsScanned += lookedAt.size
        lookedAt.clear()
      }
    }
    this.wordsScanned += lookedAt.size
    return found
  }

  private alignedFrom(from: number, alignment: number): number {
    let entry = from
    while ((this.startPage + entry) % alignment !== 0) entry++
    return entry
  }

  private isAcross(start: number, pages: number, boundary: number): boolean {
    const blockOf = (entry: number): number => Math.floor((this.startPage + entry) / boundary)
    return boundary > 0 && blockOf(start) !== blockOf(start + pages - 1)
  }

  /** The next place behind the boundary that a run from `start` would cross. */
  private behindBoundary(start: number, alignment: number, boundary: number): number {
    let entry = start + 1
    while (!this.isAcross(start, entry - start + 1, boundary)) entry++
    return this.alignedFrom(entry, alignment)
  }
}

/** A range of bus addresses, [start, start + sizeBytes). */
export interface BusRange {
  readonly busAddr: number
  readonly sizeBytes: number
}

/** Two ranges of the list that share a page, or undefined. */
export function findOverlap(
  ranges: ReadonlyArray<BusRange>,
  pageBytes: number
): readonly [BusRange, BusRange] | undefined {
  const firstPage = (range: BusRange) => Math.floor(range.busAddr / pageBytes)
  const lastPage = (range: BusRange) => Math.floor((range.busAddr + range.sizeBytes - 1) / pageBytes)
  const sorted = [...ranges].sort((left, right) => left.busAddr - right.busAddr)
  for (let index = 1; index < sorted.length; index++) {
    const before = sorted[index - 1]!
    const after = sorted[index]!
    if (firstPage(after) <= lastPage(before)) return [before, after]
  }
  return undefined
}
