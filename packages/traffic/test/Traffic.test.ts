import { it } from "@effect/vitest"
import { Simulation } from "@vnic/sim"
import {
  CaptureInvalid,
  ClosedLoopOptions,
  LinkOptions,
  type OpenLoopOptions,
  readCapture,
  type ReplayOptions,
  Traffic,
  TrafficDoesNotFit,
  type TrafficLayerOptions,
  Wire
} from "@vnic/traffic"
import type * as Core from "@vnic/traffic/core"
import { type IdealHost, makeIdealHost } from "@vnic/traffic/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { describe, expect, expectTypeOf } from "vitest"
import { layer as simulationLayer } from "./simulationLayer.ts"

const MS_PS = 1e9

const closedLoop = Schema.decodeSync(ClosedLoopOptions)({ kind: "closed-loop" })

const options: TrafficLayerOptions = {
  link: Schema.decodeSync(LinkOptions)({}),
  traffic: closedLoop,
  queueCount: 8,
  receiverMac: [2, 0, 0, 0, 0, 2],
  check: "all"
}

const wire = Layer.effect(
  Wire,
  Effect.gen(function* () {
    const { frames, memory, timeline } = (yield* Simulation).core
    return makeIdealHost({ timeline, memory, frames, queueCount: 8 })
  })
)

const world = (changes: Partial<TrafficLayerOptions>) =>
  Traffic.layer({ ...options, ...changes }).pipe(Layer.provideMerge(wire), Layer.provideMerge(simulationLayer))

describe("Traffic", () => {
  it.effect("reports what the wire allows", () =>
    Effect.gen(function* () {
      const traffic = yield* Traffic
      const simulation = yield* Simulation
      const host = (yield* Wire) as IdealHost
      host.connect(traffic.core)
      traffic.core.measure(1 * MS_PS, 4 * MS_PS)
      yield* traffic.start
      yield* simulation.runUntil(3 * MS_PS)
      const early = yield* Stream.runCollect(traffic.samples)
      expect(early.length).toBe(10)
      yield* simulation.runUntil(5 * MS_PS)
      yield* traffic.stop
      yield* simulation.runUntil(100 * MS_PS)
      const throughput = yield* traffic.throughput
      expect(throughput.goodputGbps).toBeCloseTo(9.493, 2)
      expect(throughput.frames.offered).toBe(throughput.frames.delivered)
      const samples = yield* Stream.runCollect(traffic.samples)
      expect(samples.length).toBe(20)
      const mean = samples.reduce((sum, sample) => sum + sample.goodputGbps, 0) / 20
      expect(mean).toBeCloseTo(throughput.goodputGbps, 9)
      expect(traffic.core.isDrained).toBe(true)
    }).pipe(Effect.provide(world({})))
  )

  it.effect.each([
    [{ mtuBytes: 68 }, {}, "FrameTooLong"],
    [{ mtuBytes: 1500 }, { windowBytes: 1000 }, "WindowTooSmall"],
    [{ mtuBytes: 1500 }, { windowBytes: 2 ** 30, streams: 4096 }, "WindowTooLarge"],
    [{ mtuBytes: 1500 }, { frameBytes: 64, timestamps: true }, "FrameTooShort"]
  ] as const)("refuses %j with %j", ([link, traffic, reason]) =>
    Effect.gen(function* () {
      const frameBytes = reason === "FrameTooLong" ? { frameBytes: 1518 } : {}
      const changes = {
        link: { ...options.link, ...link },
        traffic: { ...closedLoop, ...frameBytes, ...traffic }
      }
      const error = yield* Effect.flip(Effect.provide(Traffic, world(changes)))
      expect(error).toBeInstanceOf(TrafficDoesNotFit)
      expect(error).toMatchObject({ reason })
      expect(error.message).toMatch(/would do$/)
    })
  )

  it.effect("says what is wrong with a capture, and where", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(readCapture("mine.pcap", new Uint8Array([10, 13, 13, 10, 0])))
      expect(error).toBeInstanceOf(CaptureInvalid)
      expect(error.message).toBe("mine.pcap: byte 0: pcapng; expected classic pcap; convert with editcap -F pcap")
    })
  )
})

describe("decoded options", () => {
  it("are what the core takes", () => {
    expectTypeOf<LinkOptions>().toExtend<Core.LinkSettings>()
    expectTypeOf<ClosedLoopOptions>().toExtend<Core.ClosedLoopSettings>()
    expectTypeOf<OpenLoopOptions>().toExtend<Core.OpenLoopSettings>()
    expectTypeOf<ReplayOptions>().toExtend<Core.ReplaySettings>()
  })
})
