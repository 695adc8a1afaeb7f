/**
 * A whole IOMMU for one host: the TCE table and the list pages in the host's memory, the hypervisor, the
 * guest's side, and the door; or a VT-d unit and the door; or, without translation, the door alone.
 */
import { PAGE_NONE, type Memory, type PageAllocator, PAGE_ORDER_MAX } from "@vnic/sim/core"
import { makeHypervisor, TCE_LIST_BYTES, type Hypervisor } from "./hypervisor.ts"
import { makeIommu, type Iommu } from "./iommu.ts"
import { makeMapSites } from "./mapSites.ts"
import { makePvdma, type Pvdma } from "./pvdma.ts"
import { makeTceTable, pciLiobn, tceTableBytes, type TceTable } from "./tceTable.ts"
import type { CpuPrograms } from "./vtd/invalidator.ts"
import { assembleVtd, type Vtd, type VtdOptions } from "./vtd/unit.ts"
import type { VtdTable } from "./vtd/vtdTable.ts"

/** log2 of the IOMMU page of the default window: 4 KiB. */
export const DEFAULT_PAGE_SHIFT = 12

export interface AssemblyHost {
  readonly memory: Memory
  readonly pages: PageAllocator
  readonly cpus: CpuPrograms
  /** clock[0]: the world's time, picoseconds. */
  readonly clock: Float64Array
}

export type AssemblyOptions = TceOptions | ({ readonly kind: "vtd" } & VtdOptions) | { readonly kind: "none" }

export interface TceOptions {
  readonly kind: "tce"
  readonly windowBytes: number
  readonly multiTce: boolean
  /** Most 4 KiB pages that may be pinned; without it there is no limit. */
  readonly pinnedPagesLimit?: number
  readonly hypercallPs: number
  readonly hypercallPerTcePs: number
  readonly tceFetchPs: number
}

/** The parts of the paravirtual IOMMU behind the door. */
export interface Paravirtual {
  readonly table: TceTable
  readonly hypervisor: Hypervisor
  readonly pvdma: Pvdma
}

export interface IommuParts {
  readonly iommu: Iommu
  /** Only with TCEs. */
  readonly paravirtual: Paravirtual | undefined
  /** Only with VT-d. */
  readonly vtd: Vtd | undefined
  /** What the DMA API writes to; undefined without translation. */
  readonly table: Pvdma | VtdTable | undefined
}

/** Builds an IOMMU; undefined, and nothing allocated, when memory has no room for its tables. */
export function assembleIommu(host: AssemblyHost, options: AssemblyOptions): IommuParts | undefined {
  const { clock, memory } = host
  if (options.kind === "tce") return assembleTce(host, options)
  if (options.kind === "none") {
    const iommu = makeIommu({ kind: "none", memory, clock })
    return { iommu, paravirtual: undefined, vtd: undefined, table: undefined }
  }
  const vtd = assembleVtd(host, options)
  if (vtd === undefined) return undefined
  const iommu = makeIommu({ kind: "vtd", memory, clock, vtd })
  return { iommu, paravirtual: undefined, vtd, table: vtd.table }
}

function assembleTce(host: AssemblyHost, options: TceOptions): IommuParts | undefined {
  const { clock, cpus, memory } = host
  const pageShift = DEFAULT_PAGE_SHIFT
  const tableBytes = tceTableBytes(options.windowBytes, pageShift)
  const storage = allocateContiguous(host.pages, tableBytes, cpus.count * TCE_LIST_BYTES)
  if (storage === undefined) return undefined
  const table = makeTceTable({
    memory,
    tableOffset: storage.table,
    liobn: pciLiobn(0, 0),
    windowStart: 0,
    windowBytes: options.windowBytes,
    pageShift
  })
  const hypervisor = makeHypervisor({
    memory,
    localPs: cpus.localPs,
    multiTce: options.multiTce,
    ...(options.pinnedPagesLimit === undefined ? {} : { pinnedPagesLimit: options.pinnedPagesLimit })
  })
  hypervisor.addTable(table)
  const sites = makeMapSites(table.pageCount, cpus.localPs)
  const pvdma = makePvdma({
    memory,
    hypervisor,
    table,
    sites,
    cpus,
    listPhys: Array.from({ length: cpus.count }, (_, cpu) => storage.lists + cpu * TCE_LIST_BYTES),
    hypercallPs: options.hypercallPs,
    hypercallPerTcePs: options.hypercallPerTcePs
  })
  const iommu = makeIommu({
    kind: "tce",
    memory,
    clock,
    table,
    sites,
    tceFetchPs: options.tceFetchPs
  })
  return { iommu, paravirtual: { table, hypervisor, pvdma }, vtd: undefined, table: pvdma }
}

/**
 * One block for the lists, and for the table one or, where it is larger than the largest block, several
 * that happen to lie side by side, as they do in a world that has allocated little yet.
 */
function allocateContiguous(
  pages: PageAllocator,
  tableBytes: number,
  listBytes: number
): { readonly table: number; readonly lists: number } | undefined {
  const blocks: Array<number> = []
  const order = Math.min(pages.orderFor(tableBytes), PAGE_ORDER_MAX)
  const blockBytes = pages.pageSizeBytes * 2 ** order
  const lists = allocateInto(blocks, pages, pages.orderFor(listBytes))
  let table = PAGE_NONE
  for (let start = 0; lists !== PAGE_NONE && start < tableBytes; start += blockBytes) {
    const block = allocateInto(blocks, pages, order)
    if (start === 0) table = block
    if (block === PAGE_NONE || block !== table + start) {
      table = PAGE_NONE
      break
    }
  }
  if (table !== PAGE_NONE) return { table, lists }
  for (const block of blocks) pages.free(block)
  return undefined
}

function allocateInto(blocks: Array<number>, pages: PageAllocator, order: number): number {
  const block = pages.allocate(order)
  if (block !== PAGE_NONE) blocks.push(block)
  return block
}
