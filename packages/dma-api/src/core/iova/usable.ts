/**
 * The pages of a window that may be handed out at all, and what a request could be given if none of them was in use.
 * Allocators ask once, when they are made, or when a request has failed; never on their way to a range.
 */
import type { PageRange, WindowPages } from "./allocator.ts"
import { alignedPageOf, alignUp } from "./powersOfTwo.ts"

/**
 * The first page behind `page` at which a boundary lies: a multiple of `boundary` pages on the bus, where the
 * window's page 0 is page `startPage`. A range that begins at `page` must end there or before.
 */
export const boundaryBehind = (page: number, boundary: number, startPage: number): number =>
  page + boundary - ((startPage + page) % boundary)

export class UsablePages {
  declare readonly pageCount: number
  /** The first page that can be handed out, but for holes. */
  declare readonly lowest: number
  /** Ranges behind `lowest` that are never handed out: in order, inside the window, with pages between them. */
  declare readonly holes: ReadonlyArray<PageRange>
  declare private readonly startPage: number
  /** Alignments count from here. */
  declare private readonly origin: number

  constructor({ isFirstPageReserved, pageCount, reserved, startPage }: WindowPages) {
    this.pageCount = pageCount
    this.lowest = isFirstPageReserved ? 1 : 0
    this.startPage = startPage
    this.origin = alignedPageOf(startPage)
    this.holes = holesOf(reserved, this.lowest, pageCount)
  }

  /** Are all pages of a range such that they may be handed out? */
  readonly has = (first: number, pages: number): boolean => {
    const { holes } = this
    const end = first + pages
    if (first < this.lowest || end > this.pageCount) return false
    for (let index = 0; index < holes.length; index++) {
      const { firstPage, pageCount } = holes[index]!
      if (first < firstPage + pageCount && end > firstPage) return false
    }
    return true
  }

  /** Is there a place for such a range in [from, to)? A boundary of 0 is none. */
  readonly hasPlace = (from: number, to: number, pages: number, alignment: number, boundary = 0): boolean => {
    let start = Math.max(from, this.lowest)
    for (const { firstPage, pageCount } of this.holes) {
      if (this.isPlaceBetween(start, Math.min(to, firstPage), pages, alignment, boundary)) return true
      start = Math.max(start, firstPage + pageCount)
    }
    return this.isPlaceBetween(start, Math.min(to, this.pageCount), pages, alignment, boundary)
  }

  private readonly isPlaceBetween = (
    from: number,
    to: number,
    pages: number,
    alignment: number,
    boundary: number
  ): boolean => {
    let first = alignUp(from, alignment, this.origin)
    if (boundary === 0) return first + pages <= to
    if (pages > boundary) return false
    while (first + pages <= to) {
      const behind = boundaryBehind(first, boundary, this.startPage)
      if (first + pages <= behind) return true
      first = alignUp(behind, alignment, this.origin)
    }
    return false
  }
}

/** Reserved ranges as they lie in [lowest, pageCount), those that touch made one. */
function holesOf(reserved: ReadonlyArray<PageRange>, lowest: number, pageCount: number): ReadonlyArray<PageRange> {
  const holes: Array<PageRange> = []
  for (const range of reserved.toSorted((one, other) => one.firstPage - other.firstPage)) {
    let firstPage = Math.max(lowest, range.firstPage)
    const end = Math.min(pageCount, range.firstPage + range.pageCount)
    if (firstPage >= end) continue
    const before = holes.at(-1)
    const beforeEnd = before === undefined ? -1 : before.firstPage + before.pageCount
    if (before !== undefined && beforeEnd >= firstPage) {
      holes.pop()
      firstPage = before.firstPage
    }
    holes.push({ firstPage, pageCount: Math.max(end, beforeEnd) - firstPage })
  }
  return holes
}
