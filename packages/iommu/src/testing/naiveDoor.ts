/** The oracle of the door: one Map from page to what it maps, and nothing else. */

interface Mapping {
  readonly phys: number
  readonly isWritable: boolean
}

export class NaiveDoor {
  private readonly mappings = new Map<number, Mapping>()
  private readonly pageBytes: number
  private readonly pageCount: number

  constructor(pageCount: number, pageBytes: number) {
    this.pageCount = pageCount
    this.pageBytes = pageBytes
  }

  /** Maps pages; direction 1 (to the device) may only be read. */
  insert(iovaPage: number, count: number, phys: number, direction: number): void {
    for (let page = 0; page < count; page++) {
      this.mappings.set(iovaPage + page, { phys: phys + page * this.pageBytes, isWritable: direction !== 1 })
    }
  }

  remove(iovaPage: number, count: number): void {
    for (let page = 0; page < count; page++) this.mappings.delete(iovaPage + page)
  }

  /** The physical address, or -1; the window starts at bus address 0. */
  translate(busAddr: number, isWrite: boolean): number {
    const page = Math.floor(busAddr / this.pageBytes)
    const mapping = page < this.pageCount ? this.mappings.get(page) : undefined
    if (mapping === undefined || (isWrite && !mapping.isWritable)) return -1
    return mapping.phys + (busAddr % this.pageBytes)
  }

  /** What page `iovaPage` maps, if anything. */
  at(iovaPage: number): Mapping | undefined {
    return this.mappings.get(iovaPage)
  }

  /** Distinct pages that are mapped: those that must be pinned. */
  get pinnedPages(): number {
    return new Set([...this.mappings.values()].map(({ phys }) => phys)).size
  }
}

/** A door through which nothing passes yet. */
export const makeNaiveDoor = (pageCount: number, pageBytes = 4096): NaiveDoor => new NaiveDoor(pageCount, pageBytes)
