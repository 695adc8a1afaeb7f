/**
 * The IOVA allocators under one test: how each is made, and what its policy lets one expect of it. And a way to call
 * them from several CPUs one after the other, without virtual time.
 */
import type { IovaAllocator, IovaCosts, IovaWindow, PageRange } from "../../src/core/iova/allocator.ts"
import { makeAugmentedRbtreeAllocator, type AugmentedRbtree } from "../../src/core/iova/augmentedRbtree.ts"
import { makeBitmapAllocator } from "../../src/core/iova/bitmap.ts"
import { makeBitmapPoolAllocator, type PoolEdition } from "../../src/core/iova/bitmapPool.ts"
import { makeIdentityAllocator } from "../../src/core/iova/identity.ts"
import { makeMapleAllocator, type MapleRanges } from "../../src/core/iova/maple.ts"
import { PIVOT, placeOf, slotCountOf, VALUE } from "../../src/core/iova/mapleNodes.ts"
import type { OneLockAllocator } from "../../src/core/iova/oneLock.ts"
import { makeRbtreeAllocator, type Rbtree } from "../../src/core/iova/rbtree.ts"
import { makeRcacheAllocator, type RcacheAllocator } from "../../src/core/iova/rcache.ts"
import { END, FIRST, LEFT, NIL, RIGHT, type RedBlack } from "../../src/core/iova/redBlack.ts"
import { makeRingAllocator } from "../../src/core/iova/ring.ts"
import { makePlainHost, type Host } from "@vnic/dma-api/core"
import type { RangeRequest } from "@vnic/dma-api/testing"

const COSTS: IovaCosts = {
  bitmapSearchPs: 1,
  bitmapWordPs: 1,
  treeSearchPs: 1,
  treeVisitPs: 1,
  magazinePs: 1,
  constantPs: 1
}

/** Several CPUs that take turns: whoever calls has waited for all that the others did. */
export function makeSerialHost(count: number): Host {
  const plain = makePlainHost()
  const localPs = new Float64Array(count)
  return {
    ...plain,
    count,
    localPs,
    spend: (_cpu, _account, durationPs) => void localPs.fill(localPs[0]! + durationPs)
  }
}

export interface WindowShape {
  readonly pageCount: number
  readonly isFirstPageReserved: boolean
  readonly pagesBelow4GiB: number
  /** 12 when left out; with 30 any window has a GiB. */
  readonly pageShift?: number
  /** 0 when left out. */
  readonly startPage?: number
  readonly reserved?: ReadonlyArray<PageRange>
}

export const windowOf = (shape: WindowShape, host: Host = makeSerialHost(2)): IovaWindow => ({
  tableName: "IOVA",
  pageShift: 12,
  startPage: 0,
  reserved: [],
  lockAcrossTableWrite: "none",
  ...shape,
  host,
  costs: COSTS
})

/** Calls an allocator as a device does, each call run to its end. */
export class Caller {
  readonly allocator: IovaAllocator
  private readonly host: Host
  private request: RangeRequest = { pages: 0, alignment: 0, reach: 0 }
  private physPage = 0
  private first = 0
  private readonly allocateStep: number
  private readonly freeStep: number

  constructor(host: Host, allocator: IovaAllocator) {
    this.host = host
    this.allocator = allocator
    const allocated = host.define("allocated", (cpu) => {
      if (allocator.firsts[cpu]! >= 0) allocator.endAllocate(cpu)
      return host.leave(cpu)
    })
    this.allocateStep = host.define("allocate", (cpu) => {
      const { alignment, boundary, pages, reach } = this.request
      return allocator.beginAllocate(cpu, pages, alignment, reach, this.physPage, allocated, boundary)
    })
    const freed = host.define("freed", (cpu) => host.leave(cpu))
    const removed = host.define("removed", (cpu) => allocator.beginFree(cpu, this.first, this.request.pages, freed))
    this.freeStep = host.define("free", (cpu) => allocator.beginRemove(cpu, removed))
  }

  /** The first page, or IOVA_NONE. */
  allocate(cpu: number, request: RangeRequest, physPage: number): number {
    this.request = request
    this.physPage = physPage
    this.host.runAlone(cpu, this.allocateStep)
    return this.allocator.firsts[cpu]!
  }

  free(cpu: number, first: number, pages: number): void {
    this.request = { pages, alignment: 1, reach: 0 }
    this.first = first
    this.host.runAlone(cpu, this.freeStep)
  }
}

/** Pages from, and up to but without, another. */
export type Region = readonly [from: number, to: number]

/** An allocator, and what its policy promises. */
export interface Subject {
  readonly name: string
  readonly make: (window: IovaWindow) => IovaAllocator
  /** What a request takes of the window; at least what is asked for. */
  readonly taken: (request: RangeRequest) => RangeRequest
  /** Where a place must be found if there is one. */
  readonly searched: (request: RangeRequest, shape: WindowShape) => ReadonlyArray<Region>
  /** Where a place may be found, if that is more. */
  readonly reached?: (request: RangeRequest, shape: WindowShape) => ReadonlyArray<Region>
  /** False where the policy may fail although there is a place. */
  readonly isComplete: (limit: number, shape: WindowShape) => boolean
  /** True where the place is the highest one, below 4 GiB if there is one. */
  readonly isHighest: (limit: number, shape: WindowShape) => boolean
  /** Pages that the tree counts as taken, and those of them that are cached. */
  readonly treePages?: (allocator: IovaAllocator, shape: WindowShape) => number
  readonly cachedPages?: (allocator: IovaAllocator) => number
}

const always = (): boolean => true
const never = (): boolean => false
const asAsked = (request: RangeRequest): RangeRequest => request

const roundUp = (pages: number): number => 2 ** Math.ceil(Math.log2(pages))
/**
 * Aligned to its size, and so within any boundary that is at least as long, without a look at it; a longer one is
 * handed out across it.
 */
const aligned = (request: RangeRequest): RangeRequest => {
  const { boundary = 0, pages } = request
  const alignment = Math.max(request.alignment, roundUp(pages))
  return { ...request, alignment, boundary: pages > boundary ? 0 : boundary }
}
const rounded = (request: RangeRequest): RangeRequest => ({ ...aligned(request), pages: roundUp(request.pages) })
/** Blocks of the next power of two, even where more alignment is asked for than that. */
const wholeBlocks = (request: RangeRequest): RangeRequest => {
  const size = aligned(request).alignment
  return aligned({ ...request, pages: size })
}

export const limitOf = ({ reach }: RangeRequest, { pageCount }: WindowShape): number => Math.min(reach, pageCount)
const all = (request: RangeRequest, shape: WindowShape): ReadonlyArray<Region> => [[0, limitOf(request, shape)]]
/** The last entry of what a bitmap is searched for is never handed out. */
const allButLast = (request: RangeRequest, shape: WindowShape): ReadonlyArray<Region> => [
  [0, limitOf(request, shape) - 1]
]

const SMALL_MAX = 15

const halves = (request: RangeRequest, shape: WindowShape): ReadonlyArray<Region> => {
  const { pageCount } = shape
  if (request.pages > SMALL_MAX || request.reach < pageCount) return allButLast(request, shape)
  return [
    [0, (pageCount >> 1) - 1],
    [pageCount >> 1, pageCount - 1]
  ]
}

const pools =
  (edition: PoolEdition) =>
  (request: RangeRequest, shape: WindowShape): ReadonlyArray<Region> => {
    const { pageCount, pageShift = 12 } = shape
    const poolCount = pageCount * 2 ** pageShift >= 2 ** 30 ? 4 : 1
    const poolPages = Math.floor(Math.floor((pageCount * 3) / 4) / poolCount)
    const regions: Array<Region> = Array.from({ length: poolCount }, (_, pool) => [
      pool * poolPages,
      (pool + 1) * poolPages
    ])
    const isLargeTried = request.pages > SMALL_MAX || edition === "linux-6.12"
    if (isLargeTried) regions.push([poolCount * poolPages, pageCount])
    return regions.map(([from, to]) => (to > request.reach ? [0, request.reach - 1] : [from, to - 1]))
  }

const bitmapPool = (edition: PoolEdition): Subject => ({
  name: edition === "linux-3.10" ? "bitmap-pool" : `bitmap-pool ${edition}`,
  make: (window) => makeBitmapPoolAllocator(window, edition),
  taken: asAsked,
  searched: pools(edition),
  reached: allButLast,
  isComplete: always,
  isHighest: never
})

const structureOf = (allocator: IovaAllocator): unknown => (allocator as OneLockAllocator).structure

/** Pages of a window that are reserved, by ranges apart. */
const reservedPages = ({ reserved = [] }: WindowShape): number =>
  reserved.reduce((sum, { pageCount }) => sum + pageCount, 0)

/** Pages of ranges in a red-black tree that begin in the window, but for those that are reserved. */
function redBlackPages({ nodes, root }: RedBlack, shape: WindowShape): number {
  const { pageCount } = shape
  const below = (node: number): number => {
    if (node === NIL) return 0
    const first = nodes[node + FIRST]!
    const pages = first < pageCount ? nodes[node + END]! - first : 0
    return below(nodes[node + LEFT]!) + pages + below(nodes[node + RIGHT]!)
  }
  return below(root) - reservedPages(shape)
}

/** Pages of ranges in a maple tree, but for those that are reserved. */
function maplePages({ levelCount, nodes: { words }, root }: MapleRanges, shape: WindowShape): number {
  const below = (node: number, level: number): number => {
    let pages = 0
    for (let slot = 0; slot < slotCountOf(words, node); slot++) {
      const place = placeOf(node, slot)
      const isLeaf = level === levelCount - 1
      pages += isLeaf ? words[place + PIVOT]! - words[place + VALUE]! : below(words[place + VALUE]!, level + 1)
    }
    return pages
  }
  return below(root, 0) - reservedPages(shape)
}

const limit32 = ({ pageCount, pagesBelow4GiB }: WindowShape): number => Math.min(pageCount, pagesBelow4GiB)

const rcache = (depot: "bounded" | "trimmed"): Subject => ({
  name: depot === "trimmed" ? "rbtree-rcache" : `rbtree-rcache ${depot}`,
  make: (window) => makeRcacheAllocator(window, { depot }),
  taken: (request) => (request.pages < 32 ? rounded(request) : aligned(request)),
  searched: all,
  isComplete: always,
  isHighest: never,
  treePages: (allocator) => (allocator as RcacheAllocator).treePages,
  cachedPages: (allocator) => (allocator as RcacheAllocator).cachedPages
})

export const SUBJECTS: ReadonlyArray<Subject> = [
  {
    name: "identity",
    make: makeIdentityAllocator,
    taken: asAsked,
    searched: all,
    isComplete: always,
    isHighest: never
  },
  ...(["both", "none"] as const).map((lockAcross): Subject => ({
    name: lockAcross === "both" ? "bitmap" : "bitmap-outside",
    make: (window) => makeBitmapAllocator({ ...window, lockAcrossTableWrite: lockAcross }),
    taken: asAsked,
    searched: halves,
    isComplete: always,
    isHighest: never
  })),
  bitmapPool("linux-3.10"),
  bitmapPool("linux-6.12"),
  {
    name: "rbtree",
    make: makeRbtreeAllocator,
    taken: rounded,
    searched: all,
    // A search with exactly the 32-bit limit begins at the cached range: room above is not seen.
    isComplete: (limit, shape) => limit !== limit32(shape),
    isHighest: (limit, shape) => limit < limit32(shape),
    treePages: (allocator, shape) => redBlackPages((structureOf(allocator) as Rbtree).tree, shape)
  },
  rcache("trimmed"),
  rcache("bounded"),
  {
    name: "augmented-rbtree",
    make: makeAugmentedRbtreeAllocator,
    taken: wholeBlocks,
    searched: all,
    isComplete: always,
    isHighest: always,
    treePages: (allocator, shape) => redBlackPages((structureOf(allocator) as AugmentedRbtree).tree, shape)
  },
  {
    name: "maple",
    make: makeMapleAllocator,
    taken: aligned,
    searched: all,
    isComplete: always,
    isHighest: always,
    treePages: (allocator, shape) => maplePages(structureOf(allocator) as MapleRanges, shape)
  },
  { name: "ring", make: makeRingAllocator, taken: asAsked, searched: all, isComplete: always, isHighest: never }
]
