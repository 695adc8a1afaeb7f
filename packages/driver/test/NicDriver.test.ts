/** The driver as a service: its layer brings the device up, its end takes everything back. */
import { describe, expect, it } from "@effect/vitest"
import {
  BringUpFailed,
  DmaPort,
  DriverOptions,
  NicDriver,
  NoRingMemory,
  RegisterWindow,
  StackPort,
  strategyDescriptions
} from "@vnic/driver"
import type * as Core from "@vnic/driver/core"
import { frameOf, makeDriverWorld, NOTHING_LEFT, TEST_DRIVER_OPTIONS, type TestWorld } from "@vnic/driver/testing"
import { LINKS, LINKS_UP_BIT, RXDCTL, RXDCTL_ENABLE_BIT } from "@vnic/nic-device/registers"
import { Simulation, type SimulationShape } from "@vnic/sim"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { expectTypeOf } from "vitest"

/** The driver of a test world, with what it needs from there. */
const driverOf = (world: TestWorld, options = TEST_DRIVER_OPTIONS) =>
  NicDriver.layer(options).pipe(
    Layer.provide(
      Layer.mergeAll(
        Layer.succeed(RegisterWindow, world.device),
        Layer.succeed(StackPort, world.stack),
        Layer.succeed(DmaPort, world.dmaDevice),
        Layer.succeed(Simulation, { core: world.simulation } as SimulationShape)
      )
    )
  )

describe("NicDriver", () => {
  it.effect("is up when its layer is built, and down when it says so: once", () =>
    Effect.gen(function* () {
      const world = makeDriverWorld()
      const program = Effect.gen(function* () {
        const { core, shutdown, statistics } = yield* NicDriver
        world.device.onInterrupt = (queue) => core.napi.interrupt(queue)
        world.device.deliver(0, frameOf(1514))
        world.settle()
        expect(world.stack.received.map(({ bytes }) => bytes)).toEqual([frameOf(1514)])
        expect(yield* statistics).toMatchObject({ framesReceived: 1, interrupts: 1 })
        yield* shutdown
        expect(world.leftovers()).toEqual(NOTHING_LEFT)
        const { length } = world.device.registers.accesses
        yield* shutdown
        expect(world.device.registers.accesses).toHaveLength(length)
      })
      yield* Effect.provide(program, driverOf(world))
      expect(world.leftovers()).toEqual(NOTHING_LEFT)
    })
  )

  it.effect("shuts down with its scope when nobody has", () =>
    Effect.gen(function* () {
      const world = makeDriverWorld()
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(driverOf(world), scope)
      expect(world.dma.liveCount()).toBeGreaterThan(0)
      yield* Scope.close(scope, Exit.void)
      expect(world.leftovers()).toEqual(NOTHING_LEFT)
    })
  )

  it.effect("fails by name when the device does not come up, and leaves nothing", () =>
    Effect.gen(function* () {
      const world = makeDriverWorld()
      world.device.registers.stuck(LINKS, LINKS_UP_BIT, 0)
      const error = yield* Effect.flip(Effect.provide(NicDriver, driverOf(world)))
      expect(error).toBeInstanceOf(BringUpFailed)
      expect(error.message).toBe("nic0: link: LINKS did not change within 10000 ms")
      expect(world.leftovers()).toEqual(NOTHING_LEFT)
    })
  )

  it.effect("fails by size when there is no memory for a ring, and leaves nothing", () =>
    Effect.gen(function* () {
      const world = makeDriverWorld()
      world.simulation.pages.failAt = 3
      const error = yield* Effect.flip(Effect.provide(NicDriver, driverOf(world)))
      expect(error).toBeInstanceOf(NoRingMemory)
      expect(error.message).toContain("nic0: no coherent memory for a ring of 1024 bytes")
      expect(world.leftovers()).toEqual(NOTHING_LEFT)
      expect(world.device.registers.accesses).toEqual([])
    })
  )

  it.effect("says when the device does not stop, and gives everything back all the same", () =>
    Effect.gen(function* () {
      const world = makeDriverWorld()
      const program = Effect.gen(function* () {
        const { shutdown } = yield* NicDriver
        world.device.registers.stuck(RXDCTL(0), RXDCTL_ENABLE_BIT, RXDCTL_ENABLE_BIT)
        const error = yield* Effect.flip(shutdown)
        expect(error).toMatchObject({ _tag: "BringUpFailed", step: "disabling", register: "RXDCTL[0]" })
        expect(world.leftovers()).toEqual(NOTHING_LEFT)
      })
      yield* Effect.provide(program, driverOf(world))
    })
  )
})

describe("decoded options", () => {
  it("are what the core takes, and name every strategy that there is", () => {
    expectTypeOf<DriverOptions["strategy"]>().toEqualTypeOf<Core.NetDriverOptions["strategy"]>()
    expectTypeOf<keyof typeof strategyDescriptions>().toEqualTypeOf<Core.StrategyName>()
    expectTypeOf<DriverOptions["budget"]>().toEqualTypeOf<Core.NetDriverOptions["budget"]>()
    expectTypeOf<DriverOptions["tx"]["small"]>().toEqualTypeOf<Core.NetDriverOptions["small"]>()
    const options = Schema.decodeSync(DriverOptions)({})
    expect(options).toEqual({ strategy: "map-per-packet", budget: 64, tx: { small: "copy" } })
    const core: Pick<Core.NetDriverOptions, "strategy" | "budget" | "small"> = { ...options, small: options.tx.small }
    expect(core.budget).toBe(64)
  })

  it("bring a driver up for every strategy", () => {
    for (const strategy of Object.keys(strategyDescriptions) as Array<Core.StrategyName>) {
      expect(makeDriverWorld({ strategy }).start().strategy.name).toBe(strategy)
    }
  })
})
