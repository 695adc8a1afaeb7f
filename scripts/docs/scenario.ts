/** The keys of scenario files as a page. */
import { parseScenario, scenarioJsonSchema, scenarioPresets, settingMeanings } from "@vnic/lab"
import { parseQuantity, type Quantity, rateQuantity, sizeQuantity, timeQuantity } from "@vnic/sim"
import * as Effect from "effect/Effect"
import { code, type Page, page, table } from "./page.ts"

/** The part of JSON Schema that the scenario's uses. */
interface Node {
  readonly type?: string
  readonly enum?: ReadonlyArray<string>
  readonly anyOf?: ReadonlyArray<Node>
  readonly properties?: Readonly<Record<string, Node>>
  readonly required?: ReadonlyArray<string>
  readonly minimum?: number
  readonly maximum?: number
  readonly multipleOf?: number
}

type Values = { readonly [key: string]: unknown }

/** A setting of a scenario: where it stands, what the schema says, what it is by default. */
interface Setting {
  readonly path: ReadonlyArray<string>
  readonly node: Node
  readonly isRequired: boolean
  readonly preset: unknown
}

const QUANTITIES: ReadonlyArray<Quantity> = [sizeQuantity, timeQuantity, rateQuantity]

/** What is wrong with a file in which one setting has this value. */
const messagesOf = (file: Values, path: ReadonlyArray<string>, value: unknown): ReadonlyArray<string> =>
  Effect.runSync(
    parseScenario(JSON.stringify(withValue(file, path, value)), "probe.yaml").pipe(
      Effect.match({ onFailure: ({ problems }) => problems.map(({ message }) => message), onSuccess: () => [] })
    )
  )

const withValue = (file: Values, [key, ...rest]: ReadonlyArray<string>, value: unknown): Values => ({
  ...file,
  [key!]: rest.length === 0 ? value : withValue((file[key!] ?? {}) as Values, rest, value)
})

/**
 * The kind and the limits of a quantity. The schema of editors cannot state them, so the checks themselves are asked: a
 * bare number is answered with what is missing, a value that is too small with the least one, and so on.
 */
const quantityText = (file: Values, path: ReadonlyArray<string>): string | undefined => {
  const ask = (value: unknown, pattern: RegExp): string | undefined =>
    messagesOf(file, path, value)
      .map((message) => pattern.exec(message)?.[1])
      .find((answer) => answer !== undefined)
  const form = ask(1, /has no unit; (?:write |a )(.+?)(?: needs | as in )/u)
  const quantity = QUANTITIES.find(({ noun }) => form?.endsWith(noun))
  if (form === undefined || quantity === undefined) return undefined
  const [smallest] = quantity.units[0]!
  const least = ask(`-1 ${smallest}`, /; at least (.+)$/u)
  const limit = ask(`${Number.MAX_SAFE_INTEGER} ${smallest}`, /; at most (.+)$/u)
  if (least === undefined || limit === undefined) return form
  // Beside what else there is by default, less may be possible.
  const most = ask(limit, /; (?:at most )?(\d+ \w+)(?:,| would do|$)/u) ?? limit
  const parsed = parseQuantity(quantity, least)
  const above = "value" in parsed ? `${parsed.value + 1} ${smallest}` : least
  return `${form}, ${least} to ${most}${stepText(ask(above, /is not a multiple of ([^;]+);/u))}`
}

const stepText = (step: string | number | undefined): string => (step === undefined ? "" : `, in steps of ${step}`)

const valueText = (file: Values, { node, path }: Setting): string => {
  const choices = node.enum ?? node.anyOf?.flatMap((choice) => choice.enum ?? [])
  if (choices !== undefined && choices.length > 0) return choices.map(code).join(" or ")
  if (node.type === "integer") return `count, ${node.minimum} to ${node.maximum}${stepText(node.multipleOf)}`
  if (node.type === "boolean") return "`true` or `false`"
  return quantityText(file, path) ?? "text"
}

const presetText = ({ isRequired, preset }: Setting): string => {
  if (isRequired) return "required"
  if (preset === undefined) return "none"
  return preset === "" ? "empty" : code(String(preset))
}

const settingsOf = (node: Node, presets: Values, path: ReadonlyArray<string>): ReadonlyArray<Setting> =>
  Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const preset = presets[key]
    const at = [...path, key]
    if (child.properties !== undefined) return settingsOf(child, (preset ?? {}) as Values, at)
    return [{ path: at, node: child, isRequired: node.required?.includes(key) ?? false, preset }]
  })

const settingsTable = (file: Values, settings: ReadonlyArray<Setting>): string => {
  const rows = settings.map((setting) => {
    const key = setting.path.join(".")
    return [code(key), valueText(file, setting), presetText(setting), settingMeanings[key] ?? ""]
  })
  return table(["Key", "Value", "Default", "Meaning"], rows)
}

const sectionChapter = (name: string, node: Node): ReadonlyArray<string> => {
  const settings = settingsOf(node, scenarioPresets({})[name] as Values, [name])
  return [`## ${name}`, settingsTable({}, settings)]
}

/** A section that has one form for each value of its `kind`. */
const kindChapters = (name: string, forms: ReadonlyArray<Node>): ReadonlyArray<string> =>
  forms.flatMap((form) => {
    const kind = form.properties!["kind"]!.enum![0]!
    const needed = Object.fromEntries((form.required ?? []).map((key) => [key, `NAME`]))
    const file = { [name]: { ...needed, kind } }
    const settings = settingsOf(form, scenarioPresets(file)[name] as Values, [name])
    return [`## ${name}, kind ${kind}`, settingsTable(file, settings)]
  })

/** Other spellings, those that look alike once. */
const aliasText = ({ aliases }: Quantity): string => {
  const spellings = new Set([...aliases.keys()].map((alias) => alias.normalize("NFKC")))
  return spellings.size === 0 ? "" : ` (also ${[...spellings].join(", ")})`
}

const quantityAbout = (quantity: Quantity): string =>
  `- a ${quantity.noun} in ${quantity.units.map(([unit]) => unit).join(", ")}${aliasText(quantity)}, ` +
  `as in ${code(quantity.example)}`

const ABOUT = [
  `A scenario is a YAML or JSON file. It describes one world; each entry of \`runs\` changes some settings of that
world, by dotted path, and \`--set path=value\` changes all runs. What a change of a section does not name stays as it
is; a section with a \`kind\` is written anew. Every key may be left out unless it is required here.`,
  "A count is a bare number. A quantity is text with its unit:",
  QUANTITIES.map(quantityAbout).join("\n"),
  "Upper limits are those beside the defaults of everything else.",
  "`vnic schema` prints this page as JSON Schema, for editors."
]

const RUNS = `A map from the name of a run to what it changes, as in \`page-chunk: { driver.strategy: page-chunk }\`. A
file without runs is one run, named after its strategy.`

/** docs/reference/scenario.md */
export const scenarioPage = (): Page => {
  const { properties = {} } = scenarioJsonSchema() as Node
  const { runs: _, ...world } = properties
  const plain = Object.entries(world).filter(([, node]) => node.type !== "object" && !isKinds(node))
  const top = settingsOf({ properties: Object.fromEntries(plain) }, scenarioPresets({}), [])
  const chapters = Object.entries(world).flatMap(([name, node]) => {
    if (isKinds(node)) return kindChapters(name, node.anyOf!)
    return node.type === "object" ? sectionChapter(name, node) : []
  })
  const parts = [...ABOUT, "## The world", settingsTable({}, top), ...chapters, "## runs", RUNS]
  return page("scenario.md", "Scenario files", "the Schema of packages/lab/src/Scenario.ts", parts)
}

const isKinds = ({ anyOf }: Node): boolean =>
  anyOf !== undefined && anyOf.every(({ properties }) => properties?.["kind"])
