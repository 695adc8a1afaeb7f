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
import { DmaMappingError, DmaMaskError, type Direction } from "./Errors.ts"
import type { DmaOptions } from "./Options.ts"
import { giveBack } from "./Release.ts"
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
  /** No table, for hosts without an IOMMU: for the backends `direct` and `bounce`, which never ask it. */
  static readonly layerNone: Layer.Layer<DmaTable> = Layer.succeed(this, Core.NO_TABLE)
}

/** What a map may say beside its buffer. */
export interface MapOptions {
  /** ATTR bits. */
  readonly attributes?: number
  /** The place in the driver, for findings and errors; the name of the call when left out. */
  readonly site?: string
}

/** A buffer of a scatter list: address in the host's memory, and size in bytes. */
export type SgBuffer = readonly [phys: Core.PhysAddr, sizeBytes: number]

/** A device as its driver sees the DMA API. Each mapping is live until its scope closes. */
export interface DmaDevice {
  /** Hands memory over to the device. */
  readonly mapSingle: (
    phys: Core.PhysAddr,
    sizeBytes: number,
    direction: Direction,
    options?: MapOptions
  ) => Effect.Effect<Core.Mapping, DmaMappingError, Scope.Scope>
  /** The same for part of a page. */
  readonly mapPage: (
    page: Core.PhysAddr,
    offsetBytes: number,
    sizeBytes: number,
    direction: Direction,
    options?: MapOptions
  ) => Effect.Effect<Core.Mapping, DmaMappingError, Scope.Scope>
  /** The same for a list of buffers: its segments as the device sees them, as many or fewer. Empty, it is `Invalid`. */
  readonly mapSg: (
    buffers: ReadonlyArray<SgBuffer>,
    direction: Direction,
    options?: MapOptions
  ) => Effect.Effect<SgMapping, DmaMappingError, Scope.Scope>
  /** Zeroed memory that CPU and device share. */
  readonly allocCoherent: (sizeBytes: number) => Effect.Effect<Core.Mapping, DmaMappingError, Scope.Scope>
  /** Gives the CPU part of a mapping for a while. */
  readonly syncSingleForCpu: (busAddr: Core.BusAddr, sizeBytes: number, direction: Direction) => Effect.Effect<void>
  /** Hands it back to the device. */
  readonly syncSingleForDevice: (busAddr: Core.BusAddr, sizeBytes: number, direction: Direction) => Effect.Effect<void>
  /** The same for a list, whole. */
  readonly syncSgForCpu: (mapping: SgMapping) => Effect.Effect<void>
  readonly syncSgForDevice: (mapping: SgMapping) => Effect.Effect<void>
  /** The largest bus address of streaming mappings, and of coherent memory. */
  readonly setMask: (mask: number) => Effect.Effect<void, DmaMaskError>
  readonly setCoherentMask: (mask: number) => Effect.Effect<void, DmaMaskError>
  /** The same device for hot loops and CPU programs. */
  readonly core: Core.Device
}

/** A list that is mapped. */
export interface SgMapping {
  readonly segments: ReadonlyArray<Core.Mapping>
  readonly direction: Direction
  /** The list itself; all of its entries are mapped. */
  readonly list: Core.ScatterList
}

export interface DmaShape {
  /**
   * A device that can put bus addresses up to `dmaMask` on the bus, of coherent memory below 4 GiB until it sets that
   * mask. What it leaves mapped is a leak.
   */
  readonly attach: (device: {
    readonly name: string
    readonly dmaMask: number
  }) => Effect.Effect<DmaDevice, never, Scope.Scope>
  /** All that is mapped now; empty without debug. */
  readonly liveMappings: Effect.Effect<ReadonlyArray<Core.Mapping>>
  /** What was done wrong with mappings so far; empty without debug. Of pools it is in `core.poolFindings()`. */
  readonly findings: Effect.Effect<ReadonlyArray<Core.Finding>>
  /** A snapshot whenever one is pulled: the consumer sets the pace. Never ends. */
  readonly metrics: Stream.Stream<Core.Snapshot>
  readonly core: Core.DmaApi
}

/** The decoded part of a scenario, and what operations cost on its platform. */
export type DmaLayerOptions = Omit<DmaOptions, "allocator"> & {
  readonly allocator: Required<Core.DmaApiOptions>["allocator"]
  readonly costs: Partial<Core.DmaCosts>
  /** Of the bounce backend. */
  readonly bounce?: Core.BounceSettings
  /** What debug is told of the host. */
  readonly debugOptions?: Core.DmaDebugOptions
}

/** The CPU that runs what is called through Effect. */
const CPU = 0

/** Does something at a place in the driver that debug knows by its name. */
const makeSites = (debug: Core.DmaDebug | undefined) => {
  const numbers = new Map<string, number>()
  return <A>(site: string | undefined, body: () => A): A => {
    if (debug === undefined || site === undefined) return body()
    const number = numbers.get(site) ?? debug.nameSite(site)
    numbers.set(site, number)
    debug.atSite(CPU, number)
    try {
      return body()
    } finally {
      debug.atSite(CPU, 0)
    }
  }
}

/** One device, as the functions below need it. */
interface Attached {
  readonly core: Core.Device
  readonly host: Core.Host
  readonly at: ReturnType<typeof makeSites>
}

const mappingOf = (
  { core, host }: Attached,
  kind: Core.Mapping["kind"],
  buffer: Core.Coherent,
  direction: Direction,
  site: string
): Core.Mapping => ({
  device: core.name,
  kind,
  busAddr: buffer.busAddr,
  phys: buffer.phys,
  sizeBytes: buffer.sizeBytes,
  direction,
  listEntries: 0,
  site,
  cpu: CPU,
  mappedAtPs: host.localPs[CPU]!
})

const failed = (
  core: Core.Device,
  mapSite: string,
  phys: number,
  sizeBytes: number,
  direction: Direction,
  reason = Core.MAP_FAILURES[core.failure[CPU]!] as DmaMappingError["reason"]
) => Effect.fail(new DmaMappingError({ device: core.name, phys, sizeBytes, direction, mapSite, reason }))

const map = (
  attached: Attached,
  call: string,
  phys: number,
  sizeBytes: number,
  direction: Direction,
  { attributes = 0, site = call }: MapOptions = {}
) => {
  const { at, core } = attached
  return Effect.acquireRelease(
    Effect.suspend(() => {
      const busAddr = at(site, () => core.mapSingle(CPU, phys, sizeBytes, direction, attributes))
      return core.mappingError(busAddr)
        ? failed(core, site, phys, sizeBytes, direction)
        : Effect.succeed(mappingOf(attached, "single", { phys, busAddr, sizeBytes }, direction, site))
    }),
    (made) => giveBack(core, () => core.unmapSingle(CPU, made.busAddr, made.sizeBytes, direction, attributes))
  )
}

const mapSg =
  (attached: Attached): DmaDevice["mapSg"] =>
  (buffers, direction, { attributes = 0, site = "mapSg" } = {}) => {
    const { at, core } = attached
    const count = buffers.length
    if (count === 0) return failed(core, site, -1, 0, direction, "Invalid")
    return Effect.acquireRelease(
      Effect.suspend(() => {
        const list = Core.makeScatterList(count)
        buffers.forEach(([phys, sizeBytes], entry) => list.setBuffer(entry, phys, sizeBytes))
        const sizeBytes = buffers.reduce((sum, [, bytes]) => sum + bytes, 0)
        return at(site, () => core.mapSg(CPU, list, count, direction, attributes)) === 0
          ? failed(core, site, list.physOf(0), sizeBytes, direction)
          : Effect.succeed({ segments: segmentsOf(attached, list, direction, site), direction, list })
      }),
      ({ list }) => giveBack(core, () => core.unmapSg(CPU, list, count, direction, attributes))
    )
  }

const segmentsOf = (attached: Attached, list: Core.ScatterList, direction: Direction, site: string) => {
  let entry = 0
  return Array.from({ length: list.segmentCount }, (_, segment): Core.Mapping => {
    const busAddr = list.busAddrOf(segment)
    const sizeBytes = list.busSizeBytesOf(segment)
    const phys = list.physOf(entry)
    for (let left = sizeBytes; left > 0; entry++) left -= list.sizeBytesOf(entry)
    const made = mappingOf(attached, "sg", { phys, busAddr, sizeBytes }, direction, site)
    return { ...made, listEntries: list.entryCount }
  })
}

const allocCoherent =
  (attached: Attached): DmaDevice["allocCoherent"] =>
  (sizeBytes) => {
    const { core } = attached
    return Effect.acquireRelease(
      Effect.suspend(() => {
        const block = core.allocCoherent(CPU, sizeBytes)
        return block === undefined
          ? failed(core, "allocCoherent", -1, sizeBytes, Core.BIDIRECTIONAL)
          : Effect.succeed(mappingOf(attached, "coherent", block, Core.BIDIRECTIONAL, "allocCoherent"))
      }),
      (block) => giveBack(core, () => core.freeCoherent(CPU, block))
    )
  }

const setMask = (core: Core.Device, set: (mask: number) => number) => (mask: number) =>
  Effect.suspend(() =>
    set(mask) === 0
      ? Effect.void
      : Effect.fail(new DmaMaskError({ device: core.name, mask, requiredMask: core.dmaGetRequiredMask() }))
  )

const makeDevice = (core: Core.Device, host: Core.Host, debug: Core.DmaDebug | undefined): DmaDevice => {
  const attached = { core, host, at: makeSites(debug) }
  return {
    mapSingle: (phys, sizeBytes, direction, options) => map(attached, "mapSingle", phys, sizeBytes, direction, options),
    mapPage: (page, offsetBytes, sizeBytes, direction, options) =>
      map(attached, "mapPage", page + offsetBytes, sizeBytes, direction, options),
    mapSg: mapSg(attached),
    allocCoherent: allocCoherent(attached),
    syncSingleForCpu: (busAddr, sizeBytes, direction) =>
      Effect.sync(() => core.syncSingleForCpu(CPU, busAddr, sizeBytes, direction)),
    syncSingleForDevice: (busAddr, sizeBytes, direction) =>
      Effect.sync(() => core.syncSingleForDevice(CPU, busAddr, sizeBytes, direction)),
    syncSgForCpu: ({ direction, list }) => Effect.sync(() => core.syncSgForCpu(CPU, list, list.entryCount, direction)),
    syncSgForDevice: ({ direction, list }) =>
      Effect.sync(() => core.syncSgForDevice(CPU, list, list.entryCount, direction)),
    setMask: setMask(core, (mask) => core.dmaSetMask(mask)),
    setCoherentMask: setMask(core, (mask) => core.dmaSetCoherentMask(mask)),
    core
  }
}

const make = Effect.fn("Dma.make")(function* (options: DmaLayerOptions) {
  const { bytes, host, pages } = yield* DmaHost
  const core = Core.makeDmaApi({ ...options, host, pages, bytes, table: yield* DmaTable })
  return {
    attach: ({ dmaMask, name }) =>
      Effect.acquireRelease(
        Effect.sync(() => makeDevice(core.attach(name, dmaMask), host, core.debug)),
        (device) => giveBack(device.core, () => device.core.release())
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
  /** Over the host and the table that are provided; without an IOMMU that is `DmaTable.layerNone`. */
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
