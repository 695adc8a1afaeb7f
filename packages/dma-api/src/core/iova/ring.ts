/**
 * An allocator made for rings. A driver's ring maps and unmaps first in, first out; then the page to hand out
 * next is the one behind the last, and what is behind that was freed long ago.
 *
 * The window is cut into segments. Each CPU fills one from its start to its end, then goes on in the oldest of
 * its own of which a quarter is free again, and only when none of a few is takes a fresh one of its home, a
 * stretch of the window. All of that it does alone, without a lock. When its home is full it is a guest in other
 * homes. A request that finds no room so, is longer than a quarter of a segment, or is of a device that does not
 * reach the homes, is a next-fit search of everything under one lock: only that one says that there is none.
 *
 * Segments and homes only say where to look first. What is in use is said by one bit a page, set and cleared
 * with atomic operations, so a range may be freed by any CPU, in any order, and nothing is held back: a window
 * of which all is freed is as good as new. No range crosses the device's segment boundary, also where that is shorter
 * than a segment.
 *
 * CPUs run ahead of the world's clock, so pages may be free that another CPU gives back only later than this
 * CPU's time. `readyPs` keeps them from it.
 * MODEL: until the latest free of a segment by anyone has happened, the whole segment counts as used.
 * MODEL: atomic operations cost the same whoever used the cache line last.
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
import { Bits } from "./bits.ts"
import { makeSegments, type Segments } from "./ringSegments.ts"
import type { Host } from "../types.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_IOVA = accountIova
const IOVA_NONE = iovaNone
const WORK_WORDS = workWords
const WORK_CACHE_LINES = workCacheLines
const WORK_LOCKS = workLocks

/** Segments that a request may enter before it goes to the lock; their room may be in pieces too short for it. */
const ENTRIES_MAX = 3

export class RingAllocator implements IovaAllocator {
  declare readonly firsts: Int32Array
  readonly work: Work = makeWork()
  declare readonly optPages: number
  pagesUsed = 0
  declare private readonly host: Host
  declare private readonly costs: IovaCosts
  declare private readonly bits: Bits
  declare private readonly segments: Segments
  /** cursors[cpu]: where the CPU's next search of its segment begins. */
  declare private readonly cursors: Int32Array
  declare private readonly lock: number
  /** Where the next search under the lock begins. */
  private hint = 0
  /** The arguments of the operation that each CPU is in. */
  declare private readonly thens: Int32Array
  declare private readonly pageCounts: Int32Array
  declare private readonly alignments: Int32Array
  declare private readonly reaches: Int32Array
  declare private readonly boundaries: Int32Array
  declare private readonly allocateLocked: number

  constructor(window: IovaWindow) {
    const { host } = window
    this.firsts = new Int32Array(host.count).fill(IOVA_NONE)
    this.host = host
    this.costs = window.costs
    this.bits = new Bits(window)
    this.segments = makeSegments(window, this.bits.steps)
    for (const hole of this.bits.usable.holes) this.segments.count(hole.firstPage, hole.pageCount, 1)
    this.optPages = Math.max(1, this.segments.pages >> 2)
    this.cursors = this.segments.current.map((segment) => segment * this.segments.pages)
    this.lock = host.makeLock("iova ring, everything")
    this.thens = new Int32Array(host.count)
    this.pageCounts = new Int32Array(host.count)
    this.alignments = new Int32Array(host.count)
    this.reaches = new Int32Array(host.count)
    this.boundaries = new Int32Array(host.count)
    this.allocateLocked = host.define("iova allocate, everything locked", (cpu) => this.allocateAnywhere(cpu))
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
    if (pages <= this.optPages && alignment <= this.optPages && reach >= this.segments.homesEnd) {
      this.bits.begin()
      const first = this.allocateAlone(cpu, pages, alignment, boundary)
      if (first !== IOVA_NONE) {
        this.take(cpu, first, pages)
        this.charge(cpu, this.costs.constantPs, 1, 0, this.work.allocations)
        return then
      }
      // Looked for in vain, before the lock is asked for: others' steps come in between.
      this.charge(cpu, 0, 0, 0, this.work.allocations)
    }
    this.thens[cpu] = then
    this.pageCounts[cpu] = pages
    this.alignments[cpu] = alignment
    this.reaches[cpu] = reach
    this.boundaries[cpu] = boundary
    return this.host.lock(cpu, this.lock, this.allocateLocked)
  }

  /** A range in the segment that the CPU fills, or in one that it enters now. */
  private readonly allocateAlone = (cpu: number, pages: number, alignment: number, boundary: number): number => {
    const { cursors, segments } = this
    const nowPs = this.host.localPs[cpu]!
    let segment = segments.current[cpu]!
    let start = cursors[cpu]!
    let first = IOVA_NONE
    if (segments.readyPs[segment]! <= nowPs) {
      first = this.bits.search(start, segments.endOf(segment), pages, alignment, boundary)
    }
    for (let entry = 0; first === IOVA_NONE && entry < ENTRIES_MAX; entry++) {
      segment = segments.enter(cpu, nowPs)
      if (segment < 0) return IOVA_NONE
      start = segment * segments.pages
      cursors[cpu] = start
      first = this.bits.search(start, segments.endOf(segment), pages, alignment, boundary)
    }
    if (first !== IOVA_NONE) cursors[cpu] = first + pages
    return first
  }

  private readonly take = (cpu: number, first: number, pages: number): void => {
    this.bits.set(first, pages)
    this.segments.count(first, pages, 1)
    this.pagesUsed += pages
    this.firsts[cpu] = first
  }

  /** Books an operation's cost and counts its steps; the cost of some words may be in `fixedPs` already. */
  private readonly charge = (
    cpu: number,
    fixedPs: number,
    wordsIncluded: number,
    locks: number,
    sums: Float64Array
  ): void => {
    const { steps } = this.bits
    const { last } = this.work
    const words = steps[WORK_WORDS]!
    // The segment's record is one line more.
    const lines = steps[WORK_CACHE_LINES]! + 1
    last[WORK_WORDS] = words
    last[WORK_CACHE_LINES] = lines
    last[WORK_LOCKS] = locks
    sums[WORK_WORDS]! += words
    sums[WORK_CACHE_LINES]! += lines
    sums[WORK_LOCKS]! += locks
    // Mostly there is no word more, and what is spent stays the integer that it is.
    let ps = fixedPs
    if (words > wordsIncluded) ps += (words - wordsIncluded) * this.costs.bitmapWordPs
    this.host.spend(cpu, ACCOUNT_IOVA, ps)
  }

  /** Critical section: next-fit over all that the device reaches. */
  private readonly allocateAnywhere = (cpu: number): number => {
    const pages = this.pageCounts[cpu]!
    const limit = Math.min(this.reaches[cpu]!, this.bits.pageCount)
    this.bits.begin()
    let first = this.hint < limit ? this.search(cpu, this.hint, limit) : IOVA_NONE
    if (first === IOVA_NONE) first = this.search(cpu, 0, limit)
    if (first !== IOVA_NONE) {
      this.take(cpu, first, pages)
      this.hint = first + pages
    }
    this.firsts[cpu] = first
    this.charge(cpu, this.costs.bitmapSearchPs, 0, 1, this.work.allocations)
    this.host.unlock(cpu, this.lock)
    return this.thens[cpu]!
  }

  /** First free run whose segments hold nothing that is given back only later. */
  private readonly search = (cpu: number, from: number, limit: number): number => {
    const pages = this.pageCounts[cpu]!
    const nowPs = this.host.localPs[cpu]!
    let start = from
    while (true) {
      const first = this.bits.search(start, limit, pages, this.alignments[cpu]!, this.boundaries[cpu]!)
      if (first === IOVA_NONE) return IOVA_NONE
      start = this.segments.readyFrom(first, pages, nowPs)
      if (start === first) return first
    }
  }

  readonly endAllocate = (): void => {}

  readonly beginRemove = (_cpu: number, then: number): number => {
    return then
  }

  readonly beginFree = (cpu: number, first: number, pages: number, then: number): number => {
    this.bits.begin()
    this.bits.clear(first, pages)
    this.segments.count(first, pages, -1)
    this.segments.notReadyBefore(first, pages, this.host.localPs[cpu]!)
    this.pagesUsed -= pages
    this.charge(cpu, this.costs.constantPs, 1, 0, this.work.frees)
    return then
  }

  readonly canEverFit = (pages: number, alignment: number, reach: number, boundary = 0): boolean => {
    return this.bits.usable.hasPlace(0, reach, pages, alignment, boundary)
  }
}

/** Rings over a window, nothing in use. */
export const makeRingAllocator = (window: IovaWindow): RingAllocator => new RingAllocator(window)
