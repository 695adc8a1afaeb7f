/** The oracle of bitmap pools: entries as booleans, pools as a list, and the passes of a request written out. */
export interface NaivePool {
  readonly start: number
  readonly end: number
  hint: number
}

export class NaivePools {
  readonly used: Array<boolean>
  readonly small: ReadonlyArray<NaivePool>
  readonly large: NaivePool
  /** Pools whose lock the last allocation took, in order, by their index; the large one comes last. */
  visited: Array<number> = []
  private readonly isLargeShared: boolean
  /** A multiple of it is crossed, on the bus, by no range; 0 is none. */
  boundary = 0
  /** The bus page of page 0. */
  startPage = 0

  constructor(pageCount: number, poolCount: number, isFirstPageReserved: boolean, isLargeShared: boolean) {
    this.used = Array.from({ length: pageCount }, (_, page) => isFirstPageReserved && page === 0)
    const pages = Math.floor(Math.floor(pageCount * 0.75) / poolCount)
    this.small = Array.from({ length: poolCount }, (_, index) => ({
      start: index * pages,
      end: (index + 1) * pages,
      hint: index * pages
    }))
    this.large = { start: poolCount * pages, end: pageCount, hint: poolCount * pages }
    this.isLargeShared = isLargeShared
  }

  allocate(home: number, pages: number, alignment: number, reach: number): number {
    const own = pages > 15 ? this.large : this.small[home]!
    const others = this.small.map((_, index) => this.small[(home + 1 + index) % this.small.length]!)
    const passes = [own, own, ...others, ...(this.isLargeShared ? [this.large] : [])]
    this.visited = []
    if (reach === 0) return -1
    for (const [pass, pool] of passes.entries()) {
      const isCut = reach < pool.end
      const chosen = isCut && pass > 0 ? this.small[0]! : pool
      if (pass !== 1 || isCut) this.visited.push([...this.small, this.large].indexOf(chosen))
      if (pass > 0) chosen.hint = chosen.start
      else if (chosen.hint >= chosen.end) chosen.hint = chosen.start
      const from = isCut && pass === 0 ? chosen.hint % reach : chosen.hint
      const first = this.firstFit(from, isCut ? reach : chosen.end, pages, alignment)
      if (first >= 0) {
        this.used.fill(true, first, first + pages)
        chosen.hint = pages > 15 ? first + pages : Math.ceil((first + pages) / 16) * 16
        return first
      }
      if (pass === 0) pool.hint = pool.start
      if (isCut && pass > 0) break
    }
    return -1
  }

  free(first: number, pages: number): void {
    this.used.fill(false, first, first + pages)
  }

  private firstFit(from: number, end: number, pages: number, alignment: number): number {
    for (let first = from; first + pages < end; first++) {
      const busPage = this.startPage + first
      const isAcross = this.boundary > 0 && (busPage % this.boundary) + pages > this.boundary
      if (busPage % alignment === 0 && !isAcross && !this.used.slice(first, first + pages).includes(true)) return first
    }
    return -1
  }
}
