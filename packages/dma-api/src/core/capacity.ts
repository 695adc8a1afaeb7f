/**
 * How much of one kind a window holds, for whoever keeps many ranges of one length in use and wants to find out
 * beforehand whether there is room for them.
 */
import type { AllocatorName } from "./allocators.ts"
import type { PageRange } from "./iova/allocator.ts"
import { BLOCK_ENTRIES, SMALL_PAGES_MAX } from "./iova/bitmap.ts"
import { poolStarts } from "./iova/bitmapPool.ts"
import { powerOfTwoFrom } from "./iova/powersOfTwo.ts"

/** A window, and how far a device reaches into it. */
export interface WindowRoom {
  readonly pageCount: number
  /** log2 of a page. */
  readonly pageShift: number
  /** The bus page that its first one is: 0 when left out, and then that page is reserved. */
  readonly startPage?: number
  /** Pages from the first on that the device addresses: all when left out; else a multiple of 16. */
  readonly reach?: number
  /** Other pages that are never handed out, in order. */
  readonly reserved?: ReadonlyArray<PageRange>
}

/** How many ranges of so many pages fit into [first, end). */
type Fill = (first: number, end: number, pages: number) => number

const inRow: Fill = (first, end, pages) => Math.max(0, Math.floor((end - first) / pages))

/** Small ranges begin in every block of entries, and fill it as long as one fits behind another. */
const inBlocks: Fill = (first, end, pages) => {
  let count = 0
  for (let at = first; at < end;) {
    const blockEnd = Math.min(end, (Math.floor(at / BLOCK_ENTRIES) + 1) * BLOCK_ENTRIES)
    count += Math.floor((blockEnd - at) / pages)
    at = blockEnd
  }
  return count
}

/** Ranges are aligned, on the bus, to their length, rounded up. */
const inOrderFrom =
  (startPage: number): Fill =>
  (first, end, pages) => {
    const alignment = powerOfTwoFrom(pages)
    return Math.max(0, Math.floor((startPage + end) / alignment) - Math.ceil((startPage + first) / alignment))
  }

/** The same beside what is reserved. */
const beside =
  (reserved: ReadonlyArray<PageRange>, fill: Fill): Fill =>
  (first, end, pages) => {
    let count = 0
    let at = first
    for (const { firstPage, pageCount } of reserved) {
      if (firstPage >= end) break
      count += fill(at, firstPage, pages)
      at = Math.max(at, firstPage + pageCount)
    }
    return count + fill(at, end, pages)
  }

/** What of a window can be filled: the pages [lowest, reach). */
interface Span {
  readonly lowest: number
  readonly reach: number
}

/** Large ranges begin at a hint, modulo the reach, and go on at the window's beginning. */
const fromHint = (hint: number, { lowest, reach }: Span, pages: number, row: Fill): number => {
  const start = Math.max(lowest, hint % reach)
  return row(lowest, start, pages) + row(start, reach - 1, pages)
}

/** One bitmap in halves. Only in the lower one do small ranges begin blocks; the upper one is what is left for them. */
const inHalves = (pageCount: number, span: Span, pages: number, row: Fill, blocks: Fill): number => {
  const { lowest, reach } = span
  const half = pageCount >> 1
  if (pages > SMALL_PAGES_MAX) return fromHint(half, span, pages, row)
  if (half > reach) return blocks(lowest, reach - 1, pages)
  return blocks(lowest, half - 1, pages) + row(half, reach - 1, pages)
}

/**
 * Bitmaps that are searched one after the other, the last entry of each left alone; where the reach ends in one, all up
 * to there is searched as one.
 */
const inPools = (starts: ReadonlyArray<number>, span: Span, pages: number, row: Fill, blocks: Fill): number => {
  const { lowest, reach } = span
  const isLarge = pages > SMALL_PAGES_MAX
  const largePool = starts.length - 2
  if (isLarge && reach < starts[largePool + 1]!) return fromHint(starts[largePool]!, span, pages, row)
  const fill = isLarge ? row : blocks
  const pools = isLarge ? largePool + 1 : largePool
  let count = 0
  for (let pool = 0; pool < pools && starts[pool]! < reach; pool++) {
    count += fill(Math.max(lowest, starts[pool]!), Math.min(starts[pool + 1]!, reach) - 1, pages)
  }
  return count
}

/**
 * Ranges of `pages` that fit into a window when they are allocated one after the other and nothing is given back
 * between: at least so many. Exactly so many where all of the window is reached, its length is a power of two of at
 * least 1,024, it begins at a multiple of that, and nothing but page 0 of the bus is reserved; but for small ranges in
 * four pools: those lie closer in pools that are not their CPU's own. Of `ring` it is the most there can be: pages at
 * the ends of segments may stay unused. `identity` gives the addresses of the memory: the memory says how many.
 */
export function rangesThatFit(allocator: AllocatorName, room: WindowRoom, pages: number): number {
  const { pageCount, pageShift, reserved = [], startPage = 0 } = room
  const lowest = startPage === 0 ? 1 : 0
  const reach = Math.min(room.reach ?? pageCount, pageCount)
  const span = { lowest, reach }
  const row = beside(reserved, inRow)
  const blocks = beside(reserved, inBlocks)
  switch (allocator) {
    case "bitmap":
      return inHalves(pageCount, span, pages, row, blocks)
    case "bitmap-pool":
      return inPools([...poolStarts(pageCount, pageShift)], span, pages, row, blocks)
    case "identity":
    case "ring":
      return row(lowest, reach, pages)
    default:
      return beside(reserved, inOrderFrom(startPage))(lowest, reach, pages)
  }
}
