/**
 * A simulated world as an Effect service: its plain objects for the packages that are built on it, and the
 * run, which is stepped in slices so that progress, time-outs and interruption work between them.
 *
 * Virtual time has nothing to do with Effect's Clock.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { findMisfit, makeSimulation, type SimulationCore, type SimulationOptions } from "./core/simulation.ts"
import { HostDoesNotFit } from "./Errors.ts"

export type { LedgerEdge } from "./core/ledgerEdges.ts"
export { RUN_SECONDS_MAX } from "./core/timeline.ts"
export type { SimulationCore, SimulationOptions } from "./core/simulation.ts"

export interface SimulationShape {
  /** The same world for hot loops and for the packages above. */
  readonly core: SimulationCore
  /** Sets when the run ends, in picoseconds of virtual time; not before now. */
  readonly setEnd: (endPs: number) => Effect.Effect<void>
  /** Runs the next slice of events; false when the end is reached. Yield between slices. */
  readonly runSlice: Effect.Effect<boolean>
  /** Runs to `endPs`, yielding between slices. */
  readonly runUntil: (endPs: number) => Effect.Effect<void>
  /** Virtual time, in picoseconds. */
  readonly now: Effect.Effect<number>
  /** Events run since the beginning. */
  readonly eventsRun: Effect.Effect<number>
}

const make = Effect.fn("Simulation.make")(function* (options: SimulationOptions) {
  const misfit = findMisfit(options)
  if (misfit !== undefined) return yield* new HostDoesNotFit(misfit)
  const core = makeSimulation(options)
  const runSlice = Effect.sync(() => core.run.runSlice())
  const setEnd = (endPs: number) => Effect.sync(() => core.run.setEnd(endPs))
  return {
    core,
    setEnd,
    runSlice,
    runUntil: Effect.fnUntraced(function* (endPs: number) {
      yield* setEnd(endPs)
      while (yield* runSlice) yield* Effect.yieldNow
    }),
    now: Effect.sync(() => core.timeline.nowPs),
    eventsRun: Effect.sync(() => core.timeline.eventsRun)
  } satisfies SimulationShape
})

/** One simulated world. */
export class Simulation extends Context.Service<Simulation, SimulationShape>()("@vnic/sim/Simulation") {
  /** An empty world at time 0. */
  static readonly layer = (options: SimulationOptions): Layer.Layer<Simulation, HostDoesNotFit> =>
    Layer.effect(this, make(options))
}
