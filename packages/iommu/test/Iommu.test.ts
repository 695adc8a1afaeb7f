import { describe, expect, it } from "@effect/vitest"
import { Iommu, IommuOptions, TableDoesNotFit } from "@vnic/iommu"
import { Simulation, type SimulationOptions } from "@vnic/sim"
import { findProfile, PROFILES, profileValues } from "@vnic/sim/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const world: SimulationOptions = {
  profile: profileValues(PROFILES[0]!),
  seed: 1,
  hostMemoryBytes: 8 << 20,
  outsideBytes: 4096,
  frameCapacity: 4,
  cpuCount: 2,
  threadsPerCore: 1
}

const decode = Schema.decodeUnknownSync(IommuOptions)

const layer = (options: object, changes: Partial<SimulationOptions> = {}) =>
  Iommu.layer(decode(options)).pipe(Layer.provideMerge(Simulation.layer({ ...world, ...changes })))

describe("the Iommu service", () => {
  it.effect("puts its table and list pages in the world's memory, and opens the door to a device", () =>
    Effect.gen(function* () {
      const iommu = yield* Iommu
      const sim = (yield* Simulation).core
      const { pvdma, table } = iommu.core.paravirtual!
      expect(table.windowBytes).toBe(2 ** 30)
      expect(sim.pages.pagesUsed * sim.pages.pageSizeBytes).toBe((2 << 20) + 65536)
      const { core: port, name } = yield* iommu.attach("nic")
      const phys = sim.pages.allocate(0)
      sim.memory.words[phys / 4] = 42
      pvdma.insert(1, 1000, 1, phys, 1)
      const words = new Int32Array(1)
      expect([name, port.readWords(1000 * 4096, words, 0, 1, 0), words[0]]).toEqual(["nic", true, 42])
      expect(yield* iommu.hypercalls).toEqual({ putTce: 1, putTceIndirect: 0, stuffTce: 0, getTce: 0 })
    }).pipe(Effect.provide(layer({})))
  )

  it.effect("shuts the door when the device's scope closes", () =>
    Effect.gen(function* () {
      const iommu = yield* Iommu
      const device = yield* Effect.scoped(iommu.attach("nic"))
      expect(device.core.readWords(0, new Int32Array(1), 0, 1, 0)).toBe(false)
      const { count, records, unrecorded } = yield* iommu.faults
      expect([count, unrecorded]).toEqual([1, 0])
      expect(records[0]).toMatchObject({ device: "nic", reason: "deviceDetached" })
    }).pipe(Effect.provide(layer({})))
  )

  it.effect("tells how many pages are pinned now, at most and on average", () =>
    Effect.gen(function* () {
      const { core, pinned } = yield* Iommu
      const sim = yield* Simulation
      const { cpus, profile } = sim.core
      expect(yield* pinned).toEqual({ now: 0, max: 0, mean: 0 })
      core.paravirtual!.pvdma.insert(0, 0, 4, 0x10_0000 * 4, 0)
      cpus.localPs[0] = 40 * profile.hypercall - profile.hypercall
      core.paravirtual!.pvdma.remove(0, 0, 3)
      yield* sim.runUntil(100 * profile.hypercall)
      const { max, mean, now } = yield* pinned
      expect([now, max]).toEqual([1, 4])
      const mappedAtPs = profile.hypercall + 3 * profile.hypercallPerTce
      const unmappedAtPs = 40 * profile.hypercall + 2 * profile.hypercallPerTce
      const pagePs = 4 * (unmappedAtPs - mappedAtPs) + (100 * profile.hypercall - unmappedAtPs)
      expect(mean).toBeCloseTo(pagePs / (100 * profile.hypercall), 9)
    }).pipe(Effect.provide(layer({})))
  )

  it.effect("builds VT-d tables on x86, invalidates, and tells what the IOTLB saw", () =>
    Effect.gen(function* () {
      const iommu = yield* Iommu
      const sim = yield* Simulation
      const { cpus, memory, pages } = sim.core
      const { table, vtd } = iommu.core
      expect([vtd!.iotlb.entryCount, table!.pageCount, vtd!.stage.levels]).toEqual([128, 2 ** 20, 4])
      const { core: port } = yield* iommu.attach("nic")
      const phys = pages.allocate(0)
      expect(table!.insert(1, 1000, 1, phys, 2)).toBe(0)
      expect(port.writeWords(1000 * 4096, Int32Array.of(42), 0, 1, 0)).toBe(true)
      expect(memory.words[phys / 4]).toBe(42)
      table!.remove(1, 1000, 1)
      yield* sim.runUntil(cpus.localPs[1]!)
      expect(port.writeWords(1000 * 4096, Int32Array.of(43), 0, 1, 0)).toBe(true)
      const done = cpus.define("done", (cpu) => cpus.leave(cpu))
      cpus.runAlone(
        1,
        cpus.define("flush", (cpu) => vtd!.table.invalidation.beginAll(cpu, done))
      )
      yield* sim.runUntil(cpus.localPs[1]!)
      expect(port.writeWords(1000 * 4096, Int32Array.of(44), 0, 1, 0)).toBe(false)
      expect(yield* iommu.iotlb).toMatchObject({ hits: 1, misses: 2, stale: { hits: 1, bytes: 4, windows: 1 } })
      expect(yield* iommu.invalidations).toEqual({ global: 0, domain: 1, page: 0, context: 0 })
      expect((yield* iommu.faults).records[0]).toMatchObject({ reason: "notMapped", code: 5 })
      expect(yield* iommu.pinned).toEqual({ now: 0, max: 0, mean: 0 })
    }).pipe(Effect.provide(layer({ kind: "vtd" }, { profile: profileValues(findProfile("x86-sandybridge")!) })))
  )

  it.effect("says so when the memory has no room for VT-d tables", () =>
    Effect.gen(function* () {
      const { pages } = (yield* Simulation).core
      while (pages.allocate(0) >= 0);
      const error = yield* Effect.flip(Effect.asVoid(Iommu).pipe(Effect.provide(Iommu.layer(decode({ kind: "vtd" })))))
      expect(error).toMatchObject({ windowBytes: 2 ** 32, tableBytes: 5 * 4096 })
    }).pipe(Effect.provide(Simulation.layer({ ...world, hostMemoryBytes: 1 << 20 })))
  )

  it.effect("is the same door when it is off", () =>
    Effect.gen(function* () {
      const iommu = yield* Iommu
      const sim = (yield* Simulation).core
      expect(iommu.core.paravirtual).toBeUndefined()
      expect(sim.pages.pagesUsed).toBe(0)
      const { core: port } = yield* iommu.attach("nic")
      expect(port.writeWords(4096, Int32Array.of(5), 0, 1, 0)).toBe(true)
      expect(sim.memory.words[1024]).toBe(5)
      expect(yield* iommu.pinned).toEqual({ now: 0, max: 0, mean: 0 })
      expect(yield* iommu.hypercalls).toEqual({ putTce: 0, putTceIndirect: 0, stuffTce: 0, getTce: 0 })
      expect((yield* iommu.faults).count).toBe(0)
      expect(yield* iommu.iotlb).toMatchObject({ hits: 0, misses: 0, stale: { hits: 0, windows: 0 } })
      expect(yield* iommu.invalidations).toEqual({ global: 0, domain: 0, page: 0, context: 0 })
    }).pipe(Effect.provide(layer({ kind: "none" })))
  )

  it.effect("says so when the memory has no room for the table, and leaves nothing allocated", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Effect.asVoid(Iommu).pipe(Effect.provide(Iommu.layer(decode({ window: "4 GiB" }))))
      )
      expect(error).toBeInstanceOf(TableDoesNotFit)
      expect(error).toMatchObject({ windowBytes: 2 ** 32, tableBytes: 8 << 20, memoryBytes: 8 << 20 })
      expect(error.message).toContain("no room")
      expect((yield* Simulation).core.pages.pagesUsed).toBe(0)
    }).pipe(Effect.provide(Simulation.layer(world)))
  )

  it.effect("lays a table larger than the largest block over blocks side by side", () =>
    Effect.gen(function* () {
      const { table } = (yield* Iommu).core.paravirtual!
      expect(table.tableBytes).toBe(8 << 20)
      expect((yield* Simulation).core.pages.pagesUsed).toBe((8 << 20) / 4096 + 2)
    }).pipe(
      Effect.provide(
        layer(
          { window: "4 GiB" },
          { hostMemoryBytes: 32 << 20, profile: profileValues(PROFILES[0]!, { systemPageBytes: 4096 }) }
        )
      )
    )
  )
})
