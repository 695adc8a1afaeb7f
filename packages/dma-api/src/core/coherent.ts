/**
 * Coherent memory: whole pages, zeroed, naturally aligned.
 *
 * MODEL: memory has no zones. A block that must lie low is searched for: what the page allocator offers higher up is
 * held until one fits or none is left, and then given back, which takes no time.
 */
import { fail } from "@vnic/sim/core"
import type { Pages, PhysAddr } from "./types.ts"

/** Where coherent blocks come from. */
export interface CoherentMemory {
  readonly pages: Pages
  /** Host memory, to zero what is handed out. */
  readonly bytes: Uint8Array
}

/** No block of that size is free, or none of those that begin low enough. */
export const BLOCK_NONE: PhysAddr = -1
/** No block can begin low enough, whatever is free. */
export const BLOCK_TOO_HIGH: PhysAddr = -2

/** A zeroed block of at least `sizeBytes` that begins at `startMax` or below; BLOCK_NONE or BLOCK_TOO_HIGH. */
export function allocateBlock(memory: CoherentMemory, sizeBytes: number, startMax: PhysAddr): PhysAddr {
  if (startMax < 0) return BLOCK_TOO_HIGH
  const { bytes, pages } = memory
  const order = pages.orderFor(sizeBytes)
  const blocksMax = bytes.length / blockBytes(memory, sizeBytes)
  const tooHigh: Array<PhysAddr> = []
  let phys = pages.allocate(order)
  while (phys > startMax) {
    tooHigh.push(phys)
    if (tooHigh.length > blocksMax) fail("more pages were handed out than there is memory")
    phys = pages.allocate(order)
  }
  // The last one first, so that the page allocator's free lists are as they were.
  for (const held of tooHigh.toReversed()) pages.free(held)
  if (phys < 0) return BLOCK_NONE
  const end = phys + blockBytes(memory, sizeBytes)
  if (end > bytes.length) fail("pages were handed out that are no memory")
  bytes.fill(0, phys, end)
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
