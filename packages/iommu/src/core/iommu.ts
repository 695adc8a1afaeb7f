/**
 * The door between a device and memory: translate(device, bus address, size, access) gives the physical
 * address, or records a fault. There is no other way in. Behind it are TCEs, a VT-d remapping unit, or identity.
 *
 * MODEL: the bridge keeps no copies of TCEs, so each access pays the fetch of its entry, as latency only
 * (fetches are pipelined), and a changed entry counts from the next access on.
 */
import { assert, fail, type Memory } from "@vnic/sim/core"
import { FAULT_RECORDS_MAX, tagEntry, type FaultReason, type FaultRecord } from "./faults.ts"
import type { MapSite, MapSites } from "./mapSites.ts"
import { byteSwap, TCE_PERMISSION, TCE_READ, TCE_WRITE, type TceTable } from "./tceTable.ts"
import { reasonOf } from "./vtd/faultCodes.ts"
import { VTD_PAGE_BYTES } from "./vtd/layout.ts"
import type { Vtd } from "./vtd/unit.ts"

/** The device reads memory. */
export const ACCESS_READ = TCE_READ
/** The device writes memory. */
export const ACCESS_WRITE = TCE_WRITE

/** Translation gave no address; the fault is recorded. */
export const PHYS_NONE = -1

/** Named limit of devices that are or were attached. */
export const DEVICES_MAX = 64

/** Bus accesses end at multiples of this size when there is no translation: memory is smaller than two. */
const IDENTITY_PAGE_BYTES = 1 << 30

/** Number of an attached device. */
export type DeviceId = number

// Exported and imported names cost a load and a check at each use; the hot path has its own.
const swap = byteSwap

const UNKNOWN_SITE: MapSite = {
  mappedByCpu: null,
  mappedAtPs: null,
  unmappedByCpu: null,
  unmappedAtPs: null
}

interface Surroundings {
  readonly memory: Memory
  /** clock[0]: the world's time, picoseconds. */
  readonly clock: Float64Array
}

export type IommuOptions =
  | (Surroundings & {
      readonly kind: "tce"
      readonly table: TceTable
      readonly sites: MapSites
      /** The fetch of one entry from memory, picoseconds. */
      readonly tceFetchPs: number
    })
  | (Surroundings & { readonly kind: "vtd"; readonly vtd: Vtd })
  | (Surroundings & { readonly kind: "none" })

export class Iommu {
  declare readonly kind: "tce" | "vtd" | "none"
  /** [0]: what the last translation took, picoseconds. */
  declare readonly latencyPs: Float64Array
  /** An access may not cross a multiple of this size. */
  declare readonly pageBytes: number
  /** Refused accesses since the beginning. */
  faultCount = 0
  /** Those of them that found no room among the records. */
  faultsUnrecorded = 0
  private readonly faultRecords: Array<FaultRecord> = []
  private readonly deviceNames: Array<string> = []
  private readonly isAttached = new Uint8Array(DEVICES_MAX)
  declare private readonly table: TceTable | undefined
  declare private readonly vtd: Vtd | undefined
  declare private readonly sites: MapSites | undefined
  declare private readonly words: Int32Array
  declare private readonly tableWord: number
  declare private readonly pageMask: number
  declare private readonly memoryBytes: number
  declare private readonly clock: Float64Array

  constructor(options: IommuOptions) {
    const { memory } = options
    const table = options.kind === "tce" ? options.table : undefined
    this.kind = options.kind
    this.table = table
    this.vtd = options.kind === "vtd" ? options.vtd : undefined
    this.sites = options.kind === "tce" ? options.sites : this.vtd?.sites
    this.latencyPs = Float64Array.of(options.kind === "tce" ? options.tceFetchPs : 0)
    this.pageBytes = table?.pageBytes ?? (this.vtd === undefined ? IDENTITY_PAGE_BYTES : VTD_PAGE_BYTES)
    this.pageMask = this.pageBytes - 1
    this.words = memory.words
    this.tableWord = table?.firstWord ?? 0
    this.memoryBytes = memory.hostSizeBytes | 0
    this.clock = options.clock
  }

  /** Lets a device use the door. */
  readonly attach = (deviceName: string): DeviceId => {
    const device = this.deviceNames.length
    assert(device < DEVICES_MAX, "too many devices were attached")
    this.deviceNames.push(deviceName)
    this.isAttached[device] = 1
    this.vtd?.remapping.attach(device)
    return device
  }

  /** Shuts the door to a device: what it still accesses faults. */
  readonly detach = (device: DeviceId): void => {
    assert(this.isAttached[device] === 1, "a device that is not attached was detached")
    this.isAttached[device] = 0
    this.vtd?.remapping.detach(device)
  }

  /**
   * The physical address of a device's access to `sizeBytes` at `busAddr`, inside one page, or PHYS_NONE.
   * `access` is ACCESS_READ or ACCESS_WRITE; `tag` names the queue entry.
   */
  readonly translate = (device: DeviceId, busAddr: number, sizeBytes: number, access: number, tag: number): number => {
    if (this.isAttached[device] !== 1) return this.refuse(device, busAddr, sizeBytes, access, tag, "deviceDetached")
    const pageMask = this.pageMask
    if ((busAddr & pageMask) + sizeBytes > this.pageBytes) fail("an access crosses an IOMMU page")
    const table = this.table
    if (table === undefined) return this.untabled(device, busAddr, sizeBytes, access, tag)
    const index = table.indexOf(busAddr)
    if (index < 0) return this.refuse(device, busAddr, sizeBytes, access, tag, "outsideWindow")
    const word = this.tableWord + (index << 1)
    const tce = swap(this.words[word + 1]!)
    if ((access & ~tce) !== 0) return this.refuseEntry(device, busAddr, sizeBytes, access, tag, tce)
    const phys = (tce & ~pageMask) | (busAddr & pageMask)
    if (this.words[word] !== 0 || phys < 0 || phys + sizeBytes > this.memoryBytes) {
      return this.refuse(device, busAddr, sizeBytes, access, tag, "outsideMemory")
    }
    return phys
  }

  /** An access without TCEs: through second-stage tables, or with identity behind the door. */
  private readonly untabled = (
    device: DeviceId,
    busAddr: number,
    sizeBytes: number,
    access: number,
    tag: number
  ): number => {
    if (this.vtd !== undefined) return this.remapped(this.vtd, device, busAddr, sizeBytes, access, tag)
    if (busAddr >= 0 && busAddr + sizeBytes <= this.memoryBytes) return busAddr
    return this.refuse(device, busAddr, sizeBytes, access, tag, "outsideMemory")
  }

  private readonly remapped = (
    { remapping }: Vtd,
    device: DeviceId,
    busAddr: number,
    sizeBytes: number,
    access: number,
    tag: number
  ): number => {
    const phys = remapping.translate(device, busAddr, sizeBytes, access)
    if (phys >= 0) return phys
    const code = remapping.fault
    return this.refuse(device, busAddr, sizeBytes, access, tag, reasonOf(code, remapping.walker.isMapped), code)
  }

  private readonly refuseEntry = (
    device: DeviceId,
    busAddr: number,
    sizeBytes: number,
    access: number,
    tag: number,
    tce: number
  ): number => {
    let reason: FaultReason = "notMapped"
    if ((tce & TCE_PERMISSION) !== 0) reason = access === ACCESS_READ ? "noReadPermission" : "noWritePermission"
    return this.refuse(device, busAddr, sizeBytes, access, tag, reason)
  }

  private readonly refuse = (
    device: DeviceId,
    busAddr: number,
    sizeBytes: number,
    access: number,
    tag: number,
    reason: FaultReason,
    code = 0
  ): number => {
    this.faultCount++
    if (this.faultRecords.length >= FAULT_RECORDS_MAX) {
      this.faultsUnrecorded++
      return PHYS_NONE
    }
    const index = this.pageOf(busAddr)
    const site = index >= 0 && this.sites !== undefined ? this.sites.at(index) : UNKNOWN_SITE
    this.faultRecords.push({
      device: this.deviceNames[device] ?? `device ${device}`,
      busAddr,
      sizeBytes,
      access: access === ACCESS_READ ? "read" : "write",
      reason,
      ...(code > 0 ? { code } : {}),
      timePs: this.clock[0]!,
      entry: tagEntry(tag),
      ...site
    })
    return PHYS_NONE
  }

  /** Index of a bus address's page in the window whose map sites are kept, or -1. */
  private readonly pageOf = (busAddr: number): number => {
    if (this.vtd === undefined) return this.table?.indexOf(busAddr) ?? -1
    const page = Math.floor(busAddr / VTD_PAGE_BYTES)
    return page < this.vtd.table.pageCount ? page : -1
  }

  /** The first faults since the beginning, up to FAULT_RECORDS_MAX, in the order of their occurrence. */
  get faults(): ReadonlyArray<FaultRecord> {
    return this.faultRecords
  }
}

/** A door with no device attached. */
export const makeIommu = (options: IommuOptions): Iommu => new Iommu(options)
