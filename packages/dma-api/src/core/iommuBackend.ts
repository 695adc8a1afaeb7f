/**
 * The IOMMU backend: a map is given a range of bus addresses by an allocator and writes table entries; an unmap
 * clears them, and the range goes back when the flush policy says that it may.
 *
 *     map     allocate · insert
 *     unmap   remove · flush · free
 *
 * Lazy policies flush and free later; tables that cache nothing are not flushed.
 *
 * [Linux 3.4 arch/powerpc/kernel/iommu.c iommu_alloc, iommu_free; 6.12 drivers/iommu/dma-iommu.c __iommu_dma_map]
 */
import { ACCOUNT_DMA_API as accountDmaApi } from "@vnic/sim/core"
import type { AddressSpace } from "./addressSpace.ts"
import type { Backend, BackendContext, Calls, MapEnds } from "./backend.ts"
import { blockBytes, wholePagesBytes, type CoherentMemory } from "./coherent.ts"
import { IommuLists } from "./iommuLists.ts"
import { IommuRanges } from "./iommuRanges.ts"
import { IOVA_NONE as iovaNone, type IovaAllocator } from "./iova/allocator.ts"
import { directionOfTag, KIND_COHERENT as kindCoherent, kindOfTag } from "./mappings.ts"
import { maskOf, reachOf } from "./masks.ts"
import type { SharedPages } from "./sharedPages.ts"
import {
  MAP_ADDRESS_SPACE_FULL,
  MAP_INVALID,
  MAP_MASK_TOO_NARROW,
  MAP_TABLE_REFUSED,
  type BusAddr,
  type DmaCosts,
  type Host,
  type PhysAddr,
  type Table
} from "./types.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_DMA_API = accountDmaApi
const IOVA_NONE = iovaNone
const KIND_COHERENT = kindCoherent

export interface IommuOptions {
  readonly host: Host
  readonly costs: DmaCosts
  readonly coherent: CoherentMemory
  readonly space: AddressSpace
}

export class IommuBackend implements Backend {
  readonly isTable = true
  readonly isSynced = false
  readonly maxMappingBytes = Number.MAX_SAFE_INTEGER
  declare readonly optMappingBytes: number
  declare readonly mergeBoundary: number
  declare readonly requiredMask: number
  declare readonly lists?: IommuLists
  declare readonly ranges?: IommuRanges
  declare readonly host: Host
  declare readonly space: AddressSpace
  declare readonly context: BackendContext
  /** Entries of the window that the device can address, for streaming mappings and for coherent memory. */
  reach = 0
  coherentReach = 0
  /** Pages on the bus whose multiples no mapping crosses; 0 when the window has none of these inside. */
  boundary = 0
  /** The device asks for an alignment that an IOMMU page cannot keep. */
  isRefusing = false
  declare readonly pageShift: number
  declare readonly pageBytes: number
  declare private readonly pageMask: number
  declare private readonly calls: Calls
  declare private readonly ends: MapEnds
  declare private readonly allocator: IovaAllocator
  declare private readonly table: Table
  /** Where live mappings may share pages. */
  declare private readonly shared: SharedPages | undefined
  declare private readonly coherent: CoherentMemory
  declare private readonly systemPageBytes: number
  declare private readonly windowStartPage: number
  declare readonly mapOtherPs: number
  declare readonly unmapOtherPs: number
  /** The entries that each CPU's call is about: the first, and how many. */
  declare private readonly firstPages: Int32Array
  declare private readonly pageCounts: Int32Array
  declare private readonly allocated: number
  declare private readonly refused: number
  declare private readonly removable: number
  declare private readonly sharedFreed: number

  constructor(options: IommuOptions, context: BackendContext) {
    const { costs, host, space } = options
    const { allocator, table } = space
    this.host = host
    this.space = space
    this.context = context
    this.calls = context.calls
    this.ends = context.ends
    this.allocator = allocator
    this.table = table
    this.shared = space.shared
    this.coherent = options.coherent
    this.systemPageBytes = options.coherent.pages.pageSizeBytes
    this.pageShift = table.pageShift
    this.pageBytes = 2 ** table.pageShift
    this.pageMask = this.pageBytes - 1
    this.windowStartPage = table.windowStart / this.pageBytes
    this.mapOtherPs = costs.mapOtherPs
    this.unmapOtherPs = costs.unmapOtherPs
    this.optMappingBytes = allocator.optPages === 0 ? this.maxMappingBytes : allocator.optPages * this.pageBytes
    this.mergeBoundary = this.shared === undefined ? this.pageMask : 0
    this.requiredMask = maskOf(table.windowStart + table.pageCount * this.pageBytes)
    this.firstPages = new Int32Array(host.count)
    this.pageCounts = new Int32Array(host.count)
    this.allocated = host.define("dma map: allocated", (cpu) => this.insert(cpu))
    const givenUp = host.define("dma map: given up", (cpu) => this.ends.mapFailed(cpu, MAP_TABLE_REFUSED))
    this.refused =
      this.shared === undefined
        ? givenUp
        : host.define("dma map: undo", (cpu) => this.shared!.beginUndo(cpu, this.firstPages[cpu]!, givenUp))
    this.removable = host.define("dma unmap: remove", (cpu) => this.remove(cpu))
    this.sharedFreed = host.define("dma unmap: shared", (cpu) => this.removeShared(cpu))
    this.limitsChanged()
    if (this.shared === undefined) {
      this.lists = new IommuLists(this)
      this.ranges = new IommuRanges(this)
    }
  }

  readonly limitsChanged = (): void => {
    const { limits } = this.context
    this.reach = reachOf(this.table, limits.mask)
    this.coherentReach = reachOf(this.table, limits.coherentMask)
    this.boundary = this.boundaryOf(limits.segBoundaryMask)
    this.isRefusing = limits.minAlignMask > this.pageMask
  }

  /** A boundary inside a page is the page; above 2^30 pages there is none, as no window is that long. */
  private readonly boundaryOf = (boundaryMask: number): number => {
    const pages = Math.max(1, (boundaryMask + 1) / this.pageBytes)
    if (pages > 2 ** 30) return 0
    const last = this.windowStartPage + this.table.pageCount - 1
    return Math.floor(this.windowStartPage / pages) === Math.floor(last / pages) ? 0 : pages
  }

  /** What comes out above is found at the map: any mask is taken. */
  readonly isMaskSupported = (): boolean => {
    return true
  }

  readonly beginMap = (cpu: number): number => {
    const phys = this.calls.phys[cpu]!
    const pages = this.pagesAt(cpu, phys)
    this.pageCounts[cpu] = pages
    if (this.isRefusing) return this.ends.mapFailed(cpu, MAP_INVALID)
    if (this.mapOtherPs > 0) this.host.spend(cpu, ACCOUNT_DMA_API, this.mapOtherPs)
    const alignment = this.alignmentAt(cpu, phys)
    const reach = this.reachOf(cpu)
    return this.allocator.beginAllocate(cpu, pages, alignment, reach, this.pageOf(phys), this.allocated, this.boundary)
  }

  /** The window's page that an address lies in; of memory, the one with that address on the bus. */
  readonly pageOf = (address: number): number => {
    return (address - (address & this.pageMask)) / this.pageBytes - this.windowStartPage
  }

  readonly busAddrOf = (page: number): BusAddr => {
    return this.table.windowStart + page * this.pageBytes
  }

  private readonly reachOf = (cpu: number): number => {
    return kindOfTag(this.calls.tags[cpu]!) === KIND_COHERENT ? this.coherentReach : this.reach
  }

  /** IOMMU pages of the CPU's buffer at this address: those that it touches, of coherent memory its whole pages. */
  private readonly pagesAt = (cpu: number, address: number): number => {
    const sizeBytes = this.calls.sizes[cpu]!
    const isCoherent = kindOfTag(this.calls.tags[cpu]!) === KIND_COHERENT
    const mappedBytes = isCoherent ? wholePagesBytes(this.coherent, sizeBytes) : sizeBytes
    return ((address & this.pageMask) + mappedBytes + this.pageMask) >>> this.pageShift
  }

  /**
   * What the range's first entry must be a multiple of: whole system pages are aligned to the system page, as
   * the kernel aligns them, coherent memory to the power of two that holds it, others to nothing.
   */
  private readonly alignmentAt = (cpu: number, phys: PhysAddr): number => {
    const sizeBytes = this.calls.sizes[cpu]!
    const pageBytes = this.systemPageBytes
    if (kindOfTag(this.calls.tags[cpu]!) === KIND_COHERENT) return this.entriesOf(blockBytes(this.coherent, sizeBytes))
    if (sizeBytes < pageBytes || (phys & (pageBytes - 1)) !== 0) return 1
    return this.entriesOf(pageBytes)
  }

  private readonly entriesOf = (powerOfTwo: number): number => {
    return powerOfTwo >>> this.pageShift || 1
  }

  /**
   * What a range of several pieces must begin at a multiple of, so that a boundary that nothing crosses within it is
   * one that nothing crosses on the bus.
   */
  readonly alignmentFor = (pages: number): number => {
    let alignment = 1
    while (alignment < pages && alignment < this.boundary) alignment *= 2
    return alignment
  }

  private readonly insert = (cpu: number): number => {
    const { allocator } = this
    const first = allocator.firsts[cpu]!
    if (first === IOVA_NONE) return this.ends.mapFailed(cpu, this.reasonOf(cpu))
    const pages = this.pageCounts[cpu]!
    const phys = this.calls.phys[cpu]!
    const offset = phys & this.pageMask
    const direction = directionOfTag(this.calls.tags[cpu]!)
    const refusal =
      this.shared === undefined
        ? this.table.insert(cpu, first, pages, phys - offset, direction)
        : this.shared.insert(cpu, first, pages)
    if (refusal !== 0) {
      this.firstPages[cpu] = first
      return allocator.beginFree(cpu, first, pages, this.refused)
    }
    allocator.endAllocate(cpu)
    return this.ends.mapDone(cpu, this.busAddrOf(first) + offset)
  }

  /** Why the allocator had no range. */
  private readonly reasonOf = (cpu: number): number => {
    const phys = this.calls.phys[cpu]!
    const alignment = this.alignmentAt(cpu, phys)
    return this.reasonFor(this.pageCounts[cpu]!, alignment, this.reachOf(cpu), this.boundary, this.pageOf(phys))
  }

  /** Would an unmap help? If not: is it the boundary that is in the way, or the end of what can be reached? */
  readonly reasonFor = (pages: number, alignment: number, reach: number, boundary = 0, physPage = -1): number => {
    const { allocator } = this
    if (allocator.canEverFit(pages, alignment, reach, boundary, physPage)) return MAP_ADDRESS_SPACE_FULL
    return allocator.canEverFit(pages, alignment, reach, 0, physPage) ? MAP_INVALID : MAP_MASK_TOO_NARROW
  }

  readonly suits = (cpu: number): boolean => {
    if (this.shared === undefined) return true
    const phys = this.calls.phys[cpu]!
    const [pages, alignment] = [this.pagesAt(cpu, phys), this.alignmentAt(cpu, phys)]
    return this.allocator.canEverFit(pages, alignment, this.reachOf(cpu), this.boundary, this.pageOf(phys))
  }

  readonly beginUnmap = (cpu: number): number => {
    const busAddr = this.calls.bus[cpu]!
    this.firstPages[cpu] = this.pageOf(busAddr)
    this.pageCounts[cpu] = this.pagesAt(cpu, busAddr)
    if (this.unmapOtherPs > 0) this.host.spend(cpu, ACCOUNT_DMA_API, this.unmapOtherPs)
    return this.allocator.beginRemove(cpu, this.removable)
  }

  private readonly remove = (cpu: number): number => {
    const first = this.firstPages[cpu]!
    const pages = this.pageCounts[cpu]!
    // A shared page has its users counted first: who maps it while the flush runs must see that it has none.
    if (this.shared !== undefined) return this.allocator.beginFree(cpu, first, pages, this.sharedFreed)
    this.table.remove(cpu, first, pages)
    return this.space.policy.beginRelease(cpu, first, pages, this.calls.thens[cpu]!)
  }

  private readonly removeShared = (cpu: number): number => {
    return this.shared!.beginRemove(cpu, this.firstPages[cpu]!, this.pageCounts[cpu]!, this.calls.thens[cpu]!)
  }

  readonly syncForCpu = (): void => {}

  readonly syncForDevice = (): void => {}

  readonly needsSync = (): boolean => {
    return false
  }
}
