/** Page chunks: a block is mapped once, handed out in order, and unmapped once its last chunk is let go. */
import { describe, expect, it } from "vitest"
import { FROM_DEVICE } from "@vnic/dma-api/core"
import type { NetDriver } from "@vnic/driver/core"
import { frameOf, makeDriverWorld, NOTHING_LEFT, type TestWorld, type TestWorldOptions } from "@vnic/driver/testing"

const BLOCK_BYTES = 65536
const BLOCK_ENTRIES = 16

function up(options: TestWorldOptions = {}) {
  const world = makeDriverWorld({ strategy: "page-chunk", ...options })
  const driver = world.start()
  return { world, driver }
}

function deliver(world: TestWorld, count: number, sizeBytes = 1514): void {
  for (let number = 0; number < count; number++) {
    if (!world.device.deliver(0, frameOf(sizeBytes, number))) throw new Error("refused")
    if (number % 3 === 0) world.settle()
  }
  world.settle()
}

const isWithin = (address: number, start: number, sizeBytes: number) => address >= start && address < start + sizeBytes

/** Calls back before each block is unmapped, with its bus address and size. */
function watchUnmaps(world: TestWorld, seen: (busAddr: number, sizeBytes: number) => void): void {
  const { table } = world
  const remove = table.remove.bind(table)
  table.remove = (cpu, iovaPage, pageCount) => {
    seen(iovaPage * 4096, pageCount * 4096)
    remove(cpu, iovaPage, pageCount)
  }
}

/** Takes pages until the driver finds only so many, and gives them back. */
function leaveFree(world: TestWorld, count: number): () => void {
  const { pages } = world.simulation
  const taken: Array<number> = []
  for (let page = pages.allocate(0); page >= 0; page = pages.allocate(0)) taken.push(page)
  for (let index = 0; index < count; index++) pages.free(taken.pop()!)
  return () => {
    for (const page of taken) pages.free(page)
  }
}

describe("page-chunk", () => {
  it("maps 0.0234 times a frame: three blocks of 64 KiB for 128 frames", () => {
    const { world } = up()
    const { maps, unmaps } = world.dmaDevice.counters
    deliver(world, 128)
    const before = [maps[FROM_DEVICE]!, unmaps[FROM_DEVICE]!]
    deliver(world, 10 * 128)
    expect([maps[FROM_DEVICE]! - before[0]!, unmaps[FROM_DEVICE]! - before[1]!]).toEqual([30, 30])
    expect(30 / 1280).toBe(0.0234375)
    const inserts = world.table.calls.filter((call) => call.name === "insert" && call.direction === FROM_DEVICE)
    expect(inserts.every((call) => call.pageCount === BLOCK_ENTRIES)).toBe(true)
  })

  it("knows which parts of its blocks are for frames to come, and which are given back", () => {
    const { driver, world } = up()
    const { maps, unmaps } = world.dmaDevice.counters
    const perFrame = 1 / 128 + 1 / 64
    for (let frames = 0; frames < 300; frames += 1) {
      const { rxMapsAhead, rxUnmapsBehind } = driver.statistics()
      expect(maps[FROM_DEVICE]! - rxMapsAhead).toBeCloseTo(frames * perFrame, 9)
      expect(unmaps[FROM_DEVICE]! + rxUnmapsBehind).toBeCloseTo(frames * perFrame, 9)
      deliver(world, 1)
    }
    driver.shutdown()
    expect(driver.statistics()).toMatchObject({ rxMapsAhead: 0, rxUnmapsBehind: 0 })
  })

  it("maps 0.094 times a frame on 4 KiB pages, whose blocks are 16 KiB", () => {
    const { world } = up({ systemPageBytes: 4096 })
    const { maps } = world.dmaDevice.counters
    deliver(world, 32)
    const before = maps[FROM_DEVICE]!
    deliver(world, 320)
    expect((maps[FROM_DEVICE]! - before) / 320).toBe(0.09375)
  })

  it("hands chunks out in order, block by block", () => {
    const { world } = up()
    const heads: Array<number> = []
    const bodies: Array<number> = []
    const note = () => {
      const latest = world.device.posted(0).at(-1)!
      heads.push(latest.headBus)
      bodies.push(latest.bodyBus)
    }
    const first = world.device.posted(0)
    heads.push(...first.map(({ headBus }) => headBus))
    bodies.push(...first.map(({ bodyBus }) => bodyBus))
    for (let number = 0; number < 600; number++) {
      world.device.deliver(0, frameOf(60, number))
      world.settle()
      note()
    }
    for (const [buses, chunkBytes] of [
      [heads, 512],
      [bodies, 1024]
    ] as const) {
      const perBlock = BLOCK_BYTES / chunkBytes
      for (const [index, bus] of buses.entries()) {
        const start = buses[index - (index % perBlock)]!
        expect(bus).toBe(start + (index % perBlock) * chunkBytes)
        expect(start % BLOCK_BYTES).toBe(0)
      }
    }
  })

  it("unmaps a block once, after its last chunk, and never while a descriptor points into it", () => {
    const { driver, world } = up()
    const ring = driver.rxRings[0]!
    const counts = new Map<number, number>()
    watchUnmaps(world, (busAddr, sizeBytes) => {
      const mapped = world.dma.liveMappings().some((mapping) => mapping.busAddr === busAddr)
      // Debug has let it go already; the table has not.
      expect(mapped).toBe(false)
      counts.set(busAddr, (counts.get(busAddr) ?? 0) + 1)
      for (const { bodyBus, headBus } of world.device.posted(0)) {
        expect(isWithin(headBus, busAddr, sizeBytes) || isWithin(bodyBus, busAddr, sizeBytes)).toBe(false)
      }
      for (let slot = 0; slot < ring.count; slot++) {
        if (ring.filled[slot] === 0) continue
        expect(isWithin(ring.headBus[slot]!, busAddr, sizeBytes)).toBe(false)
        expect(isWithin(ring.bodyBus[slot]!, busAddr, sizeBytes)).toBe(false)
      }
    })
    deliver(world, 1000)
    const blockCount = world.table.calls.filter(
      (call) => call.name === "insert" && call.pageCount === BLOCK_ENTRIES && call.direction === FROM_DEVICE
    ).length
    const unmapped = [...counts.values()].reduce((sum, count) => sum + count, 0)
    expect(unmapped).toBe(world.dmaDevice.counters.unmaps[FROM_DEVICE])
    expect(blockCount - unmapped).toBe(2)
    expect(world.findings()).toEqual([])
  })

  it("syncs for the CPU what was received, and no more", () => {
    const { world } = up()
    const synced: Array<readonly [number, number]> = []
    const sync = world.dmaDevice.syncSingleForCpu.bind(world.dmaDevice)
    world.dmaDevice.syncSingleForCpu = (cpu, busAddr, sizeBytes, direction) => {
      synced.push([busAddr, sizeBytes])
      sync(cpu, busAddr, sizeBytes, direction)
    }
    const [one, two] = world.device.posted(0)
    deliver(world, 1, 60)
    deliver(world, 1, 700)
    expect(synced).toEqual([
      [one!.headBus, 60],
      [two!.headBus, 512],
      [two!.bodyBus, 188]
    ])
  })
})

describe("page-chunk, when memory is short", () => {
  /** Frames until the ring is short, and what was posted then. */
  function runDry(world: TestWorld, driver: NetDriver): number {
    for (let number = 0; number < 1000; number++) {
      world.device.deliver(0, frameOf(1514, number))
      world.settle()
      if (driver.rxRings[0]!.posted < 7) return driver.rxRings[0]!.posted
    }
    throw new Error("memory was never short")
  }

  it("leaves the ring short, drops no frame, and tops it up later", () => {
    const { driver, world } = up()
    const giveBack = leaveFree(world, 0)
    expect(runDry(world, driver)).toBe(6)
    deliver(world, 3)
    expect(world.device.posted(0)).toHaveLength(3)
    giveBack()
    deliver(world, 1)
    expect(world.device.posted(0)).toHaveLength(7)
    expect(driver.statistics().framesDroppedNoBuffer).toBe(0)
    expect(world.stack.received).toHaveLength(driver.statistics().framesReceived)
    driver.shutdown()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })

  it.each([
    ["no page", 0],
    ["a page for one of the two blocks", 1]
  ])("fills a slot whole or not at all: %s", (_, freePages) => {
    const { driver, world } = up()
    // Both cutters come to the end of their blocks together after 128 frames.
    deliver(world, 128 - 7)
    const [last] = world.device.posted(0).slice(-1)
    expect(last!.headBus % BLOCK_BYTES).toBe(BLOCK_BYTES - 512)
    const giveBack = leaveFree(world, freePages)
    deliver(world, 2)
    const ring = driver.rxRings[0]!
    expect(ring.posted).toBe(5)
    expect(ring.filled[ring.nextToUse]).toBe(0)
    giveBack()
    deliver(world, 1)
    const fresh = world.device.posted(0).slice(-3)
    expect(fresh.map(({ headBus }) => headBus % BLOCK_BYTES)).toEqual([0, 512, 1024])
    expect(fresh.map(({ bodyBus }) => bodyBus % BLOCK_BYTES)).toEqual([0, 1024, 2048])
    driver.shutdown()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })

  it("gives a block that was mapped and never cut back at shutdown", () => {
    const { driver, world } = up()
    deliver(world, 128 - 7)
    leaveFree(world, 1)()
    world.table.refuseAt = 2
    deliver(world, 1)
    expect(world.device.posted(0)).toHaveLength(6)
    driver.shutdown()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })
})
