/**
 * The direct backend: the bus address is the physical address, nothing is written and nothing is undone.
 * It is the baseline that every other backend is compared with. [Linux 6.12 kernel/dma/direct.h]
 */
import { ACCOUNT_DMA_API as accountDmaApi } from "@vnic/sim/core"
import type { Backend, BackendContext, Calls, MapEnds } from "./backend.ts"
import type { DeviceLimits } from "./device.ts"
import { KIND_COHERENT as kindCoherent, kindOfTag } from "./mappings.ts"
import { isDirectMaskSupported, maskOf } from "./masks.ts"
import { MAP_MASK_TOO_NARROW as mapMaskTooNarrow, type BusAddr, type DmaCosts, type Host } from "./types.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_DMA_API = accountDmaApi
const KIND_COHERENT = kindCoherent
const MAP_MASK_TOO_NARROW = mapMaskTooNarrow

export interface DirectOptions {
  readonly host: Host
  readonly costs: DmaCosts
  /** Up to where memory lies on the bus, bytes: what masks are judged by. */
  readonly memoryBytes: number
}

export class DirectBackend implements Backend {
  readonly isTable = false
  readonly isSynced = false
  readonly maxMappingBytes = Number.MAX_SAFE_INTEGER
  readonly optMappingBytes = Number.MAX_SAFE_INTEGER
  readonly mergeBoundary = 0
  declare readonly requiredMask: number
  declare protected readonly host: Host
  declare protected readonly calls: Calls
  declare protected readonly ends: MapEnds
  declare private readonly limits: DeviceLimits
  /** The two halves of the pair's cost. */
  declare readonly mapPs: number
  declare readonly unmapPs: number

  constructor(options: DirectOptions, context: BackendContext) {
    this.host = options.host
    this.calls = context.calls
    this.ends = context.ends
    this.limits = context.limits
    this.requiredMask = maskOf(options.memoryBytes)
    this.unmapPs = Math.floor(options.costs.directMapPairPs / 2)
    this.mapPs = options.costs.directMapPairPs - this.unmapPs
  }

  readonly beginMap = (cpu: number): number => {
    this.host.spend(cpu, ACCOUNT_DMA_API, this.mapPs)
    const busAddr = this.calls.phys[cpu]!
    if (!this.isReached(cpu, busAddr)) return this.ends.mapFailed(cpu, MAP_MASK_TOO_NARROW)
    return this.ends.mapDone(cpu, busAddr)
  }

  readonly suits = (cpu: number): boolean => {
    return this.isReached(cpu, this.calls.phys[cpu]!)
  }

  /** Does the device reach the buffer of the CPU's call, at this address? */
  protected readonly isReached = (cpu: number, busAddr: BusAddr): boolean => {
    const { calls, limits } = this
    const mask = kindOfTag(calls.tags[cpu]!) === KIND_COHERENT ? limits.coherentMask : limits.mask
    return busAddr + calls.sizes[cpu]! - 1 <= mask
  }

  readonly beginUnmap = (cpu: number): number => {
    this.host.spend(cpu, ACCOUNT_DMA_API, this.unmapPs)
    return this.calls.thens[cpu]!
  }

  readonly syncForCpu = (): void => {}

  readonly syncForDevice = (): void => {}

  readonly needsSync = (): boolean => {
    return false
  }

  readonly isMaskSupported = (mask: number): boolean => {
    return isDirectMaskSupported(mask, this.requiredMask)
  }

  readonly limitsChanged = (): void => {}
}
