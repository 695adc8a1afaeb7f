import { fc, test as property } from "@fast-check/vitest"
import { PART_NONE, Tally, Window, WINDOW_PARTS } from "@vnic/traffic/core"
import { describe, expect, it } from "vitest"

/** What a span and the window [1000, 3000) have in common, added to 7. */
const overlapWith = (fromPs: number, toPs: number): number => {
  const window = new Window()
  window.open(1000, 2000)
  const timesPs = Float64Array.of(fromPs, toPs, 7)
  window.addOverlap(timesPs, 0, 1, 2)
  return timesPs[2]!
}

const partAt = (window: Window, timePs: number) => window.partOf(Float64Array.of(timePs), 0)

describe("a window", () => {
  it("holds nothing before it is planned", () => {
    const window = new Window()
    expect(window.isPlanned).toBe(false)
    expect(window.durationPs).toBe(0)
    expect(partAt(window, 0)).toBe(PART_NONE)
  })

  it("has its opening in it, and its end not", () => {
    const window = new Window()
    window.open(1000, 2000)
    expect(partAt(window, 999)).toBe(PART_NONE)
    expect(partAt(window, 1000)).toBe(0)
    expect(partAt(window, 1099)).toBe(0)
    expect(partAt(window, 1100)).toBe(1)
    expect(partAt(window, 2999)).toBe(WINDOW_PARTS - 1)
    expect(partAt(window, 3000)).toBe(PART_NONE)
  })

  it.each([
    ["before it", 0, 999, 0],
    ["up to its opening", 500, 1000, 0],
    ["across its opening", 900, 1300, 300],
    ["from its opening on", 1000, 1300, 300],
    ["inside", 1200, 1300, 100],
    ["up to its end", 2900, 3000, 100],
    ["across its end", 2900, 3300, 100],
    ["around it", 0, 9000, 2000],
    ["from its end on", 3000, 3300, 0],
    ["behind it", 5000, 6000, 0]
  ])("has in common with a time %s what lies in both", (_, fromPs, toPs, commonPs) => {
    expect(overlapWith(fromPs, toPs)).toBe(7 + commonPs)
  })

  it("has nothing in common with any time before it is planned", () => {
    const timesPs = Float64Array.of(0, 1e12, 0)
    new Window().addOverlap(timesPs, 0, 1, 2)
    expect(timesPs[2]).toBe(0)
  })

  property.prop([fc.integer({ min: 1, max: 1e9 }), fc.integer({ min: 0, max: 1e9 })])(
    "has parts for all of it",
    (durationPs, offset) => {
      const window = new Window()
      window.open(7, durationPs)
      const part = partAt(window, 7 + (offset % durationPs))
      expect(part).toBeGreaterThanOrEqual(0)
      expect(part).toBeLessThan(WINDOW_PARTS)
    }
  )
})

describe("a tally", () => {
  it("has no spread when its parts are equal", () => {
    const tally = new Tally()
    for (let part = 0; part < WINDOW_PARTS; part++) tally.add(part, 5)
    expect(tally.sum).toBe(100)
    expect(tally.halfWidth95).toBe(0)
  })

  it("gives the half-width of Student's interval", () => {
    const tally = new Tally()
    for (let part = 0; part < WINDOW_PARTS; part++) tally.add(part, part % 2)
    // Sample deviation of ten zeros and ten ones, over sqrt(20), times t(0.975, 19).
    expect(tally.halfWidth95).toBeCloseTo((2.093024 * Math.sqrt(5 / 19)) / Math.sqrt(20), 9)
  })
})
