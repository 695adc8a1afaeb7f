/**
 * The red-black tree of today's kernel, behind the magazines: as in 2013 allocated ranges searched from the top
 * down, but with an anchor above the window, so that a search always has a node to begin at; with two cached nodes,
 * one for limits up to 4 GiB and one for wider ones; with one retry, from the limit down to where the first try
 * began; and with a note of the request that failed last, so that none that asks for as much walks again in vain below
 * 4 GiB before something there is freed. Sizes are what is asked for, alignment is the caller's.
 *
 * MODEL: the kernel notes a size alone; the devices of one of its domains reach equally far, as a rule. Here the limit
 * and the alignment are noted too, so that what failed for a device that reaches less does not fail for the others.
 *
 * [Linux 6.12 drivers/iommu/iova.c __alloc_and_insert_iova_range, __cached_rbnode_delete_update, iova_find_limit]
 */
import { assert, fail } from "@vnic/sim/core"
import { IOVA_NONE as iovaNone, type IovaWindow } from "./allocator.ts"
import { alignDown as alignDownFrom, alignedPageOf } from "./powersOfTwo.ts"
import { END as end, FIRST as first, NEXT, NIL as nil, PREVIOUS as previous, RedBlack } from "./redBlack.ts"
import { UsablePages } from "./usable.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const IOVA_NONE = iovaNone
const NIL = nil
const FIRST = first
const END = end
const PREVIOUS = previous
const alignDown = alignDownFrom

/** The anchor ends behind every limit. */
const NEVER = 2 ** 31 - 1

export class AnchoredTree {
  /** Pages in ranges that are in the tree, whoever has them. */
  pagesUsed = 0
  /** Nodes visited and cache lines touched by the operation done last. */
  visits = 0
  lines = 0
  readonly tree = new RedBlack(false)
  declare readonly usable: UsablePages
  /** Alignments count from here. */
  declare private readonly origin: number
  declare readonly pageCount: number
  /** Limits up to this one are low ones. */
  declare private readonly limit32: number
  declare private readonly anchor: number
  /** Where searches with a low limit begin, and others: what was given last there, or what is above what was freed. */
  declare private cached32: number
  declare private cached: number
  /** Requests with a low limit fail at once that have this size, this alignment and this limit, or ask for more. */
  declare private failingSize: number
  private failingAlignment = 1
  declare private failingLimit: number

  constructor(window: IovaWindow) {
    const { pageCount, pagesBelow4GiB } = window
    assert(pageCount >= 2 && pageCount <= 2 ** 30, "window size out of range")
    this.pageCount = pageCount
    this.usable = new UsablePages(window)
    this.origin = alignedPageOf(window.startPage)
    this.limit32 = pagesBelow4GiB
    this.failingSize = pagesBelow4GiB
    this.failingLimit = pagesBelow4GiB
    this.tree.reserve(this.usable.holes)
    this.anchor = this.tree.take(pageCount, NEVER)
    this.tree.insertBetween(this.anchor, this.tree.last, NIL)
    this.cached32 = this.anchor
    this.cached = this.anchor
  }

  /** The first page of a new range below `limit`, a page of the window or its end; or IOVA_NONE. */
  readonly allocate = (pages: number, alignment: number, limit: number): number => {
    const { tree } = this
    tree.visits = 0
    tree.relinked = 0
    const page = this.search(pages, alignment, limit)
    if (page !== IOVA_NONE) this.pagesUsed += pages
    this.visits = tree.visits
    this.lines = tree.visits + tree.relinked
    return page
  }

  private readonly search = (pages: number, alignment: number, limit: number): number => {
    const isLow = limit <= this.limit32
    if (isLow && this.hasFailed(pages, alignment, limit)) return IOVA_NONE
    const cached = isLow ? this.cached32 : this.cached
    const cachedEnd = this.tree.nodes[cached + END]!
    let page = this.walk(cached, pages, alignment, limit, this.usable.lowest)
    if (page === IOVA_NONE && cachedEnd <= limit) {
      const top = isLow ? this.tree.behind(limit) : this.anchor
      page = this.walk(top, pages, alignment, limit, cachedEnd)
    }
    if (page === IOVA_NONE) this.noteFailing(pages, alignment, limit)
    return page
  }

  private readonly hasFailed = (pages: number, alignment: number, limit: number): boolean => {
    return pages >= this.failingSize && alignment >= this.failingAlignment && limit <= this.failingLimit
  }

  private readonly noteFailing = (pages: number, alignment: number, limit: number): void => {
    this.failingSize = pages
    this.failingAlignment = alignment
    this.failingLimit = limit
  }

  /** Goes down from a node to the first gap that fits between `bottom` and `limit`, and puts a range there. */
  private readonly walk = (from: number, pages: number, alignment: number, limit: number, bottom: number): number => {
    const { origin, tree } = this
    const nodes = tree.nodes
    let gapEnd = limit
    let above: number
    let below = from
    let page: number
    let visits = 0
    do {
      visits++
      const belowFirst = nodes[below + FIRST]!
      if (belowFirst < gapEnd) gapEnd = belowFirst
      page = alignDown(gapEnd - pages, alignment, origin)
      above = below
      below = nodes[below + PREVIOUS]!
    } while (below !== NIL && page < nodes[below + END]! && page >= bottom)
    tree.visits += visits
    if (page < bottom) return IOVA_NONE
    const node = tree.take(page, page + pages)
    tree.insertBetween(node, below, above)
    if (page + pages <= this.limit32) this.cached32 = node
    else this.cached = node
    return page
  }

  /** Gives back the range that begins at a page; returns its size. */
  readonly free = (page: number): number => {
    const { limit32, tree } = this
    tree.visits = 0
    tree.relinked = 0
    const node = tree.find(page)
    const nodes = tree.nodes
    if (node === NIL || nodes[node + FIRST] !== page || !this.usable.has(page, 1)) {
      fail("a range was freed that is not allocated")
    }
    const pageEnd = nodes[node + END]!
    const { cached, cached32 } = this
    if (node === cached32 || (pageEnd <= limit32 && page >= nodes[cached32 + FIRST]!))
      this.cached32 = nodes[node + NEXT]!
    if (page >= nodes[cached + FIRST]!) this.cached = nodes[node + NEXT]!
    if (page < limit32) this.noteFailing(limit32, 1, limit32)
    tree.erase(node)
    this.pagesUsed -= pageEnd - page
    this.visits = tree.visits
    this.lines = tree.visits + tree.relinked
    return pageEnd - page
  }
}
