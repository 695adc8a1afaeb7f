/** What trees of ranges are tested with: windows, the rules of red-black trees, and oracles of their policies. */
import { expect } from "vitest"
import type { Host, IovaWindow } from "@vnic/dma-api/core"
import { makePlainHost } from "@vnic/dma-api/core"
import { IOVA_NONE } from "../../src/core/iova/allocator.ts"
import {
  COLOUR,
  END,
  FIRST,
  LEFT,
  MOST_ROOM,
  NEXT,
  NIL,
  NO_ROOM,
  PARENT,
  PREVIOUS,
  RED,
  RIGHT,
  ROOM,
  type RedBlack
} from "../../src/core/iova/redBlack.ts"

export const COSTS = {
  bitmapSearchPs: 50_000,
  bitmapWordPs: 1000,
  treeSearchPs: 30_000,
  treeVisitPs: 10_000,
  magazinePs: 20_000,
  constantPs: 5000
}

/** A window of so many pages, the first reserved, of which all or some lie below 4 GiB. */
export const windowOf = (pageCount: number, pagesBelow4GiB = pageCount, host: Host = makePlainHost()): IovaWindow => ({
  tableName: "IOVA",
  pageCount,
  pageShift: 12,
  startPage: 0,
  isFirstPageReserved: true,
  reserved: [],
  host,
  costs: COSTS,
  pagesBelow4GiB,
  lockAcrossTableWrite: "none"
})

export type Range = readonly [first: number, end: number]

/** Ranges in order, after a look at every rule of the tree. */
export function rangesOf(tree: RedBlack): Array<Range> {
  const { nodes } = tree
  const order: Array<number> = []
  const isRed = (node: number): boolean => nodes[node + COLOUR] === RED
  /** Looks at a subtree; returns its black height. */
  const visit = (node: number, parent: number): number => {
    if (node === NIL) return 0
    const left = nodes[node + LEFT]!
    const right = nodes[node + RIGHT]!
    if (nodes[node + PARENT] !== parent) expect.fail("a node hangs below another one than it says")
    if (isRed(node) && (isRed(left) || isRed(right))) expect.fail("two red in a row")
    const most = Math.max(nodes[node + ROOM]!, nodes[left + MOST_ROOM]!, nodes[right + MOST_ROOM]!)
    if (tree.isAugmented && nodes[node + MOST_ROOM] !== most) expect.fail("a subtree's largest room is another one")
    const leftHeight = visit(left, node)
    order.push(node)
    if (visit(right, node) !== leftHeight) expect.fail("black heights differ")
    return leftHeight + (isRed(node) ? 0 : 1)
  }
  visit(tree.root, NIL)
  if (isRed(tree.root) || isRed(NIL)) expect.fail("the root or NIL is red")
  if (nodes[NIL + MOST_ROOM] !== NO_ROOM) expect.fail("NIL has room")
  if (order.length !== tree.count) expect.fail("the tree has another number of nodes than it says")
  for (const [index, node] of [...order, NIL].entries()) {
    const below = order[index - 1] ?? NIL
    if (nodes[node + PREVIOUS] !== below || nodes[below + NEXT] !== node) expect.fail("neighbours are not linked")
    if (node !== NIL && below !== NIL && nodes[node + FIRST]! < nodes[below + END]!) expect.fail("ranges overlap")
  }
  return order.map((node) => [nodes[node + FIRST]!, nodes[node + END]!])
}

export const roundUp = (pages: number): number => 2 ** Math.ceil(Math.log2(pages))

/** Ranges in a sorted list; pages are looked for one by one. */
class NaiveTree {
  readonly ranges: Array<Range> = []
  /** Ranges that the last search went past, with the one that it ended at. */
  visits = 0
  readonly window: IovaWindow

  constructor(window: IovaWindow) {
    this.window = window
  }

  /** The highest aligned free place in [bottom, top). */
  highest(pages: number, alignment: number, bottom: number, top: number): number {
    for (let page = Math.floor((top - pages) / alignment) * alignment; page >= bottom; page -= alignment) {
      if (this.ranges.every(([first, end]) => end <= page || first >= page + pages)) return page
    }
    return IOVA_NONE
  }

  add(page: number, pages: number): void {
    this.ranges.push([page, page + pages])
    this.ranges.sort(([one], [other]) => one - other)
  }

  /** Takes a range out of the list; returns the first page of the one above, if there is one. */
  take(page: number): { readonly end: number; readonly above: number | undefined } {
    const index = this.ranges.findIndex(([first]) => first === page)
    const [[, end]] = this.ranges.splice(index, 1) as [Range]
    return { end, above: this.ranges[index]?.[0] }
  }
}

/** The policy of 2013: top down, one cached range, sizes rounded up. */
export class NaiveTree2013 extends NaiveTree {
  /** First page of the cached range. */
  cached: number | undefined
  private readonly limit32: number

  constructor(window: IovaWindow) {
    super(window)
    this.limit32 = Math.min(window.pageCount, window.pagesBelow4GiB)
  }

  allocate(pages: number, alignment: number, reach: number): number {
    const size = roundUp(pages)
    this.visits = 0
    for (const limit of reach > this.limit32 ? [this.limit32, reach] : [reach]) {
      const isCached = limit === this.limit32 && this.cached !== undefined
      const top = isCached ? this.cached! : limit
      const page = this.highest(size, Math.max(size, alignment), 1, top)
      const candidates = this.ranges.filter(([first]) => !isCached || first < top)
      const passed = candidates.filter(([first]) => first > page)
      this.visits += passed.length + (page !== IOVA_NONE && passed.length < candidates.length ? 1 : 0)
      if (page === IOVA_NONE) continue
      this.add(page, size)
      if (limit === this.limit32) this.cached = page
      return page
    }
    return IOVA_NONE
  }

  free(page: number): void {
    const { above } = this.take(page)
    if (this.cached === undefined || page < this.cached) return
    this.cached = above !== undefined && above < this.limit32 ? above : undefined
  }
}

/** The policy of Linux 6.12's tree: two cached ranges, one retry, and the note of what failed. */
export class NaiveTree612 extends NaiveTree {
  private readonly limit32: number
  /** The request that failed last. */
  private failing: readonly [pages: number, alignment: number, limit: number]
  /** First pages of the cached ranges; the window's end is the anchor's. */
  private cached32: number
  private cached: number

  constructor(window: IovaWindow) {
    super(window)
    this.limit32 = window.pagesBelow4GiB
    this.failing = [this.limit32, 1, this.limit32]
    this.cached32 = window.pageCount
    this.cached = window.pageCount
  }

  allocate(pages: number, alignment: number, limit: number): number {
    const isLow = limit <= this.limit32
    const [failingPages, failingAlignment, failingLimit] = this.failing
    const isMore = pages >= failingPages && alignment >= failingAlignment && limit <= failingLimit
    if (isLow && isMore) return IOVA_NONE
    const cached = isLow ? this.cached32 : this.cached
    const cachedEnd = this.ranges.find(([first]) => first === cached)?.[1] ?? Infinity
    let page = this.highest(pages, alignment, 1, Math.min(limit, cached))
    if (page === IOVA_NONE && cachedEnd <= limit) page = this.highest(pages, alignment, cachedEnd, limit)
    if (page === IOVA_NONE) {
      this.failing = [pages, alignment, limit]
      return IOVA_NONE
    }
    this.add(page, pages)
    if (page + pages <= this.limit32) this.cached32 = page
    else this.cached = page
    return page
  }

  free(page: number): void {
    const { above = this.window.pageCount, end } = this.take(page)
    if (page === this.cached32 || (end <= this.limit32 && page >= this.cached32)) this.cached32 = above
    if (page >= this.cached) this.cached = above
    if (page < this.limit32) this.failing = [this.limit32, 1, this.limit32]
  }
}

/** The highest naturally aligned block below the limit, below 4 GiB first. */
export class NaiveBlocks extends NaiveTree {
  allocate(pages: number, alignment: number, reach: number): number {
    const size = roundUp(Math.max(pages, alignment))
    const { pagesBelow4GiB } = this.window
    for (const limit of reach > pagesBelow4GiB ? [pagesBelow4GiB, reach] : [reach]) {
      const page = this.highest(size, size, 1, limit)
      if (page === IOVA_NONE) continue
      this.add(page, size)
      return page
    }
    return IOVA_NONE
  }

  free(page: number): void {
    this.take(page)
  }
}
