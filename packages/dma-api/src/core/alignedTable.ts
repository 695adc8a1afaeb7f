/**
 * Allocators align ranges, and keep boundaries, as counted from a window's first page. A table whose window begins at
 * no multiple of its length is seen by them as one that begins at the last such multiple before it, with the pages up
 * to its real beginning reserved: what is aligned in that window is aligned on the bus.
 *
 * An allocator of the caller's own may overlook what is reserved. What it hands out is then looked at before the table
 * is.
 */
import { fail } from "@vnic/sim/core"
import type { WindowPages } from "./iova/allocator.ts"
import { powerOfTwoFrom } from "./iova/powersOfTwo.ts"
import { UsablePages } from "./iova/usable.ts"
import type { Invalidation, Table } from "./types.ts"

/** The table itself when its window is aligned and its allocator known. */
export function alignedTable(table: Table, isAllocatorKnown: boolean): Table {
  const { invalidation, ownMemory, pageShift, reserved = [] } = table
  const pageBytes = 2 ** pageShift
  const alignment = powerOfTwoFrom(table.pageCount)
  const lead = (table.windowStart / pageBytes) % alignment
  if (lead === 0 && isAllocatorKnown) return table
  const shape = {
    windowStart: table.windowStart - lead * pageBytes,
    pageCount: lead + table.pageCount,
    reserved: [
      { firstPage: 0, pageCount: lead },
      ...reserved.map(({ firstPage, pageCount }) => ({ firstPage: lead + firstPage, pageCount }))
    ]
  }
  const usable = new UsablePages(windowPagesOf({ pageShift, ...shape }))
  return {
    pageShift,
    ...shape,
    insert: (cpu, page, pageCount, phys, direction) => {
      if (!usable.has(page, pageCount)) fail("an allocator handed out pages that its window has not, or reserves")
      return table.insert(cpu, page - lead, pageCount, phys, direction)
    },
    remove: (cpu, page, pageCount) => table.remove(cpu, page - lead, pageCount),
    ...(invalidation === undefined ? {} : { invalidation: behind(invalidation, lead) }),
    ...(ownMemory === undefined ? {} : { ownMemory }),
    ...(table.pinnedPages === undefined ? {} : { pinnedPages: () => table.pinnedPages!() })
  }
}

/** The pages of a table's window as allocators see them. */
export const windowPagesOf = (
  table: Pick<Table, "pageCount" | "pageShift" | "reserved" | "windowStart">
): WindowPages => ({
  pageCount: table.pageCount,
  startPage: table.windowStart / 2 ** table.pageShift,
  isFirstPageReserved: table.windowStart === 0,
  reserved: table.reserved ?? []
})

const behind = (invalidation: Invalidation, lead: number): Invalidation => ({
  beginPages: (cpu, page, pageCount, then) => invalidation.beginPages(cpu, page - lead, pageCount, then),
  beginAll: (cpu, then) => invalidation.beginAll(cpu, then)
})
