/**
 * Goal: one lock guards a structure as the setting says, its steps become time while the lock is held, and it is
 * let go on every path. Method: journals of lock, structure and table on one CPU; exact times; all CPUs at once.
 */
import { describe, expect, it } from "vitest"
import { ACCOUNT_IOVA } from "@vnic/sim/core"
import { IOVA_NONE, WORK_LOCKS, WORK_NODES, WORK_WORDS, type LockAcrossTableWrite } from "../src/core/iova/allocator.ts"
import { makeBitmap, makeBitmapAllocator } from "../src/core/iova/bitmap.ts"
import { bitmapStepCosts, makeOneLockAllocator, treeStepCosts, type RangeStructure } from "../src/core/iova/oneLock.ts"
import { findClash, hammer, IOVA_COSTS, LOCK_ACQUIRE_PS, makeCalls, makeWorld } from "./support/iova.ts"

const MODES = ["both", "unmap", "none"] as const

/** One CPU, a structure with room for one range, and a journal of what happens in which order. */
function setUp(lockAcrossTableWrite: LockAcrossTableWrite) {
  const { cpus, window } = makeWorld(1)
  const journal: Array<string> = []
  const host = {
    ...cpus,
    lock: (cpu: number, lock: number, then: number) => {
      journal.push("lock")
      return cpus.lock(cpu, lock, then)
    },
    unlock: (cpu: number, lock: number) => {
      journal.push("unlock")
      cpus.unlock(cpu, lock)
    },
    spend: (cpu: number, account: number, durationPs: number) => {
      journal.push(`spend ${durationPs}`)
      cpus.spend(cpu, account, durationPs)
    }
  }
  let pagesUsed = 0
  const steps = new Float64Array(4)
  const structure: RangeStructure = {
    get pagesUsed() {
      return pagesUsed
    },
    steps,
    allocate: (pages) => {
      journal.push("allocate")
      steps.set([3, 2, 5])
      if (pagesUsed > 0) return IOVA_NONE
      pagesUsed = pages
      return 7
    },
    free: (first, pages) => {
      journal.push(`free ${first}+${pages}`)
      steps.set([1, 4, 1])
      pagesUsed = 0
    },
    canEverFit: (pages, alignment, reach) => pages * alignment <= reach
  }
  const stepCosts = { allocatePs: 1000, freePs: 500, nodePs: 10, wordPs: 1 }
  const allocator = makeOneLockAllocator({ ...window, host }, structure, {
    lockName: "the lock",
    lockAcrossTableWrite,
    stepCosts
  })
  const leave = cpus.define("leave", (cpu) => cpus.leave(cpu))
  const table = (words: string, then: (cpu: number) => number) =>
    cpus.define(words, (cpu) => {
      journal.push(words)
      return then(cpu)
    })
  const inserted = table("insert", (cpu) => {
    if (allocator.firsts[cpu] !== IOVA_NONE) allocator.endAllocate(cpu)
    return cpus.leave(cpu)
  })
  const refused = table("refused", (cpu) => allocator.beginFree(cpu, 7, 2, leave))
  const removed = table("remove", (cpu) => allocator.beginFree(cpu, 7, 2, leave))
  const programs = {
    map: cpus.define("map", (cpu) => allocator.beginAllocate(cpu, 2, 1, 9, -1, inserted)),
    mapRefused: cpus.define("map", (cpu) => allocator.beginAllocate(cpu, 2, 1, 9, -1, refused)),
    unmap: cpus.define("unmap", (cpu) => allocator.beginRemove(cpu, removed)),
    freeLater: cpus.define("free later", (cpu) => allocator.beginFree(cpu, 7, 2, leave))
  }
  const run = (name: keyof typeof programs): string => {
    cpus.runAlone(0, programs[name])
    return journal.splice(0).join(", ")
  }
  return { run, allocator, cpus }
}

describe("the order of lock, structure and table", () => {
  const allocate = "lock, allocate, spend 1032"
  const free = "free 7+2, spend 514, unlock"

  it.each(MODES)("across: %s", (mode) => {
    const { run } = setUp(mode)
    const isMapAcross = mode === "both"
    const map = isMapAcross ? `${allocate}, insert, unlock` : `${allocate}, unlock, insert`
    const unmap = mode === "none" ? `remove, lock, ${free}` : `lock, remove, ${free}`
    const giveUp = isMapAcross ? `${allocate}, refused, ${free}` : `${allocate}, unlock, refused, lock, ${free}`
    expect(run("map")).toBe(map)
    // A range that is not found needs no table: the lock goes at once.
    expect(run("map")).toBe(`${allocate}, unlock, insert`)
    expect(run("unmap")).toBe(unmap)
    expect(run("mapRefused")).toBe(giveUp)
    expect(run("map")).toBe(map)
    expect(run("freeLater")).toBe(`lock, ${free}`)
  })

  it.each(MODES)("counts as many locks as are taken, for a map that is given up too: %s", (mode) => {
    const { allocator, run } = setUp(mode)
    const taken = ["map", "unmap", "mapRefused"] as const
    const locks = taken.flatMap((name) => run(name).split(", ")).filter((entry) => entry === "lock").length
    const { allocations, frees } = allocator.work
    expect(allocations[WORK_LOCKS]! + frees[WORK_LOCKS]!).toBe(locks)
    expect([...allocator.firsts]).toEqual([7])
  })

  it("counts steps of the last operation and of all, one lock each", () => {
    const { allocator, run } = setUp("none")
    run("map")
    expect([...allocator.work.last]).toEqual([3, 2, 5, 1])
    expect([...allocator.firsts]).toEqual([7])
    expect(allocator.pagesUsed).toBe(2)
    run("map")
    expect([...allocator.firsts]).toEqual([IOVA_NONE])
    run("unmap")
    expect([...allocator.work.last]).toEqual([1, 4, 1, 1])
    expect([...allocator.work.allocations]).toEqual([6, 4, 10, 2])
    expect([...allocator.work.frees]).toEqual([1, 4, 1, 1])
    expect(allocator.canEverFit(2, 4, 8)).toBe(true)
    expect(allocator.canEverFit(2, 4, 7)).toBe(false)
  })

  it("books on the account of IOVAs, while the lock is held", () => {
    const { cpus, run } = setUp("none")
    run("map")
    expect(cpus.ledger[ACCOUNT_IOVA]).toBe(1032)
    expect(cpus.lockCounts()).toMatchObject([{ name: "the lock", busyPs: LOCK_ACQUIRE_PS + 1032, grants: 1 }])
  })
})

describe("costs of structures", () => {
  it("a bitmap's search has a cost of its own, its free has none; a tree's have the same", () => {
    expect(bitmapStepCosts(IOVA_COSTS)).toEqual({ allocatePs: 50_000, freePs: 0, nodePs: 0, wordPs: 1000 })
    expect(treeStepCosts(IOVA_COSTS)).toEqual({ allocatePs: 60_000, freePs: 60_000, nodePs: 10_000, wordPs: 0 })
  })
})

describe("the bitmap under its lock", () => {
  it("hands out what the bitmap alone does", () => {
    const world = makeWorld(1, { pageCount: 200 })
    const { allocate, free } = makeCalls(world, makeBitmapAllocator(world.window))
    const alone = makeBitmap({ ...world.window, pageCount: 200 })
    for (let round = 0; round < 60; round++) {
      const pages = 1 + ((round * 7) % 20)
      const first = allocate(pages, 1 << (round % 3), 150 + round)
      expect(first).toBe(alone.allocate(pages, 1 << (round % 3), 150 + round))
      if (first === IOVA_NONE || round % 2 === 0) continue
      free(first, pages)
      alone.free(first, pages)
    }
  })

  it.each(MODES.flatMap((mode) => [2, 8].map((count) => [count, mode] as const)))(
    "%i CPUs, across %s: no overlap, nothing left, one grant an operation",
    (cpuCount, mode) => {
      const world = makeWorld(cpuCount, { pageCount: 256, lockAcrossTableWrite: mode })
      const allocator = makeBitmapAllocator(world.window)
      const options = { rounds: 150, depth: 12, pagesMax: 4, order: "random" } as const
      const { failures, lives } = hammer(world, allocator, options)
      expect(findClash(lives)).toBeUndefined()
      expect(lives.length + failures).toBe(cpuCount * 150)
      expect(allocator.pagesUsed).toBe(0)
      const [lock] = world.cpus.lockCounts()
      expect(lock).toMatchObject({ name: "IOVA table lock", grants: cpuCount * 150 + lives.length })
      const { allocations, frees } = allocator.work
      expect(allocations[WORK_LOCKS]! + frees[WORK_LOCKS]!).toBe(lock!.grants)
      expect(allocations[WORK_NODES]).toBe(0)
      const words = allocations[WORK_WORDS]! + frees[WORK_WORDS]!
      const iovaPs = world.cpus.ledger.reduce(
        (sum, spentPs, index) => (index % (world.cpus.ledger.length / cpuCount) === ACCOUNT_IOVA ? sum + spentPs : sum),
        0
      )
      expect(iovaPs).toBe(words * IOVA_COSTS.bitmapWordPs + cpuCount * 150 * IOVA_COSTS.bitmapSearchPs)
    }
  )
})
