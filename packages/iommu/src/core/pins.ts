/**
 * Pinned memory: while a TCE maps a guest page, the hypervisor must keep that page where it is. One use is
 * counted for each valid entry (pinning at map and letting go at unmap, the first way of VFIO on pseries;
 * the later one registers all of a guest's memory once). The unit is a 4 KiB page whatever the page sizes
 * of guest and window are, so that reports compare.
 *
 * The time average needs no order between CPUs, whose local times run apart: it is kept as the sum of
 * (change x time of the change), so that pages x time up to T is pinned x T less that sum.
 */
import { fail } from "@vnic/sim/core"
import { H_NOT_ENOUGH_RESOURCES, H_PARAMETER, H_SUCCESS } from "./returnCodes.ts"

/** log2 of the page that is counted. */
export const PIN_SHIFT = 12

// Exported and imported constants cost a load and a check at each use; the hot path has its own.
const SHIFT = PIN_SHIFT
const SUCCESS = H_SUCCESS
const NOT_GUEST_MEMORY = H_PARAMETER
const PAST_THE_LIMIT = H_NOT_ENOUGH_RESOURCES

/** useCounts of pages that no guest may map: the hypervisor's own. */
const FORBIDDEN = -1

export class Pins {
  /** Valid entries that map each 4 KiB page. */
  declare readonly useCounts: Int32Array
  /** Pages with at least one use, now and at most. */
  pinnedPages = 0
  pinnedPagesMax = 0
  declare private readonly pageCount: number
  /** Locked-memory limit in pages. */
  declare private readonly limitPages: number
  /** [0]: sum over all changes of change x time, page picoseconds. */
  private readonly changeTimes = new Float64Array(1)

  constructor(memoryBytes: number, limitPages: number) {
    this.pageCount = memoryBytes >> PIN_SHIFT
    this.useCounts = new Int32Array(this.pageCount)
    this.limitPages = limitPages
  }

  /** Takes a range of memory away from the guest. */
  readonly forbid = (phys: number, sizeBytes: number): void => {
    this.useCounts.fill(FORBIDDEN, phys >> PIN_SHIFT, (phys + sizeBytes + (1 << PIN_SHIFT) - 1) >> PIN_SHIFT)
  }

  /** May a guest map all of these pages? */
  readonly isGuestMemory = (phys: number, count: number): boolean => {
    const first = phys >> SHIFT
    if ((phys | 0) !== phys || phys < 0 || first + count > this.pageCount) return false
    for (let page = first; page < first + count; page++) {
      if (this.useCounts[page]! < 0) return false
    }
    return true
  }

  /** Adds one use to each page, at `timesPs[cpu]`. Any return code but H_SUCCESS: nothing has changed. */
  readonly pin = (phys: number, count: number, timesPs: Float64Array, cpu: number): number => {
    if (count !== 1) return this.pinMany(phys, count, timesPs, cpu)
    const page = phys >> SHIFT
    if (page < 0 || page >= this.pageCount) return NOT_GUEST_MEMORY
    const uses = this.useCounts[page]!
    if (uses < 0) return NOT_GUEST_MEMORY
    if (uses === 0 && !this.add(1, timesPs, cpu)) return PAST_THE_LIMIT
    this.useCounts[page] = uses + 1
    return SUCCESS
  }

  private readonly pinMany = (phys: number, count: number, timesPs: Float64Array, cpu: number): number => {
    if (!this.isGuestMemory(phys, count)) return NOT_GUEST_MEMORY
    const first = phys >> SHIFT
    let added = 0
    for (let page = first; page < first + count; page++) {
      if (this.useCounts[page] === 0) added++
    }
    if (!this.add(added, timesPs, cpu)) return PAST_THE_LIMIT
    for (let page = first; page < first + count; page++) this.useCounts[page]!++
    return SUCCESS
  }

  private readonly add = (count: number, timesPs: Float64Array, cpu: number): boolean => {
    const pinnedPages = this.pinnedPages + count
    if (pinnedPages > this.limitPages) return false
    this.pinnedPages = pinnedPages
    if (pinnedPages > this.pinnedPagesMax) this.pinnedPagesMax = pinnedPages
    this.changeTimes[0]! += count * timesPs[cpu]!
    return true
  }

  /** Takes one use from each page, at `timesPs[cpu]`. */
  readonly unpin = (phys: number, count: number, timesPs: Float64Array, cpu: number): void => {
    const first = phys >> SHIFT
    for (let page = first; page < first + count; page++) {
      const uses = this.useCounts[page]!
      if (!(uses > 0)) fail("a page that is not pinned was let go")
      this.useCounts[page] = uses - 1
      if (uses === 1) {
        this.pinnedPages--
        this.changeTimes[0]! -= timesPs[cpu]!
      }
    }
  }

  /**
   * Pinned pages x time from 0 to `atPs`, in page picoseconds: the difference of two readings over the time
   * between them is the average. Exact when no CPU's local time was past `atPs` at a change.
   */
  readonly pagePs = (atPs: number): number => {
    return this.pinnedPages * atPs - this.changeTimes[0]!
  }
}

/** Counts for a guest with this much memory; nothing is pinned. */
export const makePins = (memoryBytes: number, limitPages: number): Pins => new Pins(memoryBytes, limitPages)
