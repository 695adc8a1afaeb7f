/**
 * Scenario files: what is in one, how it is checked, and how its runs are resolved.
 *
 * A file describes one world; each of its runs changes some settings of that world by dotted path, and settings of the
 * command line change all runs. Every problem of the file and of its runs is reported at once, where it is written.
 */
import { DmaOptions } from "@vnic/dma-api"
import { DriverOptions } from "@vnic/driver"
import { IommuOptions } from "@vnic/iommu"
import { NicOptions } from "@vnic/nic-device"
import { HostOptions, MeasureOptions, ProfileName, Seed } from "@vnic/sim"
import { LinkOptions, TrafficOptions } from "@vnic/traffic"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { conflictsIn } from "./Combinations.ts"
import { type Problem, ScenarioInvalid } from "./Errors.ts"
import { leaveKinds } from "./Kinds.ts"
import { applyChange, type Change, locateIn, readSetting, runChanges, type Setting, type World } from "./Overrides.ts"
import { abridged, type FieldProblem, fieldProblems } from "./Problems.ts"
import { type FieldPath, isSection, readSource, type ScenarioSource } from "./ScenarioSource.ts"

const emptySection = Effect.succeed({})

const worldFields = {
  about: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed(""))),
  profile: ProfileName.pipe(Schema.withDecodingDefaultKey(Effect.succeed("power7-pseries"))),
  seed: Seed.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  measure: MeasureOptions.pipe(Schema.withDecodingDefaultKey(emptySection)),
  link: LinkOptions.pipe(Schema.withDecodingDefaultKey(emptySection)),
  nic: NicOptions.pipe(Schema.withDecodingDefaultKey(emptySection)),
  host: HostOptions.pipe(Schema.withDecodingDefaultKey(emptySection)),
  iommu: IommuOptions.pipe(Schema.withDecodingDefaultKey(emptySection)),
  dma: DmaOptions.pipe(Schema.withDecodingDefaultKey(emptySection)),
  driver: DriverOptions.pipe(Schema.withDecodingDefaultKey(emptySection)),
  traffic: TrafficOptions.pipe(Schema.withDecodingDefaultKey(Effect.succeed({ kind: "closed-loop" as const })))
}

/** The world of one run: every setting, decoded. */
export const WorldOptions = Schema.Struct(worldFields)

/** A scenario file: a world, and what each run changes in it. */
export const ScenarioOptions = Schema.Struct({
  ...worldFields,
  runs: Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Unknown)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed({}))
  )
}).annotate({ title: "vnic scenario", description: "A world, and what each run changes in it" })

/** A scenario with every setting decoded and every default filled in: integers that carry their unit in the key. */
export type ResolvedScenario = typeof WorldOptions.Type

/** One run of a scenario. */
export interface ResolvedRun {
  readonly name: string
  readonly scenario: ResolvedScenario
}

/** A checked scenario file. */
export interface Scenario {
  /** The file's name without folder and extension. */
  readonly name: string
  readonly source: ScenarioSource
  readonly settings: ReadonlyArray<Setting>
  /** The world that the runs start from. */
  readonly base: ResolvedScenario
  /** What each run changes, as written. */
  readonly overrides: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly runs: ReadonlyArray<ResolvedRun>
}

const DECODE = { errors: "all", onExcessProperty: "error" } as const
const decodeScenario = Schema.decodeUnknownResult(ScenarioOptions, DECODE)
const decodeWorld = Schema.decodeUnknownResult(WorldOptions, DECODE)

/** Checks the text of a scenario file, with settings of the command line (`path=value`) on top. */
export const parseScenario = (
  text: string,
  fileName: string,
  settings: ReadonlyArray<Setting> = []
): Effect.Effect<Scenario, ScenarioInvalid> => {
  const source = readSource(text, fileName)
  return "root" in source ? checked(source, settings) : Effect.fail(new ScenarioInvalid({ problems: source }))
}

/** The same scenario with more settings (`path=value`), which win over the file and over its runs. */
export const applySettings = (
  scenario: Scenario,
  settings: ReadonlyArray<Setting>
): Effect.Effect<Scenario, ScenarioInvalid> => checked(scenario.source, [...scenario.settings, ...settings])

/** The runs of a scenario in the order of the file; a file without runs is one run, named by its strategy. */
export const resolveRuns = (scenario: Scenario): ReadonlyArray<ResolvedRun> => scenario.runs

/** JSON Schema of scenario files as they are written, for editors. */
export const scenarioJsonSchema = (): object => {
  const { definitions, schema } = Schema.toJsonSchemaDocument(ScenarioOptions, {
    onExcessProperty: "error"
  })
  const defs = Object.keys(definitions).length > 0 ? { $defs: definitions } : {}
  return { $schema: "https://json-schema.org/draft/2020-12/schema", ...schema, ...defs }
}

const scenarioName = (fileName: string): string =>
  fileName
    .split(/[/\\]/u)
    .at(-1)!
    .replace(/\.(ya?ml|json)$/u, "")

const checked = (
  source: ScenarioSource,
  settings: ReadonlyArray<Setting>
): Effect.Effect<Scenario, ScenarioInvalid> => {
  const found = new Map<string, Problem>()
  const report = (world: World, fieldProblem: FieldProblem): void => {
    const { message, part, path } = fieldProblem
    const problem = {
      where: locateIn(world, path, part),
      path: path.map(abridged).join("."),
      message
    }
    // The same words are wrong in every run, but a combination may be impossible in each for a reason of its own.
    const key = `${problem.where} ${problem.path} ${"involves" in fieldProblem ? message : ""}`
    if (!found.has(key)) found.set(key, problem)
  }
  const changes: Array<Change> = []
  for (const setting of settings) {
    const change = readSetting(setting)
    if ("problem" in change) found.set(`${change.problem.where} ${change.problem.path}`, change.problem)
    else changes.push(change)
  }

  const file = worldOf(source, source.root, [changes], report)
  const base = decodeAll(file, decodeScenario, report)
  const written = isSection(source.root["runs"]) ? source.root["runs"] : {}
  const { runs: _, ...root } = source.root
  const worlds = Object.entries(written).flatMap(([name, overrides]) =>
    isSection(overrides)
      ? [
          {
            name,
            world: worldOf(source, root, [runChanges(source, name, overrides), changes], report)
          }
        ]
      : []
  )
  if (worlds.length === 0) worlds.push({ name: "", world: worldOf(source, root, [changes], report) })
  const runs = worlds.flatMap(({ name, world }) => {
    const scenario = checkWorld(world, report)
    return scenario === undefined ? [] : [{ name: name === "" ? scenario.driver.strategy : name, scenario }]
  })

  if (found.size > 0 || base === undefined) return Effect.fail(new ScenarioInvalid({ problems: inOrder(found) }))
  const { runs: overrides, ...world } = base
  const name = scenarioName(source.fileName)
  return Effect.succeed({ name, source, settings, base: world, overrides, runs })
}

type Report = (world: World, problem: FieldProblem) => void

/** The data of a file, changed by a run and by the command line, each as a whole. */
const worldOf = (
  source: ScenarioSource,
  root: Record<string, unknown>,
  layers: ReadonlyArray<ReadonlyArray<Change>>,
  report: Report
): World => {
  const world: World = { source, root: structuredClone(root), changes: layers.flat() }
  for (const changes of layers) {
    leaveKinds(WorldOptions.ast, world.root, changes)
    for (const change of changes) {
      const message = applyChange(world.root, change)
      if (message !== undefined) report(world, { path: change.path, part: "key", message })
    }
  }
  return world
}

const decodeAll = <A>(
  world: World,
  decode: (data: unknown) => Result.Result<A, Schema.SchemaError>,
  report: Report
): A | undefined => {
  const result = decode(world.root)
  if (Result.isSuccess(result)) return result.success
  for (const problem of fieldProblems(result.failure.issue, world.root)) report(world, problem)
  return undefined
}

/** Checks fields, then combinations; of fields that are wrong the defaults take part in the combinations. */
const checkWorld = (world: World, report: Report): ResolvedScenario | undefined => {
  const wrong: Array<FieldPath> = []
  const scenario = decodeAll(world, decodeWorld, (at, problem) => {
    wrong.push(problem.path)
    report(at, problem)
  })
  const repaired = scenario ?? Result.getOrUndefined(decodeWorld(without(world.root, wrong)))
  if (repaired === undefined) return undefined
  const isWrong = (path: string): boolean => wrong.some((field) => touches(field.join("."), path))
  for (const conflict of conflictsIn(repaired)) {
    // What follows from a default that replaces a wrong value would only confuse.
    if (!conflict.involves.some(isWrong)) report(world, conflict)
  }
  return scenario
}

const touches = (one: string, other: string): boolean =>
  one === other || one.startsWith(`${other}.`) || other.startsWith(`${one}.`)

const without = (root: Record<string, unknown>, paths: ReadonlyArray<FieldPath>): Record<string, unknown> => {
  const copy = structuredClone(root)
  for (const path of paths) {
    let parent: unknown = copy
    for (const name of path.slice(0, -1)) parent = isSection(parent) ? parent[name] : undefined
    if (isSection(parent)) delete parent[path.at(-1)!]
  }
  return copy
}

/** Problems by line and column, those of the command line last. */
const inOrder = (found: ReadonlyMap<string, Problem>): ReadonlyArray<Problem> => {
  const place = ({ where }: Problem): readonly [number, number] => {
    const match = /:(\d+):(\d+)$/u.exec(where)
    return match === null ? [Infinity, 0] : [Number(match[1]), Number(match[2])]
  }
  return [...found.values()].toSorted((one, other) => {
    const [oneLine, oneColumn] = place(one)
    const [otherLine, otherColumn] = place(other)
    return oneLine === otherLine ? oneColumn - otherColumn : oneLine - otherLine
  })
}
