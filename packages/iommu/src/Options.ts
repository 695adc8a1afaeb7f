/** The part of a scenario that describes the IOMMU. */
import { Size, sizeQuantity, steps, within, withUnitKeys } from "@vnic/sim"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const KIB = 1024
const GIB = 1024 * 1024 * KIB

/** Kinds of IOMMU by name, each with the line that a list shows. */
export const iommuDescriptions = {
  tce: "pseries translation control entries: one level, changed by hypercall",
  vtd: "VT-d second-stage tables: 4 levels, IOTLB, invalidation queue",
  none: "no translation: the device reaches all of memory"
} as const

/** Kind and size of the IOMMU; `window` and `multiTce` have an effect with `tce` only. */
export const IommuOptions = withUnitKeys(
  {
    kind: Schema.Literals(["tce", "vtd", "none"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("tce"))),
    window: Size.check(within(sizeQuantity, 64 * KIB, 4 * GIB), steps(sizeQuantity, 64 * KIB)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("1 GiB"))
    ),
    multiTce: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true)))
  },
  { window: "windowBytes" }
)
export type IommuOptions = typeof IommuOptions.Type
