/**
 * A whole VT-d IOMMU for one host, with one domain that its devices share: tables and queue in the host's
 * memory, the hardware that reads them, and the kernel's side of both.
 */
import { PAGE_NONE, type Memory, type PageAllocator } from "@vnic/sim/core"
import { makeMapSites, type MapSites } from "../mapSites.ts"
import { makeContextTables } from "./contextTables.ts"
import { makeInvalidationQueue, type InvalidationQueue } from "./invalidationQueue.ts"
import { makeInvalidator, type CpuPrograms, type Invalidator } from "./invalidator.ts"
import { makeIotlb, type Iotlb } from "./iotlb.ts"
import { VTD_PAGE_BYTES, VTD_PAGE_SHIFT } from "./layout.ts"
import { makeRemapping, type Remapping } from "./remapping.ts"
import { makeSecondStage, type SecondStage } from "./secondStage.ts"
import { makeVtdTable, type VtdCosts, type VtdTable } from "./vtdTable.ts"
import { makeWalker } from "./walker.ts"

/** The bus of all devices, and the domain that they are given; domain 0 is never used. */
const BUS = 1
const DOMAIN = 1

export interface VtdHost {
  readonly memory: Memory
  readonly pages: PageAllocator
  readonly cpus: CpuPrograms
  /** clock[0]: the world's time, picoseconds. */
  readonly clock: Float64Array
}

export interface VtdOptions {
  /** Bytes of bus addresses that are handed out, from 0 on. */
  readonly windowBytes: number
  /** Levels of the second-stage tables: 3 for 39 bits, 4 for 48, 5 for 57. */
  readonly levels: number
  readonly iotlbSets: number
  readonly iotlbWays: number
  /** What an invalidation takes the hardware, and one look for its end a CPU, picoseconds. */
  readonly invalidationPs: number
  readonly invalidationPollPs: number
  readonly costs: VtdCosts
}

/** The parts of a VT-d IOMMU behind the door. */
export interface Vtd {
  readonly remapping: Remapping
  readonly iotlb: Iotlb
  readonly queue: InvalidationQueue
  readonly invalidator: Invalidator
  readonly stage: SecondStage
  readonly sites: MapSites
  readonly table: VtdTable
}

/** Builds one; undefined, and nothing allocated, when memory has no room for its tables. */
export function assembleVtd(host: VtdHost, options: VtdOptions): Vtd | undefined {
  const { clock, cpus, memory, pages } = host
  // Root table, contexts, ring, status words.
  const fixed = Array.from({ length: 4 }, () => pages.allocate(pages.orderFor(VTD_PAGE_BYTES)))
  const stage = fixed.includes(PAGE_NONE) ? undefined : makeSecondStage(memory, pages, options.levels)
  if (stage === undefined) {
    for (const page of fixed) if (page !== PAGE_NONE) pages.free(page)
    return undefined
  }
  const [root, contexts, ring, status] = fixed as [number, number, number, number]
  const iotlb = makeIotlb(options.iotlbSets, options.iotlbWays)
  const queue = makeInvalidationQueue({
    memory,
    iotlb,
    ring,
    invalidationPs: options.invalidationPs,
    forgetContexts: () => remapping.forgetContexts()
  })
  const remapping = makeRemapping({
    memory,
    clock,
    contextTables: makeContextTables(memory, BUS, root, contexts),
    iotlb,
    walker: makeWalker(memory),
    queue,
    bus: BUS,
    target: { domain: DOMAIN, top: stage.top, levels: options.levels }
  })
  const invalidator = makeInvalidator({ memory, cpus, queue, ring, status, pollPs: options.invalidationPollPs })
  const pageCount = Math.floor(options.windowBytes / 2 ** VTD_PAGE_SHIFT)
  const sites = makeMapSites(pageCount, cpus.localPs)
  const table = makeVtdTable({
    domain: DOMAIN,
    stage,
    iotlb,
    invalidator,
    sites,
    cpus,
    costs: options.costs,
    pageCount
  })
  return { remapping, iotlb, queue, invalidator, stage, sites, table }
}
