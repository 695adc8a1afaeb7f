/** The part of a scenario that describes the IOMMU. */
import { Size, sizeQuantity, steps, within, withUnitKeys } from "@vnic/sim"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const KIB = 1024
const GIB = 1024 * 1024 * KIB

/** Kinds of IOMMU by name, each with the line that a list shows. */
export const iommuDescriptions = {
  tce: "pseries translation control entries: one level, changed by hypercall",
  none: "no translation: the device reaches all of memory"
} as const

/** Kind and size of the IOMMU; with `none` the other settings have no effect. */
export const IommuOptions = withUnitKeys(
  {
    kind: Schema.Literals(["tce", "none"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("tce"))),
    window: Size.check(within(sizeQuantity, 64 * KIB, 4 * GIB), steps(sizeQuantity, 64 * KIB)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("1 GiB"))
    ),
    multiTce: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true)))
  },
  { window: "windowBytes" }
)
export type IommuOptions = typeof IommuOptions.Type
