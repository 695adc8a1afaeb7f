/**
 * Fits the one constant of a profile that may be fitted: the hypercall, to a published goodput of
 * map-per-packet. What is compared with the published figure is the mean goodput over the seeds.
 */
import type { ProfileValues } from "@vnic/sim"
import * as Effect from "effect/Effect"
import { segmentBytesOf } from "./Frames.ts"
import { type RunError, runScenario } from "./Run.ts"
import type { RunResult } from "./Result.ts"
import type { ResolvedScenario } from "./Scenario.ts"

const PS_PER_NS = 1000
const BITS = 8
/** Two buffers a frame, each mapped once and unmapped once. */
const OPERATIONS_PER_FRAME = 4
/** A fit is good when the goodput is so near to its target, as a share of it. */
const TOLERANCE = 1e-4
const STEPS_MAX = 8

export interface FitOptions {
  /** map-per-packet in a closed loop; its window and warm-up are what each run of the fit takes. */
  readonly scenario: ResolvedScenario
  readonly targetGbps: number
  readonly seeds: ReadonlyArray<number>
  /** Other constants of the profile that are replaced. */
  readonly profileChanges?: Partial<ProfileValues>
  /** Where the search begins. */
  readonly startPs: number
}

export interface Fit {
  /** Whole nanoseconds. */
  readonly hypercallPs: number
  /** The mean goodput over the seeds, at that value. */
  readonly goodputGbps: number
  /** The same at the hypercall where the search began. */
  readonly startGbps: number
  /** False: no hypercall, however short, gives the target. */
  readonly isConverged: boolean
  /** The runs at that value. */
  readonly runs: ReadonlyArray<RunResult>
}

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, one) => sum + one, 0) / values.length

const wholeNanoseconds = (durationPs: number): number => Math.max(0, Math.round(durationPs / PS_PER_NS)) * PS_PER_NS

const goodputAt = Effect.fnUntraced(function* (options: FitOptions, hypercallPs: number) {
  const { scenario, seeds } = options
  const profileChanges = { ...options.profileChanges, hypercall: hypercallPs }
  const runs = yield* Effect.forEach(seeds, (seed) =>
    runScenario(scenario, { seed, payloadCheck: "line", profileChanges })
  )
  return { runs, goodputGbps: mean(runs.map(({ goodputGbps }) => goodputGbps)) }
})

/**
 * The hypercall at which the mean over the seeds is the target, by steps on the time between frames, which
 * grows with the hypercall by nearly as much for each operation. What a change of a nanosecond makes is as
 * small as the noise of a short run, so no slope is taken from two runs, and a search that comes back to where
 * it was has found what there is.
 */
export const fitHypercall = (options: FitOptions): Effect.Effect<Fit, RunError> =>
  Effect.gen(function* () {
    const bitsPerFrame = segmentBytesOf(options.scenario) * BITS
    const intervalPs = (gbps: number): number => (bitsPerFrame * PS_PER_NS) / gbps
    const targetPs = intervalPs(options.targetGbps)
    let hypercallPs = wholeNanoseconds(options.startPs)
    let startGbps = 0
    const tried = new Set<number>()
    for (let step = 1; ; step++) {
      const { goodputGbps, runs } = yield* goodputAt(options, hypercallPs)
      const atPs = intervalPs(goodputGbps)
      if (tried.size === 0) startGbps = goodputGbps
      tried.add(hypercallPs)
      const nextPs = wholeNanoseconds(hypercallPs + (targetPs - atPs) / OPERATIONS_PER_FRAME)
      const isNear = Math.abs(goodputGbps / options.targetGbps - 1) < TOLERANCE
      const isSettled = tried.has(nextPs)
      if (isNear || isSettled || step === STEPS_MAX) {
        const isConverged = isNear || (isSettled && hypercallPs > 0)
        return { hypercallPs, goodputGbps, startGbps, isConverged, runs }
      }
      hypercallPs = nextPs
    }
  })
