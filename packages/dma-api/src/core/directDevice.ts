/**
 * The direct backend: the bus address is the physical address, nothing is written and nothing is undone.
 * It is the baseline that every other backend is compared with. [Linux kernel/dma/direct.h]
 */
import { ACCOUNT_DMA_API, fail } from "@vnic/sim/core"
import { allocateBlock, freeBlock, type CoherentMemory } from "./coherent.ts"
import type { DmaDebug } from "./debug.ts"
import { checkMap, isMappingError, makeDeviceCounters, makeResults, type Coherent, type Device } from "./device.ts"
import { KIND_COHERENT, KIND_SINGLE, kindOfTag, tagOf } from "./mappings.ts"
import {
  BIDIRECTIONAL,
  DMA_MAPPING_ERROR,
  MAP_MASK_TOO_NARROW,
  MAP_OK,
  MAP_OUT_OF_MEMORY,
  type BusAddr,
  type Direction,
  type DmaCosts,
  type Host,
  type PhysAddr
} from "./types.ts"

export interface DirectDeviceOptions {
  readonly name: string
  /** Largest bus address that the device can put on the bus. */
  readonly dmaMask: number
  readonly host: Host
  readonly coherent: CoherentMemory
  readonly costs: DmaCosts
  readonly debug: DmaDebug | undefined
}

export class DirectDevice implements Device {
  declare readonly name: string
  readonly counters = makeDeviceCounters()
  declare readonly mapped: Float64Array
  declare readonly failure: Int8Array
  isReleased = false
  declare private readonly host: Host
  declare private readonly coherent: CoherentMemory
  declare private readonly debug: DmaDebug | undefined
  declare private readonly debugId: number
  declare private readonly dmaMask: number
  declare private readonly mapPs: number
  declare private readonly unmapPs: number
  /** Subroutines that book what a map or an unmap costs. */
  declare private readonly mapStep: number
  declare private readonly unmapStep: number

  constructor(options: DirectDeviceOptions) {
    this.name = options.name
    this.host = options.host
    this.coherent = options.coherent
    this.dmaMask = options.dmaMask
    this.debug = options.debug
    this.debugId = options.debug?.addDevice(options.name) ?? 0
    this.unmapPs = Math.floor(options.costs.directMapPairPs / 2)
    this.mapPs = options.costs.directMapPairPs - this.unmapPs
    this.mapStep = this.defineWork("direct: map", this.mapPs)
    this.unmapStep = this.defineWork("direct: unmap", this.unmapPs)
    const results = makeResults(options.host.count)
    this.mapped = results.mapped
    this.failure = results.failure
  }

  /** A subroutine that costs time: the CPU of a plain call, which may be idle, is busy for so long. */
  private readonly defineWork = (name: string, durationPs: number): number => {
    const { host } = this
    return host.define(name, (cpu) => {
      host.spend(cpu, ACCOUNT_DMA_API, durationPs)
      return host.leave(cpu)
    })
  }

  readonly mapSingle = (cpu: number, phys: PhysAddr, sizeBytes: number, direction: Direction): BusAddr => {
    checkMap(sizeBytes, direction)
    this.host.runAlone(cpu, this.mapStep)
    return this.map(cpu, phys, sizeBytes, tagOf(KIND_SINGLE, direction))
  }

  private readonly map = (cpu: number, phys: PhysAddr, sizeBytes: number, tag: number): BusAddr => {
    if (phys + sizeBytes - 1 > this.dmaMask) return this.refuse(cpu, MAP_MASK_TOO_NARROW)
    this.failure[cpu] = MAP_OK
    this.mapped[cpu] = phys
    this.counters.live++
    this.debug?.mapped(this.debugId, cpu, phys, phys, sizeBytes, tag)
    return phys
  }

  private readonly refuse = (cpu: number, reason: number): BusAddr => {
    this.failure[cpu] = reason
    this.mapped[cpu] = DMA_MAPPING_ERROR
    this.counters.failures[reason]! += 1
    return DMA_MAPPING_ERROR
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
    this.host.runAlone(cpu, this.unmapStep)
    this.unmap(cpu, busAddr, sizeBytes, tagOf(KIND_SINGLE, direction))
  }

  /** True when a mapping of this kind was undone. */
  private readonly unmap = (cpu: number, busAddr: BusAddr, sizeBytes: number, tag: number): boolean => {
    const debug = this.debug
    if (debug === undefined || debug.unmapped(this.debugId, cpu, busAddr, sizeBytes, tag)) {
      this.counters.live--
      return true
    }
    if (debug.undoneBytes === 0) return false
    this.counters.live--
    return kindOfTag(debug.undoneTag) === kindOfTag(tag)
  }

  readonly beginMapSingle = (
    cpu: number,
    phys: PhysAddr,
    sizeBytes: number,
    direction: Direction,
    then: number
  ): number => {
    checkMap(sizeBytes, direction)
    this.host.spend(cpu, ACCOUNT_DMA_API, this.mapPs)
    this.map(cpu, phys, sizeBytes, tagOf(KIND_SINGLE, direction))
    return then
  }

  readonly beginUnmapSingle = (
    cpu: number,
    busAddr: BusAddr,
    sizeBytes: number,
    direction: Direction,
    then: number
  ): number => {
    this.host.spend(cpu, ACCOUNT_DMA_API, this.unmapPs)
    this.unmap(cpu, busAddr, sizeBytes, tagOf(KIND_SINGLE, direction))
    return then
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
      this.refuse(cpu, MAP_OUT_OF_MEMORY)
      return undefined
    }
    this.host.runAlone(cpu, this.mapStep)
    const busAddr = this.map(cpu, phys, sizeBytes, tagOf(KIND_COHERENT, BIDIRECTIONAL))
    if (isMappingError(busAddr)) {
      freeBlock(this.coherent, phys)
      return undefined
    }
    return { phys, busAddr, sizeBytes }
  }

  readonly freeCoherent = (cpu: number, block: Coherent): void => {
    const tag = tagOf(KIND_COHERENT, BIDIRECTIONAL)
    this.host.runAlone(cpu, this.unmapStep)
    if (this.unmap(cpu, block.busAddr, block.sizeBytes, tag)) freeBlock(this.coherent, block.phys)
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
