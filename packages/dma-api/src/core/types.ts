/**
 * The words of the DMA API: addresses, directions, results; and the two ports through which it reaches
 * the world. Another simulator brings its own `Host` (CPUs, locks, pages) and its own `Table` (whatever
 * translates its device's addresses), and needs neither a NIC nor an emulated IOMMU.
 */

import type { IovaCosts, PageRange } from "./iova/allocator.ts"

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
/** Coherent memory only: no pages were left, or none as low as the device needs them. */
export const MAP_OUT_OF_MEMORY = 4
/** No slots of the bounce buffer were left. */
export const MAP_BOUNCE_FULL = 5
/**
 * What is asked for no map can give: an alignment wider than the IOMMU's page, a buffer that is longer than the
 * device's segment boundary or than the bounce buffer takes in one piece, or that lies across the boundary where it
 * keeps its address.
 */
export const MAP_INVALID = 6
export const MAP_FAILURES = [
  "Ok",
  "AddressSpaceFull",
  "MaskTooNarrow",
  "TableRefused",
  "OutOfMemory",
  "BounceFull",
  "Invalid"
] as const

/** The error numbers that calls of the kernel return as their negatives. */
export const EIO = 5
export const ENOMEM = 12
export const EINVAL = 22

/**
 * Attributes of a mapping by their bits [Linux 6.12 include/linux/dma-mapping.h].
 * MODEL: only SKIP_CPU_SYNC and MMIO do something here; the others are hints that no backend takes.
 */
export const ATTR_WEAK_ORDERING = 1 << 1
export const ATTR_WRITE_COMBINE = 1 << 2
export const ATTR_NO_KERNEL_MAPPING = 1 << 4
/** The caller owes the syncs itself: nothing is copied at unmap. (A map into the bounce buffer copies all the same.) */
export const ATTR_SKIP_CPU_SYNC = 1 << 5
export const ATTR_FORCE_CONTIGUOUS = 1 << 6
export const ATTR_ALLOC_SINGLE_PAGES = 1 << 7
export const ATTR_NO_WARN = 1 << 8
export const ATTR_PRIVILEGED = 1 << 9
/** The address is a device's, not memory: it is never bounced. */
export const ATTR_MMIO = 1 << 10

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
  /** Runs a subroutine on a CPU at `atPs` or, if it is busy then, when its program ends. */
  later(cpu: number, atPs: number, entry: number): void
}

/** Where coherent memory comes from; blocks are powers of two of pages and naturally aligned. */
export interface Pages {
  readonly pageSizeBytes: number
  orderFor(sizeBytes: number): number
  /** A block of 2^order pages at a multiple of its size, in memory; or -1. */
  allocate(order: number): PhysAddr
  free(phys: PhysAddr): void
}

/**
 * A translation table as the DMA API needs it: entries are written and cleared by IOMMU page number.
 * It books its own CPU time (a hypercall, a table walk, an invalidation) to the CPU that calls.
 */
export interface Table {
  /** What locks that guard its addresses are called after; "IOVA" where it is left out. */
  readonly name?: string
  /** log2 of the IOMMU page, 12 for 4 KiB. */
  readonly pageShift: number
  /** Bus address of entry 0. */
  readonly windowStart: BusAddr
  /** Entries of the window. */
  readonly pageCount: number
  /** Pages of the window that are never handed out: the bus uses their addresses for something else. */
  readonly reserved?: ReadonlyArray<PageRange>
  /** Makes `pageCount` pages from `iovaPage` on translate to `phys`; 0, or a refusal with nothing left set. */
  insert(cpu: number, iovaPage: number, pageCount: number, phys: PhysAddr, direction: Direction): number
  /**
   * Clears their entries and no others, with `identity` also a part of what one insert set. Without `invalidation`
   * they translate to nothing from now on; with it a device may still use what its IOTLB holds until they are
   * invalidated.
   */
  remove(cpu: number, iovaPage: number, pageCount: number): void
  /** Present where translations are cached and must be invalidated by the one who removes them. */
  readonly invalidation?: Invalidation
  /** Memory that the table itself lies in, where no device may be given that. */
  readonly ownMemory?: { readonly phys: PhysAddr; readonly sizeBytes: number }
  /** Host pages that it pins now, where pinning is its business. */
  pinnedPages?(): number
}

/** Invalidation of cached translations: parts of CPU programs, which wait until the hardware is done. */
export interface Invalidation {
  /** Of these pages; the hardware may take more. */
  beginPages(cpu: number, iovaPage: number, pageCount: number, then: number): number
  /** Of everything that this table ever translated. */
  beginAll(cpu: number, then: number): number
}

/** What DMA API operations cost a CPU, picoseconds; from a platform profile. */
export interface DmaCosts extends IovaCosts {
  /** A direct map and its unmap together. */
  readonly directMapPairPs: number
  /** The code of a map call, and of an unmap call, through an IOMMU, besides allocator, table and invalidation. */
  readonly mapOtherPs: number
  readonly unmapOtherPs: number
  /** To put an unmap into the queue of a lazy flush, besides its lock. */
  readonly flushQueuePs: number
  /** A copy, besides its bytes, and each KiB of it; of the bounce buffer. */
  readonly copyCallPs: number
  readonly copyKiBPs: number
}
