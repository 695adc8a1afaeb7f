/** What `run` and `replay` share: outputs, workers, results, checks. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import { CheckFailed, FlagInvalid, type RunFailed, RunsFailed } from "../Errors.ts"
import { readCaptureFile } from "../node/captures.ts"
import { openOutput } from "../node/output.ts"
import { runAll } from "../node/pool.ts"
import { progressLine } from "../node/progress.ts"
import type { RunOutput } from "../node/protocol.ts"
import { version } from "../node/version.ts"
import { type Envelope, failedChecks, SCHEMA_VERSION } from "../Result.ts"
import type { ResolvedRun, Scenario } from "../Scenario.ts"
import { renderTable } from "../Table.ts"

const NEXT = "npx -y pnpm@12.21.0 vnic list"

/** What to run, and where its results go. */
export interface Execution {
  readonly scenario: Scenario
  readonly runs: ReadonlyArray<ResolvedRun>
  readonly json: string | undefined
  /** Where the delivered frames of a replay go. */
  readonly out?: string | undefined
  readonly reproducible: boolean
  readonly quiet: boolean
}

const envelopeOf = (execution: Execution, outputs: ReadonlyArray<RunOutput>, wallSeconds: number): Envelope => {
  const { reproducible, scenario } = execution
  const runs = outputs.map(({ result }) => result)
  const frames = runs.reduce((sum, result) => sum + result.frames.delivered, 0)
  return {
    schemaVersion: SCHEMA_VERSION,
    kind: "run",
    scenario: scenario.name,
    version,
    seed: scenario.base.seed,
    settings: { ...scenario.base, runs: scenario.overrides },
    runs,
    ...(reproducible ? {} : { wall: { seconds: wallSeconds, framesPerSecond: frames / wallSeconds } })
  }
}

/** A run for a worker, with the capture that it replays: whether that is any good is known before anything runs. */
const requestOf = Effect.fnUntraced(function* ({ name, scenario }: ResolvedRun, keepFrames: boolean) {
  const { seed, traffic } = scenario
  const capture = traffic.kind === "replay" ? yield* readCaptureFile(traffic.capture) : undefined
  return { name, scenario, seed, keepFrames, ...(capture === undefined ? {} : { capture }) }
})

/** Frames may be written neither over the capture that they come from nor over the results. */
const refuseOverwriting = Effect.fnUntraced(function* ({ json, out, runs }: Execution) {
  if (out === undefined) return
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const whole = (file: string) => files.realPath(file).pipe(Effect.orElseSucceed(() => path.resolve(file)))
  const target = yield* whole(out)
  const refusal = (reason: string) => new FlagInvalid({ flag: "--out", reason })
  if (json !== undefined && (yield* whole(json)) === target) return yield* refusal("is the same file as --json")
  for (const { scenario } of runs) {
    if (scenario.traffic.kind !== "replay" || (yield* whole(scenario.traffic.capture)) !== target) continue
    return yield* refusal("is the capture that is replayed")
  }
})

/** Runs everything, writes what was asked for, prints the table, and fails if a run or a check did. */
export const execute = Effect.fnUntraced(function* (execution: Execution) {
  const { json, out, runs } = execution
  yield* refuseOverwriting(execution)
  const requests = yield* Effect.forEach(runs, (run) => requestOf(run, out !== undefined))
  const jsonFile = json === undefined || json === "-" ? undefined : yield* openOutput(json)
  const outFile = out === undefined ? undefined : yield* openOutput(out)

  const startedMs = performance.now()
  const results = yield* Effect.scoped(
    Effect.gen(function* () {
      const names = runs.map(({ name }) => name)
      const onProgress = yield* progressLine(names, !execution.quiet)
      return yield* runAll(requests, onProgress)
    })
  )
  const wallSeconds = (performance.now() - startedMs) / 1000
  const outputs: Array<RunOutput> = []
  const failures: Array<RunFailed> = []
  for (const result of results) {
    if (Result.isSuccess(result)) outputs.push(result.success)
    else failures.push(result.failure)
  }

  const envelope = envelopeOf(execution, outputs, wallSeconds)
  const text = JSON.stringify(envelope, null, 2)
  // Files first: whoever reads the table may close the pipe.
  const isWhole = failures.length === 0
  if (jsonFile !== undefined && isWhole) yield* jsonFile.commit(`${text}\n`)
  const delivered = outputs[0]?.delivered
  if (outFile !== undefined && isWhole && delivered !== undefined) yield* outFile.commit(delivered)
  if (json === "-") yield* Console.log(text)
  else if (!execution.quiet && outputs.length > 0) yield* Console.log(renderTable(envelope, NEXT))
  if (!isWhole) return yield* new RunsFailed({ failures })
  const findings = failedChecks(envelope.runs)
  if (findings.length > 0) return yield* new CheckFailed({ findings })
}, Effect.scoped)
