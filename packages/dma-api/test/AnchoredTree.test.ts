/**
 * The tree behind the magazines.
 *
 * Goal: every address is the one that Linux 6.12 would hand out, and the tree stays one. Method: an oracle that looks
 * at every page, all short histories and random ones with three kinds of limits, and each rule by its scenario.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { IOVA_NONE } from "../src/core/iova/allocator.ts"
import { AnchoredTree } from "../src/core/iova/anchoredTree.ts"
import { NaiveTree612, rangesOf, roundUp, windowOf } from "./support/trees.ts"

/** The ranges of the tree below the anchor. */
const rangesBelowAnchor = (tree: AnchoredTree) => rangesOf(tree.tree).slice(0, -1)

describe("the anchored tree", () => {
  it("every history of six operations on 16 pages, 8 of them below 4 GiB", () => {
    let histories = 0
    const extend = (operations: ReadonlyArray<number>): void => {
      const window = windowOf(16, 8)
      const real = new AnchoredTree(window)
      const naive = new NaiveTree612(window)
      const live: Array<number> = []
      for (const operation of operations) {
        const isFree = operation > 3
        if (isFree && operation - 4 < live.length) {
          const [first] = live.splice(operation - 4, 1) as [number]
          real.free(first)
          naive.free(first)
        }
        if (isFree) continue
        const pages = (operation % 3) + 1
        const limit = [16, 8, 16, 7][operation]!
        const first = real.allocate(pages, roundUp(pages), limit)
        if (first !== naive.allocate(pages, roundUp(pages), limit)) expect.fail(`differs after ${operations.join(" ")}`)
        if (first !== IOVA_NONE) live.push(first)
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
    pick: fc.nat()
  })
  test.prop([fc.integer({ min: 64, max: 900 }), fc.nat({ max: 1000 }), fc.array(operation, { maxLength: 150 })], {
    numRuns: 80
  })("random histories, with limits of three kinds", (pageCount, low, operations) => {
    const window = windowOf(pageCount, Math.max(8, Math.min(low, pageCount)))
    const real = new AnchoredTree(window)
    const naive = new NaiveTree612(window)
    const live: Array<number> = []
    const limits = [pageCount, window.pagesBelow4GiB, Math.floor(pageCount / 3)]
    for (const { alignmentLog, isFree, pages, pick } of operations) {
      if (isFree && live.length > 0) {
        const [first] = live.splice(pick % live.length, 1) as [number]
        real.free(first)
        naive.free(first)
      } else {
        const first = real.allocate(pages, 1 << alignmentLog, limits[pick % 3]!)
        expect(first).toBe(naive.allocate(pages, 1 << alignmentLog, limits[pick % 3]!))
        if (first !== IOVA_NONE) live.push(first)
      }
      expect(rangesBelowAnchor(real)).toEqual(naive.ranges)
    }
    expect(real.pagesUsed).toBe(naive.ranges.reduce((sum, [first, end]) => sum + end - first, 0))
  })

  it("finds what the tree of 2013 has passed, by looking again above", () => {
    const tree = new AnchoredTree(windowOf(16))
    expect([1, 4, 4].map((pages) => tree.allocate(pages, pages, 16))).toEqual([15, 8, 4])
    expect([1, 1, 1, 1].map((pages) => tree.allocate(pages, pages, 16))).toEqual([3, 2, 1, 14])
  })

  it("fails at once below 4 GiB for what has failed, until something there is freed", () => {
    const tree = new AnchoredTree(windowOf(64, 32))
    const firsts = Array.from({ length: 24 }, () => tree.allocate(1, 1, 32))
    expect(tree.allocate(16, 16, 32)).toBe(IOVA_NONE)
    expect(tree.visits).toBeGreaterThan(0)
    expect([tree.allocate(16, 16, 32), tree.visits]).toEqual([IOVA_NONE, 0])
    expect([tree.allocate(32, 32, 32), tree.visits]).toEqual([IOVA_NONE, 0])
    expect(tree.allocate(4, 4, 32)).toBe(4)
    tree.free(firsts[0]!)
    expect([tree.allocate(16, 16, 32), tree.visits > 0]).toEqual([IOVA_NONE, true])
  })

  it("what fails for a device that reaches less, or that aligns more, fails for no other", () => {
    const tree = new AnchoredTree(windowOf(64, 64))
    expect([tree.allocate(1, 1, 1), tree.allocate(1, 1, 64)]).toEqual([IOVA_NONE, 63])
    expect([tree.allocate(4, 64, 64), tree.allocate(4, 4, 64)]).toEqual([IOVA_NONE, 56])
  })

  it("one ring that is used first in, first out visits one node a request", () => {
    const tree = new AnchoredTree(windowOf(1 << 16))
    const ring = Array.from({ length: 256 }, () => tree.allocate(1, 1, 1 << 16))
    for (let turn = 0; turn < 1024; turn++) {
      tree.free(ring.shift()!)
      ring.push(tree.allocate(1, 1, 1 << 16))
      expect(tree.visits).toBe(1)
    }
  })

  it("refuses to free what is not allocated, the anchor included", () => {
    const tree = new AnchoredTree(windowOf(16))
    expect(tree.allocate(4, 4, 16)).toBe(12)
    for (const page of [3, 13, 16, 20]) expect(() => tree.free(page)).toThrow("not allocated")
  })
})
