/**
 * How much each assumed constant of a profile matters: it is changed within its range, the hypercall is
 * fitted again, and what the strategies then deliver is put side by side.
 */
import type { ConstantName, Profile, ProfileValues } from "@vnic/sim"
import * as Effect from "effect/Effect"
import { fitHypercall } from "./Calibration.ts"
import { type RunError, runScenario } from "./Run.ts"
import type { RunResult } from "./Result.ts"
import type { ResolvedScenario } from "./Scenario.ts"

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

/** What only allocators spend that the study does not use: it runs with the bitmap. */
const OTHER_ALLOCATORS: ReadonlySet<ConstantName> = new Set<ConstantName>([
  "treeSearch",
  "treeVisit",
  "magazineOperation",
  "constantAllocation"
])

/** Names of the assumed constants, those with tag E, that a run with the bitmap spends. */
export const assumedConstants = ({ constants }: Profile): ReadonlyArray<ConstantName> =>
  (Object.keys(constants) as Array<ConstantName>).filter(
    (name) => constants[name].tag === "E" && !OTHER_ALLOCATORS.has(name)
  )

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
