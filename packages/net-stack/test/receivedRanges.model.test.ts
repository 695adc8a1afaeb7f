/** ReceivedRanges against a set of numbers: every operation, around every wrap of the sequence space. */
import { ReceivedRanges } from "@vnic/net-stack/core"
import { fc, test as property } from "@fast-check/vitest"
import { describe, expect } from "vitest"

/** How far beyond the first hole segments begin: near, so that they meet, and far, so that there are many. */
const distances = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 200 }))

describe("received ranges", () => {
  property.prop([
    fc.constantFrom(0, -20, 0x7fff_fff0, 12_345),
    fc.array(fc.tuple(distances, fc.integer({ min: 1, max: 12 })), { maxLength: 60 })
  ])("hold what a set holds", (origin, segments) => {
    const ranges = new ReceivedRanges(3)
    const held = new Set<number>()
    let next = 0
    const runCount = (): number => [...held].filter((offset) => !held.has(offset - 1)).length
    for (const [distance, sizeBytes] of segments) {
      const start = next + distance
      const end = start + sizeBytes
      const fresh = Array.from({ length: sizeBytes }, (_, index) => start + index).filter((at) => !held.has(at))
      if (distance === 0) {
        expect(ranges.overlap(1, (origin + next) | 0, (origin + end) | 0)).toBe(sizeBytes - fresh.length)
        const reached = ranges.absorb(1, (origin + end) | 0)
        next = end
        while (held.has(next)) next++
        for (const offset of held) if (offset < next) held.delete(offset)
        expect(reached).toBe((origin + next) | 0)
      } else {
        const inserted = ranges.insert(1, (origin + next) | 0, (origin + start) | 0, (origin + end) | 0)
        for (const offset of fresh) held.add(offset)
        expect(inserted).toBe(fresh.length)
      }
      expect(ranges.count(1)).toBe(runCount())
      expect([ranges.count(0), ranges.count(2)]).toEqual([0, 0])
    }
  })
})
