/**
 * Goal: constant time and no lock for rings; for any other use a right answer all the same: no overlap, at one time
 * on all CPUs' clocks, and none only where there is none. Method: the oracle of all allocators under random and all
 * short histories; steps of long rings; all CPUs at once with every range's life checked against the others.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { ACCOUNT_IOVA } from "@vnic/sim/core"
import { IOVA_NONE, WORK_LOCKS, WORK_WORDS } from "../src/core/iova/allocator.ts"
import { makeRingAllocator } from "../src/core/iova/ring.ts"
import { NaiveWindow } from "../src/testing/NaiveWindow.ts"
import { findClash, hammer, IOVA_COSTS, makeCalls, makeWorld, type HammerOptions } from "./support/iova.ts"

const setUp = (
  pageCount: number,
  cpuCount = 1,
  pagesBelow4GiB = 1 << 20,
  isFirstPageReserved = true,
  startPage = 0
) => {
  const world = makeWorld(cpuCount, { pageCount, pagesBelow4GiB, isFirstPageReserved, startPage })
  const allocator = makeRingAllocator(world.window)
  const naive = new NaiveWindow(pageCount, isFirstPageReserved, { startPage })
  const calls = makeCalls(world, allocator)
  const live: Array<readonly [first: number, pages: number]> = []
  /** Allocates, and says what is wrong with the answer. */
  const allocate = (pages: number, alignment = 1, reach = pageCount, cpu = 0): string => {
    const request = { pages, alignment, reach }
    const first = calls.allocate(pages, alignment, reach, cpu)
    if (first === IOVA_NONE) return naive.places(request).length > 0 ? `none for ${JSON.stringify(request)}` : ""
    live.push([first, pages])
    return naive.take(first, request)
  }
  const free = (index: number, cpu = 0): void => {
    const [first, pages] = live.splice(index, 1)[0]!
    calls.free(first, pages, cpu)
    naive.give(first, pages)
  }
  return { ...world, allocator, naive, live, allocate, free }
}

describe("against the oracle", () => {
  it("every history of five operations on 8 pages", () => {
    const operations: Array<number> = []
    let histories = 0
    const extend = (): void => {
      const { allocate, free, live } = setUp(8)
      for (const operation of operations) {
        const wrong = operation < 3 ? allocate(operation + 1) : ""
        if (wrong !== "") expect.fail(`${wrong} after ${operations.join(" ")}`)
        if (operation >= 3 && operation - 3 < live.length) free(operation - 3)
      }
      histories++
      if (operations.length === 5) return
      for (let operation = 0; operation < 6; operation++) {
        operations.push(operation)
        extend()
        operations.pop()
      }
    }
    extend()
    expect(histories).toBe((6 ** 6 - 1) / 5)
  })

  const operation = fc.record({
    isFree: fc.boolean(),
    cpu: fc.nat({ max: 2 }),
    pages: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 90 })),
    alignmentLog: fc.oneof(fc.constant(0), fc.nat({ max: 5 })),
    isCut: fc.boolean(),
    pick: fc.nat()
  })
  test.prop([
    fc.integer({ min: 8, max: 700 }),
    fc.integer({ min: 1, max: 3 }),
    fc.constantFrom(1 << 20, 250, 3, 0),
    fc.constantFrom(0, 77),
    fc.nat({ max: 700 }),
    fc.array(operation, { maxLength: 120 })
  ])("any use of any window, one CPU at a time", (...drawn) => {
    const [pageCount, cpuCount, pagesBelow4GiB, startPage, cut, operations] = drawn
    const { allocate, allocator, cpus, free, live, naive } = setUp(pageCount, cpuCount, pagesBelow4GiB, true, startPage)
    for (const { alignmentLog, cpu, isCut, isFree, pages, pick } of operations) {
      // Each waits until the others have done what they did.
      const nowPs = Math.max(...cpus.localPs)
      const on = cpu % cpuCount
      cpus.spend(on, 0, nowPs - cpus.localPs[on]!)
      const reach = isCut ? Math.min(cut, pageCount) : pageCount
      if (isFree && live.length > 0) free(pick % live.length, on)
      else expect(allocate(pages, 1 << alignmentLog, reach, on)).toBe("")
      const empty = new NaiveWindow(pageCount, true, { startPage })
      const fits = empty.places({ pages, alignment: 1 << alignmentLog, reach }).length > 0
      expect(allocator.canEverFit(pages, 1 << alignmentLog, reach)).toBe(fits)
    }
    expect(allocator.pagesUsed).toBe(naive.pagesUsed())
  })

  test.prop([fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 200 }), fc.boolean()])(
    "a window that was filled with anything is as good as new when all is freed",
    (sizes, isReserved) => {
      const { allocate, allocator, free, live } = setUp(256, 1, 1 << 20, isReserved)
      for (const pages of sizes) expect(allocate(pages)).toBe("")
      while (live.length > 0) free(live.length >> 1)
      const size = isReserved ? 255 : 256
      expect(allocate(size)).toBe("")
      expect(live.length).toBe(1)
      free(0)
      for (let page = 0; page < size; page++) expect(allocate(1)).toBe("")
      expect(live.length).toBe(size)
      expect(allocator.pagesUsed).toBe(size)
    }
  )

  it("what is not allocated cannot be freed", () => {
    const world = makeWorld(1)
    const { allocate, free } = makeCalls(world, makeRingAllocator(world.window))
    const first = allocate(3)
    free(first, 3)
    expect(() => free(first, 3)).toThrow("not allocated")
    expect(() => free(0, 1)).toThrow("outside the window")
    expect(() => free(1023, 2)).toThrow("outside the window")
  })
})

/** Steps per operation of a ring of that many ranges, once it has gone round, and the pages that it ever used. */
function turnRing(depth: number, pages: number, pinnedEvery = 0) {
  const world = makeWorld(8, { pageCount: 1 << 18 })
  const allocator = makeRingAllocator(world.window)
  const { allocate, free } = makeCalls(world, allocator)
  const ring: Array<number> = []
  const used = new Set<number>()
  let wordsMost = 0
  const turns = 8 * (depth + 512)
  const before = { words: 0, ps: 0 }
  for (let turn = 0; turn < 2 * turns; turn++) {
    if (turn === turns) {
      before.words = allocator.work.allocations[WORK_WORDS]!
      before.ps = world.cpus.localPs[0]!
    }
    const first = allocate(pages)
    if (turn >= turns) wordsMost = Math.max(wordsMost, allocator.work.last[WORK_WORDS]!)
    used.add(first)
    ring.push(first)
    if (ring.length <= depth) continue
    const old = ring.shift()!
    // One that stays for ever, now and then, at the beginning.
    if (pinnedEvery === 0 || turn > turns / 2 || turn % pinnedEvery > 0) free(old, pages)
  }
  return {
    wordsMost,
    words: (allocator.work.allocations[WORK_WORDS]! - before.words) / turns,
    pairPs: (world.cpus.localPs[0]! - before.ps) / turns,
    locks: allocator.work.allocations[WORK_LOCKS]! + allocator.work.frees[WORK_LOCKS]!,
    pagesUsed: used.size * pages
  }
}

describe("a ring", () => {
  it.each([
    [1, 1],
    [64, 1],
    [512, 1],
    [1000, 1],
    [4096, 1],
    [512, 16],
    [100, 3]
  ])("of %i ranges of %i pages: constant time, no lock, few segments", (depth, pages) => {
    const { locks, pagesUsed, pairPs, words, wordsMost } = turnRing(depth, pages)
    expect(locks).toBe(0)
    expect(wordsMost).toBeLessThanOrEqual(9 + 4)
    expect(words).toBeLessThan(1.25)
    expect(pairPs).toBeLessThan(2 * IOVA_COSTS.constantPs + 0.5 * IOVA_COSTS.bitmapWordPs)
    expect(pagesUsed).toBeLessThan(depth * pages * 1.5 + 3 * 512)
  })

  it("ranges that stay for ever are passed by", () => {
    const { locks, words } = turnRing(512, 1, 300)
    expect(locks).toBe(0)
    expect(words).toBeLessThan(1.3)
  })

  it("segments that stay full for ever do not send it on to fresh ones each time", () => {
    const world = makeWorld(8, { pageCount: 1 << 18 })
    const { allocate, free } = makeCalls(world, makeRingAllocator(world.window))
    for (let count = 0; count < 70; count++) allocate(128)
    const ring: Array<number> = []
    const used = new Set<number>()
    for (let turn = 0; turn < 20_000; turn++) {
      const first = allocate(1)
      used.add(first)
      ring.push(first)
      if (ring.length > 64) free(ring.shift()!, 1)
    }
    expect(used.size).toBeLessThan(20_000 / 2)
  })

  it("with a short one beside it, as receive and acknowledgement rings are", () => {
    const world = makeWorld(1, { pageCount: 1 << 16 })
    const allocator = makeRingAllocator(world.window)
    const { allocate, free } = makeCalls(world, allocator)
    const long: Array<number> = []
    const short: Array<number> = []
    for (let turn = 0; turn < 20_000; turn++) {
      long.push(allocate(1))
      short.push(allocate(1))
      if (long.length > 2000) free(long.shift()!, 1)
      if (short.length > 20) free(short.shift()!, 1)
    }
    expect(allocator.work.allocations[WORK_LOCKS]).toBe(0)
    expect(allocator.work.allocations[WORK_WORDS]! / 40_000).toBeLessThan(1.25)
  })

  it("an address does not come back before the rest of its segment was used", () => {
    const world = makeWorld(1, { pageCount: 1 << 16 })
    const { allocate, free } = makeCalls(world, makeRingAllocator(world.window))
    const firsts = Array.from({ length: 600 }, () => {
      const first = allocate(1)
      free(first, 1)
      return first
    })
    expect(new Set(firsts.slice(0, 511)).size).toBe(511)
    expect(firsts[511]).toBe(firsts[0])
  })

  it("passes by what is reserved without a lock, and keeps a boundary shorter than its segments", () => {
    const reserved = [{ firstPage: 500, pageCount: 1100 }]
    const world = makeWorld(1, { pageCount: 1 << 16, startPage: 5, reserved })
    const allocator = makeRingAllocator(world.window)
    const { allocate } = makeCalls(world, allocator)
    const firsts = Array.from({ length: 900 }, () => allocate(7, 1, 1 << 16, 0, -1, 8))
    expect(allocator.work.allocations[WORK_LOCKS]).toBe(0)
    expect(firsts.some((first) => first + 7 > 500 && first < 1600)).toBe(false)
    expect(firsts.every((first) => ((first + 5) % 8) + 7 <= 8)).toBe(true)
    expect(new Set(firsts).size).toBe(900)
    expect(allocate(9, 1, 1 << 16, 0, -1, 8)).toBe(IOVA_NONE)
  })

  it("long requests, and devices that do not reach the homes, take the lock", () => {
    const world = makeWorld(2, { pageCount: 1 << 16 })
    const allocator = makeRingAllocator(world.window)
    const { allocate } = makeCalls(world, allocator)
    expect(allocator.optPages).toBe(128)
    allocate(128)
    expect(allocator.work.last[WORK_LOCKS]).toBe(0)
    allocate(129)
    expect(allocator.work.last[WORK_LOCKS]).toBe(1)
    allocate(1, 1, 1 << 15)
    expect(allocator.work.last[WORK_LOCKS]).toBe(1)
  })
})

describe("all CPUs at once", () => {
  const uses: ReadonlyArray<readonly [string, number, number, Omit<HammerOptions, "rounds" | "seed">]> = [
    ["rings with room", 8, 4096, { depth: 40, pagesMax: 4, order: "fifo" }],
    ["rings that fill the window", 8, 128, { depth: 12, pagesMax: 3, order: "fifo" }],
    ["any order, little room", 4, 64, { depth: 12, pagesMax: 4, order: "random" }],
    ["handed on to the next CPU", 8, 1024, { depth: 20, pagesMax: 4, order: "fifo", isHandedOn: true }],
    ["handed on, any order, little room", 5, 96, { depth: 12, pagesMax: 6, order: "random", isHandedOn: true }]
  ]
  it.each(uses)("%s: no overlap on any clock, nothing left", (name, cpuCount, pageCount, use) => {
    for (const seed of [1, 2, 3]) {
      const world = makeWorld(cpuCount, { pageCount })
      const allocator = makeRingAllocator(world.window)
      const { failures, lives } = hammer(world, allocator, { rounds: 200, seed, ...use })
      expect(findClash(lives)).toBeUndefined()
      expect(lives.length + failures).toBe(cpuCount * 200)
      expect(allocator.pagesUsed).toBe(0)
      if (name === "rings with room") expect(world.cpus.lockCounts()).toMatchObject([{ grants: 0 }])
      const { allocate } = makeCalls(world, allocator)
      world.cpus.spend(0, 0, Math.max(...world.cpus.localPs) - world.cpus.localPs[0]!)
      expect(allocate(pageCount - 1)).toBe(1)
    }
  })

  it("pay for their own steps alone, whatever others do while they wait for the lock", () => {
    const spentPs = (isDisturbed: boolean): number => {
      const world = makeWorld(2, { pageCount: 1024 })
      const { cpus, timeline } = world
      const allocator = makeRingAllocator(world.window)
      const { allocate } = makeCalls(world, allocator)
      // CPU 0 finds nothing, neither alone nor under the lock.
      for (let page = 1; page < 1024; page++) expect(allocate(1)).not.toBe(IOVA_NONE)
      const free = cpus.define("free", (cpu) => allocator.beginFree(cpu, 500, 1, asleep))
      const asleep = cpus.define("asleep", (cpu) => cpus.sleep(cpu))
      const look = cpus.define("look", (cpu) => allocator.beginAllocate(cpu, 2, 1, 1024, -1, asleep))
      cpus.spend(1, 0, cpus.localPs[0]!)
      const beforePs = cpus.ledger[ACCOUNT_IOVA]!
      cpus.wake(0, look)
      if (isDisturbed) cpus.wake(1, free)
      timeline.runUntil(Number.MAX_SAFE_INTEGER, 1_000)
      expect(allocator.firsts[0]).toBe(IOVA_NONE)
      expect(allocator.work.allocations[WORK_LOCKS]).toBe(1)
      return cpus.ledger[ACCOUNT_IOVA]! - beforePs
    }
    expect(spentPs(true)).toBe(spentPs(false))
  })

  it("rings of their own scale: a pair costs the same on 1 CPU and on 64", () => {
    const elapsedPs = (cpuCount: number): number => {
      const world = makeWorld(cpuCount, { pageCount: 1 << 18 })
      const allocator = makeRingAllocator(world.window)
      const left = new Int32Array(cpuCount).fill(2000)
      const map = world.cpus.define("map", (cpu) => {
        left[cpu]! -= 1
        return left[cpu]! < 0 ? world.cpus.sleep(cpu) : allocator.beginAllocate(cpu, 1, 1, 1 << 18, -1, unmap)
      })
      const unmap = world.cpus.define("unmap", (cpu) => allocator.beginFree(cpu, allocator.firsts[cpu]!, 1, map))
      for (let cpu = 0; cpu < cpuCount; cpu++) world.cpus.wake(cpu, map)
      world.timeline.runUntil(Number.MAX_SAFE_INTEGER, 1_000_000)
      return Math.max(...world.cpus.localPs)
    }
    expect(elapsedPs(64)).toBeLessThan(1.01 * elapsedPs(1))
  })
})
