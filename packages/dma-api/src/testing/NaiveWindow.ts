/**
 * The oracle of all IOVA allocators: a window's pages one by one, each with the range that has it. It has no
 * policy: it says what would be right to hand out, and what is wrong with what was handed out.
 */

/** A request for a range, as `IovaAllocator.beginAllocate` has it. */
export interface RangeRequest {
  readonly pages: number
  readonly alignment: number
  readonly reach: number
}

export class NaiveWindow {
  /** owners[page]: the first page of the range that has it; -1 of a free page. */
  readonly owners: Array<number>
  private readonly lowest: number

  constructor(pageCount: number, isFirstPageReserved: boolean) {
    this.owners = Array.from({ length: pageCount }, () => -1)
    this.lowest = isFirstPageReserved ? 1 : 0
  }

  /** Every place where a range may begin, in ascending order. */
  places({ alignment, pages, reach }: RangeRequest): ReadonlyArray<number> {
    const found: Array<number> = []
    const end = Math.min(reach, this.owners.length)
    for (let first = Math.ceil(this.lowest / alignment) * alignment; first + pages <= end; first += alignment) {
      if (this.isFree(first, pages)) found.push(first)
    }
    return found
  }

  /** Takes what an allocator handed out; what is wrong with that, or "". */
  take(first: number, { alignment, pages, reach }: RangeRequest): string {
    if (!Number.isInteger(first) || first < this.lowest) return `page ${first} is not for use`
    if (first + pages > this.owners.length) return `${first}+${pages} leaves the window`
    if (first + pages > reach) return `${first}+${pages} is out of reach (${reach})`
    if (first % alignment !== 0) return `${first} is not a multiple of ${alignment}`
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
    for (let page = first; page < first + pages; page++) if (this.owners[page] !== -1) return false
    return true
  }
}
