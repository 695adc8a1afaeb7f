/**
 * Goal: pools, hash, hints and the order of falling over are the kernel's, and CPUs share nothing but locks.
 * Method: facts of the kernel as examples; random histories against an oracle that writes the passes out, which
 * also says whose locks were taken; all CPUs at once, with every range's life checked against the others.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { IOVA_NONE, WORK_LOCKS, WORK_WORDS } from "../src/core/iova/allocator.ts"
import { makeBitmapPoolAllocator, poolOfCpu, type PoolEdition } from "../src/core/iova/bitmapPool.ts"
import { findClash, hammer, IOVA_COSTS, LOCK_ACQUIRE_PS, makeCalls, makeWorld } from "./support/iova.ts"
import { NaivePools } from "./support/NaivePools.ts"

/** Pages so large that any window has four pools. */
const HUGE_SHIFT = 30

/** A window on eight CPUs. */
const setUp = (pageCount: number, edition: PoolEdition = "linux-3.10", pageShift = HUGE_SHIFT, startPage = 0) => {
  const world = makeWorld(8, { pageCount, pageShift, startPage })
  const allocator = makeBitmapPoolAllocator(world.window, edition)
  return { ...world, allocator, ...makeCalls(world, allocator) }
}

/** Grants of each lock so far, pools in order. */
const grantsOf = ({ cpus }: ReturnType<typeof setUp>) => cpus.lockCounts().map(({ grants }) => grants)

describe("the pools of the kernel", () => {
  it("of a window of 1 GiB: four of 49,152 entries, and a large one of 65,536", () => {
    const { allocator } = setUp(262_144, "linux-3.10", 12)
    expect([...allocator.starts]).toEqual([0, 49_152, 98_304, 147_456, 196_608, 262_144])
  })

  it("of a smaller window: one, and the large one", () => {
    const { allocator } = setUp(262_143, "linux-3.10", 12)
    expect([...allocator.starts]).toEqual([0, 196_607, 262_143])
  })

  it.each([
    [16, 16_383, 1],
    [16, 16_384, 4],
    [12, 1024, 1]
  ])("are as many as its bytes say, wherever it begins: pages of 2^%i bytes, %i of them: %i", (shift, pages, pools) => {
    for (const [startPage, pagesBelow4GiB] of [
      [0, 2 ** (32 - shift)],
      [2 ** (32 - shift) - 64, 64],
      [2 ** 47, 0]
    ] as const) {
      const { window } = makeWorld(1, { pageCount: pages, pageShift: shift, startPage, pagesBelow4GiB })
      expect(makeBitmapPoolAllocator(window).starts.length).toBe(pools + 2)
    }
  })

  it("CPUs 0, 4, 8, … of 3.10 leave pool 2 out, those of 6.12 pools 1 and 3", () => {
    const primaries = [0, 4, 8, 12, 16, 20, 24, 28]
    expect(primaries.map((cpu) => poolOfCpu(cpu, "linux-3.10"))).toEqual([0, 1, 3, 1, 3, 1, 3, 1])
    expect(primaries.map((cpu) => poolOfCpu(cpu, "linux-6.12"))).toEqual([0, 2, 0, 2, 0, 2, 0, 2])
  })

  it("a small allocation moves the hint to the next 16 entries, a large one right behind itself", () => {
    const { allocate } = setUp(1024)
    expect([allocate(1), allocate(1), allocate(15), allocate(1)]).toEqual([1, 16, 32, 48])
    expect([allocate(16), allocate(17), allocate(16)]).toEqual([768, 784, 801])
  })

  it("3,072 single maps in a pool of 1 GiB take every 16th entry before one is filled in behind", () => {
    const { allocate } = setUp(262_144, "linux-3.10", 12)
    const firsts = Array.from({ length: 3073 }, () => allocate(1))
    expect(firsts.slice(1, 3072).every((first, index) => first === (index + 1) * 16)).toBe(true)
    expect(firsts[3072]).toBe(2)
  })

  it("falls over to the pools behind in turn, at last to its own, and in 6.12 to the large one", () => {
    for (const edition of ["linux-3.10", "linux-6.12"] as const) {
      const world = setUp(64, edition)
      const home = world.allocator.poolOf[4]!
      const order: Array<number> = []
      for (let first = world.allocate(1, 1, 64, 4); first !== IOVA_NONE; first = world.allocate(1, 1, 64, 4)) {
        const pool = Math.min(4, Math.floor(first / 12))
        if (order.at(-1) !== pool) order.push(pool)
      }
      const turn = [home, (home + 1) % 4, (home + 2) % 4, (home + 3) % 4]
      expect(order).toEqual(edition === "linux-3.10" ? turn : [...turn, 4])
      const before = grantsOf(world)
      expect(world.allocate(1, 1, 64, 4)).toBe(IOVA_NONE)
      const taken = grantsOf(world).map((grants, lock) => grants - before[lock]!)
      const small = [0, 1, 2, 3].map((pool) => (pool === home ? 2 : 1))
      expect(taken).toEqual([...small, edition === "linux-3.10" ? 0 : 1])
    }
  })

  it("never hands out the last entry of a pool, nor page 0", () => {
    const { allocate } = setUp(64, "linux-6.12")
    const seen = new Set<number>()
    for (let first = allocate(1); first !== IOVA_NONE; first = allocate(1)) seen.add(first)
    const missing = Array.from({ length: 64 }, (_, page) => page).filter((page) => !seen.has(page))
    expect(missing).toEqual([0, 11, 23, 35, 47, 63])
  })

  it("a device that reaches part of the window gets room in that part, on any CPU", () => {
    const { allocate } = setUp(1024)
    for (let count = 0; count < 60; count++) {
      const first = allocate(1, 1, 64, count % 8)
      expect(first).toBeGreaterThan(0)
      expect(first).toBeLessThan(63)
    }
    expect(allocate(1, 1, 0)).toBe(IOVA_NONE)
  })

  it("a range that is not allocated cannot be freed", () => {
    const { allocate, free } = setUp(1024)
    const first = allocate(4)
    free(first, 4)
    expect(() => free(first, 4)).toThrow("not allocated")
  })
})

const operation = fc.record({
  isFree: fc.boolean(),
  cpu: fc.nat({ max: 7 }),
  pages: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 60 })),
  alignmentLog: fc.oneof(fc.constant(0), fc.nat({ max: 4 })),
  isCut: fc.boolean(),
  boundary: fc.constantFrom(0, 0, 1, 4, 16, 64),
  pick: fc.nat()
})

describe("against the passes written out", () => {
  test.prop([
    fc.integer({ min: 16, max: 500 }),
    fc.constantFrom("linux-3.10" as const, "linux-6.12" as const),
    fc.boolean(),
    fc.nat({ max: 500 }),
    fc.constantFrom(0, 77),
    fc.array(operation, { maxLength: 100 })
  ])("same ranges, same locks, same verdict of what could ever fit", (...drawn) => {
    const [pageCount, edition, isBig, cut, startPage, operations] = drawn
    const world = setUp(pageCount, edition, isBig ? HUGE_SHIFT : 12, startPage)
    const { allocate, allocator, free } = world
    const poolCount = isBig ? 4 : 1
    const naive = new NaivePools(pageCount, poolCount, true, edition === "linux-6.12")
    naive.startPage = startPage
    const live: Array<readonly [number, number]> = []
    for (const { alignmentLog, boundary, cpu, isCut, isFree, pages, pick } of operations) {
      if (isFree && live.length > 0) {
        const [first, size] = live.splice(pick % live.length, 1)[0]!
        free(first, size, cpu)
        naive.free(first, size)
        continue
      }
      const alignment = 1 << alignmentLog
      const reach = isCut ? Math.min(cut, pageCount) : pageCount
      const before = grantsOf(world)
      const first = allocate(pages, alignment, reach, cpu, -1, boundary)
      naive.boundary = boundary
      expect(first).toBe(naive.allocate(allocator.poolOf[cpu]!, pages, alignment, reach))
      const visits = grantsOf(world).map((_, lock) => naive.visited.filter((pool) => pool === lock).length)
      expect(grantsOf(world).map((grants, lock) => grants - before[lock]!)).toEqual(visits)
      if (first !== IOVA_NONE) live.push([first, pages])
      const empty = new NaivePools(pageCount, poolCount, true, edition === "linux-6.12")
      empty.boundary = boundary
      empty.startPage = startPage
      const fits = [0, 1, 2, 3].some((home) => empty.allocate(home % poolCount, pages, alignment, reach) >= 0)
      expect(allocator.canEverFit(pages, alignment, reach, boundary)).toBe(fits)
    }
    expect(allocator.pagesUsed).toBe(live.reduce((sum, [, pages]) => sum + pages, 0))
    for (const [first, size] of live) free(first, size)
    expect(allocator.pagesUsed).toBe(0)
  })
})

describe("all CPUs at once", () => {
  it.each([
    [4, "fifo", 1024],
    [8, "random", 1024],
    [8, "random", 160]
  ] as const)("%i CPUs, %s, in %i pages: no overlap, nothing left", (cpuCount, order, pageCount) => {
    const world = makeWorld(cpuCount, { pageCount, pageShift: HUGE_SHIFT })
    const allocator = makeBitmapPoolAllocator(world.window)
    const { failures, lives } = hammer(world, allocator, { rounds: 150, depth: 12, pagesMax: 4, order })
    expect(findClash(lives)).toBeUndefined()
    expect(lives.length + failures).toBe(cpuCount * 150)
    expect(failures > 0).toBe(pageCount === 160)
    expect(allocator.pagesUsed).toBe(0)
    const { allocations, frees } = allocator.work
    const grants = world.cpus.lockCounts().reduce((sum, lock) => sum + lock.grants, 0)
    expect(allocations[WORK_LOCKS]! + frees[WORK_LOCKS]!).toBe(grants)
  })

  it("CPUs of different pools do not wait for each other; those of one pool do", () => {
    const waitOf = (cpuCount: number, waiting: ReadonlyArray<number>) => {
      const world = makeWorld(cpuCount, { pageCount: 4096, pageShift: HUGE_SHIFT })
      const allocator = makeBitmapPoolAllocator(world.window)
      allocator.poolOf.set(waiting)
      hammer(world, allocator, { rounds: 100, depth: 4, pagesMax: 1, order: "fifo" })
      return world.cpus.lockCounts().reduce((sum, lock) => sum + lock.waitPs, 0)
    }
    expect(waitOf(4, [0, 1, 2, 3])).toBe(0)
    expect(waitOf(4, [2, 2, 2, 2])).toBeGreaterThan(0)
  })

  it("a search costs its constant and its words, once for each lock", () => {
    const { allocate, allocator, cpus, free } = setUp(1024)
    const first = allocate(1)
    expect(cpus.localPs[0]).toBe(LOCK_ACQUIRE_PS + IOVA_COSTS.bitmapSearchPs + IOVA_COSTS.bitmapWordPs)
    expect([...allocator.work.last]).toEqual([0, 1, 1, 1])
    free(first, 1)
    expect(cpus.localPs[0]).toBe(2 * LOCK_ACQUIRE_PS + IOVA_COSTS.bitmapSearchPs + 2 * IOVA_COSTS.bitmapWordPs)
    expect(allocator.work.frees[WORK_WORDS]).toBe(1)
  })
})
