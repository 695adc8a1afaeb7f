/**
 * In which order benchmark threads map and unmap.
 *
 * Goal: every pair maps a slot that is free and unmaps one that is not, in the order that the pattern promises.
 * Method: a naive model keeps the age of each live mapping, and random patterns are followed for many pairs.
 */
import { fc, it as property } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { parsePattern, type Pattern, Slots, slotsOf } from "../src/contention/patterns.ts"

const patternOf = (text: string): Pattern => {
  const pattern = parsePattern(text)
  if ("problem" in pattern) throw new Error(pattern.problem)
  return pattern
}

/** Follows one of several threads; gives the ages, in its own maps, of what each pair unmapped. */
const follow = (pattern: Pattern, pairs: number, below: (bound: number) => number) => {
  const thread = 1
  const slots = new Slots(pattern, 3, below)
  const bornAt = new Map<number, number>()
  let maps = 0
  for (let n = 0; n < slots.fillCount; n++) bornAt.set(slots.fillSlot(n), maps++)
  expect(bornAt.size).toBe(slots.fillCount)
  const seen: Array<{ readonly slot: number; readonly isOldestOf: (from: number, to: number) => boolean }> = []
  for (let pair = 0; pair < pairs; pair++) {
    const mapped = slots.mapSlot(thread)
    expect(bornAt.has(mapped)).toBe(false)
    bornAt.set(mapped, maps++)
    const slot = slots.unmapSlot(thread)
    const born = bornAt.get(slot)
    expect(born).toBeDefined()
    const alive = new Map(bornAt)
    seen.push({
      slot,
      isOldestOf: (from, to) => [...alive].every(([other, at]) => other < from || other >= to || at >= born!)
    })
    bornAt.delete(slot)
  }
  expect(Math.max(...bornAt.keys(), 0)).toBeLessThan(slotsOf(pattern))
  return seen
}

describe("a pattern", () => {
  it("once unmaps what it has just mapped", () => {
    const slots = new Slots(patternOf("once"), 1, () => 0)
    expect([slots.fillCount, slots.mapSlot(0), slots.unmapSlot(0), slots.mapSlot(0)]).toEqual([0, 0, 0, 0])
  })

  property.prop([fc.integer({ min: 1, max: 20 })])("fifo:N unmaps the oldest of N", (depth) => {
    const pattern = patternOf(`fifo:${depth}`)
    expect(slotsOf(pattern)).toBe(depth)
    for (const { isOldestOf } of follow(pattern, 3 * depth + 5, () => 0)) expect(isOldestOf(0, depth)).toBe(true)
  })

  property.prop([fc.integer({ min: 4, max: 40 })])("two-rings unmaps the oldest of one of two", (depth) => {
    const pattern = patternOf(`two-rings:${depth}`)
    const total = depth + Math.floor(depth / 4)
    expect(slotsOf(pattern)).toBe(total)
    const pairs = follow(pattern, 6 * depth, () => 0)
    const isAck = pairs.map(({ slot }) => slot >= depth)
    expect(isAck).toEqual(pairs.map((_, index) => index % 3 === 2))
    for (const { isOldestOf, slot } of pairs) {
      expect(slot < depth ? isOldestOf(0, depth) : isOldestOf(depth, total)).toBe(true)
    }
  })

  property.prop([fc.integer({ min: 1, max: 12 }), fc.infiniteStream(fc.nat(1000))])(
    "random:N unmaps any of N",
    (depth, draws) => {
      const below = (bound: number): number => draws.next().value! % bound
      follow(patternOf(`random:${depth}`), 200, below)
    }
  )

  it("has one name, however it is written", () => {
    const names = ["once", "fifo:007", "two-rings", "random", "random:128"].map((text) => patternOf(text).name)
    expect(names).toEqual(["once", "fifo:7", "two-rings:128", "random:128", "random:128"])
  })

  it.each([
    "",
    "fifo",
    "fifo:",
    "fifo:0",
    "fifo:1.5",
    "fifo:-3",
    "once:2",
    "two-rings:3",
    "random:x",
    "fifo:3:4",
    "fifo:0x10",
    "fifo:1e2",
    "fifo: 3",
    "random:",
    "lifo"
  ])("is not %j", (text) => expect(parsePattern(text)).toHaveProperty("problem"))
})
