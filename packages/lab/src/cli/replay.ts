/** `vnic replay`. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { replayScenario } from "../ReplayScenario.ts"
import { resolveRuns } from "../Scenario.ts"
import { execute } from "./execute.ts"

/** Arguments and flags of `vnic replay`. */
export interface ReplayInput {
  readonly capture: string
  readonly strategy: Option.Option<string>
  readonly rate: Option.Option<string>
  readonly out: Option.Option<string>
  readonly json: Option.Option<string>
}

/** Replays a capture through the device. */
export const replayCommand = Effect.fnUntraced(function* (input: ReplayInput) {
  const scenario = yield* replayScenario({
    capture: input.capture,
    strategy: Option.getOrUndefined(input.strategy),
    rate: Option.getOrUndefined(input.rate)
  })
  yield* execute({
    scenario,
    runs: resolveRuns(scenario),
    json: Option.getOrUndefined(input.json),
    out: Option.getOrUndefined(input.out),
    reproducible: false,
    quiet: false
  })
})
