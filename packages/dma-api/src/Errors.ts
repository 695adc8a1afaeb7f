/** What can go wrong when memory is handed to a device; each error's fields say what and where. */
import * as Schema from "effect/Schema"
import { BIDIRECTIONAL, DIRECTION_NAMES, FROM_DEVICE, TO_DEVICE } from "./core/index.ts"

/** Which way the data goes, as the kernel numbers it: 0 both, 1 to the device, 2 from the device. */
export const Direction = Schema.Literals([BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE])
export type Direction = typeof Direction.Type

const texts = {
  AddressSpaceFull: "no range of bus addresses that long is free; unmap something",
  MaskTooNarrow: "the device's mask or the table's window does not reach there; no unmap will help",
  TableRefused: "the translation table did not take the entries; a later try may succeed",
  OutOfMemory: "no pages are free for coherent memory where the device reaches them",
  BounceFull: "no slots of the bounce buffer are free; unmap something",
  Invalid:
    "no buffer, one that is too long or lies across the device's segment boundary, or an alignment that the IOMMU's " +
    "pages cannot keep; no unmap will help"
}

/** A map failed. Nothing is mapped, and nothing has to be undone. */
export class DmaMappingError extends Schema.TaggedError<DmaMappingError>()("DmaMappingError", {
  device: Schema.String,
  /**
   * The buffer, of a list its first one, bytes; -1 for a list without one, and for coherent memory, whose place is not
   * the caller's choice.
   */
  phys: Schema.Int,
  /** Of a list the sum. */
  sizeBytes: Schema.Int,
  direction: Direction,
  /** The place in the driver, as it named it; else the call that failed. */
  mapSite: Schema.String,
  reason: Schema.Literals(["AddressSpaceFull", "MaskTooNarrow", "TableRefused", "OutOfMemory", "BounceFull", "Invalid"])
}) {
  override get message(): string {
    const direction = DIRECTION_NAMES[this.direction]
    return `${this.device}: ${this.mapSite} of ${this.sizeBytes} bytes (${direction}): ${texts[this.reason]}`
  }
}

// Numbers as the caller gave them, which may be none at all.
// @effect-diagnostics schemaNumber:off
/** A device cannot be served with this mask; the one before stays. */
export class DmaMaskError extends Schema.TaggedError<DmaMaskError>()("DmaMaskError", {
  device: Schema.String,
  mask: Schema.Number,
  /** The narrowest mask that reaches all memory. */
  requiredMask: Schema.Int
}) {
  override get message(): string {
    const digits = (mask: number): string => `0x${mask.toString(16)}`
    const needed = `all memory needs ${digits(this.requiredMask)}`
    return `${this.device}: no memory can be promised below ${digits(this.mask)}; ${needed}`
  }
}

/** A pool cannot be had: its numbers do not go together. */
export class DmaPoolError extends Schema.TaggedError<DmaPoolError>()("DmaPoolError", {
  device: Schema.String,
  name: Schema.String,
  sizeBytes: Schema.Number,
  /** These two: 0 when none was asked for. */
  alignBytes: Schema.Number,
  boundaryBytes: Schema.Number
}) {
  override get message(): string {
    const { alignBytes, boundaryBytes, sizeBytes } = this
    const pool = `pool ${this.name} of blocks of ${sizeBytes} bytes, alignment ${alignBytes}, boundary ${boundaryBytes}`
    const rules =
      "blocks have a whole size below 2 GiB, no wider than the boundary; it and the alignment are powers of two, or 0"
    return `${this.device}: no ${pool}: ${rules}`
  }
}
