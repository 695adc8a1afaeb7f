/**
 * The bitmap IOVA allocator of powerpc before June 2012: one bit an entry, small requests (up to 15 pages)
 * next-fit in the lower half, large ones in the upper half. When a half has no room from its hint on it is
 * searched again from its start, then a small request searches the upper half and a large one everything,
 * then the request fails.
 *
 * After a small allocation the hint moves on to the next block of 16 entries (one cache line of TCEs). The
 * last entry of the range that is searched is never handed out, and entry 0 is reserved when the window
 * starts at bus address 0. A device that reaches part of the window only searches that part; from its start,
 * but for a first try at the hint modulo its reach. No range crosses the device's segment boundary; a request that is
 * longer fails. [Linux 3.4 arch/powerpc/kernel/iommu.c, lib/iommu-helper.c]
 *
 * The caller holds the table's lock. Work is counted in 64-bit words looked at.
 */
import { IOVA_NONE as iovaNone, WORK_WORDS, type IovaWindow, type WindowPages } from "./allocator.ts"
import { Bits } from "./bits.ts"
import { bitmapStepCosts, makeOneLockAllocator, type OneLockAllocator, type RangeStructure } from "./oneLock.ts"

// A copy in this module: an imported binding costs a load and a check at each use.
const IOVA_NONE = iovaNone

/** Requests of a bitmap, in pools or not, that are above this many pages are large. */
export const SMALL_PAGES_MAX = 15
/** Entries that the hint moves on by after a small allocation. */
export const BLOCK_ENTRIES = 16

export class Bitmap implements RangeStructure {
  declare readonly pageCount: number
  /** Entries that are allocated now, reserved ones not counted. */
  pagesUsed = 0
  /** Words and cache lines that the last operation looked at. */
  declare readonly steps: Float64Array
  declare private readonly bits: Bits
  declare private readonly halfPoint: number
  declare private smallHint: number
  declare private largeHint: number

  constructor(window: WindowPages) {
    const { pageCount } = window
    this.bits = new Bits(window)
    this.steps = this.bits.steps
    this.pageCount = pageCount
    this.halfPoint = pageCount >> 1
    this.smallHint = 0
    this.largeHint = this.halfPoint
  }

  /** 64-bit words looked at by the last operation. */
  get wordsScanned(): number {
    return this.steps[WORK_WORDS]!
  }

  /**
   * The first entry of a free run of `pages` entries whose start is a multiple of `alignment` on the bus (a power of
   * two), now allocated; or IOVA_NONE. The device can address the first `reach` entries, and the run crosses no
   * multiple of `boundary` entries on the bus (0: none).
   */
  readonly allocate = (pages: number, alignment: number, reach: number = this.pageCount, boundary = 0): number => {
    this.bits.begin()
    const isLarge = pages > SMALL_PAGES_MAX
    const low = isLarge ? this.halfPoint : 0
    const high = isLarge ? this.pageCount : this.halfPoint
    const hint = isLarge ? this.largeHint : this.smallHint
    // The last entry of what is searched is left alone.
    const limit = (high < reach ? high : reach) - 1
    let entry = this.bits.search(high <= reach || reach === 0 ? hint : hint % reach, limit, pages, alignment, boundary)
    if (entry === IOVA_NONE) entry = this.bits.search(high <= reach ? low : 0, limit, pages, alignment, boundary)
    if (entry === IOVA_NONE) {
      const start = isLarge || this.pageCount > reach ? 0 : this.halfPoint
      entry = this.bits.search(start, Math.min(this.pageCount, reach) - 1, pages, alignment, boundary)
    }
    if (entry === IOVA_NONE) return IOVA_NONE
    this.bits.set(entry, pages)
    this.pagesUsed += pages
    const end = entry + pages
    if (isLarge) this.largeHint = end
    else this.smallHint = (end + BLOCK_ENTRIES - 1) & ~(BLOCK_ENTRIES - 1)
    return entry
  }

  /** Would there be such a run among the first `reach` entries if nothing was allocated? */
  readonly canEverFit = (pages: number, alignment: number, reach: number, boundary = 0): boolean => {
    const { usable } = this.bits
    const end = Math.min(reach, this.pageCount)
    if (pages > SMALL_PAGES_MAX || reach < this.pageCount)
      return usable.hasPlace(0, end - 1, pages, alignment, boundary)
    // A small request does not lie across the middle; nor does it have the last entry of the lower half.
    const isLow = usable.hasPlace(0, this.halfPoint - 1, pages, alignment, boundary)
    return isLow || usable.hasPlace(this.halfPoint, end - 1, pages, alignment, boundary)
  }

  /** Gives `pages` entries from `entry` on back. */
  readonly free = (entry: number, pages: number): void => {
    this.bits.begin()
    this.bits.clear(entry, pages)
    this.pagesUsed -= pages
  }

  /** Is this entry allocated or reserved? */
  readonly isUsed = (entry: number): boolean => {
    return this.bits.isUsed(entry)
  }
}

/** A bitmap over a window's entries, all free but those that are reserved; without a lock. */
export const makeBitmap = (window: WindowPages): Bitmap => new Bitmap(window)

/** The bitmap under the one lock of its table, which is held across the table write as far as the window lets it. */
export const makeBitmapAllocator = (window: IovaWindow): OneLockAllocator =>
  makeOneLockAllocator(window, makeBitmap(window), {
    lockName: `${window.tableName} table lock`,
    lockAcrossTableWrite: "both",
    stepCosts: bitmapStepCosts(window.costs)
  })
