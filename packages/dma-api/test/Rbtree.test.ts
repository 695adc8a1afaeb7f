/**
 * The tree of 2013 and the red-black core below it.
 *
 * Goal: addresses and visited nodes are those of the policy, whatever the history; the tree stays one. Method: an
 * oracle that looks at every page, all short histories of a small window and random ones of larger windows; the
 * rules of red-black trees after every operation; and the two access patterns that the allocator is known for.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { IOVA_NONE, WORK_CACHE_LINES, WORK_LOCKS, WORK_NODES } from "../src/core/iova/allocator.ts"
import { makeRbtreeAllocator, Rbtree } from "../src/core/iova/rbtree.ts"
import { NIL, PREVIOUS, RedBlack, ROOM } from "../src/core/iova/redBlack.ts"
import { makePlainHost } from "@vnic/dma-api/core"
import { COSTS, NaiveTree2013, rangesOf, windowOf } from "./support/trees.ts"

describe("the red-black core", () => {
  const operation = fc.record({
    isErase: fc.nat({ max: 2 }).map((value) => value === 0),
    pick: fc.nat(),
    room: fc.integer({ min: 0, max: 9 })
  })
  test.prop([fc.boolean(), fc.array(operation, { minLength: 60, maxLength: 300 })], { numRuns: 80 })(
    "stays balanced, sorted and augmented under any history",
    (isAugmented, operations) => {
      const tree = new RedBlack(isAugmented)
      const sorted: Array<number> = []
      for (const { isErase, pick, room } of operations) {
        if (isErase && sorted.length > 0) {
          const [page] = sorted.splice(pick % sorted.length, 1) as [number]
          tree.erase(tree.find(page))
        } else {
          const page = (pick % 1000) * 2
          if (sorted.includes(page)) continue
          const above = tree.behind(page)
          const below = above === NIL ? tree.last : tree.nodes[above + PREVIOUS]!
          const node = tree.take(page, page + 2)
          if (isAugmented) tree.nodes[node + ROOM] = room
          tree.insertBetween(node, below, above)
          sorted.push(page)
          sorted.sort((one, other) => one - other)
        }
        expect(rangesOf(tree).map(([first]) => first)).toEqual(sorted)
      }
      for (const page of sorted) expect(tree.find(page + 1)).toBe(tree.find(page))
      expect(tree.find(2001)).toBe(NIL)
    }
  )

  it("uses nodes again", () => {
    const tree = new RedBlack(false)
    for (let count = 0; count < 1000; count++) {
      const node = tree.take(5, 6)
      tree.insertBetween(node, NIL, NIL)
      tree.erase(node)
    }
    const { length } = tree.nodes
    expect(length).toBe(new RedBlack(false).nodes.length)
  })
})

interface Pair {
  readonly real: Rbtree
  readonly naive: NaiveTree2013
  readonly live: Array<readonly [first: number, pages: number]>
}

const pairOf = (pageCount: number, pagesBelow4GiB = pageCount): Pair => {
  const window = windowOf(pageCount, pagesBelow4GiB)
  return { real: new Rbtree(window), naive: new NaiveTree2013(window), live: [] }
}

/** The same in both; says what differs. */
function allocate({ live, naive, real }: Pair, pages: number, alignment: number, reach: number): string | undefined {
  const first = real.allocate(pages, alignment, reach)
  const expected = naive.allocate(pages, alignment, reach)
  if (first !== IOVA_NONE) live.push([first, pages])
  if (first !== expected) return `page ${first} instead of ${expected}`
  const visits = real.steps[WORK_NODES]!
  return visits === naive.visits ? undefined : `${visits} nodes instead of ${naive.visits}`
}

function free({ live, naive, real }: Pair, index: number): void {
  const [first, pages] = live.splice(index, 1)[0]!
  real.free(first, pages)
  naive.free(first)
}

describe("the policy of 2013", () => {
  it("every history of six operations on 16 pages, 8 of them below 4 GiB", () => {
    let histories = 0
    const extend = (operations: ReadonlyArray<number>): void => {
      const pair = pairOf(16, 8)
      for (const operation of operations) {
        const isFree = operation > 3
        if (isFree && operation - 4 < pair.live.length) free(pair, operation - 4)
        if (isFree) continue
        // One page, two, or three (which take four), up to the end; or one page below 4 GiB.
        const difference =
          operation === 3 ? allocate(pair, 1, 1, 8) : allocate(pair, operation + 1, 1 << (operation % 2), 16)
        if (difference !== undefined) expect.fail(`${difference} after ${operations.join(" ")}`)
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
  test.prop([fc.integer({ min: 64, max: 900 }), fc.nat({ max: 1000 }), fc.array(operation, { maxLength: 120 })], {
    numRuns: 80
  })("random histories, with requests of three reaches", (pageCount, low, operations) => {
    const pair = pairOf(pageCount, Math.max(8, Math.min(low, pageCount)))
    const reaches = [pageCount, Math.min(low, pageCount), Math.floor(pageCount / 3)]
    for (const { alignmentLog, isFree, pages, pick } of operations) {
      if (isFree && pair.live.length > 0) free(pair, pick % pair.live.length)
      else expect(allocate(pair, pages, 1 << alignmentLog, reaches[pick % 3]!)).toBe(undefined)
      expect(rangesOf(pair.real.tree)).toEqual(pair.naive.ranges)
    }
    expect(pair.real.pagesUsed).toBe(pair.live.reduce((sum, [, pages]) => sum + pages, 0))
  })

  it("a device of 32 bits and one of 64 both fill 4 GiB from its end down", () => {
    const tree = new Rbtree(windowOf(64, 32))
    expect([tree.allocate(1, 1, 64), tree.allocate(1, 1, 32), tree.allocate(1, 1, 64)]).toEqual([31, 30, 29])
    expect(tree.allocate(16, 1, 64)).toBe(48)
  })

  it("is full for what it has passed, until something above is freed", () => {
    const tree = new Rbtree(windowOf(16))
    expect([tree.allocate(1, 1, 16), tree.allocate(8, 1, 16)]).toEqual([15, IOVA_NONE])
    expect([tree.allocate(4, 1, 16), tree.allocate(4, 1, 16)]).toEqual([8, 4])
    expect([1, 1, 1, 1].map((pages) => tree.allocate(pages, 1, 16))).toEqual([3, 2, 1, IOVA_NONE])
    // Pages 12 to 14 have been free all along.
    tree.free(15, 1)
    expect(tree.allocate(1, 1, 16)).toBe(15)
    expect(tree.allocate(1, 1, 16)).toBe(14)
  })

  it("says what can never fit", () => {
    const tree = new Rbtree(windowOf(64))
    expect([tree.canEverFit(32, 1, 64), tree.canEverFit(33, 1, 64), tree.canEverFit(1, 64, 64)]).toEqual([
      true,
      false,
      false
    ])
    expect([tree.canEverFit(1, 1, 2), tree.canEverFit(1, 1, 1), tree.canEverFit(2 ** 31, 1, 64)]).toEqual([
      true,
      false,
      false
    ])
    expect([tree.allocate(2 ** 31, 1, 64), tree.allocate(1, 2 ** 31, 64)]).toEqual([IOVA_NONE, IOVA_NONE])
  })

  it("refuses to free what is not allocated", () => {
    const tree = new Rbtree(windowOf(64))
    expect(tree.allocate(4, 1, 64)).toBe(60)
    expect(() => tree.free(61, 1)).toThrow("not allocated")
    expect(() => tree.free(60, 2)).toThrow("not allocated")
    expect(() => tree.free(10, 1)).toThrow("not allocated")
    tree.free(60, 4)
    expect(() => tree.free(60, 4)).toThrow("not allocated")
  })
})

/** Nodes that each allocation visits while rings of these depths take turns, once all have gone round. */
function visitsOf(depths: ReadonlyArray<number>, batch = 1): ReadonlyArray<number> {
  const tree = new Rbtree(windowOf(1 << 20))
  const rings = depths.map((depth) => Array.from({ length: depth }, () => tree.allocate(1, 1, 1 << 20)))
  const longest = Math.max(...depths)
  const visits: Array<number> = []
  for (let turn = 0; turn < 3 * longest; turn += batch) {
    for (const ring of rings) {
      for (const first of ring.splice(0, batch)) tree.free(first, 1)
      for (let count = 0; count < batch; count++) {
        ring.push(tree.allocate(1, 1, 1 << 20))
        if (turn >= longest) visits.push(tree.steps[WORK_NODES]!)
      }
    }
  }
  return visits
}

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length

describe("nodes visited", () => {
  it("one ring that is used first in, first out: one a request, none at the bottom", () => {
    for (const depth of [16, 256, 1024]) {
      const visits = visitsOf([depth])
      expect(new Set(visits)).toEqual(new Set([0, 1]))
      expect(mean(visits)).toBe((depth - 1) / depth)
    }
  })

  it("a receive ring and a ring of acknowledgements: as many as are live, in proportion", () => {
    const [small, middle, large] = [128, 256, 512].map((depth) => mean(visitsOf([depth, 16]))) as [
      number,
      number,
      number
    ]
    expect(small).toBeGreaterThan(128 / 8)
    expect(large / middle).toBeCloseTo(2, 0)
    expect((large - middle) / (middle - small)).toBeCloseTo(2, 0)
  })

  it("of two rings: half of the requests visit one node or two, a quarter more than half of all", () => {
    const visits = visitsOf([512, 16])
    const share = (from: number, to: number) =>
      visits.filter((count) => count >= from && count <= to).length / visits.length
    expect(share(0, 2)).toBe(0.5)
    expect(share(3, 15)).toBeLessThan(0.02)
    expect(share(257, 528)).toBeGreaterThan(0.2)
  })

  it("frees in batches: fewer by the size of the batch", () => {
    const [one, four, sixteen] = [1, 4, 16].map((batch) => mean(visitsOf([512, 64], batch))) as [number, number, number]
    expect(one / four).toBeCloseTo(4, 0)
    expect(one / sixteen).toBeGreaterThan(12)
  })
})

describe("under its lock", () => {
  it("costs a search and so much a node, for allocating and for freeing", () => {
    const host = makePlainHost()
    const allocator = makeRbtreeAllocator(windowOf(1 << 20, 1 << 20, host))
    const firsts: Array<number> = []
    const done = host.define("done", (cpu) => host.leave(cpu))
    const allocateStep = host.define("allocate", (cpu) => allocator.beginAllocate(cpu, 1, 1, 1 << 20, -1, done))
    const freeStep = host.define("free", (cpu) => allocator.beginFree(cpu, firsts.pop()!, 1, done))
    for (let count = 0; count < 8; count++) {
      host.runAlone(0, allocateStep)
      allocator.endAllocate(0)
      firsts.push(allocator.firsts[0]!)
    }
    const startPs = host.localPs[0]!
    host.runAlone(0, freeStep)
    const { last } = allocator.work
    expect([last[WORK_NODES]! > 1, last[WORK_CACHE_LINES]! > last[WORK_NODES]!, last[WORK_LOCKS]]).toEqual([
      true,
      true,
      1
    ])
    expect(host.localPs[0]! - startPs).toBe(COSTS.treeSearchPs + last[WORK_NODES]! * COSTS.treeVisitPs)
  })
})
