/** The translation table of a host without an IOMMU: it has no entries, and backends that need a table refuse it. */
import { fail } from "@vnic/sim/core"
import type { Table } from "./types.ts"

export const NO_TABLE: Table = {
  pageShift: 12,
  windowStart: 0,
  pageCount: 0,
  insert: () => fail("an insert into no table"),
  remove: () => fail("a remove from no table")
}
