/** What `run` and `replay` share: outputs, workers, results, checks. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { CheckFailed, RunsFailed } from "../Errors.ts"
import { runAll } from "../node/pool.ts"
import { progressLine } from "../node/progress.ts"
import type { RunRequest } from "../node/protocol.ts"
import { STANDARD } from "../node/stdin.ts"
import { failedChecks } from "../Result.ts"
import type { ResolvedRun, Scenario } from "../Scenario.ts"
import { renderTable } from "../Table.ts"
import { captureFilesOf, readCaptures, readNamedCapture } from "./captures.ts"
import { envelopeOf } from "./envelope.ts"
import { type NamedFile, openFlag, refuseOverwriting } from "./outputs.ts"

const NEXT = "npx -y pnpm@12.21.0 vnic list"

/** What to run, and where its results go. */
export interface Execution {
  readonly scenario: Scenario
  readonly runs: ReadonlyArray<ResolvedRun>
  /** Where the scenario was read, if that is a file of the user's. */
  readonly file?: string | undefined
  /** The capture that the command line names; others are named by scenarios. */
  readonly capture?: string | undefined
  readonly json: string | undefined
  /** Where the delivered frames of a replay go. */
  readonly out?: string | undefined
  readonly reproducible: boolean
  readonly quiet: boolean
}

/** Runs for workers, with the captures that they replay: whether those are any good is known before anything runs. */
const requestsOf = Effect.fnUntraced(function* ({ capture: named, out, runs, scenario }: Execution) {
  const captures =
    named === undefined ? yield* readCaptures(scenario, runs) : [yield* readNamedCapture(named, runs[0]!)]
  return runs.map(({ name, scenario: world }, index): RunRequest => {
    const capture = captures[index]
    const request = { name, scenario: world, seed: world.seed, keepFrames: out !== undefined }
    return capture === undefined ? request : { ...request, capture }
  })
})

/** The files that are read. */
const inputsOf = Effect.fnUntraced(function* ({ capture, file, runs, scenario }: Execution) {
  const captures = capture === undefined ? yield* captureFilesOf(scenario, runs) : [capture]
  const inputs: ReadonlyArray<NamedFile> = captures.map((one) => ({ name: "capture that is replayed", file: one }))
  return [{ name: "scenario that is run", file }, ...inputs]
})

/** Runs everything, writes what was asked for, prints the table, and fails if a run or a check did. */
export const execute = Effect.fnUntraced(function* (execution: Execution) {
  const { json, out, runs, scenario } = execution
  const outputs = [
    { name: "--json", file: json },
    { name: "--out", file: out }
  ]
  yield* refuseOverwriting(outputs, yield* inputsOf(execution))
  const requests = yield* requestsOf(execution)
  const jsonFile = yield* openFlag("--json", json)
  const outFile = yield* openFlag("--out", out)

  const startedMs = performance.now()
  const results = yield* Effect.scoped(
    Effect.gen(function* () {
      const names = runs.map(({ name }) => name)
      const onProgress = yield* progressLine(names, !execution.quiet)
      return yield* runAll(requests, onProgress)
    })
  )
  const wallSeconds = execution.reproducible ? undefined : (performance.now() - startedMs) / 1000
  const envelope = envelopeOf(scenario, results, wallSeconds)
  const text = JSON.stringify(envelope, null, 2)
  // Files first: whoever reads the table may close the pipe.
  if (jsonFile !== undefined) yield* jsonFile.commit(`${text}\n`)
  const [first] = results
  const delivered = first !== undefined && Result.isSuccess(first) ? first.success.delivered : undefined
  if (outFile !== undefined && delivered !== undefined) yield* outFile.commit(delivered)
  const hasStdout = json !== STANDARD && out !== STANDARD
  if (hasStdout && !execution.quiet && envelope.runs.length > 0) {
    const worlds = runs.filter((_, index) => Result.isSuccess(results[index]!)).map((run) => run.scenario)
    yield* Console.log(renderTable(envelope, worlds, NEXT))
  }
  const failures = results.filter(Result.isFailure).map(({ failure }) => failure)
  if (failures.length > 0) return yield* new RunsFailed({ failures })
  const findings = failedChecks(envelope.runs)
  if (findings.length > 0) return yield* new CheckFailed({ findings })
}, Effect.scoped)
