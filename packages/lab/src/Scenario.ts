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
import { Findings, placed } from "./Findings.ts"
import { defaultKind, leaveKinds, writtenKind } from "./Kinds.ts"
import { findIdle, type GoodWorld } from "./IdleSettings.ts"
import { isRunName, runNameProblem } from "./Names.ts"
import {
  applyChange,
  type Change,
  locateIn,
  overlaps,
  readSetting,
  repetitions,
  runChanges,
  type Setting,
  touches,
  type World,
  type WrittenRun
} from "./Overrides.ts"
import { type FieldProblem, fieldProblems } from "./Problems.ts"
import { type FieldPath, isSection, readSource, type ScenarioSource } from "./ScenarioSource.ts"
import { defaultTableLock, leaveTableLock } from "./TableLock.ts"

/** What `traffic` is where nothing says so. */
export const TRAFFIC_KIND = "closed-loop"

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
  traffic: TrafficOptions.pipe(Schema.withDecodingDefaultKey(Effect.succeed({ kind: TRAFFIC_KIND })))
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
  /** Where a setting is written, as messages say it: `mine.yaml:4:22`, or `--set`. */
  readonly locate: (setting: string) => string
  /** What is wrong with a setting, placed where it is written. */
  readonly problem: (setting: string, message: string) => Problem
}

/** A checked scenario file. */
export interface Scenario {
  /** The file's name without folder and extension. */
  readonly name: string
  readonly source: ScenarioSource
  readonly settings: ReadonlyArray<Setting>
  /** The runs that were asked for by name; none for all. */
  readonly only: ReadonlyArray<string>
  /** The world that the runs start from. */
  readonly base: ResolvedScenario
  /** What each run changes, as written. */
  readonly overrides: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** Those that were asked for. */
  readonly runs: ReadonlyArray<ResolvedRun>
}

const DECODE = { errors: "all", onExcessProperty: "error" } as const
const decodeScenario = Schema.decodeUnknownResult(ScenarioOptions, DECODE)
const decodeWorld = Schema.decodeUnknownResult(WorldOptions, DECODE)

/**
 * Checks the text of a scenario file, with settings of the command line (`path=value`) on top. With names in `only`,
 * other runs of the file are neither checked nor resolved.
 */
export const parseScenario = (
  text: string,
  fileName: string,
  settings: ReadonlyArray<Setting> = [],
  only: ReadonlyArray<string> = []
): Effect.Effect<Scenario, ScenarioInvalid> => {
  const source = readSource(text, fileName)
  return "root" in source ? checked(source, settings, only) : Effect.fail(new ScenarioInvalid({ problems: source }))
}

/** The same scenario with more settings (`path=value`), which win over the file and over its runs. */
export const applySettings = (
  scenario: Scenario,
  settings: ReadonlyArray<Setting>
): Effect.Effect<Scenario, ScenarioInvalid> =>
  checked(scenario.source, [...scenario.settings, ...settings], scenario.only)

/** The names that a run can be asked for by. */
export const runNames = ({ overrides, runs }: Scenario): ReadonlyArray<string> => {
  const written = Object.keys(overrides)
  return written.length > 0 ? written : runs.map(({ name }) => name)
}

/** The runs of a scenario in the order of the file; a file without runs is one run, named by its strategy. */
export const resolveRuns = (scenario: Scenario): ReadonlyArray<ResolvedRun> => scenario.runs

const scenarioName = (fileName: string): string =>
  fileName
    .split(/[/\\]/u)
    .at(-1)!
    .replace(/\.(ya?ml|json)$/u, "")

const checked = (
  source: ScenarioSource,
  settings: ReadonlyArray<Setting>,
  only: ReadonlyArray<string>
): Effect.Effect<Scenario, ScenarioInvalid> => {
  const findings = new Findings()
  const report: Report = (world, problem) => findings.report(world, problem)
  const changes: Array<Change> = []
  for (const setting of settings) {
    const change = readSetting(setting)
    if ("problem" in change) findings.add(change.problem)
    else changes.push(...change)
  }

  for (const problem of repetitions(changes)) findings.add(problem)

  const base = decodeAll(worldOf(source, source.root, undefined, changes, report), decodeScenario, report)
  const written = isSection(source.root["runs"]) ? source.root["runs"] : {}
  const { runs: _, ...root } = source.root
  const writtenRuns: Array<WrittenRun> = Object.entries(written).flatMap(([name, overrides]) =>
    isSection(overrides) ? [{ name, changes: runChanges(source, name, overrides) }] : []
  )
  const chosen = writtenRuns.filter(({ name }) => only.length === 0 || only.includes(name))
  for (const { name } of writtenRuns) {
    const where = source.locate(["runs", name], "key")
    if (!isRunName(name)) findings.add({ where, path: "runs", message: runNameProblem(name) })
  }
  const worlds = (writtenRuns.length === 0 ? [undefined] : chosen).flatMap((run) => {
    for (const problem of overlaps(run?.changes ?? [])) findings.add(problem)
    const world = worldOf(source, root, run, changes, report)
    const scenario = checkWorld(world, report)
    return scenario === undefined ? [] : [{ world, scenario }]
  })
  // Of a world with mistakes it is not known what has an effect in it.
  const ownWorlds = () => [undefined, ...writtenRuns].flatMap((run) => goodWorld(worldOf(source, root, run, [])))
  const idle = findings.isEmpty ? findIdle(worlds, ownWorlds) : []
  for (const { conflict, world } of idle) report(world, conflict)

  const problems = findings.inOrder()
  if (problems.length > 0 || base === undefined) return Effect.fail(new ScenarioInvalid({ problems }))
  const { runs: overrides, ...world } = base
  return Effect.succeed({
    name: scenarioName(source.fileName),
    source,
    settings,
    only,
    base: world,
    overrides,
    runs: worlds.map(({ scenario, world: of }) => ({
      name: of.run?.name ?? scenario.driver.strategy,
      scenario,
      locate: (setting) => locateIn(of, setting.split("."), "value"),
      problem: (setting, message) => placed(of, { path: setting.split("."), part: "value", message })
    }))
  })
}

type Report = (world: World, problem: FieldProblem) => void

/** The data of a file, changed by a run and by the command line, each as a whole. */
const worldOf = (
  source: ScenarioSource,
  root: Record<string, unknown>,
  run: WrittenRun | undefined,
  settings: ReadonlyArray<Change>,
  report: Report = () => undefined
): World => {
  const layers = [run?.changes ?? [], settings]
  const world: World = { source, root: structuredClone(root), changes: layers.flat(), run }
  const writeKind = (before?: unknown): void =>
    defaultKind(WorldOptions.ast, world.root, ["traffic", TRAFFIC_KIND], before)
  writeKind()
  let before: unknown
  for (const changes of layers) {
    before = writtenKind(world.root, "traffic") ?? before
    leaveKinds(WorldOptions.ast, world.root, changes)
    leaveTableLock(world.root, changes)
    for (const change of changes) {
      const message = applyChange(world.root, change)
      if (message !== undefined) report(world, { path: change.path, part: "key", message })
    }
    writeKind(before)
  }
  defaultTableLock(world.root)
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

/** The world with what it means, if that is known. */
const goodWorld = (world: World): ReadonlyArray<GoodWorld> => {
  const result = decodeWorld(world.root)
  return Result.isSuccess(result) ? [{ world, scenario: result.success }] : []
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
  const isWrong = (path: string): boolean => wrong.some((field) => touches(field, path.split(".")))
  for (const conflict of conflictsIn(repaired)) {
    // What follows from a default that replaces a wrong value would only confuse.
    if (!conflict.involves.some(isWrong)) report(world, conflict)
  }
  return scenario
}

const without = (root: Record<string, unknown>, paths: ReadonlyArray<FieldPath>): Record<string, unknown> => {
  const copy = structuredClone(root)
  for (const path of paths) {
    let parent: unknown = copy
    for (const name of path.slice(0, -1)) parent = isSection(parent) ? parent[name] : undefined
    if (isSection(parent)) delete parent[path.at(-1)!]
  }
  return copy
}
