/**
 * The slots of a bounce buffer.
 *
 * Goal: runs of free slots are kept right whatever comes and goes. Method: the same history is put to the real ones
 * and to a list of owners that is searched slot by slot; all histories of a small buffer, random ones of a larger.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { SLOT_BYTES, SLOT_NONE, SwiotlbSlots, type SlotRequest } from "@vnic/dma-api/core"
import { NaiveSlots } from "./support/NaiveSlots.ts"

const plain = (count: number): SlotRequest => ({
  count,
  alignMask: 0,
  alignedTo: 0,
  boundaryMask: Number.MAX_SAFE_INTEGER
})

interface Both {
  readonly real: SwiotlbSlots
  readonly naive: NaiveSlots
  readonly live: Array<number>
}

const makeBoth = (setAddresses: ReadonlyArray<number>, setSlots: number, areaCount: number): Both => ({
  real: new SwiotlbSlots(Float64Array.from(setAddresses), setSlots, areaCount),
  naive: new NaiveSlots(setAddresses, setSlots, areaCount),
  live: []
})

/** Takes from both; false when they disagree. */
const take = ({ live, naive, real }: Both, area: number, request: SlotRequest): boolean => {
  const slot = real.take(area, request)
  if (slot !== SLOT_NONE) live.push(slot)
  return slot === naive.take(area, request)
}

const giveBack = ({ live, naive, real }: Both, index: number): void => {
  const [slot] = live.splice(index % live.length, 1)
  real.giveBack(slot!)
  naive.giveBack(slot!)
}

const usedOf = ({ real }: Both): number => real.used.reduce((sum, used) => sum + used, 0)

describe("the slots of a bounce buffer", () => {
  it("agree with the oracle in all histories of two sets of 4 slots", () => {
    const requests: ReadonlyArray<SlotRequest> = [
      plain(1),
      plain(2),
      plain(3),
      plain(4),
      { ...plain(1), alignMask: 2 * SLOT_BYTES - 1, alignedTo: SLOT_BYTES },
      { ...plain(2), boundaryMask: 2 * SLOT_BYTES - 1 }
    ]
    const setBytes = 4 * SLOT_BYTES
    let histories = 0
    const go = (history: ReadonlyArray<number>): void => {
      const both = makeBoth([3 * setBytes, 7 * setBytes], 4, 1)
      for (const step of history) {
        if (step >= requests.length) giveBack(both, step - requests.length)
        else if (!take(both, 0, requests[step]!)) expect.fail(`they disagree at the end of ${history.join(" ")}`)
      }
      if (usedOf(both) !== both.naive.used) expect.fail(`another number is used after ${history.join(" ")}`)
      histories++
      if (history.length === 5) return
      const choices = requests.length + both.live.length
      for (let step = 0; step < choices; step++) go([...history, step])
    }
    go([])
    expect(histories).toBeGreaterThan(20_000)
  })

  const request = fc.record({
    area: fc.nat(3),
    count: fc.integer({ min: 1, max: 9 }),
    alignShift: fc.nat(4),
    alignedTo: fc.nat(15),
    boundaryShift: fc.constantFrom(0, 1, 2, 3, 40)
  })
  const step = fc.oneof(request, fc.nat(1000))

  test.prop([fc.constantFrom(1, 2, 4), fc.array(step, { maxLength: 80 })], { numRuns: 150 })(
    "agree with the oracle in random histories, sets anywhere in memory",
    (areaCount, steps) => {
      const setSlots = 8
      const both = makeBoth(
        [40, 3, 9, 8].map((set) => set * setSlots * SLOT_BYTES),
        setSlots,
        areaCount
      )
      for (const one of steps) {
        if (typeof one === "number") {
          if (both.live.length > 0) giveBack(both, one)
          continue
        }
        const alignMask = (2 ** one.alignShift - 1) * SLOT_BYTES
        const wanted = {
          count: one.count,
          alignMask,
          alignedTo: (one.alignedTo * SLOT_BYTES) & alignMask,
          boundaryMask: 2 ** one.boundaryShift * SLOT_BYTES - 1
        }
        expect(take(both, one.area % areaCount, wanted)).toBe(true)
        expect(usedOf(both)).toBe(both.naive.used)
      }
      while (both.live.length > 0) giveBack(both, 0)
      expect(usedOf(both)).toBe(0)
      // Every set is one run again.
      for (let set = 0; set < 4; set++) expect(take(both, Math.floor((set * areaCount) / 4), plain(8))).toBe(true)
    }
  )

  it("an empty buffer is searched in one step, and one look is enough where a slot in 16 is aligned", () => {
    const { real } = makeBoth(
      [0, 1, 2, 3].map((set) => set * 128 * SLOT_BYTES),
      128,
      1
    )
    real.take(0, plain(1))
    expect(real.steps).toBe(2)
    real.take(0, plain(1))
    // The slot itself looked at and written; nothing before it is free.
    expect(real.steps).toBe(2)
    const aligned = { ...plain(1), alignMask: 15 * SLOT_BYTES }
    expect(real.take(0, aligned)).toBe(16)
    // 2 to 16 looked at, 16 written, 2 to 15 counted anew.
    expect(real.steps).toBe(15 + 1 + 14)
  })

  it("what is given back twice, or was never handed out, is a defect", () => {
    const { real } = makeBoth([0], 8, 1)
    const slot = real.take(0, plain(3))
    expect(() => real.giveBack(slot + 1)).toThrow("not handed out")
    real.giveBack(slot)
    expect(() => real.giveBack(slot)).toThrow("not handed out")
  })

  it("sizes that are no powers of two, and more areas than sets, are defects", () => {
    expect(() => new SwiotlbSlots(new Float64Array(3), 8, 1)).toThrow("power of two")
    expect(() => new SwiotlbSlots(new Float64Array(2), 6, 1)).toThrow("power of two")
    expect(() => new SwiotlbSlots(new Float64Array(2), 8, 4)).toThrow("no slots")
  })
})
