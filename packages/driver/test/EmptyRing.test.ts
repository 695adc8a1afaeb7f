/** A ring for which there is no memory: no descriptor means no frame and no interrupt, so the driver asks for one. */
import { describe, expect, it } from "vitest"
import { frameOf, makeDriverWorld, NOTHING_LEFT } from "@vnic/driver/testing"

/** The allocation of a queue's first block comes after those of its rings and its copy block. */
const RING_BLOCKS = 3

describe.each(["map-per-packet", "page-chunk"] as const)("an empty ring of %s", (strategy) => {
  it("is filled later when the first block could not be had", () => {
    const world = makeDriverWorld({ strategy })
    world.simulation.pages.failAt = RING_BLOCKS + 1
    const driver = world.start()
    expect(driver.rxRings[0]!.posted).toBe(0)
    world.device.raiseAskedFor()
    world.settle()
    const ring = driver.rxRings[0]!
    expect(ring.posted).toBe(ring.count - 1)
    expect(world.device.deliver(0, frameOf(1514, 1))).toBe(true)
    world.settle()
    expect(driver.statistics().framesReceived).toBe(1)
    driver.shutdown()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })

  it("asks again for as long as there is no memory, once a throttled interrupt", () => {
    const world = makeDriverWorld({ strategy })
    world.simulation.pages.failAt = RING_BLOCKS + 1
    const driver = world.start()
    for (let attempt = 0; attempt < 3; attempt++) {
      world.simulation.pages.failAt = 1
      const before = driver.statistics().polls
      world.device.raiseAskedFor()
      world.settle()
      expect(driver.statistics().polls - before).toBe(1)
      expect(driver.rxRings[0]!.posted).toBe(0)
    }
    world.device.raiseAskedFor()
    world.settle()
    expect(driver.rxRings[0]!.posted).toBeGreaterThan(0)
  })
})
