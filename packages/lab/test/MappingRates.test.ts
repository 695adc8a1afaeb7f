/**
 * Maps, unmaps and hypercalls for each frame, in windows of a few hundred frames.
 *
 * Goal: what a short run says of a frame is what a long one says. Method: windows in which rings fill for the first
 * time, blocks neither begin nor end, CPUs are in the midst of frames; the figures follow from what a frame needs.
 */
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { builtin, runOf, world } from "./support/scenarios.ts"

const BLOCKS = 1 / 128 + 1 / 64
const captured = new URL("captures/web-and-udp-mix.pcap", import.meta.url)

describe("maps and hypercalls for each frame", () => {
  it("are whole where each frame has its own, with every CPU in the midst of one", async () => {
    const { dma } = await runOf(builtin("smoke", "map-per-packet"))
    expect(dma.rx.mapsPerFrame).toBeCloseTo(2, 9)
    expect(dma.hypercallsPerFrame).toBeCloseTo(4, 9)
    // The window itself has more or fewer.
    expect(dma.maps).not.toBe(dma.unmaps)
  })

  it.each([
    ["true", 2 * BLOCKS],
    ["false", 2 * 16 * BLOCKS]
  ])("are parts of a block's where no block was mapped: multi-TCE %s", async (multiTce, hypercalls) => {
    const settings = [`iommu.multiTce=${multiTce}`, "link.rate=1 Gb/s"]
    const { dma } = await runOf(builtin("smoke", "page-chunk", settings))
    expect(dma).toMatchObject({ maps: 0, hypercalls: 0 })
    expect(dma.rx.mapsPerFrame).toBeCloseTo(BLOCKS, 9)
    expect(dma.rx.unmapsPerFrame).toBeCloseTo(BLOCKS, 9)
    expect(dma.hypercallsPerFrame).toBeCloseTo(hypercalls, 9)
  })

  it.each([
    ["map-per-packet", 2],
    ["page-chunk", BLOCKS]
  ])("are those of frames, not of rings that fill, from a replay's first frame on: %s", async (strategy, maps) => {
    const capture = new Uint8Array(readFileSync(captured))
    const traffic = { kind: "replay", capture: "web.pcap" }
    const { dma } = await runOf(world({ nic: { queues: 4 }, driver: { strategy }, traffic }), { capture })
    expect(dma.rx.mapsPerFrame).toBeCloseTo(maps, 9)
    expect(dma.hypercallsPerFrame).toBeCloseTo(2 * maps, 9)
  })

  it("have fewer calls than maps where buffers share the entry of a page", async () => {
    const { dma } = await runOf(builtin("smoke", "map-per-packet", ["dma.allocator=identity"]))
    expect(dma.rx.mapsPerFrame).toBeCloseTo(2, 9)
    expect(dma.hypercallsPerFrame).toBeGreaterThan(0.7)
    expect(dma.hypercallsPerFrame).toBeLessThan(0.8)
  })

  it("are four times as many where blocks are of 4 KiB pages, and make no hypercalls on VT-d", async () => {
    const dma = { allocator: "rbtree" }
    const platform = { profile: "x86-sandybridge", iommu: { kind: "vtd" }, dma }
    const measure = { warmUp: "1 ms", duration: "1 ms" }
    const result = await runOf(world({ ...platform, measure, driver: { strategy: "page-chunk" } }))
    expect(result.dma.rx.mapsPerFrame).toBeCloseTo(4 * BLOCKS, 9)
    expect(result.dma.hypercallsPerFrame).toBe(0)
  })
})
