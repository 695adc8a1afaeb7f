/** The oracle of the IOTLB: a list of copies for each set, the one used longest ago first. */

interface Copy {
  readonly domain: number
  readonly level: number
  readonly page: number
  readonly pages: number
  readonly phys: number
}

export class NaiveIotlb {
  private readonly sets: Array<Array<Copy>>
  private readonly ways: number

  constructor(sets: number, ways: number) {
    this.sets = Array.from({ length: sets }, () => [])
    this.ways = ways
  }

  /** The physical address of a 4 KiB page, or -1; the copy that gave it is the youngest now. */
  lookup(domain: number, page: number): number {
    for (const level of [1, 2, 3]) {
      for (const copies of this.sets) {
        const index = copies.findIndex(
          (copy) => copy.domain === domain && copy.level === level && copy.page <= page && page < copy.page + copy.pages
        )
        if (index < 0) continue
        const [copy] = copies.splice(index, 1)
        copies.push(copy!)
        return copy!.phys + (page - copy!.page) * 4096
      }
    }
    return -1
  }

  insert(domain: number, level: number, page: number, phys: number): void {
    const pages = 512 ** (level - 1)
    const number = Math.floor(page / pages)
    const copies = this.sets[number % this.sets.length]!
    const copy = { domain, level, page: number * pages, pages, phys }
    const same = copies.findIndex((one) => one.domain === domain && one.level === level && one.page === copy.page)
    if (same >= 0) copies.splice(same, 1)
    else if (copies.length === this.ways) copies.shift()
    copies.push(copy)
  }

  /** Drops what translates any of these pages; of all of them without a range. */
  invalidate(domain: number, page = 0, count = Infinity): void {
    for (const copies of this.sets) {
      const kept = copies.filter(
        (copy) => copy.domain !== domain || copy.page + copy.pages <= page || copy.page >= page + count
      )
      copies.splice(0, copies.length, ...kept)
    }
  }
}

/** An empty one. */
export const makeNaiveIotlb = (sets: number, ways: number): NaiveIotlb => new NaiveIotlb(sets, ways)
