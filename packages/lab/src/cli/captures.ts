/** Captures that runs replay: which files they are, and what is wrong with them, before anything runs. */
import { formatQuantity, rateQuantity } from "@vnic/sim"
import { type Capture, type CaptureInvalid, findReplayMisfit } from "@vnic/traffic"
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import { type InputUnreadable, type Problem, ScenarioInvalid } from "../Errors.ts"
import { readCaptureFile, readCaptureStdin } from "../node/captures.ts"
import { STANDARD } from "../node/stdin.ts"
import type { ResolvedRun, Scenario } from "../Scenario.ts"

const SETTING = "traffic.capture"

/** A capture that has been read. */
interface CaptureFile {
  readonly bytes: Uint8Array
  readonly capture: Capture
}

/** As many in a number that can be read, and not fewer. */
const readableAbove = (count: number): number => {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(count)) - 2)
  return Math.ceil(count / step) * step
}

/** What is wrong with the rate at which a run replays a capture. */
const rateProblem = ({ problem, scenario: { link, traffic } }: ResolvedRun, { capture }: CaptureFile) => {
  const misfit = traffic.kind === "replay" ? findReplayMisfit(capture, link, traffic) : undefined
  if (misfit === undefined || traffic.kind !== "replay") return undefined
  const { rateBitsPerSecond: rate } = traffic
  const remedy =
    typeof rate === "number"
      ? `${formatQuantity(rateQuantity, readableAbove((rate * misfit.asked) / misfit.limit))} would do`
      : "use another rate"
  const written = typeof rate === "number" ? formatQuantity(rateQuantity, rate) : rate
  const seconds = Math.ceil(misfit.asked).toLocaleString("en")
  const message = `${written} takes ${seconds} simulated seconds, and time ends at ${misfit.limit}; ${remedy}`
  return problem("traffic.rate", message)
}

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
  const read = new Map<string, Result.Result<CaptureFile, InputUnreadable | CaptureInvalid>>()
  const problems = new Map<string, Problem>()
  const captures: Array<Uint8Array | undefined> = []
  const files = yield* captureFilesOf(scenario, runs)
  for (const [index, run] of runs.entries()) {
    const file = files[index]
    if (file !== undefined && !read.has(file)) read.set(file, yield* Effect.result(readCaptureFile(file)))
    const result = file === undefined ? undefined : read.get(file)!
    captures.push(result !== undefined && Result.isSuccess(result) ? result.success.bytes : undefined)
    if (result === undefined) continue
    const problem = Result.isSuccess(result)
      ? rateProblem(run, result.success)
      : run.problem(SETTING, result.failure.message)
    if (problem !== undefined) problems.set(`${problem.where} ${problem.path} ${file}`, problem)
  }
  if (problems.size > 0) return yield* new ScenarioInvalid({ problems: [...problems.values()] })
  return captures
})

/** The bytes of the capture that the command line names, `-` for standard input. */
export const readNamedCapture = Effect.fnUntraced(function* (file: string, run: ResolvedRun) {
  const read = yield* file === STANDARD ? readCaptureStdin : readCaptureFile(file)
  const problem = rateProblem(run, read)
  return problem === undefined ? read.bytes : yield* new ScenarioInvalid({ problems: [problem] })
})
