import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { makeHistogram } from "@vnic/sim/core"

const value = fc.oneof(fc.nat({ max: 200 }), fc.nat(), fc.nat({ max: 2 ** 48 - 1 }))
const share = fc.double({ min: 0.001, max: 1, noNaN: true })

describe("histogram", () => {
  test.prop([fc.array(value, { minLength: 1, maxLength: 300 }), share], { numRuns: 500 })(
    "percentiles are those of the sorted values, at most 3.2 % higher",
    (values, share) => {
      const histogram = makeHistogram()
      for (const one of values) histogram.record(one)
      const exact = values.toSorted((left, right) => left - right)[Math.ceil(share * values.length) - 1]!
      const found = histogram.percentile(share)
      expect(found).toBeGreaterThanOrEqual(exact)
      expect(found).toBeLessThanOrEqual(exact < 64 ? exact : exact * 1.032)
      expect(histogram.count).toBe(values.length)
      expect(histogram.max).toBe(Math.max(...values))
      expect(histogram.percentile(1)).toBe(histogram.max)
    }
  )

  test.prop([value])("one value is every percentile", (one) => {
    const histogram = makeHistogram()
    histogram.record(one)
    for (const share of [0.01, 0.5, 0.99, 1]) expect(histogram.percentile(share)).toBe(one)
  })

  it("is empty at first and after a reset; what is too large is counted at the top", () => {
    const histogram = makeHistogram()
    expect([histogram.count, histogram.max, histogram.percentile(0.5)]).toEqual([0, 0, 0])
    histogram.record(2 ** 50)
    expect([histogram.count, histogram.max]).toEqual([1, 2 ** 50])
    expect(histogram.percentile(1)).toBeLessThanOrEqual(2 ** 50)
    histogram.reset()
    expect([histogram.count, histogram.max, histogram.percentile(0.5)]).toEqual([0, 0, 0])
  })
})
