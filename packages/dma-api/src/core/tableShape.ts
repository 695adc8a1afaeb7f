/** What a translation table must be like, whoever divides it up. */
import { assert } from "@vnic/sim/core"
import type { Table } from "./types.ts"

/** An offset in a page of 2^30 bytes, the longest buffer and the round up to a whole page make less than 2^32. */
const PAGE_SHIFT_MAX = 30

/** A table whose numbers do not go together is a defect of the caller. */
export function checkTable({ pageCount, pageShift, reserved = [], windowStart }: Table): void {
  const isShift = Number.isInteger(pageShift) && pageShift >= 0 && pageShift <= PAGE_SHIFT_MAX
  assert(isShift, "a table's page is not a power of two up to 1 GiB")
  const pageBytes = 2 ** pageShift
  assert(windowStart >= 0 && windowStart % pageBytes === 0, "a table's window does not begin at a page")
  const isCount = Number.isInteger(pageCount) && pageCount >= 1
  assert(isCount && Number.isSafeInteger(windowStart + pageCount * pageBytes), "a table's window has no such pages")
  for (const range of reserved) {
    const isRange = Number.isInteger(range.firstPage) && Number.isInteger(range.pageCount)
    assert(isRange, "a table reserves parts of a page")
  }
}
