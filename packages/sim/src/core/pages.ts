/**
 * The host's page allocator: a binary buddy system over its physical memory, as the kernel's. Blocks are
 * 2^order system pages, naturally aligned. An allocation can fail because memory is short, or because it
 * was told to (the n-th call, for tests); failure is a result, PAGE_NONE.
 */
import { assert, fail } from "./assert.ts"
import type { PhysAddr } from "./memory.ts"

/** No block of that order is free. */
export const PAGE_NONE: PhysAddr = -1

/** Largest block: 2^10 pages, as MAX_ORDER of the kernels of the time. */
export const PAGE_ORDER_MAX = 10

const LIST_END = -1
/** state[page]: the block that starts here is free with this order; else one of these. */
const NOT_A_HEAD = -1
const ALLOCATED_BASE = 64

export class PageAllocator {
  declare readonly pageSizeBytes: number
  declare readonly pageCount: number
  /** Pages that are allocated now. */
  pagesUsed = 0
  pagesUsedMax = 0
  /** Allocations asked for and refused since the beginning. */
  allocations = 0
  failures = 0
  /** The allocation with this number (1 is the next one) fails, once; 0 means none. */
  failAt = 0
  /** Told of each block before it is free again, by whoever must see that nothing uses it any more. */
  freed: ((phys: PhysAddr, sizeBytes: number) => void) | undefined = undefined
  declare private readonly state: Int8Array
  declare private readonly nextFree: Int32Array
  declare private readonly previousFree: Int32Array
  private readonly freeHeads = new Int32Array(PAGE_ORDER_MAX + 1).fill(LIST_END)

  constructor(sizeBytes: number, pageSizeBytes: number) {
    assert(sizeBytes % pageSizeBytes === 0, "memory is not whole pages")
    this.pageSizeBytes = pageSizeBytes
    this.pageCount = sizeBytes / pageSizeBytes
    this.state = new Int8Array(this.pageCount).fill(NOT_A_HEAD)
    this.nextFree = new Int32Array(this.pageCount).fill(LIST_END)
    this.previousFree = new Int32Array(this.pageCount).fill(LIST_END)
    // Highest blocks first, so that the lowest address is handed out first.
    let page = 0
    const starts: Array<number> = []
    const orders: Array<number> = []
    while (page < this.pageCount) {
      let order = PAGE_ORDER_MAX
      while (page % (1 << order) !== 0 || page + (1 << order) > this.pageCount) order--
      starts.push(page)
      orders.push(order)
      page += 1 << order
    }
    for (let index = starts.length - 1; index >= 0; index--) this.putFree(starts[index]!, orders[index]!)
  }

  /** The smallest order whose blocks hold `sizeBytes`. */
  readonly orderFor = (sizeBytes: number): number => {
    let order = 0
    while (this.pageSizeBytes * 2 ** order < sizeBytes) order++
    return order
  }

  /** A block of 2^order pages, or PAGE_NONE. */
  readonly allocate = (order: number): PhysAddr => {
    this.allocations++
    if (this.failAt > 0 && --this.failAt === 0) {
      this.failures++
      return PAGE_NONE
    }
    let found = order
    while (found <= PAGE_ORDER_MAX && this.freeHeads[found] === LIST_END) found++
    if (found > PAGE_ORDER_MAX) {
      this.failures++
      return PAGE_NONE
    }
    const page = this.freeHeads[found]!
    this.takeFree(page, found)
    while (found > order) {
      found--
      this.putFree(page + (1 << found), found)
    }
    this.state[page] = ALLOCATED_BASE + order
    this.pagesUsed += 1 << order
    if (this.pagesUsed > this.pagesUsedMax) this.pagesUsedMax = this.pagesUsed
    return page * this.pageSizeBytes
  }

  /** Gives a block back by its start; buddies that are both free become one block again. */
  readonly free = (phys: PhysAddr): void => {
    let page = phys / this.pageSizeBytes
    const state = this.state[page]
    if (state === undefined || state < ALLOCATED_BASE) fail("a page that is not allocated was freed")
    let order = state - ALLOCATED_BASE
    this.freed?.(phys, this.pageSizeBytes * 2 ** order)
    this.state[page] = NOT_A_HEAD
    this.pagesUsed -= 1 << order
    while (order < PAGE_ORDER_MAX) {
      const buddy = page ^ (1 << order)
      if (buddy + (1 << order) > this.pageCount || this.state[buddy] !== order) break
      this.takeFree(buddy, order)
      page = Math.min(page, buddy)
      order++
    }
    this.putFree(page, order)
  }

  private readonly putFree = (page: number, order: number): void => {
    const head = this.freeHeads[order]!
    this.state[page] = order
    this.nextFree[page] = head
    this.previousFree[page] = LIST_END
    if (head !== LIST_END) this.previousFree[head] = page
    this.freeHeads[order] = page
  }

  private readonly takeFree = (page: number, order: number): void => {
    const next = this.nextFree[page]!
    const previous = this.previousFree[page]!
    if (previous === LIST_END) this.freeHeads[order] = next
    else this.nextFree[previous] = next
    if (next !== LIST_END) this.previousFree[next] = previous
    this.state[page] = NOT_A_HEAD
  }
}

/** An allocator over `sizeBytes` of physical memory from address 0, all free. */
export const makePageAllocator = (sizeBytes: number, pageSizeBytes: number): PageAllocator =>
  new PageAllocator(sizeBytes, pageSizeBytes)
