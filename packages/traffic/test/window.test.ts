import { fc, test as property } from "@fast-check/vitest"
import { PART_NONE, Tally, Window, WINDOW_PARTS } from "@vnic/traffic/core"
import { describe, expect, it } from "vitest"

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
