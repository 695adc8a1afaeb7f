/** One run with one IOVA allocator, and what an I/O cost. */
import { type AllocatorName, makeDmaApi } from "@vnic/dma-api/core"
import { assembleIommu, makeBusPort } from "@vnic/iommu/core"
import { ACCOUNT_COUNT, ACCOUNTS, findProfile, makeSimulation, profileValues } from "@vnic/sim/core"
import { DEPTH, drive } from "./driver.ts"
import { Controller } from "./nvme.ts"

const CPU_COUNT = 8

/** CPU time is in nanoseconds an I/O; nothing should be wrong. */
export interface Cost {
  readonly perSecond: number
  readonly cpuNs: number
  readonly iovaNs: number
  readonly hypercallNs: number
  readonly lockNs: number
  readonly wrong: { readonly bytes: number; readonly faults: number; readonly leaks: number; readonly findings: number }
}

/** `rounds` writes and as many reads of each buffer, on every CPU. */
export function run(allocator: AllocatorName, rounds: number): Cost {
  const profile = profileValues(findProfile("power7-pseries")!)
  const size = { hostMemoryBytes: 64 << 20, outsideBytes: 0, frameCapacity: 1, cpuCount: CPU_COUNT, threadsPerCore: 1 }
  const sim = makeSimulation({ profile, seed: 1, ...size })
  const { cpus, frames, memory, pages, timeline } = sim
  const { hypercall: hypercallPs, hypercallPerTce: hypercallPerTcePs, tceFetch: tceFetchPs } = profile
  const { iommu, table } = assembleIommu(
    { memory, pages, cpus, clock: timeline.clock },
    { kind: "tce", windowBytes: 1 << 30, multiTce: true, hypercallPs, hypercallPerTcePs, tceFetchPs }
  )!
  const costs = {
    bitmapSearchPs: profile.bitmapSearch,
    bitmapWordPs: profile.bitmapWord,
    treeSearchPs: profile.treeSearch,
    treeVisitPs: profile.treeVisit,
    magazinePs: profile.magazineOperation,
    constantPs: profile.constantAllocation
  }
  const dma = makeDmaApi({ backend: "iommu", allocator, host: cpus, pages, bytes: memory.bytes, table: table!, costs })
  const device = dma.attach("nvme0", 2 ** 32 - 1)
  const port = makeBusPort(iommu, iommu.attach("nvme0"), memory, frames)
  const controller = new Controller(timeline, port, CPU_COUNT, DEPTH)
  const operations = rounds * 2 * DEPTH * CPU_COUNT
  const bytes = drive(sim, device, controller, operations / CPU_COUNT)
  device.release()
  const sumNs = (...accounts: ReadonlyArray<string>): number =>
    cpus.ledger.reduce((sum, ps, at) => (accounts.includes(ACCOUNTS[at % ACCOUNT_COUNT]!) ? sum + ps : sum), 0) /
    (operations * 1000)
  return {
    perSecond: operations / (timeline.nowPs / 1e12),
    cpuNs: sumNs(...ACCOUNTS),
    iovaNs: sumNs("iova"),
    hypercallNs: sumNs("hypercall"),
    lockNs: sumNs("lockWait", "lockHandOff"),
    wrong: { bytes, faults: controller.faults, leaks: dma.liveCount(), findings: dma.findings().length }
  }
}
