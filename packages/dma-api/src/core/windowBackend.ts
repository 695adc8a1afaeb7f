/**
 * The window backend: all of memory is mapped once, at an offset, and stays mapped; a map adds the offset and costs
 * what a direct one does. It is the third way beside no IOMMU and one that is written for each map: fast, and without
 * any protection of memory from the device. [Linux 6.12 arch/powerpc/platforms/pseries/iommu.c enable_ddw]
 */
import { ACCOUNT_DMA_API as accountDmaApi, assert } from "@vnic/sim/core"
import type { BackendContext } from "./backend.ts"
import { DirectBackend } from "./directBackend.ts"
import { UsablePages } from "./iova/usable.ts"
import { BIDIRECTIONAL, MAP_MASK_TOO_NARROW, MAP_OK, MAP_TABLE_REFUSED } from "./types.ts"
import type { BusAddr, DmaCosts, Host, PhysAddr, Table } from "./types.ts"

// A copy in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_DMA_API = accountDmaApi

/** The CPU that attaches devices. */
const BOOT_CPU = 0

/** A piece of memory: its first byte, and the one behind its last. */
interface Piece {
  readonly start: PhysAddr
  readonly end: PhysAddr
}

/**
 * All of memory as the devices of one table see it, but the memory that the table itself lies in, and what would come
 * to lie where the table reserves its pages.
 */
export class MemoryWindow {
  declare readonly start: BusAddr
  declare readonly memoryBytes: number
  /** What stays out, lowest first. */
  declare readonly holes: ReadonlyArray<Piece>
  /** MAP_OK, or why nothing can be mapped: the window does not hold all of memory, or no entries are written. */
  declare private reason: number
  declare private readonly host: Host
  declare private readonly table: Table
  declare private readonly pageBytes: number
  declare private readonly insertStep: number

  /** Nothing is mapped yet. */
  constructor(host: Host, table: Table, memoryBytes: number) {
    const { windowStart } = table
    const pageBytes = 2 ** table.pageShift
    assert(memoryBytes % pageBytes === 0, "memory is not whole pages of the IOMMU")
    this.reason = memoryBytes / pageBytes <= table.pageCount ? MAP_TABLE_REFUSED : MAP_MASK_TOO_NARROW
    this.host = host
    this.table = table
    this.pageBytes = pageBytes
    this.start = windowStart
    this.memoryBytes = memoryBytes
    this.holes = holesOf(table, memoryBytes)
    this.insertStep = host.define("dma window: map memory", (cpu) => {
      this.reason = this.insertAll(cpu)
      return host.leave(cpu)
    })
  }

  /** Writes the entries, if there is room for them and they are not written yet. */
  readonly open = (): void => {
    if (this.reason === MAP_TABLE_REFUSED) this.host.runAlone(BOOT_CPU, this.insertStep)
  }

  /** All pieces between the holes, or none; MAP_OK or why not. */
  private insertAll(cpu: number): number {
    const { holes, memoryBytes, pageBytes, table } = this
    const inserted: Array<Piece> = []
    let start = 0
    for (const hole of [...holes, { start: memoryBytes, end: memoryBytes }]) {
      const piece = { start, end: hole.start }
      start = hole.end
      if (piece.start === piece.end) continue
      if (table.insert(cpu, piece.start / pageBytes, pagesOf(piece, pageBytes), piece.start, BIDIRECTIONAL) !== 0) {
        for (const done of inserted) table.remove(cpu, done.start / pageBytes, pagesOf(done, pageBytes))
        return MAP_TABLE_REFUSED
      }
      inserted.push(piece)
    }
    return MAP_OK
  }

  /** MAP_OK, or why memory cannot be reached through it. What is no memory is not looked for: the device will fault. */
  readonly reasonAt = (phys: PhysAddr, sizeBytes: number): number => {
    const { holes, reason } = this
    if (reason !== MAP_OK) return reason
    for (let index = 0; index < holes.length; index++) {
      const { end, start } = holes[index]!
      if (phys < end && phys + sizeBytes > start) return MAP_MASK_TOO_NARROW
    }
    return MAP_OK
  }
}

const pagesOf = ({ end, start }: Piece, pageBytes: number): number => (end - start) / pageBytes

/** Memory that is not mapped, in whole pages of the IOMMU. */
const holesOf = ({ ownMemory, pageShift, reserved = [] }: Table, memoryBytes: number): ReadonlyArray<Piece> => {
  const pageBytes = 2 ** pageShift
  const all = [...reserved]
  if (ownMemory !== undefined) {
    const firstPage = Math.floor(ownMemory.phys / pageBytes)
    const endPage = Math.ceil((ownMemory.phys + ownMemory.sizeBytes) / pageBytes)
    all.push({ firstPage, pageCount: endPage - firstPage })
  }
  const pages = { pageCount: memoryBytes / pageBytes, startPage: 0, isFirstPageReserved: false, reserved: all }
  return new UsablePages(pages).holes.map(({ firstPage, pageCount }) => ({
    start: firstPage * pageBytes,
    end: (firstPage + pageCount) * pageBytes
  }))
}

export interface WindowOptions {
  readonly host: Host
  readonly costs: DmaCosts
  readonly window: MemoryWindow
}

/** The direct backend with the window's start added to every address. */
export class WindowBackend extends DirectBackend {
  declare private readonly window: MemoryWindow

  constructor({ costs, host, window }: WindowOptions, context: BackendContext) {
    super({ host, costs, memoryBytes: window.start + window.memoryBytes }, context)
    this.window = window
    window.open()
  }

  override readonly beginMap = (cpu: number): number => {
    this.host.spend(cpu, ACCOUNT_DMA_API, this.mapPs)
    const reason = this.reasonOf(cpu)
    if (reason !== MAP_OK) return this.ends.mapFailed(cpu, reason)
    return this.ends.mapDone(cpu, this.calls.phys[cpu]! + this.window.start)
  }

  override readonly suits = (cpu: number): boolean => {
    return this.reasonOf(cpu) === MAP_OK
  }

  /** MAP_OK, or why the memory of the CPU's call cannot be mapped. */
  private readonly reasonOf = (cpu: number): number => {
    const { calls, window } = this
    const phys = calls.phys[cpu]!
    if (!this.isReached(cpu, phys + window.start)) return MAP_MASK_TOO_NARROW
    return window.reasonAt(phys, calls.sizes[cpu]!)
  }

  /** What lies above a mask cannot be had lower: there is one address for each byte. */
  override readonly isMaskSupported = (mask: number): boolean => {
    return mask >= this.requiredMask
  }
}
