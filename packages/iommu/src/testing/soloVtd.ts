/** A small x86 world with a VT-d IOMMU and one device attached to it. */
import { assert, findProfile, profileValues, type SimulationCore, type SimulationOptions } from "@vnic/sim/core"
import { soloWorld } from "@vnic/sim/testing"
import { assembleIommu } from "../core/assembly.ts"
import { type BusPort, makeBusPort } from "../core/busPort.ts"
import type { DeviceId, Iommu } from "../core/iommu.ts"
import type { Vtd, VtdOptions } from "../core/vtd/unit.ts"

export interface SoloVtdOptions {
  readonly vtd: Partial<VtdOptions>
  readonly world: Partial<SimulationOptions>
}

export interface SoloVtd extends Vtd {
  readonly sim: SimulationCore
  readonly iommu: Iommu
  readonly device: DeviceId
  readonly port: BusPort
  /** 1 MiB of memory that nothing else uses. */
  readonly buffer: number
}

/** Order of the buffer's block. */
const BUFFER_ORDER = 8

/** One CPU, 4 MiB, an IOTLB of 4 sets and 2 ways; changes on top. */
export function soloVtd(changes: Partial<SoloVtdOptions> = {}): SoloVtd {
  const profile = profileValues(findProfile("x86-sandybridge")!)
  const sim = soloWorld({ profile, ...changes.world })
  const { cpus, memory, pages, timeline } = sim
  const parts = assembleIommu(
    { memory, pages, cpus, clock: timeline.clock },
    {
      kind: "vtd",
      windowBytes: 2 ** 32,
      levels: 4,
      iotlbSets: 4,
      iotlbWays: 2,
      invalidationPs: profile.invalidation,
      invalidationPollPs: profile.invalidationPoll,
      costs: {
        insertPs: profile.pageTableInsert,
        removePs: profile.pageTableRemove,
        entryPs: profile.pageTableEntry,
        pageAllocationPs: profile.pageAllocation
      },
      ...changes.vtd
    }
  )
  assert(parts?.vtd !== undefined, "a small world has no room for its IOMMU")
  const { iommu, vtd } = parts
  const device = iommu.attach("nic")
  const port = makeBusPort(iommu, device, memory, sim.frames)
  return { ...vtd, sim, iommu, device, port, buffer: pages.allocate(BUFFER_ORDER) }
}
