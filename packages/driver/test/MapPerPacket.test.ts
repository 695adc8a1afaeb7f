/** Map per packet: two maps and two unmaps a frame, the new pair before the old one; what fails costs a frame. */
import { describe, expect, it } from "vitest"
import { FROM_DEVICE } from "@vnic/dma-api/core"
import { frameOf, makeDriverWorld, NOTHING_LEFT, type TestWorld, type TestWorldOptions } from "@vnic/driver/testing"

const RING = 8

/** Up, and once around: the slot that is never posted has its buffers too. */
function warm(options: TestWorldOptions = {}) {
  const world = makeDriverWorld(options)
  const driver = world.start()
  deliver(world, RING, 60)
  return { world, driver }
}

function deliver(world: TestWorld, count: number, sizeBytes: number): void {
  for (let number = 0; number < count; number++) {
    world.device.deliver(0, frameOf(sizeBytes, number))
    world.settle()
  }
}

/** Takes every free page, and gives them back. */
function exhaust(world: TestWorld): () => void {
  const { pages } = world.simulation
  const taken: Array<number> = []
  for (let page = pages.allocate(0); page >= 0; page = pages.allocate(0)) taken.push(page)
  return () => {
    for (const page of taken) pages.free(page)
  }
}

const countsOf = ({ dmaDevice: { counters } }: TestWorld) => ({
  maps: counters.maps[FROM_DEVICE]!,
  unmaps: counters.unmaps[FROM_DEVICE]!
})

describe("map-per-packet", () => {
  it.each([60, 512, 513, 1514])("maps twice and unmaps twice for a frame of %i bytes", (sizeBytes) => {
    const { world } = warm()
    const before = countsOf(world)
    deliver(world, 100, sizeBytes)
    const after = countsOf(world)
    expect([after.maps - before.maps, after.unmaps - before.unmaps]).toEqual([200, 200])
    expect(world.dmaDevice.counters.live).toBe(3 + 2 * RING)
  })

  it("knows which maps are for frames to come, from the first frame on, which has the spare slot filled", () => {
    const world = makeDriverWorld()
    const driver = world.start()
    for (let frames = 0; frames < 3 * RING; frames++) {
      const { maps, unmaps } = countsOf(world)
      const { rxMapsAhead, rxUnmapsBehind } = driver.statistics()
      expect([maps - rxMapsAhead, unmaps + rxUnmapsBehind]).toEqual([2 * frames, 2 * frames])
      deliver(world, 1, 1514)
    }
    expect(driver.statistics().rxMapsAhead).toBe(2 * RING)
    driver.shutdown()
    expect(driver.statistics()).toMatchObject({ rxMapsAhead: 0, rxUnmapsBehind: 0 })
  })

  it("delivers what was written, in order", () => {
    const { world } = warm()
    world.stack.received.length = 0
    const frames = [60, 511, 512, 513, 1514].map(frameOf)
    for (const frame of frames) expect(world.device.deliver(0, frame)).toBe(true)
    world.settle()
    expect(world.stack.received.map(({ bytes }) => bytes)).toEqual(frames)
    expect(world.findings()).toEqual([])
  })

  it("maps the replacement before it unmaps what it replaces, and unmaps before the stack looks", () => {
    const { world } = warm()
    const [oldest] = world.device.posted(0)
    const before = world.table.calls.length
    let atStack: ReadonlyArray<string> = []
    world.stack.onReceive = ({ bodyPhys, headPhys }) => {
      const calls = world.table.calls.slice(before)
      atStack = calls.map(({ name, iovaPage }) => `${name} ${iovaPage * 4096}`)
      const mapped = new Set([...world.table.entries.values()].map(({ phys }) => phys))
      // Chunks of 512 and 1024 bytes: the page may hold others that are mapped, so it is the address that counts.
      expect(world.table.translate(oldest!.headBus)).toBeUndefined()
      expect(mapped.size).toBeGreaterThan(0)
      expect(headPhys).not.toBe(bodyPhys)
    }
    deliver(world, 1, 700)
    const page = (busAddr: number) => busAddr - (busAddr % 4096)
    expect(atStack.map((call) => call.split(" ")[0])).toEqual(["insert", "insert", "remove", "remove"])
    expect(atStack.slice(2)).toEqual([`remove ${page(oldest!.headBus)}`, `remove ${page(oldest!.bodyBus)}`])
  })

  it("keeps the ring full when memory runs out: frames are dropped, their buffers stay", () => {
    const { driver, world } = warm()
    const giveBack = exhaust(world)
    const { received } = world.stack
    const before = received.length
    let delivered = 0
    while (driver.statistics().framesDroppedNoBuffer < 20) {
      expect(delivered++).toBeLessThan(1000)
      const [oldest] = world.device.posted(0)
      deliver(world, 1, 1514)
      expect(world.device.posted(0)).toHaveLength(RING - 1)
      const isDropped = received.length - before < delivered
      if (isDropped) expect(driver.rxRings[0]!.headBus[oldest!.slot]).toBe(oldest!.headBus)
    }
    expect(received.length - before).toBe(delivered - 20)
    giveBack()
    deliver(world, 10, 1514)
    expect(driver.statistics()).toMatchObject({ framesDroppedNoBuffer: 20, framesReceived: received.length })
    expect(received.length - before).toBe(delivered - 10)
    driver.shutdown()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })
})

/** Rings, 7 slots of two maps, the spare slot's two, and five frames' replacements. */
const INSERTS = 3 + 14 + 2 + 10
/** Rings, and a block for heads and one for bodies. */
const ALLOCATIONS = 5

/** A whole life, with something that fails in the middle of it. */
function live(fail: (world: TestWorld) => void, options: TestWorldOptions) {
  const world = makeDriverWorld(options)
  fail(world)
  const made = world.make()
  if (!("step" in made)) {
    expect(made.bringUp()).toBeUndefined()
    const posted = world.device.posted(0).length
    const frames = [60, 600, 512, 1514, 1514].map(frameOf)
    const accepted = frames.filter((frame) => {
      const isIn = world.device.deliver(0, frame)
      world.settle()
      return isIn
    })
    const { framesDroppedNoBuffer, framesReceived } = made.statistics()
    expect(accepted).toHaveLength(posted === 0 ? 0 : 5)
    expect(framesReceived + framesDroppedNoBuffer).toBe(accepted.length)
    const received = world.stack.received.map(({ bytes }) => bytes.join())
    expect(accepted.map((frame) => frame.join()).filter((frame) => received.includes(frame))).toEqual(received)
    // A later poll has filled the ring up.
    if (posted > 0) expect(world.device.posted(0)).toHaveLength(RING - 1)
    expect(made.shutdown()).toBeUndefined()
  }
  expect(world.leftovers()).toEqual(NOTHING_LEFT)
  return world
}

describe.each(["map-per-packet", "page-chunk"] as const)("%s, with a failure at every n-th call", (strategy) => {
  it.each(["both", "unmap", "none"] as const)(
    "map refused, lock across the table write: %s",
    (lockAcrossTableWrite) => {
      const inserts = live(() => {}, { strategy }).table.calls.filter(({ name }) => name === "insert").length
      expect(inserts).toBe(strategy === "page-chunk" ? 5 : INSERTS)
      for (let n = 1; n <= inserts; n++) {
        const { table } = live(
          (world) => {
            world.table.refuseAt = n
          },
          { strategy, lockAcrossTableWrite }
        )
        expect(table.calls.filter((call) => call.name === "insert" && call.isRefused)).toHaveLength(1)
      }
    }
  )

  it.each([4096, 65536])("page allocation, system pages of %i bytes", (systemPageBytes) => {
    for (let n = 1; n <= ALLOCATIONS; n++) {
      const { simulation } = live(
        (world) => {
          world.simulation.pages.failAt = n
        },
        { strategy, systemPageBytes }
      )
      expect(simulation.pages.failures).toBe(1)
    }
  })
})
