/** The part of a scenario that describes the driver. */
import { count } from "@vnic/sim"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Receive-buffer strategies by name, each with the line that a list shows. */
export const strategyDescriptions = {
  "map-per-packet": "two buffers a frame, mapped when posted, unmapped when given up",
  "page-chunk": "blocks (64 KiB; x86: 16 KiB) mapped once, handed out in chunks",
  direct: "no IOMMU: buffers are reached at their physical addresses"
} as const

/** Buffer strategy, poll budget and the treatment of small frames on transmit. */
export const DriverOptions = Schema.Struct({
  strategy: Schema.Literals(["map-per-packet", "page-chunk", "direct"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("map-per-packet"))
  ),
  budget: count(1, 1024).pipe(Schema.withDecodingDefaultKey(Effect.succeed(64))),
  tx: Schema.Struct({
    small: Schema.Literals(["copy", "map"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("copy")))
  }).pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
})
export type DriverOptions = typeof DriverOptions.Type
