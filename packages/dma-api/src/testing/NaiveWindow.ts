/**
 * The oracle of all IOVA allocators: a window's pages one by one, each with the range that has it. It has no
 * policy: it says what would be right to hand out, and what is wrong with what was handed out.
 */
import type { PageRange } from "../core/iova/allocator.ts"

/** A request for a range, as `IovaAllocator.beginAllocate` has it. */
export interface RangeRequest {
  readonly pages: number
  readonly alignment: number
  readonly reach: number
  /** 0 when left out. */
  readonly boundary?: number
}

/** What is special about a window; nothing when left out. */
export interface NaiveWindowOptions {
  /** The bus page that page 0 is. */
  readonly startPage?: number
  readonly reserved?: ReadonlyArray<PageRange>
}

export class NaiveWindow {
  /** owners[page]: the first page of the range that has it; -1 of a free page. */
  readonly owners: Array<number>
  private readonly lowest: number
  private readonly startPage: number
  private readonly isReserved: ReadonlyArray<boolean>

  constructor(pageCount: number, isFirstPageReserved: boolean, options: NaiveWindowOptions = {}) {
    const { reserved = [], startPage = 0 } = options
    this.owners = Array.from({ length: pageCount }, () => -1)
    this.lowest = isFirstPageReserved ? 1 : 0
    this.startPage = startPage
    this.isReserved = this.owners.map((_, page) =>
      reserved.some((range) => page >= range.firstPage && page < range.firstPage + range.pageCount)
    )
  }

  /** Every place where a range may begin, in ascending order. */
  places({ alignment, boundary = 0, pages, reach }: RangeRequest): ReadonlyArray<number> {
    const found: Array<number> = []
    const end = Math.min(reach, this.owners.length)
    for (let first = this.lowest; first + pages <= end; first++) {
      const isAligned = (this.startPage + first) % alignment === 0
      if (isAligned && this.isFree(first, pages) && !this.isAcross(first, pages, boundary)) found.push(first)
    }
    return found
  }

  /** Takes what an allocator handed out; what is wrong with that, or "". */
  take(first: number, { alignment, boundary = 0, pages, reach }: RangeRequest): string {
    if (!Number.isInteger(first) || first < this.lowest) return `page ${first} is not for use`
    if (first + pages > this.owners.length) return `${first}+${pages} leaves the window`
    if (first + pages > reach) return `${first}+${pages} is out of reach (${reach})`
    if ((this.startPage + first) % alignment !== 0) return `${first} is not a multiple of ${alignment} on the bus`
    if (this.isAcross(first, pages, boundary)) return `${first}+${pages} crosses a multiple of ${boundary}`
    if (!this.isFree(first, pages)) return `${first}+${pages} overlaps a range that is in use`
    this.owners.fill(first, first, first + pages)
    return ""
  }

  /** Takes a range back. */
  give(first: number, pages: number): void {
    this.owners.fill(-1, first, first + pages)
  }

  /** Pages that ranges have. */
  pagesUsed(): number {
    return this.owners.filter((owner) => owner >= 0).length
  }

  private isFree(first: number, pages: number): boolean {
    for (let page = first; page < first + pages; page++) {
      if (this.owners[page] !== -1 || this.isReserved[page]) return false
    }
    return true
  }

  /** Do its first and its last page differ in which multiple of the boundary they are behind? */
  private isAcross(first: number, pages: number, boundary: number): boolean {
    const blockOf = (page: number): number => Math.floor((this.startPage + page) / boundary)
    return boundary > 0 && blockOf(first) !== blockOf(first + pages - 1)
  }
}
