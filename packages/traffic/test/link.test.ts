import { makeFramePool, makeMemory, makeTimeline } from "@vnic/sim/core"
import {
  FIRST_BIT,
  FRAME_NONE,
  type FrameSource,
  FREE_AT,
  LAST_BIT,
  makeLink,
  Medium,
  NOT_BEFORE,
  Window
} from "@vnic/traffic/core"
import { makeLoopbackWire } from "@vnic/traffic/testing"
import { describe, expect, it } from "vitest"
import { makeIdealWorld, MS_PS, openLoop } from "./idealWorld.ts"

const SECOND_PS = 1e12

describe("a medium", () => {
  it.each([
    [60, 67_200],
    [1514, 1_230_400],
    [9014, 7_230_400]
  ])("takes a frame of %i bytes without check sequence for %i ps", (lengthBytes, durationPs) => {
    const medium = new Medium(10e9, new Window())
    for (let frame = 0; frame < 1000; frame++) medium.occupy(lengthBytes)
    expect(medium.state[FREE_AT]).toBe(1000 * durationPs)
    expect(medium.busyPs).toBe(1000 * durationPs)
    expect(Math.floor(SECOND_PS / durationPs)).toBe({ 60: 14_880_952, 1514: 812_743, 9014: 138_304 }[lengthBytes])
  })

  it("has preamble and delimiter before the first bit, and the gap behind the last", () => {
    const medium = new Medium(10e9, new Window())
    medium.state[NOT_BEFORE] = 1_000_000
    medium.occupy(20)
    expect(medium.state[FIRST_BIT]).toBe(1_000_000 + 8 * 800)
    expect(medium.state[LAST_BIT]).toBe(1_000_000 + 72 * 800)
    expect(medium.state[FREE_AT]).toBe(1_000_000 + 84 * 800)
  })

  it("is taken in a window for as long as its frames are in it, also across both edges", () => {
    const window = new Window()
    const medium = new Medium(10e9, window)
    // Frames of 67,200 ps from 0 on: the window begins in the first and ends in the third.
    window.open(50_000, 100_000)
    for (let frame = 0; frame < 4; frame++) medium.occupy(60)
    expect(medium.busyPsInWindow).toBe(100_000)
    expect(medium.busyPs).toBe(4 * 67_200)
  })

  it("keeps the fractions of rates that give none whole", () => {
    const medium = new Medium(3e9, new Window())
    for (let frame = 0; frame < 3000; frame++) medium.occupy(1514)
    expect(medium.state[FREE_AT]).toBeCloseTo((3000 * 1538 * 8e12) / 3e9, 0)
  })
})

/** A source with a number of frames of one length that are there from the start. */
const makeWorld = (propagationPs: number, lengthBytes: number, frameCount: number) => {
  const timeline = makeTimeline()
  const memory = makeMemory(4096, 64 * 2048)
  const frames = makeFramePool(memory, 32)
  const wire = makeLoopbackWire({ memory, frames, queueCount: 1 })
  const window = new Window()
  const link = makeLink({ timeline, memory, frames, window, wire, rateBitsPerSecond: 10e9, propagationPs })
  const arrivals: Array<number> = []
  const returns: Array<number> = []
  let left = frameCount
  const source: FrameSource = {
    nextFrame: () => {
      if (left === 0) return FRAME_NONE
      left--
      const frame = frames.allocate()
      frames.headBytes[frame] = lengthBytes
      return frame
    },
    frameTimed: () => undefined
  }
  link.attach(source, { frameArrived: () => returns.push(timeline.nowPs) })
  wire.connect({
    transmit: (frame) => {
      arrivals.push(timeline.nowPs)
      link.transmit(frame)
    }
  })
  return { timeline, memory, frames, link, arrivals, returns, wire, refill: (count: number) => (left = count) }
}

describe("a link", () => {
  it.each([0, 5000, 9600, 9601, 100_000, 5_000_000])("is never idle with a propagation of %i ps", (propagationPs) => {
    const { arrivals, frames, link, returns, timeline } = makeWorld(propagationPs, 1514, 20)
    link.kick()
    timeline.runUntil(MS_PS, Infinity)
    const first = propagationPs + 1526 * 800
    expect(arrivals).toEqual(Array.from({ length: 20 }, (_, index) => first + index * 1_230_400))
    // Back again: store and forward, one serialisation and one propagation more.
    expect(returns).toEqual(arrivals.map((arrival) => arrival + first))
    expect(frames.inUse).toBe(0)
    expect(link.isQuiet).toBe(true)
  })

  it("pads short frames with zeros in one direction and counts them as padded in both", () => {
    const { link, memory, timeline, frames, wire } = makeWorld(0, 42, 1)
    memory.bytes.fill(0xff, frames.headOffset(0), frames.headOffset(0) + 64)
    link.kick()
    timeline.runUntil(MS_PS, Infinity)
    expect(link.framesPadded).toBe(1)
    expect(wire.framesArrived).toBe(1)
    expect([...memory.bytes.subarray(frames.headOffset(0) + 41, frames.headOffset(0) + 61)]).toEqual([
      0xff,
      ...Array<number>(18).fill(0),
      0xff
    ])
    expect(link.inbound.busyPs).toBe(84 * 800)
    expect(link.outbound.busyPs).toBe(84 * 800)
  })

  it("says when the device's frame departs", () => {
    const { frames, link, timeline } = makeWorld(0, 60, 0)
    const send = () => {
      const frame = frames.allocate()
      frames.headBytes[frame] = 60
      link.transmit(frame)
      return link.departPs[0]
    }
    expect(send()).toBe(72 * 800)
    expect(send()).toBe(72 * 800 + 67_200)
    timeline.runUntil(MS_PS, Infinity)
    expect(send()).toBe(MS_PS + 72 * 800)
  })

  it("starts again when it is kicked, not before the gap is over", () => {
    const { arrivals, link, refill, timeline } = makeWorld(0, 60, 1)
    link.kick()
    timeline.runUntil(72 * 800 + 100, Infinity)
    refill(1)
    link.kick()
    link.kick()
    timeline.runUntil(MS_PS, Infinity)
    refill(1)
    link.kick()
    timeline.runUntil(2 * MS_PS, Infinity)
    expect(arrivals).toEqual([72 * 800, 72 * 800 + 67_200, MS_PS + 72 * 800])
  })

  it.each([
    [1518, 812_744],
    [64, 14_880_952]
  ])("carries frames of %i bytes at %i a second", (frameBytes, framesPerSecond) => {
    const { measure } = makeIdealWorld({ traffic: openLoop({ frameBytes }) })
    const report = measure(0.1 * MS_PS, 2 * MS_PS)
    expect(Math.abs(report.framesPerSecond * 2e-3 - framesPerSecond * 2e-3)).toBeLessThan(1)
    expect(report.wireGbps).toBeCloseTo(10, 2)
    expect(report.inbound.busyShare).toBeGreaterThan(0.999)
  })
})
