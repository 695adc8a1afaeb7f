/** Transmit: copied or mapped, told and reported one by one, given back exactly once whatever happens. */
import { describe, expect, it } from "vitest"
import { TO_DEVICE } from "@vnic/dma-api/core"
import type { PhysAddr } from "@vnic/sim/core"
import { TDT } from "@vnic/nic-device/registers"
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

/** Sizes of the frames that are lent from now on, in the order in which the driver gives them back. */
function returnedSizes({ stack }: TestWorld): ReadonlyArray<number> {
  const returned: Array<number> = []
  const sizes = new Map<PhysAddr, number>()
  const lend = stack.lend.bind(stack)
  const transmitted = stack.transmitted.bind(stack)
  stack.lend = (bytes) => {
    const phys = lend(bytes)
    sizes.set(phys, bytes.length)
    return phys
  }
  stack.transmitted = (phys) => {
    returned.push(sizes.get(phys) ?? -1)
    transmitted(phys)
  }
  return returned
}

/** The device sends and reports each frame as soon as it is told of it; returns what it sends. */
function sendAtOnce({ device }: TestWorld): ReadonlyArray<Uint8Array> {
  const sent: Array<Uint8Array> = []
  const { registers } = device
  const { onWrite } = registers
  registers.onWrite = (offset, value) => {
    onWrite(offset, value)
    if (offset !== TDT(0)) return
    sent.push(...device.send(0))
    device.report(0)
  }
  return sent
}

/** All in memory before the first interrupt: one poll finds them. */
function burst({ device }: TestWorld, frames: ReadonlyArray<Uint8Array>): void {
  for (const frame of frames) expect(device.deliver(0, frame, { isLate: true })).toBe(true)
  device.writeBack(0)
}

const tailsOf = ({ device }: TestWorld): ReadonlyArray<number> =>
  device.registers.accesses
    .filter(({ kind, register }) => kind === "post" && register === "TDT[0]")
    .map(({ value }) => value)

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

  it.each(MODES)("asks for a report of each frame, and cleans in order what is reported: %s", (small) => {
    const { report, send, world } = up({ small, txDescriptors: 16 })
    const returned = returnedSizes(world)
    const sizes = [60, 200, 80, 1000, 64]
    send(...sizes.slice(0, 3).map((sizeBytes) => frameOf(sizeBytes, sizeBytes)))
    send(...sizes.slice(3).map((sizeBytes) => frameOf(sizeBytes, sizeBytes)))
    expect(world.device.queued(0)).toMatchObject(
      sizes.map((sizeBytes, slot) => ({ slot, sizeBytes, isReported: true }))
    )
    // Copies are the stack's again; the mapped ones come back when reported, not when sent, and no others.
    const mapped = sizes.filter((sizeBytes) => small === "map" || sizeBytes > 104)
    const copied = sizes.filter((sizeBytes) => !mapped.includes(sizeBytes))
    expect(returned).toEqual(copied)
    for (const [sent, total] of [
      [2, 2],
      [1, 3],
      [2, 5]
    ] as const) {
      const before = liveTx(world)
      const frames = sizes.slice(total - sent, total).map((sizeBytes) => frameOf(sizeBytes, sizeBytes))
      expect(world.device.send(0, sent)).toEqual(frames)
      world.settle()
      expect(liveTx(world)).toBe(before)
      report()
      const out = mapped.filter((sizeBytes) => sizes.indexOf(sizeBytes) < total)
      expect(returned).toEqual([...copied, ...out])
      expect(liveTx(world)).toBe(mapped.length - out.length)
    }
    expect(world.stack.lent.size).toBe(0)
    expect(world.dmaDevice.counters.unmaps[TO_DEVICE]).toBe(mapped.length)
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

  it.each(MODES)("answers frames from within a poll: each is told at once, %s", (small) => {
    const { driver, report, world } = up({ small, rxDescriptors: 64, txDescriptors: 32 })
    const { device, stack } = world
    const journal: Array<string> = []
    stack.answer = ({ bytes }) => {
      journal.push("answer")
      return bytes.toReversed()
    }
    const post = device.post.bind(device)
    const ring = device.ring.bind(device)
    device.post = (cpu, offset, value) => {
      journal.push(offset === TDT(0) ? `TDT ${value}` : "post")
      post(cpu, offset, value)
    }
    device.ring = (cpu) => {
      journal.push("ring")
      ring(cpu)
    }
    const frames = Array.from({ length: 20 }, (_, number) => frameOf(54 + number * 40, number))
    burst(world, frames)
    world.settle()
    // At the end of the poll RDT and EIMS, and no transmit tail any more.
    const answers = frames.flatMap((_, number) => ["answer", `TDT ${number + 1}`, "ring"])
    expect(journal).toEqual([...answers, "post", "post", "ring"])
    expect(tailsOf(world)).toEqual(frames.map((_, number) => number + 1))
    expect(device.queued(0).map(({ isReported }) => isReported)).toEqual(Array(20).fill(true))
    expect(device.send(0)).toEqual(frames.map((frame) => frame.toReversed()))
    report()
    driver.shutdown()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })
})

describe("a poll of 64 answers, with a transmit ring of 8", () => {
  const SETTINGS = MODES.flatMap((small) => (["direct", "iommu"] as const).map((backend) => [small, backend] as const))
  const FRAMES = Array.from({ length: 64 }, (_, number) => frameOf(number % 3 === 2 ? 700 : 60, number))
  const options = { budget: 64, rxDescriptors: 128, txDescriptors: 8 }

  it.each(SETTINGS)("loses none as long as the device sends: %s, %s", (small, backend) => {
    const { driver, world } = up({ ...options, backend, small })
    const sent = sendAtOnce(world)
    const polls: Array<number> = []
    world.stack.answer = ({ bytes }) => {
      polls.push(driver.statistics().polls)
      return bytes.toReversed()
    }
    burst(world, FRAMES)
    world.settle()
    // No other poll has cleaned in between.
    expect(polls).toEqual(Array(64).fill(1))
    expect(sent).toEqual(FRAMES.map((frame) => frame.toReversed()))
    expect(tailsOf(world)).toEqual(FRAMES.map((_, number) => (number + 1) % 8))
    expect(driver.statistics()).toMatchObject({ framesTransmitted: 64, framesDroppedTransmit: 0 })
    expect(world.stack.givenBack).toBe(64)
    expect(world.leftovers()).toMatchObject({ lentFrames: 0, findings: 0, faults: 0 })
    driver.shutdown()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })

  it.each(SETTINGS)(
    "drops and gives back what a device that never sends leaves no room for: %s, %s",
    (small, backend) => {
      const { driver, report, send, world } = up({ ...options, backend, small })
      world.stack.answer = ({ bytes }) => bytes.toReversed()
      burst(world, FRAMES)
      world.settle()
      expect(world.stack.received.map(({ bytes }) => bytes)).toEqual(FRAMES)
      expect(driver.statistics()).toMatchObject({ framesTransmitted: 7, framesDroppedTransmit: 57 })
      expect(tailsOf(world)).toEqual([1, 2, 3, 4, 5, 6, 7])
      // Two of the first seven are too long to be copied.
      const held = small === "map" ? 7 : 2
      expect([world.stack.lent.size, world.stack.givenBack]).toEqual([held, 64 - held])
      expect(liveTx(world)).toBe(held)
      // When it sends after all there is room again.
      expect(world.device.send(0)).toEqual(FRAMES.slice(0, 7).map((frame) => frame.toReversed()))
      report()
      send(frameOf(60, 99))
      expect(world.device.send(0)).toEqual([frameOf(60, 99)])
      driver.shutdown()
      expect(world.leftovers()).toEqual(NOTHING_LEFT)
      expect(world.stack.givenBack).toBe(65)
    }
  )
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
