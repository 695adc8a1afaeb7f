/** What can go wrong when an IOMMU is built: one error per thing that a caller can act on. */
import * as Schema from "effect/Schema"

/** The host's memory has no room for the translation tables of this window. */
export class TableDoesNotFit extends Schema.TaggedError<TableDoesNotFit>()("TableDoesNotFit", {
  windowBytes: Schema.Finite,
  /** Memory that the tables take; a TCE table's is contiguous. */
  tableBytes: Schema.Finite,
  memoryBytes: Schema.Finite
}) {
  override get message(): string {
    const table = `a window of ${this.windowBytes} bytes needs tables of ${this.tableBytes} bytes`
    return `${table}; ${this.memoryBytes} bytes of memory have no room for them`
  }
}
