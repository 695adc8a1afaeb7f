/** What a driver is said to take at most is the most that it takes, while frames come and go. */
import { describe, expect, it } from "vitest"
import { footprintOf } from "@vnic/driver/core"
import { frameOf, makeDriverWorld } from "@vnic/driver/testing"

const powerOfTwo = (count: number): number => 2 ** Math.ceil(Math.log2(count))

describe.each(["map-per-packet", "page-chunk"] as const)("the footprint of %s", (strategy) => {
  it.each([
    [4096, 1, 8, 8, 1],
    [4096, 3, 72, 512, 30],
    [4096, 1, 256, 16, 64],
    [65536, 2, 64, 64, 7],
    [65536, 1, 256, 1024, 100]
  ])("with pages of %i bytes, %i queues of %i and %i descriptors, %i frames at once", (...given) => {
    const [systemPageBytes, queues, rxDescriptors, txDescriptors, burst] = given
    const world = makeDriverWorld({ strategy, queues, rxDescriptors, txDescriptors, systemPageBytes })
    const said = footprintOf(world.driverOptions, systemPageBytes)
    const { pages } = world.simulation
    const coherentPages = said.coherentBytes.reduce(
      (sum, bytes) => sum + powerOfTwo(Math.ceil(bytes / systemPageBytes)),
      0
    )
    const before = pages.pagesUsed
    const driver = world.start()
    for (let frame = 0; frame < 5 * rxDescriptors; frame++) {
      for (let queue = 0; queue < queues; queue++) world.device.deliver(queue, frameOf(1514, frame))
      if (frame % burst === burst - 1) world.settle()
    }
    world.settle()
    expect(driver.statistics().framesReceived).toBeGreaterThan(4 * rxDescriptors * queues)
    const most = pages.pagesUsedMax - before
    expect(most).toBeLessThanOrEqual(coherentPages + (said.blocks * said.blockBytes) / systemPageBytes)
    // Queues that take turns reach their most at different times: each lacks a block of each kind then.
    const spare = queues === 1 ? 0 : 2 * queues
    expect(most).toBeGreaterThanOrEqual(coherentPages + ((said.blocks - spare - 2) * said.blockBytes) / systemPageBytes)
    const liveMax = mappingsMaxOf(world.table.calls)
    expect(liveMax).toBeLessThanOrEqual(said.coherentBytes.length + said.rxMappings)
    expect(liveMax).toBeGreaterThanOrEqual(said.coherentBytes.length + said.rxMappings - spare - 2 * queues)
    driver.shutdown()
  })

  it("has frames to transmit mapped of two polls at most, and none where they are copied", () => {
    const options = { strategy, queues: 2, rxDescriptors: 64, txDescriptors: 512, budget: 64 }
    expect(footprintOf({ ...options, small: "copy" }, 65536).txMappings).toBe(0)
    expect(footprintOf({ ...options, small: "map" }, 65536).txMappings).toBe(256)
    expect(footprintOf({ ...options, small: "map", txDescriptors: 16 }, 65536).txMappings).toBe(30)
  })
})

/** Mappings at once at most, counted from what a table was asked for. */
function mappingsMaxOf(calls: ReturnType<typeof makeDriverWorld>["table"]["calls"]): number {
  let live = 0
  let liveMax = 0
  for (const call of calls) {
    live += call.name === "insert" ? 1 : -1
    liveMax = Math.max(live, liveMax)
  }
  return liveMax
}
