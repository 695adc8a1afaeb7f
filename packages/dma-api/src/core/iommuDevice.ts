/**
 * The IOMMU backend: a map allocates a range of IOVAs and writes table entries, an unmap clears them and
 * gives the range back. One lock guards the allocator of the table, as it did before July 2012; whether
 * it is also held across the table write, and so across the hypercall, is a setting.
 *
 *     map     lock · search · insert · unlock          (lockAcrossTableWrite: both)
 *     unmap   lock · remove · free · unlock            (both, unmap)
 *     map     lock · search · unlock · insert          (unmap, none)
 *     unmap   remove · lock · free · unlock            (none)
 *
 * [Linux 3.4 arch/powerpc/kernel/iommu.c iommu_alloc, iommu_free]
 */
import { ACCOUNT_IOVA, fail } from "@vnic/sim/core"
import { IOVA_NONE, type BitmapAllocator } from "./bitmap.ts"
import { allocateBlock, blockBytes, freeBlock, wholePagesBytes, type CoherentMemory } from "./coherent.ts"
import type { DmaDebug } from "./debug.ts"
import { checkMap, isMappingError, makeDeviceCounters, makeResults, type Coherent, type Device } from "./device.ts"
import { directionOfTag, KIND_COHERENT, KIND_SINGLE, kindOfTag, tagOf } from "./mappings.ts"
import {
  BIDIRECTIONAL,
  DMA_MAPPING_ERROR,
  MAP_ADDRESS_SPACE_FULL,
  MAP_MASK_TOO_NARROW,
  MAP_OK,
  MAP_OUT_OF_MEMORY,
  MAP_TABLE_REFUSED,
  type BusAddr,
  type Direction,
  type DmaCosts,
  type Host,
  type PhysAddr,
  type Table
} from "./types.ts"

/** During which operations the allocator's lock is held across the table write. */
export type LockAcrossTableWrite = "both" | "unmap" | "none"

/** An allocator with its lock, shared by the devices of one table. */
export interface AddressSpace {
  readonly table: Table
  readonly allocator: BitmapAllocator
  readonly lock: number
}

export interface IommuDeviceOptions {
  readonly name: string
  /** Largest bus address that the device can put on the bus. */
  readonly dmaMask: number
  readonly host: Host
  readonly coherent: CoherentMemory
  readonly costs: DmaCosts
  readonly debug: DmaDebug | undefined
  readonly space: AddressSpace
  readonly lockAcrossTableWrite: LockAcrossTableWrite
}

export class IommuDevice implements Device {
  declare readonly name: string
  readonly counters = makeDeviceCounters()
  declare readonly mapped: Float64Array
  declare readonly failure: Int8Array
  isReleased = false
  declare private readonly host: Host
  declare private readonly coherent: CoherentMemory
  declare private readonly costs: DmaCosts
  declare private readonly debug: DmaDebug | undefined
  declare private readonly debugId: number
  declare private readonly space: AddressSpace
  /** Entries of the window that the device can address. */
  declare private readonly reachPages: number
  declare private readonly pageShift: number
  declare private readonly pageMask: number
  declare private readonly systemPageBytes: number
  declare private readonly isMapLockedAcross: boolean
  declare private readonly isUnmapLockedAcross: boolean
  /** The arguments of the call that each CPU is in. */
  declare private readonly phys: Float64Array
  declare private readonly bus: Float64Array
  declare private readonly sizes: Int32Array
  declare private readonly tags: Int32Array
  /** The entries that it is about: the first, and how many. */
  declare private readonly firstPages: Int32Array
  declare private readonly pageCounts: Int32Array
  declare private readonly mapStep: number
  declare private readonly unmapStep: number
  declare private readonly mapLocked: number
  declare private readonly unmapLocked: number
  declare private readonly giveUpLocked: number

  constructor(options: IommuDeviceOptions) {
    const { host, space } = options
    this.name = options.name
    this.host = host
    this.coherent = options.coherent
    this.costs = options.costs
    this.debug = options.debug
    this.debugId = options.debug?.addDevice(options.name) ?? 0
    this.space = space
    this.pageShift = space.table.pageShift
    this.pageMask = (1 << this.pageShift) - 1
    this.reachPages = reachOf(space.table, options.dmaMask)
    this.systemPageBytes = options.coherent.pages.pageSizeBytes
    this.isMapLockedAcross = options.lockAcrossTableWrite === "both"
    this.isUnmapLockedAcross = options.lockAcrossTableWrite !== "none"
    this.phys = new Float64Array(host.count)
    this.bus = new Float64Array(host.count)
    this.sizes = new Int32Array(host.count)
    this.tags = new Int32Array(host.count)
    this.firstPages = new Int32Array(host.count)
    this.pageCounts = new Int32Array(host.count)
    const results = makeResults(host.count)
    this.mapped = results.mapped
    this.failure = results.failure
    this.mapStep = host.define("dma map", (cpu) => host.lock(cpu, space.lock, this.mapLocked))
    this.mapLocked = host.define("dma map, locked", (cpu) => this.allocateAndInsert(cpu))
    this.giveUpLocked = host.define("dma map, giving up", (cpu) => this.giveUp(cpu))
    this.unmapStep = host.define("dma unmap", (cpu) => this.unmapBeforeLock(cpu))
    this.unmapLocked = host.define("dma unmap, locked", (cpu) => this.removeAndFree(cpu))
  }

  readonly beginMapSingle = (
    cpu: number,
    phys: PhysAddr,
    sizeBytes: number,
    direction: Direction,
    then: number
  ): number => {
    checkMap(sizeBytes, direction)
    this.setMap(cpu, phys, sizeBytes, tagOf(KIND_SINGLE, direction))
    return this.host.call(cpu, this.mapStep, then)
  }

  private readonly setMap = (cpu: number, phys: PhysAddr, sizeBytes: number, tag: number): void => {
    this.phys[cpu] = phys
    this.sizes[cpu] = sizeBytes
    this.tags[cpu] = tag
  }

  readonly beginUnmapSingle = (
    cpu: number,
    busAddr: BusAddr,
    sizeBytes: number,
    direction: Direction,
    then: number
  ): number => {
    this.setUnmap(cpu, busAddr, sizeBytes, tagOf(KIND_SINGLE, direction))
    return this.host.call(cpu, this.unmapStep, then)
  }

  private readonly setUnmap = (cpu: number, busAddr: BusAddr, sizeBytes: number, tag: number): void => {
    this.bus[cpu] = busAddr
    this.sizes[cpu] = sizeBytes
    this.tags[cpu] = tag
  }

  /** IOMMU pages of the CPU's buffer at this address: those that it touches, of coherent memory its whole pages. */
  private readonly pagesAt = (cpu: number, address: number): number => {
    const sizeBytes = this.sizes[cpu]!
    const isCoherent = kindOfTag(this.tags[cpu]!) === KIND_COHERENT
    const mappedBytes = isCoherent ? wholePagesBytes(this.coherent, sizeBytes) : sizeBytes
    return ((address & this.pageMask) + mappedBytes + this.pageMask) >> this.pageShift
  }

  /**
   * What the range's first entry must be a multiple of: whole system pages are aligned to the system page, as
   * the kernel aligns them, coherent memory to the power of two that holds it, others to nothing.
   */
  private readonly alignmentAt = (cpu: number, phys: PhysAddr): number => {
    const sizeBytes = this.sizes[cpu]!
    const pageBytes = this.systemPageBytes
    if (kindOfTag(this.tags[cpu]!) === KIND_COHERENT) return this.entriesOf(blockBytes(this.coherent, sizeBytes))
    if (sizeBytes < pageBytes || (phys & (pageBytes - 1)) !== 0) return 1
    return this.entriesOf(pageBytes)
  }

  private readonly entriesOf = (powerOfTwo: number): number => {
    return powerOfTwo >> this.pageShift || 1
  }

  /** Critical section of a map. */
  private readonly allocateAndInsert = (cpu: number): number => {
    const { allocator, lock, table } = this.space
    const phys = this.phys[cpu]!
    const pages = this.pagesAt(cpu, phys)
    const alignment = this.alignmentAt(cpu, phys)
    const page = allocator.allocate(pages, alignment, this.reachPages)
    this.host.spend(cpu, ACCOUNT_IOVA, this.costs.bitmapSearchPs + this.costs.bitmapWordPs * allocator.wordsScanned)
    if (page === IOVA_NONE) {
      const isFull = this.reachPages === table.pageCount || allocator.canEverFit(pages, alignment, this.reachPages)
      return this.refuse(cpu, isFull ? MAP_ADDRESS_SPACE_FULL : MAP_MASK_TOO_NARROW)
    }
    this.firstPages[cpu] = page
    this.pageCounts[cpu] = pages
    this.bus[cpu] = table.windowStart + page * (this.pageMask + 1) + (phys & this.pageMask)
    if (!this.isMapLockedAcross) this.host.unlock(cpu, lock)
    const direction = directionOfTag(this.tags[cpu]!)
    const refusal = table.insert(cpu, page, pages, phys - (phys & this.pageMask), direction)
    if (refusal !== 0) {
      return this.isMapLockedAcross ? this.giveUp(cpu) : this.host.lock(cpu, lock, this.giveUpLocked)
    }
    if (this.isMapLockedAcross) this.host.unlock(cpu, lock)
    return this.mapDone(cpu)
  }

  private readonly mapDone = (cpu: number): number => {
    const busAddr = this.bus[cpu]!
    const tag = this.tags[cpu]!
    this.failure[cpu] = MAP_OK
    this.mapped[cpu] = busAddr
    this.counters.live++
    this.counters.maps[directionOfTag(tag)]! += 1
    this.debug?.mapped(this.debugId, cpu, busAddr, this.phys[cpu]!, this.sizes[cpu]!, tag)
    return this.host.leave(cpu)
  }

  /** The table refused the entries: their range goes back. */
  private readonly giveUp = (cpu: number): number => {
    this.freeRange(cpu)
    return this.refuse(cpu, MAP_TABLE_REFUSED)
  }

  private readonly refuse = (cpu: number, reason: number): number => {
    this.host.unlock(cpu, this.space.lock)
    this.noteFailure(cpu, reason)
    return this.host.leave(cpu)
  }

  private readonly noteFailure = (cpu: number, reason: number): void => {
    this.failure[cpu] = reason
    this.mapped[cpu] = DMA_MAPPING_ERROR
    this.counters.failures[reason]! += 1
  }

  private readonly unmapBeforeLock = (cpu: number): number => {
    const debug = this.debug
    if (debug !== undefined && !debug.unmapped(this.debugId, cpu, this.bus[cpu]!, this.sizes[cpu]!, this.tags[cpu]!)) {
      // What was wrong is a finding; what is undone is what was done, if anything.
      this.sizes[cpu] = debug.undoneBytes
      this.tags[cpu] = debug.undoneTag
      if (debug.undoneBytes === 0) return this.host.leave(cpu)
    }
    this.counters.live--
    this.counters.unmaps[directionOfTag(this.tags[cpu]!)]! += 1
    const busAddr = this.bus[cpu]!
    const { table } = this.space
    this.firstPages[cpu] = (busAddr - table.windowStart) / (this.pageMask + 1)
    this.pageCounts[cpu] = this.pagesAt(cpu, busAddr)
    if (!this.isUnmapLockedAcross) table.remove(cpu, this.firstPages[cpu]!, this.pageCounts[cpu]!)
    return this.host.lock(cpu, this.space.lock, this.unmapLocked)
  }

  /** Critical section of an unmap. */
  private readonly removeAndFree = (cpu: number): number => {
    const { lock, table } = this.space
    if (this.isUnmapLockedAcross) table.remove(cpu, this.firstPages[cpu]!, this.pageCounts[cpu]!)
    this.freeRange(cpu)
    this.host.unlock(cpu, lock)
    return this.host.leave(cpu)
  }

  private readonly freeRange = (cpu: number): void => {
    const { allocator } = this.space
    allocator.free(this.firstPages[cpu]!, this.pageCounts[cpu]!)
    this.host.spend(cpu, ACCOUNT_IOVA, this.costs.bitmapWordPs * allocator.wordsScanned)
  }

  readonly mapSingle = (cpu: number, phys: PhysAddr, sizeBytes: number, direction: Direction): BusAddr => {
    checkMap(sizeBytes, direction)
    return this.mapNow(cpu, phys, sizeBytes, tagOf(KIND_SINGLE, direction))
  }

  private readonly mapNow = (cpu: number, phys: PhysAddr, sizeBytes: number, tag: number): BusAddr => {
    this.setMap(cpu, phys, sizeBytes, tag)
    this.host.runAlone(cpu, this.mapStep)
    return this.mapped[cpu]!
  }

  readonly mapPage = (
    cpu: number,
    page: PhysAddr,
    offsetBytes: number,
    sizeBytes: number,
    direction: Direction
  ): BusAddr => {
    return this.mapSingle(cpu, page + offsetBytes, sizeBytes, direction)
  }

  readonly unmapSingle = (cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void => {
    this.setUnmap(cpu, busAddr, sizeBytes, tagOf(KIND_SINGLE, direction))
    this.host.runAlone(cpu, this.unmapStep)
  }

  readonly syncSingleForCpu = (cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void => {
    this.debug?.synced(this.debugId, cpu, busAddr, sizeBytes, direction)
  }

  readonly syncSingleForDevice = (cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void => {
    this.debug?.synced(this.debugId, cpu, busAddr, sizeBytes, direction)
  }

  readonly allocCoherent = (cpu: number, sizeBytes: number): Coherent | undefined => {
    checkMap(sizeBytes, BIDIRECTIONAL)
    const phys = allocateBlock(this.coherent, sizeBytes)
    if (phys < 0) {
      this.noteFailure(cpu, MAP_OUT_OF_MEMORY)
      return undefined
    }
    const busAddr = this.mapNow(cpu, phys, sizeBytes, tagOf(KIND_COHERENT, BIDIRECTIONAL))
    if (isMappingError(busAddr)) {
      freeBlock(this.coherent, phys)
      return undefined
    }
    return { phys, busAddr, sizeBytes }
  }

  readonly freeCoherent = (cpu: number, block: Coherent): void => {
    this.setUnmap(cpu, block.busAddr, block.sizeBytes, tagOf(KIND_COHERENT, BIDIRECTIONAL))
    this.host.runAlone(cpu, this.unmapStep)
    const isUndone = this.sizes[cpu]! > 0 && kindOfTag(this.tags[cpu]!) === KIND_COHERENT
    if (isUndone) freeBlock(this.coherent, block.phys)
  }

  readonly mappingError = (busAddr: BusAddr): boolean => {
    return isMappingError(busAddr)
  }

  readonly accessed = (busAddr: BusAddr, sizeBytes: number, direction: Direction, atPs: number): void => {
    this.debug?.accessed(this.debugId, busAddr, sizeBytes, direction, atPs)
  }

  readonly release = (): void => {
    if (this.isReleased) fail("a device was released twice")
    this.isReleased = true
    this.debug?.released(this.debugId)
  }
}

/** Entries of the window that lie whole below or at the mask. */
const reachOf = (table: Table, dmaMask: number): number => {
  const pages = Math.floor((dmaMask + 1 - table.windowStart) / 2 ** table.pageShift)
  return Math.max(0, Math.min(pages, table.pageCount))
}
