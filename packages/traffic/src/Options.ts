/** The parts of a scenario that describe the link and what is sent over it. */
import {
  count,
  quantityOrWord,
  Rate,
  rateQuantity,
  Size,
  sizeQuantity,
  Time,
  timeQuantity,
  within,
  withUnitKeys
} from "@vnic/sim"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const KIB = 1024
const MEGABIT = 1e6
const TERABIT = 1e12
const SECOND_PS = 1e12

/** Shortest and longest frame that a meter accepts, check sequence included. */
const FRAME_LIMITS_BYTES = [64, 9728] as const

/** Kinds of traffic by name, each with the line that a list shows. */
export const trafficDescriptions = {
  "closed-loop": "TCP streams with a fixed window, paced by their acknowledgements",
  "open-loop": "frames at a given rate, whatever becomes of them",
  replay: "the frames of a capture"
} as const

/** Rate and MTU of the link. */
export const LinkOptions = withUnitKeys(
  {
    rate: Rate.check(within(rateQuantity, MEGABIT, TERABIT)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("10 Gb/s"))
    ),
    mtu: Size.check(within(sizeQuantity, 68, 9710)).pipe(Schema.withDecodingDefaultKey(Effect.succeed("1500 B")))
  },
  { rate: "rateBitsPerSecond", mtu: "mtuBytes" }
)
export type LinkOptions = typeof LinkOptions.Type

/** How streams or flows come to lie on queues. */
const placement = Schema.Literals(["even", "random"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("even")))

/** Streams with a fixed window: each waits for acknowledgements before it sends on. */
export const ClosedLoopOptions = withUnitKeys(
  {
    kind: Schema.Literal("closed-loop"),
    direction: Schema.Literals(["receive"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("receive"))),
    streams: count(1, 4096).pipe(Schema.withDecodingDefaultKey(Effect.succeed(16))),
    placement,
    window: Size.check(within(sizeQuantity, 1, 1024 * 1024 * KIB)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("64 KiB"))
    ),
    timestamps: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
    ackDelay: Time.check(within(timeQuantity, 1, SECOND_PS)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("40 ms"))
    ),
    /** Whole length of a full segment's frame, check sequence included; without it the MTU decides. */
    frame: Schema.optionalKey(Size.check(within(sizeQuantity, ...FRAME_LIMITS_BYTES)))
  },
  { window: "windowBytes", ackDelay: "ackDelayPs", frame: "frameBytes" }
)
export type ClosedLoopOptions = typeof ClosedLoopOptions.Type

/** Frames at a rate, with sizes and arrivals that do not depend on what the receiver does. */
export const OpenLoopOptions = withUnitKeys(
  {
    kind: Schema.Literal("open-loop"),
    rate: quantityOrWord(rateQuantity, ["line"], [1, TERABIT]).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("line"))
    ),
    arrivals: Schema.Literals(["constant", "poisson"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("constant"))),
    sizes: quantityOrWord(sizeQuantity, ["imix"], FRAME_LIMITS_BYTES).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("imix"))
    ),
    flows: count(1, 65_536).pipe(Schema.withDecodingDefaultKey(Effect.succeed(16))),
    placement
  },
  { rate: "rateBitsPerSecond", sizes: "frameBytes" }
)
export type OpenLoopOptions = typeof OpenLoopOptions.Type

/** The frames of a capture, with its timing or at another rate. */
export const ReplayOptions = withUnitKeys(
  {
    kind: Schema.Literal("replay"),
    capture: Schema.NonEmptyString.pipe(Schema.annotateKey({ messageMissingKey: "the name of a classic pcap file" })),
    rate: quantityOrWord(rateQuantity, ["as-captured", "line"], [1, TERABIT]).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("as-captured"))
    )
  },
  { rate: "rateBitsPerSecond" }
)
export type ReplayOptions = typeof ReplayOptions.Type

/** What is sent over the link, by kind. */
export const TrafficOptions = Schema.Union([ClosedLoopOptions, OpenLoopOptions, ReplayOptions])
export type TrafficOptions = typeof TrafficOptions.Type
