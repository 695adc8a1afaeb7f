/** A translation table that is a Map, remembers what was asked of it, and refuses on demand. */
import { fail } from "@vnic/sim/core"
import type { PageRange } from "../core/iova/allocator.ts"
import type { BusAddr, Direction, PhysAddr, Table } from "../core/types.ts"

export interface FlatTableOptions {
  /** log2 of the IOMMU page; 12 when left out. */
  readonly pageShift?: number
  /** Bus address of entry 0; 0 when left out. */
  readonly windowStart?: BusAddr
  /** Entries; 1024 when left out. */
  readonly pageCount?: number
  /** Pages that are never handed out; none when left out. An insert there is a broken invariant. */
  readonly reserved?: ReadonlyArray<PageRange>
}

/** One call of the table. */
export type TableCall =
  | {
      readonly name: "insert"
      readonly cpu: number
      readonly iovaPage: number
      readonly pageCount: number
      readonly phys: PhysAddr
      readonly direction: Direction
      readonly isRefused: boolean
    }
  | { readonly name: "remove"; readonly cpu: number; readonly iovaPage: number; readonly pageCount: number }

export class FlatTable implements Table {
  readonly pageShift: number
  readonly windowStart: BusAddr
  readonly pageCount: number
  readonly reserved: ReadonlyArray<PageRange>
  /** The translation of each page that has one. */
  readonly entries = new Map<number, { readonly phys: PhysAddr; readonly direction: Direction }>()
  /** Everything asked of it, in order. */
  readonly calls: Array<TableCall> = []
  /** The insert with this number (1 is the next one) is refused, once; 0 means none. */
  refuseAt = 0

  constructor(options: FlatTableOptions = {}) {
    this.pageShift = options.pageShift ?? 12
    this.windowStart = options.windowStart ?? 0
    this.pageCount = options.pageCount ?? 1024
    this.reserved = options.reserved ?? []
  }

  insert(cpu: number, iovaPage: number, pageCount: number, phys: PhysAddr, direction: Direction): number {
    const isRefused = this.refuseAt > 0 && --this.refuseAt === 0
    this.calls.push({ name: "insert", cpu, iovaPage, pageCount, phys, direction, isRefused })
    if (isRefused) return 1
    for (let index = 0; index < pageCount; index++) {
      const page = iovaPage + index
      if (page < 0 || page >= this.pageCount) fail("an insert outside the window")
      const isReserved = this.reserved.some(
        (range) => page >= range.firstPage && page < range.firstPage + range.pageCount
      )
      if (isReserved) fail("an insert into what is reserved")
      if (this.entries.has(page)) fail("an insert over an entry that is set")
      this.entries.set(page, { phys: phys + index * 2 ** this.pageShift, direction })
    }
    return 0
  }

  remove(cpu: number, iovaPage: number, pageCount: number): void {
    this.calls.push({ name: "remove", cpu, iovaPage, pageCount })
    for (let page = iovaPage; page < iovaPage + pageCount; page++) {
      if (!this.entries.delete(page)) fail("a remove of an entry that is not set")
    }
  }

  /** Pages of memory that entries lead to, each counted once. */
  pinnedPages(): number {
    return new Set([...this.entries.values()].map(({ phys }) => phys)).size
  }

  /** Where a bus address leads, or undefined. */
  translate(busAddr: BusAddr): PhysAddr | undefined {
    const pageBytes = 2 ** this.pageShift
    const entry = this.entries.get(Math.floor((busAddr - this.windowStart) / pageBytes))
    return entry && entry.phys + (busAddr % pageBytes)
  }
}

/** A table of its own. */
export const makeFlatTable = (options: FlatTableOptions = {}): FlatTable => new FlatTable(options)
