/** Memory that an IOMMU takes of its host for its own tables, at most, known before there is one. */
import { PAGE_ORDER_MAX } from "@vnic/sim/core"
import { TCE_LIST_BYTES } from "./hypervisor.ts"
import { tceTableBytes } from "./tceTable.ts"
import { STAGE_ENTRIES, VTD_PAGE_BYTES } from "./vtd/layout.ts"

/** Bytes of the blocks, powers of two of system pages, that so many bytes in a row are given. */
const blocksBytes = (bytes: number, systemPageBytes: number): number => {
  let blockBytes = systemPageBytes
  while (blockBytes < bytes && blockBytes < systemPageBytes * 2 ** PAGE_ORDER_MAX) blockBytes *= 2
  return Math.ceil(bytes / blockBytes) * blockBytes
}

/** The TCE table of a window, and a list page for each CPU. */
export const tceMemoryBytes = (
  windowBytes: number,
  pageShift: number,
  cpuCount: number,
  systemPageBytes: number
): number =>
  blocksBytes(tceTableBytes(windowBytes, pageShift), systemPageBytes) +
  blocksBytes(cpuCount * TCE_LIST_BYTES, systemPageBytes)

/** Root table, contexts, invalidation queue and status words. */
const VTD_FIXED_PAGES = 4

/** What is there in any case, and the tables of all levels over so many bytes of bus addresses: once made they stay. */
export const vtdMemoryBytes = (addressBytes: number, levels: number, systemPageBytes: number): number => {
  let pages = VTD_FIXED_PAGES
  let ofLevel = addressBytes / VTD_PAGE_BYTES
  for (let level = 1; level <= levels; level++) {
    ofLevel = Math.ceil(ofLevel / STAGE_ENTRIES)
    pages += ofLevel
  }
  return pages * Math.max(VTD_PAGE_BYTES, systemPageBytes)
}
