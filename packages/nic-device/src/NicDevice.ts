/**
 * The device as an Effect service. Everything it does happens in virtual time, driven by its registers and
 * by the frames that arrive; the service is for whoever builds it, watches it, or reads its counters.
 */
import { Simulation } from "@vnic/sim"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type DeviceCounters, makeNicDevice, type NicDevice as NicDeviceCore } from "./core/index.ts"
import type * as Ports from "./core/ports.ts"
import { LINKS, LINKS_SPEED_MASK, LINKS_SPEED_SHIFT, LINKS_UP_BIT } from "./registers.ts"

/** The device's way to memory; whoever wires a world provides it. */
export class BusMaster extends Context.Service<BusMaster, Ports.BusMaster>()("@vnic/nic-device/BusMaster") {}

/** Where its interrupt messages go. */
export class Interrupts extends Context.Service<Interrupts, Ports.Interrupts>()("@vnic/nic-device/Interrupts") {}

/** The link that it transmits on. */
export class Phy extends Context.Service<Phy, Ports.Phy>()("@vnic/nic-device/Phy") {}

/** Link state as the LINKS register shows it. */
export interface LinkState {
  readonly isUp: boolean
  /** LINKS.SPEED; 3 is 10 Gb/s. */
  readonly speedCode: number
}

export interface NicDeviceShape {
  /** The plain device, for the driver's register window and the link. */
  readonly core: NicDeviceCore
  /** Reads a register as a driver would, side effects included. */
  readonly readRegister: (offset: number) => Effect.Effect<number>
  readonly writeRegister: (offset: number, value: number) => Effect.Effect<void>
  readonly link: Effect.Effect<LinkState>
  /** What the device has counted since it was made; nothing clears it. */
  readonly counters: Effect.Effect<DeviceCounters>
}

export interface NicDeviceLayerOptions {
  /** The link's rate. */
  readonly rateBitsPerSecond: number
  /** Six bytes; a default one otherwise. */
  readonly macAddress?: ReadonlyArray<number>
}

const make = Effect.fn("NicDevice.make")(function* (options: NicDeviceLayerOptions) {
  const { frames, memory, profile, timeline } = (yield* Simulation).core
  const ports = { busMaster: yield* BusMaster, interrupts: yield* Interrupts, phy: yield* Phy }
  const core = makeNicDevice({ ...options, timeline, memory, frames, bus: profile }, ports)
  return {
    core,
    readRegister: (offset) => Effect.sync(() => core.readRegister(offset)),
    writeRegister: (offset, value) => Effect.sync(() => core.writeRegister(offset, value)),
    link: Effect.sync(() => {
      const links = core.readRegister(LINKS)
      return { isUp: (links & LINKS_UP_BIT) !== 0, speedCode: (links & LINKS_SPEED_MASK) >>> LINKS_SPEED_SHIFT }
    }),
    counters: Effect.sync(() => core.counters())
  } satisfies NicDeviceShape
})

/** One 82599-class device. */
export class NicDevice extends Context.Service<NicDevice, NicDeviceShape>()("@vnic/nic-device/NicDevice") {
  /** A device as after power-on. */
  static readonly layer = (
    options: NicDeviceLayerOptions
  ): Layer.Layer<NicDevice, never, Simulation | BusMaster | Interrupts | Phy> => Layer.effect(this, make(options))
}
