/** `vnic run`. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { RunNotFound } from "../Errors.ts"
import { readScenario } from "../node/builtin.ts"
import type { Setting } from "../Overrides.ts"
import { parseScenario, resolveRuns, runNames, type Scenario } from "../Scenario.ts"
import { execute } from "./execute.ts"

/** Arguments and flags of `vnic run`. */
export interface RunInput {
  readonly scenario: string
  readonly only: ReadonlyArray<string>
  readonly set: ReadonlyArray<string>
  readonly seed: Option.Option<string>
  readonly json: Option.Option<string>
  readonly reproducible: boolean
  readonly quiet: boolean
}

/** A number as it is written; what is none stays a text, and no digit of a long one is lost. */
const numberOf = (text: string): unknown => {
  if (/^\d+$/u.test(text) && !Number.isSafeInteger(Number(text))) return BigInt(text)
  return text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text)
}

/** Settings by `--set`, and by `--seed`, which is short for one. */
export const settingsOf = ({ seed, set }: Pick<RunInput, "set" | "seed">): ReadonlyArray<Setting> =>
  Option.match(seed, {
    onNone: () => set,
    onSome: (value) => [...set, { flag: "--seed", path: "seed", value: numberOf(value) }]
  })

const refuseUnknown = Effect.fnUntraced(function* (scenario: Scenario) {
  const known = runNames(scenario)
  const name = scenario.only.find((asked) => !known.includes(asked))
  if (name !== undefined) return yield* new RunNotFound({ name, scenario: scenario.name, known })
})

/** Runs a scenario file or a built-in scenario. */
export const runCommand = Effect.fnUntraced(function* (input: RunInput) {
  const { file, fileName, text } = yield* readScenario(input.scenario)
  const scenario = yield* parseScenario(text, fileName, settingsOf(input), input.only)
  yield* refuseUnknown(scenario)
  const { quiet, reproducible } = input
  yield* execute({
    scenario,
    file,
    runs: resolveRuns(scenario),
    json: Option.getOrUndefined(input.json),
    reproducible,
    quiet
  })
})
