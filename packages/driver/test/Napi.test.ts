/** The poll loop: budget, completion, several queues on one CPU, and what the stack sends outside of polls. */
import { describe, expect, it } from "vitest"
import { EIMC, RXD_WB_IPE_BIT, RXD_WB_L4E_BIT, RXD_WB_RXE_BIT } from "@vnic/nic-device/registers"
import { frameOf, makeDriverWorld, NOTHING_LEFT, type TestWorld } from "@vnic/driver/testing"

/** So many frames at once: all are in memory before the first interrupt. */
function burst(world: TestWorld, queue: number, count: number): void {
  for (let number = 0; number < count; number++) {
    if (!world.device.deliver(queue, frameOf(60, number), { isLate: true })) throw new Error("refused")
  }
  world.device.writeBack(queue)
}

/** Posted writes of a register since the beginning. */
const posts = (world: TestWorld, register: string) =>
  world.device.registers.accesses.filter((access) => access.kind === "post" && access.register === register)

describe("a poll", () => {
  it.each([
    [1, 1],
    [63, 1],
    [64, 2],
    [65, 2],
    [200, 4],
    [255, 4]
  ])("takes 64 frames at most: %i frames need %i polls", (frames, polls) => {
    const world = makeDriverWorld({ rxDescriptors: 256 })
    const driver = world.start()
    burst(world, 0, frames)
    world.settle()
    expect(driver.statistics()).toMatchObject({ framesReceived: frames, polls, interrupts: 1 })
    expect(posts(world, "EIMS").map(({ value }) => value)).toEqual([1])
    expect(posts(world, "RDT[0]")).toHaveLength(polls - (frames % 64 === 0 ? 1 : 0))
    expect(world.device.posted(0)).toHaveLength(255)
    expect(world.device.isUnmasked(0)).toBe(true)
  })

  it.each([
    [15, 1],
    [16, 2],
    [31, 2]
  ])("takes half a ring at most, so that it is filled up before it runs dry: %i frames, %i polls", (frames, polls) => {
    const world = makeDriverWorld({ rxDescriptors: 32 })
    const driver = world.start()
    burst(world, 0, frames)
    world.settle()
    expect(driver.statistics()).toMatchObject({ framesReceived: frames, polls, interrupts: 1 })
    expect(posts(world, "EIMS")).toHaveLength(1)
    expect(world.device.posted(0)).toHaveLength(31)
  })

  it("has the budget that it was given", () => {
    const world = makeDriverWorld({ rxDescriptors: 64, budget: 5 })
    const driver = world.start()
    burst(world, 0, 11)
    world.settle()
    expect(driver.statistics().polls).toBe(3)
  })

  it("finds what the device writes before the CPU's own time, which is ahead of the world's", () => {
    // Without locks a poll runs in one go; its own time is then some microseconds ahead.
    const world = makeDriverWorld({ backend: "direct" })
    const driver = world.start()
    for (let number = 0; number < 8; number++) {
      world.device.deliver(0, frameOf(60, number))
      world.settle()
    }
    world.device.delay(1e9)
    const { interrupts } = driver.statistics()
    const tails = posts(world, "RDT[0]").length
    const { profile, timeline } = world.simulation
    const lane = timeline.addLane("late write-back", () => world.device.writeBack(0), 1)
    world.device.deliver(0, frameOf(60, 8))
    world.device.deliver(0, frameOf(60, 9), { isLate: true })
    timeline.push(lane, timeline.nowPs + profile.interruptLatency + profile.interruptEntry, 0)
    world.settle()
    expect(driver.statistics().framesReceived).toBe(10)
    // The first poll took both; the second frame's own interrupt waited for the unmasking, and found nothing.
    expect(posts(world, "RDT[0]")).toHaveLength(tails + 1)
    expect(driver.statistics().interrupts).toBe(interrupts + 2)
  })

  it("is interrupted again by what comes while it is masked", () => {
    const world = makeDriverWorld({ rxDescriptors: 64 })
    const driver = world.start()
    world.stack.onReceive = ({ bytes }) => {
      if (bytes.length === 60) world.device.deliver(0, frameOf(61))
    }
    world.device.deliver(0, frameOf(60))
    world.settle()
    expect(driver.statistics()).toMatchObject({ framesReceived: 2, interrupts: 2 })
    expect(posts(world, "EIMS")).toHaveLength(2)
  })

  it("unmasks the interrupt once for each that came, and none that is masked comes", () => {
    const world = makeDriverWorld({ queues: 3, rxDescriptors: 512, cpuCount: 2 })
    const driver = world.start()
    for (let round = 0; round < 10; round++) {
      for (const [queue, count] of [1, 64, 130].entries()) burst(world, queue, count)
      if (round % 2 === 1) world.settle()
    }
    world.settle()
    const { framesReceived, interrupts } = driver.statistics()
    expect(framesReceived).toBe(world.stack.received.length)
    for (let queue = 0; queue < 3; queue++) {
      const unmasked = posts(world, "EIMS").filter(({ value }) => value === 1 << queue).length
      expect(unmasked).toBe(world.device.raised.filter((vector) => vector === queue).length)
    }
    expect(interrupts).toBe(world.device.raised.length)
    const before = interrupts
    world.device.write(EIMC, 7)
    burst(world, 1, 3)
    world.settle()
    expect(driver.statistics().interrupts).toBe(before)
  })
})

describe("a frame", () => {
  it("goes up whatever its checksums were: the stack checks them itself", () => {
    const world = makeDriverWorld()
    const driver = world.start()
    world.device.deliver(0, frameOf(200), { statusBits: RXD_WB_L4E_BIT | RXD_WB_IPE_BIT })
    world.settle()
    expect(world.stack.received.map(({ bytes }) => bytes)).toEqual([frameOf(200)])
    expect(driver.statistics().framesDroppedNoBuffer).toBe(0)
  })

  it.each(["map-per-packet", "page-chunk"] as const)("of no bytes does no harm: %s", (strategy) => {
    const world = makeDriverWorld({ strategy })
    const driver = world.start()
    for (let number = 0; number < 20; number++) {
      world.device.deliver(0, frameOf(0))
      world.settle()
    }
    expect(world.stack.received.map(({ bytes }) => bytes.length)).toEqual(Array(20).fill(0))
    driver.shutdown()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })
})

describe.each(["map-per-packet", "page-chunk", "direct"] as const)("with %s a frame", (strategy) => {
  const start = () => {
    const world = makeDriverWorld({ strategy, rxDescriptors: 32, backend: strategy === "direct" ? "direct" : "iommu" })
    return { world, driver: world.start() }
  }

  it("with an error is dropped and counted", () => {
    const { driver, world } = start()
    world.device.deliver(0, frameOf(200, 1), { statusBits: RXD_WB_RXE_BIT })
    world.device.deliver(0, frameOf(200, 2))
    world.settle()
    expect(world.stack.received.map(({ bytes }) => bytes)).toEqual([frameOf(200, 2)])
    expect(driver.statistics()).toMatchObject({ framesReceived: 1, framesDroppedError: 1, framesDroppedSplit: 0 })
  })

  it("of several descriptors is dropped and counted once, all of them", () => {
    const { driver, world } = start()
    world.device.deliver(0, frameOf(1536, 1), { isContinued: true })
    world.settle()
    world.device.deliver(0, frameOf(1536, 2), { isContinued: true, statusBits: RXD_WB_RXE_BIT })
    world.device.deliver(0, frameOf(60, 3))
    world.device.deliver(0, frameOf(60, 4))
    world.settle()
    expect(world.stack.received.map(({ bytes }) => bytes)).toEqual([frameOf(60, 4)])
    expect(driver.statistics()).toMatchObject({ framesReceived: 1, framesDroppedError: 0, framesDroppedSplit: 1 })
  })

  it("that is dropped costs no buffer, and leaves every buffer at its place", () => {
    const { driver, world } = start()
    const sound: Array<Uint8Array> = []
    // More than any block has chunks, so that blocks begin and end with dropped frames among theirs.
    for (let number = 0; number < 300; number++) {
      const kind = (number * 7) % 5
      const frame = frameOf(60 + number, number)
      if (kind > 1) sound.push(frame)
      const options = kind === 0 ? { statusBits: RXD_WB_RXE_BIT } : { isContinued: kind === 1 }
      world.device.deliver(0, frame, options)
      // The rest of a frame that went on.
      if (kind === 1) world.device.deliver(0, frameOf(60))
      if (number % 3 === 0) world.settle()
    }
    world.settle()
    expect(world.stack.received.map(({ bytes }) => bytes)).toEqual(sound)
    expect(driver.statistics()).toMatchObject({ framesDroppedError: 60, framesDroppedSplit: 60 })
    expect(world.device.posted(0)).toHaveLength(31)
    driver.shutdown()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })
})

describe("queues", () => {
  it("of one CPU take turns of a budget each", () => {
    const world = makeDriverWorld({ queues: 3, rxDescriptors: 256 })
    world.start()
    for (const queue of [0, 1, 2]) burst(world, queue, 150)
    world.settle()
    const turns: Array<readonly [queue: number, frames: number]> = []
    for (const { queue } of world.stack.received) {
      const last = turns.at(-1)
      if (last?.[0] === queue) turns[turns.length - 1] = [queue, last[1] + 1]
      else turns.push([queue, 1])
    }
    const turn = (frames: number) => [0, 1, 2].map((queue) => [queue, frames])
    expect(turns).toEqual([...turn(64), ...turn(64), ...turn(22)])
  })

  it("are served by the CPUs in turn", () => {
    const world = makeDriverWorld({ queues: 5, cpuCount: 2 })
    world.start()
    for (let queue = 0; queue < 5; queue++) burst(world, queue, 2)
    world.settle()
    expect(world.stack.received).toHaveLength(10)
    expect(world.stack.received.every(({ cpu, queue }) => cpu === queue % 2)).toBe(true)
  })

  it("do not lose their turn to what is sent outside of polls", () => {
    const world = makeDriverWorld({ queues: 2, rxDescriptors: 512, txDescriptors: 512 })
    const driver = world.start()
    // One frame to send for each that comes: there is always one when the next poll is chosen.
    world.stack.onReceive = () => void driver.napi.send(0, world.stack.lend(frameOf(60)), 60)
    for (const queue of [0, 1]) burst(world, queue, 300)
    world.settle()
    const polled = world.stack.received.map(({ queue }) => queue)
    expect(polled.slice(0, 128)).toEqual([...Array(64).fill(0), ...Array(64).fill(1)])
    expect(polled.slice(128, 256)).toEqual([...Array(64).fill(0), ...Array(64).fill(1)])
  })
})

describe("frames sent outside of polls", () => {
  it("leave in the order in which they were given", () => {
    const world = makeDriverWorld({ txDescriptors: 64 })
    const driver = world.start()
    const frames = Array.from({ length: 20 }, (_, number) => frameOf(60 + number, number))
    for (const frame of frames) expect(driver.napi.send(0, world.stack.lend(frame), frame.length)).toBe(true)
    world.settle()
    expect(world.device.send(0)).toEqual(frames)
    // The device is told of each by itself.
    const tails = frames.map((_, number) => number + 1)
    expect(posts(world, "TDT[0]").map(({ value }) => value)).toEqual(tails)
  })

  it("are refused when 64 wait, and there is room again when they have gone", () => {
    const world = makeDriverWorld({ txDescriptors: 128, cpuCount: 2, queues: 2 })
    const driver = world.start()
    let total = 0
    for (let round = 0; round < 3; round++) {
      const accepted: Array<Uint8Array> = []
      for (;;) {
        const frame = frameOf(60, accepted.length)
        const phys = world.stack.lend(frame)
        if (driver.napi.send(1, phys, frame.length)) {
          accepted.push(frame)
        } else {
          // It stays the stack's.
          world.stack.transmitted(phys)
          break
        }
      }
      // One may have found the CPU idle and gone at once.
      expect([64, 65]).toContain(accepted.length)
      total += accepted.length
      world.settle()
      expect(world.device.send(1)).toEqual(accepted)
      world.device.report(1)
      world.settle()
      expect(world.stack.lent.size).toBe(0)
    }
    expect(driver.statistics()).toMatchObject({ framesTransmitted: total, framesDroppedTransmit: 0 })
    driver.shutdown()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })
})
