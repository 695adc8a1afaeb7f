import { describe, expect, it } from "@effect/vitest"
import { BusMaster, Interrupts, NicDevice, Phy } from "@vnic/nic-device"
import { LINK_UP_PS } from "@vnic/nic-device/core"
import { STATUS, STATUS_LINK_UP_BIT } from "@vnic/nic-device/registers"
import { flatBusMaster, recordingInterrupts, recordingPhy } from "@vnic/nic-device/testing"
import { Simulation, type SimulationOptions } from "@vnic/sim"
import { PROFILES, profileValues } from "@vnic/sim/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const world: SimulationOptions = {
  profile: profileValues(PROFILES[0]!),
  seed: 1,
  hostMemoryBytes: 8 << 20,
  outsideBytes: 4096,
  frameCapacity: 64,
  cpuCount: 1,
  threadsPerCore: 1
}

const ports = Layer.mergeAll(
  Layer.effect(
    BusMaster,
    Effect.map(Simulation, ({ core }) => flatBusMaster(core.memory, core.frames))
  ),
  Layer.effect(
    Interrupts,
    Effect.map(Simulation, ({ core }) => recordingInterrupts(core.timeline))
  ),
  Layer.effect(
    Phy,
    Effect.map(Simulation, ({ core }) => recordingPhy(core.timeline, core.frames))
  )
)

const layer = NicDevice.layer({ rateBitsPerSecond: 10e9, macAddress: [2, 4, 6, 8, 10, 12] }).pipe(
  Layer.provide(ports),
  Layer.provideMerge(Simulation.layer(world))
)

describe("the NicDevice service", () => {
  it.effect("shows registers, link and counters of a device in the world's time", () =>
    Effect.gen(function* () {
      const device = yield* NicDevice
      const simulation = yield* Simulation
      expect((yield* device.link).isUp).toBe(false)
      yield* simulation.runUntil(LINK_UP_PS)
      expect(yield* device.link).toEqual({ isUp: true, speedCode: 3 })
      expect((yield* device.readRegister(STATUS)) & STATUS_LINK_UP_BIT).not.toBe(0)
      expect(device.core.macAddress).toEqual([2, 4, 6, 8, 10, 12])
      const frame = simulation.core.frames.allocate()
      simulation.core.frames.headBytes[frame] = 60
      device.core.frameArrived(frame)
      const { rx } = yield* device.counters
      expect([rx.arrived, rx.dropped.receiverDisabled]).toEqual([1, 1])
    }).pipe(Effect.provide(layer))
  )
})
