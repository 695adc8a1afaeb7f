/** The part of a scenario that describes the DMA API. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** IOVA allocators by name, each with the line that a list shows. */
export const allocatorDescriptions = {
  bitmap: "next fit in one bitmap under one lock, as pseries had it in 2012"
} as const

/** Backend, allocator and checks of the DMA API; with `direct` the allocator and its lock are not used. */
export const DmaOptions = Schema.Struct({
  backend: Schema.Literals(["iommu", "direct"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("iommu"))),
  allocator: Schema.Literals(["bitmap"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("bitmap"))),
  lockAcrossTableWrite: Schema.Literals(["both", "unmap", "none"]).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed("both"))
  ),
  debug: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true)))
})
export type DmaOptions = typeof DmaOptions.Type
