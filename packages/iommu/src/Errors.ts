/** What can go wrong when an IOMMU is built: one error per thing that a caller can act on. */
import * as Schema from "effect/Schema"

/** The host's memory has no room for the translation table of this window. */
export class TableDoesNotFit extends Schema.TaggedError<TableDoesNotFit>()("TableDoesNotFit", {
  windowBytes: Schema.Finite,
  /** Contiguous memory that the table takes. */
  tableBytes: Schema.Finite,
  memoryBytes: Schema.Finite
}) {
  override get message(): string {
    const table = `a window of ${this.windowBytes} bytes needs a table of ${this.tableBytes} bytes`
    return `${table}; ${this.memoryBytes} bytes of memory have no room for it`
  }
}
