/**
 * The words of the DMA API: addresses, directions, results; and the two ports through which it reaches
 * the world. Another simulator brings its own `Host` (CPUs, locks, pages) and its own `Table` (whatever
 * translates its device's addresses), and needs neither a NIC nor an emulated IOMMU.
 */

/** An address in the host's physical memory, bytes. */
export type PhysAddr = number
/** What a device puts on the bus: an IOVA when translation is on. Below 2^53. */
export type BusAddr = number

/** What a failed map returns (all ones, as DMA_MAPPING_ERROR). 0 is a valid address on direct mapping. */
export const DMA_MAPPING_ERROR: BusAddr = -1

/** enum dma_data_direction, by its values. */
export const BIDIRECTIONAL = 0
export const TO_DEVICE = 1
export const FROM_DEVICE = 2
export const DIRECTION_NAMES = ["both ways", "to device", "from device"] as const
export type Direction = typeof BIDIRECTIONAL | typeof TO_DEVICE | typeof FROM_DEVICE

/** Why a map failed. */
export const MAP_OK = 0
export const MAP_ADDRESS_SPACE_FULL = 1
export const MAP_MASK_TOO_NARROW = 2
export const MAP_TABLE_REFUSED = 3
/** Coherent memory only: no page was left. */
export const MAP_OUT_OF_MEMORY = 4
export const MAP_FAILURES = ["Ok", "AddressSpaceFull", "MaskTooNarrow", "TableRefused", "OutOfMemory"] as const

/** A step of a CPU program; see `Host.define`. */
export type Step = (cpu: number) => number

/**
 * The host as the DMA API needs it. `Cpus` of @vnic/sim is one (with `pages` beside it); `makePlainHost`
 * is the smallest one. A program is a set of steps; one that must wait returns what `lock` gives back.
 */
export interface Host {
  /** Number of CPUs that may call. */
  readonly count: number
  /** Each CPU's local time, picoseconds. */
  readonly localPs: Float64Array
  /** Adds a step to the program table; steps are named by the number returned, never 0. */
  define(name: string, step: Step): number
  /** Books CPU time on an account of @vnic/sim's ledger. */
  spend(cpu: number, account: number, durationPs: number): void
  /** Enters a subroutine that goes on at `then` when it leaves. */
  call(cpu: number, entry: number, then: number): number
  leave(cpu: number): number
  makeLock(name: string): number
  /** Asks for a lock; `then` runs when it is held. */
  lock(cpu: number, lock: number, then: number): number
  unlock(cpu: number, lock: number): void
  /** Runs a subroutine to its end at once: no other CPU asks for a lock meanwhile. */
  runAlone(cpu: number, entry: number): void
}

/** Where coherent memory comes from; blocks are powers of two of pages and naturally aligned. */
export interface Pages {
  readonly pageSizeBytes: number
  orderFor(sizeBytes: number): number
  /** A block of 2^order pages, or -1. */
  allocate(order: number): PhysAddr
  free(phys: PhysAddr): void
}

/**
 * A translation table as the DMA API needs it: entries are written and cleared by IOMMU page number.
 * It books its own CPU time (a hypercall, a table walk, an invalidation) to the CPU that calls.
 */
export interface Table {
  /** log2 of the IOMMU page, 12 for 4 KiB. */
  readonly pageShift: number
  /** Bus address of entry 0. */
  readonly windowStart: BusAddr
  /** Entries of the window. */
  readonly pageCount: number
  /** Makes `pageCount` pages from `iovaPage` on translate to `phys`; 0, or a refusal with nothing left set. */
  insert(cpu: number, iovaPage: number, pageCount: number, phys: PhysAddr, direction: Direction): number
  /** Makes them translate to nothing. */
  remove(cpu: number, iovaPage: number, pageCount: number): void
}

/** What DMA API operations cost a CPU, picoseconds; from a platform profile. */
export interface DmaCosts {
  /** A direct map and its unmap together. */
  readonly directMapPairPs: number
  /** A bitmap search, besides the words that it scans. */
  readonly bitmapSearchPs: number
  /** Each 64-bit word scanned. */
  readonly bitmapWordPs: number
}
