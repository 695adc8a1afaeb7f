/** A study: all points of all lines, one after the other. */
import { RUN_SECONDS_MAX } from "@vnic/sim"
import * as Effect from "effect/Effect"
import { RunFailed } from "../Errors.ts"
import type { Point, Refusal } from "./contentionResult.ts"
import type { PointRequest } from "./meter.ts"
import { type Outcome, runPoint } from "./point.ts"
import { inThreads, type Settings } from "./settings.ts"

/** What a study tells while it runs. */
export interface StudyHooks {
  /** How far it is, as a share of its points. */
  readonly onProgress?: (fraction: number) => void
  /** How many pairs an exact study simulates, and about how many seconds of wall time that takes. */
  readonly onForecast?: (forecast: Forecast) => void
}

/** What an exact study has before it. */
export interface Forecast {
  readonly points: number
  readonly pairs: number
  readonly wallSeconds: number
}

/** What a study found. */
export interface StudyResult {
  readonly points: ReadonlyArray<Point>
  readonly refused: ReadonlyArray<Refusal>
}

const isRefusal = (outcome: Point | Refusal): outcome is Refusal => !("pairs" in outcome)

const tooLong = ({ line, seconds, threads }: Refusal): RunFailed =>
  new RunFailed({
    run: `of ${line} with ${inThreads(threads)}`,
    reason:
      `it would take ${Math.round(seconds)} simulated seconds, and time ends at ${RUN_SECONDS_MAX}; ` +
      "use fewer --ops"
  })

type Request = Omit<PointRequest, "mode">

const requestsOf = (settings: Settings): ReadonlyArray<Request> =>
  settings.lines.flatMap((line) => settings.threads.map((threads) => ({ line, threads, settings })))

const runAll = Effect.fnUntraced(function* (
  requests: ReadonlyArray<Request>,
  mode: PointRequest["mode"],
  hooks: StudyHooks
) {
  const outcomes: Array<Outcome> = []
  for (const [index, request] of requests.entries()) {
    const onProgress = (fraction: number): void => hooks.onProgress?.((index + fraction) / requests.length)
    outcomes.push(yield* runPoint({ ...request, mode, onProgress }))
    hooks.onProgress?.((index + 1) / requests.length)
  }
  return outcomes
})

/** Watches every point for a while, to know which can be simulated whole and what that would take. */
const forecast = Effect.fnUntraced(function* (requests: ReadonlyArray<Request>, hooks: StudyHooks) {
  const outcomes = yield* runAll(requests, "guess", {})
  const refused = outcomes.map(({ found }) => found).filter(isRefusal)
  const possible = requests.filter((_, index) => !isRefusal(outcomes[index]!.found))
  const pairsOf = ({ settings, threads }: Request): number => threads * settings.ops
  if (possible.length > 0) {
    hooks.onForecast?.({
      points: possible.length,
      pairs: possible.reduce((sum, request) => sum + pairsOf(request), 0),
      wallSeconds: requests.reduce((sum, request, index) => {
        const { found, pairWallMs } = outcomes[index]!
        return isRefusal(found) ? sum : sum + (pairsOf(request) * pairWallMs) / 1000
      }, 0)
    })
  }
  return { refused, possible }
})

/** Runs all points. Those that would take too long are refused; a study of which nothing is left fails. */
export const runStudy = Effect.fnUntraced(function* (settings: Settings, hooks: StudyHooks) {
  const requests = requestsOf(settings)
  const { possible, refused } = settings.isExact
    ? yield* forecast(requests, hooks)
    : { possible: requests, refused: [] }
  const found = (yield* runAll(possible, settings.isExact ? "exact" : "sample", hooks)).map((outcome) => outcome.found)
  const result: StudyResult = {
    points: found.filter((one) => !isRefusal(one)),
    refused: [...refused, ...found.filter(isRefusal)]
  }
  const [first] = result.refused
  if (result.points.length === 0 && first !== undefined) return yield* tooLong(first)
  return result
})
