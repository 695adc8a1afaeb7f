/**
 * The DMA API of one host: it attaches devices to a backend and knows all that is mapped.
 *
 * @example
 * const host = makePlainHost()
 * const dma = makeDmaApi({ backend: "direct", host, pages, bytes })
 * const device = dma.attach("nvme0", 2 ** 32 - 1)
 * const busAddr = device.mapSingle(0, 0x10000, 512, TO_DEVICE)
 * device.unmapSingle(0, busAddr, 512, TO_DEVICE)
 */
import { fail } from "@vnic/sim/core"
import { makeAddressSpace, type AddressSpace } from "./addressSpace.ts"
import type { AllocatorName, MakeAllocator } from "./allocators.ts"
import type { Backend, BackendContext } from "./backend.ts"
import { BounceBackend } from "./bounceBackend.ts"
import { makeDmaDebug, type DmaDebug } from "./debug.ts"
import type { Finding } from "./debugFindings.ts"
import type { DmaDebugOptions } from "./debugMappings.ts"
import type { Device } from "./device.ts"
import { DeviceFront } from "./deviceFront.ts"
import { DirectBackend } from "./directBackend.ts"
import { DmaPool, poolShapeOf, type DmaPoolOptions, type PoolFinding } from "./dmaPool.ts"
import type { FlushGranularity, FlushName } from "./flush.ts"
import { NO_FLUSHES, type FlushCounts } from "./flushGauge.ts"
import { IommuBackend } from "./iommuBackend.ts"
import { WORK_NAMES, type LockAcrossTableWrite } from "./iova/allocator.ts"
import type { Mapping } from "./mappings.ts"
import { makeMemoryMap } from "./memoryMap.ts"
import { makeSwiotlb, NO_BOUNCES, type Swiotlb, type SwiotlbCounts, type SwiotlbSizes } from "./swiotlb.ts"
import { checkTable } from "./tableShape.ts"
import type { DmaCosts, Host, Pages, Table } from "./types.ts"
import { MemoryWindow, WindowBackend } from "./windowBackend.ts"

/** The backends by name. */
export const BACKENDS = ["direct", "window", "bounce", "iommu"] as const
export type BackendName = (typeof BACKENDS)[number]

const NO_COSTS: DmaCosts = {
  directMapPairPs: 0,
  mapOtherPs: 0,
  unmapOtherPs: 0,
  bitmapSearchPs: 0,
  bitmapWordPs: 0,
  treeSearchPs: 0,
  treeVisitPs: 0,
  magazinePs: 0,
  constantPs: 0,
  flushQueuePs: 0,
  copyCallPs: 0,
  copyKiBPs: 0
}

/** How the bounce backend bounces. */
export interface BounceSettings extends Partial<SwiotlbSizes> {
  /** Every buffer, as when left out, or those alone that a device's mask does not reach. */
  readonly isForced?: boolean
}

/** What callers may leave out. */
export const DMA_API_DEFAULTS = {
  allocator: "bitmap",
  lockAcrossTableWrite: "both",
  flush: "strict",
  flushGranularity: "page",
  debug: true,
  bounce: {} as BounceSettings,
  costs: NO_COSTS
} as const

export interface DmaApiOptions {
  readonly backend: BackendName
  /** How the iommu backend chooses addresses: by name, or an allocator of the caller's own. */
  readonly allocator?: AllocatorName | MakeAllocator
  /** When the bitmap's lock is held across the table write; the other allocators' never is, nor with a lazy flush. */
  readonly lockAcrossTableWrite?: LockAcrossTableWrite
  /** When addresses are handed out again. Lazy ones are for tables with `invalidation`: the others need no flush. */
  readonly flush?: FlushName
  /** What a strict flush invalidates. */
  readonly flushGranularity?: FlushGranularity
  /** Whether live mappings are tracked and misuse is found. On when left out. */
  readonly debug?: boolean
  readonly debugOptions?: DmaDebugOptions
  /** Of the bounce backend. */
  readonly bounce?: BounceSettings
  readonly host: Host
  readonly pages: Pages
  /** Host memory. */
  readonly bytes: Uint8Array
  /** What is left out costs nothing. */
  readonly costs?: Partial<DmaCosts>
  /** The translation table; needed by the iommu and window backends. */
  readonly table?: Table
}

/** Steps of an allocator by kind; see WORK_NAMES. */
export type WorkCounts = Readonly<Record<(typeof WORK_NAMES)[number], number>>

/** What the DMA API has done since the beginning, as data. */
export interface Snapshot {
  /** Maps and unmaps that asked a table for entries, or to clear them: of the iommu backend; 0 of the others. */
  readonly maps: number
  readonly unmaps: number
  readonly live: number
  readonly failures: number
  /** Pages handed out. */
  readonly iovaPagesUsed: number
  /**
   * Pages that were unmapped and wait for a flush: some of those handed out; but `identity` gives a page back first,
   * and may hand it out again meanwhile.
   */
  readonly iovaPagesQueued: number
  /** Host pages that the table keeps from being moved or given away, where it knows. */
  readonly pinnedPages: number | undefined
  /** What allocations and frees took. */
  readonly allocations: WorkCounts
  readonly frees: WorkCounts
  readonly flush: FlushCounts
  readonly bounce: SwiotlbCounts
  /** Of debug and of pools. */
  readonly findings: number
}

export class DmaApi {
  readonly devices: Array<Device> = []
  declare readonly debug: DmaDebug | undefined
  /** Of the iommu backend. */
  declare readonly space: AddressSpace | undefined
  /** Of the bounce backend. */
  declare readonly swiotlb: Swiotlb | undefined
  /** Pools that were made, those that were destroyed among them. */
  readonly pools: Array<DmaPool> = []
  declare private readonly table: Table | undefined
  /** Of the window backend, from its first device on. */
  declare private window: MemoryWindow | undefined
  declare private readonly options: Required<Omit<DmaApiOptions, "table" | "debugOptions">> & {
    readonly costs: DmaCosts
  }

  constructor(options: DmaApiOptions) {
    const full = { ...DMA_API_DEFAULTS, ...options, costs: { ...NO_COSTS, ...options.costs } }
    this.options = full
    const memoryMap = makeMemoryMap(full.bytes.length)
    this.debug = full.debug ? makeDmaDebug(full.host.localPs, { memoryMap, ...full.debugOptions }) : undefined
    this.table = options.table
    if (full.backend === "iommu") this.space = makeAddressSpace({ ...full, table: this.tableNeeded() })
    if (full.backend === "bounce") this.swiotlb = makeSwiotlb({ ...full, memory: full, sizes: full.bounce })
  }

  private tableNeeded(): Table {
    const { table } = this
    if (table === undefined || table.pageCount === 0) fail("a backend that needs a translation table has none")
    checkTable(table)
    return table
  }

  /**
   * A device with this name that can address bus addresses up to `dmaMask`; its coherent memory lies below 4 GiB too
   * until it sets that mask.
   */
  attach(name: string, dmaMask: number): Device {
    const { bytes, host, pages } = this.options
    const device = new DeviceFront({
      name,
      dmaMask,
      host,
      coherent: { pages, bytes },
      debug: this.debug,
      makeBackend: (context) => this.makeBackend(context)
    })
    this.devices.push(device)
    return device
  }

  private makeBackend(context: BackendContext): Backend {
    const { backend, bounce, bytes, costs, host, pages } = this.options
    const direct = { host, costs, memoryBytes: bytes.length }
    switch (backend) {
      case "direct":
        return new DirectBackend(direct, context)
      case "window":
        this.window ??= new MemoryWindow(host, this.tableNeeded(), bytes.length)
        return new WindowBackend({ host, costs, window: this.window }, context)
      case "bounce":
        return new BounceBackend({ ...direct, swiotlb: this.swiotlb!, isForced: bounce.isForced ?? true }, context)
      case "iommu":
        return new IommuBackend({ host, costs, coherent: { pages, bytes }, space: this.space! }, context)
    }
  }

  /**
   * dma_pool_create: small blocks of coherent memory for a device. Undefined when they cannot be had: no size, or
   * one of 2 GiB or more; an alignment or a boundary that is neither 0, for none, nor a power of two; a boundary
   * narrower than a block.
   */
  dmaPoolCreate(device: Device, options: DmaPoolOptions): DmaPool | undefined {
    const { bytes, costs, host, pages } = this.options
    const shape = poolShapeOf(options, pages.pageSizeBytes)
    if (shape === undefined) return undefined
    const pool = new DmaPool({ ...shape, device, host, costs, bytes, isChecked: this.debug !== undefined })
    this.pools.push(pool)
    return pool
  }

  /** What was done wrong with pools, all of it; `snapshot().findings` counts these and the others. */
  poolFindings(): ReadonlyArray<PoolFinding> {
    return this.pools.flatMap((pool) => pool.findings)
  }

  /** Every live mapping, where debug tracks them. */
  liveMappings(): ReadonlyArray<Mapping> {
    return this.debug?.live() ?? []
  }

  /** What debug found wrong with mappings, the first ones of all; what was with pools is in `poolFindings()`. */
  findings(): ReadonlyArray<Finding> {
    return [...(this.debug?.findings ?? [])]
  }

  /** Live mappings in number, with debug or without. */
  liveCount(): number {
    return this.devices.reduce((sum, device) => sum + device.counters.live, 0)
  }

  snapshot(): Snapshot {
    const sum = (pick: (device: Device) => Float64Array): number =>
      this.devices.reduce((total, device) => total + pick(device).reduce((left, right) => left + right, 0), 0)
    const { space } = this
    const work = space?.allocator.work
    return {
      maps: sum((device) => device.counters.maps),
      unmaps: sum((device) => device.counters.unmaps),
      live: this.liveCount(),
      failures: sum((device) => device.counters.failures),
      iovaPagesUsed: space?.allocator.pagesUsed ?? 0,
      iovaPagesQueued: space?.policy.queuedPages ?? 0,
      pinnedPages: this.table?.pinnedPages?.(),
      allocations: countsOf(work?.allocations),
      frees: countsOf(work?.frees),
      flush: space?.gauge?.counts() ?? NO_FLUSHES,
      bounce: this.swiotlb?.counts() ?? NO_BOUNCES,
      findings: (this.debug?.findingCount ?? 0) + this.poolFindings().length
    }
  }
}

const countsOf = (steps: Float64Array | undefined): WorkCounts =>
  Object.fromEntries(WORK_NAMES.map((name, kind) => [name, steps?.[kind] ?? 0])) as WorkCounts

/** The DMA API over `options.backend`. */
export const makeDmaApi = (options: DmaApiOptions): DmaApi => new DmaApi(options)
