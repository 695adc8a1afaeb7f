/**
 * How long a window must be for what is mapped in it at once, whatever the order in which mappings come and go. They
 * are aligned to their lengths, and of one page or of more than go to the small pools of `bitmap-pool`, 15.
 */
import type { AllocatorName } from "./allocators.ts"
import { poolStarts } from "./iova/bitmapPool.ts"
import { powerOfTwoFrom } from "./iova/powersOfTwo.ts"
import { segmentPagesOf } from "./iova/ringSegments.ts"

/** What is mapped at once at most, in pages of the window. */
export interface WindowNeed {
  /** Lengths of the mappings that stay. */
  readonly lasting: ReadonlyArray<number>
  /** Mappings of one length that come and go. */
  readonly ranges: number
  readonly rangePages: number
  /** Mappings of one page that come and go beside them. */
  readonly singles: number
  /** CPUs that map and unmap. */
  readonly cpus: number
}

/** What a need comes to. */
interface Load {
  /** The longest alignment: ranges of powers of two are multiples of themselves, and all fit into units of this. */
  readonly unit: number
  /** Pages of all that is longer than one, and of single ones. */
  readonly long: number
  readonly singles: number
  /** Length of what comes and goes beside single pages, each of which may keep one of these from its place; else 0. */
  readonly kept: number
  readonly cpus: number
}

const loadOf = ({ cpus, lasting, rangePages, ranges, singles }: WindowNeed): Load => {
  const rangeUnit = powerOfTwoFrom(rangePages)
  const unit = Math.max(1, ...lasting.map(powerOfTwoFrom), ranges === 0 ? 1 : rangeUnit)
  const isSingle = rangeUnit === 1
  return {
    unit,
    long: lasting.length * unit + (isSingle ? 0 : ranges * rangeUnit),
    singles: singles + (isSingle ? ranges : 0),
    kept: isSingle || ranges === 0 || singles === 0 ? 0 : rangeUnit,
    cpus
  }
}

/**
 * One space for all. The first page is never handed out, so the first unit holds nothing long, and the end of the
 * window may lie inside of a unit.
 */
const inOne = ({ kept, long, singles, unit }: Load, spare = 0): number =>
  long + singles * Math.max(1, kept) + 2 * unit + spare

/** In halves, of each of which the last page is never handed out: what is single pages and what is not stay apart. */
const inHalves = (load: Load): number =>
  load.kept === 0 ? inOne(load, 2) : 2 * Math.max(load.long + 2 * load.unit, load.singles + 2)

/** Only the small pools take single pages. What is long goes there when the large pool, the rest, is full. */
const fitsPools = ({ kept, long, singles, unit }: Load, pageCount: number, pageShift: number): boolean => {
  const starts = poolStarts(pageCount, pageShift)
  const pools = starts.length - 2
  const smallPages = starts[pools]!
  const over = Math.max(0, long - Math.max(0, pageCount - smallPages - 2 * unit))
  if (over > 0 && kept > 0) return false
  return smallPages >= singles + pools + 1 + (over > 0 ? over + 2 * unit * pools : 0)
}

/** Rings keep a segment from all other CPUs while the last free in it is still to come by their clocks: one each. */
const inRings = (load: Load, pages: number): number => inOne(load, load.cpus * segmentPagesOf(pages, load.cpus))

/**
 * The least pages, a multiple of `step`, of a window that begins at bus address 0 and always has room for these
 * mappings. For allocators that choose addresses: `identity` needs a window as long as memory.
 */
export function windowPagesFor(allocator: AllocatorName, need: WindowNeed, pageShift: number, step: number): number {
  const load = loadOf(need)
  const fits = (pages: number): boolean => {
    if (allocator === "bitmap") return pages >= inHalves(load)
    if (allocator === "bitmap-pool") return fitsPools(load, pages, pageShift)
    if (allocator === "ring") return pages >= inRings(load, pages)
    return pages >= inOne(load)
  }
  let pages = Math.ceil(inOne(load) / step) * step
  while (!fits(pages)) pages += step
  return pages
}
