/**
 * Magazines and depots.
 *
 * Goal: every address is the one that Linux would hand out, and no range is ever in two places. Method: magazines
 * that are plain lists, under random histories of two CPUs that fill, use and drain them; each rule by a scenario.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { makePlainHost } from "@vnic/dma-api/core"
import { IOVA_NONE, WORK_CACHE_LINES, WORK_LOCKS, WORK_NODES, WORK_WORDS } from "../src/core/iova/allocator.ts"
import { TRIM_DELAY_PS } from "../src/core/iova/drain.ts"
import { MAGAZINE_RANGES, ORDER_COUNT } from "../src/core/iova/magazines.ts"
import { Caller, cpusOf, NaiveRcache } from "./support/rcache.ts"
import { COSTS, roundUp, windowOf } from "./support/trees.ts"

describe("against lists of lists", () => {
  const operation = fc.record({
    cpu: fc.nat({ max: 1 }),
    isFree: fc.boolean(),
    /** How many times. */
    count: fc.oneof(fc.nat({ max: 5 }), fc.nat({ max: 500 })),
    pages: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 40 })),
    isNarrow: fc.boolean(),
    isNewestFirst: fc.boolean()
  })
  test.prop(
    [fc.constantFrom(600, 3000, 20_000), fc.constantFrom("bounded", "trimmed"), fc.array(operation, { maxLength: 60 })],
    { numRuns: 60 }
  )("random histories of two CPUs that use and drain the caches", (pageCount, depot, operations) => {
    const window = windowOf(pageCount, Math.floor(pageCount * 0.6), cpusOf(2).cpus)
    const caller = new Caller(window, { depot })
    const naive = new NaiveRcache(window, depot === "bounded" ? 32 : Infinity)
    const live: Array<readonly [first: number, pages: number]> = []
    let livePages = 0
    let takenPages = 0
    for (const { count, cpu, isFree, isNarrow, isNewestFirst, pages } of operations) {
      for (let time = 0; time < count; time++) {
        if (!isFree) {
          const reach = isNarrow ? Math.floor(pageCount / 4) : pageCount
          const first = caller.allocate(cpu, pages, reach)
          if (first !== naive.allocate(cpu, pages, reach)) expect.fail("another address")
          if (first === IOVA_NONE) break
          live.push([first, pages])
          livePages += pages
          takenPages += pages < 32 ? roundUp(pages) : pages
        } else if (live.length > 0) {
          const [first, pages] = isNewestFirst ? live.pop()! : live.shift()!
          caller.free(cpu, first, pages)
          naive.free(cpu, first, pages)
          livePages -= pages
          takenPages -= pages < 32 ? roundUp(pages) : pages
        }
      }
      const { allocator } = caller
      expect(allocator.pagesUsed).toBe(livePages)
      expect(allocator.treePages).toBe(naive.tree.pagesUsed)
      expect(allocator.treePages).toBe(takenPages + allocator.cachedPages)
    }
  })
})

/** Many single pages at once. */
const allocateMany = (caller: Caller, cpu: number, count: number, reach: number): Array<number> =>
  Array.from({ length: count }, () => caller.allocate(cpu, 1, reach))

const PAGES = 1 << 16

describe("magazines", () => {
  it("what a CPU freed last it is handed out next, and no other CPU is", () => {
    const caller = new Caller(windowOf(PAGES, PAGES, cpusOf(2).cpus), { depot: "trimmed" })
    const [one, two, three] = allocateMany(caller, 0, 3, PAGES) as [number, number, number]
    for (const first of [two, one, three]) caller.free(0, first, 1)
    expect(caller.allocate(1, 1, PAGES)).toBe(three - 1)
    expect(allocateMany(caller, 0, 3, PAGES)).toEqual([three, one, two])
  })

  it("a hit takes the CPU's own lock only, visits no node and costs a magazine's time", () => {
    const host = makePlainHost()
    const caller = new Caller(windowOf(PAGES, PAGES, host), { depot: "trimmed" })
    const { last } = caller.allocator.work
    caller.free(0, caller.allocate(0, 1, PAGES), 1)
    const startPs = host.localPs[0]!
    caller.allocate(0, 1, PAGES)
    expect(host.localPs[0]! - startPs).toBe(COSTS.magazinePs)
    expect([last[WORK_LOCKS], last[WORK_NODES], last[WORK_WORDS], last[WORK_CACHE_LINES]]).toEqual([1, 0, 1, 3])
    // Nothing cached: the CPU's own lock, the depot's, the tree's.
    caller.allocate(0, 1, PAGES)
    expect([last[WORK_LOCKS], last[WORK_NODES]]).toEqual([3, 1])
    // Sums are those of the operations.
    expect(caller.allocator.work.allocations[WORK_LOCKS]).toBe(3 + 1 + 3)
    expect(caller.allocator.work.frees[WORK_LOCKS]).toBe(1)
  })

  it("sizes below 32 pages are rounded up to an order of their own; larger ones go to the tree", () => {
    const caller = new Caller(windowOf(PAGES), { depot: "trimmed" })
    const { allocator } = caller
    const three = caller.allocate(0, 3, PAGES)
    expect([allocator.pagesUsed, allocator.treePages]).toEqual([3, 4])
    caller.free(0, three, 3)
    expect([allocator.pagesUsed, allocator.treePages, allocator.cachedPages]).toEqual([0, 4, 4])
    expect(caller.allocate(0, 4, PAGES)).toBe(three)
    const large = caller.allocate(0, 33, PAGES)
    expect(large % 64).toBe(0)
    caller.free(0, large, 33)
    expect([allocator.treePages, allocator.cachedPages, allocator.optPages]).toEqual([4, 0, 32])
  })

  it("an alignment beyond the size is asked of the tree", () => {
    const caller = new Caller(windowOf(PAGES), { depot: "trimmed" })
    caller.free(0, caller.allocate(0, 1, PAGES), 1)
    expect(caller.allocate(0, 1, PAGES, 64) % 64).toBe(0)
  })

  it("a narrow device is given the newest range below its reach; only the loaded magazine is searched", () => {
    const caller = new Caller(windowOf(PAGES), { depot: "trimmed" })
    const high = allocateMany(caller, 0, 2 * MAGAZINE_RANGES, PAGES)
    const low = allocateMany(caller, 0, 2, 1000)
    for (const first of low) caller.free(0, first, 1)
    for (const first of high.slice(0, 50)) caller.free(0, first, 1)
    expect(caller.allocate(0, 1, 1000)).toBe(low[1])
    expect(caller.allocator.work.last[WORK_WORDS]).toBe(51)
    // The loaded magazine is full of high ranges: the low one left over is in the previous one, and out of sight.
    for (const first of high.slice(50, 200)) caller.free(0, first, 1)
    const missed = caller.allocate(0, 1, 1000)
    expect(missed).not.toBe(low[0])
    expect(missed).toBeLessThan(1000)
  })

  it("taking one from the middle moves the newest into its place", () => {
    const caller = new Caller(windowOf(PAGES), { depot: "trimmed" })
    const [one, two, three] = allocateMany(caller, 0, 3, PAGES) as [number, number, number]
    const low = caller.allocate(0, 1, 1000)
    for (const first of [one, low, two, three]) caller.free(0, first, 1)
    expect(caller.allocate(0, 1, 1000)).toBe(low)
    expect(allocateMany(caller, 0, 3, PAGES)).toEqual([two, three, one])
  })

  it("what goes beyond two magazines is for every CPU", () => {
    const caller = new Caller(windowOf(PAGES, PAGES, cpusOf(2).cpus), { depot: "trimmed" })
    const firsts = allocateMany(caller, 0, 2 * MAGAZINE_RANGES + 1, PAGES)
    for (const first of firsts) caller.free(0, first, 1)
    // The magazine that was filled second is the loaded one and goes to the depot.
    const second = firsts.slice(MAGAZINE_RANGES, 2 * MAGAZINE_RANGES)
    expect(allocateMany(caller, 1, MAGAZINE_RANGES, PAGES)).toEqual(second.toReversed())
    expect(caller.allocate(1, 1, PAGES)).toBe(firsts.at(-1)! - 1)
  })
})

describe("depots", () => {
  const FULL = 2 * MAGAZINE_RANGES

  it("a bounded one holds 32 magazines; the next one goes back to the tree", () => {
    const caller = new Caller(windowOf(PAGES), { depot: "bounded" })
    const { allocator } = caller
    const firsts = allocateMany(caller, 0, FULL + 33 * MAGAZINE_RANGES + 1, PAGES)
    for (const first of firsts.slice(0, FULL + 32 * MAGAZINE_RANGES)) caller.free(0, first, 1)
    expect(allocator.cachedPages).toBe(FULL + 32 * MAGAZINE_RANGES)
    caller.free(0, firsts.at(-1)!, 1)
    expect(allocator.cachedPages).toBe(FULL + 31 * MAGAZINE_RANGES + 1)
    expect(allocator.work.last[WORK_NODES]).toBeGreaterThan(MAGAZINE_RANGES)
    expect(allocator.treePages).toBe(allocator.pagesUsed + allocator.cachedPages)
  })

  it("a trimmed one grows without a bound and loses a magazine every 100 ms, down to one a CPU", () => {
    const host = makePlainHost()
    const caller = new Caller(windowOf(PAGES, PAGES, host), { depot: "trimmed" })
    const { allocator } = caller
    const firsts = allocateMany(caller, 0, FULL + 40 * MAGAZINE_RANGES, PAGES)
    for (const first of firsts) caller.free(0, first, 1)
    expect(allocator.cachedPages).toBe(firsts.length)
    const magazinesAfter = (periods: number): number => {
      host.idleUntil(host.localPs[0]! + periods * (TRIM_DELAY_PS + 100_000_000))
      expect(allocator.treePages).toBe(allocator.cachedPages)
      return (allocator.cachedPages - FULL) / MAGAZINE_RANGES
    }
    expect([1, 1, 10, 100].map(magazinesAfter)).toEqual([39, 38, 28, 1])
    // The work has ended; the next magazine that arrives starts it again.
    const more = allocateMany(caller, 0, FULL + 3 * MAGAZINE_RANGES, PAGES)
    for (const first of more) caller.free(0, first, 1)
    expect([1, 100].map(magazinesAfter)).toEqual([2, 1])
  })
})

describe("when the window is full", () => {
  it("everything that any CPU has cached goes back, and the request succeeds", () => {
    const caller = new Caller(windowOf(4096, 4096, cpusOf(3).cpus), { depot: "trimmed" })
    const { allocator } = caller
    const firsts = allocateMany(caller, 0, 4095, 4096)
    expect(new Set(firsts).size).toBe(4095)
    expect(caller.allocate(0, 1, 4096)).toBe(IOVA_NONE)
    for (const [index, first] of firsts.entries()) if (index < 2048) caller.free(index % 3, first, 1)
    expect(allocator.cachedPages).toBe(2048)
    expect(caller.allocate(1, 2048, 4096)).toBe(2048)
    expect([allocator.cachedPages, allocator.pagesUsed, allocator.treePages]).toEqual([0, 4095, 4095])
    expect(allocator.work.last[WORK_LOCKS]).toBeGreaterThan(3 * ORDER_COUNT)
  })

  it("4 GiB are left when a request below has failed once, without a drain, and for ever", () => {
    const caller = new Caller(windowOf(64, 32), { depot: "trimmed" })
    const low = allocateMany(caller, 0, 31, 64)
    expect(Math.max(...low)).toBe(31)
    caller.free(0, low[0]!, 1)
    expect(caller.allocate(0, 2, 64)).toBe(62)
    expect(caller.allocator.cachedPages).toBe(1)
    caller.allocate(0, 1, 64)
    expect(caller.allocate(0, 1, 64)).toBe(61)
  })

  it("says what can never fit", () => {
    const { allocator } = new Caller(windowOf(256), { depot: "trimmed" })
    const requests = [
      [1, 1, 2],
      [1, 1, 1],
      [33, 1, 97],
      [33, 1, 96],
      [20, 1, 64],
      [20, 1, 63],
      [2 ** 31, 1, 256],
      [1, 256, 256]
    ] as const
    expect(requests.map(([pages, alignment, reach]) => allocator.canEverFit(pages, alignment, reach))).toEqual([
      true,
      false,
      true,
      false,
      true,
      false,
      false,
      false
    ])
  })

  it("a request beyond the window fails and leaves no trace", () => {
    const caller = new Caller(windowOf(256), { depot: "trimmed" })
    expect([caller.allocate(0, 2 ** 31, 256), caller.allocate(0, 1, 256, 512)]).toEqual([IOVA_NONE, IOVA_NONE])
    expect([caller.allocator.pagesUsed, caller.allocator.treePages]).toEqual([0, 0])
  })
})
