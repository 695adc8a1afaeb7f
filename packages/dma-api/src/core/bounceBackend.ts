/**
 * The bounce backend: the direct one, but buffers that the device cannot reach, or all of them, are copied through
 * the bounce buffer. Coherent memory and other devices' registers never are. Syncs do nothing until the device's
 * first buffer is bounced. [Linux 6.12 kernel/dma/direct.h, swiotlb.c swiotlb_map; dma_reset_need_sync]
 */
import { ACCOUNT_DMA_API as accountDmaApi } from "@vnic/sim/core"
import type { Backend, BackendContext, Calls, MapEnds } from "./backend.ts"
import type { DeviceLimits } from "./device.ts"
import { DirectBackend, type DirectOptions } from "./directBackend.ts"
import { directionOfTag, KIND_COHERENT as kindCoherent, kindOfTag } from "./mappings.ts"
import { BOUNCE_NONE, type Swiotlb } from "./swiotlb.ts"
import {
  ATTR_MMIO as attrMmio,
  ATTR_SKIP_CPU_SYNC as attrSkipCpuSync,
  FROM_DEVICE as fromDevice,
  MAP_BOUNCE_FULL,
  MAP_INVALID,
  MAP_MASK_TOO_NARROW,
  TO_DEVICE as toDevice,
  type BusAddr,
  type Direction,
  type Host
} from "./types.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_DMA_API = accountDmaApi
const KIND_COHERENT = kindCoherent
const ATTR_MMIO = attrMmio
const ATTR_SKIP_CPU_SYNC = attrSkipCpuSync
const FROM_DEVICE = fromDevice
const TO_DEVICE = toDevice

export interface BounceOptions extends DirectOptions {
  readonly swiotlb: Swiotlb
  /** Every buffer is bounced, also one that the device reaches. */
  readonly isForced: boolean
}

/** Copies what the device does not reach, or everything, through the host's bounce buffer. */
export class BounceBackend implements Backend {
  readonly isTable = false
  isSynced = false
  readonly optMappingBytes = Number.MAX_SAFE_INTEGER
  readonly mergeBoundary = 0
  declare readonly requiredMask: number
  declare private readonly direct: DirectBackend
  declare private readonly swiotlb: Swiotlb
  declare private readonly isForced: boolean
  declare private readonly host: Host
  declare private readonly calls: Calls
  declare private readonly ends: MapEnds
  declare private readonly limits: DeviceLimits
  declare private readonly mapPs: number
  declare private readonly unmapPs: number
  declare private readonly taken: number
  declare private readonly givenUp: number

  constructor(options: BounceOptions, context: BackendContext) {
    const { host } = options
    this.direct = new DirectBackend(options, context)
    this.requiredMask = this.direct.requiredMask
    this.mapPs = this.direct.mapPs
    this.unmapPs = this.direct.unmapPs
    this.swiotlb = options.swiotlb
    this.isForced = options.isForced
    this.host = host
    this.calls = context.calls
    this.ends = context.ends
    this.limits = context.limits
    this.taken = host.define("dma map: bounced", (cpu) => this.mapBounced(cpu))
    this.givenUp = host.define("dma map: out of reach", (cpu) => this.ends.mapFailed(cpu, MAP_MASK_TOO_NARROW))
  }

  readonly beginMap = (cpu: number): number => {
    const { calls, limits } = this
    const isPlain = kindOfTag(calls.tags[cpu]!) === KIND_COHERENT || (calls.attributes[cpu]! & ATTR_MMIO) !== 0
    const phys = calls.phys[cpu]!
    const sizeBytes = calls.sizes[cpu]!
    if (isPlain || (!this.isForced && phys + sizeBytes - 1 <= limits.mask)) return this.direct.beginMap(cpu)
    this.host.spend(cpu, ACCOUNT_DMA_API, this.mapPs)
    return this.swiotlb.beginTake(cpu, phys, sizeBytes, limits, this.taken)
  }

  /** Coherent memory is never bounced. */
  readonly suits = (cpu: number): boolean => {
    return this.direct.suits(cpu)
  }

  private readonly mapBounced = (cpu: number): number => {
    const { ends, swiotlb } = this
    const busAddr = swiotlb.taken[cpu]!
    if (busAddr === BOUNCE_NONE) return ends.mapFailed(cpu, swiotlb.canEverFit(cpu) ? MAP_BOUNCE_FULL : MAP_INVALID)
    if (busAddr + this.calls.sizes[cpu]! - 1 > this.limits.mask) return swiotlb.beginGive(cpu, busAddr, this.givenUp)
    this.isSynced = true
    return ends.mapDone(cpu, busAddr)
  }

  readonly beginUnmap = (cpu: number): number => {
    const { calls, swiotlb } = this
    const busAddr = calls.bus[cpu]!
    if (!swiotlb.holds(busAddr)) return this.direct.beginUnmap(cpu)
    this.host.spend(cpu, ACCOUNT_DMA_API, this.unmapPs)
    if ((calls.attributes[cpu]! & ATTR_SKIP_CPU_SYNC) === 0) {
      this.syncForCpu(cpu, busAddr, calls.sizes[cpu]!, directionOfTag(calls.tags[cpu]!))
    }
    return swiotlb.beginGive(cpu, busAddr, calls.thens[cpu]!)
  }

  readonly syncForCpu = (cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void => {
    if (direction !== TO_DEVICE && this.needsSync(busAddr)) this.swiotlb.copyOut(cpu, busAddr, sizeBytes)
  }

  readonly syncForDevice = (cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void => {
    if (direction !== FROM_DEVICE && this.needsSync(busAddr)) this.swiotlb.copyIn(cpu, busAddr, sizeBytes)
  }

  readonly needsSync = (busAddr: BusAddr): boolean => {
    return this.swiotlb.holds(busAddr)
  }

  /** Who may have to be bounced maps no more than the bounce buffer takes. */
  get maxMappingBytes(): number {
    const mayBounce = this.isForced || this.limits.mask < this.requiredMask
    return mayBounce ? this.swiotlb.maxBytes(this.limits.minAlignMask) : this.direct.maxMappingBytes
  }

  readonly isMaskSupported = (mask: number): boolean => {
    return this.direct.isMaskSupported(mask)
  }

  readonly limitsChanged = (): void => {}
}
