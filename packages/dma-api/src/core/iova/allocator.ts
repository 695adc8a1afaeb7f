/**
 * What every IOVA allocator promises. An allocator hands out ranges of IOMMU pages of one window, counted from
 * the window's first page. It is a part of CPU programs: it asks for its own locks, does its work while they
 * are held, and books the time that the work takes, counted in steps, on the CPU.
 *
 * A map:     beginAllocate · (table write) · endAllocate
 * An unmap:  beginRemove · (table write) · beginFree, at once or when the flush that covers it is done
 *
 * Most allocators let their locks go before `then` runs; one whose lock is held across the table write (the
 * bitmap of 2012) lets it go in `endAllocate`, and takes it in `beginRemove`.
 */
import type { Host } from "../types.ts"

/** No range that long is free. */
export const IOVA_NONE = -1

/** What an allocator's operations are counted in; indexes of `Work` arrays. */
export const WORK_NODES = 0
export const WORK_WORDS = 1
export const WORK_CACHE_LINES = 2
export const WORK_LOCKS = 3
export const WORK_NAMES = ["nodes", "words", "cacheLines", "locks"] as const

/**
 * What `WORK_CACHE_LINES` counts in: lines of an allocator's own data. (The lines that mappings share have the size
 * that debug is told, or this one.) MODEL: allocators count lines of 64 bytes on every machine; POWER7's have 128.
 */
export const CACHE_LINE_BYTES = 64

/** Steps by kind: nodes visited, 64-bit words scanned, cache lines touched, locks taken. */
export interface Work {
  /** Of the operation done last (the last critical section of this allocator, whichever CPU). */
  readonly last: Float64Array
  /** Of all allocations, and of all frees. */
  readonly allocations: Float64Array
  readonly frees: Float64Array
}

export const makeWork = (): Work => ({
  last: new Float64Array(WORK_NAMES.length),
  allocations: new Float64Array(WORK_NAMES.length),
  frees: new Float64Array(WORK_NAMES.length)
})

/**
 * What allocators cost a CPU, picoseconds; from a platform profile.
 *
 * MODEL: cache lines are counted but have no price of their own. What a visit to a node or a look at a word costs is
 * mostly the fetch of the line that it lies in, so `treeVisitPs` and `bitmapWordPs` stand for it, and a second price
 * would charge it twice. What is lost: eight words of one line cost as much as eight words of eight lines.
 */
export interface IovaCosts {
  /** A search in a bitmap, besides the words that it scans. */
  readonly bitmapSearchPs: number
  /** Each 64-bit word scanned. */
  readonly bitmapWordPs: number
  /** An operation on a tree, besides the nodes that it visits. */
  readonly treeSearchPs: number
  /** Each node visited. */
  readonly treeVisitPs: number
  /** Taking from or giving to a magazine of the CPU's own. */
  readonly magazinePs: number
  /** An operation that needs no search: moving a ring's cursor; without allocation, a request of any length. */
  readonly constantPs: number
}

/** Pages of a window, counted from its first one. */
export interface PageRange {
  readonly firstPage: number
  readonly pageCount: number
}

/** Which pages there are to be handed out, and where they lie on the bus. */
export interface WindowPages {
  /** IOMMU pages in it. */
  readonly pageCount: number
  /** The bus page that page 0 is. On the bus ranges are aligned, and boundaries kept: as counted from bus page 0. */
  readonly startPage: number
  /** Page 0 of the window is never handed out: its bus address would be 0. */
  readonly isFirstPageReserved: boolean
  /** Never handed out either: what the bus uses for something else. Ranges may overlap and leave the window. */
  readonly reserved: ReadonlyArray<PageRange>
}

/** During which operations an allocator's lock is held across the table write. */
export type LockAcrossTableWrite = "both" | "unmap" | "none"

/** The window that is divided up. */
export interface IovaWindow extends WindowPages {
  /** What its table is called in the names of locks. */
  readonly tableName: string
  /** log2 of the IOMMU page, 12 for 4 KiB. */
  readonly pageShift: number
  /** Picoseconds on a CPU's clock and what a lock costs come from here. */
  readonly host: Host
  readonly costs: IovaCosts
  /**
   * Pages from the window's start up to bus address 4 GiB, even where the window ends before; 0 when it starts
   * behind: what 32-bit-first policies try first.
   */
  readonly pagesBelow4GiB: number
  /** The most that a lock may be held: not at all where what is unmapped is freed only later. */
  readonly lockAcrossTableWrite: LockAcrossTableWrite
}

export interface IovaAllocator {
  /** firsts[cpu]: the first page that the CPU's last allocation was given, or IOVA_NONE. */
  readonly firsts: Int32Array
  /** Pages handed out and not yet freed (cached ones not counted). */
  readonly pagesUsed: number
  readonly work: Work
  /** Largest request that is served without its locks being shared, in pages; 0 when there is none such. */
  readonly optPages: number
  /**
   * Allocates `pages` pages, the first a multiple of `alignment` on the bus (a power of two up to 2^30; some
   * allocators align more), all below page `reach`; `physPage` is the IOMMU page of the memory that will be mapped
   * (only an allocator without a choice looks at it; -1 when there is none). The result is in `firsts[cpu]` when
   * `then` runs.
   *
   * The range crosses no multiple of `boundary` pages on the bus, a power of two up to 2^30; 0, or left out, is none.
   * The trees of drivers/iommu know no boundary, and those here neither: they align a range to its size, so that
   * none crosses a boundary that is at least as long; a longer one is handed out across it. Bitmaps, rings and
   * addresses without allocation look, and a longer request fails.
   */
  beginAllocate(
    cpu: number,
    pages: number,
    alignment: number,
    reach: number,
    physPage: number,
    then: number,
    boundary?: number
  ): number
  /** After the table write of an allocation that succeeded; of one that failed, do not call it. */
  endAllocate(cpu: number): void
  /**
   * Before the table write of an unmap. An allocator may hold its lock from here to `beginFree`, which then
   * follows without a wait; one that is made so does not go with a flush policy that defers the free.
   */
  beginRemove(cpu: number, then: number): number
  /** Gives a range back, exactly as it was handed out. */
  beginFree(cpu: number, first: number, pages: number, then: number): number
  /** Would such a request succeed if nothing was handed out? `physPage` as above: without a choice it decides. */
  canEverFit(pages: number, alignment: number, reach: number, boundary?: number, physPage?: number): boolean
  /**
   * Only where several live mappings may share a page (`identity`): how many use it. Such an allocator's
   * `beginAllocate` counts one more for each page, `beginFree` one less; the owner of the table clears an
   * entry when its page's use has gone to zero, so it frees first: nobody else can be given the page for
   * other memory. Absent: a page has one user.
   */
  readonly uses?: Int32Array
}
