/** Captures that runs replay: which files they are, and what is wrong with them, before anything runs. */
import type { CaptureInvalid } from "@vnic/traffic"
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import { type InputUnreadable, type Problem, ScenarioInvalid } from "../Errors.ts"
import { readCaptureFile, readCaptureStdin } from "../node/captures.ts"
import { STANDARD } from "../node/stdin.ts"
import type { ResolvedRun, Scenario } from "../Scenario.ts"

const SETTING = "traffic.capture"

/** A capture that is named in a scenario file lies beside that file; others, where the command runs. */
const captureFileOf = Effect.fnUntraced(function* ({ source }: Scenario, run: ResolvedRun) {
  const path = yield* Path.Path
  const { traffic } = run.scenario
  if (traffic.kind !== "replay") return undefined
  const isInFile = run.locate(SETTING).startsWith(`${source.fileName}:`)
  if (!isInFile || path.isAbsolute(traffic.capture)) return traffic.capture
  return path.join(path.dirname(source.fileName), traffic.capture)
})

/** The file of each run's capture, in the order of the runs. */
export const captureFilesOf = (scenario: Scenario, runs: ReadonlyArray<ResolvedRun>) =>
  Effect.forEach(runs, (run) => captureFileOf(scenario, run))

/** The bytes of each run's capture, in the order of the runs; all problems are reported, where they are written. */
export const readCaptures = Effect.fnUntraced(function* (scenario: Scenario, runs: ReadonlyArray<ResolvedRun>) {
  const read = new Map<string, Result.Result<Uint8Array, InputUnreadable | CaptureInvalid>>()
  const problems = new Map<string, Problem>()
  const captures: Array<Uint8Array | undefined> = []
  const files = yield* captureFilesOf(scenario, runs)
  for (const [index, run] of runs.entries()) {
    const file = files[index]
    if (file !== undefined && !read.has(file)) read.set(file, yield* Effect.result(readCaptureFile(file)))
    const result = file === undefined ? undefined : read.get(file)!
    captures.push(result !== undefined && Result.isSuccess(result) ? result.success : undefined)
    if (result === undefined || Result.isSuccess(result)) continue
    const where = run.locate(SETTING)
    problems.set(`${where} ${file}`, { where, path: SETTING, message: result.failure.message })
  }
  if (problems.size > 0) return yield* new ScenarioInvalid({ problems: [...problems.values()] })
  return captures
})

/** The bytes of the capture that the command line names, `-` for standard input. */
export const readNamedCapture = (file: string) => (file === STANDARD ? readCaptureStdin : readCaptureFile(file))
