/** The JSON Schema for editors: every setting explained, quantities by pattern, runs with the settings of the world. */
import { describe, expect, it } from "vitest"
import { settingMeanings } from "../src/Meanings.ts"
import { scenarioJsonSchema } from "../src/ScenarioSchema.ts"

interface Node {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly pattern?: string
  readonly required?: ReadonlyArray<string>
  readonly properties?: Readonly<Record<string, Node>>
  readonly anyOf?: ReadonlyArray<Node>
  readonly additionalProperties?: Node
  readonly $ref?: string
}

const schema = scenarioJsonSchema() as Node
const { runs, ...world } = schema.properties!

/** Settings by dotted path, those of each kind of traffic in turn. */
const settings = (node: Node, path: ReadonlyArray<string>): ReadonlyArray<readonly [path: string, node: Node]> => {
  const forms = node.anyOf?.filter((form) => form.properties !== undefined) ?? []
  if (forms.length > 0) return forms.flatMap((form) => settings(form, path))
  if (node.properties === undefined) return [[path.join("."), node]]
  return Object.entries(node.properties).flatMap(([key, child]) => settings(child, [...path, key]))
}

const all = settings({ properties: world }, [])

const at = (pointer: string): unknown =>
  pointer
    .split("/")
    .slice(1)
    .reduce<unknown>((node, key) => (node as Record<string, unknown>)[key], schema)

describe("the JSON Schema for editors", () => {
  it("says what every setting means, and no other", () => {
    expect(new Set(all.map(([path]) => path))).toEqual(new Set(Object.keys(settingMeanings)))
    expect(all.filter(([path, { description }]) => !description!.startsWith(settingMeanings[path]!))).toEqual([])
  })

  it("has defaults, but of what must be written and of what the world decides", () => {
    expect(all.filter(([, node]) => node.default === undefined).map(([path]) => path)).toEqual([
      "traffic.frame",
      "traffic.kind",
      "traffic.kind",
      "traffic.capture"
    ])
    expect(world["nic"]!.properties!["queues"]).toMatchObject({ type: "integer", minimum: 1, maximum: 16, default: 8 })
    expect(world["traffic"]!.anyOf!.map(({ required }) => required)).toEqual([[], ["kind"], ["kind", "capture"]])
  })

  it.each([
    ["host.memory", ["64 MiB", "1.5 GiB", "64KiB"], ["64", "64 MB", "+1 MiB", "lots"]],
    ["measure.duration", ["5 us", "5 µs"], ["5", "5 m"]],
    ["traffic.rate", ["line", "10 Gb/s", "10 Gbit/s"], ["lin", "10 Gbps", "line 10 Gb/s"]],
    ["traffic.sizes", ["imix", "64 B"], ["imx", "64"]]
  ])("has a pattern for %s", (path, good, bad) => {
    const pattern = new RegExp(all.find(([name]) => name === path)![1].pattern!, "u")
    expect(good.filter((text) => !pattern.test(text))).toEqual([])
    expect(bad.filter((text) => pattern.test(text))).toEqual([])
  })

  it("gives runs the settings and the sections of the world", () => {
    const { properties = {} } = runs!.additionalProperties!
    for (const [path] of all) expect(properties).toHaveProperty([path])
    expect(properties).toHaveProperty(["nic.rx"], { $ref: "#/properties/nic/properties/rx" })
    expect(properties["traffic.rate"]!.anyOf).toHaveLength(2)
    const references = Object.values(properties).flatMap((node) => node.anyOf ?? [node])
    expect(references.filter(({ $ref }) => at($ref!) === undefined)).toEqual([])
  })
})
