import { makePageAllocator, type PageAllocator } from "@vnic/sim/core"
import { makeDmaApi, makePlainHost, type BackendName, type DmaApi, type DmaApiOptions } from "@vnic/dma-api/core"
import { FlatTable, type FlatTableOptions } from "@vnic/dma-api/testing"

export const MEMORY_BYTES = 1 << 20
export const PAGE_BYTES = 4096
export const MASK_32 = 2 ** 32 - 1
export const BACKENDS: ReadonlyArray<BackendName> = ["direct", "iommu"]

export interface Setup {
  readonly dma: DmaApi
  readonly pages: PageAllocator
  readonly table: FlatTable
}

/** A DMA API over a megabyte of memory and a table that is a Map. */
export function setUp(
  backend: BackendName,
  changes: Partial<DmaApiOptions> = {},
  window: FlatTableOptions = {},
  systemPageBytes = PAGE_BYTES
): Setup {
  const pages = makePageAllocator(MEMORY_BYTES, systemPageBytes)
  const table = new FlatTable(window)
  const bytes = new Uint8Array(MEMORY_BYTES).fill(0xa5)
  const dma = makeDmaApi({ backend, host: makePlainHost(), pages, bytes, table, ...changes })
  return { dma, pages, table }
}

/** Nothing is left anywhere: no mapping, no IOVA, no table entry, no page; and nothing was found wrong. */
export const leftovers = ({ dma, pages, table }: Setup) => ({
  live: dma.liveCount(),
  mappings: dma.liveMappings().length,
  iovaPages: dma.snapshot().iovaPagesUsed,
  entries: table.entries.size,
  pages: pages.pagesUsed,
  findings: dma.findings().length
})

export const NOTHING_LEFT = { live: 0, mappings: 0, iovaPages: 0, entries: 0, pages: 0, findings: 0 }
