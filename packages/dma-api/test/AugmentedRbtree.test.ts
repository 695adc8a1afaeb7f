/**
 * The augmented tree.
 *
 * Goal: a request gets the highest naturally aligned block below its reach whenever there is one, at a cost that is
 * logarithmic whatever the history. Method: an oracle that looks at every page, all short histories, random ones
 * with narrow reaches, and the histories that defeat a linear walk.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { IOVA_NONE, WORK_NODES } from "../src/core/iova/allocator.ts"
import { AugmentedRbtree } from "../src/core/iova/augmentedRbtree.ts"
import { alignedPageOf, largestOrderIn } from "../src/core/iova/powersOfTwo.ts"
import { NaiveBlocks, rangesOf, windowOf, type Range } from "./support/trees.ts"

/** The ranges of the tree below the one at the window's end. */
const blocksOf = (tree: AugmentedRbtree): Array<Range> => rangesOf(tree.tree).slice(0, -1)

/** The order of the largest block in a gap of less than 128 pages, by trying every one. */
function largestByTrying(first: number, end: number): number {
  let largest = -1
  for (let order = 0; order < 7; order++) {
    for (let page = 0; page + 2 ** order <= end; page += 2 ** order) if (page >= first) largest = order
  }
  return largest
}

describe("the largest aligned block of a gap", () => {
  it("every gap in 70 pages, wherever the window begins", () => {
    for (const startPage of [0, 1, 9, 2 ** 30, 2 ** 35 + 9]) {
      const origin = alignedPageOf(startPage)
      const shift = startPage % 64
      for (let first = 0; first <= 70; first++) {
        for (let end = first; end <= 70; end++) {
          const largest = largestByTrying(shift + first, shift + end)
          if (largestOrderIn(first, end, origin) !== largest) expect.fail(`[${first}, ${end}) at ${startPage}`)
        }
      }
    }
    expect(largestOrderIn(1, 2 ** 30, 0)).toBe(29)
    expect(largestOrderIn(0, 2 ** 30, 0)).toBe(30)
    expect(largestOrderIn(0, 2 ** 30, alignedPageOf(1))).toBe(29)
  })
})

describe("against a list of blocks", () => {
  it("every history of six operations on 16 pages, 8 of them below 4 GiB", () => {
    let histories = 0
    const extend = (operations: ReadonlyArray<number>): void => {
      const window = windowOf(16, 8)
      const real = new AugmentedRbtree(window)
      const naive = new NaiveBlocks(window)
      const live: Array<readonly [first: number, pages: number]> = []
      for (const operation of operations) {
        const isFree = operation > 3
        if (isFree && operation - 4 < live.length) {
          const [first, pages] = live.splice(operation - 4, 1)[0]!
          real.free(first, pages)
          naive.free(first)
        }
        if (isFree) continue
        const reach = operation === 3 ? 5 : 16
        const first = real.allocate((operation % 3) + 1, 1 << (operation % 2), reach)
        if (first !== naive.allocate((operation % 3) + 1, 1 << (operation % 2), reach)) {
          expect.fail(`differs after ${operations.join(" ")}`)
        }
        if (first !== IOVA_NONE) live.push([first, (operation % 3) + 1])
      }
      histories++
      if (operations.length < 6) for (let next = 0; next < 6; next++) extend([...operations, next])
    }
    extend([])
    expect(histories).toBe((6 ** 7 - 1) / 5)
  })

  const operation = fc.record({
    isFree: fc.boolean(),
    pages: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 40 })),
    alignmentLog: fc.oneof(fc.constant(0), fc.nat({ max: 6 })),
    reach: fc.option(fc.nat({ max: 1000 }), { nil: 1000 }),
    pick: fc.nat()
  })
  test.prop([fc.integer({ min: 16, max: 900 }), fc.nat({ max: 1000 }), fc.array(operation, { maxLength: 150 })], {
    numRuns: 80
  })("random histories and reaches", (pageCount, low, operations) => {
    const window = windowOf(pageCount, Math.max(1, Math.min(low, pageCount)))
    const real = new AugmentedRbtree(window)
    const naive = new NaiveBlocks(window)
    const live: Array<readonly [first: number, pages: number]> = []
    for (const { alignmentLog, isFree, pages, pick, reach } of operations) {
      if (isFree && live.length > 0) {
        const [first, pages] = live.splice(pick % live.length, 1)[0]!
        real.free(first, pages)
        naive.free(first)
      } else {
        const limit = Math.min(reach, pageCount)
        const first = real.allocate(pages, 1 << alignmentLog, limit)
        expect(first).toBe(naive.allocate(pages, 1 << alignmentLog, limit))
        if (first !== IOVA_NONE) live.push([first, pages])
      }
      expect(blocksOf(real)).toEqual(naive.ranges)
    }
    expect(real.pagesUsed).toBe(live.reduce((sum, [, pages]) => sum + pages, 0))
    for (const [first, pages] of live) real.free(first, pages)
    expect([blocksOf(real), real.pagesUsed]).toEqual([[], 0])
    const largest = 2 ** Math.floor(Math.log2(pageCount - 1))
    const fits = real.canEverFit(largest, 1, pageCount)
    expect(real.allocate(largest, 1, pageCount) !== IOVA_NONE).toBe(fits)
  })
})

describe("nodes visited", () => {
  const LIVE = 8192
  /** Three times the tree's height bounds the descent to the limit, the climb, and the descent to the gap. */
  const VISITS_MAX = 3 * 2 * Math.log2(LIVE + 2)

  it("every other page free, a request for two aligned pages: no gap is tried in vain", () => {
    const tree = new AugmentedRbtree(windowOf(4 * LIVE))
    const firsts = Array.from({ length: 2 * LIVE }, () => tree.allocate(1, 1, 4 * LIVE))
    for (const first of firsts) if (first % 2 === 0) tree.free(first, 1)
    for (const reach of [4 * LIVE, 3 * LIVE, 2 * LIVE + 8, 2 * LIVE + 4]) {
      const first = tree.allocate(2, 1, reach)
      expect(first).toBeLessThan(2 * LIVE)
      expect(tree.steps[WORK_NODES]).toBeLessThan(VISITS_MAX)
    }
    expect(tree.allocate(1, 1, 2 * LIVE + 100)).toBe(2 * LIVE + 98)
    expect(tree.steps[WORK_NODES]).toBeLessThan(VISITS_MAX)
    expect(tree.allocate(4 * LIVE, 1, 4 * LIVE)).toBe(IOVA_NONE)
    expect(tree.steps[WORK_NODES]).toBe(1)
  })

  it("a receive ring and a ring of acknowledgements", () => {
    const tree = new AugmentedRbtree(windowOf(1 << 20))
    const rings = [LIVE - 64, 64].map((depth) => Array.from({ length: depth }, () => tree.allocate(1, 1, 1 << 20)))
    let most = 0
    for (let turn = 0; turn < 2 * LIVE; turn++) {
      for (const ring of rings) {
        tree.free(ring.shift()!, 1)
        most = Math.max(most, tree.steps[WORK_NODES]!)
        ring.push(tree.allocate(1, 1, 1 << 20))
        most = Math.max(most, tree.steps[WORK_NODES]!)
      }
    }
    expect(most).toBeLessThan(VISITS_MAX)
  })
})

describe("misuse", () => {
  it("freeing what is not allocated, the window's end included", () => {
    const tree = new AugmentedRbtree(windowOf(64))
    expect(tree.allocate(3, 1, 64)).toBe(60)
    for (const [first, pages] of [
      [61, 1],
      [60, 5],
      [5, 1],
      [64, 1]
    ] as const) {
      expect(() => tree.free(first, pages)).toThrow("not allocated")
    }
  })

  it("requests larger than any window", () => {
    const tree = new AugmentedRbtree(windowOf(64))
    expect([tree.allocate(2 ** 31, 1, 64), tree.allocate(1, 2 ** 31, 64), tree.allocate(1, 1, 0)]).toEqual([
      IOVA_NONE,
      IOVA_NONE,
      IOVA_NONE
    ])
    expect([tree.canEverFit(2 ** 31, 1, 64), tree.canEverFit(1, 64, 64), tree.canEverFit(1, 32, 64)]).toEqual([
      false,
      false,
      true
    ])
  })
})
