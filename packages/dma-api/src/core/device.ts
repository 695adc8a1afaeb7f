/**
 * A device as its driver sees the DMA API: the calls by their Linux names.
 *
 * Every call has two forms. `mapSingle(cpu, …)` runs at once and returns; it is for hosts with one CPU, for
 * bring-up and shutdown, and for tests. `beginMapSingle(cpu, …, then)` is for CPU programs that may have
 * to wait for a lock: it returns the program's next step, and leaves the address in `mapped[cpu]` when
 * `then` runs. Both are the same steps.
 */
import { fail } from "@vnic/sim/core"
import { DMA_MAPPING_ERROR, MAP_FAILURES, MAP_OK, type BusAddr, type Direction, type PhysAddr } from "./types.ts"

/** What the driver asked for since the beginning, by what reached a translation table. */
export interface DeviceCounters {
  /** Mappings made and undone in a table: [bidirectional, to device, from device]. */
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
  /** mapped[cpu]: the bus address of the CPU's last map, or DMA_MAPPING_ERROR. */
  readonly mapped: Float64Array
  /** failure[cpu]: why the CPU's last map failed (MAP_OK when it did not). */
  readonly failure: Int8Array

  /** dma_map_single: hands `sizeBytes` at `phys` over to the device. */
  mapSingle(cpu: number, phys: PhysAddr, sizeBytes: number, direction: Direction): BusAddr
  /** dma_map_page: the same for part of a page. */
  mapPage(cpu: number, page: PhysAddr, offsetBytes: number, sizeBytes: number, direction: Direction): BusAddr
  /** dma_unmap_single: takes it back. Address, size and direction must be those of the map. */
  unmapSingle(cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void
  beginMapSingle(cpu: number, phys: PhysAddr, sizeBytes: number, direction: Direction, then: number): number
  beginUnmapSingle(cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction, then: number): number
  /** dma_sync_single_for_cpu: the CPU may read part of a mapping until it is handed back. */
  syncSingleForCpu(cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void
  /** dma_sync_single_for_device: hands it back. */
  syncSingleForDevice(cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void
  /** dma_alloc_coherent: zeroed memory, whole pages, naturally aligned; undefined when there is none. */
  allocCoherent(cpu: number, sizeBytes: number): Coherent | undefined
  freeCoherent(cpu: number, block: Coherent): void
  /** dma_mapping_error. */
  mappingError(busAddr: BusAddr): boolean
  /**
   * The device itself touched a range, at `atPs`: read it (TO_DEVICE) or wrote it (FROM_DEVICE). Whoever
   * watches its bus tells; it is a finding of debug when no live mapping holds the whole range.
   */
  accessed(busAddr: BusAddr, sizeBytes: number, direction: Direction, atPs: number): void
  /** The device goes, once: what is still mapped is a leak. */
  release(): void
  readonly isReleased: boolean
}

/** A map of nothing, or in no direction, is a defect of the caller. */
export function checkMap(sizeBytes: number, direction: number): void {
  if (sizeBytes <= 0) fail("a map of no bytes")
  if (direction >>> 0 > 2) fail("a map in no direction")
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
