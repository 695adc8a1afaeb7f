/** The platform profiles as a page. */
import { formatQuantity, type Quantity, rateQuantity, sizeQuantity, timeQuantity } from "@vnic/sim"
import { type Constant, CONSTANT_NAMES, type Profile, PROFILES, type Unit } from "@vnic/sim/core"
import { code, type Page, page, table } from "./page.ts"

/** How the values of a unit are written: the quantity whose smallest unit it is, and what it is divided by. */
const WRITTEN: Readonly<Record<Unit, readonly [quantity: Quantity | undefined, per: string]>> = {
  ps: [timeQuantity, ""],
  "ps/word": [timeQuantity, " a word"],
  "ps/KiB": [timeQuantity, " a KiB"],
  "ps/waiter": [timeQuantity, " a waiter"],
  bytes: [sizeQuantity, ""],
  "bit/s": [rateQuantity, ""],
  count: [undefined, ""],
  share: [undefined, ""]
}

/** A value of a profile as a reader wants it. */
export const valueText = (value: number, unit: Unit): string => {
  const [quantity, per] = WRITTEN[unit]
  return quantity === undefined ? `${value}` : `${formatQuantity(quantity, value)}${per}`
}

const rangeText = ({ range, unit }: Constant): string =>
  range === undefined ? "" : range.map((value) => valueText(value, unit)).join(" to ")

const chapter = ({ about, constants, name }: Profile): ReadonlyArray<string> => [
  `## ${name}`,
  `${about}.`,
  table(
    ["Constant", "Value", "Kept in", "Tag", "Range", "Source"],
    CONSTANT_NAMES.map((key) => {
      const constant = constants[key]
      const { source, tag, unit, value } = constant
      return [code(key), valueText(value, unit), unit, tag, rangeText(constant), source]
    }),
    ["Value"]
  )
]

const LEGEND = `What one unit of each kind of work costs on a machine. The tag says how far a constant can be
trusted: V read at its source, D digitised from a chart, A from an abstract, R recalled and arithmetically
consistent, X derived from the others, E an assumption within the range given, F fitted to a published result.`

/** docs/reference/profiles.md */
export const profilesPage = (): Page =>
  page("profiles.md", "Platform profiles", "packages/sim/src/core/profiles", [LEGEND, ...PROFILES.flatMap(chapter)])
