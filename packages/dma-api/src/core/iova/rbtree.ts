/**
 * The red-black tree of 2013: one tree of allocated ranges, searched from the top down, from one cached node.
 *
 * A request takes a power of two of pages, naturally aligned: three pages use four. The search goes from range to
 * range downwards and takes the highest place that fits, so its cost is the number of ranges it passes. It begins
 * at the top, but for a search with exactly the 32-bit limit: that begins below the range which such a search
 * was given last, until a range at or above that one is freed and the one behind takes its place. Where the mask
 * allows more than 32 bits, each request tries below 4 GiB first.
 *
 * What follows: one ring whose buffers come and go in order visits one node a request; a second ring's frees move
 * the search back above the first ring's ranges, which it then walks through one by one. And room that was
 * passed because it was too small or not aligned is not seen again until a range above is freed: the tree can
 * be full for a request that would fit.
 *
 * [Linux 3.10 drivers/iommu/iova.c alloc_iova, find_iova, free_iova; intel-iommu.c intel_alloc_iova]
 * MODEL: an unmap finds and erases in one critical section; 3.10 takes the lock for each.
 * MODEL: page 1 can be handed out; 3.10 stops one page above the lowest that it means to use.
 */
import { assert, fail } from "@vnic/sim/core"
import { IOVA_NONE as iovaNone, WORK_CACHE_LINES, WORK_NAMES, WORK_NODES, type IovaWindow } from "./allocator.ts"
import { makeOneLockAllocator, treeStepCosts, type OneLockAllocator, type RangeStructure } from "./oneLock.ts"
import { alignDown as alignDownFrom, alignedPageOf, powerOfTwoFrom } from "./powersOfTwo.ts"
import { END as end, FIRST as first, NEXT, NIL as nil, PREVIOUS as previous, RedBlack } from "./redBlack.ts"
import { UsablePages } from "./usable.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const IOVA_NONE = iovaNone
const NIL = nil
const FIRST = first
const END = end
const PREVIOUS = previous
const alignDown = alignDownFrom

export class Rbtree implements RangeStructure {
  pagesUsed = 0
  readonly steps = new Float64Array(WORK_NAMES.length)
  readonly tree = new RedBlack(false)
  declare private readonly pageCount: number
  declare private readonly usable: UsablePages
  /** Alignments count from here. */
  declare private readonly origin: number
  /** The limit of 32-bit searches. */
  declare private readonly limit32: number
  /** The range that a 32-bit search was given last, or the next one above what was freed since; NIL: the top. */
  private cached32: number = NIL

  constructor(window: IovaWindow) {
    const { pageCount } = window
    assert(pageCount >= 2 && pageCount <= 2 ** 30, "window size out of range")
    this.pageCount = pageCount
    this.usable = new UsablePages(window)
    this.origin = alignedPageOf(window.startPage)
    this.limit32 = Math.min(pageCount, window.pagesBelow4GiB)
    this.tree.reserve(this.usable.holes)
  }

  readonly allocate = (pages: number, alignment: number, reach: number): number => {
    const size = powerOfTwoFrom(pages)
    const step = alignment > size ? alignment : size
    const limit = reach < this.pageCount ? reach : this.pageCount
    this.tree.relinked = 0
    this.steps[WORK_NODES] = 0
    this.steps[WORK_CACHE_LINES] = 0
    // Beyond the window sizes and places would leave the range of 32-bit integers.
    if (pages > this.pageCount) return IOVA_NONE
    let page: number = IOVA_NONE
    if (limit > this.limit32 && this.limit32 > 0) page = this.place(size, step, this.limit32)
    if (page === IOVA_NONE) page = this.place(size, step, limit)
    if (page !== IOVA_NONE) this.pagesUsed += pages
    this.steps[WORK_CACHE_LINES] = this.steps[WORK_NODES]! + this.tree.relinked
    return page
  }

  /** Walks down from the cached node or the top to the first gap that fits below `limit`, and puts a range there. */
  private readonly place = (size: number, alignment: number, limit: number): number => {
    const { limit32, origin, tree } = this
    const nodes = tree.nodes
    let above: number = limit === limit32 ? this.cached32 : NIL
    let below = above === NIL ? tree.last : nodes[above + PREVIOUS]!
    /** Behind the free pages that are looked at. */
    let gapEnd = above === NIL ? limit : nodes[above + FIRST]!
    let page = alignDown(gapEnd - size, alignment, origin)
    let visits = 0
    while (below !== NIL) {
      visits++
      const belowFirst = nodes[below + FIRST]!
      if (belowFirst < gapEnd) {
        if (page >= nodes[below + END]!) break
        gapEnd = belowFirst
        page = alignDown(gapEnd - size, alignment, origin)
      }
      above = below
      below = nodes[below + PREVIOUS]!
    }
    this.steps[WORK_NODES]! += visits
    if (page < this.usable.lowest) return IOVA_NONE
    const node = tree.take(page, page + size)
    tree.insertBetween(node, below, above)
    if (limit === limit32) this.cached32 = node
    return page
  }

  readonly free = (page: number, pages: number): void => {
    const { tree } = this
    tree.visits = 0
    tree.relinked = 0
    const node = tree.find(page)
    const nodes = tree.nodes
    const isWhole = nodes[node + FIRST] === page && nodes[node + END] === page + powerOfTwoFrom(pages)
    if (node === NIL || !isWhole || !this.usable.has(page, pages)) {
      fail("a range was freed that is not allocated")
    }
    if (this.cached32 !== NIL && page >= nodes[this.cached32 + FIRST]!) {
      const next = nodes[node + NEXT]!
      this.cached32 = next !== NIL && nodes[next + FIRST]! < this.limit32 ? next : NIL
    }
    tree.erase(node)
    this.pagesUsed -= pages
    this.steps[WORK_NODES] = tree.visits
    this.steps[WORK_CACHE_LINES] = tree.visits + tree.relinked
  }

  readonly canEverFit = (pages: number, alignment: number, reach: number): boolean => {
    if (pages > this.pageCount) return false
    const size = powerOfTwoFrom(pages)
    return this.usable.hasPlace(0, reach, size, Math.max(size, alignment))
  }
}

/** The tree of 2013 under its lock. */
export const makeRbtreeAllocator = (window: IovaWindow): OneLockAllocator =>
  makeOneLockAllocator(window, new Rbtree(window), {
    lockName: "iova tree",
    lockAcrossTableWrite: "none",
    stepCosts: treeStepCosts(window.costs)
  })
