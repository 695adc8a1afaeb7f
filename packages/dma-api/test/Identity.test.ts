/**
 * Goal: a page is its own address, shared as often as it is mapped, and only inside the window. Method: random
 * histories against a count per page in a map; all CPUs at once without a wait.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { IOVA_NONE } from "../src/core/iova/allocator.ts"
import { makeIdentityAllocator } from "../src/core/iova/identity.ts"
import { IOVA_COSTS, makeCalls, makeWorld } from "./support/iova.ts"

const PAGES = 64

const setUp = (isFirstPageReserved: boolean) => {
  const world = makeWorld(4, { pageCount: PAGES, isFirstPageReserved })
  const allocator = makeIdentityAllocator(world.window)
  return { ...world, allocator, ...makeCalls(world, allocator) }
}

describe("identity", () => {
  const operation = fc.record({
    isFree: fc.boolean(),
    cpu: fc.nat({ max: 3 }),
    physPage: fc.integer({ min: -1, max: PAGES + 2 }),
    pages: fc.integer({ min: 1, max: 8 }),
    alignmentLog: fc.oneof(fc.constant(0), fc.nat({ max: 3 })),
    reach: fc.oneof(fc.constant(PAGES), fc.nat({ max: PAGES })),
    pick: fc.nat()
  })
  test.prop([fc.boolean(), fc.array(operation, { maxLength: 80 })])(
    "counts the users of each page, and fails outside of window, reach and alignment",
    (isReserved, operations) => {
      const { allocate, allocator, free } = setUp(isReserved)
      const live: Array<readonly [number, number]> = []
      for (const { alignmentLog, cpu, isFree, pages, physPage, pick, reach } of operations) {
        if (isFree && live.length > 0) {
          const [first, size] = live.splice(pick % live.length, 1)[0]!
          free(first, size, cpu)
          continue
        }
        const first = allocate(pages, 1 << alignmentLog, reach, cpu, physPage)
        const isInside = physPage >= (isReserved ? 1 : 0) && physPage + pages <= reach
        expect(first).toBe(isInside && physPage % (1 << alignmentLog) === 0 ? physPage : IOVA_NONE)
        expect(allocator.canEverFit(pages, 1 << alignmentLog, reach, 0, physPage)).toBe(first !== IOVA_NONE)
        if (first !== IOVA_NONE) live.push([first, pages])
      }
      const users = Array.from({ length: PAGES }, (_, page) => live.filter((range) => has(range, page)).length)
      expect([...allocator.uses]).toEqual(users)
      expect(allocator.pagesUsed).toBe(users.filter((count) => count > 0).length)
      for (const [first, size] of live) free(first, size)
      expect(allocator.uses.every((count) => count === 0)).toBe(true)
    }
  )
  const has = ([first, size]: readonly [number, number], page: number) => first <= page && page < first + size

  it("gives no reserved page, and none to a buffer that lies across the boundary", () => {
    const reserved = [{ firstPage: 20, pageCount: 4 }]
    const world = makeWorld(1, { pageCount: PAGES, startPage: 3, reserved })
    const { allocate } = makeCalls(world, makeIdentityAllocator(world.window))
    const given = (physPage: number, pages: number, boundary = 0) => allocate(pages, 1, PAGES, 0, physPage, boundary)
    expect([given(18, 2), given(19, 2), given(23, 1), given(24, 2)]).toEqual([18, IOVA_NONE, IOVA_NONE, 24])
    // On the bus the window begins at page 3, so pages 5 and 13 lie behind a multiple of 8.
    expect([given(5, 8, 8), given(12, 1, 8), given(12, 2, 8), given(5, 9, 8)]).toEqual([5, 12, IOVA_NONE, IOVA_NONE])
  })

  it("costs its constant for each request, touches the lines of its counts, and takes no lock", () => {
    const { allocate, allocator, cpus, free } = setUp(true)
    allocate(4, 1, PAGES, 1, 14)
    expect(cpus.localPs[1]).toBe(IOVA_COSTS.constantPs)
    expect([...allocator.work.last]).toEqual([0, 0, 2, 0])
    free(14, 4, 2)
    expect([...allocator.work.frees]).toEqual([0, 0, 2, 0])
    allocate(4, 1, PAGES, 3, PAGES - 1)
    expect([...allocator.work.last]).toEqual([0, 0, 0, 0])
    expect([1, 2, 3].map((cpu) => cpus.localPs[cpu])).toEqual([15_000, 15_000, 15_000])
    expect(cpus.lockCounts()).toEqual([])
  })

  it("a page that nobody uses cannot be freed, nor one outside", () => {
    const { allocate, free } = setUp(true)
    allocate(2, 1, PAGES, 0, 5)
    expect(() => free(6, 2)).toThrow("not allocated")
    expect(() => free(PAGES - 1, 2)).toThrow("outside the window")
    expect(() => free(0, 1)).toThrow("outside the window")
  })

  it("no address is too wide for a window that holds it; nothing fits one that is too small", () => {
    const { allocator } = setUp(true)
    const fits = (pages: number, alignment: number, reach: number, physPage?: number) =>
      allocator.canEverFit(pages, alignment, reach, 0, physPage)
    expect([fits(PAGES - 1, 1, PAGES, 1), fits(PAGES, 1, PAGES, 0), fits(PAGES, 1, PAGES, 1)]).toEqual([
      true,
      false,
      false
    ])
    expect([fits(8, 8, 16, 8), fits(8, 8, 15, 8), fits(8, 8, 16, 4), fits(1, 1, PAGES)]).toEqual([
      true,
      false,
      false,
      false
    ])
  })

  it("four CPUs that share pages need not wait", () => {
    const { allocator, cpus, timeline } = setUp(true)
    const rounds = new Int32Array(4).fill(100)
    const map = cpus.define("map", (cpu) => {
      rounds[cpu]! -= 1
      return rounds[cpu]! < 0 ? cpus.sleep(cpu) : allocator.beginAllocate(cpu, 2, 1, PAGES, 5 + (cpu & 1), look)
    })
    const look = cpus.define("look", (cpu) => cpus.lookAgain(cpu, unmap))
    const unmap = cpus.define("unmap", (cpu) => allocator.beginFree(cpu, allocator.firsts[cpu]!, 2, map))
    for (let cpu = 0; cpu < 4; cpu++) cpus.wake(cpu, map)
    timeline.runUntil(Number.MAX_SAFE_INTEGER, 100_000)
    expect([...cpus.localPs]).toEqual(Array.from({ length: 4 }, () => 200 * IOVA_COSTS.constantPs))
    expect(allocator.pagesUsed).toBe(0)
  })
})
