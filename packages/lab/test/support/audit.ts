/**
 * A whole world under audit: after the run DMA debug must have found nothing (it sees every access of the device),
 * everything that was taken must have been given back, and every account must add up.
 */
import { Dma, SLOT_BYTES } from "@vnic/dma-api"
import { Iommu } from "@vnic/iommu"
import { NicDevice } from "@vnic/nic-device"
import { Simulation, type SimulationCore } from "@vnic/sim"
import { Traffic } from "@vnic/traffic"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type { RunResult } from "../../src/Result.ts"
import { runInWorld, type RunError, type RunOptions } from "../../src/Run.ts"
import type { ResolvedScenario } from "../../src/Scenario.ts"
import { simulationLayer, worldAbove, type WorldOptions } from "../../src/World.ts"

export interface AuditOptions extends Partial<RunOptions> {
  readonly seed: number
  /** The page allocation with this number fails. */
  readonly failAt?: number
  /** Events between two looks at the run, where not as shipped. */
  readonly sliceEvents?: number
}

export interface Audit {
  readonly result: RunResult
  /** Everything that is not as it must be; empty for a sound run. */
  readonly complaints: ReadonlyArray<string>
  /** Pages that were asked for from the beginning. */
  readonly allocations: number
}

/** The world's pages that its IOMMU keeps for itself. */
const pagesOfIommu = (scenario: ResolvedScenario, options: WorldOptions): number =>
  Effect.runSync(
    Effect.map(Simulation, ({ core }) => core.pages.pagesUsed).pipe(
      Effect.provide(
        Iommu.layer(scenario.iommu).pipe(Layer.provideMerge(simulationLayer(scenario, options))) as Layer.Layer<
          Simulation | Iommu
        >
      )
    )
  )

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0)

const complaintsAbout = Effect.fnUntraced(function* (scenario: ResolvedScenario, result: RunResult, pages: number) {
  const { cpus, frames, pages: allocator } = (yield* Simulation).core
  const traffic = (yield* Traffic).core
  const found = yield* (yield* Dma).findings
  const faults = yield* (yield* Iommu).faults
  const pinned = yield* (yield* Iommu).pinned
  const { rx } = (yield* NicDevice).core.counters()
  const complaints: Array<string> = []
  const expect = (what: string, is: number, must: number): void => {
    if (is !== must) complaints.push(`${what}: ${is}, not ${must}`)
  }
  const { checks, frames: counted } = result
  expect("frames offered", counted.offered, counted.delivered + sum(counted.dropped))
  expect("corrupt frames", checks.corruptFrames, 0)
  expect("leaked mappings", checks.leakedMappings, 0)
  expect("faults", faults.count, 0)
  expect("findings of DMA debug", found.length, 0)
  for (const finding of found.slice(0, 3)) complaints.push(JSON.stringify(finding))
  expect("frames still in the pool", frames.inUse, 0)
  expect("frames in the device", rx.inFlight, 0)
  // VT-d tables that small unmaps have emptied stay for the next map; only the top one is there from the beginning.
  const tables = (yield* Iommu).core.vtd?.stage.tableCount ?? 1
  const { bounce } = (yield* Dma).core.snapshot()
  expect("bounce buffers in use", bounce.slotsUsed, 0)
  expect("syncs that were too long", bounce.clamped, 0)
  const bouncePages = (bounce.slots * SLOT_BYTES) / allocator.pageSizeBytes
  expect("pages used", allocator.pagesUsed, pages + tables - 1 + bouncePages)
  // A window over all of memory stays.
  if (scenario.dma.backend === "iommu") expect("pages pinned", pinned.now, 0)
  if (!traffic.isDrained && scenario.traffic.kind !== "replay") complaints.push("the traffic has not come to rest")
  for (let cpu = 0; cpu < cpus.count; cpu++) {
    expect(`booked time of CPU ${cpu}`, cpus.bookedPs(cpu), cpus.busyPs(cpu))
    if (cpus.isAwake(cpu)) complaints.push(`CPU ${cpu} is still awake`)
  }
  return complaints
})

/** Looks at the run after so many events, in place of the usual number. */
const sliceBy = (core: SimulationCore, events: number): void => {
  const { timeline } = core
  const { runUntil } = timeline
  const sliced: typeof runUntil = (endPs, eventsMax) => {
    if (eventsMax === Infinity) return runUntil.call(timeline, endPs, eventsMax)
    const limit = Math.min(events, eventsMax)
    const ran = runUntil.call(timeline, endPs, limit)
    // Told as a full slice, so that the run goes on.
    return ran === limit ? eventsMax : 0
  }
  Object.assign(timeline, { runUntil: sliced })
}

/** Runs a scenario under audit. */
export const audited = (scenario: ResolvedScenario, options: AuditOptions): Promise<Exit.Exit<Audit, RunError>> => {
  const runOptions: RunOptions = { payloadCheck: "all", ...options }
  const worldOptions: WorldOptions = { seed: options.seed, payloadCheck: runOptions.payloadCheck }
  const pages = pagesOfIommu(scenario, worldOptions)
  const simulation = simulationLayer(scenario, worldOptions).pipe(
    Layer.tap((context) =>
      Effect.sync(() => {
        const { core } = Context.get(context, Simulation)
        core.pages.failAt = options.failAt ?? 0
        if (options.sliceEvents !== undefined) sliceBy(core, options.sliceEvents)
      })
    )
  )
  return Effect.runPromiseExit(
    Effect.gen(function* () {
      const result = yield* runInWorld(scenario, runOptions)
      const complaints = yield* complaintsAbout(scenario, result, pages)
      const { allocations } = (yield* Simulation).core.pages
      return { result, complaints, allocations }
    }).pipe(Effect.provide(worldAbove(scenario, worldOptions).pipe(Layer.provideMerge(simulation))))
  )
}
