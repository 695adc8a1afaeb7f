/** The JSON Schema of scenario files as they are written, for editors. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { settingMeanings } from "./Meanings.ts"
import { RUN_NAME_CHARACTERS_MAX } from "./Names.ts"
import { parseScenario, ScenarioOptions, TRAFFIC_KIND, WorldOptions } from "./Scenario.ts"

/** The part of JSON Schema that this one has. */
interface Node {
  readonly description?: string
  readonly properties?: Readonly<Record<string, Node>>
  readonly anyOf?: ReadonlyArray<Node>
  readonly enum?: ReadonlyArray<unknown>
  readonly required?: ReadonlyArray<string>
}

type Values = Readonly<Record<string, unknown>>

/** What a file that says only this comes to, as it would be written. */
export const scenarioPresets = (file: Values): Values => {
  const { base } = Effect.runSync(parseScenario(JSON.stringify(file), "presets.yaml"))
  return Schema.encodeSync(WorldOptions)(base) as Values
}

const kindOf = (form: Node): unknown => form.properties?.["kind"]?.enum?.[0]

/** The forms of a section that has one for each kind. */
const formsOf = ({ anyOf = [] }: Node): ReadonlyArray<Node> => (anyOf.some(kindOf) ? anyOf : [])

/** A setting or section with what it means, and what it is by default. */
const explained = (node: Node, path: string, preset: unknown): Node => {
  if (formsOf(node).length > 0) return { ...node, anyOf: formsOf(node).map((form) => explainedForm(form, path)) }
  if (node.properties !== undefined) {
    const presets = (preset ?? {}) as Values
    const inner = Object.entries(node.properties).map(([key, child]) => [
      key,
      explained(child, path === "" ? key : `${path}.${key}`, presets[key])
    ])
    return { ...node, properties: Object.fromEntries(inner) }
  }
  const description = [settingMeanings[path], node.description].filter((part) => part !== undefined).join(". ")
  return { ...node, description, ...(preset === undefined ? {} : { default: preset }) }
}

const explainedForm = (form: Node, path: string): Node => {
  const kind = kindOf(form)
  const isDefault = kind === TRAFFIC_KIND
  const required = (form.required ?? []).filter((key) => !(isDefault && key === "kind"))
  const needed = Object.fromEntries(required.map((key) => [key, "NAME"]))
  const presets = scenarioPresets({ [path]: { ...needed, kind } })[path] as Values
  const own = Object.fromEntries(Object.entries(presets).filter(([key]) => !required.includes(key)))
  return { ...explained(form, path, own), required }
}

/** Every section and setting by its dotted path, with where the schema has it: once for each kind that knows it. */
const places = (node: Node, path: string, pointer: string): ReadonlyArray<readonly [path: string, pointer: string]> => {
  const inner = (one: Node, at: string) =>
    Object.entries(one.properties ?? {}).flatMap(([key, child]) =>
      places(child, path === "" ? key : `${path}.${key}`, `${at}/properties/${key}`)
    )
  const own = path === "" ? [] : [[path, pointer] as const]
  const forms = formsOf(node).flatMap((form, index) => inner(form, `${pointer}/anyOf/${index}`))
  return [...own, ...inner(node, pointer), ...forms]
}

/** What a run may change: each section and each setting, by dotted path. */
const runSchema = (world: Node): object => {
  const pointers = new Map<string, Array<string>>()
  for (const [path, pointer] of places(world, "", "#")) pointers.set(path, [...(pointers.get(path) ?? []), pointer])
  const properties = [...pointers].map(([path, at]) => {
    const references = at.map(($ref) => ({ $ref }))
    return [path, references.length === 1 ? references[0] : { anyOf: references }]
  })
  return { type: "object", properties: Object.fromEntries(properties), additionalProperties: false }
}

/** The whole schema. */
export const scenarioJsonSchema = (): object => {
  const { definitions, schema } = Schema.toJsonSchemaDocument(ScenarioOptions, { onExcessProperty: "error" })
  const { runs: _, ...sections } = (schema as Node).properties!
  const world = explained({ properties: sections }, "", scenarioPresets({}))
  const runs = {
    type: "object",
    description: "What each run changes in the world, by dotted path",
    propertyNames: { minLength: 1, maxLength: RUN_NAME_CHARACTERS_MAX },
    additionalProperties: runSchema(world)
  }
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    ...schema,
    properties: { ...world.properties, runs },
    ...(Object.keys(definitions).length > 0 ? { $defs: definitions } : {})
  }
}
