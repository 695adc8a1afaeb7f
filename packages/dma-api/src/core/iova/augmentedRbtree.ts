/**
 * A red-black tree of allocated ranges in which each node also knows the largest gap below it: the answer to the
 * linear walk of the tree of 2013. Every request takes a naturally aligned block of a power of two of pages, so
 * a gap's worth is the largest such block in it, and "a subtree holds a gap for this request" is exact: no subtree
 * is entered in vain, and a search is one descent to the limit, one climb and one descent, whatever is live.
 *
 * The policy is otherwise that of the tree of 2013: the highest place below the limit, below 4 GiB first.
 * A range's gap is the free space right below it; a node at the window's end, which is never freed, owns the
 * highest one. A gap that the limit cuts through is looked at for itself.
 *
 * MODEL: an answer to the question that the talk leaves open, not a transcript of a merged allocator; the tree
 * proposed for Linux in May 2026 keeps gaps in pages, beside a second field clamped to 32 bits.
 */
import { assert, fail } from "@vnic/sim/core"
import { IOVA_NONE as iovaNone, WORK_CACHE_LINES, WORK_NAMES, WORK_NODES, type IovaWindow } from "./allocator.ts"
import { makeOneLockAllocator, treeStepCosts, type OneLockAllocator, type RangeStructure } from "./oneLock.ts"
import { alignDown, alignedPageOf, largestOrderIn, orderFrom, powerOfTwoFrom } from "./powersOfTwo.ts"
import * as Node from "./redBlack.ts"
import { UsablePages } from "./usable.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const IOVA_NONE = iovaNone
const { END, FIRST, LEFT, MOST_ROOM, NEXT, NIL, PARENT, PREVIOUS, RIGHT, ROOM } = Node

export class AugmentedRbtree implements RangeStructure {
  pagesUsed = 0
  readonly steps = new Float64Array(WORK_NAMES.length)
  readonly tree = new Node.RedBlack(true)
  declare private readonly pageCount: number
  declare private readonly usable: UsablePages
  /** Alignments count from here. */
  declare private readonly origin: number
  /** The limit that is tried first. */
  declare private readonly limit32: number

  constructor(window: IovaWindow) {
    const { pageCount } = window
    assert(pageCount >= 2 && pageCount <= 2 ** 30, "window size out of range")
    this.pageCount = pageCount
    this.usable = new UsablePages(window)
    this.origin = alignedPageOf(window.startPage)
    this.limit32 = Math.min(pageCount, window.pagesBelow4GiB)
    const { tree } = this
    for (const range of [...this.usable.holes, { firstPage: pageCount, pageCount: 1 }]) {
      const below = tree.last
      const node = tree.take(range.firstPage, range.firstPage + range.pageCount)
      tree.nodes[node + ROOM] = largestOrderIn(this.gapFirst(below), range.firstPage, this.origin)
      tree.insertBetween(node, below, NIL)
    }
  }

  readonly allocate = (pages: number, alignment: number, reach: number): number => {
    const { steps, tree } = this
    const order = orderFrom(alignment > pages ? alignment : pages)
    const limit = reach < this.pageCount ? reach : this.pageCount
    tree.visits = 0
    tree.relinked = 0
    let page: number = IOVA_NONE
    if (limit > this.limit32) page = this.place(order, this.limit32)
    if (page === IOVA_NONE) page = this.place(order, limit)
    if (page !== IOVA_NONE) this.pagesUsed += pages
    steps[WORK_NODES] = tree.visits
    steps[WORK_CACHE_LINES] = tree.visits + tree.relinked
    return page
  }

  /** Takes the highest block of that order below `limit`. */
  private readonly place = (order: number, limit: number): number => {
    const { tree } = this
    const nodes = tree.nodes
    if (nodes[tree.root + MOST_ROOM]! < order) {
      tree.visits++
      return IOVA_NONE
    }
    if (limit === this.pageCount) return this.insertBelow(this.highestWithin(tree.root, order), order)
    const owner = this.firstFrom(limit)
    const below = nodes[owner + PREVIOUS]!
    const cut = alignDown(limit - (1 << order), 1 << order, this.origin)
    if (cut >= this.gapFirst(below)) return this.insert(cut, order, below, owner)
    const lower = this.highestBelow(owner, order)
    return lower === NIL ? IOVA_NONE : this.insertBelow(lower, order)
  }

  /** The first node that begins at or above a page; the one at the window's end does. */
  private readonly firstFrom = (page: number): number => {
    const { tree } = this
    const nodes = tree.nodes
    let node = tree.root
    let found: number = NIL
    while (node !== NIL) {
      tree.visits++
      if (nodes[node + FIRST]! >= page) {
        found = node
        node = nodes[node + LEFT]!
      } else node = nodes[node + RIGHT]!
    }
    return found
  }

  /** Where the gap above a range begins; NIL stands for what lies below the window. */
  private readonly gapFirst = (below: number): number => {
    return below === NIL ? this.usable.lowest : this.tree.nodes[below + END]!
  }

  /** The highest node below `from` whose gap holds a block of that order, or NIL. */
  private readonly highestBelow = (from: number, order: number): number => {
    const { tree } = this
    const nodes = tree.nodes
    let node = from
    for (;;) {
      const left = nodes[node + LEFT]!
      if (nodes[left + MOST_ROOM]! >= order) return this.highestWithin(left, order)
      // Nothing to the left of here: on to the first ancestor that lies below.
      let child: number
      do {
        child = node
        node = nodes[child + PARENT]!
        if (node === NIL) return NIL
        tree.visits++
      } while (nodes[node + LEFT] === child)
      if (nodes[node + ROOM]! >= order) return node
    }
  }

  /** The highest such node of a subtree that has one. */
  private readonly highestWithin = (top: number, order: number): number => {
    const { tree } = this
    const nodes = tree.nodes
    let node = top
    let visits = 0
    for (;;) {
      visits++
      const right = nodes[node + RIGHT]!
      if (nodes[right + MOST_ROOM]! >= order) node = right
      else if (nodes[node + ROOM]! >= order) break
      else node = nodes[node + LEFT]!
    }
    tree.visits += visits
    return node
  }

  /** Puts a block at the upper end of a node's gap, which holds one. */
  private readonly insertBelow = (owner: number, order: number): number => {
    const nodes = this.tree.nodes
    const page = alignDown(nodes[owner + FIRST]! - (1 << order), 1 << order, this.origin)
    return this.insert(page, order, nodes[owner + PREVIOUS]!, owner)
  }

  /** Puts a block into the gap between two neighbours, which it divides in two. */
  private readonly insert = (page: number, order: number, below: number, above: number): number => {
    const { tree } = this
    const blockEnd = page + (1 << order)
    const node = tree.take(page, blockEnd)
    const nodes = tree.nodes
    nodes[node + ROOM] = largestOrderIn(this.gapFirst(below), page, this.origin)
    nodes[above + ROOM] = largestOrderIn(blockEnd, nodes[above + FIRST]!, this.origin)
    tree.insertBetween(node, below, above)
    return page
  }

  readonly free = (page: number, pages: number): void => {
    const { steps, tree } = this
    tree.visits = 0
    tree.relinked = 0
    const node = tree.find(page)
    const nodes = tree.nodes
    const size = nodes[node + END]! - nodes[node + FIRST]!
    if (node === NIL || nodes[node + FIRST] !== page || size < pages || !this.usable.has(page, pages)) {
      fail("a range was freed that is not allocated")
    }
    const above = nodes[node + NEXT]!
    nodes[above + ROOM] = largestOrderIn(this.gapFirst(nodes[node + PREVIOUS]!), nodes[above + FIRST]!, this.origin)
    tree.erase(node)
    this.pagesUsed -= pages
    steps[WORK_NODES] = tree.visits
    steps[WORK_CACHE_LINES] = tree.visits + tree.relinked
  }

  readonly canEverFit = (pages: number, alignment: number, reach: number): boolean => {
    if (pages > this.pageCount || alignment > this.pageCount) return false
    const size = powerOfTwoFrom(Math.max(pages, alignment))
    return this.usable.hasPlace(0, reach, size, size)
  }
}

/** The augmented tree under one lock. */
export const makeAugmentedRbtreeAllocator = (window: IovaWindow): OneLockAllocator =>
  makeOneLockAllocator(window, new AugmentedRbtree(window), {
    lockName: "iova tree",
    lockAcrossTableWrite: "none",
    stepCosts: treeStepCosts(window.costs)
  })
