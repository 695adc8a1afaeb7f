/**
 * The benchmark program by itself.
 *
 * Goal: every thread does its pairs, neither more nor fewer, on the CPUs that it should, in the time that they
 * take. Method: a mapper that takes a known time and remembers what is mapped, on machines with the CPUs and time
 * slices of a profile; the times are compared with closed forms.
 */
import { ACCOUNTS, findProfile, profileValues } from "@vnic/sim"
import { makeSimulation } from "@vnic/sim/core"
import { describe, expect, it } from "vitest"
import { Benchmark, type BenchmarkOptions } from "../src/contention/benchmark.ts"
import type { Mapper } from "../src/contention/mapper.ts"
import { parsePattern, type Pattern, Slots } from "../src/contention/patterns.ts"
import { Sampler } from "../src/contention/sampling.ts"

const MAP_PS = 300_000
const UNMAP_PS = 200_000
const DELAY_PS = 1_000_000
const PAIR_PS = MAP_PS + UNMAP_PS
/** Threads begin within 10 us of each other. */
const SPREAD_PS = 10_000_000
const ACCOUNT = ACCOUNTS.indexOf("dmaApi")
/** Between two pairs nothing passes, so that there are closed forms; one test is about the loop. */
const values = profileValues(findProfile("power7-pseries")!, { benchmarkLoop: 0 })

type Watch = Pick<BenchmarkOptions, "sampler" | "onRoundBegin" | "onRound">
const NOBODY: Watch = { sampler: undefined, onRoundBegin: () => undefined, onRound: () => "sample" }

const run = (
  threads: number,
  ops: number,
  pattern: string,
  delayPs = 0,
  failAfter = Infinity,
  loopPs = 0,
  watch = NOBODY
) => {
  const world = makeSimulation({
    profile: { ...values, benchmarkLoop: loopPs },
    seed: 1,
    hostMemoryBytes: 2 ** 20,
    outsideBytes: 0,
    frameCapacity: 1,
    cpuCount: 32,
    threadsPerCore: 4
  })
  const live = new Set<number>()
  const counts = { maps: 0, liveMax: 0, misuse: 0 }
  const mapped = new Float64Array(32)
  const mapper: Mapper = {
    mapped,
    beginMap: (cpu, phys, then) => {
      world.cpus.spend(cpu, ACCOUNT, MAP_PS)
      counts.maps++
      if (live.has(phys)) counts.misuse++
      live.add(phys)
      counts.liveMax = Math.max(counts.liveMax, live.size)
      mapped[cpu] = counts.maps > failAfter ? -1 : phys + 7
      return then
    },
    beginUnmap: (cpu, phys, busAddr, then) => {
      world.cpus.spend(cpu, ACCOUNT, UNMAP_PS)
      if (!live.delete(phys) || busAddr !== phys + 7) counts.misuse++
      return then
    }
  }
  const slots = new Slots(parsePattern(pattern) as Pattern, threads, () => 0)
  const benchmark = new Benchmark({
    world,
    mapper,
    slots,
    threads,
    ops,
    delayPs,
    buffers: Int32Array.from({ length: threads * slots.perThread }, (_, index) => index),
    ...watch
  })
  while (!benchmark.isOver) {
    world.run.setEnd(world.timeline.nowPs + 1e9)
    world.run.runSlice()
  }
  return { benchmark, counts, live, world, endPs: Math.max(...benchmark.endedPs) }
}

describe("threads", () => {
  it.each([
    [1, "once"],
    [8, "once"],
    [3, "fifo:5"],
    [40, "fifo:3"],
    [5, "two-rings:8"],
    [70, "random:4"]
  ])("%i of them, %s: every map is undone once", (threads, pattern) => {
    const { benchmark, counts, live } = run(threads, 50, pattern)
    expect(counts).toMatchObject({ maps: 50 * threads, misuse: 0 })
    expect(live.size).toBe(0)
    expect([...benchmark.pairsOfThread]).toEqual(Array.from({ length: threads }, () => 50))
    expect(benchmark.endedPs.every((endedPs) => endedPs > 0)).toBe(true)
  })

  it("keep mapped what their pattern says, and no more than they map at all", () => {
    const { liveMax } = run(4, 30, "fifo:6").counts
    expect(liveMax).toBeGreaterThan(4 * 5)
    expect(liveMax).toBeLessThanOrEqual(4 * 6)
    expect(run(4, 3, "fifo:6").counts).toMatchObject({ maps: 12, liveMax: 12, misuse: 0 })
  })

  it("up to one a core take as long as one", () => {
    for (const threads of [1, 8]) {
      const { endPs } = run(threads, 100, "once")
      expect(endPs).toBeGreaterThanOrEqual(100 * PAIR_PS)
      expect(endPs).toBeLessThan(100 * PAIR_PS + SPREAD_PS)
    }
  })

  it("that share cores get the speed of the profile", () => {
    const ops = 2000
    const { endPs } = run(32, ops, "once")
    expect(endPs / ((ops * PAIR_PS) / values.speedWithFourThreads)).toBeCloseTo(1, 2)
  })

  it("wait by the clock, however many share a core", () => {
    const { endPs } = run(32, 100, "once", DELAY_PS)
    expect(endPs).toBeGreaterThanOrEqual(100 * (PAIR_PS / values.speedWithFourThreads + DELAY_PS))
    expect(endPs).toBeLessThan(100 * (PAIR_PS / values.speedWithFourThreads + DELAY_PS) + SPREAD_PS)
  })

  it("beyond the CPUs take turns in time slices, all alike", () => {
    const ops = 3000
    const { benchmark, endPs } = run(128, ops, "once")
    const alonePs = (ops * PAIR_PS) / values.speedWithFourThreads
    // Four threads a CPU, and a switch for each slice.
    const switches = 1 + values.contextSwitch / values.speedWithFourThreads / values.timeSlice
    expect(endPs / (4 * alonePs * switches)).toBeCloseTo(1, 2)
    // Each has a slice before any has its second one.
    expect(Math.min(...benchmark.endedPs)).toBeGreaterThan(values.timeSlice)
    expect(benchmark.cpus).toHaveLength(32)
  })

  it("spend a time of their own between pairs, different each time", () => {
    const ops = 4000
    const loopPs = 100_000
    const { endPs, world } = run(1, ops, "once", 0, Infinity, loopPs)
    expect(endPs / (ops * (PAIR_PS + loopPs))).toBeCloseTo(1, 1)
    const mean = (endPs - ops * PAIR_PS) / ops
    expect(Math.abs(mean / loopPs - 1)).toBeLessThan(0.1)
    expect(world.cpus.bookedPs(0)).toBe(world.cpus.busyPs(0))
  })

  it("stop when a map fails", () => {
    const { benchmark } = run(8, 100, "fifo:4", 0, 150)
    expect(benchmark.failedWithLive).toBeGreaterThan(16)
  })

  it("book all of their CPUs' time", () => {
    const { world } = run(40, 50, "fifo:3")
    for (let cpu = 0; cpu < 32; cpu++) expect(world.cpus.bookedPs(cpu)).toBe(world.cpus.busyPs(cpu))
  })
})

describe("rounds of a sample", () => {
  it("have none of the pairs in which CPUs are shifted against each other", () => {
    const threads = 8
    // Batches of whole turns of all threads take equal times, and the three least rounds are enough.
    const roundPairs = 20 * 5 * threads
    const settlingPairs = 8 * threads
    const events: Array<string> = []
    const { benchmark } = run(threads, 1000, "fifo:4", 0, Infinity, 0, {
      sampler: new Sampler({ roundPairs, roundPs: 0, pairsMax: 1e6 }),
      onRoundBegin: () => events.push("begin"),
      onRound: (verdict) => {
        events.push(verdict)
        return verdict === "good" ? "stop" : "sample"
      }
    })
    expect(events).toEqual(["begin", "round", "begin", "round", "begin", "good"])
    const pairs = benchmark.pairsOfThread.reduce((sum, one) => sum + one, 0)
    expect(pairs).toBeGreaterThanOrEqual(3 * (roundPairs + settlingPairs))
    // Each thread ends the pair that it is at.
    expect(pairs).toBeLessThan(3 * (roundPairs + settlingPairs) + threads)
  })
})
