/**
 * Today's allocator: magazines of freed ranges per CPU and per order, in front of a tree under one lock.
 *
 *     allocate   own magazines · depot of that order · tree · (everything cached goes back) · tree
 *     free       own magazines · depot of that order · (a magazine goes back)
 *
 * Requests below 32 pages are rounded up to powers of two, so that a range fits the next request of its order;
 * those above 32 pages are never cached. Only the loaded magazine is searched for a range below the limit: the
 * previous one and the depot serve when it is empty. Above 4 GiB is handed out only when a request below has
 * failed once, then always.
 *
 * [Linux 6.12 drivers/iommu/iova.c alloc_iova_fast, free_iova_fast, __iova_rcache_get, __iova_rcache_insert;
 * dma-iommu.c iommu_dma_alloc_iova]
 * MODEL: whether 4 GiB have been left is remembered per address space; Linux does so per device.
 */
import { ACCOUNT_IOVA as accountIova } from "@vnic/sim/core"
import { IOVA_NONE as iovaNone, type IovaAllocator, type IovaCosts, type IovaWindow, type Work } from "./allocator.ts"
import { AnchoredTree } from "./anchoredTree.ts"
import { Drain } from "./drain.ts"
import { Magazines, NO_MAGAZINE, ORDER_COUNT } from "./magazines.ts"
import { orderFrom, powerOfTwoFrom } from "./powersOfTwo.ts"
import { Tally } from "./tally.ts"
import type { Host } from "../types.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_IOVA = accountIova
const IOVA_NONE = iovaNone

/** Pages of the largest ranges that are cached. */
const CACHED_PAGES_MAX = 1 << (ORDER_COUNT - 1)
/** Magazines in a bounded depot. */
const DEPOT_MAX = 32
/** Cache lines of a CPU's own: its two pointers with their lock, a magazine's count, the entry. */
const MAGAZINE_LINES = 3
/** Entries of a magazine in a cache line, as a power of two. */
const LINE_ENTRIES_LOG = 3
const UNCACHED = -1

/** What a search that fails is followed by: one with the request's own limit, one of an emptied cache, giving up. */
const TRY_LOW = 0
const TRY_WHOLE = 1
const TRY_DRAINED = 2

export interface RcacheOptions {
  /** "bounded": 32 magazines, others go back to the tree (until 6.1). "trimmed": a list without a bound (6.12). */
  readonly depot: "bounded" | "trimmed"
}

export class RcacheAllocator implements IovaAllocator {
  declare readonly firsts: Int32Array
  declare readonly work: Work
  readonly optPages = CACHED_PAGES_MAX
  pagesUsed = 0
  declare private readonly host: Host
  declare private readonly costs: IovaCosts
  declare private readonly tree: AnchoredTree
  declare private readonly treeLock: number
  declare private readonly magazines: Magazines
  declare private readonly depotLocks: ReadonlyArray<number>
  declare private readonly tally: Tally
  declare private readonly drain: Drain
  declare private readonly isBounded: boolean
  declare private readonly limit32: number
  private isLowFirst = true
  /** The request that each CPU is in: pages asked for, pages taken, limits. */
  declare private readonly thens: Int32Array
  declare private readonly pageCounts: Int32Array
  declare private readonly sizes: Int32Array
  declare private readonly alignments: Int32Array
  declare private readonly orders: Int32Array
  declare private readonly reaches: Int32Array
  declare private readonly limits: Int32Array
  declare private readonly tries: Uint8Array
  /** The range that each CPU frees. */
  declare private readonly freed: Int32Array
  declare private readonly treeAllocateLocked: number
  declare private readonly treeAllocateAgain: number
  declare private readonly depotAllocateLocked: number
  declare private readonly treeFreeLocked: number
  declare private readonly depotFreeLocked: number
  declare private readonly freeDone: number

  constructor(window: IovaWindow, { depot }: RcacheOptions) {
    const { costs, host } = window
    const { count } = host
    const tree = new AnchoredTree(window)
    const treeLock = host.makeLock("iova tree")
    const magazines = new Magazines(count)
    const depotLocks = Array.from({ length: ORDER_COUNT }, (_, order) => host.makeLock(`iova depot ${1 << order}`))
    const tally = new Tally(count)
    this.host = host
    this.costs = costs
    this.tree = tree
    this.treeLock = treeLock
    this.magazines = magazines
    this.depotLocks = depotLocks
    this.tally = tally
    this.work = tally.work
    this.drain = new Drain({ host, costs, tree, treeLock, magazines, depotLocks, tally })
    this.isBounded = depot === "bounded"
    this.limit32 = window.pagesBelow4GiB
    this.firsts = new Int32Array(count).fill(IOVA_NONE)
    this.thens = new Int32Array(count)
    this.pageCounts = new Int32Array(count)
    this.sizes = new Int32Array(count)
    this.alignments = new Int32Array(count)
    this.orders = new Int32Array(count)
    this.reaches = new Int32Array(count)
    this.limits = new Int32Array(count)
    this.tries = new Uint8Array(count)
    this.freed = new Int32Array(count)
    this.treeAllocateLocked = host.define("iova allocate, tree", (cpu) => this.allocateFromTree(cpu))
    this.treeAllocateAgain = host.define("iova allocate, again", (cpu) => this.lockTree(cpu))
    this.depotAllocateLocked = host.define("iova allocate, depot", (cpu) => this.allocateFromDepot(cpu))
    this.treeFreeLocked = host.define("iova free, tree", (cpu) => this.freeToTree(cpu))
    this.depotFreeLocked = host.define("iova free, depot", (cpu) => this.freeToDepot(cpu))
    this.freeDone = host.define("iova free, done", (cpu) => this.endFree(cpu))
  }

  /** Pages in magazines: free for their CPU, taken for the tree. */
  get cachedPages(): number {
    return this.magazines.cachedPages
  }

  /** Pages taken in the tree: those handed out, with what rounding added, and those cached. */
  get treePages(): number {
    return this.tree.pagesUsed
  }

  readonly beginAllocate = (
    cpu: number,
    pages: number,
    alignment: number,
    reach: number,
    _physPage: number,
    then: number
  ): number => {
    const { limit32, tree } = this
    const limit = reach < tree.pageCount ? reach : tree.pageCount
    this.thens[cpu] = then
    this.pageCounts[cpu] = pages
    // Beyond the window sizes and places would leave the range of 32-bit integers.
    if (pages > tree.pageCount) return this.endAllocation(cpu, IOVA_NONE)
    const natural = powerOfTwoFrom(pages)
    const isCached = pages <= CACHED_PAGES_MAX && alignment <= natural
    this.sizes[cpu] = sizeOf(pages)
    this.alignments[cpu] = alignment > natural ? alignment : natural
    this.orders[cpu] = isCached ? orderFrom(pages) : UNCACHED
    this.reaches[cpu] = limit
    const isLow = this.isLowFirst && limit > limit32
    this.limits[cpu] = isLow ? limit32 : limit
    this.tries[cpu] = isLow ? TRY_LOW : TRY_WHOLE
    return this.allocate(cpu)
  }

  private readonly allocate = (cpu: number): number => {
    const order = this.orders[cpu]!
    if (order === UNCACHED) return this.lockTree(cpu)
    if (this.magazines.hasRange(this.magazines.slotOf(cpu, order))) return this.allocateFromMagazine(cpu)
    return this.host.lock(cpu, this.depotLocks[order]!, this.depotAllocateLocked)
  }

  private readonly lockTree = (cpu: number): number => {
    return this.host.lock(cpu, this.treeLock, this.treeAllocateLocked)
  }

  private readonly allocateFromMagazine = (cpu: number): number => {
    const { costs, magazines } = this
    const slot = magazines.slotOf(cpu, this.orders[cpu]!)
    const page = magazines.pop(slot, this.limits[cpu]! - this.sizes[cpu]!)
    const words = magazines.scanned
    this.host.spend(cpu, ACCOUNT_IOVA, costs.magazinePs + (words - 1) * costs.bitmapWordPs)
    const lines = MAGAZINE_LINES + ((words - 1) >> LINE_ENTRIES_LOG)
    if (page === IOVA_NONE) {
      this.tally.add(cpu, 0, words, lines, 1)
      return this.lockTree(cpu)
    }
    this.firsts[cpu] = page
    this.pagesUsed += this.pageCounts[cpu]!
    this.tally.closeMagazine(cpu, this.work.allocations, words, lines)
    return this.thens[cpu]!
  }

  /** The depot's lock is held: the CPU's magazines are empty. */
  private readonly allocateFromDepot = (cpu: number): number => {
    const { host, magazines } = this
    const order = this.orders[cpu]!
    const magazine = magazines.fetch(order)
    host.spend(cpu, ACCOUNT_IOVA, this.costs.magazinePs)
    host.unlock(cpu, this.depotLocks[order]!)
    this.tally.add(cpu, 0, 0, MAGAZINE_LINES, 2)
    if (magazine === NO_MAGAZINE) return this.lockTree(cpu)
    magazines.load(magazines.slotOf(cpu, order), magazine)
    return this.allocateFromMagazine(cpu)
  }

  /** The tree's lock is held. */
  private readonly allocateFromTree = (cpu: number): number => {
    const { costs, tree } = this
    const page = tree.allocate(this.sizes[cpu]!, this.alignments[cpu]!, this.limits[cpu]!)
    this.host.spend(cpu, ACCOUNT_IOVA, costs.treeSearchPs + tree.visits * costs.treeVisitPs)
    this.host.unlock(cpu, this.treeLock)
    this.tally.add(cpu, tree.visits, 0, tree.lines, 1)
    return page === IOVA_NONE ? this.tryAgain(cpu) : this.endAllocation(cpu, page)
  }

  private readonly tryAgain = (cpu: number): number => {
    if (this.tries[cpu] === TRY_LOW) {
      this.isLowFirst = false
      this.tries[cpu] = TRY_WHOLE
      this.limits[cpu] = this.reaches[cpu]!
      return this.allocate(cpu)
    }
    if (this.tries[cpu] === TRY_DRAINED) return this.endAllocation(cpu, IOVA_NONE)
    this.tries[cpu] = TRY_DRAINED
    return this.drain.beginAll(cpu, this.treeAllocateAgain)
  }

  private readonly endAllocation = (cpu: number, page: number): number => {
    this.firsts[cpu] = page
    if (page !== IOVA_NONE) this.pagesUsed += this.pageCounts[cpu]!
    this.tally.close(cpu, this.work.allocations)
    return this.thens[cpu]!
  }

  readonly endAllocate = (_cpu: number): void => {}

  readonly beginRemove = (_cpu: number, then: number): number => then

  readonly beginFree = (cpu: number, first: number, pages: number, then: number): number => {
    this.thens[cpu] = then
    this.freed[cpu] = first
    this.pagesUsed -= pages
    if (pages > CACHED_PAGES_MAX) return this.host.lock(cpu, this.treeLock, this.treeFreeLocked)
    const order = orderFrom(pages)
    this.orders[cpu] = order
    const slot = this.magazines.slotOf(cpu, order)
    if (!this.magazines.hasRoom(slot)) return this.host.lock(cpu, this.depotLocks[order]!, this.depotFreeLocked)
    this.magazines.push(slot, first)
    this.host.spend(cpu, ACCOUNT_IOVA, this.costs.magazinePs)
    this.tally.closeMagazine(cpu, this.work.frees, 1, MAGAZINE_LINES)
    return then
  }

  /** The depot's lock is held. Both of the CPU's magazines are full, unless a drain has come in between. */
  private readonly freeToDepot = (cpu: number): number => {
    const { depotLocks, host, magazines } = this
    const order = this.orders[cpu]!
    const slot = magazines.slotOf(cpu, order)
    let spilt = NO_MAGAZINE
    if (!magazines.hasRoom(slot)) {
      const magazine = magazines.unload(slot)
      if (this.isBounded && magazines.depotCounts[order] === DEPOT_MAX) spilt = magazine
      else magazines.store(order, magazine)
    }
    magazines.push(slot, this.freed[cpu]!)
    host.spend(cpu, ACCOUNT_IOVA, this.costs.magazinePs)
    host.unlock(cpu, depotLocks[order]!)
    this.tally.add(cpu, 0, 1, MAGAZINE_LINES, 2)
    if (spilt !== NO_MAGAZINE) return this.drain.beginMagazine(cpu, order, spilt, this.freeDone)
    if (!this.isBounded) this.drain.trimLater(cpu, order)
    return this.endFree(cpu)
  }

  /** The tree's lock is held. */
  private readonly freeToTree = (cpu: number): number => {
    const { costs, tree } = this
    tree.free(this.freed[cpu]!)
    this.host.spend(cpu, ACCOUNT_IOVA, costs.treeSearchPs + tree.visits * costs.treeVisitPs)
    this.host.unlock(cpu, this.treeLock)
    this.tally.add(cpu, tree.visits, 0, tree.lines, 1)
    return this.endFree(cpu)
  }

  private readonly endFree = (cpu: number): number => {
    this.tally.close(cpu, this.work.frees)
    return this.thens[cpu]!
  }

  readonly canEverFit = (pages: number, alignment: number, reach: number): boolean => {
    const { pageCount, usable } = this.tree
    if (pages > pageCount) return false
    const step = Math.max(alignment, powerOfTwoFrom(pages))
    const limit = Math.min(reach, pageCount)
    // All of what is below 4 GiB in one piece counts as having failed from the start.
    if (limit <= this.limit32 && sizeOf(pages) >= this.limit32) return false
    return usable.hasPlace(0, limit, sizeOf(pages), step)
  }
}

/** Pages that a request takes. */
const sizeOf = (pages: number): number => (pages < CACHED_PAGES_MAX ? powerOfTwoFrom(pages) : pages)

/** Magazines in front of a tree. */
export const makeRcacheAllocator = (window: IovaWindow, options: RcacheOptions): RcacheAllocator =>
  new RcacheAllocator(window, options)
