/** The part of a scenario that describes the network device. */
import { count, steps, Time, timeQuantity, within, withUnitKeys } from "@vnic/sim"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const MICROSECOND_PS = 1e6

/**
 * Ring lengths step by eight descriptors: the length registers count 128 bytes.
 *
 * MODEL: the datasheet validates rings up to 8192 descriptors, of the 65528 that the register can tell. A receive
 * ring may have twice as many here: a capture that is replayed at line rate then comes through whole.
 */
const descriptors = (preset: number, limit: number) =>
  count(8, limit, 8).pipe(Schema.withDecodingDefaultKey(Effect.succeed(preset)))

/** Queues, rings and interrupt throttling. */
export const NicOptions = withUnitKeys(
  {
    queues: count(1, 16).pipe(Schema.withDecodingDefaultKey(Effect.succeed(8))),
    rx: Schema.Struct({
      descriptors: descriptors(1024, 16384),
      dropEnable: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true)))
    }).pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    tx: Schema.Struct({ descriptors: descriptors(512, 8192) }).pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    // The throttle register holds nine bits of 2 us each; 0 means no throttling.
    interruptInterval: Time.check(
      within(timeQuantity, 0, 1022 * MICROSECOND_PS),
      steps(timeQuantity, 2 * MICROSECOND_PS)
    ).pipe(Schema.withDecodingDefaultKey(Effect.succeed("16 us")))
  },
  { interruptInterval: "interruptIntervalPs" }
)
export type NicOptions = typeof NicOptions.Type
