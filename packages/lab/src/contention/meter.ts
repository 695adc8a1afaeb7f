/** What a point's machine has counted since a moment, and the point that comes of it. */
import type { DmaShape } from "@vnic/dma-api"
import type { IommuShape } from "@vnic/iommu"
import { type ProfileValues, RUN_SECONDS_MAX, type SimulationCore } from "@vnic/sim"
import type { Benchmark, Histogram } from "./benchmark.ts"
import { type CallTimes, partsOf, type Point, type Refusal, type Steps } from "./contentionResult.ts"
import type { Line } from "./lines.ts"
import type { Estimate } from "./sampling.ts"
import type { Settings } from "./settings.ts"

const PS_PER_SECOND = 1e12
const PS_PER_NS = 1000
/** Of a sample whose threads all get on alike: the slowest over the fastest. */
const EVEN_SHARE = 0.95
/** Time slices of every thread, from which on it matters little which thread had one more. */
const ROTATIONS_MIN = 20

/** One point: a line at a number of threads. */
export interface PointRequest {
  readonly line: Line
  readonly threads: number
  readonly settings: Settings
  /** A good sample ends the run, or any sample does, or none. */
  readonly mode: "sample" | "guess" | "exact"
  /** Constants of the line's profile that are replaced, for studies of their influence. */
  readonly profileChanges?: Partial<ProfileValues>
  /** Called now and then with the share of the pairs that have ended. */
  readonly onProgress?: (fraction: number) => void
}

interface Counts {
  readonly lockWaitPs: ReadonlyArray<number>
  readonly busyPs: number
  readonly hypercalls: number
  readonly perMap: Float64Array
  readonly perUnmap: Float64Array
  readonly pairsOfThread: Float64Array
  readonly pairsOfCpu: Float64Array
}

const NO_STEPS = new Float64Array(4)

/** Counts from the last `reset` on, or from the beginning. */
export class Meter {
  private readonly world: SimulationCore
  private readonly dma: DmaShape["core"]
  private readonly iommu: IommuShape["core"]
  private from: Counts | undefined

  constructor(world: SimulationCore, dma: DmaShape["core"], iommu: IommuShape["core"]) {
    this.world = world
    this.dma = dma
    this.iommu = iommu
  }

  reset(benchmark: Benchmark): void {
    this.from = this.read(benchmark)
  }

  private read({ cpus, pairsOfCpu, pairsOfThread }: Benchmark): Counts {
    const { cpus: host } = this.world
    const work = this.dma.space?.allocator.work
    return {
      lockWaitPs: host.lockCounts().map(({ waitPs }) => waitPs),
      busyPs: cpus.reduce((sum, cpu) => sum + host.busyPs(cpu), 0),
      hypercalls: this.iommu.paravirtual?.pvdma.hypercalls ?? 0,
      perMap: (work?.allocations ?? NO_STEPS).slice(),
      perUnmap: (work?.frees ?? NO_STEPS).slice(),
      pairsOfThread: pairsOfThread.slice(),
      pairsOfCpu: pairsOfCpu.slice()
    }
  }

  /** What was counted since the round began, or in all. */
  since(benchmark: Benchmark, isWhole: boolean): Counts {
    const { from } = this
    const to = this.read(benchmark)
    if (from === undefined || isWhole) return to
    const less = (after: Float64Array, before: Float64Array): Float64Array =>
      after.map((value, index) => value - before[index]!)
    return {
      // A lock may be made while the threads run.
      lockWaitPs: to.lockWaitPs.map((waitPs, lock) => waitPs - (from.lockWaitPs[lock] ?? 0)),
      busyPs: to.busyPs - from.busyPs,
      hypercalls: to.hypercalls - from.hypercalls,
      perMap: less(to.perMap, from.perMap),
      perUnmap: less(to.perUnmap, from.perUnmap),
      pairsOfThread: less(to.pairsOfThread, from.pairsOfThread),
      pairsOfCpu: less(to.pairsOfCpu, from.pairsOfCpu)
    }
  }

  lockWait({ busyPs, lockWaitPs }: Counts): Point["lockWait"] {
    const waits = new Map<string, number>()
    for (const [lock, { name }] of this.world.cpus.lockCounts().entries()) {
      waits.set(name, (waits.get(name) ?? 0) + lockWaitPs[lock]! / busyPs)
    }
    return [...waits].map(([lock, share]) => ({ lock, share })).toSorted((left, right) => right.share - left.share)
  }
}

const callTimes = (times: Histogram): CallTimes => ({
  p50: times.percentile(0.5) / PS_PER_NS,
  p99: times.percentile(0.99) / PS_PER_NS,
  p999: times.percentile(0.999) / PS_PER_NS
})

/**
 * How often something was done for each of `pairs`. When a sample begins and when it ends each CPU is in the middle of
 * a pair, of which some has been counted: what is less than one pair for each CPU is not known, and is rounded off.
 */
export const perPair = (count: number, pairs: number, cpusBetween: number): number => {
  const mean = count / pairs
  if (count === 0 || cpusBetween === 0) return mean
  const unknown = (mean * cpusBetween) / pairs
  let unit = 1
  while (unit < unknown) unit *= 10
  while (unit / 10 >= unknown) unit /= 10
  // What the multiplication adds behind the last digit is no news either.
  return Number((Math.round(mean / unit) * unit).toPrecision(12))
}

const stepsOf = (work: Float64Array, ratio: (count: number) => number): Steps => ({
  nodes: ratio(work[0]!),
  words: ratio(work[1]!),
  cacheLines: ratio(work[2]!),
  locks: ratio(work[3]!)
})

/** Jain's index and the slowest over the fastest, of speeds. */
const fairnessOf = (speeds: ReadonlyArray<number>): Point["fairness"] => {
  const sum = speeds.reduce((total, one) => total + one, 0)
  const squares = speeds.reduce((total, one) => total + one * one, 0)
  return { jain: (sum * sum) / (speeds.length * squares), minOverMax: Math.min(...speeds) / Math.max(...speeds) }
}

/** Speeds of whoever the pairs were shared between. */
const speedsOf = (benchmark: Benchmark, counts: Counts, isWhole: boolean): ReadonlyArray<number> => {
  if (isWhole) return [...benchmark.endedPs].map((endedPs, thread) => counts.pairsOfThread[thread]! / endedPs)
  const isShared = benchmark.endedPs.length > benchmark.cpus.length
  return isShared ? benchmark.cpus.map((cpu) => counts.pairsOfCpu[cpu]!) : [...counts.pairsOfThread]
}

/** Time until each of the threads has had a time slice; 0 when none has to wait for one. */
export const rotationPs = ({ profile }: SimulationCore, threads: number): number => {
  const cpus = profile.coreCount * profile.threadsPerCore
  return threads > cpus ? (threads / cpus) * profile.timeSlice : 0
}

/** Whether a sample's rate holds until the last thread is done. */
export const isEven = (
  { settings, threads }: PointRequest,
  world: SimulationCore,
  benchmark: Benchmark,
  meter: Meter,
  { pairPs }: Estimate
): boolean => {
  const { cpus } = benchmark
  // Who is alone on a core is done before the others, who are faster then.
  if (threads <= cpus.length) {
    return fairnessOf(speedsOf(benchmark, meter.since(benchmark, true), false)).minOverMax > EVEN_SHARE
  }
  // Some threads have a slice more than others, and of a few slices that is a large part.
  return threads % cpus.length === 0 && threads * settings.ops * pairPs >= ROTATIONS_MIN * rotationPs(world, threads)
}

/** The point that a run gives: of all its pairs, or of a sample of them that is settled or a guess. */
export const pointOf = (
  { line, settings, threads }: PointRequest,
  benchmark: Benchmark,
  meter: Meter,
  sample: { readonly estimate: Estimate; readonly isSettled: boolean } | undefined
): Point | Refusal => {
  const pairs = threads * settings.ops
  const estimate = sample?.estimate
  const isSampled = estimate !== undefined
  const endPs = isSampled ? pairs * estimate.pairPs : Math.max(...benchmark.endedPs)
  const seconds = endPs / PS_PER_SECOND
  const isSettled = sample?.isSettled ?? true
  // A guess refuses nothing.
  if (seconds > RUN_SECONDS_MAX && isSettled) return { line: line.name, threads, seconds }
  const counts = meter.since(benchmark, !isSampled)
  const times = isSampled ? benchmark.roundTimes : benchmark.times
  const counted = isSampled ? estimate.pairs : pairs
  const ratio = (count: number): number => perPair(count, counted, isSampled ? benchmark.cpus.length : 0)
  const hypercallsPerPair = ratio(counts.hypercalls)
  return {
    line: line.name,
    ...partsOf(line),
    pattern: settings.pattern.name,
    threads,
    seconds,
    secondsCi95: isSampled ? seconds * estimate.ci95Share : 0,
    opsPerSecond: pairs / seconds,
    pairs,
    pairsSimulated: counted,
    isSampled,
    isSettled,
    mapNs: callTimes(times.map),
    unmapNs: callTimes(times.unmap),
    lockWait: meter.lockWait(counts),
    perMap: stepsOf(counts.perMap, ratio),
    perUnmap: stepsOf(counts.perUnmap, ratio),
    hypercallsPerPair,
    hypercalls: isSampled ? Math.round(hypercallsPerPair * pairs) : counts.hypercalls,
    fairness: fairnessOf(speedsOf(benchmark, counts, !isSampled))
  }
}
