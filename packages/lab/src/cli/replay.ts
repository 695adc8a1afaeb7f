/** `vnic replay`. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import { captureProblem } from "../CaptureCheck.ts"
import { CaptureInvalid } from "../Errors.ts"
import { reasonOf } from "../node/output.ts"
import type { Setting } from "../Overrides.ts"
import { parseScenario, resolveRuns } from "../Scenario.ts"
import { execute } from "./execute.ts"

/** Arguments and flags of `vnic replay`. */
export interface ReplayInput {
  readonly capture: string
  readonly strategy: Option.Option<string>
  readonly rate: Option.Option<string>
  readonly out: Option.Option<string>
  readonly json: Option.Option<string>
}

/** The default world, with a capture for traffic. */
const replayScenario = ({ capture, rate, strategy }: ReplayInput) => {
  const settings: Array<Setting> = []
  if (Option.isSome(rate)) settings.push({ flag: "--rate", text: `traffic.rate=${JSON.stringify(rate.value)}` })
  if (Option.isSome(strategy)) {
    settings.push({
      flag: "--strategy",
      text: `driver.strategy=${JSON.stringify(strategy.value)}`
    })
    if (strategy.value === "direct") settings.push("iommu.kind=none", "dma.backend=direct")
  }
  const traffic = { kind: "replay", capture }
  return parseScenario(JSON.stringify({ about: "Replay of a capture", traffic }), "replay", settings)
}

/** Replays a capture through the device. */
export const replayCommand = Effect.fnUntraced(function* (input: ReplayInput) {
  const scenario = yield* replayScenario(input)
  const files = yield* FileSystem.FileSystem
  const capture = yield* files
    .readFile(input.capture)
    .pipe(Effect.mapError((error) => new CaptureInvalid({ file: input.capture, reason: reasonOf(error) })))
  const problem = captureProblem(input.capture, capture)
  if (problem !== undefined) return yield* problem
  yield* execute({
    scenario,
    runs: resolveRuns(scenario),
    json: Option.getOrUndefined(input.json),
    out: Option.getOrUndefined(input.out),
    capture,
    reproducible: false,
    quiet: false
  })
})
