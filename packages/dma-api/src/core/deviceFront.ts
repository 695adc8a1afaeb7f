/**
 * The front of every device: it checks arguments, tells debug and counts; how a bus
 * address is come by is its backend's business.
 */
import { assert, fail } from "@vnic/sim/core"
import { checkCall, makeCalls, type Backend, type BackendContext, type Calls, type MapEnds } from "./backend.ts"
import type { CoherentMemory } from "./coherent.ts"
import { CoherentCalls } from "./coherentCalls.ts"
import type { DmaDebug } from "./debug.ts"
import {
  checkMap,
  checkSync,
  isMappingError,
  makeDeviceCounters,
  makeDeviceLimits,
  makeResults,
  MAP_BYTES_MAX,
  type Device,
  type DeviceLimits
} from "./device.ts"
import { isPowerOfTwo } from "./iova/powersOfTwo.ts"
import { ListCalls } from "./listCalls.ts"
import { directionOfTag, KIND_SG as kindSg, KIND_SINGLE as kindSingle, kindOfTag, tagOf } from "./mappings.ts"
import { isMask } from "./masks.ts"
import { RangeCalls } from "./rangeCalls.ts"
import { RELEASED_BACKEND, RELEASED_CALLS } from "./releasedDevice.ts"
import {
  DMA_MAPPING_ERROR as dmaMappingError,
  EIO,
  MAP_OK as mapOk,
  type BusAddr,
  type Direction,
  type Host,
  type PhysAddr
} from "./types.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const DMA_MAPPING_ERROR = dmaMappingError
const KIND_SG = kindSg
const KIND_SINGLE = kindSingle
const MAP_OK = mapOk
const NO_LIMIT = "a device's mask or limit is not a whole number"
const NO_BITS = "a segment boundary or a kept alignment is no mask, 2^n - 1"

export interface DeviceFrontOptions {
  readonly name: string
  /** Largest bus address that the device can put on the bus. */
  readonly dmaMask: number
  readonly host: Host
  readonly coherent: CoherentMemory
  readonly debug: DmaDebug | undefined
  readonly makeBackend: (context: BackendContext) => Backend
}

export class DeviceFront implements Device, MapEnds {
  declare readonly name: string
  readonly counters = makeDeviceCounters()
  declare readonly mapped: Float64Array
  declare readonly failure: Int8Array
  declare readonly limits: DeviceLimits
  isReleased = false
  declare readonly host: Host
  declare calls: Calls
  declare backend: Backend
  declare readonly debug: DmaDebug | undefined
  declare readonly debugId: number
  /** The step that leaves a plain call; and those that begin one, when the CPU's call is set. */
  declare readonly leaveStep: number
  /** What a mapping adds to the counters of maps and unmaps: 1, or 0 when it reaches no table. */
  declare private readonly tableMaps: number
  declare readonly mapStep: number
  declare readonly unmapStep: number
  declare private readonly listCalls: ListCalls
  declare readonly coherent: Device["coherent"]
  declare readonly allocCoherent: Device["allocCoherent"]
  declare readonly beginAllocCoherent: Device["beginAllocCoherent"]
  declare readonly freeCoherent: Device["freeCoherent"]
  declare readonly beginFreeCoherent: Device["beginFreeCoherent"]
  declare readonly mapSg: Device["mapSg"]
  declare readonly mapSgtable: Device["mapSgtable"]
  declare readonly unmapSg: Device["unmapSg"]
  declare readonly beginMapSg: Device["beginMapSg"]
  declare readonly beginUnmapSg: Device["beginUnmapSg"]
  declare readonly syncSgForCpu: Device["syncSgForCpu"]
  declare readonly syncSgForDevice: Device["syncSgForDevice"]
  declare readonly dmaIovaTryAlloc: Device["dmaIovaTryAlloc"]
  declare readonly beginDmaIovaTryAlloc: Device["beginDmaIovaTryAlloc"]
  declare readonly dmaIovaLink: Device["dmaIovaLink"]
  declare readonly dmaIovaSync: Device["dmaIovaSync"]
  declare readonly dmaIovaUnlink: Device["dmaIovaUnlink"]
  declare readonly beginDmaIovaUnlink: Device["beginDmaIovaUnlink"]
  declare readonly dmaIovaFree: Device["dmaIovaFree"]
  declare readonly beginDmaIovaFree: Device["beginDmaIovaFree"]
  declare readonly dmaIovaDestroy: Device["dmaIovaDestroy"]
  declare readonly beginDmaIovaDestroy: Device["beginDmaIovaDestroy"]

  constructor(options: DeviceFrontOptions) {
    const { host } = options
    assert(isMask(options.dmaMask), NO_LIMIT)
    this.name = options.name
    this.host = host
    this.debug = options.debug
    this.limits = makeDeviceLimits(options.dmaMask)
    this.debugId = options.debug?.addDevice(options.name, this.limits) ?? 0
    this.calls = makeCalls(host.count)
    const results = makeResults(host.count)
    this.mapped = results.mapped
    this.failure = results.failure
    this.backend = options.makeBackend({ calls: this.calls, ends: this, limits: this.limits })
    this.tableMaps = this.backend.isTable ? 1 : 0
    this.leaveStep = host.define("dma: leave", (cpu) => host.leave(cpu))
    this.mapStep = host.define("dma map", (cpu) => this.backend.beginMap(cpu))
    this.unmapStep = host.define("dma unmap", (cpu) => this.backend.beginUnmap(cpu))
    const coherent = new CoherentCalls(this, options.coherent)
    this.coherent = coherent.coherent
    this.allocCoherent = coherent.allocCoherent
    this.beginAllocCoherent = coherent.beginAllocCoherent
    this.freeCoherent = coherent.freeCoherent
    this.beginFreeCoherent = coherent.beginFreeCoherent
    const lists = new ListCalls(this)
    this.listCalls = lists
    this.mapSg = lists.mapSg
    this.mapSgtable = lists.mapSgtable
    this.unmapSg = lists.unmapSg
    this.beginMapSg = lists.beginMapSg
    this.beginUnmapSg = lists.beginUnmapSg
    this.syncSgForCpu = lists.syncSgForCpu
    this.syncSgForDevice = lists.syncSgForDevice
    const ranges = new RangeCalls(this)
    this.dmaIovaTryAlloc = ranges.dmaIovaTryAlloc
    this.beginDmaIovaTryAlloc = ranges.beginDmaIovaTryAlloc
    this.dmaIovaLink = ranges.dmaIovaLink
    this.dmaIovaSync = ranges.dmaIovaSync
    this.dmaIovaUnlink = ranges.dmaIovaUnlink
    this.beginDmaIovaUnlink = ranges.beginDmaIovaUnlink
    this.dmaIovaFree = ranges.dmaIovaFree
    this.beginDmaIovaFree = ranges.beginDmaIovaFree
    this.dmaIovaDestroy = ranges.dmaIovaDestroy
    this.beginDmaIovaDestroy = ranges.beginDmaIovaDestroy
  }

  readonly beginMapSingle = (
    cpu: number,
    phys: PhysAddr,
    sizeBytes: number,
    direction: Direction,
    then: number,
    attributes = 0
  ): number => {
    checkMap(phys, sizeBytes, direction)
    this.setMap(cpu, phys, sizeBytes, tagOf(KIND_SINGLE, direction), attributes)
    this.calls.thens[cpu] = then
    return this.backend.beginMap(cpu)
  }

  readonly setMap = (cpu: number, phys: PhysAddr, sizeBytes: number, tag: number, attributes: number): void => {
    const { calls } = this
    checkCall(calls, cpu)
    calls.phys[cpu] = phys
    calls.sizes[cpu] = sizeBytes
    calls.tags[cpu] = tag
    calls.attributes[cpu] = attributes
  }

  readonly mapDone = (cpu: number, busAddr: BusAddr): number => {
    const { calls } = this
    const tag = calls.tags[cpu]!
    if (kindOfTag(tag) === KIND_SG) return this.listCalls.entryMapped(cpu, busAddr)
    this.noteMapped(cpu, busAddr)
    this.countMap(directionOfTag(tag))
    const { debug } = this
    if (debug !== undefined) {
      debug.mapped(this.debugId, cpu, busAddr, calls.phys[cpu]!, calls.sizes[cpu]!, tag, calls.attributes[cpu]!)
    }
    return calls.thens[cpu]!
  }

  readonly mapFailed = (cpu: number, reason: number): number => {
    if (kindOfTag(this.calls.tags[cpu]!) === KIND_SG) return this.listCalls.entryFailed(cpu, reason)
    this.noteFailure(cpu, reason)
    return this.calls.thens[cpu]!
  }

  readonly noteMapped = (cpu: number, busAddr: BusAddr): void => {
    this.failure[cpu] = MAP_OK
    this.mapped[cpu] = busAddr
  }

  readonly noteFailure = (cpu: number, reason: number): void => {
    this.failure[cpu] = reason
    this.mapped[cpu] = DMA_MAPPING_ERROR
    this.counters.failures[reason]! += 1
  }

  readonly listDone = (cpu: number): number => {
    const { calls } = this
    const list = calls.lists[cpu]!
    const tag = calls.tags[cpu]!
    this.noteMapped(cpu, list.busAddrOf(0))
    this.countMap(directionOfTag(tag))
    this.debug?.mappedList(this.debugId, cpu, list, tag, calls.attributes[cpu])
    return calls.thens[cpu]!
  }

  readonly listFailed = (cpu: number, reason: number): number => {
    this.calls.lists[cpu]!.clear()
    this.noteFailure(cpu, reason)
    return this.calls.thens[cpu]!
  }

  readonly beginUnmapSingle = (
    cpu: number,
    busAddr: BusAddr,
    sizeBytes: number,
    direction: Direction,
    then: number,
    attributes = 0
  ): number => {
    this.calls.thens[cpu] = then
    if (!this.setUnmap(cpu, busAddr, sizeBytes, tagOf(KIND_SINGLE, direction), attributes)) return then
    return this.backend.beginUnmap(cpu)
  }

  /** Says what the CPU is about to unmap; false when there is nothing to undo. */
  readonly setUnmap = (cpu: number, busAddr: BusAddr, sizeBytes: number, tag: number, attributes: number): boolean => {
    const { calls, debug } = this
    checkCall(calls, cpu)
    calls.bus[cpu] = busAddr
    calls.sizes[cpu] = sizeBytes
    calls.tags[cpu] = tag
    calls.attributes[cpu] = attributes
    if (debug !== undefined && !debug.unmapped(this.debugId, cpu, busAddr, sizeBytes, tag)) {
      // What was wrong is a finding; what is undone is what was done, if anything.
      calls.sizes[cpu] = debug.undoneBytes
      calls.tags[cpu] = debug.undoneTag
      if (debug.undoneBytes === 0) return false
    }
    this.countUnmap(directionOfTag(calls.tags[cpu]!))
    return true
  }

  readonly countMap = (direction: Direction): void => {
    this.counters.live++
    this.counters.maps[direction]! += this.tableMaps
  }

  readonly countUnmap = (direction: Direction): void => {
    if (this.counters.live === 0) fail("more was unmapped than is mapped")
    this.counters.live--
    this.counters.unmaps[direction]! += this.tableMaps
  }

  readonly mapSingle = (
    cpu: number,
    phys: PhysAddr,
    sizeBytes: number,
    direction: Direction,
    attributes = 0
  ): BusAddr => {
    checkMap(phys, sizeBytes, direction)
    this.setMap(cpu, phys, sizeBytes, tagOf(KIND_SINGLE, direction), attributes)
    this.calls.thens[cpu] = this.leaveStep
    this.host.runAlone(cpu, this.mapStep)
    return this.mapped[cpu]!
  }

  readonly mapPage = (
    cpu: number,
    page: PhysAddr,
    offsetBytes: number,
    sizeBytes: number,
    direction: Direction,
    attributes = 0
  ): BusAddr => {
    return this.mapSingle(cpu, page + offsetBytes, sizeBytes, direction, attributes)
  }

  readonly unmapSingle = (
    cpu: number,
    busAddr: BusAddr,
    sizeBytes: number,
    direction: Direction,
    attributes = 0
  ): void => {
    if (!this.setUnmap(cpu, busAddr, sizeBytes, tagOf(KIND_SINGLE, direction), attributes)) return
    this.calls.thens[cpu] = this.leaveStep
    this.host.runAlone(cpu, this.unmapStep)
  }

  readonly syncSingleForCpu = (cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void => {
    checkCall(this.calls, cpu)
    checkSync(sizeBytes)
    this.debug?.syncedForCpu(this.debugId, cpu, busAddr, sizeBytes, direction)
    if (this.backend.isSynced) this.backend.syncForCpu(cpu, busAddr, sizeBytes, direction)
  }

  readonly syncSingleForDevice = (cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void => {
    checkCall(this.calls, cpu)
    checkSync(sizeBytes)
    this.debug?.syncedForDevice(this.debugId, cpu, busAddr, sizeBytes, direction)
    if (this.backend.isSynced) this.backend.syncForDevice(cpu, busAddr, sizeBytes, direction)
  }

  readonly mappingError = (busAddr: BusAddr): boolean => {
    this.debug?.mappingErrorChecked(this.debugId, busAddr)
    return isMappingError(busAddr)
  }

  readonly dmaSetMask = (mask: number): number => {
    return this.setLimit("mask", mask)
  }

  readonly dmaSetCoherentMask = (mask: number): number => {
    return this.setLimit("coherentMask", mask)
  }

  private readonly setLimit = (name: "mask" | "coherentMask", mask: number): number => {
    if (!isMask(mask) || !this.backend.isMaskSupported(mask)) return -EIO
    this.limits[name] = mask
    this.backend.limitsChanged()
    return 0
  }

  readonly dmaGetRequiredMask = (): number => {
    return this.backend.requiredMask
  }

  readonly dmaSetMaxSegSize = (sizeBytes: number): void => {
    assert(isMask(sizeBytes), NO_LIMIT)
    this.limits.maxSegSizeBytes = sizeBytes
  }

  readonly dmaSetSegBoundary = (mask: number): void => {
    assert(isPowerOfTwo(mask + 1), NO_BITS)
    this.limits.segBoundaryMask = mask
    this.backend.limitsChanged()
  }

  readonly dmaSetMinAlignMask = (mask: number): void => {
    assert(isPowerOfTwo(mask + 1), NO_BITS)
    this.limits.minAlignMask = mask
    this.backend.limitsChanged()
  }

  readonly dmaMaxMappingSize = (): number => {
    return Math.min(MAP_BYTES_MAX, this.backend.maxMappingBytes)
  }

  readonly dmaOptMappingSize = (): number => {
    return Math.min(this.dmaMaxMappingSize(), this.backend.optMappingBytes)
  }

  readonly dmaGetMergeBoundary = (): number => {
    return this.backend.mergeBoundary
  }

  readonly dmaNeedSync = (busAddr: BusAddr): boolean => {
    return this.backend.needsSync(busAddr)
  }

  readonly accessed = (busAddr: BusAddr, sizeBytes: number, direction: Direction, atPs: number): void => {
    this.debug?.accessed(this.debugId, busAddr, sizeBytes, direction, atPs)
  }

  readonly release = (): void => {
    if (this.isReleased) fail("a device was released twice")
    this.isReleased = true
    this.debug?.released(this.debugId)
    this.backend = RELEASED_BACKEND
    this.calls = RELEASED_CALLS
  }
}
