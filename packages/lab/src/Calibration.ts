/**
 * Fits the one constant of a profile that may be fitted: the hypercall, to a published goodput of
 * map-per-packet.
 *
 * What is compared with the published figure is the goodput in the long run. Streams send a window at a
 * time, all together 1 MiB in bursts some milliseconds apart, so the goodput of a window of 50 ms depends by
 * 1 % on how many bursts it happens to hold. The lock never rests, though, and a frame costs four operations
 * under it, two maps and two unmaps: their rate is the same in every window and tells the same goodput.
 */
import type { ProfileValues } from "@vnic/sim"
import * as Effect from "effect/Effect"
import { segmentBytesOf, windowPsOf } from "./Frames.ts"
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
  /** The mean of the long-run goodput over the seeds, at that value. */
  readonly goodputGbps: number
  /** The same at the hypercall where the search began. */
  readonly startGbps: number
  /** False: no hypercall, however short, gives the target. */
  readonly isConverged: boolean
  /** The runs at that value. */
  readonly runs: ReadonlyArray<RunResult>
}

/** Goodput of map-per-packet in the long run, by the operations of a measured window. */
export const longRunGoodputGbps = (scenario: ResolvedScenario, { dma }: RunResult): number => {
  const frames = (dma.maps + dma.unmaps) / OPERATIONS_PER_FRAME
  return (frames * segmentBytesOf(scenario) * BITS * PS_PER_NS) / windowPsOf(scenario)
}

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, one) => sum + one, 0) / values.length

const wholeNanoseconds = (durationPs: number): number => Math.max(0, Math.round(durationPs / PS_PER_NS)) * PS_PER_NS

const goodputAt = Effect.fnUntraced(function* (options: FitOptions, hypercallPs: number) {
  const { scenario, seeds } = options
  const profileChanges = { ...options.profileChanges, hypercall: hypercallPs }
  const runs = yield* Effect.forEach(seeds, (seed) =>
    runScenario(scenario, { seed, payloadCheck: "line", profileChanges })
  )
  return { runs, goodputGbps: mean(runs.map((run) => longRunGoodputGbps(scenario, run))) }
})

/**
 * The hypercall at which the mean over the seeds is the target: a secant search on the time between frames,
 * which grows with the hypercall by nearly as much for each operation.
 */
export const fitHypercall = (options: FitOptions): Effect.Effect<Fit, RunError> =>
  Effect.gen(function* () {
    const bitsPerFrame = segmentBytesOf(options.scenario) * BITS
    const intervalPs = (gbps: number): number => (bitsPerFrame * PS_PER_NS) / gbps
    const targetPs = intervalPs(options.targetGbps)
    let hypercallPs = wholeNanoseconds(options.startPs)
    let slope = OPERATIONS_PER_FRAME
    let startGbps = 0
    let previous: { readonly hypercallPs: number; readonly atPs: number } | undefined
    for (let step = 1; ; step++) {
      const { goodputGbps, runs } = yield* goodputAt(options, hypercallPs)
      const atPs = intervalPs(goodputGbps)
      if (previous === undefined) startGbps = goodputGbps
      if (previous !== undefined && previous.hypercallPs !== hypercallPs) {
        slope = (atPs - previous.atPs) / (hypercallPs - previous.hypercallPs)
      }
      const nextPs = wholeNanoseconds(hypercallPs + (targetPs - atPs) / slope)
      const isNear = Math.abs(goodputGbps / options.targetGbps - 1) < TOLERANCE
      if (isNear || nextPs === hypercallPs || step === STEPS_MAX) {
        const isConverged = isNear || (nextPs === hypercallPs && hypercallPs > 0)
        return { hypercallPs, goodputGbps, startGbps, isConverged, runs }
      }
      previous = { hypercallPs, atPs }
      hypercallPs = nextPs
    }
  })
