/**
 * The IOTLB: copies of successful translations, tagged with their domain, in sets and ways. A copy is used
 * until it is invalidated or makes room for another one, whatever the tables say by then: what a device
 * still reaches through it after its page was unmapped is counted here.
 *
 * MODEL: leaves of all sizes share the sets, each in the set of its own page number, and the copy that was
 * used longest ago makes room. How real ones are built is not published.
 */
import { assert } from "@vnic/sim/core"
import { LEAF_LEVEL_MAX, PAGES_OF_LEVEL as pagesOfLevel, VTD_PAGE_BYTES } from "./layout.ts"

/** No copy of that page. */
export const IOTLB_MISS = -1

// Exported and imported names cost a load and a check at each use; the hot path has its own.
const PAGES_OF_LEVEL = pagesOfLevel
const MISS = IOTLB_MISS
const PAGE_BYTES = VTD_PAGE_BYTES
const OFFSET_MASK = VTD_PAGE_BYTES - 1
const LEVELS = LEAF_LEVEL_MAX
/** `removedAt` of a copy whose page is still mapped. */
const MAPPED = Infinity
const EMPTY = 0

const USE_CLOCK = 0
const LATEST = 1
const WINDOWS = 2
const WINDOW_SUM = 3
const WINDOW_MAX = 4

/** What devices did, and could have done, through translations whose pages were unmapped. */
export interface StaleCounts {
  /** Accesses and their bytes. */
  readonly hits: number
  readonly bytes: number
  /** The longest time between a page's removal and such an access, picoseconds. */
  readonly latestUsePs: number
  /** Copies that outlived their page, and for how long each stayed usable. */
  readonly windows: number
  readonly windowPsMean: number
  readonly windowPsMax: number
}

export class Iotlb {
  hits = 0
  misses = 0
  staleHits = 0
  staleBytes = 0
  declare readonly entryCount: number
  /** By slot: the permissions of its copy. */
  declare readonly permissions: Uint8Array
  /** By slot: the physical address that the leaf begins at. */
  declare private readonly phys: Int32Array
  /** By slot: level of the leaf + 4 * domain; 0 is empty. */
  declare private readonly tags: Int32Array
  /** By slot: the page's number, counted in pages of its size. */
  declare private readonly numbers: Float64Array
  declare private readonly usedAt: Float64Array
  declare private readonly removedAt: Float64Array
  declare private readonly setMask: number
  declare private readonly ways: number
  /** Copies of each level. */
  private readonly counts = new Int32Array(LEVELS + 1)
  /** USE_CLOCK, LATEST, WINDOWS, WINDOW_SUM, WINDOW_MAX. */
  private readonly sums = new Float64Array(5)

  constructor(sets: number, ways: number) {
    assert(sets >= 1 && (sets & (sets - 1)) === 0, "the sets of an IOTLB are a power of two")
    assert(ways >= 1, "an IOTLB has no ways")
    this.setMask = sets - 1
    this.ways = ways
    this.entryCount = sets * ways
    this.phys = new Int32Array(this.entryCount)
    this.permissions = new Uint8Array(this.entryCount)
    this.tags = new Int32Array(this.entryCount)
    this.numbers = new Float64Array(this.entryCount)
    this.usedAt = new Float64Array(this.entryCount)
    this.removedAt = new Float64Array(this.entryCount).fill(MAPPED)
  }

  private readonly find = (tag: number, number: number): number => {
    const first = (number & this.setMask) * this.ways
    const end = first + this.ways
    for (let slot = first; slot < end; slot++) {
      if (this.tags[slot] === tag && this.numbers[slot] === number) return slot
    }
    return MISS
  }

  /** Slot of the copy that translates a 4 KiB page of a domain, or IOTLB_MISS. */
  readonly lookup = (domain: number, page: number): number => {
    const slot = this.slotOf(domain, page)
    if (slot === MISS) this.misses++
    else {
      this.hits++
      this.usedAt[slot] = ++this.sums[USE_CLOCK]!
    }
    return slot
  }

  private readonly slotOf = (domain: number, page: number): number => {
    const tag = domain << 2
    let slot = this.counts[1] === 0 ? MISS : this.find(tag | 1, page)
    for (let level = 2; slot === MISS && level <= LEVELS; level++) {
      if (this.counts[level]! > 0) slot = this.find(tag | level, Math.floor(page / PAGES_OF_LEVEL[level]!))
    }
    return slot
  }

  /** The physical address of a bus address that this slot's copy translates. */
  readonly physOf = (slot: number, busAddr: number): number => {
    const level = this.tags[slot]! & 3
    const offset = level === 1 ? busAddr & OFFSET_MASK : busAddr % (PAGES_OF_LEVEL[level]! * PAGE_BYTES)
    return this.phys[slot]! + offset
  }

  /** Was it unmapped by then, all of what this copy translates or a part? */
  readonly isStale = (slot: number, timePs: number): boolean => {
    return this.removedAt[slot]! <= timePs
  }

  /** An access of `sizeBytes` to what is unmapped goes through this copy, which is stale at `timePs`. */
  readonly used = (slot: number, sizeBytes: number, timePs: number): void => {
    const agePs = timePs - this.removedAt[slot]!
    this.staleHits++
    this.staleBytes += sizeBytes
    if (agePs > this.sums[LATEST]!) this.sums[LATEST] = agePs
  }

  /** Keeps a translation that succeeded; `page` is any 4 KiB page of the leaf, `phys` where the leaf begins. */
  readonly insert = (
    domain: number,
    level: number,
    page: number,
    phys: number,
    permissions: number,
    timePs: number
  ): number => {
    const number = level === 1 ? page : Math.floor(page / PAGES_OF_LEVEL[level]!)
    const tag = (domain << 2) | level
    let slot = this.find(tag, number)
    if (slot === MISS) slot = this.oldest((number & this.setMask) * this.ways)
    this.drop(slot, timePs)
    this.tags[slot] = tag
    this.numbers[slot] = number
    this.phys[slot] = phys
    this.permissions[slot] = permissions
    this.usedAt[slot] = ++this.sums[USE_CLOCK]!
    this.counts[level]! += 1
    return slot
  }

  /** An empty slot of the set, or the one that was used longest ago. */
  private readonly oldest = (first: number): number => {
    let best = first
    for (let slot = first; slot < first + this.ways; slot++) {
      if (this.tags[slot] === EMPTY) return slot
      if (this.usedAt[slot]! < this.usedAt[best]!) best = slot
    }
    return best
  }

  /** Empties a slot. */
  private readonly drop = (slot: number, timePs: number): void => {
    const tag = this.tags[slot]!
    if (tag === EMPTY) return
    this.counts[tag & 3]! -= 1
    this.tags[slot] = EMPTY
    const removedAt = this.removedAt[slot]!
    if (removedAt === MAPPED) return
    this.removedAt[slot] = MAPPED
    const windowPs = timePs > removedAt ? timePs - removedAt : 0
    const sums = this.sums
    sums[WINDOWS]! += 1
    sums[WINDOW_SUM]! += windowPs
    if (windowPs > sums[WINDOW_MAX]!) sums[WINDOW_MAX] = windowPs
  }

  /** These pages of a domain were unmapped at `timePs`: from now on their copies are stale. */
  readonly removed = (domain: number, page: number, count: number, timePs: number): void => {
    this.sweep(domain, page, count, timePs, false)
  }

  /** Drops the copies that translate any of these pages. */
  readonly invalidatePages = (domain: number, page: number, count: number, timePs: number): void => {
    this.sweep(domain, page, count, timePs, true)
  }

  private readonly sweep = (domain: number, page: number, count: number, timePs: number, isDropping: boolean): void => {
    const { counts, entryCount } = this
    if (count === 1) {
      if (counts[2] === 0 && counts[3] === 0) {
        const slot = this.find((domain << 2) | 1, page)
        if (slot !== MISS) this.touch(slot, timePs, isDropping)
        return
      }
    }
    const end = page + count
    for (let slot = 0; slot < entryCount; slot++) {
      const tag = this.tags[slot]!
      if (tag === EMPTY || tag >> 2 !== domain) continue
      const leafPages = PAGES_OF_LEVEL[tag & 3]!
      const first = this.numbers[slot]! * leafPages
      if (first < end && first + leafPages > page) this.touch(slot, timePs, isDropping)
    }
  }

  private readonly touch = (slot: number, timePs: number, isDropping: boolean): void => {
    if (isDropping) this.drop(slot, timePs)
    else if (this.removedAt[slot] === MAPPED) this.removedAt[slot] = timePs
  }

  readonly invalidateDomain = (domain: number, timePs: number): void => {
    for (let slot = 0; slot < this.entryCount; slot++) {
      if (this.tags[slot]! >> 2 === domain) this.drop(slot, timePs)
    }
  }

  readonly invalidateAll = (timePs: number): void => {
    for (let slot = 0; slot < this.entryCount; slot++) this.drop(slot, timePs)
  }

  /** Uses of stale translations since the beginning. */
  get stale(): StaleCounts {
    const sums = this.sums
    const windows = sums[WINDOWS]!
    return {
      hits: this.staleHits,
      bytes: this.staleBytes,
      latestUsePs: sums[LATEST]!,
      windows,
      windowPsMean: windows > 0 ? sums[WINDOW_SUM]! / windows : 0,
      windowPsMax: sums[WINDOW_MAX]!
    }
  }
}

/** An empty IOTLB. */
export const makeIotlb = (sets: number, ways: number): Iotlb => new Iotlb(sets, ways)
