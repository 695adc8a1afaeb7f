/**
 * Who mapped and who unmapped each IOMMU page last, and when: what a fault record says about the history
 * of its address. Written by the guest's side at each insert and remove, read only when something faults.
 */

/** The last insert and the last remove of one page; null when there was none. Times in picoseconds. */
export interface MapSite {
  readonly mappedByCpu: number | null
  readonly mappedAtPs: number | null
  readonly unmappedByCpu: number | null
  readonly unmappedAtPs: number | null
}

/** Slots of one page: the last insert's time and CPU + 1, the last remove's time and CPU + 1; 0 is nobody. */
const SLOTS = 4
const SLOT_SHIFT = 2

export class MapSites {
  declare private readonly history: Float64Array
  declare private readonly localPs: Float64Array

  constructor(pageCount: number, localPs: Float64Array) {
    this.history = new Float64Array(pageCount * SLOTS)
    this.localPs = localPs
  }

  /** `cpu` inserts entries, at its local time. */
  readonly inserted = (cpu: number, index: number, count: number): void => {
    const history = this.history
    const timePs = this.localPs[cpu]!
    const end = (index + count) << SLOT_SHIFT
    for (let slot = index << SLOT_SHIFT; slot < end; slot += SLOTS) {
      history[slot] = timePs
      history[slot + 1] = cpu + 1
    }
  }

  /** `cpu` removes entries, at its local time. */
  readonly removed = (cpu: number, index: number, count: number): void => {
    const history = this.history
    const timePs = this.localPs[cpu]!
    const end = (index + count) << SLOT_SHIFT
    for (let slot = index << SLOT_SHIFT; slot < end; slot += SLOTS) {
      history[slot + 2] = timePs
      history[slot + 3] = cpu + 1
    }
  }

  /** The history of one entry of the window. */
  readonly at = (index: number): MapSite => {
    const slot = index << SLOT_SHIFT
    const mappedBy = this.history[slot + 1]!
    const unmappedBy = this.history[slot + 3]!
    return {
      mappedByCpu: mappedBy === 0 ? null : mappedBy - 1,
      mappedAtPs: mappedBy === 0 ? null : this.history[slot]!,
      unmappedByCpu: unmappedBy === 0 ? null : unmappedBy - 1,
      unmappedAtPs: unmappedBy === 0 ? null : this.history[slot + 2]!
    }
  }
}

/** Sites of a window of `pageCount` entries; `localPs` are the CPUs' times. */
export const makeMapSites = (pageCount: number, localPs: Float64Array): MapSites => new MapSites(pageCount, localPs)
