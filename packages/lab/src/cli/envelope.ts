/** What `run` and `replay` write with `--json`: the results of the runs that ended, and what stopped the others. */
import * as Result from "effect/Result"
import type { RunFailed } from "../Errors.ts"
import { version } from "../node/version.ts"
import { type Envelope, type RunResult, SCHEMA_VERSION } from "../Result.ts"
import type { Scenario } from "../Scenario.ts"

/** The envelope of a scenario's runs; without wall-clock time where that is not wanted. */
export const envelopeOf = (
  scenario: Scenario,
  results: ReadonlyArray<Result.Result<{ readonly result: RunResult }, RunFailed>>,
  wallSeconds: number | undefined
): Envelope => {
  const runs = results.filter(Result.isSuccess).map(({ success }) => success.result)
  const failures = results.filter(Result.isFailure).map(({ failure }) => failure)
  const frames = runs.reduce((sum, result) => sum + result.frames.delivered, 0)
  return {
    schemaVersion: SCHEMA_VERSION,
    kind: "run",
    scenario: scenario.name,
    version,
    seed: scenario.base.seed,
    settings: { ...scenario.base, runs: scenario.overrides },
    runs,
    failed: failures.map(({ reason, run }) => ({ name: run, reason })),
    ...(wallSeconds === undefined ? {} : { wall: { seconds: wallSeconds, framesPerSecond: frames / wallSeconds } })
  }
}
