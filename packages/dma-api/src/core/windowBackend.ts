/**
 * The window backend: all of memory is mapped once, at an offset, and stays mapped; a map adds the offset and costs
 * what a direct one does. It is the third way beside no IOMMU and one that is written for each map: fast, and without
 * any protection of memory from the device. [Linux 6.12 arch/powerpc/platforms/pseries/iommu.c enable_ddw]
 */
import { ACCOUNT_DMA_API as accountDmaApi, assert } from "@vnic/sim/core"
import type { BackendContext } from "./backend.ts"
import { DirectBackend } from "./directBackend.ts"
import { BIDIRECTIONAL, MAP_MASK_TOO_NARROW, MAP_OK, MAP_TABLE_REFUSED } from "./types.ts"
import type { BusAddr, DmaCosts, Host, PhysAddr, Table } from "./types.ts"

// A copy in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_DMA_API = accountDmaApi

/** The CPU that attaches devices. */
const BOOT_CPU = 0

/** All of memory as the devices of one table see it, but the memory that the table itself lies in. */
export class MemoryWindow {
  declare readonly start: BusAddr
  declare readonly memoryBytes: number
  /** What stays out: first byte, and the one behind the last. */
  declare readonly holeStart: PhysAddr
  declare readonly holeEnd: PhysAddr
  /** MAP_OK, or why nothing can be mapped: the window does not hold all of memory, or the table refused. */
  reason: number = MAP_OK
  declare private readonly table: Table
  declare private readonly pageBytes: number

  /** Writes the entries. */
  constructor(host: Host, table: Table, memoryBytes: number) {
    const { ownMemory = { phys: memoryBytes, sizeBytes: 0 }, windowStart } = table
    const pageBytes = 2 ** table.pageShift
    assert(memoryBytes % pageBytes === 0, "memory is not whole pages of the IOMMU")
    this.table = table
    this.pageBytes = pageBytes
    this.start = windowStart
    this.memoryBytes = memoryBytes
    this.holeStart = Math.min(memoryBytes, Math.floor(ownMemory.phys / pageBytes) * pageBytes)
    const ownEnd = Math.ceil((ownMemory.phys + ownMemory.sizeBytes) / pageBytes) * pageBytes
    this.holeEnd = Math.min(memoryBytes, ownEnd)
    const insert = host.define("dma window: map memory", (cpu) => {
      this.insertAll(cpu)
      return host.leave(cpu)
    })
    if (memoryBytes / pageBytes <= table.pageCount) host.runAlone(BOOT_CPU, insert)
    else this.reason = MAP_MASK_TOO_NARROW
  }

  /** Both pieces or none. */
  private insertAll(cpu: number): void {
    if (this.insert(cpu, 0, this.holeStart)) {
      if (this.insert(cpu, this.holeEnd, this.memoryBytes)) return
      if (this.holeStart > 0) this.table.remove(cpu, 0, this.holeStart / this.pageBytes)
    }
    this.reason = MAP_TABLE_REFUSED
  }

  /** True when the table took the entries. */
  private insert(cpu: number, from: PhysAddr, to: PhysAddr): boolean {
    const first = from / this.pageBytes
    const pageCount = (to - from) / this.pageBytes
    return pageCount === 0 || this.table.insert(cpu, first, pageCount, from, BIDIRECTIONAL) === 0
  }

  /** MAP_OK, or why memory cannot be reached through it. What is no memory is not looked for: the device will fault. */
  readonly reasonAt = (phys: PhysAddr, sizeBytes: number): number => {
    if (this.reason !== MAP_OK) return this.reason
    return phys < this.holeEnd && phys + sizeBytes > this.holeStart ? MAP_TABLE_REFUSED : MAP_OK
  }
}

export interface WindowOptions {
  readonly host: Host
  readonly costs: DmaCosts
  readonly window: MemoryWindow
}

/** The direct backend with the window's start added to every address. */
export class WindowBackend extends DirectBackend {
  declare readonly memoryStart: BusAddr
  declare private readonly window: MemoryWindow

  constructor({ costs, host, window }: WindowOptions, context: BackendContext) {
    super({ host, costs, memoryBytes: window.start + window.memoryBytes }, context)
    this.memoryStart = window.start
    this.window = window
  }

  override readonly beginMap = (cpu: number): number => {
    const { calls, window } = this
    const phys = calls.phys[cpu]!
    this.host.spend(cpu, ACCOUNT_DMA_API, this.mapPs)
    const reason = window.reasonAt(phys, calls.sizes[cpu]!)
    return reason === MAP_OK ? this.endMap(cpu, phys + window.start) : this.ends.mapFailed(cpu, reason)
  }

  /** What lies above a mask cannot be had lower: there is one address for each byte. */
  override readonly isMaskSupported = (mask: number): boolean => {
    return mask >= this.requiredMask
  }
}
