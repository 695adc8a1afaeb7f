import { describe, expect, it } from "@effect/vitest"
import { Dma, DmaHost, DmaMappingError, DmaMaskError, DmaOptions, DmaTable, type DmaLayerOptions } from "@vnic/dma-api"
import { BIDIRECTIONAL, DMA_API_DEFAULTS, FROM_DEVICE, makePlainHost, TO_DEVICE } from "@vnic/dma-api/core"
import { FlatTable } from "@vnic/dma-api/testing"
import { makeCpus, makePageAllocator, makeTimeline } from "@vnic/sim/core"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

const NIC = { name: "nic0", dmaMask: 2 ** 32 - 1 }
const defaults: DmaLayerOptions = { ...Schema.decodeSync(DmaOptions)({}), costs: DMA_API_DEFAULTS.costs }

describe("Dma.layerTest", () => {
  it.effect("a mapping lives as long as its scope", () =>
    Effect.gen(function* () {
      const dma = yield* Dma
      const table = (yield* DmaTable) as FlatTable
      const device = yield* dma.attach(NIC)
      const inside = yield* Effect.scoped(
        Effect.gen(function* () {
          const mapping = yield* device.mapPage(0x3000, 0x80, 1500, FROM_DEVICE)
          expect(table.translate(mapping.busAddr)).toBe(0x3080)
          yield* device.syncSingleForCpu(mapping.busAddr, 64, FROM_DEVICE)
          yield* device.syncSingleForDevice(mapping.busAddr, 64, FROM_DEVICE)
          expect(yield* dma.liveMappings).toEqual([mapping])
          return mapping
        })
      )
      expect(inside).toMatchObject({ device: "nic0", kind: "single", phys: 0x3080, sizeBytes: 1500, cpu: 0 })
      expect(yield* dma.liveMappings).toEqual([])
      expect(yield* dma.findings).toEqual([])
      expect(table.entries.size).toBe(0)
    }).pipe(Effect.provide(Dma.layerTest))
  )

  it.effect("coherent memory goes back to the host's pages", () =>
    Effect.gen(function* () {
      const dma = yield* Dma
      const { pages } = yield* DmaHost
      const device = yield* dma.attach(NIC)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const ring = yield* device.allocCoherent(8192)
          expect(ring).toMatchObject({ kind: "coherent", direction: BIDIRECTIONAL, sizeBytes: 8192 })
          expect(yield* dma.liveMappings).toEqual([ring])
        })
      )
      expect(yield* dma.liveMappings).toEqual([])
      expect((pages as ReturnType<typeof makePageAllocator>).pagesUsed).toBe(0)
    }).pipe(Effect.provide(Dma.layerTest))
  )

  it.effect("a device that goes before its mappings leaves leaks", () =>
    Effect.gen(function* () {
      const dma = yield* Dma
      const outer = yield* Scope.make()
      const mapping = yield* Effect.scoped(
        Effect.gen(function* () {
          const device = yield* dma.attach(NIC)
          return yield* device.mapSingle(0x1000, 64, TO_DEVICE).pipe(Scope.provide(outer))
        })
      )
      expect(yield* dma.findings).toMatchObject([{ kind: "leak", mapping }])
      expect(yield* dma.liveMappings).toEqual([mapping])
      // They stay leaks, also when nobody needs them any more.
      yield* Scope.close(outer, Exit.void)
      expect(yield* dma.liveMappings).toEqual([mapping])
      expect(yield* dma.findings).toHaveLength(1)
    }).pipe(Effect.provide(Dma.layerTest))
  )

  it.effect("each reason comes as an error that names buffer, device and call, and leaves nothing", () =>
    Effect.gen(function* () {
      const dma = yield* Dma
      const table = (yield* DmaTable) as FlatTable
      const pages = (yield* DmaHost).pages as ReturnType<typeof makePageAllocator>
      const device = yield* dma.attach(NIC)
      const narrow = yield* dma.attach({ name: "old", dmaMask: 0xfff })
      table.refuseAt = 1
      const refused = yield* Effect.flip(device.mapSingle(0x1000, 64, TO_DEVICE))
      const tooLong = yield* Effect.flip(device.mapPage(0x2000, 4, 2 ** 30, FROM_DEVICE))
      const tooNarrow = yield* Effect.flip(narrow.mapSingle(0x1000, 64, BIDIRECTIONAL))
      pages.failAt = 1
      const outOfMemory = yield* Effect.flip(device.allocCoherent(100))
      expect(
        [refused, tooLong, tooNarrow, outOfMemory].map(({ _tag, mapSite, reason }) => [_tag, mapSite, reason])
      ).toEqual([
        ["DmaMappingError", "mapSingle", "TableRefused"],
        ["DmaMappingError", "mapPage", "MaskTooNarrow"],
        ["DmaMappingError", "mapSingle", "MaskTooNarrow"],
        ["DmaMappingError", "allocCoherent", "OutOfMemory"]
      ])
      expect(tooLong).toMatchObject({ device: "nic0", phys: 0x2004, sizeBytes: 2 ** 30, direction: FROM_DEVICE })
      expect(refused.message).toBe(
        "nic0: mapSingle of 64 bytes (to device): " +
          "the translation table did not take the entries; a later try may succeed"
      )
      expect(Schema.is(DmaMappingError)(outOfMemory)).toBe(true)
      expect(yield* dma.liveMappings).toEqual([])
      expect(dma.core.snapshot()).toMatchObject({ failures: 4, live: 0, iovaPagesUsed: 0 })
    }).pipe(Effect.provide(Dma.layerTest))
  )

  it.effect("a list without a buffer is an error, and no defect", () =>
    Effect.gen(function* () {
      const dma = yield* Dma
      const device = yield* dma.attach(NIC)
      const error = yield* Effect.flip(device.mapSg([], FROM_DEVICE, { site: "read" }))
      expect(error).toMatchObject({ reason: "Invalid", device: "nic0", mapSite: "read", phys: -1, sizeBytes: 0 })
      expect(error.message).toContain("no buffer")
      expect([yield* dma.liveMappings, yield* dma.findings]).toEqual([[], []])
    }).pipe(Effect.scoped, Effect.provide(Dma.layerTest))
  )

  it.effect("a list lives as long as its scope, and is synced whole", () =>
    Effect.gen(function* () {
      const dma = yield* Dma
      const table = (yield* DmaTable) as FlatTable
      const device = yield* dma.attach(NIC)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const buffers = [
            [0x5800, 0x800],
            [0x9000, 0x1000],
            [0x3000, 0x200]
          ] as const
          const list = yield* device.mapSg([...buffers, [0x7100, 0x10]], FROM_DEVICE, { site: "read" })
          expect(list.segments.map(({ phys, sizeBytes }) => [phys, sizeBytes])).toEqual([
            [0x5800, 0x1a00],
            [0x7100, 0x10]
          ])
          expect(list.segments.map(({ busAddr }) => table.translate(busAddr))).toEqual([0x5800, 0x7100])
          expect(yield* dma.liveMappings).toEqual(list.segments)
          expect(list.segments[0]).toMatchObject({ kind: "sg", site: "read", listEntries: 4 })
          yield* device.syncSgForCpu(list)
          yield* device.syncSgForDevice(list)
        })
      )
      expect([yield* dma.liveMappings, yield* dma.findings]).toEqual([[], []])
      const error = yield* Effect.flip(
        device.mapSg(
          [
            [0x1000, 2 ** 24],
            [0x2000, 4]
          ],
          TO_DEVICE
        )
      )
      expect(error).toMatchObject({
        mapSite: "mapSg",
        phys: 0x1000,
        sizeBytes: 2 ** 24 + 4,
        reason: "MaskTooNarrow"
      })
    }).pipe(Effect.provide(Dma.layerTest))
  )

  it.effect("a place in the driver is named in mappings, findings and errors", () =>
    Effect.gen(function* () {
      const dma = yield* Dma
      const outer = yield* Scope.make()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const device = yield* dma.attach(NIC)
          const site = { site: "fill the ring" }
          const mapping = yield* device.mapSingle(0x1000, 64, TO_DEVICE, site).pipe(Scope.provide(outer))
          expect(mapping.site).toBe("fill the ring")
          const error = yield* Effect.flip(device.mapSingle(0x1000, 2 ** 30, TO_DEVICE, site))
          expect(error.message).toContain("nic0: fill the ring of 1073741824 bytes")
        })
      )
      expect(yield* dma.findings).toMatchObject([{ kind: "leak", mapSite: "fill the ring" }])
      yield* Scope.close(outer, Exit.void)
    }).pipe(Effect.provide(Dma.layerTest))
  )

  it.effect("a place in the driver is left also when its map was a defect", () =>
    Effect.gen(function* () {
      const dma = yield* Dma
      const device = yield* dma.attach(NIC)
      expect(Exit.isFailure(yield* Effect.exit(device.mapSingle(0x1000, 0, TO_DEVICE, { site: "nowhere" })))).toBe(true)
      device.core.mapSingle(0, 0x2000, 64, TO_DEVICE)
      expect(yield* dma.liveMappings).toMatchObject([{ site: "mapSingle" }])
    }).pipe(Effect.provide(Dma.layerTest))
  )

  it.effect("metrics are a snapshot for each pull", () =>
    Effect.gen(function* () {
      const dma = yield* Dma
      const device = yield* dma.attach(NIC)
      const snapshots = yield* dma.metrics.pipe(
        Stream.tap(() => device.mapSingle(0x1000, 64, TO_DEVICE)),
        Stream.take(3),
        Stream.runCollect
      )
      expect(snapshots.map(({ live, maps, pinnedPages }) => [maps, live, pinnedPages])).toEqual([
        [0, 0, 0],
        [1, 1, 1],
        [2, 2, 1]
      ])
      expect(snapshots[2]).toMatchObject({ allocations: { words: 2, locks: 2 }, frees: { words: 0, locks: 0 } })
    }).pipe(Effect.provide(Dma.layerTest))
  )

  it.effect("every build has a world of its own", () =>
    Effect.gen(function* () {
      const read = Effect.gen(function* () {
        const device = yield* (yield* Dma).attach(NIC)
        return (yield* device.mapSingle(0x1000, 64, TO_DEVICE)).busAddr
      }).pipe(Effect.scoped, Effect.provide(Layer.fresh(Dma.layerTest)))
      expect(yield* read).toBe(yield* read)
    })
  )
})

describe("Dma.layer", () => {
  it.effect("takes the decoded options of a scenario, and calls of many CPUs' hosts run on CPU 0 alone", () => {
    const cpus = makeCpus(makeTimeline(), {
      cpuCount: 4,
      threadsPerCore: 1,
      speedShares: [1],
      lockAcquirePs: 40,
      lockHandOffPs: 0,
      lockHandOffPerWaiterPs: 0
    })
    const host = Layer.succeed(DmaHost, {
      host: cpus,
      pages: makePageAllocator(1 << 20, 4096),
      bytes: new Uint8Array(1 << 20)
    })
    const table = Layer.succeed(DmaTable, new FlatTable())
    return Effect.gen(function* () {
      const device = yield* (yield* Dma).attach(NIC)
      yield* device.mapSingle(0x1000, 64, TO_DEVICE)
      expect([...cpus.localPs].map((localPs) => localPs > 0)).toEqual([true, false, false, false])
      expect(cpus.isAwake(0)).toBe(false)
    }).pipe(Effect.scoped, Effect.provide(Dma.layer(defaults).pipe(Layer.provide([host, table]))))
  })

  it.effect("a mask that no memory can be promised below is an error", () => {
    const pages = makePageAllocator(1 << 20, 4096)
    const host = Layer.succeed(DmaHost, { host: makePlainHost(), pages, bytes: new Uint8Array(1 << 20) })
    const layer = Dma.layer({ ...defaults, backend: "direct" }).pipe(Layer.provide([host, DmaTable.layerNone]))
    return Effect.gen(function* () {
      const device = yield* (yield* Dma).attach(NIC)
      yield* device.setMask(2 ** 20 - 1)
      yield* device.setCoherentMask(2 ** 32 - 1)
      const error = yield* Effect.flip(device.setMask(0xffff))
      expect(error).toEqual(new DmaMaskError({ device: "nic0", mask: 0xffff, requiredMask: 0xf_ffff }))
      for (const mask of [NaN, -1, 0.5]) expect(yield* Effect.flip(device.setMask(mask))).toMatchObject({ mask })
      expect(error.message).toBe("nic0: no memory can be promised below 0xffff; all memory needs 0xfffff")
      expect(device.core.limits).toMatchObject({ mask: 2 ** 20 - 1, coherentMask: 2 ** 32 - 1 })
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("tells debug of the host what it is told", () => {
    const bytes = new Uint8Array(1 << 20)
    const host = Layer.succeed(DmaHost, { host: makePlainHost(), pages: makePageAllocator(1 << 20, 4096), bytes })
    const neighbours = (debugOptions: DmaLayerOptions["debugOptions"] & {}) =>
      Effect.gen(function* () {
        const dma = yield* Dma
        const device = yield* dma.attach(NIC)
        yield* device.mapSingle(0x1000, 64, FROM_DEVICE)
        yield* device.mapSingle(0x1040, 64, FROM_DEVICE)
        return (yield* dma.findings).map(({ kind }) => kind)
      }).pipe(
        Effect.scoped,
        Effect.provide(
          Dma.layer({ ...defaults, backend: "direct", debugOptions }).pipe(Layer.provide([host, DmaTable.layerNone]))
        )
      )
    return Effect.gen(function* () {
      expect(yield* neighbours({ cacheLineBytes: 64 })).toEqual([])
      expect(yield* neighbours({ cacheLineBytes: 128 })).toEqual(["overlappingMappings"])
    })
  })

  it.effect.each(["iommu", "window"] as const)("%s is not to be had without a table", (backend) => {
    const bytes = new Uint8Array(1 << 20)
    const host = Layer.succeed(DmaHost, { host: makePlainHost(), pages: makePageAllocator(1 << 20, 4096), bytes })
    const layer = Dma.layer({ ...defaults, backend }).pipe(Layer.provide([host, DmaTable.layerNone]))
    const attached = Effect.flatMap(Dma, (dma) => Effect.scoped(dma.attach(NIC))).pipe(Effect.provide(layer))
    return Effect.exit(attached).pipe(
      Effect.map((exit) => {
        expect(String(exit)).toContain("needs a translation table has none")
      })
    )
  })

  it.effect("direct needs no IOMMU", () => {
    const host = Layer.succeed(DmaHost, {
      host: makePlainHost(),
      pages: makePageAllocator(1 << 20, 4096),
      bytes: new Uint8Array(1 << 20)
    })
    const layer = Dma.layer({ ...defaults, backend: "direct" }).pipe(Layer.provide([host, DmaTable.layerNone]))
    return Effect.gen(function* () {
      const device = yield* (yield* Dma).attach(NIC)
      expect((yield* device.mapSingle(0x1000, 64, TO_DEVICE)).busAddr).toBe(0x1000)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })
})
