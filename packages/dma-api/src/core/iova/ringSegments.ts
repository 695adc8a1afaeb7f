/**
 * The segments of the ring allocator: how much of each is in use, and which one a CPU fills next. They hold no
 * page: any CPU may use any part of any segment that its bits say is free.
 */
import { WORK_WORDS as workWords, type IovaWindow } from "./allocator.ts"

// A copy in this module: an imported binding costs a load and a check at each use.
const WORK_WORDS = workWords

/** The bits of a segment fill a cache line, unless there are so many CPUs that their homes get too small. */
const SEGMENT_PAGES_MAX = 512
const SEGMENT_PAGES_MIN = 4
/** Segments that a home should have. */
const HOME_SEGMENTS = 4
/** How many of its own segments a CPU looks at before it takes a fresh one, and how many of others as a guest. */
const LOOKS_MAX = 16

export class Segments {
  /** Pages of a segment, a power of two; the last one may be shorter. */
  declare readonly pages: number
  /** The end of the homes, in pages: they lie below 4 GiB when any of the window does. */
  declare readonly homesEnd: number
  /** current[cpu]: the segment that the CPU fills. */
  declare readonly current: Int32Array
  /** readyPs[segment]: when the latest of its frees happened, on the clock of the CPU that freed. */
  declare readonly readyPs: Float64Array
  /** Pages in use of each. */
  declare private readonly used: Int32Array
  declare private readonly pageCount: number
  /** Segments of all homes. */
  declare private readonly homeSegments: number
  declare private readonly shift: number
  /** The most pages in use with which a segment is entered again. */
  declare private readonly usedMax: number
  /** A CPU's home is [homes[cpu], homeEnds[cpu]); of it [homes[cpu], tops[cpu]) has been entered before. */
  declare private readonly homes: Int32Array
  declare private readonly homeEnds: Int32Array
  declare private readonly tops: Int32Array
  /** hands[cpu]: the one of its own that the CPU entered last; behind it comes the oldest. */
  declare private readonly hands: Int32Array
  /** guests[cpu]: the one that the CPU looked at last as a guest. */
  declare private readonly guests: Int32Array
  declare private readonly steps: Float64Array

  constructor(window: IovaWindow, steps: Float64Array) {
    const { host, pageCount } = window
    const homePages = window.pagesBelow4GiB > 0 ? Math.min(pageCount, window.pagesBelow4GiB) : pageCount
    this.pages = segmentPagesOf(homePages, host.count)
    this.shift = 31 - Math.clz32(this.pages)
    this.pageCount = pageCount
    const wholeSegments = Math.floor(homePages / this.pages)
    this.homeSegments = homePages === pageCount ? Math.ceil(pageCount / this.pages) : Math.max(1, wholeSegments)
    this.homesEnd = Math.min(pageCount, this.homeSegments * this.pages)
    this.usedMax = this.pages - (this.pages >> 2)
    this.used = new Int32Array(Math.ceil(pageCount / this.pages))
    this.readyPs = new Float64Array(this.used.length)
    const homeOf = (cpu: number): number => Math.floor((cpu * this.homeSegments) / host.count)
    this.homes = Int32Array.from({ length: host.count }, (_, cpu) => homeOf(cpu))
    this.homeEnds = this.homes.map((home, cpu) => Math.max(home + 1, homeOf(cpu + 1)))
    this.tops = this.homes.map((home) => home + 1)
    this.hands = this.homes.slice()
    this.guests = this.homes.slice()
    this.current = this.homes.slice()
    this.steps = steps
  }

  /** Behind a segment's last page. */
  readonly endOf = (segment: number): number => {
    const end = (segment + 1) << this.shift
    return end < this.pageCount ? end : this.pageCount
  }

  /** So many more (1) or fewer (-1) pages of a range are in use. */
  readonly count = (first: number, pages: number, sign: number): void => {
    const { shift, used } = this
    const end = first + pages
    let page = first
    while (page < end) {
      const segment = page >> shift
      const segmentEnd = (segment + 1) << shift
      const stop = end < segmentEnd ? end : segmentEnd
      used[segment]! += sign * (stop - page)
      page = stop
    }
  }

  /** A range was freed at `atPs`. */
  readonly notReadyBefore = (first: number, pages: number, atPs: number): void => {
    const { readyPs, shift } = this
    const last = (first + pages - 1) >> shift
    for (let segment = first >> shift; segment <= last; segment++) {
      if (readyPs[segment]! < atPs) readyPs[segment] = atPs
    }
  }

  /** `first` when all of a range's segments are ready, else the page behind the last one that is not. */
  readonly readyFrom = (first: number, pages: number, nowPs: number): number => {
    const { readyPs, shift } = this
    for (let segment = (first + pages - 1) >> shift; segment >= first >> shift; segment--) {
      if (readyPs[segment]! > nowPs) return (segment + 1) << shift
    }
    return first
  }

  /** The segment that the CPU fills from now on, or -1 when of none that it looks at a quarter is free. */
  readonly enter = (cpu: number, nowPs: number): number => {
    let segment = this.nextOfOwn(cpu, nowPs)
    if (segment < 0) segment = this.nextOfHomes(cpu, nowPs)
    if (segment >= 0) this.current[cpu] = segment
    return segment
  }

  /** The oldest that has room, of a few; else a fresh one; -1 when the home is full. */
  private readonly nextOfOwn = (cpu: number, nowPs: number): number => {
    const { hands, homeEnds, tops } = this
    const home = this.homes[cpu]!
    const top = tops[cpu]!
    const looks = Math.min(LOOKS_MAX, top - home)
    let segment = hands[cpu]!
    for (let look = 0; look < looks; look++) {
      segment = segment + 1 === top ? home : segment + 1
      if (this.hasRoom(segment, nowPs)) {
        hands[cpu] = segment
        return segment
      }
    }
    // One that stays in use for long holds up those behind it only this once.
    hands[cpu] = hands[cpu]! + 1 === top ? home : hands[cpu]! + 1
    while (tops[cpu]! < homeEnds[cpu]!) {
      const fresh = tops[cpu]!
      tops[cpu] = fresh + 1
      if (this.hasRoom(fresh, nowPs)) return fresh
    }
    return -1
  }

  /** The next one with room of a few in anyone's home, behind where the CPU looked last. */
  private readonly nextOfHomes = (cpu: number, nowPs: number): number => {
    const { guests, homeSegments } = this
    let segment = guests[cpu]!
    let isFound = false
    for (let look = 0; look < LOOKS_MAX && !isFound; look++) {
      segment = segment + 1 === homeSegments ? 0 : segment + 1
      isFound = this.hasRoom(segment, nowPs)
    }
    guests[cpu] = segment
    return isFound ? segment : -1
  }

  /** Looks at a segment's record, which counts as a word. */
  private readonly hasRoom = (segment: number, nowPs: number): boolean => {
    this.steps[WORK_WORDS]! += 1
    return this.used[segment]! <= this.usedMax && this.readyPs[segment]! <= nowPs
  }
}

/** Pages of a segment, where the homes of so many CPUs have so many pages together. */
export const segmentPagesOf = (homePages: number, cpus: number): number => {
  const wanted = Math.floor(homePages / (cpus * HOME_SEGMENTS))
  const bounded = Math.max(SEGMENT_PAGES_MIN, Math.min(SEGMENT_PAGES_MAX, wanted))
  return 2 ** (31 - Math.clz32(bounded))
}

/** Segments of a window, nothing in use; what is looked at is counted in `steps`. */
export const makeSegments = (window: IovaWindow, steps: Float64Array): Segments => new Segments(window, steps)
