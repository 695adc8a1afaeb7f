/**
 * Goal: whatever the channel does, every byte is delivered in order exactly once, no stream stalls, no
 * window is exceeded, and fast recovery sends exactly the lost segments again.
 * Method: StreamWorld checks every frame; fast-check draws the channel and shrinks it.
 */
import { fc, test as property } from "@fast-check/vitest"
import { makePrng } from "@vnic/sim/core"
import { describe, expect, test } from "vitest"
import { type Fate, FRAME_PS, StreamWorld } from "./streamWorld.ts"

const PASSES: Fate = [0]
const LOST: Fate = []

interface Channel {
  readonly seed: number
  readonly loss: number
  readonly repetition: number
  readonly delay: number
  /** The channel is sound from this frame on. */
  readonly troubledFrames: number
}

/** Draws of frame n depend on the seed and n only, so that one direction does not move the other. */
const fateIn = (channel: Channel, direction: number) => {
  const prng = makePrng(channel.seed, direction)
  const delay = (): number => (prng.uniform() < channel.delay ? prng.below(20) * 1_000_000 : 0)
  return (frameIndex: number): Fate => {
    if (frameIndex >= channel.troubledFrames) return PASSES
    if (prng.uniform() < channel.loss) return LOST
    return prng.uniform() < channel.repetition ? [delay(), delay()] : [delay()]
  }
}

const channels: fc.Arbitrary<Channel> = fc.record({
  seed: fc.nat(),
  loss: fc.constantFrom(0, 0.01, 0.1, 0.4),
  repetition: fc.constantFrom(0, 0.05, 0.3),
  delay: fc.constantFrom(0, 0.05, 0.5),
  troubledFrames: fc.nat(300)
})

/** Sequence numbers whose streams cross 2^31 or 2^32, among others. */
const initialSequences = fc.oneof(
  fc.constant(-500),
  fc.constant(0x7fff_ff00),
  fc.constant(0),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
)

const SEGMENTS = 80
const STEPS_MAX = 20_000
const TIMEOUT_MS = 60_000

describe("streams over a bad channel", () => {
  property.prop(
    [
      fc.record({
        streamCount: fc.integer({ min: 1, max: 3 }),
        windowSegments: fc.integer({ min: 1, max: 44 }),
        segmentBytes: fc.integer({ min: 1, max: 9 }),
        timestamps: fc.boolean(),
        initialSequence: initialSequences
      }),
      channels,
      channels
    ],
    { numRuns: 100 }
  )(
    "deliver every byte once and in order, and never stall",
    (shape, forward, backward) => {
      const world = new StreamWorld({
        ...shape,
        windowBytes: shape.windowSegments * shape.segmentBytes,
        fateOfData: fateIn(forward, 1),
        fateOfAck: fateIn(backward, 2)
      })
      world.run(SEGMENTS, STEPS_MAX)
    },
    TIMEOUT_MS
  )

  property.prop([fc.integer({ min: 0, max: 150 }), initialSequences, fc.boolean(), fc.nat()], { numRuns: 50 })(
    "recovery sends exactly the lost segments again",
    (lossPerMille, initialSequence, timestamps, seed) => {
      const prng = makePrng(seed)
      const lost: Array<string> = []
      const world = new StreamWorld({
        streamCount: 2,
        windowBytes: 44 * 3,
        segmentBytes: 3,
        timestamps,
        initialSequence,
        fateOfData: (frameIndex, { isRetransmission, offset, stream }) => {
          if (isRetransmission || frameIndex >= 300 || prng.below(1000) >= lossPerMille) return PASSES
          lost.push(`${stream}:${offset}`)
          return LOST
        },
        fateOfAck: () => PASSES
      })
      world.run(250, STEPS_MAX)
      const again = world.sent.filter((segment) => segment.isRetransmission)
      fc.pre(world.sender.counters().timeouts === 0)
      expect(again.map(({ offset, stream }) => `${stream}:${offset}`).sort()).toEqual(lost.sort())
    },
    TIMEOUT_MS
  )

  test(
    "every combination of losses among the first eight segments, with windows of 1 to 8",
    () => {
      for (let windowSegments = 1; windowSegments <= 8; windowSegments++) {
        for (let losses = 0; losses < 256; losses++) {
          const world = new StreamWorld({
            streamCount: 1,
            windowBytes: windowSegments * 2,
            segmentBytes: 2,
            timestamps: false,
            initialSequence: -5,
            fateOfData: (_, { isRetransmission, offset }) =>
              !isRetransmission && ((losses >> (offset / 2)) & 1) !== 0 ? LOST : PASSES,
            fateOfAck: () => PASSES
          })
          world.run(12, 1000)
        }
      }
    },
    TIMEOUT_MS
  )

  test(
    "one drop among many segments costs one retransmission and no time-out",
    () => {
      const world = new StreamWorld({
        streamCount: 16,
        windowBytes: 65_536,
        segmentBytes: 1460,
        timestamps: false,
        fateOfData: (frameIndex) => (frameIndex === 100 ? LOST : PASSES),
        fateOfAck: () => PASSES
      })
      world.run(100, STEPS_MAX)
      expect(world.sender.counters()).toMatchObject({ segmentsRetransmitted: 1, fastRetransmits: 1, timeouts: 0 })
      expect(world.receiver.counters()).toMatchObject({ segmentsDuplicate: 0, segmentsDiscarded: 0 })
    },
    TIMEOUT_MS
  )

  /** A ring of `places`, emptied at a frame in `servicePs`: what a burst has beyond it is dropped. */
  const ringFate = (places: number, servicePs: number) => {
    const done: Array<number> = []
    return (_: number, __: unknown, timePs: number): Fate => {
      while (done.length > 0 && done[0]! <= timePs) done.shift()
      if (done.length === places) return LOST
      done.push(Math.max(done.at(-1) ?? 0, timePs) + servicePs)
      return [done.at(-1)! - timePs]
    }
  }

  property.prop(
    [
      fc.record({
        streamCount: fc.integer({ min: 1, max: 4 }),
        windowSegments: fc.integer({ min: 16, max: 200 }),
        places: fc.integer({ min: 8, max: 24 }),
        slowness: fc.integer({ min: 1, max: 8 })
      })
    ],
    { numRuns: 40 }
  )(
    "a ring that the window overruns costs few time-outs, not one for each ring of segments",
    ({ streamCount, windowSegments, places, slowness }) => {
      const world = new StreamWorld({
        streamCount,
        windowBytes: windowSegments * 2,
        segmentBytes: 2,
        timestamps: false,
        fateOfData: ringFate(places, slowness * FRAME_PS),
        fateOfAck: () => PASSES
      })
      world.run(1000, STEPS_MAX)
      // More than a hundred when every restart sends the whole window; at most nine of four streams were seen.
      expect(world.sender.counters().timeouts).toBeLessThanOrEqual(4 * streamCount)
    },
    TIMEOUT_MS
  )

  test("without trouble there is an acknowledgement for every second segment", () => {
    const world = new StreamWorld({
      streamCount: 2,
      windowBytes: 40 * 10,
      segmentBytes: 10,
      timestamps: true,
      fateOfData: () => PASSES,
      fateOfAck: () => PASSES
    })
    world.run(100, STEPS_MAX)
    const { segments, segmentsRetransmitted } = world.sender.counters()
    expect(segmentsRetransmitted).toBe(0)
    expect(world.receiver.counters().acks).toBe(segments / 2)
  })
})
