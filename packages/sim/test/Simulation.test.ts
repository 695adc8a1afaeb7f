import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { HostDoesNotFit, Simulation, type SimulationOptions } from "@vnic/sim"
import { ACCOUNT_BENCHMARK, findMisfit, makeSimulation, PROFILES, profileValues, speedShares } from "@vnic/sim/core"
import { soloWorld } from "@vnic/sim/testing"

const options: SimulationOptions = {
  profile: profileValues(PROFILES[0]!),
  seed: 42,
  hostMemoryBytes: 1 << 20,
  outsideBytes: 4096,
  frameCapacity: 4,
  cpuCount: 8,
  threadsPerCore: 1
}

const build = (changes: Partial<SimulationOptions>) =>
  Effect.flip(Effect.asVoid(Simulation).pipe(Effect.provide(Simulation.layer({ ...options, ...changes }))))

describe("the Simulation service", () => {
  it.effect("steps a run in slices, short ones first, until its end", () =>
    Effect.gen(function* () {
      const { core, eventsRun, now, runSlice, setEnd } = yield* Simulation
      const tick = core.timeline.addTimer("tick", () => core.timeline.setTimer(tick, core.timeline.nowPs + 1))
      core.timeline.setTimer(tick, 1)
      yield* setEnd(40_000)
      const seen: Array<number> = []
      while (yield* runSlice) seen.push(yield* eventsRun)
      expect(seen).toEqual([64, 320, 1344, 34112])
      expect([yield* now, yield* eventsRun]).toEqual([40_000, 40_000])
      expect(yield* runSlice).toBe(false)
      yield* setEnd(40_010)
      expect(yield* runSlice).toBe(false)
      expect([yield* now, yield* eventsRun]).toEqual([40_010, 40_010])
    }).pipe(Effect.provide(Simulation.layer(options)))
  )

  it.effect("runs to a time, and lets others run on the way", () =>
    Effect.gen(function* () {
      const { core, now, runUntil } = yield* Simulation
      const tick = core.timeline.addTimer("tick", () => core.timeline.setTimer(tick, core.timeline.nowPs + 1))
      core.timeline.setTimer(tick, 1)
      const looks: Array<number> = []
      const observer = Effect.gen(function* () {
        for (;;) {
          looks.push(yield* now)
          yield* Effect.yieldNow
        }
      })
      yield* Effect.race(runUntil(100_000), observer)
      expect(yield* now).toBe(100_000)
      expect(looks.filter((timePs) => timePs > 0 && timePs < 100_000).length).toBeGreaterThan(2)
    }).pipe(Effect.provide(Simulation.layer(options)))
  )

  it.effect("is sized and priced by its options", () =>
    Effect.gen(function* () {
      const { core } = yield* Simulation
      expect(core.memory.hostSizeBytes).toBe(1 << 20)
      expect(core.pages.pageSizeBytes).toBe(65536)
      expect(core.pages.pageCount).toBe(16)
      expect(core.cpus.count).toBe(8)
      expect(core.frames.headOffset(core.frames.allocate())).toBeGreaterThanOrEqual(1 << 20)
      core.memory.reserveOutside(4096)
      expect(core.prng(1).next()).toBe(core.prng(1).next())
      expect(core.prng(1).next()).not.toBe(core.prng(2).next())
      const lock = core.cpus.makeLock("lock")
      const held = core.cpus.define("held", (cpu) => {
        core.cpus.unlock(cpu, lock)
        return core.cpus.leave(cpu)
      })
      core.cpus.runAlone(
        3,
        core.cpus.define("entry", (cpu) => core.cpus.lock(cpu, lock, held))
      )
      expect(core.cpus.busyPs(3)).toBe(options.profile.lockAcquire)
    }).pipe(Effect.provide(Simulation.layer(options)))
  )

  it.effect("says what does not fit, and what would", () =>
    Effect.gen(function* () {
      const errors = [
        yield* build({ hostMemoryBytes: 65537 }),
        yield* build({ hostMemoryBytes: 2 ** 31 }),
        yield* build({ cpuCount: 9 }),
        yield* build({ cpuCount: 0 }),
        yield* build({ cpuCount: 33, threadsPerCore: 4 }),
        yield* build({ threadsPerCore: 5 })
      ]
      expect(errors.every((error) => error instanceof HostDoesNotFit)).toBe(true)
      expect(errors.map((error) => error.message)).toEqual([
        "65537 bytes of memory are not whole pages of 65536 bytes",
        "2147483648 bytes of memory are too many; 2147418112 would do",
        "9 CPUs where there can be 1 to 8",
        "0 CPUs where there can be 1 to 8",
        "33 CPUs where there can be 1 to 32",
        "5 threads a core where there can be 1 to 4"
      ])
    })
  )

  it.effect("a broken invariant inside the world is a defect", () =>
    Effect.gen(function* () {
      const { core, runUntil, setEnd } = yield* Simulation
      const broken = core.timeline.addTimer("broken", () => core.cpus.unlock(0, core.cpus.makeLock("free")))
      core.timeline.setTimer(broken, 10)
      const exit = yield* Effect.exit(runUntil(20))
      expect(Exit.isFailure(exit) && Cause.hasDies(exit.cause)).toBe(true)
      const past = yield* Effect.exit(setEnd(5))
      expect(Exit.isFailure(past) && Cause.hasDies(past.cause)).toBe(true)
    }).pipe(Effect.provide(Simulation.layer(options)))
  )
})

describe("a plain world", () => {
  it("refuses options that describe no host", () => {
    expect(findMisfit(options)).toBeUndefined()
    expect(() => makeSimulation({ ...options, cpuCount: 100 })).toThrow("cannot be built")
  })

  it("interpolates the speed of three threads from the core's throughput", () => {
    const shares = speedShares(options.profile)
    expect(shares[0]).toBe(1)
    expect(3 * shares[2]!).toBeCloseTo((2 * shares[1]! + 4 * shares[3]!) / 2, 12)
  })

  it("for tests has one CPU, and takes changes", () => {
    const world = soloWorld()
    const work = world.cpus.define("work", (cpu) => {
      world.cpus.spend(cpu, ACCOUNT_BENCHMARK, 10)
      return world.cpus.leave(cpu)
    })
    world.cpus.runAlone(0, work)
    expect([world.cpus.count, world.cpus.busyPs(0)]).toEqual([1, 10])
    expect(soloWorld({ cpuCount: 2 }).cpus.count).toBe(2)
  })
})
