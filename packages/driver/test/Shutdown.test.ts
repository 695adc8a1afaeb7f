/** Whatever happened before, a shutdown leaves nothing mapped, allocated or lent, and nothing was done wrong. */
import { describe, expect, it } from "vitest"
import { makePrng } from "@vnic/sim/core"
import type { SmallFrames, StrategyName } from "@vnic/driver/core"
import { frameOf, makeDriverWorld, NOTHING_LEFT, type TestWorld } from "@vnic/driver/testing"

const STRATEGIES: ReadonlyArray<StrategyName> = ["map-per-packet", "page-chunk", "direct"]
const SMALL: ReadonlyArray<SmallFrames> = ["copy", "map"]
const LOCKS = ["both", "unmap", "none"] as const
const QUEUES = 3

/** Random traffic on all queues, in both directions, and an end in the middle of it. */
function trafficOf(world: TestWorld, seed: number): void {
  const prng = makePrng(seed, 0)
  const below = (bound: number) => prng.below(bound)
  const { napi } = world.start()
  world.stack.answer = ({ bytes }) => (bytes[0]! % 3 === 0 ? bytes.subarray(0, 60 + (bytes[0]! % 200)) : undefined)
  for (let event = 0; event < 300; event++) {
    const queue = below(QUEUES)
    const kind = below(10)
    if (kind < 5) world.device.deliver(queue, frameOf(60 + below(1455), event), { isLate: kind === 0 })
    if (kind === 5) world.device.writeBack(queue, 1 + below(3))
    if (kind === 6 && world.stack.lent.size < 40) napi.send(queue, world.stack.lend(frameOf(60 + below(200))), 60)
    if (kind === 7) world.device.send(queue, 1 + below(4))
    if (kind === 8) world.device.report(queue)
    if (kind === 9) world.settle()
    if (event === 100) world.simulation.pages.failAt = 1
    if (event === 200) world.table.refuseAt = 1 + below(4)
  }
  world.settle()
}

describe.each(STRATEGIES)("after random traffic with %s", (strategy) => {
  it.each(SMALL)("nothing is left, small frames: %s", (small) => {
    for (let seed = 1; seed <= 12; seed++) {
      const world = makeDriverWorld({
        strategy,
        small,
        queues: QUEUES,
        backend: strategy === "direct" ? "direct" : "iommu",
        lockAcrossTableWrite: LOCKS[seed % 3]!,
        cpuCount: 1 + (seed % 3),
        rxDescriptors: 8 * (1 + (seed % 4)),
        txDescriptors: 8 * (1 + (seed % 2)),
        systemPageBytes: seed % 2 === 0 ? 4096 : 65536,
        budget: [1, 4, 64][seed % 3]!
      })
      const make = world.make.bind(world)
      let driver: ReturnType<typeof world.make> | undefined
      world.make = () => (driver = make())
      trafficOf(world, seed)
      if (driver === undefined || "step" in driver) throw new Error("no driver")
      expect(world.stack.received.length).toBeGreaterThan(20)
      expect(driver.shutdown()).toBeUndefined()
      expect(world.leftovers()).toEqual(NOTHING_LEFT)
      expect(world.dma.liveMappings()).toEqual([])
    }
  })
})

describe("a shutdown", () => {
  it("of a driver that never came up gives the rings back", () => {
    const world = makeDriverWorld({ queues: 2 })
    const made = world.make()
    if ("step" in made) throw new Error("no ring memory")
    made.shutdown()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })

  it.each(STRATEGIES)("comes after delivered frames that nobody looked at: %s", (strategy) => {
    const world = makeDriverWorld({ strategy })
    const driver = world.start()
    for (let number = 0; number < 7; number++) world.device.deliver(0, frameOf(1514, number))
    driver.shutdown()
    world.settle()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })

  it("gives the buffers back in the order in which they were handed out", () => {
    const world = makeDriverWorld({ strategy: "page-chunk" })
    const driver = world.start()
    for (let number = 0; number < 5; number++) world.device.deliver(0, frameOf(60, number))
    world.settle()
    const slots: Array<number> = []
    const discard = driver.strategy.discard.bind(driver.strategy)
    driver.strategy.discard = (cpu, ring, slot) => {
      slots.push(slot)
      discard(cpu, ring, slot)
    }
    driver.shutdown()
    expect(slots).toEqual([5, 6, 7, 0, 1, 2, 3])
  })

  it.each(STRATEGIES)("waits for polls that are under way: %s, stopped at every 2 us of them", (strategy) => {
    for (let step = 0; step < 40; step++) {
      const world = makeDriverWorld({ strategy, queues: 4, cpuCount: 4, rxDescriptors: 24, small: "map" })
      const driver = world.start()
      world.stack.answer = ({ bytes }) => bytes.subarray(0, 60)
      for (let queue = 0; queue < 4; queue++) {
        for (let number = 0; number < 20; number++) world.device.deliver(queue, frameOf(1514, number))
      }
      world.device.delay(step * 2_000_000)
      driver.shutdown()
      expect(world.leftovers()).toEqual(NOTHING_LEFT)
      world.settle()
      expect(world.stack.received).toHaveLength(80)
      expect(world.leftovers()).toEqual(NOTHING_LEFT)
    }
  })

  it("masks the interrupts, and the device touches nothing afterwards", () => {
    const world = makeDriverWorld()
    const driver = world.start()
    world.device.deliver(0, frameOf(60), { isLate: true })
    driver.shutdown()
    expect(world.device.isUnmasked(0)).toBe(false)
    expect(world.device.deliver(0, frameOf(60))).toBe(false)
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })
})
