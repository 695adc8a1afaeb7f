/**
 * How much of one kind a window holds, for whoever keeps many ranges of one length in use and wants to find out
 * beforehand whether there is room for them.
 */
import type { AllocatorName } from "./allocators.ts"
import { BLOCK_ENTRIES, SMALL_PAGES_MAX } from "./iova/bitmap.ts"
import { poolStarts } from "./iova/bitmapPool.ts"
import { powerOfTwoFrom } from "./iova/powersOfTwo.ts"

/** Small ranges begin in every block of entries, and fill it as long as one fits behind another. */
const inBlocks = (first: number, end: number, pages: number): number => {
  let count = 0
  for (let at = first; at < end;) {
    const blockEnd = Math.min(end, (Math.floor(at / BLOCK_ENTRIES) + 1) * BLOCK_ENTRIES)
    count += Math.floor((blockEnd - at) / pages)
    at = blockEnd
  }
  return count
}

const inRow = (first: number, end: number, pages: number): number => Math.floor((end - first) / pages)

/** Parts of a bitmap that are searched one after the other; the last entry of each is left alone. */
const inParts = (starts: ReadonlyArray<number>, pages: number, fill: typeof inRow): number => {
  let count = 0
  for (let part = 0; part + 1 < starts.length; part++) {
    count += fill(Math.max(1, starts[part]!), starts[part + 1]! - 1, pages)
  }
  return count
}

/**
 * Ranges of `pages` that fit into a window of `windowPages` whose first page is reserved, when they are allocated one
 * after the other and nothing is given back between: at least so many. Exactly so many where the length is a power of
 * two of at least 1,024, but for small ranges in four pools: those lie closer in pools that are not their CPU's own.
 * Of `ring` it is the most there can be: pages at the ends of segments may stay unused. `identity` gives the addresses
 * of the memory: the memory says how many.
 */
export function rangesThatFit(allocator: AllocatorName, windowPages: number, pageShift: number, pages: number): number {
  const isLarge = pages > SMALL_PAGES_MAX
  const half = windowPages >> 1
  switch (allocator) {
    case "bitmap":
      // Only in the lower half do small ranges begin blocks; the upper one is what is left for them.
      if (isLarge) return inRow(1, half, pages) + inRow(half, windowPages - 1, pages)
      return inBlocks(1, half - 1, pages) + inRow(half, windowPages - 1, pages)
    case "bitmap-pool": {
      const starts = [...poolStarts(windowPages, pageShift)]
      return isLarge ? inParts(starts, pages, inRow) : inParts(starts.slice(0, -1), pages, inBlocks)
    }
    case "identity":
    case "ring":
      return inRow(1, windowPages, pages)
    default:
      // A tree's ranges are aligned to their length, rounded up; the first place has the reserved page.
      return Math.max(0, inRow(0, windowPages, powerOfTwoFrom(pages)) - 1)
  }
}
