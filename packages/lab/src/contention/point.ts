/** One point of a line: builds its machine, lets the threads run, and reads off what it cost. */
import { allocatorTraits, Dma, DmaOptions, DmaTable } from "@vnic/dma-api"
import { Iommu, IommuOptions } from "@vnic/iommu"
import { findProfile, profileValues, RUN_SECONDS_MAX, Simulation, type SimulationCore } from "@vnic/sim"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { RunFailed } from "../Errors.ts"
import { dmaPorts } from "../Ports.ts"
import { dmaLayer } from "../World.ts"
import { Benchmark } from "./benchmark.ts"
import type { Point, Refusal } from "./contentionResult.ts"
import { deviceMapper, type Mapper, tableMapper } from "./mapper.ts"
import { isEven, Meter, pointOf, type PointRequest, rotationPs } from "./meter.ts"
import { slotsOf, Slots } from "./patterns.ts"
import { hasOwnBuffers, TCE_WINDOW_BYTES } from "./room.ts"
import { Sampler, type Verdict } from "./sampling.ts"
import { DIRECTIONS, inThreads, iommuKindOf } from "./settings.ts"

const DEVICE_NAME = "benchmark"
const PAGE_BYTES = 4096
/** Memory for tables, lists and queues. */
const TABLES_BYTES = 2 ** 25
/** Simulated time between two looks at Ctrl-C and progress. */
const LOOK_PS = 5e9
const LOTTERY_STREAM = 2
/** Pairs of a round: so many, so many for each CPU, and every live mapping so many times over. */
const ROUND_PAIRS = 5120
const ROUND_PAIRS_PER_CPU = 1000
const ROUND_TURNOVERS = 4
/** Pairs of all rounds of a sample. */
const SAMPLE_PAIRS = 2e6
/** Pairs of a run that is simulated whole rather than guessed. */
const SHORT_PAIRS = 4e6
const PS_PER_SECOND = 1e12

/** What a point is, and what a pair of its last round took of wall time. */
export interface Outcome {
  readonly found: Point | Refusal
  readonly pairWallMs: number
}

const bufferBytesOf = ({ line, settings, threads }: PointRequest): number =>
  threads * (hasOwnBuffers(line) ? slotsOf(settings.pattern) : 1) * settings.granulePages * PAGE_BYTES

/** The machine of a point: all its CPUs, the IOMMU of its platform, the DMA API of its line. */
const machineLayer = (request: PointRequest) => {
  const { line, settings } = request
  const profile = profileValues(findProfile(line.profile)!, request.profileChanges)
  const kind = line.path === "direct" ? "none" : iommuKindOf(line.profile)
  const iommu = Schema.decodeSync(IommuOptions)({ kind, window: `${TCE_WINDOW_BYTES} B` })
  const dma = Schema.decodeSync(DmaOptions)({
    backend: line.path === "direct" ? "direct" : "iommu",
    allocator: line.allocator,
    lockAcrossTableWrite: line.lockAcrossTableWrite,
    flush: line.flush,
    debug: false
  })
  // Buffers of many sizes are cut from blocks, so that the blocks' ends may be lost.
  const memoryBytes = 2 * TABLES_BYTES + Math.ceil(bufferBytesOf(request) / TABLES_BYTES) * TABLES_BYTES
  return dmaLayer({ dma }).pipe(
    Layer.provideMerge(dmaPorts),
    Layer.provideMerge(Iommu.layer(iommu)),
    Layer.provideMerge(
      Simulation.layer({
        profile,
        seed: settings.seed,
        hostMemoryBytes: memoryBytes,
        outsideBytes: 0,
        frameCapacity: 1,
        cpuCount: profile.coreCount * profile.threadsPerCore,
        threadsPerCore: profile.threadsPerCore
      })
    )
  )
}

/** A buffer for each slot of each thread, or one for all slots of a thread. */
const makeBuffers = ({ pages }: SimulationCore, request: PointRequest): Int32Array => {
  const { line, settings, threads } = request
  const perThread = slotsOf(settings.pattern)
  const ownEach = hasOwnBuffers(line)
  const bufferBytes = settings.granulePages * PAGE_BYTES
  const order = pages.orderFor(bufferBytes)
  const blockBytes = pages.pageSizeBytes * 2 ** order
  const buffers = new Int32Array(threads * perThread)
  let next = 0
  let end = 0
  for (let at = 0; at < buffers.length; at++) {
    if (!ownEach && at % perThread > 0) {
      buffers[at] = buffers[at - 1]!
      continue
    }
    if (next + bufferBytes > end) {
      next = pages.allocate(order)
      // A block at address 0 is left alone: bus address 0 is never handed out.
      if (next === 0) next = pages.allocate(order)
      if (next < 0) throw new RunFailed({ run: `of ${line.name}`, reason: "no memory is left for the buffers" })
      end = next + blockBytes
    }
    buffers[at] = next
    next += bufferBytes
  }
  return buffers
}

const mapperOf = Effect.fnUntraced(function* ({ line, settings }: PointRequest) {
  const sizeBytes = settings.granulePages * PAGE_BYTES
  const direction = DIRECTIONS.indexOf(settings.direction) as 0 | 1 | 2
  if (line.path === "table") {
    return tableMapper(yield* DmaTable, (yield* Simulation).core.cpus.count, sizeBytes, direction)
  }
  const device = yield* (yield* Dma).attach({ name: DEVICE_NAME, dmaMask: 2 ** settings.maskBits - 1 })
  return deviceMapper(device.core, sizeBytes, direction) satisfies Mapper
})

/**
 * Whether the line may get slower after millions of pairs in which nothing showed it. Some allocators do with several
 * mappings alive: their addresses lose their order, and no sample says when.
 */
const maySlowDown = ({ line: { allocator, path }, settings }: PointRequest): boolean =>
  path === "dma" && slotsOf(settings.pattern) > 1 && allocatorTraits[allocator].maySlowDown

const samplerOf = (request: PointRequest, world: SimulationCore): Sampler => {
  const { line, settings, threads } = request
  const cpuCount = Math.min(threads, world.cpus.count)
  const mappings = threads * slotsOf(settings.pattern)
  return new Sampler({
    roundPairs: Math.max(ROUND_PAIRS, ROUND_PAIRS_PER_CPU * cpuCount, ROUND_TURNOVERS * mappings),
    // Where threads wait for their turns, so do their mappings; a round sees all of them.
    roundPs: mappings > threads && line.path !== "direct" ? rotationPs(world, threads) : 0,
    // A guess need not be a good one.
    pairsMax: maySlowDown(request) ? 0 : SAMPLE_PAIRS
  })
}

/** A benchmark on the machine, and what watches it. */
const watched = Effect.fnUntraced(function* (request: PointRequest) {
  const { mode, settings, threads } = request
  const world = (yield* Simulation).core
  const lottery = world.prng(LOTTERY_STREAM)
  const meter = new Meter(world, (yield* Dma).core, (yield* Iommu).core)
  const sampler = mode === "exact" ? undefined : samplerOf(request, world)
  const round = { beganMs: performance.now(), isSettled: false }
  const onRound = (verdict: Exclude<Verdict, "more">): "sample" | "whole" | "stop" => {
    const isGood = verdict === "good" && !maySlowDown(request)
    round.isSettled = isGood && isEven(request, world, benchmark, meter, sampler!.estimate!)
    if (round.isSettled) return "stop"
    if (verdict !== "round") return mode === "sample" && threads * settings.ops <= SHORT_PAIRS ? "whole" : "stop"
    return "sample"
  }
  const onRoundBegin = (): void => {
    meter.reset(benchmark)
    round.beganMs = performance.now()
  }
  const benchmark: Benchmark = new Benchmark({
    world,
    mapper: yield* mapperOf(request),
    slots: new Slots(settings.pattern, threads, (bound) => lottery.below(bound)),
    threads,
    ops: settings.ops,
    delayPs: settings.delayPs,
    buffers: makeBuffers(world, request),
    sampler,
    onRoundBegin,
    onRound
  })
  return { benchmark, meter, round, sampler }
})

const measure = Effect.fnUntraced(function* (
  request: PointRequest
): Effect.fn.Return<Outcome, RunFailed, Simulation | Dma | Iommu | DmaTable | Scope.Scope> {
  const { line, settings, threads } = request
  const simulation = yield* Simulation
  const { timeline } = simulation.core
  const { benchmark, meter, round, sampler } = yield* watched(request)
  const pairs = threads * settings.ops
  while (!benchmark.isOver) {
    const seconds = timeline.nowPs / PS_PER_SECOND
    if (seconds > RUN_SECONDS_MAX) return { found: { line: line.name, threads, seconds }, pairWallMs: 0 }
    yield* simulation.setEnd(timeline.nowPs + LOOK_PS)
    yield* simulation.runSlice
    request.onProgress?.(benchmark.pairsOfThread.reduce((sum, one) => sum + one, 0) / pairs)
    yield* Effect.yieldNow
  }
  const where = `of ${line.name} with ${inThreads(threads)}`
  if (benchmark.failedWithLive !== undefined) {
    const reason = `a map failed with ${benchmark.failedWithLive} mappings alive`
    return yield* new RunFailed({ run: where, reason })
  }
  const isWhole = benchmark.endedPs.every((endedPs) => endedPs > 0)
  const estimate = isWhole ? undefined : sampler?.estimate
  const found = pointOf(
    request,
    benchmark,
    meter,
    estimate === undefined ? undefined : { estimate, isSettled: round.isSettled }
  )
  return { found, pairWallMs: (performance.now() - round.beganMs) / (estimate?.pairs ?? pairs) }
})

/** Simulates a point: whole, or until its sample is good or given up; a short one rather whole than not settled. */
export const runPoint = (request: PointRequest): Effect.Effect<Outcome, RunFailed> =>
  Effect.scoped(measure(request)).pipe(
    Effect.provide(machineLayer(request)),
    Effect.catchTags({
      HostDoesNotFit: (error) => Effect.fail(new RunFailed({ run: `of ${request.line.name}`, reason: error.message })),
      TableDoesNotFit: (error) => Effect.fail(new RunFailed({ run: `of ${request.line.name}`, reason: error.message }))
    })
  )
