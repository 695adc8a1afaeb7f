/** The part of a scenario that describes the network device. */
import { count, steps, Time, timeQuantity, within, withUnitKeys } from "@vnic/sim"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const MICROSECOND_PS = 1e6

/** Ring lengths step by eight descriptors: the length registers count 128 bytes. */
const descriptors = (preset: number) => count(8, 8192, 8).pipe(Schema.withDecodingDefaultKey(Effect.succeed(preset)))

/** Queues, rings and interrupt throttling. */
export const NicOptions = withUnitKeys(
  {
    queues: count(1, 16).pipe(Schema.withDecodingDefaultKey(Effect.succeed(8))),
    rx: Schema.Struct({
      descriptors: descriptors(1024),
      dropEnable: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true)))
    }).pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    tx: Schema.Struct({ descriptors: descriptors(512) }).pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    // The throttle register holds nine bits of 2 us each; 0 means no throttling.
    interruptInterval: Time.check(
      within(timeQuantity, 0, 1022 * MICROSECOND_PS),
      steps(timeQuantity, 2 * MICROSECOND_PS)
    ).pipe(Schema.withDecodingDefaultKey(Effect.succeed("16 us")))
  },
  { interruptInterval: "interruptIntervalPs" }
)
export type NicOptions = typeof NicOptions.Type
