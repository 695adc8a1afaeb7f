/**
 * What is behind a device's calls: how a bus address is come by. The front (deviceFront.ts) checks, counts and
 * watches; a backend only maps and unmaps. Its parts of CPU programs read their arguments from `Calls`.
 */
import { fail } from "@vnic/sim/core"
import type { DeviceLimits } from "./device.ts"
import type { IovaRange } from "./iovaRange.ts"
import type { ScatterList } from "./scatterList.ts"
import type { BusAddr, Direction } from "./types.ts"

/** The call that each CPU is in, as arrays by CPU. */
export interface Calls {
  readonly phys: Float64Array
  readonly bus: Float64Array
  readonly sizes: Int32Array
  /** Kind and direction, as `tagOf` of mappings.ts makes them. */
  readonly tags: Int32Array
  readonly attributes: Int32Array
  /** The step that goes on when the call is done. */
  readonly thens: Int32Array
  /** Of calls about lists. */
  readonly lists: Array<ScatterList | undefined>
  readonly entryCounts: Int32Array
  /** Of calls about ranges. */
  readonly ranges: Array<IovaRange | undefined>
}

/** Where a backend's map ends; each returns the next step. */
export interface MapEnds {
  mapDone(cpu: number, busAddr: BusAddr): number
  /** Nothing is left mapped; `reason` is a MAP number. */
  mapFailed(cpu: number, reason: number): number
  /** The list's segments are set. */
  listDone(cpu: number): number
  listFailed(cpu: number, reason: number): number
}

/** What a backend is made with, for one device. */
export interface BackendContext {
  readonly calls: Calls
  readonly ends: MapEnds
  readonly limits: DeviceLimits
}

export interface Backend {
  /** Do its mappings reach a translation table? Then they are counted. */
  readonly isTable: boolean
  /** Do its mappings have to be synced? Then the sync calls below are made. */
  readonly isSynced: boolean
  /** Maps the buffer of the CPU's call; ends in `mapDone` or `mapFailed`. */
  beginMap(cpu: number): number
  /**
   * Could the memory of the CPU's call ever be mapped where it lies? Any could, where bus addresses are chosen: then
   * what is in the way is not the place.
   */
  suits(cpu: number): boolean
  /** Unmaps what the CPU's call is about; goes on at its `thens`. */
  beginUnmap(cpu: number): number
  /** A list as a whole; without them each of its entries is mapped by itself. */
  readonly lists?: ListBackend
  /** Ranges without memory. Without them `dmaIovaTryAlloc` is always false. */
  readonly ranges?: RangeBackend
  syncForCpu(cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void
  syncForDevice(cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void
  needsSync(busAddr: BusAddr): boolean
  /** Could a device with this mask be served at all? */
  isMaskSupported(mask: number): boolean
  /** The device's limits have changed. */
  limitsChanged(): void
  readonly requiredMask: number
  /** What it can map at once, whatever a call can say. */
  readonly maxMappingBytes: number
  readonly optMappingBytes: number
  /** An IOMMU page less 1, or 0. */
  readonly mergeBoundary: number
}

export interface ListBackend {
  /** Ends in `listDone` or `listFailed`. */
  beginMapList(cpu: number): number
  /** Goes on at `thens`. */
  beginUnmapList(cpu: number): number
}

export interface RangeBackend {
  /** A range for `sizes` bytes at an offset that suits `phys`: sets the call's, goes on at `thens`; or `mapFailed`. */
  beginAllocate(cpu: number): number
  /** Links `sizes` bytes at `phys` to the call's range at bus address `bus`; MAP_OK or why not. Never waits. */
  link(cpu: number): number
  /** Clears what is linked in `sizes` bytes from `bus` on, flushes at once, and goes on at `thens`. */
  beginUnlink(cpu: number): number
  /** Clears all that is linked, gives the range back when it is flushed, and goes on at `thens`. */
  beginDestroy(cpu: number): number
}

/** Before a call does anything: its device was not released, and its host has that CPU. */
export function checkCall(calls: Calls, cpu: number): void {
  if (calls.thens[cpu] === undefined) fail("a call on a CPU that the host does not have")
}

/** Calls of a host with so many CPUs. */
export const makeCalls = (cpuCount: number): Calls => ({
  phys: new Float64Array(cpuCount),
  bus: new Float64Array(cpuCount),
  sizes: new Int32Array(cpuCount),
  tags: new Int32Array(cpuCount),
  attributes: new Int32Array(cpuCount),
  thens: new Int32Array(cpuCount),
  lists: Array.from({ length: cpuCount }, () => undefined),
  entryCounts: new Int32Array(cpuCount),
  ranges: Array.from({ length: cpuCount }, () => undefined)
})
