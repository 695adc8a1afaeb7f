/**
 * A device as its driver sees the DMA API: the calls by their Linux names.
 *
 * Calls that may have to wait have two forms. `mapSingle(cpu, …)` runs at once and returns; it is for hosts with
 * one CPU, for bring-up and shutdown, and for tests. `beginMapSingle(cpu, …, then)` is for CPU programs that may
 * have to wait for a lock: it returns the program's next step, and leaves the address in `mapped[cpu]` when
 * `then` runs. Both are the same steps. `attributes` are ATTR bits.
 */
import { fail } from "@vnic/sim/core"
import type { IovaRange } from "./iovaRange.ts"
import type { ScatterList } from "./scatterList.ts"
import { DMA_MAPPING_ERROR, MAP_FAILURES, MAP_OK, type BusAddr, type Direction, type PhysAddr } from "./types.ts"

/** What the driver asked for since the beginning, by what reached a translation table. */
export interface DeviceCounters {
  /** Mappings made and undone in a table: [bidirectional, to device, from device]. A scatter list is one. */
  readonly maps: Float64Array
  readonly unmaps: Float64Array
  /** Maps that failed, by reason (index into MAP_FAILURES). */
  readonly failures: Float64Array
  /** Live mappings now, whatever the backend. */
  live: number
}

/** A block of coherent memory: CPU and device see each other's writes without sync. */
export interface Coherent {
  readonly phys: PhysAddr
  readonly busAddr: BusAddr
  readonly sizeBytes: number
}

export interface Device {
  readonly name: string
  readonly counters: DeviceCounters
  /**
   * mapped[cpu]: the bus address of the CPU's last map, range or link, or DMA_MAPPING_ERROR; of a list its first
   * segment's.
   */
  readonly mapped: Float64Array
  /** failure[cpu]: why that failed (MAP_OK when it did not). */
  readonly failure: Int8Array
  /** coherent[cpu]: the block that the CPU was given last, undefined when there was none. */
  readonly coherent: ReadonlyArray<Coherent | undefined>
  /** What its segments and masks are limited to; see the dmaSet… calls. */
  readonly limits: DeviceLimits

  /** dma_map_single: hands `sizeBytes` at `phys` over to the device. */
  mapSingle(cpu: number, phys: PhysAddr, sizeBytes: number, direction: Direction, attributes?: number): BusAddr
  /** dma_map_page: the same for part of a page. */
  mapPage(
    cpu: number,
    page: PhysAddr,
    offsetBytes: number,
    sizeBytes: number,
    direction: Direction,
    attributes?: number
  ): BusAddr
  /** dma_unmap_single: takes it back. Address, size and direction must be those of the map. */
  unmapSingle(cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction, attributes?: number): void
  beginMapSingle(
    cpu: number,
    phys: PhysAddr,
    sizeBytes: number,
    direction: Direction,
    then: number,
    attributes?: number
  ): number
  beginUnmapSingle(
    cpu: number,
    busAddr: BusAddr,
    sizeBytes: number,
    direction: Direction,
    then: number,
    attributes?: number
  ): number
  /** dma_map_sg: hands the first `entryCount` buffers over; the number of segments, 0 when it failed. */
  mapSg(cpu: number, list: ScatterList, entryCount: number, direction: Direction, attributes?: number): number
  /** dma_map_sgtable: the same; 0, or -EINVAL (never retry), -ENOMEM (behind an IOMMU), -EIO (without one). */
  mapSgtable(cpu: number, list: ScatterList, entryCount: number, direction: Direction, attributes?: number): number
  /** dma_unmap_sg: takes them back. `entryCount` is the number that was passed to the map. */
  unmapSg(cpu: number, list: ScatterList, entryCount: number, direction: Direction, attributes?: number): void
  /** `list.segmentCount` says how many segments came of it when `then` runs. */
  beginMapSg(
    cpu: number,
    list: ScatterList,
    entryCount: number,
    direction: Direction,
    then: number,
    attributes?: number
  ): number
  beginUnmapSg(
    cpu: number,
    list: ScatterList,
    entryCount: number,
    direction: Direction,
    then: number,
    attributes?: number
  ): number
  /** dma_sync_single_for_cpu: the CPU may read part of a mapping until it is handed back. */
  syncSingleForCpu(cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void
  /** dma_sync_single_for_device: hands it back. */
  syncSingleForDevice(cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void
  /** dma_sync_sg_for_cpu: the whole list; `entryCount` is the number that was passed to the map. */
  syncSgForCpu(cpu: number, list: ScatterList, entryCount: number, direction: Direction): void
  syncSgForDevice(cpu: number, list: ScatterList, entryCount: number, direction: Direction): void
  /** dma_alloc_coherent: zeroed memory, whole pages, naturally aligned; undefined when there is none. */
  allocCoherent(cpu: number, sizeBytes: number): Coherent | undefined
  freeCoherent(cpu: number, block: Coherent): void
  /** The same in a program: the block is in `coherent` when `then` runs. */
  beginAllocCoherent(cpu: number, sizeBytes: number, then: number): number
  beginFreeCoherent(cpu: number, block: Coherent, then: number): number
  /** dma_mapping_error. */
  mappingError(busAddr: BusAddr): boolean

  /** dma_set_mask: the largest bus address of streaming mappings; 0, or -EIO and nothing changes. */
  dmaSetMask(mask: number): number
  /** dma_set_coherent_mask: the same for coherent memory, which lies below 4 GiB as long as nothing is said. */
  dmaSetCoherentMask(mask: number): number
  /** dma_get_required_mask: the narrowest mask that reaches all that may be mapped. */
  dmaGetRequiredMask(): number
  /** dma_set_max_seg_size: the longest segment that a scatter list may come out with, bytes. */
  dmaSetMaxSegSize(sizeBytes: number): void
  /** dma_set_seg_boundary: a segment's first and last byte do not differ above this mask (2^n - 1). */
  dmaSetSegBoundary(mask: number): void
  /** dma_set_min_align_mask: these low bits of a buffer's address are kept on the bus (2^n - 1). */
  dmaSetMinAlignMask(mask: number): void
  /**
   * dma_max_mapping_size: the longest buffer that one map takes, bytes; whether memory, mask and window hold one as
   * long is found at the map, as in the kernel.
   */
  dmaMaxMappingSize(): number
  /** dma_opt_mapping_size: the longest one whose map takes the quick way. */
  dmaOptMappingSize(): number
  /** dma_get_merge_boundary: buffers that meet at multiples of this plus 1 can be merged; 0 when none can. */
  dmaGetMergeBoundary(): number
  /** dma_need_sync: must this mapping be synced? */
  dmaNeedSync(busAddr: BusAddr): boolean

  /**
   * dma_iova_try_alloc: a range of bus addresses of this device, for memory to be linked into it; false when there is
   * none. `failure` says why; MAP_OK where the backend never has any, and buffers are mapped one by one. It crosses no
   * segment boundary or, when it is longer, begins in the first page behind one: what keeps to the boundary within the
   * range does so on the bus.
   */
  dmaIovaTryAlloc(cpu: number, range: IovaRange, phys: PhysAddr, sizeBytes: number): boolean
  /** The same in a program: `range.sizeBytes` is 0 if there was none when `then` runs. */
  beginDmaIovaTryAlloc(cpu: number, range: IovaRange, phys: PhysAddr, sizeBytes: number, then: number): number
  /**
   * dma_iova_link: memory at `offsetBytes` of the range. Only a link at offset 0 may begin inside an IOMMU page. One
   * may end inside a page, and then the next begins with the one after. 0; -EIO when it begins otherwise, meets
   * another link, or lies outside of the range; -ENOMEM when the table refused. What was linked before stays. It
   * never waits.
   */
  dmaIovaLink(
    cpu: number,
    range: IovaRange,
    phys: PhysAddr,
    offsetBytes: number,
    sizeBytes: number,
    direction: Direction,
    attributes?: number
  ): number
  /** dma_iova_sync: after the last link, before the device is told. MODEL: tables here need nothing then. */
  dmaIovaSync(cpu: number, range: IovaRange, offsetBytes: number, sizeBytes: number): number
  /**
   * dma_iova_unlink: takes whole links back; one flush for all of them, done when it returns. Where none is, nothing is
   * flushed, and that is a finding of debug.
   */
  dmaIovaUnlink(cpu: number, range: IovaRange, offsetBytes: number, sizeBytes: number, direction: Direction): void
  /** The same in a program; the flush is done when `then` runs. */
  beginDmaIovaUnlink(
    cpu: number,
    range: IovaRange,
    offsetBytes: number,
    sizeBytes: number,
    direction: Direction,
    then: number
  ): number
  /** dma_iova_free: gives a range back from which everything was unlinked. */
  dmaIovaFree(cpu: number, range: IovaRange): void
  beginDmaIovaFree(cpu: number, range: IovaRange, then: number): number
  /** dma_iova_destroy: unlinks the first `mappedBytes`, all that is linked, and gives the range back: one flush. */
  dmaIovaDestroy(cpu: number, range: IovaRange, mappedBytes: number, direction: Direction): void
  beginDmaIovaDestroy(cpu: number, range: IovaRange, mappedBytes: number, direction: Direction, then: number): number

  /**
   * The device itself touched a range, at `atPs`: read it (TO_DEVICE) or wrote it (FROM_DEVICE). Whoever
   * watches its bus tells; it is a finding of debug when no live mapping holds the whole range.
   */
  accessed(busAddr: BusAddr, sizeBytes: number, direction: Direction, atPs: number): void
  /**
   * The device goes, once: what is still mapped is a leak, and so is a range that it still has. Whoever maps, unmaps,
   * syncs, allocates, or sets or asks for what a backend knows after that has a bug, and it throws.
   */
  release(): void
  readonly isReleased: boolean
}

/** What a device can address, and what its segments are like; bytes. */
export interface DeviceLimits {
  mask: number
  coherentMask: number
  maxSegSizeBytes: number
  segBoundaryMask: number
  minAlignMask: number
}

/**
 * No map takes more bytes.
 * MODEL: a mapping's size is a signed number of 32 bits, where the kernel has one as wide as an address; so
 * dma_max_mapping_size says this where the kernel says that there is no limit.
 */
export const MAP_BYTES_MAX = 2 ** 31 - 1

/** A segment's size when the driver says nothing [Linux 6.12 dma_get_max_seg_size]. */
const MAX_SEG_SIZE_BYTES = 65_536

/** As far as coherent memory goes until the driver says more [Linux 6.12 Documentation/core-api/dma-api.rst]. */
const COHERENT_MASK = 2 ** 32 - 1

/** What a driver has that sets nothing but its mask. */
export const makeDeviceLimits = (mask: number): DeviceLimits => ({
  mask,
  coherentMask: Math.min(mask, COHERENT_MASK),
  maxSegSizeBytes: MAX_SEG_SIZE_BYTES,
  segBoundaryMask: Number.MAX_SAFE_INTEGER,
  minAlignMask: 0
})

/** A map of no memory, of nothing, of too much, or in no direction, is a defect of the caller. */
export function checkMap(phys: PhysAddr, sizeBytes: number, direction: number): void {
  // Addresses below 4 GiB are known to be some by one comparison.
  if (phys >>> 0 !== phys && !(Number.isSafeInteger(phys) && phys >= 0)) fail("a map of no physical address")
  if (sizeBytes <= 0) fail("a map of no bytes")
  if ((sizeBytes | 0) !== sizeBytes) fail("a map of 2 GiB or more, or of parts of a byte")
  if (direction >>> 0 > 2) fail("a map in no direction")
}

/** A sync of parts of a byte, or of less than nothing, is a defect of the caller. */
export function checkSync(sizeBytes: number): void {
  if ((sizeBytes | 0) !== sizeBytes || sizeBytes < 0) fail("a sync of what is no number of bytes")
}

/** Is this what a failed map returns? */
export const isMappingError = (busAddr: BusAddr): boolean => busAddr === DMA_MAPPING_ERROR

/** Counters at zero. */
export const makeDeviceCounters = (): DeviceCounters => ({
  maps: new Float64Array(3),
  unmaps: new Float64Array(3),
  failures: new Float64Array(MAP_FAILURES.length),
  live: 0
})

/** Results of the last map of each CPU. */
export const makeResults = (cpuCount: number): { mapped: Float64Array; failure: Int8Array } => ({
  mapped: new Float64Array(cpuCount),
  failure: new Int8Array(cpuCount).fill(MAP_OK)
})
