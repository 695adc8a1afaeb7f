/** DMA masks: what a device can put on the bus, as 2^n - 1. [Linux 6.12 kernel/dma/mapping.c, direct.c] */
import type { Table } from "./types.ts"

const MASK_32 = 2 ** 32 - 1
/** Where the zone for devices with few address lines ends, unless a platform says otherwise. */
const ZONE_DMA_MASK = 2 ** 24 - 1

/** Could it be a mask? One of 64 bits is among them, and the rest is up to the backend. */
export const isMask = (mask: number): boolean => mask >= 0 && mask % 1 === 0

/** The narrowest mask that reaches `sizeBytes` bytes from address 0 on. */
export function maskOf(sizeBytes: number): number {
  let bits = 1
  while (bits < sizeBytes) bits *= 2
  return bits - 1
}

/** Without an IOMMU: any mask of 32 bits; a narrower one if it reaches the DMA zone, or all memory. */
export function isDirectMaskSupported(mask: number, requiredMask: number): boolean {
  return mask >= MASK_32 || mask >= Math.min(ZONE_DMA_MASK, requiredMask)
}

/** Entries of a table's window that lie whole below or at the mask. */
export function reachOf(table: Table, mask: number): number {
  const pages = Math.floor((mask + 1 - table.windowStart) / 2 ** table.pageShift)
  return Math.max(0, Math.min(pages, table.pageCount))
}
