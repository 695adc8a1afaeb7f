/**
 * The host's network stack as an Effect service. What it does for a frame is plain code (`core`), called by
 * the driver; here it is built, told who listens, observed and closed.
 */
import { Simulation } from "@vnic/sim"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { makeHostStack, type HostStack as HostStackCore, type Listener } from "./core/hostStack.ts"
import type { StreamEndpoints } from "./core/streamEndpoints.ts"
import { makeStreamReceiver, type StreamReceiverCounters } from "./core/streamReceiver.ts"

export type { Application } from "./core/hostStack.ts"

/** The streams that the host receives. */
export interface HostStreams {
  readonly endpoints: StreamEndpoints
  /** How far beyond the next expected byte a segment may reach. */
  readonly windowBytes: number
  readonly timestamps: boolean
  /** How long an acknowledgement may be held back. */
  readonly ackDelayPs: number
}

/** Who listens, and to what. */
export interface ListenOptions extends Omit<Listener, "receiver"> {
  /** Without streams whole frames are handed up, as to a packet socket. */
  readonly streams: HostStreams | undefined
}

export interface HostStackShape {
  readonly core: HostStackCore
  /** From now on what arrives goes to this application. Frames before are counted and let go. */
  readonly listen: (options: ListenOptions) => Effect.Effect<void>
  /** What the streams' receiving end has counted; undefined without streams. */
  readonly counters: Effect.Effect<StreamReceiverCounters | undefined>
  /** Gives the transmit buffers back; the driver must have given them all back before. */
  readonly close: Effect.Effect<void>
}

/** Stream number of the stack's draws in the world's seed. */
const PRNG_STREAM = 0x7374_636b

const make = Effect.gen(function* () {
  const { cpus, memory, pages, prng, profile, timeline } = (yield* Simulation).core
  const core = makeHostStack({
    timeline,
    cpus,
    memory,
    pages,
    prng: prng(PRNG_STREAM),
    framePs: profile.stackFrame,
    frameJitterShare: profile.stackJitter
  })
  let counters: () => StreamReceiverCounters | undefined = () => undefined
  return {
    core,
    listen: ({ application, send, streams }) =>
      Effect.sync(() => {
        const receiver =
          streams === undefined
            ? undefined
            : makeStreamReceiver({ ...streams, delayedAckPs: streams.ackDelayPs, clock: timeline.clock })
        counters = () => receiver?.counters()
        core.listen({ application, receiver, send })
      }),
    counters: Effect.sync(() => counters()),
    close: Effect.sync(() => core.close())
  } satisfies HostStackShape
})

/** The stack of one host. */
export class HostStack extends Context.Service<HostStack, HostStackShape>()("@vnic/net-stack/HostStack") {
  /** A stack to which nobody listens yet. */
  static readonly layer: Layer.Layer<HostStack, never, Simulation> = Layer.effect(this, make)
}
