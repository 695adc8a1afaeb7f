/** What a driver is said to take is what it takes. */
import { describe, expect, it } from "vitest"
import { footprintOf } from "@vnic/driver/core"
import { makeDriverWorld, TEST_DRIVER_OPTIONS } from "@vnic/driver/testing"

const TABLE_PAGE_BYTES = 4096

describe.each(["map-per-packet", "page-chunk"] as const)("the footprint of %s", (strategy) => {
  it.each([
    [4096, 1, 8, 8],
    [4096, 3, 1024, 512],
    [65536, 2, 256, 64],
    [65536, 2, 1024, 1024]
  ])("with pages of %i bytes, %i queues of %i and %i descriptors", (systemPageBytes, queues, rx, tx) => {
    const options = { strategy, queues, rxDescriptors: rx, txDescriptors: tx }
    const world = makeDriverWorld({ ...options, systemPageBytes })
    const before = world.simulation.pages.pagesUsed
    world.start()
    const { busBytes, memoryBytes } = footprintOf(
      { ...TEST_DRIVER_OPTIONS, ...options },
      systemPageBytes,
      TABLE_PAGE_BYTES
    )
    expect((world.simulation.pages.pagesUsed - before) * systemPageBytes).toBe(memoryBytes)
    const inserted = world.table.calls.reduce((sum, call) => sum + (call.name === "insert" ? call.pageCount : 0), 0)
    // Of a system page only what is used of it need be mapped.
    if (systemPageBytes === TABLE_PAGE_BYTES) expect(inserted * TABLE_PAGE_BYTES).toBe(busBytes)
    else expect(inserted * TABLE_PAGE_BYTES).toBeLessThanOrEqual(busBytes)
  })
})
