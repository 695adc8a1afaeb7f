/**
 * Allocators align ranges, and keep boundaries, as counted from a window's first page. A table whose window begins at
 * no multiple of its length is seen by them as one that begins at the last such multiple before it, with the pages up
 * to its real beginning reserved: what is aligned in that window is aligned on the bus.
 */
import { powerOfTwoFrom } from "./iova/powersOfTwo.ts"
import type { Invalidation, Table } from "./types.ts"

/** The table itself when its window is aligned. */
export function alignedTable(table: Table): Table {
  const { invalidation, ownMemory, pageShift, reserved = [] } = table
  const pageBytes = 2 ** pageShift
  const alignment = powerOfTwoFrom(table.pageCount)
  const lead = (table.windowStart / pageBytes) % alignment
  if (lead === 0) return table
  return {
    pageShift,
    windowStart: table.windowStart - lead * pageBytes,
    pageCount: lead + table.pageCount,
    reserved: [
      { firstPage: 0, pageCount: lead },
      ...reserved.map(({ firstPage, pageCount }) => ({ firstPage: lead + firstPage, pageCount }))
    ],
    insert: (cpu, page, pageCount, phys, direction) => table.insert(cpu, page - lead, pageCount, phys, direction),
    remove: (cpu, page, pageCount) => table.remove(cpu, page - lead, pageCount),
    ...(invalidation === undefined ? {} : { invalidation: behind(invalidation, lead) }),
    ...(ownMemory === undefined ? {} : { ownMemory }),
    ...(table.pinnedPages === undefined ? {} : { pinnedPages: () => table.pinnedPages!() })
  }
}

const behind = (invalidation: Invalidation, lead: number): Invalidation => ({
  beginPages: (cpu, page, pageCount, then) => invalidation.beginPages(cpu, page - lead, pageCount, then),
  beginAll: (cpu, then) => invalidation.beginAll(cpu, then)
})
