/** Coherent memory: whole pages, zeroed, naturally aligned. */
import type { Pages, PhysAddr } from "./types.ts"

/** Where coherent blocks come from. */
export interface CoherentMemory {
  readonly pages: Pages
  /** Host memory, to zero what is handed out. */
  readonly bytes: Uint8Array
}

/** A zeroed block of at least `sizeBytes`, or -1. */
export function allocateBlock(memory: CoherentMemory, sizeBytes: number): PhysAddr {
  const order = memory.pages.orderFor(sizeBytes)
  const phys = memory.pages.allocate(order)
  if (phys >= 0) memory.bytes.fill(0, phys, phys + memory.pages.pageSizeBytes * 2 ** order)
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
