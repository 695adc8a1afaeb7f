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
import { makeBitmapAllocator } from "./bitmap.ts"
import { makeDmaDebug, type DmaDebug, type Finding } from "./debug.ts"
import type { Device } from "./device.ts"
import { DirectDevice } from "./directDevice.ts"
import { IommuDevice, type AddressSpace, type LockAcrossTableWrite } from "./iommuDevice.ts"
import type { Mapping } from "./mappings.ts"
import type { DmaCosts, Host, Pages, Table } from "./types.ts"

/** The backends, and the allocators of the IOMMU backend, by name. */
export const BACKENDS = ["direct", "iommu"] as const
export type Backend = (typeof BACKENDS)[number]
export const ALLOCATORS = ["bitmap"] as const
export type AllocatorName = (typeof ALLOCATORS)[number]

/** What callers may leave out. */
export const DMA_API_DEFAULTS = {
  allocator: "bitmap",
  lockAcrossTableWrite: "both",
  debug: true,
  costs: { directMapPairPs: 0, bitmapSearchPs: 0, bitmapWordPs: 0 }
} as const

export interface DmaApiOptions {
  readonly backend: Backend
  /** How the iommu backend chooses addresses. */
  readonly allocator?: AllocatorName
  readonly lockAcrossTableWrite?: LockAcrossTableWrite
  /** Whether live mappings are tracked and misuse is found. On when left out. */
  readonly debug?: boolean
  readonly host: Host
  readonly pages: Pages
  /** Host memory. */
  readonly bytes: Uint8Array
  /** Nothing costs anything when left out. */
  readonly costs?: DmaCosts
  /** The translation table; needed by the iommu backend. */
  readonly table?: Table
}

/** Name of the one lock of the bitmap allocator in reports. */
export const TABLE_LOCK_NAME = "TCE table lock"

/** What the DMA API has done since the beginning, as data. */
export interface Snapshot {
  readonly maps: number
  readonly unmaps: number
  readonly live: number
  readonly failures: number
  readonly iovaPagesUsed: number
  readonly wordsScanned: number
  readonly findings: number
}

export class DmaApi {
  readonly devices: Array<Device> = []
  declare readonly debug: DmaDebug | undefined
  declare private readonly options: DmaApiOptions
  declare private readonly space: AddressSpace | undefined

  constructor(options: DmaApiOptions) {
    this.options = options
    this.debug = (options.debug ?? DMA_API_DEFAULTS.debug) ? makeDmaDebug(options.host.localPs) : undefined
    if (options.backend === "iommu") {
      const table = options.table ?? fail("the iommu backend has no table")
      this.space = {
        table,
        allocator: makeBitmapAllocator(table.pageCount, table.windowStart === 0),
        lock: options.host.makeLock(TABLE_LOCK_NAME)
      }
    }
  }

  /** A device with this name that can address bus addresses up to `dmaMask`. */
  attach(name: string, dmaMask: number): Device {
    const { bytes, costs, host, lockAcrossTableWrite, pages } = {
      ...DMA_API_DEFAULTS,
      ...this.options
    }
    const common = { name, dmaMask, host, coherent: { pages, bytes }, costs, debug: this.debug }
    const device =
      this.space === undefined
        ? new DirectDevice(common)
        : new IommuDevice({ ...common, space: this.space, lockAcrossTableWrite })
    this.devices.push(device)
    return device
  }

  /** Every live mapping, where debug tracks them. */
  liveMappings(): ReadonlyArray<Mapping> {
    return this.debug?.live() ?? []
  }

  /** What debug found wrong, the first ones of all. */
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
    return {
      maps: sum((device) => device.counters.maps),
      unmaps: sum((device) => device.counters.unmaps),
      live: this.liveCount(),
      failures: sum((device) => device.counters.failures),
      iovaPagesUsed: this.space?.allocator.pagesUsed ?? 0,
      wordsScanned: this.space?.allocator.wordsScannedSum ?? 0,
      findings: this.debug?.findingCount ?? 0
    }
  }
}

/** The DMA API over `options.backend`. */
export const makeDmaApi = (options: DmaApiOptions): DmaApi => new DmaApi(options)
