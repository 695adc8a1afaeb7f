/**
 * DMA debug: what was done wrong with mappings. It knows every live mapping of every device, exactly.
 * Findings are data: they are counted by kind, and the first ones are kept with all that is known of them.
 */
import { assert } from "@vnic/sim/core"
import { directionOfTag, MAPPING_NONE, MappingTable, type Mapping } from "./mappings.ts"
import type { BusAddr, Direction, PhysAddr } from "./types.ts"

export const FINDING_KINDS = [
  "leak",
  "unmapOfNothing",
  "wrongSize",
  "wrongDirection",
  "wrongKind",
  "syncOutsideMapping",
  "syncWrongDirection",
  "accessOutsideMapping"
] as const
export type FindingKind = (typeof FINDING_KINDS)[number]

/** One thing done wrong. */
export interface Finding {
  readonly kind: FindingKind
  readonly device: string
  readonly busAddr: BusAddr
  readonly sizeBytes: number
  readonly direction: Direction
  readonly atPs: number
  /** The CPU that did it, CPU_NONE when the device itself did. */
  readonly cpu: number
  /** The mapping that it concerns, where there is one. */
  readonly mapping: Mapping | undefined
}

/** No CPU was involved. */
export const CPU_NONE = -1
/** Findings that are kept whole; the others are counted. */
export const FINDINGS_KEPT_MAX = 64

export class DmaDebug {
  declare readonly counts: Record<FindingKind, number>
  readonly findings: Array<Finding> = []
  /** What the last unmap took out that returned false: its size (0: nothing was) and tag. */
  undoneBytes = 0
  undoneTag = 0
  private readonly names: Array<string> = []
  declare private readonly mappings: MappingTable
  declare private readonly clocks: Float64Array

  constructor(localPs: Float64Array) {
    this.clocks = localPs
    this.mappings = new MappingTable(localPs)
    this.counts = Object.fromEntries(FINDING_KINDS.map((kind) => [kind, 0])) as Record<FindingKind, number>
  }

  /** A number by which a device's mappings are tracked. */
  readonly addDevice = (name: string): number => {
    assert(this.names.length < 1 << 15, "too many devices")
    this.names.push(name)
    return this.names.length - 1
  }

  /** All that was found wrong, in number. */
  get findingCount(): number {
    return FINDING_KINDS.reduce((sum, kind) => sum + this.counts[kind], 0)
  }

  /** Live mappings now. */
  get liveCount(): number {
    return this.mappings.liveCount
  }

  readonly mapped = (
    device: number,
    cpu: number,
    busAddr: BusAddr,
    phys: PhysAddr,
    sizeBytes: number,
    tag: number
  ): void => {
    this.mappings.add(device, cpu, busAddr, phys, sizeBytes, tag)
  }

  /**
   * Takes a mapping out; whatever does not match how it was made is a finding. True when all matched, else
   * `undoneBytes` and `undoneTag` say what was taken out.
   *
   * MODEL: with several mappings at one address and none that fits in all, the kernel takes none of them;
   * here the one that fits best goes, so that the finding names what is wrong.
   */
  readonly unmapped = (device: number, cpu: number, busAddr: BusAddr, sizeBytes: number, tag: number): boolean => {
    return (
      this.mappings.take(device, busAddr, sizeBytes, tag) || this.unmappedBadly(device, cpu, busAddr, sizeBytes, tag)
    )
  }

  private readonly unmappedBadly = (
    device: number,
    cpu: number,
    busAddr: BusAddr,
    sizeBytes: number,
    tag: number
  ): false => {
    const { mappings } = this
    const atPs = this.clocks[cpu]!
    const entry = mappings.bestAt(device, busAddr, sizeBytes, tag)
    this.undoneBytes = 0
    if (entry === MAPPING_NONE) {
      this.find("unmapOfNothing", device, cpu, busAddr, sizeBytes, tag, atPs, entry)
      return false
    }
    this.undoneBytes = mappings.sizeBytesOf(entry)
    this.undoneTag = mappings.tagOf(entry)
    const difference = this.undoneTag ^ tag
    if (this.undoneBytes !== sizeBytes) this.find("wrongSize", device, cpu, busAddr, sizeBytes, tag, atPs, entry)
    if ((difference & 3) !== 0) this.find("wrongDirection", device, cpu, busAddr, sizeBytes, tag, atPs, entry)
    if (difference >> 2 !== 0) this.find("wrongKind", device, cpu, busAddr, sizeBytes, tag, atPs, entry)
    mappings.remove(entry)
    return false
  }

  /** The CPU syncs part of a mapping; it must lie inside one, with a direction that fits. */
  readonly synced = (device: number, cpu: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): void => {
    const entry = this.mappings.around(device, busAddr, sizeBytes, direction)
    if (entry !== MAPPING_NONE && this.mappings.allows(entry, direction)) return
    const kind = entry === MAPPING_NONE ? "syncOutsideMapping" : "syncWrongDirection"
    this.find(kind, device, cpu, busAddr, sizeBytes, direction, this.clocks[cpu]!, entry)
  }

  /** The device touched a range at `atPs`; it must lie inside a live mapping that lets it do so. */
  readonly accessed = (
    device: number,
    busAddr: BusAddr,
    sizeBytes: number,
    direction: Direction,
    atPs: number
  ): void => {
    const entry = this.mappings.around(device, busAddr, sizeBytes, direction)
    if (entry !== MAPPING_NONE && this.mappings.allows(entry, direction)) return
    this.find("accessOutsideMapping", device, CPU_NONE, busAddr, sizeBytes, direction, atPs, entry)
  }

  /** Every mapping that is still live when its device goes is a leak; they stay listed. */
  readonly released = (device: number): void => {
    const { mappings } = this
    for (const entry of mappings.entries(device)) {
      const cpu = mappings.cpuOf(entry)
      const sizeBytes = mappings.sizeBytesOf(entry)
      const atPs = this.clocks[cpu]!
      this.find("leak", device, cpu, mappings.busAddrOf(entry), sizeBytes, mappings.tagOf(entry), atPs, entry)
    }
  }

  /** Live mappings of a device, or of all, by bus address. */
  readonly live = (device?: number): ReadonlyArray<Mapping> => {
    return this.mappings.entries(device).map((entry) => this.mappings.describe(entry, this.names))
  }

  private readonly find = (
    kind: FindingKind,
    device: number,
    cpu: number,
    busAddr: BusAddr,
    sizeBytes: number,
    tag: number,
    atPs: number,
    entry: number
  ): void => {
    this.counts[kind]++
    if (this.findings.length >= FINDINGS_KEPT_MAX) return
    this.findings.push({
      kind,
      device: this.names[device]!,
      busAddr,
      sizeBytes,
      direction: directionOfTag(tag),
      atPs,
      cpu,
      mapping: entry === MAPPING_NONE ? undefined : this.mappings.describe(entry, this.names)
    })
  }
}

/** Tracks mappings; times are read from the CPUs' local clocks. */
export const makeDmaDebug = (localPs: Float64Array): DmaDebug => new DmaDebug(localPs)
