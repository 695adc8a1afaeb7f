/**
 * The link and its traffic as an Effect service: what is sent, and what of it arrived.
 *
 * `core` holds the link for the device (`transmit`, `departPs`), and the sinks for the host.
 */
import { Simulation } from "@vnic/sim"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { type Capture, readCapture as readCaptureBytes } from "./core/pcap.ts"
import type * as Ports from "./core/ports.ts"
import type { ThroughputReport, ThroughputSample } from "./core/report.ts"
import { findTrafficMisfit, makeTraffic, type Traffic as TrafficCore } from "./core/traffic.ts"
import type { TrafficOptions as TrafficCoreOptions } from "./core/traffic.ts"
import { CaptureInvalid, TrafficDoesNotFit } from "./Errors.ts"

export type { Capture } from "./core/pcap.ts"
export type { ThroughputReport, ThroughputSample } from "./core/report.ts"
export { findReplayMisfit, trafficOutsideBytes } from "./core/traffic.ts"
export type { Traffic as TrafficCore } from "./core/traffic.ts"

/** The records of a capture file, whose bytes the caller has read. */
export const readCapture = (file: string, bytes: Uint8Array): Effect.Effect<Capture, CaptureInvalid> =>
  Effect.suspend(() => {
    const result = readCaptureBytes(bytes)
    return "capture" in result
      ? Effect.succeed(result.capture)
      : Effect.fail(new CaptureInvalid({ file, ...result.problem }))
  })

/** The device's end of the link; whoever wires a world provides it. */
export class Wire extends Context.Service<Wire, Ports.Wire>()("@vnic/traffic/Wire") {}

/** Settings of the link and its traffic; time, memory and seed are the simulation's. */
export type TrafficLayerOptions = Omit<TrafficCoreOptions, "timeline" | "memory" | "frames" | "wire" | "seed">

export interface TrafficShape {
  /** The same traffic for hot loops and for the packages above. */
  readonly core: TrafficCore
  /** Traffic begins now, in virtual time. */
  readonly start: Effect.Effect<void>
  /** Sources send nothing new from now on. */
  readonly stop: Effect.Effect<void>
  /** What the measured window saw, and what the whole run counted. */
  readonly throughput: Effect.Effect<ThroughputReport>
  /** A capture file of the frames that a replay has delivered, as they arrived; needs `keepFrames`. */
  readonly deliveredCapture: Effect.Effect<Uint8Array>
  /** The window's equal parts that are over when the stream is run. */
  readonly samples: Stream.Stream<ThroughputSample>
}

const make = Effect.fn("Traffic.make")(function* (options: TrafficLayerOptions) {
  const { frames, memory, seed, timeline } = (yield* Simulation).core
  const wire = yield* Wire
  const coreOptions = { ...options, timeline, memory, frames, seed, wire }
  const misfit = findTrafficMisfit(coreOptions)
  if (misfit !== undefined) return yield* new TrafficDoesNotFit(misfit)
  const core = makeTraffic(coreOptions)
  return {
    core,
    start: Effect.sync(() => core.start()),
    stop: Effect.sync(() => core.stop()),
    throughput: Effect.sync(() => core.throughput()),
    deliveredCapture: Effect.sync(() => core.deliveredCapture()),
    samples: Stream.suspend(() => Stream.fromIterable(core.samples()))
  } satisfies TrafficShape
})

/** The traffic of one world. */
export class Traffic extends Context.Service<Traffic, TrafficShape>()("@vnic/traffic/Traffic") {
  /** Traffic that has not begun. */
  static readonly layer = (options: TrafficLayerOptions): Layer.Layer<Traffic, TrafficDoesNotFit, Simulation | Wire> =>
    Layer.effect(this, make(options))
}
