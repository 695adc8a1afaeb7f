/**
 * When a sample stands for a whole run.
 *
 * Goal: a steady stream of pairs is sampled shortly, a noisy one for as long as its interval needs, and one that
 * drifts is never taken for steady. Method: made-up times between pairs, with means that are known.
 */
import { makePrng } from "@vnic/sim/core"
import { describe, expect, it } from "vitest"
import { perPair } from "../src/contention/meter.ts"
import { estimateOf, Sampler, type Verdict } from "../src/contention/sampling.ts"

const BATCH_PAIRS = 50
const ROUND_PAIRS = 20 * BATCH_PAIRS

/** Lets a sampler see pairs with these gaps until it is over. */
const sample = (gapPs: (pair: number) => number, roundPs = 0) => {
  const sampler = new Sampler({ roundPairs: ROUND_PAIRS, roundPs, pairsMax: 1e6 })
  let atPs = 1000
  let verdict: Verdict = "more"
  let pairs = 0
  sampler.begin(atPs)
  while (verdict !== "good" && verdict !== "hopeless") {
    atPs += gapPs(pairs++)
    verdict = sampler.pairEnded(atPs)
  }
  return { estimate: sampler.estimate!, pairs, verdict }
}

describe("a sample", () => {
  it("of equal times is good after three rounds", () => {
    const { estimate, pairs, verdict } = sample(() => 700)
    expect([verdict, pairs]).toEqual(["good", 3 * ROUND_PAIRS])
    expect(estimate).toEqual({ pairPs: 700, ci95Share: 0, pairs: ROUND_PAIRS })
  })

  it("leaves the warm-up out", () => {
    const { estimate } = sample((pair) => (pair < ROUND_PAIRS ? 5000 : 700))
    expect(estimate.pairPs).toBe(700)
  })

  it("is as long as it was asked to be", () => {
    expect(sample(() => 700, 700 * ROUND_PAIRS).estimate.pairs).toBe(ROUND_PAIRS)
    expect(sample(() => 700, 701 * ROUND_PAIRS).estimate.pairs).toBe(2 * ROUND_PAIRS)
  })

  it("has an interval that covers its rounds, however even each of them is", () => {
    const { estimate, verdict } = sample((pair) => [1000, 1006, 998][Math.floor(pair / ROUND_PAIRS)]!)
    expect(verdict).toBe("good")
    expect(estimate.ci95Share).toBeCloseTo(8 / 998, 12)
  })

  it("of noisy times goes on until its interval is narrow, and the mean lies in it", () => {
    let within = 0
    for (let seed = 1; seed <= 20; seed++) {
      const prng = makePrng(seed)
      const { estimate, pairs, verdict } = sample(() => 500 + 1000 * prng.uniform())
      expect(verdict).toBe("good")
      expect(estimate.ci95Share).toBeLessThan(0.01)
      expect(pairs).toBeGreaterThan(3 * ROUND_PAIRS)
      if (Math.abs(estimate.pairPs - 1000) <= 2 * 1000 * estimate.ci95Share) within++
    }
    expect(within).toBeGreaterThanOrEqual(18)
  })

  it("of times that grow is given up", () => {
    expect(sample((pair) => 1000 + pair / 20).verdict).toBe("hopeless")
    expect(sample((pair) => 1000 + Math.floor(pair / ROUND_PAIRS) * 60).verdict).toBe("hopeless")
    // So slowly that no round differs much from the one before.
    expect(sample((pair) => 1000 + pair / 1000).verdict).toBe("hopeless")
  })

  it("has a trend when its batches rise, and none when they only differ", () => {
    const prng = makePrng(3)
    const noisy = (slope: number) =>
      estimateOf(
        Float64Array.from({ length: 20 }, (_, batch) => 1000 + slope * batch + 10 * prng.uniform()),
        10
      )
    expect(noisy(3).hasTrend).toBe(true)
    const falseAlarms = Array.from({ length: 400 }, () => noisy(0)).filter(({ hasTrend }) => hasTrend).length
    expect(falseAlarms / 400).toBeGreaterThan(0.02)
    expect(falseAlarms / 400).toBeLessThan(0.08)
  })

  it("has the interval of the textbook", () => {
    const durations = Float64Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? 900 : 1100))
    const { noiseShare, pairPs } = estimateOf(durations, 10)
    expect(pairPs).toBe(100)
    // Deviation sqrt(20 * 100^2 / 19), divided by sqrt(20), times 2.093.
    expect(noiseShare).toBeCloseTo((2.093 * Math.sqrt((20 * 100 ** 2) / 19)) / Math.sqrt(20) / 1000, 12)
  })
})

describe("a count of a sample", () => {
  it("has as many digits as one pair more or less of each CPU leaves it", () => {
    expect(perPair(16_009, 8000, 8)).toBe(2)
    expect(perPair(8002, 8000, 8)).toBe(1)
    expect(perPair(9421, 8000, 8)).toBe(1.18)
    expect(perPair(134_087, 64_000, 16)).toBe(2.095)
    expect(perPair(6_004_321, 8000, 8)).toBe(751)
    expect(perPair(160_321, 8000, 800)).toBe(20)
    expect(perPair(0, 8000, 8)).toBe(0)
  })

  it("has all of them when all pairs were simulated", () => {
    expect(perPair(16_009, 8000, 0)).toBe(16_009 / 8000)
  })
})
