/**
 * The driver over backends that show a mistake of its calls to the DMA API on the frames themselves: the bounce buffer
 * gives the CPU only what was synced or unmapped; and over a window that is mapped once.
 */
import { describe, expect, it } from "vitest"
import type { SmallFrames, StrategyName } from "@vnic/driver/core"
import { frameOf, makeDriverWorld, NOTHING_LEFT, type TestWorld, type TestWorldOptions } from "@vnic/driver/testing"

const STRATEGIES: ReadonlyArray<StrategyName> = ["map-per-packet", "page-chunk"]
const SMALL: ReadonlyArray<SmallFrames> = ["copy", "map"]
const FRAMES = Array.from({ length: 100 }, (_, number) => frameOf(60 + ((number * 97) % 1455), number))

/** Frames go up, turned round they come down again; the bytes that the device sends. */
function echo(world: TestWorld): ReadonlyArray<Uint8Array> {
  const driver = world.start()
  const sent: Array<Uint8Array> = []
  world.stack.answer = ({ bytes }) => bytes.toReversed()
  for (const [number, frame] of FRAMES.entries()) {
    world.device.deliver(0, frame)
    if (number % 3 !== 0) continue
    world.settle()
    sent.push(...world.device.send(0))
    world.device.report(0)
    world.settle()
  }
  world.settle()
  sent.push(...world.device.send(0))
  world.device.report(0)
  world.settle()
  driver.shutdown()
  return sent
}

const makeWorld = (options: TestWorldOptions) =>
  makeDriverWorld({ rxDescriptors: 32, txDescriptors: 16, systemPageBytes: 4096, ...options })

const SETTINGS = STRATEGIES.flatMap((strategy) => SMALL.map((small) => ({ strategy, small })))

describe.each(SETTINGS)("frames both ways, $strategy, small ones: $small", (options) => {
  it("through the bounce buffer are whole, and every slot is given back", () => {
    const world = makeWorld({ ...options, backend: "bounce" })
    const poolPages = world.simulation.pages.pagesUsed - world.stack.ownPages
    const sent = echo(world)
    expect(world.stack.received.map(({ bytes }) => bytes)).toEqual(FRAMES)
    expect(sent).toEqual(FRAMES.map((frame) => frame.toReversed()))
    expect(world.leftovers()).toEqual({ ...NOTHING_LEFT, pages: poolPages })
    const { bytesOut, clamped, full, slotsUsed, slotsUsedMax } = world.dma.snapshot().bounce
    expect({ clamped, full, slotsUsed }).toEqual({ clamped: 0, full: 0, slotsUsed: 0 })
    expect(slotsUsedMax).toBeGreaterThan(31)
    expect(bytesOut).toBeGreaterThan(FRAMES.reduce((sum, { length }) => sum + length, 0) - 1)
  })

  it("through the window are whole, and no entry is written", () => {
    const world = makeWorld({ ...options, backend: "window" })
    const sent = echo(world)
    expect(world.stack.received.map(({ bytes }) => bytes)).toEqual(FRAMES)
    expect(sent).toEqual(FRAMES.map((frame) => frame.toReversed()))
    expect(world.leftovers()).toEqual({ ...NOTHING_LEFT, tableEntries: world.table.entries.size })
    expect(world.table.calls).toHaveLength(1)
  })
})

describe("what the bounce buffer shows", () => {
  it("a driver that forgets to sync hands up frames that it never saw", () => {
    const world = makeWorld({ strategy: "page-chunk", backend: "bounce" })
    Object.assign(world.dmaDevice, { syncSingleForCpu: () => {} })
    echo(world)
    const received = world.stack.received.map(({ bytes }) => bytes)
    expect(received).toHaveLength(FRAMES.length)
    expect(received).not.toEqual(FRAMES)
  })

  it("a pool that is too small costs frames, and nothing else", () => {
    const world = makeWorld({
      strategy: "map-per-packet",
      backend: "bounce",
      hostMemoryBytes: 4 << 20,
      rxDescriptors: 256
    })
    const taken: Array<number> = []
    const { dmaDevice } = world
    world.start()
    // Somebody else's buffers, until there is no room left.
    for (let phys = 0; ; phys += 2048) {
      const busAddr = dmaDevice.mapSingle(0, phys, 64, 1)
      if (dmaDevice.mappingError(busAddr)) break
      taken.push(busAddr)
    }
    for (let number = 0; number < 20; number++) world.device.deliver(0, frameOf(1514, number))
    world.settle()
    expect(world.stack.received).toEqual([])
    for (const busAddr of taken) dmaDevice.unmapSingle(0, busAddr, 64, 1)
    for (let number = 0; number < 20; number++) world.device.deliver(0, frameOf(1514, number))
    world.settle()
    expect(world.stack.received.map(({ bytes }) => bytes)).toEqual(
      Array.from({ length: 20 }, (_, number) => frameOf(1514, number))
    )
    expect(world.findings()).toEqual([])
  })
})
