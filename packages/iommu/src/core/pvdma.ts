/**
 * The guest's side of the paravirtual IOMMU: which hypercalls a map and an unmap make, and what they cost
 * the CPU that makes them. It is a table that a DMA API can target.
 *
 * Map: one page, or a platform without the multi-TCE calls, is one H_PUT_TCE a page; else the entries are
 * written to the CPU's own 4 KiB list page and go 512 at a time with H_PUT_TCE_INDIRECT. Unmap: H_STUFF_TCE
 * with 0, 512 pages at a time, even for one page; without multi-TCE one H_PUT_TCE of 0 a page. Every map
 * lets the device read, also one from the device; write is added unless the direction is to the device.
 *
 * A call takes effect at the end of its duration, on the calling CPU's local time.
 */
import { ACCOUNT_HYPERCALL, assert, fail, type Account, type Memory } from "@vnic/sim/core"
import { TCE_LIST_BYTES, TCE_LIST_ENTRIES_MAX, type Hypervisor } from "./hypervisor.ts"
import type { MapSites } from "./mapSites.ts"
import { H_NOT_ENOUGH_RESOURCES, H_SUCCESS } from "./returnCodes.ts"
import { byteSwap, TCE_READ, TCE_WRITE, type TceTable } from "./tceTable.ts"

/** Directions, numbered as Linux numbers them. */
export const DIRECTION_BIDIRECTIONAL = 0
export const DIRECTION_TO_DEVICE = 1
export const DIRECTION_FROM_DEVICE = 2

/** Most pages that one H_STUFF_TCE of the guest clears; the host has no such limit. */
const STUFF_PAGES_MAX = 512

/** The CPUs whose time hypercalls take; sim's Cpus is one. */
export interface CpuTime {
  spend(cpu: number, account: Account, durationPs: number): void
  /** Each CPU's own time, picoseconds. */
  readonly localPs: Float64Array
}

export interface PvdmaOptions {
  readonly memory: Memory
  readonly hypervisor: Hypervisor
  readonly table: TceTable
  readonly sites: MapSites
  readonly cpus: CpuTime
  /** A list page for each CPU: physical addresses, 4 KiB aligned. */
  readonly listPhys: ReadonlyArray<number>
  /** Duration of a hypercall with one entry, picoseconds. */
  readonly hypercallPs: number
  /** What each further entry adds, picoseconds. */
  readonly hypercallPerTcePs: number
}

/** Hypercalls made since the beginning, by kind. */
export interface HypercallCounts {
  readonly putTce: number
  readonly putTceIndirect: number
  readonly stuffTce: number
  readonly getTce: number
}

// Exported and imported constants cost a load and a check at each use; the hot path has its own.
const ACCOUNT = ACCOUNT_HYPERCALL
const SUCCESS = H_SUCCESS
const SHORT = H_NOT_ENOUGH_RESOURCES
const READ = TCE_READ
const READ_WRITE = TCE_READ | TCE_WRITE
const TO_DEVICE = DIRECTION_TO_DEVICE
const LIST_MAX = TCE_LIST_ENTRIES_MAX
const swap = byteSwap

export class Pvdma {
  readonly name = "TCE"
  declare readonly pageShift: number
  /** Bus address of page 0 of the window. */
  declare readonly windowStart: number
  /** Pages of the window. */
  declare readonly pageCount: number
  /** Guest memory that the table itself lies in: the host lets no device have it. */
  declare readonly ownMemory: { readonly phys: number; readonly sizeBytes: number }
  /** Maps that failed because the host was short of something. */
  refusals = 0
  /** Hypercalls with any other error. As in Linux these are noted, and the map or unmap counts as done. */
  errors = 0
  private putTce = 0
  private putTceIndirect = 0
  private stuffTce = 0
  private getTce = 0
  declare private readonly hypervisor: Hypervisor
  declare private readonly sites: MapSites
  declare private readonly cpus: CpuTime
  declare private readonly words: Int32Array
  declare private readonly listPhys: Int32Array
  declare private readonly liobn: number
  declare private readonly pageMask: number
  declare private readonly pageBytes: number
  declare private readonly multiTce: boolean
  declare private readonly hypercallPs: number
  declare private readonly hypercallPerTcePs: number

  constructor(options: PvdmaOptions) {
    const { hypervisor, table } = options
    for (const phys of options.listPhys) assert(phys % TCE_LIST_BYTES === 0, "a TCE list page is not aligned")
    this.hypervisor = hypervisor
    this.sites = options.sites
    this.cpus = options.cpus
    this.words = options.memory.words
    this.listPhys = Int32Array.from(options.listPhys)
    this.liobn = table.liobn
    this.ownMemory = { phys: table.tableOffset, sizeBytes: table.tableBytes }
    this.pageShift = table.pageShift
    this.pageMask = table.pageMask
    this.pageBytes = table.pageBytes
    this.windowStart = table.windowStart
    this.pageCount = table.pageCount
    this.multiTce = hypervisor.multiTce
    this.hypercallPs = options.hypercallPs
    this.hypercallPerTcePs = options.hypercallPerTcePs
  }

  /** 4 KiB pages of the guest that the host keeps where they are, now. */
  readonly pinnedPages = (): number => {
    return this.hypervisor.pins.pinnedPages
  }

  /** Bus address of a page of the window. */
  private readonly ioba = (iovaPage: number): number => {
    return this.windowStart + iovaPage * this.pageBytes
  }

  /**
   * Maps `count` pages from `phys` (IOMMU page aligned) at page `iovaPage` of the window. Returns 0, or
   * H_NOT_ENOUGH_RESOURCES when the host could not take them all: then none is mapped.
   */
  readonly insert = (cpu: number, iovaPage: number, count: number, phys: number, direction: number): number => {
    if ((phys & this.pageMask) !== 0) fail("a map of memory that is not IOMMU page aligned")
    const tce = phys | (direction === TO_DEVICE ? READ : READ_WRITE)
    if (count === 1) {
      if (this.put(cpu, iovaPage, tce) !== SHORT) return SUCCESS
      this.refusals++
      return SHORT
    }
    return this.multiTce ? this.insertLists(cpu, iovaPage, count, tce) : this.insertEach(cpu, iovaPage, count, tce)
  }

  /** One H_PUT_TCE that maps a page. */
  private readonly put = (cpu: number, iovaPage: number, tce: number): number => {
    this.putTce++
    this.cpus.spend(cpu, ACCOUNT, this.hypercallPs)
    const code = this.hypervisor.hPutTce(cpu, this.liobn, this.ioba(iovaPage), tce)
    if (code === SUCCESS) this.sites.inserted(cpu, iovaPage, 1)
    else if (code !== SHORT) this.errors++
    return code
  }

  private readonly insertEach = (cpu: number, iovaPage: number, count: number, tce: number): number => {
    for (let page = 0; page < count; page++) {
      const code = this.put(cpu, iovaPage + page, tce + (page << this.pageShift))
      if (code === SHORT) return this.refuse(cpu, iovaPage, page)
    }
    return SUCCESS
  }

  private readonly insertLists = (cpu: number, iovaPage: number, count: number, tce: number): number => {
    const listPhys = this.listPhys[cpu]!
    let done = 0
    while (done < count) {
      const chunk = count - done < LIST_MAX ? count - done : LIST_MAX
      const at = iovaPage + done
      this.writeList(listPhys, chunk, tce + (done << this.pageShift))
      this.putTceIndirect++
      this.cpus.spend(cpu, ACCOUNT, this.hypercallPs + (chunk - 1) * this.hypercallPerTcePs)
      const code = this.hypervisor.hPutTceIndirect(cpu, this.liobn, this.ioba(at), listPhys, chunk)
      if (code === SHORT) return this.refuse(cpu, iovaPage, done + chunk)
      if (code !== SUCCESS) {
        this.errors++
        return SUCCESS
      }
      this.sites.inserted(cpu, at, chunk)
      done += chunk
    }
    return SUCCESS
  }

  /** Entries for consecutive pages, big-endian, the first of them `tce`. */
  private readonly writeList = (listPhys: number, count: number, tce: number): void => {
    const words = this.words
    const shift = this.pageShift
    const first = listPhys >> 2
    for (let entry = 0; entry < count; entry++) {
      const word = first + (entry << 1)
      words[word] = 0
      words[word + 1] = swap(tce + (entry << shift))
    }
  }

  /**
   * Takes back the first `count` pages of a map that failed. MODEL: among them all pages of a list that the
   * host refused, since it may have stored some of them; Linux takes back those of earlier lists only.
   */
  private readonly refuse = (cpu: number, iovaPage: number, count: number): number => {
    this.refusals++
    this.remove(cpu, iovaPage, count)
    return SHORT
  }

  /** Unmaps `count` pages from page `iovaPage` of the window on. */
  readonly remove = (cpu: number, iovaPage: number, count: number): void => {
    if (this.multiTce) {
      let done = 0
      while (done < count) {
        const chunk = count - done < STUFF_PAGES_MAX ? count - done : STUFF_PAGES_MAX
        this.clear(cpu, iovaPage + done, chunk)
        done += chunk
      }
      return
    }
    for (let page = iovaPage; page < iovaPage + count; page++) this.clear(cpu, page, 1)
  }

  /** One hypercall that clears entries: H_STUFF_TCE, or H_PUT_TCE for a single one where there is none. */
  private readonly clear = (cpu: number, iovaPage: number, count: number): void => {
    const ioba = this.ioba(iovaPage)
    let code
    this.cpus.spend(cpu, ACCOUNT, this.hypercallPs + (count - 1) * this.hypercallPerTcePs)
    if (this.multiTce) {
      this.stuffTce++
      code = this.hypervisor.hStuffTce(cpu, this.liobn, ioba, 0, count)
    } else {
      this.putTce++
      code = this.hypervisor.hPutTce(cpu, this.liobn, ioba, 0)
    }
    if (code === SUCCESS) this.sites.removed(cpu, iovaPage, count)
    else this.errors++
  }

  /** Reads the entry of page `iovaPage` back by H_GET_TCE; its low word, or 0 when the call failed. */
  readonly read = (cpu: number, iovaPage: number): number => {
    this.getTce++
    this.cpus.spend(cpu, ACCOUNT, this.hypercallPs)
    if (this.hypervisor.hGetTce(this.liobn, this.ioba(iovaPage)) === SUCCESS) {
      return this.hypervisor.entry[1]!
    }
    this.errors++
    return 0
  }

  /** Hypercalls that a map of so many pages makes, and its unmap too. */
  readonly hypercallsFor = (count: number): number => {
    return this.multiTce ? Math.ceil(count / LIST_MAX) : count
  }

  /** All hypercalls made since the beginning. */
  get hypercalls(): number {
    return this.putTce + this.putTceIndirect + this.stuffTce + this.getTce
  }

  /** The same by kind. */
  get hypercallCounts(): HypercallCounts {
    const { getTce, putTce, putTceIndirect, stuffTce } = this
    return { putTce, putTceIndirect, stuffTce, getTce }
  }
}

/** The guest's side of one window. */
export const makePvdma = (options: PvdmaOptions): Pvdma => new Pvdma(options)
