/**
 * An allocator of the caller's own may overlook what its window or a request asks. What it hands out is looked at
 * before the table and the device are given it: a broken promise throws.
 */
import { assert } from "@vnic/sim/core"
import { IOVA_NONE, type IovaAllocator, type IovaWindow, type Work } from "./iova/allocator.ts"
import { boundaryBehind, UsablePages } from "./iova/usable.ts"

class CheckedAllocator implements IovaAllocator {
  declare readonly firsts: Int32Array
  declare readonly work: Work
  declare readonly optPages: number
  declare readonly uses?: Int32Array
  declare private readonly own: IovaAllocator
  declare private readonly usable: UsablePages
  declare private readonly startPage: number
  /** What each CPU asked for, and where it goes on. */
  declare private readonly thens: Int32Array
  declare private readonly pageCounts: Int32Array
  declare private readonly alignments: Int32Array
  declare private readonly reaches: Int32Array
  declare private readonly boundaries: Int32Array
  declare private readonly allocated: number

  constructor(own: IovaAllocator, window: IovaWindow) {
    const { count } = window.host
    this.firsts = own.firsts
    this.work = own.work
    this.optPages = own.optPages
    if (own.uses !== undefined) this.uses = own.uses
    this.own = own
    this.usable = new UsablePages(window)
    this.startPage = window.startPage
    this.thens = new Int32Array(count)
    this.pageCounts = new Int32Array(count)
    this.alignments = new Int32Array(count)
    this.reaches = new Int32Array(count)
    this.boundaries = new Int32Array(count)
    this.allocated = window.host.define("iova allocate, check", (cpu) => this.check(cpu))
  }

  get pagesUsed(): number {
    return this.own.pagesUsed
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
    this.thens[cpu] = then
    this.pageCounts[cpu] = pages
    this.alignments[cpu] = alignment
    this.reaches[cpu] = reach
    this.boundaries[cpu] = boundary
    return this.own.beginAllocate(cpu, pages, alignment, reach, physPage, this.allocated, boundary)
  }

  private readonly check = (cpu: number): number => {
    const first = this.firsts[cpu]!
    if (first === IOVA_NONE) return this.thens[cpu]!
    const { startPage, usable } = this
    const pages = this.pageCounts[cpu]!
    const boundary = this.boundaries[cpu]!
    const end = first + pages
    assert(usable.has(first, pages), "an allocator handed out pages that its window has not, or reserves")
    assert(end <= this.reaches[cpu]!, "an allocator handed out pages that the device does not reach")
    const isAligned = (startPage + first) % this.alignments[cpu]! === 0
    assert(isAligned, "an allocator handed out pages that are not aligned on the bus as was asked for")
    // One that aligns alone, as the trees do, does not look at a boundary that is shorter than the range.
    const isWhole = boundary === 0 || pages > boundary || end <= boundaryBehind(first, boundary, startPage)
    assert(isWhole, "an allocator handed out pages that lie across the boundary")
    return this.thens[cpu]!
  }

  readonly endAllocate = (cpu: number): void => {
    this.own.endAllocate(cpu)
  }

  readonly beginRemove = (cpu: number, then: number): number => {
    return this.own.beginRemove(cpu, then)
  }

  readonly beginFree = (cpu: number, first: number, pages: number, then: number): number => {
    return this.own.beginFree(cpu, first, pages, then)
  }

  readonly canEverFit = (
    pages: number,
    alignment: number,
    reach: number,
    boundary = 0,
    physPage = IOVA_NONE
  ): boolean => {
    return this.own.canEverFit(pages, alignment, reach, boundary, physPage)
  }
}

/** The same allocator, of which every range is looked at. */
export const checkedAllocator = (own: IovaAllocator, window: IovaWindow): IovaAllocator =>
  new CheckedAllocator(own, window)
