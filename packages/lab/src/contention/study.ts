/** A study: all points of all lines, one after the other. */
import * as Effect from "effect/Effect"
import { RunFailed } from "../Errors.ts"
import type { Point, Refusal } from "./contentionResult.ts"
import { type PointRequest, SECONDS_MAX } from "./meter.ts"
import { runPoint } from "./point.ts"
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
  /** Points whose samples were given up. */
  readonly unsettled: ReadonlyArray<Point>
  readonly refused: ReadonlyArray<Refusal>
}

const isRefusal = (outcome: Point | Refusal): outcome is Refusal => !("pairs" in outcome)

const tooLong = ({ line, seconds, threads }: Refusal): RunFailed =>
  new RunFailed({
    run: `of ${line} with ${inThreads(threads)}`,
    reason: `it would take ${Math.round(seconds)} simulated seconds, and time ends at ${SECONDS_MAX}; use fewer --ops`
  })

const requestsOf = (settings: Settings): ReadonlyArray<Omit<PointRequest, "isSampled">> =>
  settings.lines.flatMap((line) => settings.threads.map((threads) => ({ line, threads, settings })))

const runAll = Effect.fnUntraced(function* (settings: Settings, isSampled: boolean, hooks: StudyHooks) {
  const requests = requestsOf(settings)
  const points: Array<Point> = []
  const refused: Array<Refusal> = []
  const walls: Array<number> = []
  for (const [index, request] of requests.entries()) {
    const startedMs = performance.now()
    const onProgress = (fraction: number): void => hooks.onProgress?.((index + fraction) / requests.length)
    const outcome = yield* runPoint({ ...request, isSampled, onProgress })
    walls.push((performance.now() - startedMs) / 1000)
    if (isRefusal(outcome)) refused.push(outcome)
    else points.push(outcome)
    hooks.onProgress?.((index + 1) / requests.length)
  }
  return { points, refused, walls }
})

/** Samples every point, to know what simulating them whole would take. */
const forecast = Effect.fnUntraced(function* (settings: Settings, hooks: StudyHooks) {
  const { points, refused, walls } = yield* runAll(settings, true, {})
  const [first] = refused
  if (first !== undefined) return yield* tooLong(first)
  hooks.onForecast?.({
    points: points.length,
    pairs: points.reduce((sum, point) => sum + point.pairs, 0),
    // A sample takes about as many pairs again to warm up.
    wallSeconds: points.reduce((sum, { pairs, pairsSimulated }, index) => {
      const share = Math.max(1, pairs / (2 * pairsSimulated))
      return sum + walls[index]! * share
    }, 0)
  })
})

/** Runs all points. Those that would take too long are refused; a study of which nothing is left fails. */
export const runStudy = Effect.fnUntraced(function* (settings: Settings, hooks: StudyHooks) {
  if (settings.isExact) yield* forecast(settings, hooks)
  const { points: all, refused } = yield* runAll(settings, !settings.isExact, hooks)
  const [first] = refused
  if (all.length === 0 && first !== undefined) return yield* tooLong(first)
  const points = all.filter(({ isSettled }) => isSettled)
  const result: StudyResult = { points, unsettled: all.filter(({ isSettled }) => !isSettled), refused }
  return result
})
