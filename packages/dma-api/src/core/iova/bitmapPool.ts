/**
 * The bitmap of powerpc since June 2012, cut into pools with a lock each: four where the window has a GiB or
 * more, else one, in three quarters of the window, and a large pool in the rest. A CPU's number, hashed, says
 * which pool is its own; requests of more than 15 pages go to the large pool.
 *
 * Inside its pool a request is next-fit, as in the bitmap under one lock: from the pool's hint, then from the
 * pool's start. Without room there it tries the other pools in turn and its own once more, each from its start;
 * Linux 6.12 tries the large pool at last. One lock is held at a time, only around the search. The last entry of
 * what is searched is never handed out. A free takes the lock of the pool that the range begins in.
 *
 * As there, no range crosses the device's segment boundary.
 *
 * A device that does not reach the end of a pool searches from that pool's hint modulo its reach, up to its
 * reach, then everything that it reaches under pool 0's lock; so a hint may come to lie outside its pool.
 * [Linux 3.10 and 6.12 arch/powerpc/kernel/iommu.c iommu_init_table, iommu_range_alloc]
 *
 * MODEL: the kernel goes through the remaining pools, with the same search, before such a device gives up; here
 * that search is its last. Only failures are cheaper for it.
 */
import { ACCOUNT_IOVA as accountIova } from "@vnic/sim/core"
import {
  IOVA_NONE as iovaNone,
  makeWork,
  WORK_CACHE_LINES as workCacheLines,
  WORK_LOCKS as workLocks,
  WORK_WORDS as workWords,
  type IovaAllocator,
  type IovaCosts,
  type IovaWindow,
  type Work
} from "./allocator.ts"
import { BLOCK_ENTRIES as blockEntries, SMALL_PAGES_MAX as smallPagesMax } from "./bitmap.ts"
import { Bits } from "./bits.ts"
import type { Host } from "../types.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_IOVA = accountIova
const IOVA_NONE = iovaNone
const WORK_WORDS = workWords
const WORK_CACHE_LINES = workCacheLines
const WORK_LOCKS = workLocks
const BLOCK_ENTRIES = blockEntries
const SMALL_PAGES_MAX = smallPagesMax

/** Of a window, what its small pools have; the large pool has the rest. */
const POOLED_SHARE = 3 / 4
/** Small pools of a window of 1 GiB or more; a power of two. */
const POOLS = 4
const LARGE_WINDOW_BYTES = 2 ** 30
const POOLS_LOG = 2
/** The pass that searches all that a device reaches, where that ends inside a pool. */
const WHOLE_REACH = -1

/**
 * Which kernel's: they hash with different multipliers, and 6.12 lets small requests into the large pool when
 * nothing else has room.
 */
export type PoolEdition = "linux-3.10" | "linux-6.12"

const HASH_MULTIPLIERS: Readonly<Record<PoolEdition, number>> = { "linux-3.10": 0x9e370001, "linux-6.12": 0x61c88647 }

/** The pool of a CPU, of four: the upper bits of its number times a multiplier. */
export const poolOfCpu = (cpu: number, edition: PoolEdition): number =>
  Math.imul(cpu, HASH_MULTIPLIERS[edition]) >>> (32 - POOLS_LOG)

/** Where each pool begins in a window, the large one last, and behind them the window's end. */
export function poolStarts(pageCount: number, pageShift: number): Int32Array {
  const poolCount = pageCount * 2 ** pageShift >= LARGE_WINDOW_BYTES ? POOLS : 1
  const poolPages = Math.floor(Math.floor(pageCount * POOLED_SHARE) / poolCount)
  return Int32Array.from({ length: poolCount + 2 }, (_, pool) => (pool > poolCount ? pageCount : pool * poolPages))
}

export class BitmapPoolAllocator implements IovaAllocator {
  declare readonly firsts: Int32Array
  readonly work: Work = makeWork()
  readonly optPages = 0
  pagesUsed = 0
  /** Where pool n begins; the last one is the large pool, and behind it stands the end of the window. */
  declare readonly starts: Int32Array
  /** poolOf[cpu]: the pool of its own. */
  declare readonly poolOf: Int32Array
  declare private readonly hints: Int32Array
  declare private readonly locks: Int32Array
  /** Small pools, and the last pass of a request: one for the hint, one a pool, sometimes one for the large. */
  declare private readonly poolCount: number
  declare private readonly lastPass: number
  declare private readonly bits: Bits
  declare private readonly host: Host
  declare private readonly costs: IovaCosts
  /** The arguments of the operation that each CPU is in, its pass, and the pool whose lock it has. */
  declare private readonly thens: Int32Array
  declare private readonly freeFirsts: Int32Array
  declare private readonly pageCounts: Int32Array
  declare private readonly alignments: Int32Array
  declare private readonly reaches: Int32Array
  declare private readonly boundaries: Int32Array
  declare private readonly passes: Int32Array
  declare private readonly pools: Int32Array
  declare private readonly allocateLocked: number
  declare private readonly freeLocked: number

  constructor(window: IovaWindow, edition: PoolEdition) {
    const { host, pageCount } = window
    this.firsts = new Int32Array(host.count).fill(IOVA_NONE)
    this.starts = poolStarts(pageCount, window.pageShift)
    const poolCount = this.starts.length - 2
    this.poolOf = Int32Array.from({ length: host.count }, (_, cpu) => poolOfCpu(cpu, edition) & (poolCount - 1))
    this.hints = this.starts.slice(0, poolCount + 1)
    this.locks = this.hints.map((_, pool) =>
      host.makeLock(`${window.tableName} ${pool === poolCount ? "large pool" : `pool ${pool}`} lock`)
    )
    this.poolCount = poolCount
    this.lastPass = poolCount + (edition === "linux-3.10" ? 1 : 2)
    this.bits = new Bits(window)
    this.host = host
    this.costs = window.costs
    this.thens = new Int32Array(host.count)
    this.freeFirsts = new Int32Array(host.count)
    this.pageCounts = new Int32Array(host.count)
    this.alignments = new Int32Array(host.count)
    this.reaches = new Int32Array(host.count)
    this.boundaries = new Int32Array(host.count)
    this.passes = new Int32Array(host.count)
    this.pools = new Int32Array(host.count)
    this.allocateLocked = host.define("iova allocate, pool locked", (cpu) => this.allocate(cpu))
    this.freeLocked = host.define("iova free, pool locked", (cpu) => this.free(cpu))
  }

  readonly beginAllocate = (
    cpu: number,
    pages: number,
    alignment: number,
    reach: number,
    _physPage: number,
    then: number,
    boundary = 0
  ): number => {
    this.thens[cpu] = then
    this.pageCounts[cpu] = pages
    this.alignments[cpu] = alignment
    this.reaches[cpu] = reach
    this.boundaries[cpu] = boundary
    this.firsts[cpu] = IOVA_NONE
    this.passes[cpu] = 0
    if (reach === 0) return then
    return this.ask(cpu, pages > SMALL_PAGES_MAX ? this.poolCount : this.poolOf[cpu]!)
  }

  private readonly ask = (cpu: number, pool: number): number => {
    this.pools[cpu] = pool
    return this.host.lock(cpu, this.locks[pool]!, this.allocateLocked)
  }

  /** Critical section: the passes that are made under this pool's lock. */
  private readonly allocate = (cpu: number): number => {
    const { bits, hints, starts } = this
    const pool = this.pools[cpu]!
    const reach = this.reaches[cpu]!
    const start = starts[pool]!
    const end = starts[pool + 1]!
    let pass = this.passes[cpu]!
    let first = IOVA_NONE
    bits.begin()
    if (pass === 0) {
      const hint = hints[pool]! < end ? hints[pool]! : start
      first = end <= reach ? this.search(cpu, hint, end) : this.search(cpu, hint % reach, reach)
      pass = 1
    }
    if (first === IOVA_NONE) {
      hints[pool] = start
      if (pass === WHOLE_REACH) first = this.search(cpu, 0, reach)
      else if (end <= reach) {
        first = this.search(cpu, start, end)
        pass++
      }
    }
    if (first !== IOVA_NONE) this.take(cpu, pool, first)
    this.charge(cpu, this.costs.bitmapSearchPs, this.work.allocations)
    this.host.unlock(cpu, this.locks[pool]!)
    return first === IOVA_NONE ? this.fallOver(cpu, pass) : this.thens[cpu]!
  }

  /** First aligned free run in [start, end - 1): the last entry is left alone. */
  private readonly search = (cpu: number, start: number, end: number): number => {
    return this.bits.search(start, end - 1, this.pageCounts[cpu]!, this.alignments[cpu]!, this.boundaries[cpu]!)
  }

  /** The range is the CPU's; the pool's hint goes behind it, of a small one to the next block of entries. */
  private readonly take = (cpu: number, pool: number, first: number): void => {
    const pages = this.pageCounts[cpu]!
    const end = first + pages
    this.bits.set(first, pages)
    this.pagesUsed += pages
    this.firsts[cpu] = first
    this.hints[pool] = pages > SMALL_PAGES_MAX ? end : (end + BLOCK_ENTRIES - 1) & ~(BLOCK_ENTRIES - 1)
  }

  /** Where the next pass is made: in the pools behind the own one in turn, the own one again, the large pool. */
  private readonly fallOver = (cpu: number, pass: number): number => {
    const { poolCount } = this
    if (pass === WHOLE_REACH || pass > this.lastPass) return this.thens[cpu]!
    const pool = pass > poolCount + 1 ? poolCount : (this.poolOf[cpu]! + pass - 1) & (poolCount - 1)
    // Pass 1 has been made already, unless the device does not reach the end of its pool.
    const isCut = pass === 1 || this.starts[pool + 1]! > this.reaches[cpu]!
    this.passes[cpu] = isCut ? WHOLE_REACH : pass
    return this.ask(cpu, isCut ? 0 : pool)
  }

  private readonly charge = (cpu: number, fixedPs: number, sums: Float64Array): void => {
    const { steps } = this.bits
    const { last } = this.work
    const words = steps[WORK_WORDS]!
    const lines = steps[WORK_CACHE_LINES]!
    last[WORK_WORDS] = words
    last[WORK_CACHE_LINES] = lines
    last[WORK_LOCKS] = 1
    sums[WORK_WORDS]! += words
    sums[WORK_CACHE_LINES]! += lines
    sums[WORK_LOCKS]! += 1
    this.host.spend(cpu, ACCOUNT_IOVA, fixedPs + words * this.costs.bitmapWordPs)
  }

  readonly endAllocate = (): void => {}

  readonly beginRemove = (_cpu: number, then: number): number => {
    return then
  }

  readonly beginFree = (cpu: number, first: number, pages: number, then: number): number => {
    const { poolCount, starts } = this
    let pool = poolCount
    while (pool > 0 && first < starts[pool]!) pool--
    this.thens[cpu] = then
    this.freeFirsts[cpu] = first
    this.pageCounts[cpu] = pages
    this.pools[cpu] = pool
    return this.host.lock(cpu, this.locks[pool]!, this.freeLocked)
  }

  private readonly free = (cpu: number): number => {
    const pages = this.pageCounts[cpu]!
    this.bits.begin()
    this.bits.clear(this.freeFirsts[cpu]!, pages)
    this.pagesUsed -= pages
    this.charge(cpu, 0, this.work.frees)
    this.host.unlock(cpu, this.locks[this.pools[cpu]!]!)
    return this.thens[cpu]!
  }

  readonly canEverFit = (pages: number, alignment: number, reach: number, boundary = 0): boolean => {
    const { bits, poolCount, starts } = this
    const isLargeTried = pages > SMALL_PAGES_MAX || this.lastPass > poolCount + 1
    const poolsTried = isLargeTried ? poolCount + 1 : poolCount
    for (let pool = 0; pool < poolsTried; pool++) {
      const isCut = starts[pool + 1]! > reach
      const end = isCut ? reach : starts[pool + 1]!
      if (bits.usable.hasPlace(isCut ? 0 : starts[pool]!, end - 1, pages, alignment, boundary)) return true
    }
    return false
  }
}

/** Pools over a window, nothing in use. */
export const makeBitmapPoolAllocator = (window: IovaWindow, edition: PoolEdition = "linux-3.10"): BitmapPoolAllocator =>
  new BitmapPoolAllocator(window, edition)
