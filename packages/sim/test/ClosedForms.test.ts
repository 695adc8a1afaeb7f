import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { ACCOUNT_COUNT, ACCOUNT_IOVA, ACCOUNT_LOCK_HAND_OFF, ACCOUNT_LOCK_WAIT, makePrng } from "@vnic/sim/core"
import { closedLoop, type ClosedLoop } from "./support/closedLoop.ts"

const EVENTS_MAX = 10_000_000

function runTo({ timeline }: ClosedLoop, endPs: number): void {
  expect(timeline.runUntil(endPs, EVENTS_MAX)).toBeLessThan(EVENTS_MAX)
}

/** Exact mean-value analysis of one exponential server, a think time, and `customers` of them. */
function meanValueAnalysis(customers: number, thinkPs: number, holdPs: number) {
  let queue = 0
  let responsePs = 0
  let perPs = 0
  for (let count = 1; count <= customers; count++) {
    responsePs = holdPs * (1 + queue)
    perPs = count / (thinkPs + responsePs)
    queue = perPs * responsePs
  }
  return { perPs, waitPs: responsePs - holdPs, utilization: perPs * holdPs }
}

describe("deterministic hold and think, hand-off growth 0", () => {
  test.prop([fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 40 }), fc.nat({ max: 300 })])(
    "the long run gives exactly min(N / (z + h), 1 / h)",
    (cpuCount, holdPs, thinkPs) => {
      const world = closedLoop({ cpuCount, holdPs: () => holdPs, thinkPs: () => thinkPs })
      const cyclePs = Math.max(thinkPs + holdPs, cpuCount * holdPs)
      const warmUpPs = thinkPs + 20 * cyclePs
      runTo(world, warmUpPs)
      const before = world.order.length
      runTo(world, warmUpPs + 100 * cyclePs)
      expect(world.order.length - before).toBe(100 * cpuCount)
    }
  )

  it("a saturated lock goes round and round", () => {
    const world = closedLoop({ cpuCount: 4, holdPs: () => 10, thinkPs: () => 25 })
    runTo(world, 10_000)
    expect(world.order.slice(0, 12)).toEqual([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3])
    expect(world.cpus.lockCounts()[0]!.busyPs / (10_000 - 25)).toBeGreaterThan(0.999)
  })
})

describe("exponential hold and think against exact mean-value analysis", () => {
  for (const { cpuCount, thinkPs, holdPs } of [
    { cpuCount: 1, thinkPs: 900_000, holdPs: 300_000 },
    { cpuCount: 2, thinkPs: 500_000, holdPs: 500_000 },
    { cpuCount: 4, thinkPs: 2_000_000, holdPs: 600_000 },
    { cpuCount: 8, thinkPs: 2_000_000, holdPs: 250_000 },
    { cpuCount: 8, thinkPs: 1_000_000, holdPs: 400_000 },
    { cpuCount: 16, thinkPs: 9_000_000, holdPs: 500_000 }
  ]) {
    it(`${cpuCount} CPUs, think ${thinkPs} ps, hold ${holdPs} ps: within 1 %`, () => {
      const think = makePrng(7, 1)
      const hold = makePrng(7, 2)
      const world = closedLoop({
        cpuCount,
        thinkPs: () => Math.round(think.exponential(thinkPs)),
        holdPs: () => Math.round(hold.exponential(holdPs))
      })
      const expected = meanValueAnalysis(cpuCount, thinkPs, holdPs)
      const endPs = Math.ceil(400_000 / expected.perPs)
      runTo(world, endPs)
      const counts = world.cpus.lockCounts()[0]!
      expect(Math.abs(counts.grants / endPs / expected.perPs - 1)).toBeLessThan(0.01)
      expect(Math.abs(counts.busyPs / endPs / expected.utilization - 1)).toBeLessThan(0.01)
      const waitPs = counts.waitPs / counts.grants
      expect(Math.abs(waitPs - expected.waitPs)).toBeLessThanOrEqual(0.01 * (expected.waitPs + holdPs))
    })
  }
})

describe("what a hand-off costs", () => {
  it("a lock that nobody else wants costs an acquire", () => {
    const world = closedLoop({
      cpuCount: 1,
      thinkPs: () => 50,
      holdPs: () => 10,
      lockAcquirePs: 4,
      lockHandOffPs: 1000,
      lockHandOffPerWaiterPs: 1000
    })
    runTo(world, 64 * 1000)
    expect(world.released[0]).toBe(1000)
    expect(world.cpus.lockCounts()[0]).toMatchObject({ waitPs: 0, contended: 0 })
  })

  test.prop([fc.integer({ min: 3, max: 10 }), fc.nat({ max: 9 }), fc.nat({ max: 9 }), fc.nat({ max: 9 })])(
    "a saturated lock's cycle is N (h + acquire + hand-off + growth (N - 2))",
    (cpuCount, lockAcquirePs, lockHandOffPs, lockHandOffPerWaiterPs) => {
      const costs = { lockAcquirePs, lockHandOffPs, lockHandOffPerWaiterPs }
      const holdPs = 20
      // The CPU that let go thinks for a moment, the one that is served waits no more: N - 2 others do.
      const world = closedLoop({ cpuCount, holdPs: () => holdPs, thinkPs: () => 5, ...costs })
      const sectionPs = holdPs + lockAcquirePs + lockHandOffPs + lockHandOffPerWaiterPs * (cpuCount - 2)
      const warmUpPs = 5 + 3 * cpuCount * sectionPs
      runTo(world, warmUpPs)
      const before = world.order.length
      runTo(world, warmUpPs + 50 * cpuCount * sectionPs)
      expect(world.order.length - before).toBe(50 * cpuCount)
    }
  )
})

describe("order of granting", () => {
  it("is the virtual-time order of asking, whatever the order of running", () => {
    // CPU 2 asks last although it runs first in its slice, and CPU 0 asks first although it runs last.
    const world = closedLoop({ cpuCount: 3, thinkPs: (cpu) => 30 - 10 * (2 - cpu), holdPs: () => 100 })
    runTo(world, 1000)
    expect(world.order.slice(0, 3)).toEqual([0, 1, 2])
    const reversed = closedLoop({ cpuCount: 3, thinkPs: (cpu) => 30 - 10 * cpu, holdPs: () => 100 })
    runTo(reversed, 1000)
    expect(reversed.order.slice(0, 6)).toEqual([2, 1, 0, 2, 1, 0])
  })

  it("is the order of CPU numbers among those that ask at one instant", () => {
    const world = closedLoop({ cpuCount: 5, thinkPs: () => 10, holdPs: () => 10 })
    runTo(world, 59)
    expect(world.order).toEqual([0, 1, 2, 3, 4])
  })

  it("lets a CPU that asks again at the instant of letting go stand behind those that waited", () => {
    const world = closedLoop({ cpuCount: 3, thinkPs: () => 0, holdPs: () => 10 })
    runTo(world, 55)
    expect(world.order).toEqual([0, 1, 2, 0, 1, 2])
  })
})

describe("identities that hold whatever the numbers are", () => {
  const costs = fc.nat({ max: 30 })
  test.prop([fc.integer({ min: 1, max: 10 }), fc.nat(), costs, costs, costs])(
    "busy time, waiting time and the ledger are one account",
    (cpuCount, seed, lockAcquirePs, lockHandOffPs, lockHandOffPerWaiterPs) => {
      const random = makePrng(seed)
      const world = closedLoop({
        cpuCount,
        thinkPs: () => random.below(500),
        holdPs: () => random.below(100),
        lockAcquirePs,
        lockHandOffPs,
        lockHandOffPerWaiterPs
      })
      runTo(world, 50_000)
      const { cpus } = world
      const sum = (account: number): number =>
        Array.from({ length: cpuCount }, (_, cpu) => cpus.ledger[cpu * ACCOUNT_COUNT + account]!).reduce(
          (a, b) => a + b
        )
      const [lock] = cpus.lockCounts()
      expect(lock!.grants).toBe(world.order.length)
      expect(lock!.waitPs).toBe(sum(ACCOUNT_LOCK_WAIT))
      // Nobody holds the lock between events: all that was spent inside is busy time of the lock.
      expect(lock!.busyPs).toBe(sum(ACCOUNT_LOCK_HAND_OFF) + sum(ACCOUNT_IOVA))
      expect(lock!.busyPs).toBeLessThanOrEqual(Math.max(...cpus.localPs))
      for (let cpu = 0; cpu < cpuCount; cpu++) {
        expect(cpus.bookedPs(cpu)).toBe(cpus.busyPs(cpu))
        expect(cpus.busyPs(cpu)).toBe(cpus.localPs[cpu])
      }
    }
  )
})
