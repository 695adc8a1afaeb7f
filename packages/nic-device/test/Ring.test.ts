/** Who owns which descriptor: exhaustively on the smallest ring, and against a naive oracle. */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { DESCRIPTOR_BYTES, RDH, RDT, RXDCTL } from "@vnic/nic-device/registers"
import { bringUp, makeDeviceBench } from "@vnic/nic-device/testing"
import { plainFrame } from "./support/packets.ts"
import { startRing } from "./support/ring.ts"

const DESCRIPTORS = 8
const SETTLE_PS = 1e7

describe("a ring of eight", () => {
  it("gives the device (tail - head) mod 8 descriptors, from every head and for every tail", () => {
    for (let head = 0; head < DESCRIPTORS; head++) {
      for (let tail = 0; tail < DESCRIPTORS; tail++) {
        const bench = makeDeviceBench()
        bringUp(bench)
        const { device } = bench
        const ring = startRing(bench)
        // Moves the head by real frames.
        for (let count = 0; count < head; count++) {
          ring.post(1)
          device.frameArrived(bench.frame(plainFrame(60, count)))
          bench.run(SETTLE_PS)
          expect(ring.take()).toBeDefined()
        }
        const owned = (tail - head + DESCRIPTORS) % DESCRIPTORS
        ring.post(owned)
        expect(device.readRegister(RDT(0))).toBe(tail)
        for (let count = 0; count < DESCRIPTORS; count++) device.frameArrived(bench.frame(plainFrame(60, count)))
        bench.run(SETTLE_PS)
        const taken = Array.from({ length: DESCRIPTORS }, () => ring.take()).filter((frame) => frame !== undefined)
        expect([head, tail, taken]).toEqual([
          head,
          tail,
          Array.from({ length: owned }, (_, count) => plainFrame(60, count))
        ])
        expect(device.counters().rx.dropped.noDescriptor).toBe(DESCRIPTORS - owned)
        expect(device.readRegister(RDH(0))).toBe(tail)
      }
    }
  })
})

/** What a driver and a sender can do, one letter each: post one, post all that fit, a frame, poll. */
const LETTERS = ["one", "all", "frame", "poll"] as const
const LETTER_COUNT = LETTERS.length
const SEQUENCE_LENGTH = 6

describe("a ring of four, below what RDLEN can say", () => {
  it("holds at most three, loses nothing and keeps the order in every sequence of six steps", () => {
    const bench = makeDeviceBench()
    bringUp(bench)
    const { device } = bench
    for (let number = 0; number < LETTER_COUNT ** SEQUENCE_LENGTH; number++) {
      device.writeRegister(RXDCTL(0), 0)
      const ring = startRing(bench, { descriptors: 4 })
      device.rx.rings.setLength(0, 4 * DESCRIPTOR_BYTES)
      const droppedBefore = device.counters().rx.dropped.noDescriptor
      const expected: Array<number> = []
      let free = 0
      let dropped = 0
      for (let step = 0, rest = number; step < SEQUENCE_LENGTH; step++, rest = Math.floor(rest / LETTER_COUNT)) {
        const letter = LETTERS[rest % LETTER_COUNT]!
        const room = 3 - ring.owned()
        if (letter === "one" || letter === "all") {
          const count = letter === "all" ? room : Math.min(1, room)
          ring.post(count)
          free += count
        } else if (letter === "frame") {
          device.frameArrived(bench.frame(plainFrame(60, step)))
          bench.run(SETTLE_PS)
          if (free > 0) {
            free--
            expected.push(step)
          } else dropped++
        } else if (expected.length > 0) expect(ring.take()).toEqual(plainFrame(60, expected.shift()))
        else expect(ring.take()).toBeUndefined()
      }
      expect(device.counters().rx.dropped.noDescriptor - droppedBefore).toBe(dropped)
      expect(device.counters().rx.inFlight).toBe(0)
    }
    expect(bench.frames.inUse).toBe(0)
  })
})

interface Step {
  readonly post: number
  readonly lengths: ReadonlyArray<number>
  readonly isPolling: boolean
}

const steps: fc.Arbitrary<ReadonlyArray<Step>> = fc.array(
  fc.record({
    post: fc.nat(7),
    lengths: fc.array(fc.integer({ min: 60, max: 1514 }), { maxLength: 6 }),
    isPolling: fc.boolean()
  }),
  { maxLength: 40 }
)

const shapes = fc.record({
  descriptors: fc.constantFrom(8, 16, 64),
  isDropping: fc.boolean(),
  headerBytes: fc.constantFrom(0, 256, 512)
})

describe("random sequences of posts, frames and polls", () => {
  test.prop([steps, shapes], { numRuns: 60 })("end as in a naive model, and no frame is lost", (sequence, shape) => {
    const bench = makeDeviceBench()
    bringUp(bench)
    const { device } = bench
    const ring = startRing(bench, { ...shape, packetBytes: 1024 })
    const { headerBytes, isDropping } = shape
    // The model: free descriptors, frames that wait, frames to be taken, frames dropped.
    let free = 0
    let dropped = 0
    let seed = 0
    const waiting: Array<Array<number>> = []
    const expected: Array<Array<number>> = []
    const needed = (bytes: Array<number>): number => Math.max(1, Math.ceil((bytes.length - headerBytes) / 1024))
    const settle = (): void => {
      while (waiting.length > 0 && needed(waiting[0]!) <= free) {
        free -= needed(waiting[0]!)
        expected.push(waiting.shift()!)
      }
    }
    for (const { isPolling, lengths, post } of sequence) {
      const posted = Math.min(post, shape.descriptors - 1 - ring.owned())
      ring.post(posted)
      free += posted
      settle()
      for (const length of lengths) {
        const bytes = plainFrame(length, seed++)
        device.frameArrived(bench.frame(bytes))
        waiting.push(bytes)
        settle()
        if (waiting.length > 0 && isDropping) {
          dropped++
          waiting.pop()
        }
      }
      bench.run(SETTLE_PS)
      while (isPolling && expected.length > 0) expect(ring.take()).toEqual(expected.shift())
    }
    while (expected.length > 0) expect(ring.take()).toEqual(expected.shift())
    expect(ring.take()).toBeUndefined()
    const { rx } = device.counters()
    expect(rx.dropped.noDescriptor).toBe(dropped)
    expect(rx.inFlight).toBe(waiting.length)
    expect(rx.arrived).toBe(rx.delivered + dropped + waiting.length)
    expect(bench.frames.inUse).toBe(waiting.length)
  })
})
