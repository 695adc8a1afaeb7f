import { fc, test } from "@fast-check/vitest"
import { EADDRINUSE, ENOMEM, makeSecondStage, MAPPED, type SecondStage } from "@vnic/iommu/core"
import { NaiveStage, pagesOf, readTables } from "@vnic/iommu/testing"
import { findProfile, profileValues, type SimulationCore } from "@vnic/sim/core"
import { soloWorld } from "@vnic/sim/testing"
import { describe, expect, it } from "vitest"

const READ = 1
const WRITE = 2
const BOTH = 3
const LARGE = 512
const HUGE = 512 * 512
const PAGE_BYTES = 4096

interface Stage {
  readonly sim: SimulationCore
  readonly stage: SecondStage
  readonly read: () => ReturnType<typeof readTables>
}

const makeStage = (levels = 4): Stage => {
  const sim = soloWorld({ profile: profileValues(findProfile("x86-sandybridge")!) })
  const stage = makeSecondStage(sim.memory, sim.pages, levels)!
  return { sim, stage, read: () => readTables(sim.memory, stage.top, levels) }
}

/** Sizes in pages of the leaves below a domain. */
const sizes = ({ read }: Stage): ReadonlyArray<number> => read().leaves.map(({ pages }) => pages)

describe("a domain's tables in memory", () => {
  it("are one empty table at first, and nothing after the end", () => {
    for (const levels of [3, 4, 5]) {
      const world = makeStage(levels)
      expect(world.read()).toEqual({ leaves: [], tables: 1 })
      world.stage.map(500, 3, 0, BOTH)
      expect(world.read().leaves.map(({ page }) => page)).toEqual([500, 501, 502])
      world.stage.destroy()
      expect(world.sim.pages.pagesUsed).toBe(0)
    }
  })

  it.each([1, LARGE, HUGE])("hold one leaf for %i aligned pages, and none after the unmap", (pages) => {
    const world = makeStage()
    expect(world.stage.map(3 * pages, pages, 7 * pages * PAGE_BYTES, WRITE)).toBe(MAPPED)
    expect(world.read().leaves).toEqual([{ page: 3 * pages, pages, phys: 7 * pages * PAGE_BYTES, permissions: WRITE }])
    expect(world.stage.unmap(3 * pages, pages)).toBe(pages)
    expect(sizes(world)).toEqual([])
  })

  it.each([READ, WRITE, BOTH])("keep the permissions %i that were asked for", (permissions) => {
    const world = makeStage()
    world.stage.map(LARGE - 2, LARGE + 3, (LARGE - 2) * PAGE_BYTES, permissions)
    expect(world.read().leaves.map((leaf) => leaf.permissions)).toEqual([
      permissions,
      permissions,
      permissions,
      permissions
    ])
  })

  it.each([3, 4, 5])("reach the last page of %i levels", (levels) => {
    const world = makeStage(levels)
    const last = 512 ** levels - 1
    expect(world.stage.pageCount).toBe(last + 1)
    expect(world.stage.map(last, 1, 0x5000, READ)).toBe(MAPPED)
    expect(world.read().leaves).toEqual([{ page: last, pages: 1, phys: 0x5000, permissions: READ }])
    expect(world.stage.unmap(last, 1)).toBe(1)
    expect(() => world.stage.map(last, 2, 0, READ)).toThrow("outside")
  })

  it("take 128 KiB at 0xFEF80000 to 0x208B95D000", () => {
    const world = makeStage()
    expect(world.stage.map(0xfef80, 32, 0x208b95d000, BOTH)).toBe(MAPPED)
    const { leaves } = world.read()
    expect(leaves.map(({ phys }) => phys)).toEqual(Array.from({ length: 32 }, (_, page) => 0x208b95d000 + page * 4096))
    expect(world.stage.unmap(0xfef80, 32)).toBe(32)
    expect(sizes(world)).toEqual([])
  })

  it("take 0x3FE400 to 0x4C0600 in place with 20 leaves", () => {
    const world = makeStage()
    world.stage.map(0x3fe400, 0x4c0600 - 0x3fe400, 0x3fe400 * PAGE_BYTES, BOTH)
    expect(sizes(world)).toEqual([
      ...Array<number>(14).fill(LARGE),
      ...Array<number>(3).fill(HUGE),
      ...Array<number>(3).fill(LARGE)
    ])
    expect(world.stage.leavesChanged).toBe(20)
  })
})

describe("a map", () => {
  it.each([
    ["the same page", 10, 1],
    ["a page before and the page", 9, 2],
    ["the page and one behind", 10, 2],
    ["a large leaf around it", 0, LARGE],
    ["a huge leaf around it", 0, HUGE]
  ])("over %s fails and leaves the old translation", (_, page, count) => {
    const world = makeStage()
    world.stage.map(10, 1, 0x9000, READ)
    const before = world.read().leaves
    expect(world.stage.map(page, count, 0, BOTH)).toBe(EADDRINUSE)
    expect(world.read().leaves).toEqual(before)
  })

  it("inside a large leaf fails", () => {
    const world = makeStage()
    world.stage.map(0, LARGE, 0, READ)
    expect(world.stage.map(7, 1, 0x1000, READ)).toBe(EADDRINUSE)
    expect(sizes(world)).toEqual([LARGE])
  })

  it("puts a large leaf over what small ones have left, and their tables are freed", () => {
    const world = makeStage()
    for (let page = 0; page < HUGE; page += LARGE) world.stage.map(page + 3, 1, 0x1000, READ)
    for (let page = 0; page < HUGE; page += LARGE) world.stage.unmap(page + 3, 1)
    expect(world.read().tables).toBe(3 + 512)
    expect(world.stage.tableCount).toBe(3 + 512)
    expect(world.stage.map(0, HUGE, 0, BOTH)).toBe(MAPPED)
    expect(world.read()).toEqual({ leaves: [{ page: 0, pages: HUGE, phys: 0, permissions: BOTH }], tables: 2 })
    expect(world.stage.tableCount).toBe(2)
    expect(world.sim.pages.pagesUsed).toBe(2)
  })

  it("that finds no page for a table maps nothing, whichever table it is", () => {
    for (let failAt = 1; ; failAt++) {
      const world = makeStage()
      world.sim.pages.failAt = failAt
      // The end of one table and the beginning of another one, at each of three levels.
      const code = world.stage.map(HUGE * 512 - 2, 4, 0, READ)
      if (code === MAPPED) {
        expect(failAt).toBe(7)
        return
      }
      expect(code).toBe(ENOMEM)
      expect(sizes(world)).toEqual([])
      world.stage.destroy()
      expect(world.sim.pages.pagesUsed).toBe(0)
    }
  })
})

describe("an unmap", () => {
  it("of a piece of a large leaf splits it, level by level, and keeps its permissions", () => {
    const world = makeStage()
    world.stage.map(0, HUGE, 7 * HUGE * PAGE_BYTES, WRITE)
    expect(world.stage.unmap(LARGE + 5, 1)).toBe(1)
    // The table of 2 MiB leaves, the one of 4 KiB leaves, and the one that is cleared.
    expect([world.stage.leavesChanged, world.stage.tablesAdded]).toEqual([2 * LARGE + 1, 2])
    expect(sizes(world)).toEqual([LARGE, ...Array<number>(LARGE - 1).fill(1), ...Array<number>(LARGE - 2).fill(LARGE)])
    const wrong = world
      .read()
      .leaves.filter(({ page, permissions, phys }) => permissions !== WRITE || phys !== (7 * HUGE + page) * PAGE_BYTES)
    expect(wrong).toEqual([])
    // A table from end to end, and the leaf behind it in part.
    expect(world.stage.unmap(LARGE, LARGE + 3)).toBe(LARGE + 2)
    expect([world.stage.leavesChanged, world.stage.tablesAdded]).toEqual([LARGE + LARGE + 2, 1])
    expect(world.stage.unmap(0, HUGE)).toBe(HUGE - LARGE - 3)
    expect(world.read()).toEqual({ leaves: [], tables: 2 })
  })

  it.each([1, 2])("removes a large leaf whole where no page is left for the table: allocation %i", (failAt) => {
    const world = makeStage()
    world.stage.map(0, HUGE, 0, READ)
    world.sim.pages.failAt = failAt
    expect(world.stage.unmap(5, 2)).toBe(failAt === 1 ? HUGE : LARGE)
    expect(sizes(world)).toEqual(failAt === 1 ? [] : Array<number>(LARGE - 1).fill(LARGE))
    expect(world.read().tables).toBe(world.stage.tableCount)
  })

  it("of nothing is nothing; holes are skipped", () => {
    const world = makeStage()
    expect(world.stage.unmap(0, HUGE)).toBe(0)
    world.stage.map(3, 1, 0, READ)
    world.stage.map(HUGE + 3, 1, 0, READ)
    expect(world.stage.unmap(0, 2 * HUGE)).toBe(2)
  })

  it("frees the tables that it covers from end to end", () => {
    const world = makeStage()
    world.stage.map(1, 2 * LARGE, 0, READ)
    expect(world.stage.tableCount).toBe(1 + 1 + 1 + 3)
    world.stage.unmap(1, 2 * LARGE)
    // The first table lacks page 0, the last one has one page only.
    expect(world.stage.tableCount).toBe(1 + 1 + 1 + 2)
    expect(world.sim.pages.pagesUsed).toBe(world.stage.tableCount)
  })
})

/** Ranges around the borders of leaves of all sizes. */
const somewhere = fc.record({
  page: fc
    .tuple(fc.constantFrom(0, LARGE, 2 * LARGE, HUGE, HUGE + LARGE, 2 * HUGE), fc.nat(4))
    .map(([at, by]) => at + by),
  count: fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 500, max: 1540 })),
  physPage: fc.tuple(fc.constantFrom(0, LARGE, 3 * LARGE, HUGE), fc.nat(4)).map(([at, by]) => at + by)
})

describe("against an interval oracle", () => {
  test.prop([fc.array(fc.tuple(fc.boolean(), somewhere), { maxLength: 50 })], { numRuns: 30 })(
    "maps collide exactly where they must, unmaps remove what they are asked to",
    (operations) => {
      const world = makeStage()
      const naive = new NaiveStage()
      for (const [isMap, { count, page, physPage }] of operations) {
        if (isMap) {
          const isFree = naive.map(page, count, physPage * PAGE_BYTES, BOTH)
          expect(world.stage.map(page, count, physPage * PAGE_BYTES, BOTH)).toBe(isFree ? MAPPED : EADDRINUSE)
          continue
        }
        const mapped = naive.pages.length
        naive.unmap(page, count)
        expect(world.stage.unmap(page, count)).toBe(mapped - naive.pages.length)
      }
      const { leaves, tables } = world.read()
      expect(pagesOf(leaves)).toEqual(naive.pages)
      expect(world.stage.tableCount).toBe(tables)
      expect(world.sim.pages.pagesUsed).toBe(tables)
      world.stage.unmap(0, 4 * HUGE)
      expect(sizes(world)).toEqual([])
      world.stage.destroy()
      expect(world.sim.pages.pagesUsed).toBe(0)
    }
  )

  test.prop([somewhere, fc.boolean(), fc.boolean()], { numRuns: 80 })(
    "a map takes at each place the largest leaf that is aligned and fits",
    ({ count: fewPages, page, physPage }, isInStep, isHuge) => {
      const target = isInStep ? page + HUGE : physPage
      const count = isInStep && isHuge ? fewPages + HUGE : fewPages
      const expected: Array<number> = []
      for (let at = 0; at < count; at += expected.at(-1)!) {
        const fits = (pages: number): boolean =>
          at + pages <= count && (page + at) % pages === 0 && (target + at) % pages === 0
        expected.push([HUGE, LARGE, 1].find(fits)!)
      }
      const world = makeStage()
      world.stage.map(page, count, target * PAGE_BYTES, READ)
      expect(sizes(world)).toEqual(expected)
    }
  )
})
