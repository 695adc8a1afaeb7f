/** Built-in scenarios and worlds of one's own, decoded, for tests that run them in this process. */
import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import { runScenario, type RunOptions } from "../../src/Run.ts"
import type { RunResult } from "../../src/Result.ts"
import { parseScenario, type ResolvedScenario } from "../../src/Scenario.ts"

/** The world of one run of a built-in scenario, with some settings changed. */
export const builtin = (name: string, run: string, settings: ReadonlyArray<string> = []): ResolvedScenario => {
  const text = readFileSync(new URL(`../../scenarios/${name}.yaml`, import.meta.url), "utf8")
  const { runs } = Effect.runSync(parseScenario(text, `${name}.yaml`, settings))
  return runs.find((one) => one.name === run)!.scenario
}

/** The world of a scenario given as data, as it would be written. */
export const world = (written: object): ResolvedScenario =>
  Effect.runSync(parseScenario(JSON.stringify(written), "test")).runs[0]!.scenario

/** Runs a scenario in this process; every byte is checked. */
export const runOf = (scenario: ResolvedScenario, options: Partial<RunOptions> = {}): Promise<RunResult> =>
  Effect.runPromise(runScenario(scenario, { seed: scenario.seed, payloadCheck: "all", ...options }))

export const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, one) => sum + one, 0) / values.length
