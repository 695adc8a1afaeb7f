/**
 * How much the assumed constants of the profile matter.
 *
 * Goal: wherever in its range a constant lies, the fit converges and page-chunk still fills the wire. Method:
 * each constant is halved and doubled within its range and the hypercall fitted again, in short windows on
 * short rings; the table is printed. `docs/sensitivity.md` shows the same in windows as long as they should be.
 */
import { describe, expect, it } from "@effect/vitest"
import { findProfile } from "@vnic/sim"
import * as Effect from "effect/Effect"
import { assumedConstants, outcomeOf, pairTimesOf, variantsOf } from "../src/Sensitivity.ts"
import { builtin } from "./support/scenarios.ts"

const profile = findProfile("power7-pseries")!
const SETTINGS = ["measure.warmUp=2 ms", "nic.rx.descriptors=256", "host.memory=64 MiB"]
const options = {
  mapPerPacket: builtin("cascardo-2013", "map-per-packet", [...SETTINGS, "measure.duration=8 ms"]),
  pageChunk: builtin("cascardo-2013", "page-chunk", [...SETTINGS, "measure.duration=3 ms"]),
  targetGbps: 3,
  seed: 1,
  startPs: profile.constants.hypercall.value
}

describe("variants", () => {
  it("are all assumed constants, inside their ranges and different from the profile's", () => {
    for (const ends of [false, true]) {
      const variants = variantsOf(profile, ends)
      expect(new Set(variants.map(({ constant }) => constant))).toEqual(new Set(assumedConstants(profile)))
      for (const { constant, value } of variants) {
        const [low, high] = profile.constants[constant].range!
        expect(value).toBeGreaterThanOrEqual(low)
        expect(value).toBeLessThanOrEqual(high)
        expect(value).not.toBe(profile.constants[constant].value)
      }
    }
  })
})

describe("times of pairs under contention", () => {
  const sample = { lines: ["rbtree", "direct"], threads: [1, 4], ops: 500 }
  const timesOf = (changes: object) => pairTimesOf(sample, changes)

  it.effect("are of the lines and threads that are asked for, and move with what they spend", () =>
    Effect.gen(function* () {
      const [rbtree, direct] = yield* timesOf({})
      expect([rbtree!.length, direct!.length]).toEqual([2, 2])
      const { directMapPair, hypercall } = profile.constants
      // Nothing is waited for without an IOMMU; a thread's pairs take what they cost.
      const dearer = yield* timesOf({ directMapPair: directMapPair.value + 1000 })
      expect(dearer[0]).toEqual(rbtree)
      expect(dearer[1]![0]! - direct![0]!).toBeCloseTo(1000, 6)
      expect(dearer[1]![1]! - direct![1]!).toBeGreaterThan(0)
      // Two hypercalls a pair, outside of the tree's lock.
      const slower = yield* timesOf({ hypercall: hypercall.value + 1000 })
      expect(slower[0]![0]! - rbtree![0]!).toBeCloseTo(2000, -2)
      expect(slower[1]).toEqual(direct)
    })
  )
})

describe("every assumed constant, halved and doubled within its range", () => {
  it.live(
    "leaves the fit possible and page-chunk above 9 Gb/s",
    () =>
      Effect.gen(function* () {
        const lines: Array<string> = []
        for (const { change, constant, value } of variantsOf(profile, false)) {
          const outcome = yield* outcomeOf(options, { [constant]: value })
          const { fittedGbps, fittedHypercallPs, isConverged, mapPerPacket, pageChunk, unfittedGbps } = outcome
          const cells = [
            constant.padEnd(21),
            change.padEnd(6),
            String(value).padStart(8),
            unfittedGbps.toFixed(2).padStart(7),
            `${fittedHypercallPs / 1000} ns`.padStart(8),
            pageChunk.goodputGbps.toFixed(2).padStart(6),
            `${Math.round(pageChunk.cpu.utilization * 100)}%`.padStart(5)
          ]
          lines.push(cells.join("  "))
          expect({ constant, change, isConverged }).toEqual({ constant, change, isConverged: true })
          expect(Math.abs(fittedGbps - 3)).toBeLessThan(0.01)
          expect(mapPerPacket.limit.resource).toBe("TCE table lock")
          expect(pageChunk.goodputGbps).toBeGreaterThanOrEqual(9)
          expect(pageChunk.goodputGbps).toBeLessThanOrEqual(9.493)
        }
        console.log(
          ["constant, change, value, Gb/s before the fit, hypercall, page-chunk, its CPU", ...lines].join("\n")
        )
      }),
    300_000
  )
})
