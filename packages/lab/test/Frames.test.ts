/**
 * The measured window.
 *
 * Goal: no result is above what the wire can carry, by not so much as a frame. Method: for drawn lengths, rates
 * and durations the window holds the same whole number of frames of a full wire wherever it begins.
 */
import { fc, it } from "@fast-check/vitest"
import { describe, expect } from "vitest"
import { segmentBytesOf, windowPsOf } from "../src/Frames.ts"
import type { ResolvedScenario } from "../src/Scenario.ts"
import { builtin, world } from "./support/scenarios.ts"

const PS_PER_MS = 1e9

const scenarioOf = (frameBytes: number, rateGbps: number, durationMs: number): ResolvedScenario =>
  world({
    measure: { duration: `${durationMs} ms` },
    link: { rate: `${rateGbps} Gb/s` },
    traffic: { kind: "open-loop", sizes: `${frameBytes} B` }
  })

const drawn = [fc.integer({ min: 64, max: 1518 }), fc.constantFrom(1, 10), fc.integer({ min: 1, max: 200 })] as const

describe("the measured window", () => {
  it.prop([...drawn, fc.integer({ min: 0, max: 2_000_000 })])(
    "holds as many frames of a full wire as its length has",
    (frameBytes, rateGbps, durationMs, openPs) => {
      const windowPs = windowPsOf(scenarioOf(frameBytes, rateGbps, durationMs))
      const framePs = ((frameBytes + 20) * 8000) / rateGbps
      expect(windowPs % framePs).toBe(0)
      expect(durationMs * PS_PER_MS - windowPs).toBeLessThan(framePs)
      expect(windowPs).toBeLessThanOrEqual(durationMs * PS_PER_MS)
      // Last bits pass at every multiple of a frame's time.
      const lastBitsBefore = (timePs: number): number => Math.ceil(timePs / framePs)
      expect(lastBitsBefore(openPs + windowPs) - lastBitsBefore(openPs)).toBe(windowPs / framePs)
    }
  )

  it("is what the scenario says where frames are of several lengths", () => {
    const scenario = world({ measure: { duration: "7 ms" }, traffic: { kind: "open-loop", sizes: "imix" } })
    expect(windowPsOf(scenario)).toBe(7 * PS_PER_MS)
  })
})

describe("a full segment", () => {
  it.each([
    [[], 1460],
    [["traffic.timestamps=true"], 1448],
    [["link.mtu=1000 B"], 960],
    [["traffic.frame=64 B"], 6]
  ])("of cascardo-2013 with %j holds %i bytes", (settings, bytes) => {
    expect(segmentBytesOf(builtin("cascardo-2013", "direct", settings))).toBe(bytes)
  })
})
