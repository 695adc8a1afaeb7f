/** `vnic contention`. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type ContentionEnvelope, settingsResult } from "../contention/contentionResult.ts"
import { renderContention } from "../contention/contentionTable.ts"
import { plotSpec } from "../contention/plot.ts"
import { checkRoom } from "../contention/room.ts"
import { settingsOf } from "../contention/settings.ts"
import { type Forecast, runStudy } from "../contention/study.ts"
import { FlagInvalid } from "../Errors.ts"
import { progressLine } from "../node/progress.ts"
import { STANDARD } from "../node/stdin.ts"
import { version } from "../node/version.ts"
import { SCHEMA_VERSION } from "../Result.ts"
import { openFlag, refuseOverwriting } from "./outputs.ts"

/** Flags of `vnic contention`. */
export interface ContentionInput {
  readonly line: Option.Option<string>
  readonly threads: Option.Option<string>
  readonly ops: Option.Option<string>
  readonly pattern: Option.Option<string>
  readonly granule: Option.Option<string>
  readonly direction: Option.Option<string>
  readonly maskBits: Option.Option<string>
  readonly delay: Option.Option<string>
  readonly flush: Option.Option<string>
  readonly profile: Option.Option<string>
  readonly seed: Option.Option<string>
  readonly exact: boolean
  readonly json: Option.Option<string>
  readonly plot: Option.Option<string>
  readonly reproducible: boolean
  readonly quiet: boolean
}

/** Settings that can be run. */
const checkedSettings = (input: ContentionInput) =>
  Effect.suspend(() => {
    const optional = Object.entries(input).map(([name, value]) => [
      name,
      Option.isOption(value) ? Option.getOrUndefined<unknown>(value) : value
    ])
    try {
      const settings = settingsOf(Object.fromEntries(optional))
      checkRoom(settings)
      return Effect.succeed(settings)
    } catch (error) {
      return error instanceof FlagInvalid ? Effect.fail(error) : Effect.die(error)
    }
  })

const checkPlot = Effect.fnUntraced(function* (plot: string | undefined, json: string | undefined) {
  if (plot !== undefined && !/\.(?:svg|png)$/iu.test(plot)) {
    return yield* new FlagInvalid({ flag: "--plot", reason: `${plot} is neither .svg nor .png` })
  }
  yield* refuseOverwriting([
    { name: "--json", file: json },
    { name: "--plot", file: plot }
  ])
})

const MINUTE_SECONDS = 60
const HOUR_SECONDS = 3600

const duration = (seconds: number): string => {
  if (seconds < 2 * MINUTE_SECONDS) return `${Math.ceil(seconds)} s`
  return seconds < 2 * HOUR_SECONDS
    ? `${Math.round(seconds / MINUTE_SECONDS)} min`
    : `${Math.round(seconds / HOUR_SECONDS)} h`
}

const announce = ({ pairs, points, wallSeconds }: Forecast): void => {
  const count = points === 1 ? "1 point" : `${points} points`
  console.error(`${pairs.toLocaleString("en")} pairs in ${count}, about ${duration(wallSeconds)}`)
}

const drawn = Effect.fnUntraced(function* (envelope: ContentionEnvelope, file: string) {
  const { toPng, toSvg } = yield* Effect.promise(() => import("../node/plots.ts"))
  const svg = yield* Effect.promise(() => toSvg(plotSpec(envelope)))
  return /\.png$/iu.test(file) ? toPng(svg) : `${svg}\n`
})

/** Runs a study, writes what was asked for, and prints the table. */
export const contentionCommand = Effect.fnUntraced(function* (input: ContentionInput) {
  const json = Option.getOrUndefined(input.json)
  const plot = Option.getOrUndefined(input.plot)
  const settings = yield* checkedSettings(input)
  yield* checkPlot(plot, json)
  const jsonFile = yield* openFlag("--json", json)
  const plotFile = yield* openFlag("--plot", plot)

  const startedMs = performance.now()
  const { points, refused } = yield* Effect.scoped(
    Effect.gen(function* () {
      const onProgress = yield* progressLine(["contention"], !input.quiet)
      return yield* runStudy(settings, {
        onProgress: (fraction) => onProgress(0, fraction),
        onForecast: announce
      })
    })
  )
  const envelope: ContentionEnvelope = {
    schemaVersion: SCHEMA_VERSION,
    kind: "contention",
    version,
    seed: settings.seed,
    settings: settingsResult(settings),
    points,
    refused,
    ...(input.reproducible ? {} : { wall: { seconds: (performance.now() - startedMs) / 1000 } })
  }
  const text = JSON.stringify(envelope, null, 2)
  // Files first: whoever reads the table may close the pipe.
  if (jsonFile !== undefined) yield* jsonFile.commit(`${text}\n`)
  if (plotFile !== undefined) yield* plotFile.commit(yield* drawn(envelope, plot!))
  if (json !== STANDARD && !input.quiet) yield* Console.log(renderContention(envelope))
}, Effect.scoped)
