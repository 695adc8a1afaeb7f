/**
 * One simulated world's common ground: its time, memory, frames, CPUs, pages and randomness, sized and
 * priced by a platform profile. Devices, drivers and generators are built on top of it.
 */
import { assert, fail } from "./assert.ts"
import { CPUS_MAX, type Cpus, makeCpus } from "./cpus.ts"
import { type FramePool, FRAME_SLOT_BYTES, makeFramePool } from "./frames.ts"
import { type Histogram, makeHistogram } from "./histogram.ts"
import { makeMemory, type Memory, MEMORY_BYTES_MAX } from "./memory.ts"
import { makePageAllocator, type PageAllocator } from "./pages.ts"
import { makePrng, type Prng } from "./prng.ts"
import type { ProfileValues } from "./profile.ts"
import { makeTimeline, NEVER_PS, type Timeline } from "./timeline.ts"

export interface SimulationOptions {
  /** What each kind of work costs. */
  readonly profile: ProfileValues
  /** Seed of every stream of random numbers. */
  readonly seed: number
  /** Physical memory of the host, whole system pages. */
  readonly hostMemoryBytes: number
  /** Storage of devices and link partners, beyond the frames' own. */
  readonly outsideBytes: number
  /** Most frames that are alive at once. */
  readonly frameCapacity: number
  /** Simulated CPUs: hardware threads that are used. */
  readonly cpuCount: number
  /** Hardware threads that are used on each core at most; the CPUs are spread over all cores of the profile. */
  readonly threadsPerCore: number
}

/** What about a host cannot be built, with what was asked for and what would do. */
export interface Misfit {
  readonly reason: "MemoryNotWholePages" | "MemoryTooLarge" | "TooManyCpus" | "TooManyThreads"
  readonly asked: number
  /** Largest value that would do; for MemoryNotWholePages the page size. */
  readonly limit: number
}

/** The first reason why these options describe no host, or undefined. */
export function findMisfit(options: SimulationOptions): Misfit | undefined {
  const { profile, hostMemoryBytes, cpuCount, threadsPerCore } = options
  const pageBytes = profile.systemPageBytes
  if (!(hostMemoryBytes > 0) || hostMemoryBytes % pageBytes !== 0) {
    return { reason: "MemoryNotWholePages", asked: hostMemoryBytes, limit: pageBytes }
  }
  const memoryLimit = MEMORY_BYTES_MAX - outsideSizeBytes(options)
  if (hostMemoryBytes > memoryLimit) {
    const limit = Math.floor(memoryLimit / pageBytes) * pageBytes
    return { reason: "MemoryTooLarge", asked: hostMemoryBytes, limit }
  }
  if (!(threadsPerCore >= 1 && threadsPerCore <= profile.threadsPerCore)) {
    return { reason: "TooManyThreads", asked: threadsPerCore, limit: profile.threadsPerCore }
  }
  const cpuLimit = Math.min(profile.coreCount * threadsPerCore, CPUS_MAX)
  if (!(cpuCount >= 1 && cpuCount <= cpuLimit)) return { reason: "TooManyCpus", asked: cpuCount, limit: cpuLimit }
  return undefined
}

/** Frames start on a cache line, so their storage may need one line more than its size. */
const outsideSizeBytes = (options: SimulationOptions): number =>
  options.outsideBytes + options.frameCapacity * FRAME_SLOT_BYTES + 64

/**
 * Speed of one thread when 1, 2, 3 and 4 threads of its core are busy.
 *
 * MODEL: profiles know two and four threads. With three, the core as a whole does the mean of what it does
 * with two and with four; with one, a thread has the core to itself.
 */
export function speedShares(profile: ProfileValues): ReadonlyArray<number> {
  const two = profile.speedWithTwoThreads
  const four = profile.speedWithFourThreads
  return [1, two, (2 * two + 4 * four) / 2 / 3, four]
}

/** Events of the first slices of a run. Short ones first: every path is seen before it is optimised. */
const FIRST_SLICES: ReadonlyArray<number> = [64, 256, 1024]
/** Events of every later slice, some milliseconds of wall time. */
const SLICE_EVENTS = 32768

/** A run cut into slices, so that whoever steps it can look up between them. */
export class SlicedRun {
  declare private readonly timeline: Timeline
  private readonly endPs = new Float64Array(1)
  private sliceCount = 0

  constructor(timeline: Timeline) {
    this.timeline = timeline
  }

  /** The run goes on until `endPs`, events at that very instant included. */
  setEnd(endPs: number): void {
    if (!(endPs >= this.timeline.clock[0]!) || endPs === NEVER_PS) fail("a run's end is no time to come")
    this.endPs[0] = endPs
  }

  /** Runs one slice; false when the end is reached: nothing is due up to it any more, and now is the end. */
  runSlice(): boolean {
    const eventsMax = FIRST_SLICES[this.sliceCount] ?? SLICE_EVENTS
    this.sliceCount++
    return this.timeline.runUntil(this.endPs[0]!, eventsMax) === eventsMax
  }
}

/** The plain objects of one world. */
export interface SimulationCore {
  readonly timeline: Timeline
  readonly memory: Memory
  readonly frames: FramePool
  readonly cpus: Cpus
  readonly pages: PageAllocator
  readonly profile: ProfileValues
  readonly seed: number
  readonly run: SlicedRun
  /** A fresh generator of this world's seed; the same stream number gives the same draws again. */
  readonly prng: (stream: number) => Prng
  /** An empty histogram, for who measures this world. */
  readonly histogram: () => Histogram
}

/** An empty world at time 0. */
export function makeSimulation(options: SimulationOptions): SimulationCore {
  const { profile, seed, hostMemoryBytes, frameCapacity, cpuCount, threadsPerCore } = options
  assert(findMisfit(options) === undefined, "a host that cannot be built")
  const timeline = makeTimeline()
  const memory = makeMemory(hostMemoryBytes, outsideSizeBytes(options))
  return {
    timeline,
    memory,
    frames: makeFramePool(memory, frameCapacity),
    cpus: makeCpus(timeline, {
      cpuCount,
      threadsPerCore,
      coreCount: profile.coreCount,
      speedShares: speedShares(profile),
      lockAcquirePs: profile.lockAcquire,
      lockHandOffPs: profile.lockHandOff,
      lockHandOffPerWaiterPs: profile.lockHandOffPerWaiter
    }),
    pages: makePageAllocator(hostMemoryBytes, profile.systemPageBytes),
    profile,
    seed,
    run: new SlicedRun(timeline),
    prng: (stream) => makePrng(seed, stream),
    histogram: makeHistogram
  }
}
