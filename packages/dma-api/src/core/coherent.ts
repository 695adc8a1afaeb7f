/**
 * Coherent memory: whole pages, zeroed, naturally aligned.
 *
 * MODEL: memory has no zones. A block that must lie low is searched for: what the page allocator offers higher up is
 * held until one fits or none is left, and then given back, which takes no time.
 */
import type { Pages, PhysAddr } from "./types.ts"

/** Where coherent blocks come from. */
export interface CoherentMemory {
  readonly pages: Pages
  /** Host memory, to zero what is handed out. */
  readonly bytes: Uint8Array
}

/** No block of that size is free. */
export const BLOCK_NONE: PhysAddr = -1
/** Blocks may be free, but none that begins low enough. */
export const BLOCK_TOO_HIGH: PhysAddr = -2

/** A zeroed block of at least `sizeBytes` that begins at `startMax` or below; BLOCK_NONE or BLOCK_TOO_HIGH. */
export function allocateBlock({ bytes, pages }: CoherentMemory, sizeBytes: number, startMax: PhysAddr): PhysAddr {
  if (startMax < 0) return BLOCK_TOO_HIGH
  const order = pages.orderFor(sizeBytes)
  const tooHigh: Array<PhysAddr> = []
  let phys = pages.allocate(order)
  while (phys > startMax) {
    tooHigh.push(phys)
    phys = pages.allocate(order)
  }
  // The last one first, so that the page allocator's free lists are as they were.
  for (const held of tooHigh.toReversed()) pages.free(held)
  if (phys < 0) return tooHigh.length > 0 ? BLOCK_TOO_HIGH : BLOCK_NONE
  bytes.fill(0, phys, phys + pages.pageSizeBytes * 2 ** order)
  return phys
}

/** The whole system pages that a block of `sizeBytes` fills: all of them are mapped. */
export const wholePagesBytes = (memory: CoherentMemory, sizeBytes: number): number =>
  Math.ceil(sizeBytes / memory.pages.pageSizeBytes) * memory.pages.pageSizeBytes

/** Size of the block that holds them, a power of two: also the bus address is a multiple of it. */
export const blockBytes = (memory: CoherentMemory, sizeBytes: number): number =>
  memory.pages.pageSizeBytes * 2 ** memory.pages.orderFor(sizeBytes)

/** Gives a block back. */
export function freeBlock(memory: CoherentMemory, phys: PhysAddr): void {
  memory.pages.free(phys)
}
