/**
 * Goal: the maple tree hands out the highest place that fits, and stays a well-formed tree. Method: the place is
 * compared with that of the oracle, which tries all of them; the tree is walked after operations and everything
 * that a node says about what lies below it is computed again.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { IOVA_NONE, WORK_CACHE_LINES, WORK_NODES } from "../src/core/iova/allocator.ts"
import { MapleRanges } from "../src/core/iova/maple.ts"
import { GAP, PIVOT, placeOf, slotCountOf, SLOTS_MAX, SLOTS_MIN, VALUE } from "../src/core/iova/mapleNodes.ts"
import { NaiveWindow } from "@vnic/dma-api/testing"
import { windowOf } from "./support/allocators.ts"

const makeMapleRanges = (pageCount: number, isFirstPageReserved: boolean): MapleRanges =>
  new MapleRanges(windowOf({ pageCount, isFirstPageReserved, pagesBelow4GiB: pageCount }))

/** first and pages of what is live, in ascending order. */
type Live = Array<readonly [first: number, pages: number]>

/** Walks the tree; the ranges that it holds, after all that its nodes say was found true. */
function rangesOf(tree: MapleRanges, pageCount: number, lowest: number): Live {
  const { nodes } = tree
  const ranges: Live = []
  let end = lowest
  let nodeCount = 0
  const walk = (node: number, level: number): readonly [pivot: number, gap: number] => {
    nodeCount++
    const slotCount = slotCountOf(nodes.words, node)
    const isRoot = node === tree.root
    if (slotCount > SLOTS_MAX || slotCount < (isRoot ? 1 : SLOTS_MIN)) expect.fail(`a node with ${slotCount} slots`)
    let largest = 0
    for (let slot = 0; slot < slotCount; slot++) {
      const place = placeOf(node, slot)
      const [pivot, gap, value] = [PIVOT, GAP, VALUE].map((word) => nodes.words[place + word]!)
      if (level === tree.levelCount - 1) {
        expect([value! - end, value! <= pivot!]).toEqual([gap, true])
        end = pivot!
        ranges.push([value!, pivot! - value!])
      } else {
        expect(walk(value!, level + 1)).toEqual([pivot, gap])
      }
      largest = Math.max(largest, gap!)
    }
    return [end, largest]
  }
  walk(tree.root, 0)
  expect(nodes.count).toBe(nodeCount)
  expect(ranges.pop()).toEqual([pageCount, 0])
  return ranges
}

interface Operation {
  readonly isFree: boolean
  readonly pages: number
  readonly alignmentLog: number
  readonly pick: number
  readonly reach: number
}

const byFirst = (left: Live[number], right: Live[number]): number => left[0] - right[0]
const rounded = (pages: number): number => 2 ** Math.ceil(Math.log2(pages))

/** Runs a history in the tree and in the oracle, and walks the tree from time to time and at the end. */
function run(pageCount: number, isReserved: boolean, operations: ReadonlyArray<Operation>, walkEvery: number): void {
  const tree = makeMapleRanges(pageCount, isReserved)
  const naive = new NaiveWindow(pageCount, isReserved)
  const live: Live = []
  const free = (index: number): void => {
    const [first, pages] = live.splice(index, 1)[0]!
    tree.free(first, pages)
    naive.give(first, pages)
  }
  const check = (): void => {
    expect(rangesOf(tree, pageCount, isReserved ? 1 : 0)).toEqual(live.toSorted(byFirst))
    expect(tree.pagesUsed).toBe(naive.pagesUsed())
  }
  for (const [index, { alignmentLog, isFree, pages, pick, reach }] of operations.entries()) {
    if (isFree && live.length > 0) {
      free(pick % live.length)
    } else {
      const request = { pages, alignment: Math.max(2 ** alignmentLog, rounded(pages)), reach }
      const first = tree.allocate(pages, 2 ** alignmentLog, reach)
      expect(first).toBe(naive.places(request).at(-1) ?? IOVA_NONE)
      if (first !== IOVA_NONE) expect(naive.take(first, request)).toBe("")
      if (first !== IOVA_NONE) live.push([first, pages])
    }
    if (index % walkEvery === 0) check()
  }
  check()
  while (live.length > 0) free((live.length * 7) >> 4)
  check()
  expect([tree.levelCount, tree.nodes.count]).toEqual([1, 1])
}

const operation = (pageCount: number): fc.Arbitrary<Operation> =>
  fc.record({
    isFree: fc.boolean(),
    pages: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 5 })),
    alignmentLog: fc.oneof(fc.constant(0), fc.nat({ max: 4 })),
    pick: fc.nat(),
    reach: fc.oneof(fc.constant(pageCount), fc.nat({ max: pageCount + 5 }))
  })

describe("against the oracle", () => {
  test.prop([fc.boolean(), fc.array(operation(60), { maxLength: 80 })], { numRuns: 100 })(
    "the highest place that fits, in a small window that is often full",
    (isReserved, operations) => run(60, isReserved, operations, 1)
  )

  test.prop([fc.array(operation(900), { minLength: 300, maxLength: 700, size: "max" })], { numRuns: 15 })(
    "the highest place that fits, in a window that takes a tree of several levels",
    (operations) => run(900, true, operations, 40)
  )

  test.prop([fc.integer({ min: 1, max: 3 }), fc.array(fc.nat(), { minLength: 1, maxLength: 12 })], { numRuns: 20 })(
    "a window filled to the brim and emptied in a drawn order, over and over",
    (pages, picks) => {
      const all = Array.from({ length: 500 }, () => ({ isFree: false, pages, alignmentLog: 0, reach: 500 }))
      const both = [...all, ...all.map((one) => ({ ...one, isFree: true })), ...all]
      run(
        500,
        false,
        both.map((one, index) => ({ ...one, pick: picks[index % picks.length]! })),
        100
      )
    }
  )
})

describe("the tree", () => {
  /** A tree with so many single pages in use, of twice the window. */
  const filled = (count: number): MapleRanges => {
    const tree = makeMapleRanges(2 * count, false)
    for (let index = 0; index < count; index++) tree.allocate(1, 1, 2 * count)
    return tree
  }

  it("is as flat as wide nodes make it, and its nodes are well filled", () => {
    const tree = filled(10_000)
    expect(tree.levelCount).toBeLessThanOrEqual(6)
    expect(10_000 / tree.nodes.count).toBeGreaterThan(SLOTS_MIN)
  })

  it("finds a hole on one way down, wherever it is, and a node is four lines", () => {
    const tree = filled(10_000)
    for (const hole of [19_999, 15_000, 12_345, 10_001, 10_000]) {
      // The first time the leaf that takes the range back is full and is split.
      for (let round = 0; round < 2; round++) {
        tree.free(hole, 1)
        expect(tree.allocate(1, 1, 20_000)).toBe(hole)
      }
      expect(tree.steps[WORK_NODES]).toBe(tree.levelCount)
      expect(tree.steps[WORK_CACHE_LINES]).toBe(4 * tree.levelCount)
    }
  })

  it("is searched below the reach of a device only, where what lies above it costs nothing", () => {
    const tree = filled(10_000)
    tree.free(19_000, 1)
    tree.free(11_000, 1)
    expect(tree.allocate(1, 1, 12_000)).toBe(11_000)
    tree.free(11_000, 1)
    expect(tree.allocate(1, 1, 12_000)).toBe(11_000)
    expect(tree.steps[WORK_NODES]).toBe(tree.levelCount)
    expect(tree.allocate(1, 1, 10_000)).toBe(9_999)
  })

  it("aligns a range to its size, rounded up to a power of two", () => {
    const tree = makeMapleRanges(64, false)
    expect([tree.allocate(3, 1, 64), tree.allocate(5, 1, 64), tree.allocate(1, 1, 64)]).toEqual([60, 48, 63])
    expect([tree.canEverFit(33, 1, 64), tree.canEverFit(64, 1, 64), tree.canEverFit(65, 1, 64)]).toEqual([
      true,
      true,
      false
    ])
    expect(makeMapleRanges(64, true).canEverFit(33, 1, 64)).toBe(false)
  })

  it("a freed range that is not allocated is a broken invariant", () => {
    const tree = makeMapleRanges(64, true)
    const first = tree.allocate(4, 1, 64)
    expect(() => tree.free(first, 2)).toThrow("not allocated")
    expect(() => tree.free(first + 2, 2)).toThrow("not allocated")
    expect(() => tree.free(0, 1)).toThrow("outside the window")
    expect(() => tree.free(64, 0)).toThrow("outside the window")
    tree.free(first, 4)
    expect(() => tree.free(first, 4)).toThrow("not allocated")
  })
})
