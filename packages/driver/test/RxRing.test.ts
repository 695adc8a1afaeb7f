/**
 * The software side of a receive ring, exhaustively: every sequence of posting, finishing and advancing up to
 * a length, on rings of 4 and 8 slots, against a list. Never more than count - 1 descriptors are posted.
 */
import { makeMemory } from "@vnic/sim/core"
import { RXD_WB_DD_BIT, RXD_WB_HEADER_LENGTH_SHIFT } from "@vnic/nic-device/registers"
import { RxRing } from "@vnic/driver/core"
import { makeDriverWorld, frameOf, NOTHING_LEFT } from "@vnic/driver/testing"
import { describe, expect, it } from "vitest"

const memory = makeMemory(8192, 0)
const RING_PHYS = 4096
/** Operations by number; the third, 2, is to advance. */
const POST = 0
const FINISH = 1

/** The oracle: descriptors that the device owns, oldest first. */
interface Posted {
  readonly slot: number
  readonly number: number
  isDone: boolean
}

class Checker {
  private readonly ring: RxRing
  private readonly posted: Array<Posted> = []
  private numbers = 0
  private slots = 0

  constructor(count: number) {
    memory.words.fill(-1, RING_PHYS >> 2)
    this.ring = new RxRing(memory, 0, count, { phys: RING_PHYS, busAddr: 0x8000_0000, sizeBytes: count * 16 })
  }

  run(operation: number): void {
    if (operation === POST) this.post()
    else if (operation === FINISH) this.finish()
    else this.advance()
    this.check()
  }

  private post(): void {
    const { ring } = this
    // The rule that the poll loop keeps.
    if (ring.posted === ring.count - 1) return
    const number = this.numbers++
    const slot = ring.nextToUse
    if (slot !== this.slots++ % ring.count) throw new Error("slots are not posted in order")
    ring.headBus[slot] = 0x9_0000_0000 + number * 512
    ring.bodyBus[slot] = 0xfff0_0000 + number * 1024
    ring.fill(slot, number * 512, number * 1024)
    ring.post()
    this.posted.push({ slot, number, isDone: false })
    const word = (RING_PHYS >> 2) + slot * 4
    const words = [...memory.words.subarray(word, word + 4)].map((value) => value >>> 0)
    const expected = [0xfff0_0000 + number * 1024, 0, number * 512, 9]
    if (words.join() !== expected.join()) throw new Error(`descriptor ${words.join()}`)
  }

  /** The device finishes the oldest descriptor that it has not. */
  private finish(): void {
    const next = this.posted.find(({ isDone }) => !isDone)
    if (next === undefined) return
    const word = (RING_PHYS >> 2) + next.slot * 4
    memory.words.set([(next.number + 1) << RXD_WB_HEADER_LENGTH_SHIFT, 0, RXD_WB_DD_BIT, next.number], word)
    next.isDone = true
  }

  private advance(): void {
    const { ring } = this
    const oldest = this.posted[0]
    if (!ring.isDone() || oldest === undefined) return
    if (ring.nextToClean !== oldest.slot) throw new Error("another slot than the oldest is cleaned")
    if (ring.doneHeadBytes() !== oldest.number + 1) throw new Error("head length")
    if (ring.doneBodyBytes() !== oldest.number) throw new Error("body length")
    ring.advance()
    this.posted.shift()
  }

  private check(): void {
    const { posted, ring } = this
    if (ring.posted !== posted.length) throw new Error(`${ring.posted} posted, ${posted.length} expected`)
    if (ring.posted > ring.count - 1) throw new Error("a whole ring is posted")
    if (ring.isDone() !== (posted[0]?.isDone ?? false)) throw new Error("done or not")
  }
}

/** All sequences of `length` numbers below `base`. */
function* sequences(base: number, length: number): Generator<ReadonlyArray<number>> {
  const digits = Array.from({ length }, () => 0)
  for (let number = 0; number < base ** length; number++) {
    for (let at = 0, rest = number; at < length; at++, rest = Math.floor(rest / base)) digits[at] = rest % base
    yield digits
  }
}

describe("a ring", () => {
  // Every shorter sequence is the beginning of one of these, and each step is checked.
  it.each([
    [4, 8, 0],
    [4, 8, 3],
    [8, 8, 0],
    [8, 8, 6]
  ])("of %i slots agrees with a list: all sequences of length %i, begun with %i posted", (count, length, first) => {
    for (const operations of sequences(3, length)) {
      const checker = new Checker(count)
      for (let index = 0; index < first; index++) checker.run(POST)
      for (const operation of operations) checker.run(operation)
    }
  })
})

describe("the driver's ring of 8", () => {
  /** What may happen: a frame, a whole ring of frames, frames whose descriptors are late, memory running out once. */
  const run = (world: ReturnType<typeof makeDriverWorld>, operation: number, number: number): void => {
    const { device, simulation } = world
    if (operation === 0) device.deliver(0, frameOf(60, number))
    if (operation === 1) for (let count = 0; count < 7; count++) device.deliver(0, frameOf(700, number + count))
    if (operation === 2) for (let count = 0; count < 3; count++) device.deliver(0, frameOf(1514), { isLate: true })
    if (operation === 3) simulation.pages.failAt = 1
    if (operation === 4) device.writeBack(0, 1)
    // Two of three leave the world half way through.
    if (number % 3 === 0) world.settle()
  }

  // The device throws when a whole ring is posted to it.
  it.each(["map-per-packet", "page-chunk"] as const)("is never posted whole: all sequences of 4, %s", (strategy) => {
    const options = { strategy, backend: "direct", systemPageBytes: 4096, hostMemoryBytes: 1 << 20 } as const
    for (const operations of sequences(5, 4)) {
      const world = makeDriverWorld(options)
      const driver = world.start()
      const ring = driver.rxRings[0]!
      for (const [at, operation] of operations.entries()) {
        run(world, operation, at)
        if (ring.posted > 7) throw new Error("a whole ring is posted")
      }
      world.device.writeBack(0)
      world.settle()
      const { framesDroppedNoBuffer, framesReceived } = driver.statistics()
      if (framesReceived !== world.stack.received.length) throw new Error("frames that nobody saw")
      if (strategy === "page-chunk" && framesDroppedNoBuffer > 0) throw new Error("page-chunk drops no frame")
      driver.shutdown()
      expect(world.leftovers()).toEqual(NOTHING_LEFT)
    }
  })
})
