/**
 * The driver as an Effect service. Building its layer brings the device up; `shutdown` takes every buffer and
 * mapping back, and must be called before leaks are counted. The finalizer shuts down what is still up.
 */
import type { Device } from "@vnic/dma-api/core"
import { Simulation } from "@vnic/sim"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  driverCostsOf,
  makeNetDriver,
  type DriverStatistics,
  type HostStack as HostStackPort,
  type NetDriver,
  type NetDriverOptions,
  type RegisterWindow as RegisterWindowPort
} from "./core/index.ts"
import { BringUpFailed, NoRingMemory } from "./Errors.ts"

export type { DriverStatistics } from "./core/index.ts"

/** The device's registers; whoever joins the packages provides it. */
export class RegisterWindow extends Context.Service<RegisterWindow, RegisterWindowPort>()(
  "@vnic/driver/RegisterWindow"
) {}

/** The network stack above the driver. */
export class StackPort extends Context.Service<StackPort, HostStackPort>()("@vnic/driver/StackPort") {}

/** The device's side of the DMA API. */
export class DmaPort extends Context.Service<DmaPort, Device>()("@vnic/driver/DmaPort") {}

export interface NicDriverShape {
  /** The plain driver, for the interrupts of the device. */
  readonly core: NetDriver
  /** Stops the device and gives everything back. A second call does nothing. */
  readonly shutdown: Effect.Effect<void, BringUpFailed>
  readonly statistics: Effect.Effect<DriverStatistics>
}

const make = Effect.fn("NicDriver.make")(function* (options: NetDriverOptions) {
  const { cpus, memory, pages, profile } = (yield* Simulation).core
  const device = yield* DmaPort
  const made = makeNetDriver(
    {
      cpus,
      memory,
      pages,
      device,
      registers: yield* RegisterWindow,
      stack: yield* StackPort,
      costs: driverCostsOf(profile)
    },
    options
  )
  if ("step" in made) return yield* new NoRingMemory({ device: device.name, sizeBytes: made.sizeBytes })
  let isUp = true
  const shutdown = Effect.suspend(() => {
    if (!isUp) return Effect.void
    isUp = false
    const failure = made.shutdown()
    return failure === undefined ? Effect.void : Effect.fail(new BringUpFailed({ device: device.name, ...failure }))
  })
  yield* Effect.addFinalizer(() => Effect.ignore(shutdown))
  const failure = made.bringUp()
  if (failure !== undefined) return yield* new BringUpFailed({ device: device.name, ...failure })
  return { core: made, shutdown, statistics: Effect.sync(() => made.statistics()) } satisfies NicDriverShape
})

/** The driver of one device. */
export class NicDriver extends Context.Service<NicDriver, NicDriverShape>()("@vnic/driver/NicDriver") {
  /** Allocates the rings and brings the device up; afterwards frames flow. */
  static readonly layer = (
    options: NetDriverOptions
  ): Layer.Layer<NicDriver, BringUpFailed | NoRingMemory, Simulation | DmaPort | RegisterWindow | StackPort> =>
    Layer.effect(this, make(options))
}
