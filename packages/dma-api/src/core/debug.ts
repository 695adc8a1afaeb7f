/**
 * DMA debug: what was done wrong with mappings. It knows every live mapping of every device, exactly, and what it
 * looks for stands in debugChecks.ts. Findings are data: they are counted by kind, and the first ones are kept with
 * all that is known of them. A backend tells it of every call, after a map and before an unmap.
 */
import type { FindingKind } from "./debugChecks.ts"
import { CPU_NONE, type Finding } from "./debugFindings.ts"
import { MappingDebug, type DmaDebugOptions } from "./debugMappings.ts"
import type { IovaRange } from "./iovaRange.ts"
import {
  directionOfTag,
  KIND_COHERENT,
  KIND_LINK,
  KIND_SG,
  kindOfTag,
  MAPPING_NONE,
  tagOf,
  type Mapping
} from "./mappings.ts"
import type { ScatterList } from "./scatterList.ts"
import { ATTR_MMIO, BIDIRECTIONAL, type BusAddr, type Direction, type PhysAddr } from "./types.ts"

/** What DMA debug asks of a device's limits; they may change. */
export interface SegmentLimits {
  readonly maxSegSizeBytes: number
  readonly segBoundaryMask: number
}

const UNLIMITED: SegmentLimits = { maxSegSizeBytes: Infinity, segBoundaryMask: Infinity }

export class DmaDebug extends MappingDebug {
  private readonly limits: Array<SegmentLimits> = []
  /** Ranges of bus addresses that each device has, and the CPUs that allocated them. */
  private readonly ranges: Array<Map<IovaRange, number>> = []

  /** A number by which a device's mappings are tracked. */
  readonly addDevice = (name: string, limits: SegmentLimits = UNLIMITED): number => {
    this.limits.push(limits)
    this.ranges.push(new Map())
    return this.found.addDevice(name)
  }

  /** A number for a place in a driver, to be told by `atSite`. */
  nameSite(name: string): number {
    return this.found.nameSite(name)
  }

  /** What the CPU maps from here on is mapped at this place; with 0 a place has the name of its call. */
  readonly atSite = (cpu: number, site: number): void => {
    this.sites[cpu] = site
  }

  /** How often each kind was found. */
  get counts(): Readonly<Record<FindingKind, number>> {
    return this.found.counts
  }

  /** The first findings, whole. */
  get findings(): ReadonlyArray<Finding> {
    return this.found.kept
  }

  /** All that was found wrong, in number. */
  get findingCount(): number {
    return this.found.sum
  }

  /** Live mappings now. */
  get liveCount(): number {
    return this.mappings.liveCount
  }

  /** Live mappings of a device, or of all, by bus address. */
  readonly live = (device?: number): ReadonlyArray<Mapping> => {
    return this.mappings.entries(device).map((entry) => this.found.describe(entry))
  }

  /**
   * A coherent block is about to be freed, said to lie at `phys`. Where it really lies; `phys` where nothing is
   * known of it.
   */
  readonly freeing = (device: number, cpu: number, busAddr: BusAddr, phys: PhysAddr, sizeBytes: number): PhysAddr => {
    const tag = tagOf(KIND_COHERENT, BIDIRECTIONAL)
    const entry = this.mappings.bestAt(device, busAddr, sizeBytes, tag)
    if (entry === MAPPING_NONE || kindOfTag(this.mappings.tagOf(entry)) !== KIND_COHERENT) return phys
    const really = this.mappings.physOf(entry)
    if (really !== phys) this.found.find("wrongCpuAddress", device, cpu, busAddr, sizeBytes, tag, entry)
    return really
  }

  /** A scatter list was mapped: each of its segments is a mapping, with a tag of kind KIND_SG. */
  readonly mappedList = (device: number, cpu: number, list: ScatterList, tag: number, attributes = 0): void => {
    let next = 0
    for (let segment = 0; segment < list.segmentCount; segment++) {
      const first = next
      const sizeBytes = list.busSizeBytesOf(segment)
      for (let left = sizeBytes; left > 0 && next < list.entryCount; next++) left -= list.sizeBytesOf(next)
      const entry = this.add(device, cpu, list.busAddrOf(segment), list.physOf(first), sizeBytes, tag, 0)
      if (entry === MAPPING_NONE) return
      this.mappings.setListEntries(entry, list.entryCount)
      if (next > first + 1) this.overlaps.setPieces(entry, rangesOf(list, first, next))
      this.checkSegment(device, cpu, entry)
      this.checkMemory(device, cpu, entry, list, first, next, attributes)
    }
  }

  private readonly checkSegment = (device: number, cpu: number, entry: number): void => {
    const boundaryBytes = this.limits[device]!.segBoundaryMask + 1
    const first = this.mappings.busAddrOf(entry)
    const last = first + this.mappings.sizeBytesOf(entry) - 1
    if (Math.floor(first / boundaryBytes) === Math.floor(last / boundaryBytes)) return
    this.found.findOf("segmentAcrossBoundary", entry, cpu, entry)
  }

  /** The buffers that a segment is made of. */
  private readonly checkMemory = (
    device: number,
    cpu: number,
    entry: number,
    list: ScatterList,
    first: number,
    next: number,
    attributes: number
  ): void => {
    let areas = 0
    for (let buffer = first; buffer < next; buffer++) {
      const sizeBytes = list.sizeBytesOf(buffer)
      const isLong = sizeBytes > this.limits[device]!.maxSegSizeBytes
      if (isLong) this.found.findOf("segmentTooLong", entry, cpu, entry)
      if ((attributes & ATTR_MMIO) === 0) areas |= this.memoryMap.areasOf(list.physOf(buffer), sizeBytes)
    }
    this.findAreas(entry, areas)
    const { mappings } = this
    const isShared = this.overlaps.added(entry, list.physOf(first), mappings.sizeBytesOf(entry), mappings.tagOf(entry))
    if (isShared) this.findOverlaps(entry, attributes)
  }

  /**
   * A scatter list is unmapped, with the number of entries and the direction that the caller says. All its segments
   * that are live go, as they were mapped; how many there were is returned. What is wrong is found of the first
   * segment only.
   */
  readonly unmappedList = (
    device: number,
    cpu: number,
    list: ScatterList,
    listEntries: number,
    tag: number
  ): number => {
    if (this.isDisabled) return list.segmentCount
    if (list.segmentCount === 0) {
      this.found.find("unmapOfNothing", device, cpu, list.busAddrOf(0), list.busSizeBytesOf(0), tag, MAPPING_NONE)
    }
    const before = this.found.sum
    const mappedTag = tagOf(KIND_SG, list.direction)
    let undone = 0
    for (let segment = 0; segment < list.segmentCount; segment++) {
      const busAddr = list.busAddrOf(segment)
      const sizeBytes = list.busSizeBytesOf(segment)
      const entry = this.mappings.take(device, busAddr, sizeBytes, mappedTag, list.entryCount)
      const isRight = entry !== MAPPING_NONE && list.entryCount === listEntries && mappedTag === tag
      if (!isRight || list.isChanged) this.findUnmap(device, cpu, list, segment, listEntries, tag, entry)
      if (this.found.sum !== before) this.found.isQuiet = true
      if (entry === MAPPING_NONE) continue
      undone++
      this.removed(cpu, entry, sizeBytes, mappedTag)
    }
    this.found.isQuiet = false
    return undone
  }

  /** What is wrong with the unmap of a segment; `entry` is what was taken out. */
  private readonly findUnmap = (
    device: number,
    cpu: number,
    list: ScatterList,
    segment: number,
    listEntries: number,
    tag: number,
    entry: number
  ): void => {
    const busAddr = list.busAddrOf(segment)
    const sizeBytes = list.busSizeBytesOf(segment)
    const find = (kind: FindingKind): void => this.found.find(kind, device, cpu, busAddr, sizeBytes, tag, entry)
    if (entry === MAPPING_NONE) find("unmapOfNothing")
    else if (list.entryCount !== listEntries) find("wrongEntryCount")
    if (entry !== MAPPING_NONE && list.direction !== directionOfTag(tag)) find("wrongDirection")
    if (list.isChanged) find("wrongCpuAddress")
  }

  readonly syncedForCpu = (
    device: number,
    cpu: number,
    busAddr: BusAddr,
    sizeBytes: number,
    direction: Direction
  ): void => {
    this.checkSync(device, cpu, busAddr, sizeBytes, direction, 0, true)
  }

  readonly syncedForDevice = (
    device: number,
    cpu: number,
    busAddr: BusAddr,
    sizeBytes: number,
    direction: Direction
  ): void => {
    this.checkSync(device, cpu, busAddr, sizeBytes, direction, 0, false)
  }

  /** A scatter list is synced, with the number of entries that the caller says; at most one finding. */
  readonly syncedList = (
    device: number,
    cpu: number,
    list: ScatterList,
    listEntries: number,
    direction: Direction,
    isForCpu: boolean
  ): void => {
    if (list.segmentCount === 0) {
      this.checkSync(device, cpu, list.busAddrOf(0), list.busSizeBytesOf(0), direction, listEntries, isForCpu)
    }
    const before = this.found.sum
    for (let segment = 0; segment < list.segmentCount && this.found.sum === before; segment++) {
      const sizeBytes = list.busSizeBytesOf(segment)
      this.checkSync(device, cpu, list.busAddrOf(segment), sizeBytes, direction, listEntries, isForCpu)
    }
  }

  /** The device touched a range at `atPs`; it must lie inside a live mapping that lets it do so. */
  readonly accessed = (
    device: number,
    busAddr: BusAddr,
    sizeBytes: number,
    direction: Direction,
    atPs: number
  ): void => {
    if (this.isDisabled) return
    const entry = this.mappings.around(device, busAddr, sizeBytes, direction, 0)
    if (entry !== MAPPING_NONE && this.mappings.allows(entry, direction)) return
    this.found.findAt("accessOutsideMapping", device, CPU_NONE, busAddr, sizeBytes, direction, atPs, entry)
  }

  /**
   * The host's page allocator takes memory back: none of it may be mapped, by no device. To be called by whoever
   * wraps the allocator; without a CPU the time is that of the CPU that is furthest.
   * [Linux commit 466ae6978a5b: IOMMU_DEBUG_PAGEALLOC, a count per page that may miss a race; this misses none]
   */
  readonly pageFreed = (phys: PhysAddr, sizeBytes: number, cpu = CPU_NONE): void => {
    for (const entry of this.overlaps.inside(phys, sizeBytes))
      this.found.findOf("pageFreedWhileMapped", entry, cpu, entry)
  }

  /** A range of bus addresses was allocated, and is about to be freed. */
  readonly rangeAllocated = (device: number, cpu: number, range: IovaRange): void => {
    this.ranges[device]!.set(range, cpu)
  }

  readonly rangeFreed = (device: number, range: IovaRange): void => {
    this.ranges[device]!.delete(range)
  }

  /** Every mapping that is still live when its device goes is a leak, every range too; mappings stay listed. */
  readonly released = (device: number): void => {
    for (const entry of this.mappings.entries(device)) {
      this.found.findOf("leak", entry, this.mappings.cpuOf(entry), entry)
    }
    if (this.isDisabled) return
    const tag = tagOf(KIND_LINK, BIDIRECTIONAL)
    for (const [range, cpu] of this.ranges[device]!) {
      this.found.find("leak", device, cpu, range.busAddr, range.sizeBytes, tag, MAPPING_NONE)
    }
  }
}

/** Address and size of each of these buffers. */
function rangesOf(list: ScatterList, first: number, next: number): ReadonlyArray<number> {
  const ranges: Array<number> = []
  for (let buffer = first; buffer < next; buffer++) ranges.push(list.physOf(buffer), list.sizeBytesOf(buffer))
  return ranges
}

/** Tracks mappings; times are read from the CPUs' local clocks. */
export const makeDmaDebug = (localPs: Float64Array, options: DmaDebugOptions = {}): DmaDebug =>
  new DmaDebug(localPs, options)
