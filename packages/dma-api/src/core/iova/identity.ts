/**
 * No allocation at all: memory is mapped at its own address, so a page's IOVA is the page. The entry of a page is
 * still written and cleared, which makes this the lower bound of what any allocator can cost.
 *
 * Buffers that share a page of memory share its IOVA. Each page counts its users: its entry is written for the
 * first of them and goes with the last, so that a map or an unmap between the two touches no table. The counts are
 * atomic: there is no lock, and nothing waits. An address that the window does not hold, that is reserved, or that the
 * device cannot reach, fails, and will fail always; so does a buffer that lies across the device's segment boundary.
 *
 * MODEL: a request costs the constant, however many pages it has. Their counts are counted as cache lines but take no
 * time: they keep the simulator's tables right where buffers share pages, and are no part of the lower bound.
 */
import { ACCOUNT_IOVA as accountIova, assert, fail } from "@vnic/sim/core"
import {
  CACHE_LINE_BYTES,
  IOVA_NONE as iovaNone,
  makeWork,
  WORK_CACHE_LINES as workCacheLines,
  type IovaAllocator,
  type IovaWindow,
  type Work
} from "./allocator.ts"
import { boundaryBehind, UsablePages } from "./usable.ts"
import type { Host } from "../types.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_IOVA = accountIova
const IOVA_NONE = iovaNone
const WORK_CACHE_LINES = workCacheLines
/** log2 of the counts in a cache line, 4 bytes each. */
const LINE_SHIFT = 31 - Math.clz32(CACHE_LINE_BYTES / 4)

export class IdentityAllocator implements IovaAllocator {
  declare readonly firsts: Int32Array
  readonly work: Work = makeWork()
  /** Pages with a user, each counted once. */
  pagesUsed = 0
  declare readonly optPages: number
  declare readonly uses: Int32Array
  declare private readonly host: Host
  declare private readonly constantPs: number
  declare private readonly usable: UsablePages
  declare private readonly startPage: number
  /** Of the usable pages, where the way to them is too long for each map. */
  declare private readonly lowest: number
  declare private readonly hasHoles: boolean

  constructor(window: IovaWindow) {
    assert(window.pageCount >= 1 && window.pageCount <= 1 << 28, "window size out of range")
    this.firsts = new Int32Array(window.host.count).fill(IOVA_NONE)
    this.optPages = window.pageCount
    this.uses = new Int32Array(window.pageCount)
    this.host = window.host
    this.constantPs = window.costs.constantPs
    this.usable = new UsablePages(window)
    this.startPage = window.startPage
    this.lowest = this.usable.lowest
    this.hasHoles = this.usable.holes.length > 0
  }

  readonly beginAllocate = (
    cpu: number,
    pages: number,
    alignment: number,
    reach: number,
    physPage: number,
    then: number,
    boundary = 0
  ): number => {
    const { uses } = this
    const end = physPage + pages
    const isGiven = this.canEverFit(pages, alignment, reach, boundary, physPage)
    this.firsts[cpu] = isGiven ? physPage : IOVA_NONE
    if (isGiven) {
      for (let page = physPage; page < end; page++) {
        if (uses[page] === 0) this.pagesUsed++
        uses[page]! += 1
      }
    }
    this.charge(cpu, isGiven ? linesOf(physPage, pages) : 0, this.work.allocations)
    return then
  }

  private readonly charge = (cpu: number, lines: number, sums: Float64Array): void => {
    this.work.last[WORK_CACHE_LINES] = lines
    sums[WORK_CACHE_LINES]! += lines
    this.host.spend(cpu, ACCOUNT_IOVA, this.constantPs)
  }

  readonly endAllocate = (): void => {}

  readonly beginRemove = (_cpu: number, then: number): number => {
    return then
  }

  readonly beginFree = (cpu: number, first: number, pages: number, then: number): number => {
    const { uses } = this
    const end = first + pages
    const isInside = first >= this.lowest && end <= uses.length
    if (!isInside || (this.hasHoles && !this.usable.has(first, pages))) fail("an IOVA outside the window was freed")
    for (let page = first; page < end; page++) {
      if (uses[page] === 0) fail("an IOVA that is not allocated was freed")
      uses[page]! -= 1
      if (uses[page] === 0) this.pagesUsed--
    }
    this.charge(cpu, linesOf(first, pages), this.work.frees)
    return then
  }

  /** What is handed out is never in the way. */
  readonly canEverFit = (
    pages: number,
    alignment: number,
    reach: number,
    boundary = 0,
    physPage = IOVA_NONE
  ): boolean => {
    const end = physPage + pages
    if (physPage < this.lowest || end > this.uses.length || end > reach) return false
    if ((this.startPage + physPage) % alignment !== 0) return false
    if (this.hasHoles && !this.usable.has(physPage, pages)) return false
    return boundary === 0 || end <= boundaryBehind(physPage, boundary, this.startPage)
  }
}

/** Cache lines that the counts of a range lie in. */
const linesOf = (first: number, pages: number): number =>
  ((first + pages - 1) >> LINE_SHIFT) - (first >> LINE_SHIFT) + 1

/** Every page of the window at its own address. */
export const makeIdentityAllocator = (window: IovaWindow): IdentityAllocator => new IdentityAllocator(window)
