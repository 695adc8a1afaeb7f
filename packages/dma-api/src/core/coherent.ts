/**
 * Coherent memory: whole pages, zeroed, naturally aligned.
 *
 * MODEL: memory has no zones. A block that must lie where the device reaches it is searched for: what the page
 * allocator offers elsewhere is held until one suits or none is left, and then given back, which takes no time.
 */
import { fail } from "@vnic/sim/core"
import type { Pages, PhysAddr } from "./types.ts"

/** Where coherent blocks come from. */
export interface CoherentMemory {
  readonly pages: Pages
  /** Host memory, to zero what is handed out. */
  readonly bytes: Uint8Array
}

/** No block of that size is free, or none of those that suit. */
export const BLOCK_NONE: PhysAddr = -1

/**
 * A zeroed block of at least `sizeBytes` at a place that suits, or BLOCK_NONE. Where no place in all of memory does,
 * it is the last that is free: whoever maps it finds out why.
 */
export function allocateBlock(memory: CoherentMemory, sizeBytes: number, suits: (phys: PhysAddr) => boolean): PhysAddr {
  const { bytes, pages } = memory
  const order = pages.orderFor(sizeBytes)
  const step = blockBytes(memory, sizeBytes)
  const unfit: Array<PhysAddr> = []
  let phys = pages.allocate(order)
  while (phys >= 0 && !suits(phys)) {
    unfit.push(phys)
    if (unfit.length > bytes.length / step) fail("more pages were handed out than there is memory")
    phys = pages.allocate(order)
  }
  if (phys < 0 && !isAnySuitable(bytes.length, step, suits)) phys = unfit.pop() ?? BLOCK_NONE
  // The last one first, so that the page allocator's free lists are as they were.
  for (const held of unfit.toReversed()) pages.free(held)
  if (phys < 0) return BLOCK_NONE
  if (phys + step > bytes.length) fail("pages were handed out that are no memory")
  bytes.fill(0, phys, phys + step)
  return phys
}

const isAnySuitable = (memoryBytes: number, step: number, suits: (phys: PhysAddr) => boolean): boolean => {
  for (let phys = 0; phys + step <= memoryBytes; phys += step) if (suits(phys)) return true
  return false
}

/** The whole system pages that a block of `sizeBytes` fills: all of them are mapped. */
export const wholePagesBytes = (memory: CoherentMemory, sizeBytes: number): number =>
  Math.ceil(sizeBytes / memory.pages.pageSizeBytes) * memory.pages.pageSizeBytes

/** Size of the block that holds them, a power of two: also the bus address is a multiple of it. */
export const blockBytes = (memory: CoherentMemory, sizeBytes: number): number =>
  memory.pages.pageSizeBytes * 2 ** memory.pages.orderFor(sizeBytes)
