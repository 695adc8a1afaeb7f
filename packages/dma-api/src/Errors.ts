/** What can go wrong when memory is handed to a device: one error, whose reason says what would help. */
import * as Schema from "effect/Schema"
import { BIDIRECTIONAL, DIRECTION_NAMES, FROM_DEVICE, TO_DEVICE } from "./core/index.ts"

/** Which way the data goes, as the kernel numbers it: 0 both, 1 to the device, 2 from the device. */
export const Direction = Schema.Literals([BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE])
export type Direction = typeof Direction.Type

const texts = {
  AddressSpaceFull: "no range of bus addresses that long is free; unmap something",
  MaskTooNarrow: "the device's mask does not reach that far; no unmap will help",
  TableRefused: "the translation table did not take the entries; a later try may succeed",
  OutOfMemory: "no pages are free for coherent memory"
}

/** A map failed. Nothing is mapped, and nothing has to be undone. */
export class DmaMappingError extends Schema.TaggedError<DmaMappingError>()("DmaMappingError", {
  device: Schema.String,
  /** The buffer, bytes; -1 for coherent memory, whose place is not the caller's choice. */
  phys: Schema.Int,
  sizeBytes: Schema.Int,
  direction: Direction,
  /** The call that failed. */
  mapSite: Schema.Literals(["mapSingle", "mapPage", "allocCoherent"]),
  reason: Schema.Literals(["AddressSpaceFull", "MaskTooNarrow", "TableRefused", "OutOfMemory"])
}) {
  override get message(): string {
    const direction = DIRECTION_NAMES[this.direction]
    return `${this.device}: ${this.mapSite} of ${this.sizeBytes} bytes (${direction}): ${texts[this.reason]}`
  }
}
