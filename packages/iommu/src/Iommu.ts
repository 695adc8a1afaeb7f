/**
 * The IOMMU as an Effect service: devices are attached to it for as long as a scope lasts, and what it saw
 * (faults, pinned memory, hypercalls) is read from it. Its plain objects are what the DMA API's table and
 * a device's bus port are joined to.
 */
import { Simulation, type ProfileValues } from "@vnic/sim"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { assembleIommu, type AssemblyOptions, DEFAULT_PAGE_SHIFT, type IommuParts } from "./core/assembly.ts"
import { type BusPort, makeBusPort } from "./core/busPort.ts"
import type { FaultRecord } from "./core/faults.ts"
import type { DeviceId } from "./core/iommu.ts"
import type { HypercallCounts } from "./core/pvdma.ts"
import { tceMemoryBytes, vtdMemoryBytes } from "./core/tablesMemory.ts"
import { tceTableBytes } from "./core/tceTable.ts"
import type { InvalidationCounts } from "./core/vtd/invalidationQueue.ts"
import type { StaleCounts } from "./core/vtd/iotlb.ts"
import { INTERRUPT_FIRST_PAGE, INTERRUPT_PAGES, VTD_PAGE_BYTES } from "./core/vtd/layout.ts"
import { TableDoesNotFit } from "./Errors.ts"
import type { IommuOptions } from "./Options.ts"

/** A device that may use the door. */
export interface AttachedDevice {
  readonly name: string
  readonly id: DeviceId
  /** Its bus-master port, for hot loops. */
  readonly core: BusPort
}

/** Accesses that were refused since the beginning. */
export interface FaultReport {
  readonly count: number
  /** Those of them that found no room among the records. */
  readonly unrecorded: number
  readonly records: ReadonlyArray<FaultRecord>
}

/** Guest memory that the hypervisor holds in place, in 4 KiB pages. */
export interface PinnedPages {
  readonly now: number
  readonly max: number
  /** Average from the beginning of the world to now. */
  readonly mean: number
}

/** Lookups in the IOTLB since the beginning. */
export interface IotlbReport {
  readonly hits: number
  readonly misses: number
  readonly stale: StaleCounts
}

export interface IommuShape {
  /** Lets a device use the door until the scope closes; what it accesses afterwards faults. */
  readonly attach: (deviceName: string) => Effect.Effect<AttachedDevice, never, Scope.Scope>
  readonly faults: Effect.Effect<FaultReport>
  /** All zero without translation. */
  readonly pinned: Effect.Effect<PinnedPages>
  /** Hypercalls made by the guest since the beginning. */
  readonly hypercalls: Effect.Effect<HypercallCounts>
  /** The IOTLB since the beginning, and what devices did through it after an unmap; zeros without one. */
  readonly iotlb: Effect.Effect<IotlbReport>
  /** Invalidations done since the beginning. */
  readonly invalidations: Effect.Effect<InvalidationCounts>
  /** The same IOMMU for hot loops and for the packages that are joined to it. */
  readonly core: IommuParts
}

const NO_IOTLB: IotlbReport = {
  hits: 0,
  misses: 0,
  stale: { hits: 0, bytes: 0, latestUsePs: 0, windows: 0, windowPsMean: 0, windowPsMax: 0 }
}
const NO_INVALIDATIONS: InvalidationCounts = { global: 0, domain: 0, page: 0, context: 0 }
const NO_HYPERCALLS: HypercallCounts = { putTce: 0, putTceIndirect: 0, stuffTce: 0, getTce: 0 }

/** MODEL: a VT-d domain has 48 bits of bus addresses, of which the lowest 4 GiB are handed out. */
export const VTD_WINDOW_BYTES = 2 ** 32
/** Its pages that no device can use for memory: the addresses of interrupt messages. */
export const VTD_RESERVED = [{ firstPage: INTERRUPT_FIRST_PAGE, pageCount: INTERRUPT_PAGES }] as const
const VTD_LEVELS = 4
/** What a domain without a mapping takes: root, contexts, queue, status words, top table. */
const VTD_TABLES_BYTES = 5 * VTD_PAGE_BYTES

/** Memory that an IOMMU's tables take at most of a host with so many CPUs and pages of this size. */
export function tablesMemoryBytes(options: IommuOptions, cpuCount: number, systemPageBytes: number): number {
  switch (options.kind) {
    case "none":
      return 0
    case "tce":
      return tceMemoryBytes(options.windowBytes, DEFAULT_PAGE_SHIFT, cpuCount, systemPageBytes)
    case "vtd":
      return vtdMemoryBytes(VTD_WINDOW_BYTES, VTD_LEVELS, systemPageBytes)
  }
}

/** What is built for these options on this platform. */
function assemblyOptions(options: IommuOptions, profile: ProfileValues): AssemblyOptions {
  switch (options.kind) {
    case "none":
      return { kind: "none" }
    case "tce":
      return {
        kind: "tce",
        windowBytes: options.windowBytes,
        multiTce: options.multiTce,
        hypercallPs: profile.hypercall,
        hypercallPerTcePs: profile.hypercallPerTce,
        tceFetchPs: profile.tceFetch
      }
    case "vtd":
      return {
        kind: "vtd",
        windowBytes: VTD_WINDOW_BYTES,
        levels: VTD_LEVELS,
        iotlbSets: profile.iotlbSets,
        iotlbWays: profile.iotlbWays,
        invalidationPs: profile.invalidation,
        invalidationPollPs: profile.invalidationPoll,
        costs: {
          insertPs: profile.pageTableInsert,
          removePs: profile.pageTableRemove,
          entryPs: profile.pageTableEntry,
          pageAllocationPs: profile.pageAllocation
        }
      }
  }
}

const make = Effect.fn("Iommu.make")(function* (options: IommuOptions) {
  const { core: world } = yield* Simulation
  const { cpus, frames, memory, pages, profile, timeline } = world
  const core = assembleIommu({ memory, pages, cpus, clock: timeline.clock }, assemblyOptions(options, profile))
  if (core === undefined) {
    return yield* new TableDoesNotFit({
      windowBytes: options.kind === "vtd" ? VTD_WINDOW_BYTES : options.windowBytes,
      tableBytes: options.kind === "vtd" ? VTD_TABLES_BYTES : tceTableBytes(options.windowBytes, DEFAULT_PAGE_SHIFT),
      memoryBytes: memory.hostSizeBytes
    })
  }
  const { iommu, paravirtual, vtd } = core
  const attached = (name: string): AttachedDevice => {
    const id = iommu.attach(name)
    return { name, id, core: makeBusPort(iommu, id, memory, frames) }
  }
  const shape: IommuShape = {
    attach: (deviceName) =>
      Effect.acquireRelease(
        Effect.sync(() => attached(deviceName)),
        (device) => Effect.sync(() => iommu.detach(device.id))
      ),
    faults: Effect.sync(() => ({
      count: iommu.faultCount,
      unrecorded: iommu.faultsUnrecorded,
      records: [...iommu.faults]
    })),
    pinned: Effect.sync(() => {
      const pins = paravirtual?.hypervisor.pins
      if (pins === undefined) return { now: 0, max: 0, mean: 0 }
      const nowPs = timeline.nowPs
      return { now: pins.pinnedPages, max: pins.pinnedPagesMax, mean: nowPs > 0 ? pins.pagePs(nowPs) / nowPs : 0 }
    }),
    hypercalls: Effect.sync(() => paravirtual?.pvdma.hypercallCounts ?? NO_HYPERCALLS),
    iotlb: Effect.sync(() => {
      if (vtd === undefined) return NO_IOTLB
      const { hits, misses, stale } = vtd.iotlb
      return { hits, misses, stale }
    }),
    invalidations: Effect.sync(() => vtd?.queue.invalidations ?? NO_INVALIDATIONS),
    core
  }
  return shape
})

/** The IOMMU of one simulated world. */
export class Iommu extends Context.Service<Iommu, IommuShape>()("@vnic/iommu/Iommu") {
  /** An IOMMU whose tables lie in the world's memory and map nothing. */
  static readonly layer = (options: IommuOptions): Layer.Layer<Iommu, TableDoesNotFit, Simulation> =>
    Layer.effect(this, make(options))
}
