/** The checks of DMA debug that concern one mapping at a time: when it is made, undone, synced. */
import type { FindingKind } from "./debugChecks.ts"
import { Findings } from "./debugFindings.ts"
import { CACHE_LINE_BYTES } from "./iova/allocator.ts"
import {
  ENTRIES_MAX,
  KIND_LINK,
  KIND_SG,
  KIND_SINGLE,
  kindOfTag,
  MAPPING_NONE,
  MappingTable,
  MARK_UNCHECKED,
  SITE_SHIFT
} from "./mappings.ts"
import { AREA_INVALID, AREA_KERNEL, AREA_STACK, AREA_VMALLOC, makeMemoryMap, type MemoryMap } from "./memoryMap.ts"
import { Overlaps } from "./overlaps.ts"
import {
  ATTR_MMIO,
  ATTR_SKIP_CPU_SYNC,
  DMA_MAPPING_ERROR,
  FROM_DEVICE,
  TO_DEVICE,
  type BusAddr,
  type Direction,
  type PhysAddr
} from "./types.ts"

export interface DmaDebugOptions {
  /** Which memory must not be mapped; all may when left out. */
  readonly memoryMap?: MemoryMap
  /** Bytes that CPUs cache together, a power of two; 64 when left out. */
  readonly cacheLineBytes?: number
  /** A finding at each multiple of so many live mappings; none when left out. */
  readonly growthEvery?: number
  /** Live mappings that can be tracked; with one more, debugging ends. 2^21 when left out. */
  readonly entriesMax?: number
}

/** As a number of entries: more than there can be. */
const NEVER = 0x7fff_ffff
/** More mappings of one cache line than this, besides the first, are too many. */
const OVERLAPS_MAX = 7
/** Kinds as bits: whose driver must look whether the map failed, and whose memory the driver chose. */
const CHECKED_KINDS = 1 << KIND_SINGLE
const MEMORY_KINDS = (1 << KIND_SINGLE) | (1 << KIND_SG) | (1 << KIND_LINK)
const AREA_FINDINGS = [
  [AREA_INVALID, "invalidMemory"],
  [AREA_VMALLOC, "vmallocMemory"],
  [AREA_STACK, "stackMemory"],
  [AREA_KERNEL, "kernelMemory"]
] as const
const EVERYWHERE = makeMemoryMap(Infinity)
/** Is one of these two a segment or a link? */
const isPart = (one: number, other: number): boolean => Math.max(kindOfTag(one), kindOfTag(other)) >= KIND_SG

// Copied: an import that is read in a hot function is looked up each time.
const NONE = MAPPING_NONE
const UNCHECKED = MARK_UNCHECKED
const MMIO = ATTR_MMIO
const SITE = SITE_SHIFT

export class MappingDebug {
  /** What the last unmap took out that returned false: its size (0: nothing was) and tag. */
  undoneBytes = 0
  undoneTag = 0
  /** True when there were more mappings than entries: nothing is looked at any more. */
  isDisabled = false
  declare protected readonly found: Findings
  declare protected readonly mappings: MappingTable
  declare protected readonly overlaps: Overlaps
  declare protected readonly memoryMap: MemoryMap
  /** Where in its driver each CPU's program is. */
  declare protected readonly sites: Int32Array
  declare private readonly growthEvery: number
  declare private nextGrowth: number

  constructor(localPs: Float64Array, options: DmaDebugOptions) {
    this.mappings = new MappingTable(localPs, options.entriesMax ?? ENTRIES_MAX)
    this.found = new Findings(localPs, this.mappings)
    this.overlaps = new Overlaps(this.mappings, options.cacheLineBytes ?? CACHE_LINE_BYTES)
    this.memoryMap = options.memoryMap ?? EVERYWHERE
    this.sites = new Int32Array(localPs.length)
    this.growthEvery = options.growthEvery ?? NEVER
    this.nextGrowth = this.growthEvery
  }

  /** A mapping was made; `attributes` are those of the call. */
  readonly mapped = (
    device: number,
    cpu: number,
    busAddr: BusAddr,
    phys: PhysAddr,
    sizeBytes: number,
    tag: number,
    attributes = 0
  ): void => {
    const kind = 1 << ((tag >> 2) & 3)
    const mark = (kind & CHECKED_KINDS) === 0 ? 0 : UNCHECKED
    const entry = this.add(device, cpu, busAddr, phys, sizeBytes, tag, mark)
    if (entry === NONE) return
    if ((kind & MEMORY_KINDS) !== 0 && (attributes & MMIO) === 0) {
      const areas = this.memoryMap.areasOf(phys, sizeBytes)
      if (areas !== 0) this.findAreas(entry, areas)
    }
    if (this.overlaps.added(entry, phys, sizeBytes, tag)) this.findOverlaps(entry, attributes)
  }

  /** The entry of a new mapping; MAPPING_NONE from when there is no room for one. */
  protected readonly add = (
    device: number,
    cpu: number,
    busAddr: BusAddr,
    phys: PhysAddr,
    sizeBytes: number,
    tag: number,
    mark: number
  ): number => {
    if (this.isDisabled) return NONE
    const marks = (this.sites[cpu]! << SITE) | mark
    const entry = this.mappings.add(device, cpu, busAddr, phys, sizeBytes, tag, marks)
    if (entry === NONE) this.disable(device, cpu, busAddr, sizeBytes, tag)
    else if (entry >= this.nextGrowth) this.grown(entry)
    return entry
  }

  private readonly disable = (device: number, cpu: number, busAddr: BusAddr, sizeBytes: number, tag: number): void => {
    this.found.find("entriesExhausted", device, cpu, busAddr, sizeBytes, tag, NONE)
    this.isDisabled = true
    this.mappings.clear()
  }

  private readonly grown = (entry: number): void => {
    this.nextGrowth = Math.min(NEVER, this.nextGrowth + this.growthEvery)
    this.found.findOf("poolGrowth", entry, this.mappings.cpuOf(entry), entry)
  }

  /** A buffer of the mapping lies in areas in which none may. */
  protected readonly findAreas = (entry: number, areas: number): void => {
    for (const [area, kind] of AREA_FINDINGS) {
      if ((areas & area) !== 0) this.found.findOf(kind, entry, this.mappings.cpuOf(entry), entry)
    }
  }

  /** The new mapping has a cache line that was marked before it came. */
  protected readonly findOverlaps = (entry: number, attributes: number): void => {
    const { depth, other } = this.overlaps.overlapOf(entry)
    if (other === NONE) return
    const cpu = this.mappings.cpuOf(entry)
    if ((attributes & ATTR_SKIP_CPU_SYNC) === 0) this.found.findOf("overlappingMappings", entry, cpu, other)
    if (depth > OVERLAPS_MAX) this.found.findOf("tooManyOverlaps", entry, cpu, other)
  }

  /** The driver looked whether the map that gave this address failed. */
  readonly mappingErrorChecked = (device: number, busAddr: BusAddr): void => {
    this.mappings.check(device, busAddr)
  }

  /**
   * Takes a mapping out; whatever does not match how it was made is a finding. True when all matched, else
   * `undoneBytes` and `undoneTag` say what was taken out. A segment or a link is part of something larger: it goes
   * with that alone.
   *
   * MODEL: with several mappings at one address and none that fits in all, the kernel takes none of them;
   * here the one that fits best goes, so that the finding names what is wrong.
   */
  readonly unmapped = (device: number, cpu: number, busAddr: BusAddr, sizeBytes: number, tag: number): boolean => {
    if (this.isDisabled) return true
    const entry = this.mappings.take(device, busAddr, sizeBytes, tag, 0)
    if (entry === NONE) {
      this.takeBest(device, cpu, busAddr, sizeBytes, tag)
      return false
    }
    this.removed(cpu, entry, sizeBytes, tag)
    return true
  }

  /** An entry was taken out just now. */
  protected readonly removed = (cpu: number, entry: number, sizeBytes: number, tag: number): void => {
    this.overlaps.removed(entry, sizeBytes, tag)
    if (this.mappings.hasMark(entry, UNCHECKED)) this.found.findOf("mappingErrorUnchecked", entry, cpu, entry)
  }

  /** Takes out the mapping at this address that fits best, and finds what does not. */
  private readonly takeBest = (device: number, cpu: number, busAddr: BusAddr, sizeBytes: number, tag: number): void => {
    const { mappings } = this
    const entry = mappings.bestAt(device, busAddr, sizeBytes, tag)
    const find = (kind: FindingKind): void => this.found.find(kind, device, cpu, busAddr, sizeBytes, tag, entry)
    this.undoneBytes = 0
    if (entry === NONE) {
      find(busAddr === DMA_MAPPING_ERROR ? "unmapOfError" : "unmapOfNothing")
      return
    }
    const mappedBytes = mappings.sizeBytesOf(entry)
    const mappedTag = mappings.tagOf(entry)
    const isKindWrong = kindOfTag(mappedTag) !== kindOfTag(tag)
    if (mappedBytes !== sizeBytes) find("wrongSize")
    if (isKindWrong) find("wrongKind")
    if (((mappedTag ^ tag) & 3) !== 0) find("wrongDirection")
    if (isKindWrong && isPart(mappedTag, tag)) return
    this.undoneBytes = mappedBytes
    this.undoneTag = mappedTag
    mappings.remove(entry)
    this.removed(cpu, entry, mappedBytes, mappedTag)
  }

  /**
   * The CPU takes part of a mapping (`isForCpu`) or gives it back; it must lie inside one, with a direction that
   * fits, and of a list with as many entries (`listEntries`, 0 for no list).
   *
   * MODEL: one finding for a sync, the one that says most. The kernel reports a sync for the CPU of what the device
   * only reads twice, once as a wrong direction; and one beyond its mapping as one of nothing.
   */
  protected readonly checkSync = (
    device: number,
    cpu: number,
    busAddr: BusAddr,
    sizeBytes: number,
    direction: Direction,
    listEntries: number,
    isForCpu: boolean
  ): void => {
    if (this.isDisabled) return
    const { mappings } = this
    let entry = mappings.around(device, busAddr, sizeBytes, direction, listEntries)
    let kind: FindingKind
    if (entry === NONE) {
      entry = mappings.around(device, busAddr, 1, direction, listEntries)
      kind = entry === NONE ? "syncOutsideMapping" : "syncBeyondMapping"
    } else if (!mappings.allows(entry, direction)) {
      const mappedWay = mappings.tagOf(entry) & 3
      kind = "syncWrongDirection"
      if (isForCpu && mappedWay === TO_DEVICE) kind = "syncReadOnlyForCpu"
      if (!isForCpu && mappedWay === FROM_DEVICE) kind = "syncWriteOnlyForDevice"
    } else if (listEntries !== 0 && mappings.listEntriesOf(entry) !== listEntries) {
      kind = "syncWrongEntryCount"
    } else return
    this.found.find(kind, device, cpu, busAddr, sizeBytes, direction, entry)
  }
}
