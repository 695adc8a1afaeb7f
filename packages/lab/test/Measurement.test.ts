/**
 * What a window says that has little or nothing in it.
 *
 * Goal: no figure is made up: what is a mean of nothing is missing, and no limit is named where one frame more or less
 * would decide which. Method: whole runs whose windows hold no frame, one frame, or just enough of them.
 */
import { describe, expect, it } from "vitest"
import type { ResolvedScenario } from "../src/Scenario.ts"
import { runOf, world } from "./support/scenarios.ts"

const LENGTH_BYTES = 60

/** A capture of frames of 60 bytes that come so many microseconds after each other. */
const captureOf = (frameCount: number, gapUs: number): Uint8Array => {
  const file = new Uint8Array(24 + frameCount * (16 + LENGTH_BYTES))
  const view = new DataView(file.buffer)
  view.setUint32(0, 0xa1b2c3d4, true)
  view.setUint16(4, 2, true)
  view.setUint16(6, 4, true)
  view.setUint32(16, 65_535, true)
  view.setUint32(20, 1, true)
  for (let index = 0; index < frameCount; index++) {
    const at = 24 + index * (16 + LENGTH_BYTES)
    view.setUint32(at + 4, index * gapUs, true)
    view.setUint32(at + 8, LENGTH_BYTES, true)
    view.setUint32(at + 12, LENGTH_BYTES, true)
  }
  return file
}

const replayed = (frameCount: number, gapUs = 0) =>
  runOf(world({ traffic: { kind: "replay", capture: "made.pcap" } }), { capture: captureOf(frameCount, gapUs) })

describe("the limit", () => {
  it.each([1, 2, 33])("is not named over %i frames, however full the wire was", async (frameCount) => {
    const { frames, limit } = await replayed(frameCount)
    expect(frames.delivered).toBe(frameCount)
    expect(limit).toEqual({ resource: "too few frames", busyShare: expect.closeTo(1, 4) as number, busiest: "wire" })
  })

  it("is named over as many frames as can tell 97 % from 100 %", async () => {
    expect((await replayed(34)).limit).toEqual({
      resource: "wire",
      busyShare: expect.closeTo(1, 4) as number,
      busiest: "wire"
    })
  })

  it("is named only where something was full, and the busiest is named always", async () => {
    const { limit } = await replayed(100, 10)
    expect(limit.resource).toBe("offered load")
    expect(limit.busiest).toMatch(/^(?:wire|bus|CPU)/u)
    expect(limit.busyShare).toBeLessThan(0.97)
  })
})

/** 64-byte frames at line rate, which no eight CPUs of 2.5 us a frame can take. */
const overload = { kind: "open-loop", rate: "line", sizes: "64 B" }
const direct = { iommu: { kind: "none" }, dma: { backend: "direct" }, driver: { strategy: "direct" } }

describe("CPU time", () => {
  it.each([
    ["that never waits and runs far ahead of the world", world({ ...direct, traffic: overload })],
    ["behind a lock", world({ traffic: overload })],
    ["with room to spare", world(direct)],
    ["of one CPU", world({ ...direct, nic: { queues: 1 } })]
  ])("is booked where it falls, and accounts add up to the busy share: %s", async (_, scenario) => {
    const { cpu } = await runOf(scenario)
    const accounted = Object.values(cpu.nsPerFrame).reduce<number>((sum, ns) => sum + ns!, 0) * cpu.framesPerSecond
    const busy = cpu.perCpu.reduce((sum, share) => sum + share, 0)
    expect(accounted / 1e9).toBeCloseTo(busy, 9)
    expect(Math.max(...cpu.perCpu)).toBeLessThanOrEqual(1)
  })

  it("of a host that cannot keep up is all of it, in a window shorter than the work that its rings hold", async () => {
    const { cpu, limit } = await runOf(
      world({ ...direct, measure: { warmUp: "1 ms", duration: "1 ms" }, traffic: overload })
    )
    expect(Math.min(...cpu.perCpu)).toBeGreaterThan(0.99)
    expect(limit.resource).toMatch(/^CPU/u)
  })

  it("is divided by the frames that it was spent on, not by those that wait in rings", async () => {
    const stackNs = async (scenario: ResolvedScenario) => (await runOf(scenario)).cpu.nsPerFrame.stack!
    const calm = await stackNs(world(direct))
    expect(await stackNs(world({ traffic: overload }))).toBeCloseTo(calm, -2)
  })
})

describe("the wire", () => {
  it("is not the limit when its frames are dropped behind it, though no resource is busier", async () => {
    const pageChunk = { driver: { strategy: "page-chunk" }, nic: { rx: { descriptors: 512 } } }
    const measure = { warmUp: "2 ms", duration: "2 ms" }
    const { frames, limit, wireGbps } = await runOf(
      world({ ...pageChunk, measure, traffic: { ...overload, arrivals: "constant" } })
    )
    expect(wireGbps).toBeCloseTo(10, 2)
    expect(frames.delivered).toBeLessThan(frames.offered / 2)
    expect(limit.busyShare).toBeLessThan(0.9999)
    expect(limit.resource).toMatch(/^CPU/u)
  })

  it.each(["constant", "poisson"])(
    "is never busier than all of the window: %s arrivals of mixed sizes",
    async (arrivals) => {
      const { limit, wireGbps } = await runOf(
        world({
          ...direct,
          measure: { warmUp: "1 ms", duration: "1 ms" },
          traffic: { ...overload, arrivals, sizes: "imix" }
        })
      )
      expect(wireGbps).toBeLessThanOrEqual(10)
      expect(wireGbps).toBeGreaterThan(9.5)
      expect(limit.busyShare).toBeLessThanOrEqual(1)
    }
  )
})

describe("a window in which nothing was delivered", () => {
  // A frame takes 67 ms at this rate: the window holds none.
  const idle = world({
    measure: { warmUp: "1 ms", duration: "1 ms" },
    traffic: { kind: "open-loop", rate: "10 kb/s", sizes: "64 B", flows: 8 }
  })

  it("has rates and shares of 0, and no means and percentiles", async () => {
    const { cpu, dma, frames, framesPerSecond, goodputGbps, goodputGbpsCi95, latencyNs, limit, locks, wireGbps } =
      await runOf(idle)
    expect(frames.offered).toBe(frames.delivered)
    expect([goodputGbps, goodputGbpsCi95, wireGbps, framesPerSecond]).toEqual([0, 0, 0, 0])
    expect(latencyNs).toEqual({ p50: null, p99: null, p999: null })
    expect(Object.values(cpu.nsPerFrame).every((value) => value === null)).toBe(true)
    expect(dma).toMatchObject({ maps: 0, unmaps: 0, hypercalls: 0, hypercallsPerFrame: null })
    expect(dma.rx).toEqual({ mapsPerFrame: null, unmapsPerFrame: null })
    expect(dma.tx).toEqual({ mapsPerFrame: null, unmapsPerFrame: null })
    expect(locks[0]).toMatchObject({ utilization: 0, meanWaitNs: null, contendedShare: null })
    expect(limit).toMatchObject({ resource: "too few frames", busyShare: 0 })
  })
})
