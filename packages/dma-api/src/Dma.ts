/**
 * The DMA API as an Effect service. Mappings are resources of a scope: leaving it unmaps. Everything here runs
 * on CPU 0 of the host with no other CPU in between; hot loops use `core`, the same objects without Effect.
 */
import { makePageAllocator } from "@vnic/sim/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Core from "./core/index.ts"
import { DmaMappingError, type Direction } from "./Errors.ts"
import type { DmaOptions } from "./Options.ts"
import { FlatTable } from "./testing/FlatTable.ts"

/** The host that the DMA API serves: its CPUs and locks, its page allocator, its memory. */
export interface DmaHostShape {
  readonly host: Core.Host
  readonly pages: Core.Pages
  /** Host memory, byte n at physical address n. */
  readonly bytes: Uint8Array
}
export class DmaHost extends Context.Service<DmaHost, DmaHostShape>()("@vnic/dma-api/DmaHost") {}

/** What translates the devices' addresses. */
export class DmaTable extends Context.Service<DmaTable, Core.Table>()("@vnic/dma-api/DmaTable") {
  /** A table without entries, for hosts without an IOMMU: the direct backend never asks it. */
  static readonly layerNone: Layer.Layer<DmaTable> = Layer.sync(this, () => new FlatTable({ pageCount: 4 }))
}

/** A device as its driver sees the DMA API. */
export interface DmaDevice {
  /** Hands memory over to the device until the scope closes. */
  readonly mapSingle: (
    phys: Core.PhysAddr,
    sizeBytes: number,
    direction: Direction
  ) => Effect.Effect<Core.Mapping, DmaMappingError, Scope.Scope>
  /** The same for part of a page. */
  readonly mapPage: (
    page: Core.PhysAddr,
    offsetBytes: number,
    sizeBytes: number,
    direction: Direction
  ) => Effect.Effect<Core.Mapping, DmaMappingError, Scope.Scope>
  /** Zeroed memory that CPU and device share, until the scope closes. */
  readonly allocCoherent: (sizeBytes: number) => Effect.Effect<Core.Mapping, DmaMappingError, Scope.Scope>
  /** Gives the CPU part of a mapping for a while. */
  readonly syncSingleForCpu: (busAddr: Core.BusAddr, sizeBytes: number, direction: Direction) => Effect.Effect<void>
  /** Hands it back to the device. */
  readonly syncSingleForDevice: (busAddr: Core.BusAddr, sizeBytes: number, direction: Direction) => Effect.Effect<void>
  /** The same device for hot loops and CPU programs. */
  readonly core: Core.Device
}

export interface DmaShape {
  /** A device that can put bus addresses up to `dmaMask` on the bus. What it leaves mapped is a leak. */
  readonly attach: (device: {
    readonly name: string
    readonly dmaMask: number
  }) => Effect.Effect<DmaDevice, never, Scope.Scope>
  /** All that is mapped now; empty without debug. */
  readonly liveMappings: Effect.Effect<ReadonlyArray<Core.Mapping>>
  /** What was done wrong so far; empty without debug. */
  readonly findings: Effect.Effect<ReadonlyArray<Core.Finding>>
  /** A snapshot whenever one is pulled: the consumer sets the pace. Never ends. */
  readonly metrics: Stream.Stream<Core.Snapshot>
  readonly core: Core.DmaApi
}

/** The decoded part of a scenario, and what operations cost on its platform. */
export type DmaLayerOptions = DmaOptions & { readonly costs: Core.DmaCosts }

/** The CPU that runs what is called through Effect. */
const CPU = 0

const makeDevice = (core: Core.Device, host: Core.Host): DmaDevice => {
  const mapping = (kind: Core.Mapping["kind"], buffer: Core.Coherent, direction: Direction): Core.Mapping => ({
    device: core.name,
    kind,
    busAddr: buffer.busAddr,
    phys: buffer.phys,
    sizeBytes: buffer.sizeBytes,
    direction,
    cpu: CPU,
    mappedAtPs: host.localPs[CPU]!
  })
  const failed = (mapSite: DmaMappingError["mapSite"], phys: number, sizeBytes: number, direction: Direction) => {
    const reason = Core.MAP_FAILURES[core.failure[CPU]!] as DmaMappingError["reason"]
    return new DmaMappingError({ device: core.name, phys, sizeBytes, direction, mapSite, reason })
  }
  const map = (mapSite: "mapSingle" | "mapPage", phys: number, sizeBytes: number, direction: Direction) =>
    Effect.acquireRelease(
      Effect.suspend(() => {
        const busAddr = core.mapSingle(CPU, phys, sizeBytes, direction)
        return core.mappingError(busAddr)
          ? Effect.fail(failed(mapSite, phys, sizeBytes, direction))
          : Effect.succeed(mapping("single", { phys, busAddr, sizeBytes }, direction))
      }),
      (made) => Effect.sync(() => core.unmapSingle(CPU, made.busAddr, made.sizeBytes, direction))
    )
  return {
    mapSingle: (phys, sizeBytes, direction) => map("mapSingle", phys, sizeBytes, direction),
    mapPage: (page, offsetBytes, sizeBytes, direction) => map("mapPage", page + offsetBytes, sizeBytes, direction),
    allocCoherent: (sizeBytes) =>
      Effect.acquireRelease(
        Effect.suspend(() => {
          const block = core.allocCoherent(CPU, sizeBytes)
          return block === undefined
            ? Effect.fail(failed("allocCoherent", -1, sizeBytes, Core.BIDIRECTIONAL))
            : Effect.succeed(mapping("coherent", block, Core.BIDIRECTIONAL))
        }),
        (block) => Effect.sync(() => core.freeCoherent(CPU, block))
      ),
    syncSingleForCpu: (busAddr, sizeBytes, direction) =>
      Effect.sync(() => core.syncSingleForCpu(CPU, busAddr, sizeBytes, direction)),
    syncSingleForDevice: (busAddr, sizeBytes, direction) =>
      Effect.sync(() => core.syncSingleForDevice(CPU, busAddr, sizeBytes, direction)),
    core
  }
}

const make = Effect.fn("Dma.make")(function* (options: DmaLayerOptions) {
  const { bytes, host, pages } = yield* DmaHost
  const core = Core.makeDmaApi({ ...options, host, pages, bytes, table: yield* DmaTable })
  return {
    attach: ({ dmaMask, name }) =>
      Effect.acquireRelease(
        Effect.sync(() => makeDevice(core.attach(name, dmaMask), host)),
        (device) =>
          Effect.sync(() => {
            if (!device.core.isReleased) device.core.release()
          })
      ),
    liveMappings: Effect.sync(() => core.liveMappings()),
    findings: Effect.sync(() => core.findings()),
    metrics: Stream.fromEffectRepeat(Effect.sync(() => core.snapshot())),
    core
  } satisfies DmaShape
})

const TEST_MEMORY_BYTES = 4 * 1024 * 1024
const TEST_PAGE_BYTES = 4096

/** A host of one CPU with 4 MiB of memory in 4 KiB pages, new for every build. */
const hostLayerTest: Layer.Layer<DmaHost> = Layer.sync(DmaHost, () => ({
  host: Core.makePlainHost(),
  pages: makePageAllocator(TEST_MEMORY_BYTES, TEST_PAGE_BYTES),
  bytes: new Uint8Array(TEST_MEMORY_BYTES)
}))

const OPTIONS_TEST: DmaLayerOptions = { backend: "iommu", ...Core.DMA_API_DEFAULTS }

/** The DMA API of one host. */
export class Dma extends Context.Service<Dma, DmaShape>()("@vnic/dma-api/Dma") {
  /** Over the host and the table that are provided; `direct` does not touch the table (`DmaTable.layerNone`). */
  static readonly layer = (options: DmaLayerOptions): Layer.Layer<Dma, never, DmaHost | DmaTable> =>
    Layer.effect(this, make(options))

  /** With a memory, a host and a flat table of its own, which are provided too. Nothing costs time. */
  static readonly layerTest: Layer.Layer<Dma | DmaHost | DmaTable> = this.layer(OPTIONS_TEST).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        hostLayerTest,
        Layer.sync(DmaTable, () => new FlatTable())
      )
    )
  )
}
