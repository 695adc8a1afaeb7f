/**
 * How much each assumed constant of a profile matters: it is changed within its range, the hypercall is
 * fitted again, and what the strategies then deliver is put side by side. The same for lines of the contention
 * study, which take the hypercall that was fitted.
 */
import type { ConstantName, Profile, ProfileValues } from "@vnic/sim"
import * as Effect from "effect/Effect"
import { fitHypercall } from "./Calibration.ts"
import { runPoint } from "./contention/point.ts"
import { settingsOf } from "./contention/settings.ts"
import type { RunFailed } from "./Errors.ts"
import { type RunError, runScenario } from "./Run.ts"
import type { RunResult } from "./Result.ts"
import type { ResolvedScenario } from "./Scenario.ts"

const PS_PER_SECOND = 1e12

/** One constant at one value. */
export interface Variant {
  readonly constant: ConstantName
  readonly value: number
  /** How the value came about: `low` and `high` are the ends of the range. */
  readonly change: "low" | "half" | "double" | "high"
}

export interface Outcome {
  /** Goodput of map-per-packet before the hypercall was fitted again, and after. */
  readonly unfittedGbps: number
  readonly fittedGbps: number
  readonly fittedHypercallPs: number
  readonly isConverged: boolean
  /** Both at the fitted hypercall. */
  readonly mapPerPacket: RunResult
  readonly pageChunk: RunResult
}

export interface SensitivityOptions {
  readonly mapPerPacket: ResolvedScenario
  readonly pageChunk: ResolvedScenario
  readonly targetGbps: number
  readonly seed: number
  /** The hypercall where each fit begins: the profile's own. */
  readonly startPs: number
}

/** What no run spends: other allocators than the bitmap do, and the threads of the contention study. */
const NOT_SPENT: ReadonlySet<ConstantName> = new Set<ConstantName>([
  "treeSearch",
  "treeVisit",
  "magazineOperation",
  "constantAllocation",
  "benchmarkLoop"
])

/** Names of the assumed constants, those with tag E, that a run with the bitmap spends. */
export const assumedConstants = ({ constants }: Profile): ReadonlyArray<ConstantName> =>
  (Object.keys(constants) as Array<ConstantName>).filter((name) => constants[name].tag === "E" && !NOT_SPENT.has(name))

/**
 * Each assumed constant at half and at twice its value, or at the end of its range where that is nearer; a
 * constant of 0 has only ends. With `ends` also at both ends.
 */
export const variantsOf = (profile: Profile, ends: boolean): ReadonlyArray<Variant> =>
  assumedConstants(profile).flatMap((constant) => {
    const { range, unit, value } = profile.constants[constant]
    const [low, high] = range!
    const whole = (one: number): number => (unit === "share" ? one : Math.round(one))
    const half: Variant = { constant, value: whole(Math.max(low, value / 2)), change: "half" }
    const double: Variant = { constant, value: whole(Math.min(high, value * 2)), change: "double" }
    const wanted: ReadonlyArray<Variant> =
      ends || value === 0
        ? [{ constant, value: low, change: "low" }, half, double, { constant, value: high, change: "high" }]
        : [half, double]
    const seen = new Set([value])
    return wanted.filter((variant) => {
      const isNew = !seen.has(variant.value)
      seen.add(variant.value)
      return isNew
    })
  })

/** Fits the hypercall again under these changes and runs both strategies with it. */
export const outcomeOf = (
  options: SensitivityOptions,
  profileChanges: Partial<ProfileValues>
): Effect.Effect<Outcome, RunError> =>
  Effect.gen(function* () {
    const { mapPerPacket: scenario, seed, startPs, targetGbps } = options
    const fit = yield* fitHypercall({ scenario, targetGbps, seeds: [seed], startPs, profileChanges })
    const pageChunk = yield* runScenario(options.pageChunk, {
      seed,
      payloadCheck: "line",
      profileChanges: { ...profileChanges, hypercall: fit.hypercallPs }
    })
    return {
      unfittedGbps: fit.startGbps,
      fittedGbps: fit.goodputGbps,
      fittedHypercallPs: fit.hypercallPs,
      isConverged: fit.isConverged,
      mapPerPacket: fit.runs[0]!,
      pageChunk
    }
  })

/** Lines and numbers of threads that are looked at. */
export interface ContentionSample {
  readonly lines: ReadonlyArray<string>
  readonly threads: ReadonlyArray<number>
  /** Pairs of each thread. */
  readonly ops: number
}

/** What a pair takes each thread under these changes, in picoseconds: for each line, for each number of threads. */
export const pairTimesOf = (
  { lines, ops, threads }: ContentionSample,
  profileChanges: Partial<ProfileValues>
): Effect.Effect<ReadonlyArray<ReadonlyArray<number>>, RunFailed> => {
  const settings = settingsOf({ line: lines.join(","), threads: threads.join(","), ops })
  return Effect.forEach(lines, (name) =>
    Effect.forEach(settings.threads, (count) => {
      const line = settings.lines.find((one) => one.name === name)!
      const outcome = runPoint({ line, threads: count, settings, mode: "sample", profileChanges })
      return Effect.map(outcome, ({ found }) => (found.seconds / ops) * PS_PER_SECOND)
    })
  )
}
