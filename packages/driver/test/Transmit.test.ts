/** Transmit: copied or mapped, reported in batches, given back exactly once whatever happens. */
import { describe, expect, it } from "vitest"
import { TO_DEVICE } from "@vnic/dma-api/core"
import type { SmallFrames } from "@vnic/driver/core"
import { frameOf, makeDriverWorld, NOTHING_LEFT, type TestWorld, type TestWorldOptions } from "@vnic/driver/testing"

function up(options: TestWorldOptions = {}) {
  const world = makeDriverWorld(options)
  const driver = world.start()
  const send = (...frames: ReadonlyArray<Uint8Array>): void => {
    for (const frame of frames) driver.napi.send(0, world.stack.lend(frame), frame.length)
    world.settle()
  }
  /** The device reports what it has sent, and the driver cleans. */
  const report = (): void => {
    world.device.report(0)
    world.settle()
  }
  return { driver, report, send, world }
}

const liveTx = ({ dma }: TestWorld) => dma.liveMappings().filter(({ direction }) => direction === TO_DEVICE).length
const MODES: ReadonlyArray<SmallFrames> = ["copy", "map"]

describe("transmit", () => {
  it.each([
    ["copy", 60, 0],
    ["copy", 104, 0],
    ["copy", 105, 1],
    ["copy", 1514, 1],
    ["map", 60, 1],
    ["map", 1514, 1]
  ] as const)("%s, %i bytes: %i maps", (small, sizeBytes, maps) => {
    const { report, send, world } = up({ small })
    send(frameOf(sizeBytes))
    expect(liveTx(world)).toBe(maps)
    // A copy is the stack's again at once; what is mapped is the device's until it is reported.
    expect(world.stack.givenBack).toBe(1 - maps)
    expect(world.device.queued(0)).toMatchObject([{ slot: 0, sizeBytes, isReported: true }])
    expect(world.device.send(0)).toEqual([frameOf(sizeBytes)])
    expect(liveTx(world)).toBe(maps)
    report()
    expect(liveTx(world)).toBe(0)
    expect(world.stack.givenBack).toBe(1)
    const { maps: made, unmaps: undone } = world.dmaDevice.counters
    expect([made[TO_DEVICE], undone[TO_DEVICE]]).toEqual([maps, maps])
    expect(world.leftovers()).toMatchObject({ faults: 0, findings: 0, lentFrames: 0 })
  })

  it.each(MODES)("asks for one report a batch, and cleans all of it then: %s", (small) => {
    const { report, send, world } = up({ small, txDescriptors: 16 })
    send(frameOf(60, 1), frameOf(200, 2), frameOf(80, 3))
    send(frameOf(1000, 4), frameOf(64, 5))
    expect(world.device.queued(0).map(({ isReported }) => isReported)).toEqual([false, false, true, false, true])
    const before = liveTx(world)
    expect(world.device.send(0, 2)).toEqual([frameOf(60, 1), frameOf(200, 2)])
    report()
    // The two that are out are not reported: nobody asked.
    expect(liveTx(world)).toBe(before)
    world.device.send(0, 1)
    report()
    expect(world.stack.lent.size).toBe(small === "map" ? 2 : 1)
    world.device.send(0)
    report()
    expect(world.stack.lent.size).toBe(0)
    expect(world.dmaDevice.counters.unmaps[TO_DEVICE]).toBe(small === "map" ? 5 : 2)
  })

  it.each(MODES)("goes round the ring, every size at every slot, byte for byte: %s", (small) => {
    const { driver, report, send, world } = up({ small })
    for (let number = 0; number < 200; number++) {
      const frames = Array.from({ length: 1 + (number % 7) }, (_, at) => frameOf(1 + ((number * 97) % 1514), at))
      send(...frames)
      expect(world.device.send(0)).toEqual(frames)
      report()
      expect(world.stack.lent.size).toBe(0)
    }
    driver.shutdown()
    expect(driver.statistics().framesDroppedTransmit).toBe(0)
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })

  it.each(MODES)("drops what a full ring cannot hold, and gives it back: %s", (small) => {
    const { driver, report, send, world } = up({ small })
    const frames = Array.from({ length: 10 }, (_, number) => frameOf(300 + number, number))
    send(...frames)
    expect(driver.statistics()).toMatchObject({ framesTransmitted: 7, framesDroppedTransmit: 3 })
    expect(world.stack.lent.size).toBe(7)
    expect(world.device.send(0)).toEqual(frames.slice(0, 7))
    // Sent, but not reported: the slots are the device's still.
    send(frameOf(60))
    expect(driver.statistics().framesDroppedTransmit).toBe(4)
    report()
    send(frameOf(60, 9))
    expect(world.device.send(0)).toEqual([frameOf(60, 9)])
    report()
    expect(world.leftovers()).toMatchObject({ lentFrames: 0, findings: 0, faults: 0 })
  })

  it("drops a frame that cannot be mapped, and gives it back", () => {
    const { driver, send, world } = up()
    world.table.refuseAt = 2
    send(frameOf(500, 1), frameOf(500, 2), frameOf(500, 3))
    expect(world.device.send(0)).toEqual([frameOf(500, 1), frameOf(500, 3)])
    expect(world.stack.lent.size).toBe(2)
    expect(driver.statistics()).toMatchObject({ framesTransmitted: 2, framesDroppedTransmit: 1 })
    driver.shutdown()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })

  it.each(MODES)("answers frames from within a poll: told once at its end, %s", (small) => {
    const { driver, report, world } = up({ small, rxDescriptors: 32, txDescriptors: 32 })
    world.stack.answer = ({ bytes }) => bytes.toReversed()
    for (let number = 0; number < 20; number++) {
      world.device.deliver(0, frameOf(54 + number * 40, number), { isLate: true })
    }
    world.device.writeBack(0)
    world.settle()
    const tails = world.device.registers.accesses.filter(
      ({ kind, register }) => kind === "post" && register === "TDT[0]"
    )
    expect(tails.map(({ value }) => value)).toEqual([20])
    const expected = Array.from({ length: 20 }, (_, number) => frameOf(54 + number * 40, number).toReversed())
    expect(world.device.send(0)).toEqual(expected)
    report()
    driver.shutdown()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })
})

describe("shutdown with frames under way", () => {
  it.each(MODES)("unmaps and gives back, once, what was never reported: %s", (small) => {
    for (const [sent, reported] of [
      [0, false],
      [3, false],
      [7, true]
    ] as const) {
      const { driver, send, world } = up({ small })
      send(frameOf(60, 1), frameOf(600, 2), frameOf(100, 3))
      send(...[4, 5, 6, 7].map((number) => frameOf(number * 100, number)))
      world.device.send(0, sent)
      // A report at the last moment: the driver may see it, or not any more.
      if (reported) world.device.report(0)
      driver.shutdown()
      expect(world.leftovers()).toEqual(NOTHING_LEFT)
      expect(world.stack.givenBack).toBe(7)
    }
  })
})
