/** A small world with an IOMMU and one device attached to it: one CPU, 4 MiB, a window of few pages. */
import { assert, type SimulationCore, type SimulationOptions } from "@vnic/sim/core"
import { soloWorld } from "@vnic/sim/testing"
import { assembleIommu, type Paravirtual } from "../core/assembly.ts"
import { type BusPort, makeBusPort } from "../core/busPort.ts"
import type { DeviceId, Iommu } from "../core/iommu.ts"

const PAGE_BYTES = 4096

export interface SoloIommuOptions {
  readonly windowPages: number
  readonly multiTce: boolean
  readonly pinnedPagesLimit?: number
  readonly world?: Partial<SimulationOptions>
}

export interface SoloIommu extends Paravirtual {
  readonly sim: SimulationCore
  readonly iommu: Iommu
  readonly device: DeviceId
  readonly port: BusPort
  /** An allocated stretch of 4 KiB pages that nothing else uses. */
  readonly buffer: number
  readonly bufferPages: number
}

/** Order of the block that tests may map: 1 MiB of 64 KiB pages. */
const BUFFER_ORDER = 4

export function soloIommu(changes: Partial<SoloIommuOptions> = {}): SoloIommu {
  const { windowPages = 8, multiTce = true, pinnedPagesLimit, world } = changes
  const sim = soloWorld(world)
  const { cpus, memory, pages, profile, timeline } = sim
  const parts = assembleIommu(
    { memory, pages, cpus, clock: timeline.clock },
    {
      kind: "tce",
      windowBytes: windowPages * PAGE_BYTES,
      multiTce,
      ...(pinnedPagesLimit === undefined ? {} : { pinnedPagesLimit }),
      hypercallPs: profile.hypercall,
      hypercallPerTcePs: profile.hypercallPerTce,
      tceFetchPs: profile.tceFetch
    }
  )
  assert(parts?.paravirtual !== undefined, "a small world has no room for its IOMMU")
  const { iommu, paravirtual } = parts
  const device = iommu.attach("nic")
  return {
    ...paravirtual,
    sim,
    iommu,
    device,
    port: makeBusPort(iommu, device, memory, sim.frames),
    buffer: pages.allocate(BUFFER_ORDER),
    bufferPages: (pages.pageSizeBytes << BUFFER_ORDER) / PAGE_BYTES
  }
}
