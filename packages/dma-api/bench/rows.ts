/**
 * What is measured of the IOVA allocators: wall time of an allocation and a free of one page, through the interface
 * that devices use, on a host with one CPU whose locks are always free.
 *
 * Small ones hand out and take back in the order of a ring. The trees have 10,000 ranges live, beside which one comes
 * and goes; in the random rows any of them may go. The tree of 2013 has two rings in one window, so that it
 * walks; its time is that of a node visited, everything else included.
 */
import { ALLOCATORS, IOVA_NONE, WORK_NODES, type AllocatorName, type IovaAllocator } from "@vnic/dma-api/core"
import { makePrng } from "@vnic/sim/core"
import { makeBareHost } from "./bareHost.ts"

/** A window of 1 GiB in pages of 4 KiB, page 0 reserved. */
const PAGES = 1 << 18
const PAGES_BELOW_4_GIB = 1 << 20
const COSTS = { bitmapSearchPs: 1, bitmapWordPs: 1, treeSearchPs: 1, treeVisitPs: 1, magazinePs: 1, constantPs: 1 }

export interface Row {
  readonly name: string
  readonly setUp: () => Measured
}

export interface Measured {
  readonly operation: () => void
  /** Called after operations: what one of them is divided by. */
  readonly unitsPerOperation: () => number
}

interface Calls {
  readonly allocator: IovaAllocator
  readonly allocate: (physPage: number) => number
  readonly free: (first: number) => void
}

/** One page at a time, each call run to its end. */
function callsOf(name: AllocatorName): Calls {
  const host = makeBareHost()
  const window = {
    pageCount: PAGES,
    pageShift: 12,
    startPage: 0,
    isFirstPageReserved: true,
    reserved: [],
    tableName: "IOVA",
    pagesBelow4GiB: PAGES_BELOW_4_GIB,
    lockAcrossTableWrite: "none" as const,
    host,
    costs: COSTS
  }
  const allocator: IovaAllocator = ALLOCATORS[name](window)
  const { firsts } = allocator
  const done = host.define("done", () => 0)
  return {
    allocator,
    allocate: (page) => {
      host.runTo(allocator.beginAllocate(0, 1, 1, PAGES, page, done), done)
      if (firsts[0] === IOVA_NONE) throw new Error(`${name} is full`)
      allocator.endAllocate(0)
      return firsts[0]!
    },
    free: (first) => {
      host.runTo(allocator.beginRemove(0, done), done)
      host.runTo(allocator.beginFree(0, first, 1, done), done)
    }
  }
}

const one = (): number => 1

/** A ring of so many pages: the oldest goes, a new one comes. */
function ring({ allocate, free }: Calls, depth: number): () => void {
  const live = Int32Array.from({ length: depth }, (_, index) => allocate(index + 1))
  let oldest = 0
  return () => {
    free(live[oldest]!)
    live[oldest] = allocate(oldest + 1)
    oldest = oldest + 1 === depth ? 0 : oldest + 1
  }
}

const fifo = (name: AllocatorName, depth: number, label: string): Row => ({
  name: `alloc+free ${label}`,
  setUp: () => ({ operation: ring(callsOf(name), depth), unitsPerOperation: one })
})

const LIVE = 10_000
/** Drawn beforehand, so that drawing is not measured. */
const DRAWS = 1 << 16

/** Ranges that have come and gone at random: 10,000 are live, with as many holes between them. */
function scattered({ allocate, free }: Calls, draw: (bound: number) => number): Int32Array {
  const live = Int32Array.from({ length: 2 * LIVE }, () => allocate(-1))
  for (let left = 2 * LIVE; left > LIVE; left--) {
    const index = draw(left)
    free(live[index]!)
    live[index] = live[left - 1]!
  }
  return live.subarray(0, LIVE)
}

/** A range that comes and goes at once beside those that stay. */
const once = (name: AllocatorName): Row => ({
  name: `alloc+free ${name} ${LIVE}`,
  setUp: () => {
    const calls = callsOf(name)
    const prng = makePrng(1)
    scattered(calls, (bound) => prng.below(bound))
    return { operation: () => calls.free(calls.allocate(-1)), unitsPerOperation: one }
  }
})

/** One of those that are live goes, whichever, and another comes: hardly anything is where it was last. */
const random = (name: AllocatorName): Row => ({
  name: `alloc+free ${name} ${LIVE} random`,
  setUp: () => {
    const calls = callsOf(name)
    const prng = makePrng(1)
    const draws = Int32Array.from({ length: DRAWS }, () => prng.below(LIVE))
    const live = scattered(calls, (bound) => prng.below(bound))
    let next = 0
    const operation = (): void => {
      const index = draws[next]!
      calls.free(live[index]!)
      live[index] = calls.allocate(-1)
      next = (next + 1) & (DRAWS - 1)
    }
    for (let count = 0; count < DRAWS; count++) operation()
    return { operation, unitsPerOperation: one }
  }
})

/** Depths of the two rings, a ring of receive buffers and one of acknowledgements that comes round sooner. */
const RECEIVE_DEPTH = 2048
const ACK_DEPTH = 64

const walk: Row = {
  name: "visited node rbtree two rings",
  setUp: () => {
    const calls = callsOf("rbtree")
    const receive = ring(calls, RECEIVE_DEPTH)
    const acknowledge = ring(calls, ACK_DEPTH)
    const { allocations, frees } = calls.allocator.work
    let operations = 0
    const operation = (): void => {
      operations++
      receive()
      if ((operations & 1) === 0) acknowledge()
    }
    for (let count = 0; count < 4 * RECEIVE_DEPTH; count++) operation()
    const before = allocations[WORK_NODES]! + frees[WORK_NODES]!
    operations = 0
    return {
      operation,
      unitsPerOperation: () => (allocations[WORK_NODES]! + frees[WORK_NODES]! - before) / operations
    }
  }
}

export const rows: ReadonlyArray<Row> = [
  fifo("identity", 512, "identity"),
  fifo("ring", 512, "ring"),
  fifo("rbtree-rcache", 1, "magazine hit"),
  fifo("bitmap", 512, "bitmap"),
  fifo("bitmap-pool", 512, "bitmap-pool"),
  once("augmented-rbtree"),
  once("maple"),
  random("augmented-rbtree"),
  random("maple"),
  walk
]
