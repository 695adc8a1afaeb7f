/** One run of a scenario: builds its world, lets it run, measures a window of it, drains it and takes it down. */
import { Dma } from "@vnic/dma-api"
import { NicDriver, type BringUpFailed, type DriverStatistics, type NoRingMemory } from "@vnic/driver"
import { Iommu, type TableDoesNotFit } from "@vnic/iommu"
import { HostStack } from "@vnic/net-stack"
import { NicDevice } from "@vnic/nic-device"
import { type HostDoesNotFit, type ProfileValues, Simulation } from "@vnic/sim"
import { type CaptureInvalid, readCapture, Traffic, type TrafficDoesNotFit } from "@vnic/traffic"
import * as Effect from "effect/Effect"
import { windowPsOf } from "./Frames.ts"
import { limitOf } from "./Limit.ts"
import {
  cpuResult,
  type CpuEdges,
  dmaResult,
  hypercallsPerMap,
  iotlbResult,
  lockResults,
  read,
  type Reading,
  windowUse
} from "./Measurement.ts"
import { DROP_CAUSES, type DropCause, type RunResult } from "./Result.ts"
import type { ResolvedScenario } from "./Scenario.ts"
import { worldLayer } from "./World.ts"

/** What a run needs beside its scenario. */
export interface RunOptions {
  readonly seed: number
  /** Whether every delivered byte is compared with what was sent, or one rotating line of each frame. */
  readonly payloadCheck: "all" | "line"
  readonly onProgress?: (fraction: number) => void
  /** The bytes of the capture, when the scenario replays one. */
  readonly capture?: Uint8Array
  /** Receives the delivered frames as a capture, when the scenario replays one. */
  readonly onDelivered?: (capture: Uint8Array) => void
  /** Constants of the profile that are replaced, for studies of their influence. */
  readonly profileChanges?: Partial<ProfileValues>
  /** Called where the measured window begins and where it ends, for wall-clock measurements. */
  readonly onWindow?: (edge: "begin" | "end", framesDelivered: number) => void
}

export type RunError =
  | BringUpFailed
  | NoRingMemory
  | TableDoesNotFit
  | HostDoesNotFit
  | TrafficDoesNotFit
  | CaptureInvalid

/** A world that has not come to rest this long after its sources stopped will not. */
const DRAIN_PS_MAX = 5e12
/** Longer than any interrupt can be throttled (1022 us): who has slept so long without a frame has none left. */
const SETTLE_PS = 2e9

/** Lets the world run to an instant, yielding between slices so that interruption and progress work. */
const runTo = Effect.fnUntraced(function* (endPs: number, onSlice: (nowPs: number) => void) {
  const simulation = yield* Simulation
  yield* simulation.setEnd(endPs)
  while (yield* simulation.runSlice) {
    onSlice(simulation.core.timeline.nowPs)
    yield* Effect.yieldNow
  }
})

/** Frames that the driver has dealt with, either way. */
const framesOf = (statistics: DriverStatistics): number =>
  statistics.framesReceived +
  statistics.framesDroppedNoBuffer +
  statistics.framesDroppedError +
  statistics.framesDroppedSplit +
  statistics.framesTransmitted +
  statistics.framesDroppedTransmit

/** Runs until nothing is under way any more: sources, link, device and CPUs are at rest, and stay so; or gives up. */
const drain = Effect.gen(function* () {
  const { core: traffic } = yield* Traffic
  const { core: simulation } = yield* Simulation
  const { core: device } = yield* NicDevice
  const driver = yield* NicDriver
  const { cpus, timeline } = simulation
  const isAsleep = (): boolean => {
    for (let cpu = 0; cpu < cpus.count; cpu++) if (cpus.isAwake(cpu)) return false
    return true
  }
  /** A driver with an empty ring asks for memory for ever: it is at rest when it does nothing else. */
  const isHostAtRest = (before: DriverStatistics, now: DriverStatistics): boolean =>
    now.rxRingsEmpty > 0 ? framesOf(now) === framesOf(before) : isAsleep() && now.interrupts === before.interrupts
  const giveUpPs = timeline.nowPs + DRAIN_PS_MAX
  let before: DriverStatistics | undefined
  let isSettled = false
  while (!isSettled && timeline.nowPs < giveUpPs) {
    yield* runTo(timeline.nowPs + SETTLE_PS, () => undefined)
    const now = yield* driver.statistics
    const isDeviceAtRest = device.counters().rx.inFlight === 0
    isSettled = before !== undefined && isHostAtRest(before, now) && traffic.isDrained && isDeviceAtRest
    before = now
  }
  return isSettled
})

/** Frames of the whole run by what became of them. */
const frameResult = Effect.gen(function* () {
  const { frames } = yield* (yield* Traffic).throughput
  const { rx } = yield* (yield* NicDevice).counters
  const statistics = yield* (yield* NicDriver).statistics
  const dropped = Object.fromEntries(DROP_CAUSES.map((cause) => [cause, 0])) as Record<DropCause, number>
  Object.assign(dropped, rx.dropped)
  dropped.noReceiveBuffer = statistics.framesDroppedNoBuffer
  dropped.receiveError = statistics.framesDroppedError
  dropped.severalDescriptors = statistics.framesDroppedSplit
  dropped.senderBacklog = frames.lostAtSender
  return {
    offered: frames.offered + frames.lostAtSender,
    delivered: frames.delivered,
    padded: frames.padded,
    dropped,
    answersDropped: statistics.framesDroppedTransmit + (yield* HostStack).core.answersDropped
  }
})

const measure = Effect.fnUntraced(function* (scenario: ResolvedScenario, options: RunOptions) {
  const { core: simulation } = yield* Simulation
  const traffic = yield* Traffic
  const { source } = traffic.core
  // A replay is measured whole, from its first frame on.
  const durationPs = source.kind === "replay" ? source.durationPs : windowPsOf(scenario)
  const warmUpPs = source.kind === "replay" ? 1 : scenario.measure.warmUpPs
  const startPs = simulation.timeline.nowPs
  const openPs = startPs + warmUpPs
  const closePs = openPs + durationPs
  const report = (nowPs: number): void => options.onProgress?.((nowPs - startPs) / (closePs - startPs))
  const delivered = (): number => (traffic.core.streamSink ?? traffic.core.frameSink)!.framesDelivered
  traffic.core.measure(openPs, durationPs)
  const { framesTaken } = (yield* NicDriver).core.napi
  const framesOf = (cpu: number): number => framesTaken[cpu]!
  const { cpus } = simulation
  const edges = { from: cpus.addEdge(openPs, framesOf), to: cpus.addEdge(closePs, framesOf), cpuCount: cpus.count }
  yield* traffic.start
  yield* runTo(openPs, report)
  const from = yield* read
  options.onWindow?.("begin", delivered())
  yield* runTo(closePs, report)
  const to = yield* read
  options.onWindow?.("end", delivered())
  return { from, to, edges }
})

const resultOf = Effect.fnUntraced(function* (
  scenario: ResolvedScenario,
  { edges, from, to }: { readonly from: Reading; readonly to: Reading; readonly edges: CpuEdges }
) {
  const throughput = yield* (yield* Traffic).throughput
  const { framesPerSecond, inbound, latencyNs, outbound } = throughput
  const outside = scenario.traffic.kind === "closed-loop" ? "senders' windows" : "offered load"
  const isMappedPerCall = scenario.dma.backend === "iommu"
  return {
    name: scenario.driver.strategy,
    profile: scenario.profile,
    strategy: scenario.driver.strategy,
    allocator: isMappedPerCall ? scenario.dma.allocator : "none",
    flush: isMappedPerCall ? scenario.dma.flush : "none",
    goodputGbps: throughput.goodputGbps,
    goodputGbpsCi95: throughput.goodputGbpsCi95,
    wireGbps: throughput.wireGbps,
    framesPerSecond,
    limit: limitOf(windowUse(from, to, edges, { inbound, outbound, framesPerSecond }), outside),
    cpu: cpuResult(edges),
    locks: lockResults(from, to),
    latencyNs:
      latencyNs.count === 0
        ? { p50: null, p99: null, p999: null }
        : { p50: latencyNs.p50, p99: latencyNs.p99, p999: latencyNs.p999 }
  }
})

/** Runs a scenario in its world: lets it run, measures, drains, takes it down. */
export const runInWorld = Effect.fnUntraced(function* (scenario: ResolvedScenario, options: RunOptions) {
  const window = yield* measure(scenario, options)
  const traffic = yield* Traffic
  const dma = yield* Dma
  const iommu = yield* Iommu
  if (scenario.traffic.kind !== "replay") yield* traffic.stop
  const isSettled = yield* drain
  const measured = yield* resultOf(scenario, window)
  const { frames: sent, retransmissions } = yield* traffic.throughput
  yield* (yield* NicDriver).shutdown
  yield* (yield* HostStack).close
  const frames = yield* frameResult
  const delivered = traffic.core.deliveredCapture()
  if (delivered !== undefined) options.onDelivered?.(delivered)
  const result: RunResult = {
    ...measured,
    seed: options.seed,
    frames,
    retransmissions,
    dma: dmaResult(window.from, window.to, {
      callsPerMap: yield* hypercallsPerMap(scenario.dma.allocator),
      pinnedPagesMax: (yield* iommu.pinned).max
    }),
    ...(scenario.iommu.kind === "vtd" ? { iotlb: yield* iotlbResult } : {}),
    checks: {
      corruptFrames: sent.corrupt,
      leakedMappings: dma.core.liveCount(),
      debugFindings: dma.core.snapshot().findings,
      faults: (yield* iommu.faults).count,
      unsettled: isSettled ? 0 : 1
    }
  }
  return result
})

/** Runs a scenario to its end. */
export const runScenario = (scenario: ResolvedScenario, options: RunOptions): Effect.Effect<RunResult, RunError> =>
  Effect.gen(function* () {
    const capture =
      scenario.traffic.kind === "replay"
        ? yield* readCapture(scenario.traffic.capture, options.capture ?? new Uint8Array(0))
        : undefined
    const world = worldLayer(scenario, {
      seed: options.seed,
      payloadCheck: options.payloadCheck,
      capture,
      keepFrames: options.onDelivered !== undefined,
      profileChanges: options.profileChanges
    })
    return yield* Effect.provide(runInWorld(scenario, options), world)
  })
