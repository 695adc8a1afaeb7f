/**
 * One lock around one structure of ranges: the form of every allocator that had its contention charted. The
 * structure is plain code that knows neither CPUs nor time; here its operations become critical sections, and
 * the steps that they counted become CPU time while the lock is held.
 *
 *     map     lock · allocate · insert · unlock        (lockAcrossTableWrite: both)
 *     unmap   lock · remove · free · unlock            (both, unmap)
 *     map     lock · allocate · unlock · insert        (unmap, none)
 *     unmap   remove · lock · free · unlock            (none)
 *
 * Until June 2012 powerpc did the first and the second [Linux 3.4 arch/powerpc/kernel/iommu.c iommu_alloc,
 * iommu_free]; trees of ranges do the last two [Linux 3.10 drivers/iommu/iova.c].
 */
import { ACCOUNT_IOVA as accountIova } from "@vnic/sim/core"
import {
  IOVA_NONE as iovaNone,
  makeWork,
  WORK_CACHE_LINES as workCacheLines,
  WORK_LOCKS as workLocks,
  WORK_NODES as workNodes,
  WORK_WORDS as workWords,
  type IovaAllocator,
  type IovaCosts,
  type IovaWindow,
  type LockAcrossTableWrite,
  type Work
} from "./allocator.ts"
import type { Host } from "../types.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_IOVA = accountIova
const IOVA_NONE = iovaNone
const WORK_NODES = workNodes
const WORK_WORDS = workWords
const WORK_CACHE_LINES = workCacheLines
const WORK_LOCKS = workLocks

/** Ranges of pages in use; whoever calls holds the lock. */
export interface RangeStructure {
  /** Pages handed out and not yet freed. */
  readonly pagesUsed: number
  /** steps[WORK_NODES], [WORK_WORDS] and [WORK_CACHE_LINES] of the operation done last. */
  readonly steps: Float64Array
  /**
   * The first page of a free range, now used, or IOVA_NONE. What is asked of it is said of
   * `IovaAllocator.beginAllocate`.
   */
  allocate(pages: number, alignment: number, reach: number, boundary: number): number
  /** Gives a range back, exactly as it was handed out. */
  free(first: number, pages: number): void
  /** Would such a request succeed if nothing was handed out? */
  canEverFit(pages: number, alignment: number, reach: number, boundary: number): boolean
}

/**
 * What the operations of a structure cost: so much each, and so much for each step, picoseconds. A step's price has
 * that of the cache line it fetches in it: see `IovaCosts`.
 */
export interface StepCosts {
  readonly allocatePs: number
  readonly freePs: number
  readonly nodePs: number
  readonly wordPs: number
}

/** A bitmap: a search has a cost of its own, clearing bits costs the words that they are in. */
export const bitmapStepCosts = (costs: IovaCosts): StepCosts => ({
  allocatePs: costs.bitmapSearchPs,
  freePs: 0,
  nodePs: 0,
  wordPs: costs.bitmapWordPs
})

/** A tree: both operations begin with a search. */
export const treeStepCosts = (costs: IovaCosts): StepCosts => ({
  allocatePs: costs.treeSearchPs,
  freePs: costs.treeSearchPs,
  nodePs: costs.treeVisitPs,
  wordPs: 0
})

export interface OneLockOptions {
  /** The lock's name in reports. */
  readonly lockName: string
  /** Where the window says less, that is what is done. */
  readonly lockAcrossTableWrite: LockAcrossTableWrite
  readonly stepCosts: StepCosts
}

/** Whose the lock is when `beginFree` comes: taken there, by the map that is given up, or by the unmap. */
const NOT_HELD = 0
const HELD_BY_MAP = 1
const HELD_BY_UNMAP = 2

export class OneLockAllocator implements IovaAllocator {
  declare readonly firsts: Int32Array
  readonly work: Work = makeWork()
  readonly optPages = 0
  declare readonly structure: RangeStructure
  declare private readonly host: Host
  declare private readonly lock: number
  declare private readonly stepCosts: StepCosts
  declare private readonly isAllocateLockedAcross: boolean
  declare private readonly isRemoveLockedAcross: boolean
  /** holds[cpu]: is the lock the CPU's, from `beginAllocate` or `beginRemove` on? */
  declare private readonly holds: Uint8Array
  /** The arguments of the operation that each CPU is in. */
  declare private readonly thens: Int32Array
  declare private readonly freeFirsts: Int32Array
  declare private readonly pageCounts: Int32Array
  declare private readonly alignments: Int32Array
  declare private readonly reaches: Int32Array
  declare private readonly boundaries: Int32Array
  declare private readonly allocateLocked: number
  declare private readonly removeLocked: number
  declare private readonly freeLocked: number

  constructor(window: IovaWindow, structure: RangeStructure, options: OneLockOptions) {
    const { host } = window
    const modes = [window.lockAcrossTableWrite, options.lockAcrossTableWrite]
    this.firsts = new Int32Array(host.count).fill(IOVA_NONE)
    this.structure = structure
    this.host = host
    this.lock = host.makeLock(options.lockName)
    this.stepCosts = options.stepCosts
    this.isAllocateLockedAcross = modes.every((mode) => mode === "both")
    this.isRemoveLockedAcross = !modes.includes("none")
    this.holds = new Uint8Array(host.count)
    this.thens = new Int32Array(host.count)
    this.freeFirsts = new Int32Array(host.count)
    this.pageCounts = new Int32Array(host.count)
    this.alignments = new Int32Array(host.count)
    this.reaches = new Int32Array(host.count)
    this.boundaries = new Int32Array(host.count)
    this.allocateLocked = host.define("iova allocate, locked", (cpu) => this.allocate(cpu))
    this.removeLocked = host.define("iova remove, locked", (cpu) => this.remove(cpu))
    this.freeLocked = host.define("iova free, locked", (cpu) => this.free(cpu))
  }

  get pagesUsed(): number {
    return this.structure.pagesUsed
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
    return this.host.lock(cpu, this.lock, this.allocateLocked)
  }

  private readonly allocate = (cpu: number): number => {
    const { stepCosts, structure, work } = this
    const first = structure.allocate(
      this.pageCounts[cpu]!,
      this.alignments[cpu]!,
      this.reaches[cpu]!,
      this.boundaries[cpu]!
    )
    this.firsts[cpu] = first
    this.charge(cpu, stepCosts.allocatePs, 1, work.allocations)
    if (this.isAllocateLockedAcross && first !== IOVA_NONE) this.holds[cpu] = HELD_BY_MAP
    else this.host.unlock(cpu, this.lock)
    return this.thens[cpu]!
  }

  /** Books what the structure's last operation cost, and counts its steps. */
  private readonly charge = (cpu: number, fixedPs: number, locks: number, sums: Float64Array): void => {
    const { stepCosts } = this
    const { steps } = this.structure
    const { last } = this.work
    const nodes = steps[WORK_NODES]!
    const words = steps[WORK_WORDS]!
    const lines = steps[WORK_CACHE_LINES]!
    last[WORK_NODES] = nodes
    last[WORK_WORDS] = words
    last[WORK_CACHE_LINES] = lines
    last[WORK_LOCKS] = locks
    sums[WORK_NODES]! += nodes
    sums[WORK_WORDS]! += words
    sums[WORK_CACHE_LINES]! += lines
    sums[WORK_LOCKS]! += locks
    this.host.spend(cpu, ACCOUNT_IOVA, fixedPs + nodes * stepCosts.nodePs + words * stepCosts.wordPs)
  }

  readonly endAllocate = (cpu: number): void => {
    if (this.isAllocateLockedAcross) this.letGo(cpu)
  }

  private readonly letGo = (cpu: number): void => {
    this.holds[cpu] = NOT_HELD
    this.host.unlock(cpu, this.lock)
  }

  readonly beginRemove = (cpu: number, then: number): number => {
    if (!this.isRemoveLockedAcross) return then
    this.thens[cpu] = then
    return this.host.lock(cpu, this.lock, this.removeLocked)
  }

  private readonly remove = (cpu: number): number => {
    this.holds[cpu] = HELD_BY_UNMAP
    return this.thens[cpu]!
  }

  readonly beginFree = (cpu: number, first: number, pages: number, then: number): number => {
    this.thens[cpu] = then
    this.freeFirsts[cpu] = first
    this.pageCounts[cpu] = pages
    if (this.holds[cpu] !== NOT_HELD) return this.free(cpu)
    return this.host.lock(cpu, this.lock, this.freeLocked)
  }

  private readonly free = (cpu: number): number => {
    this.structure.free(this.freeFirsts[cpu]!, this.pageCounts[cpu]!)
    // The lock of a map that is given up is counted with its allocation.
    this.charge(cpu, this.stepCosts.freePs, this.holds[cpu] === HELD_BY_MAP ? 0 : 1, this.work.frees)
    this.letGo(cpu)
    return this.thens[cpu]!
  }

  readonly canEverFit = (pages: number, alignment: number, reach: number, boundary = 0): boolean => {
    return this.structure.canEverFit(pages, alignment, reach, boundary)
  }
}

/** An allocator whose every operation is done under one lock, which is made here. */
export const makeOneLockAllocator = (
  window: IovaWindow,
  structure: RangeStructure,
  options: OneLockOptions
): OneLockAllocator => new OneLockAllocator(window, structure, options)
