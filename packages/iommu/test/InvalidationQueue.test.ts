import { fc, test } from "@fast-check/vitest"
import { blockOrder, IOTLB_MISS, makeInvalidationQueue, makeIotlb } from "@vnic/iommu/core"
import { soloVtd } from "@vnic/iommu/testing"
import { ACCOUNT_COUNT, ACCOUNT_INVALIDATE, findProfile, NEVER_PS, profileValues } from "@vnic/sim/core"
import { soloWorld } from "@vnic/sim/testing"
import { describe, expect, it } from "vitest"

const profile = profileValues(findProfile("x86-sandybridge")!)
/** 2,127 cycles at 3.1 GHz. */
const PUBLISHED_PS = 686_129

/** Worlds whose CPUs each make `calls` invalidations of one page; what the last of them saw. */
function contended(cpuCount: number, calls: number) {
  const world = soloVtd({ world: { profile: { ...profile, coreCount: cpuCount }, cpuCount } })
  const { cpus, timeline } = world.sim
  const left = new Int32Array(cpuCount).fill(calls)
  const again: number = cpus.define("invalidate again", (cpu) => {
    if (left[cpu]! === 0) return cpus.sleep(cpu)
    left[cpu]! -= 1
    return world.table.invalidation.beginPages(cpu, cpu, 1, again)
  })
  for (let cpu = 0; cpu < cpuCount; cpu++) cpus.wake(cpu, again)
  while (timeline.nextDuePs < NEVER_PS) timeline.runUntil(timeline.nextDuePs, Infinity)
  const [lock] = cpus.lockCounts()
  return { world, lock: lock!, left, endPs: Math.max(...cpus.localPs) }
}

describe("queued invalidation", () => {
  it("takes one CPU what is published for it, nearly", () => {
    const { world, endPs } = contended(1, 100)
    expect(Math.abs(endPs / 100 / PUBLISHED_PS - 1)).toBeLessThan(0.01)
    expect(world.queue.invalidations).toEqual({ global: 0, domain: 0, page: 100, context: 0 })
    expect(world.sim.cpus.ledger[ACCOUNT_INVALIDATE]).toBeGreaterThan(50 * PUBLISHED_PS)
  })

  it.each([2, 4, 8])("is worked through one at a time for %i CPUs, round the ring many times", (cpuCount) => {
    const { endPs, left, lock, world } = contended(cpuCount, 300)
    expect([...left]).toEqual(Array<number>(cpuCount).fill(0))
    expect(world.queue.invalidations.page).toBe(cpuCount * 300)
    expect(world.queue.head).toBe(world.queue.tail)
    expect(endPs).toBeGreaterThanOrEqual(cpuCount * 300 * profile.invalidation)
    expect(endPs).toBeLessThan(cpuCount * 300 * PUBLISHED_PS * 1.1)
    expect(lock.contended).toBeGreaterThan(300)
    // Everybody's busy time is booked.
    for (let cpu = 0; cpu < cpuCount; cpu++) {
      const { ledger } = world.sim.cpus
      const booked = ledger.slice(cpu * ACCOUNT_COUNT, (cpu + 1) * ACCOUNT_COUNT).reduce((sum, one) => sum + one, 0)
      expect(booked).toBe(world.sim.cpus.localPs[cpu])
    }
  })

  it("makes CPUs wait for room when all descriptors are taken", () => {
    const { left, world } = contended(200, 2)
    expect(left.every((calls) => calls === 0)).toBe(true)
    expect(world.queue.invalidations.page).toBe(400)
    expect(world.queue.isStopped).toBe(false)
  })

  test.prop([fc.nat(5000), fc.integer({ min: 1, max: 3000 })])(
    "blocks of pages are the smallest aligned powers of two that hold the range",
    (page, count) => {
      const holds = (order: number): boolean =>
        Math.floor(page / 2 ** order) === Math.floor((page + count - 1) / 2 ** order)
      const order = blockOrder(page, count)
      expect(holds(order)).toBe(true)
      if (order > 0) expect(holds(order - 1)).toBe(false)
    }
  )

  it("takes the aligned block around an address that is not aligned", () => {
    const { memory, pages } = soloWorld({ profile })
    const ring = pages.allocate(0)
    const iotlb = makeIotlb(16, 1)
    const queue = makeInvalidationQueue({ memory, iotlb, ring, invalidationPs: 10, forgetContexts: () => undefined })
    for (let page = 3; page < 9; page++) iotlb.insert(1, 1, page, 0, 3, 0)
    memory.words.set([(1 << 16) | 0x32, 0, (6 << 12) | 2, 0], ring >> 2)
    queue.writeTail(1, 0)
    queue.runTo(10)
    const kept = [3, 4, 5, 6, 7, 8].filter((page) => iotlb.lookup(1, page) !== IOTLB_MISS)
    expect(kept).toEqual([3, 8])
  })

  it("stands still at a descriptor that makes no sense", () => {
    const { memory, pages } = soloWorld({ profile })
    const ring = pages.allocate(0)
    const iotlb = makeIotlb(1, 1)
    const queue = makeInvalidationQueue({ memory, iotlb, ring, invalidationPs: 10, forgetContexts: () => undefined })
    const word = ring >> 2
    // Global, unknown, global.
    memory.words[word] = 0x12
    memory.words[word + 4] = 0xf
    memory.words[word + 8] = 0x12
    queue.writeTail(3, 0)
    queue.runTo(9)
    expect(queue.head).toBe(0)
    queue.runTo(1000)
    expect([queue.head, queue.isStopped, queue.invalidations.global]).toEqual([1, true, 1])
  })

  it("refuses a block beyond the largest, a granularity that is none, and a status word outside of memory", () => {
    for (const words of [
      [0x32, 0, 19, 0],
      [0x02, 0, 0, 0],
      [0x25, 2, 0x7fff_f000, 0],
      [0x25, 2, 0, 1]
    ]) {
      const { memory, pages } = soloWorld({ profile })
      const ring = pages.allocate(0)
      const queue = makeInvalidationQueue({
        memory,
        iotlb: makeIotlb(1, 1),
        ring,
        invalidationPs: 10,
        forgetContexts: () => undefined
      })
      memory.words.set(words, ring >> 2)
      queue.writeTail(1, 0)
      queue.runTo(100)
      expect(queue.isStopped).toBe(true)
    }
  })
})
