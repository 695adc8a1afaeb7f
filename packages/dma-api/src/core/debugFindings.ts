/** What DMA debug found: counted by kind, and the first ones kept with all that is known of them. */
import { assert } from "@vnic/sim/core"
import { FINDING_KINDS, type FindingKind } from "./debugChecks.ts"
import { DEVICES_MAX, directionOfTag, MAPPING_NONE, type Mapping, type MappingTable } from "./mappings.ts"
import type { BusAddr, Direction } from "./types.ts"

/** One thing done wrong. */
export interface Finding {
  readonly kind: FindingKind
  readonly device: string
  readonly busAddr: BusAddr
  readonly sizeBytes: number
  readonly direction: Direction
  readonly atPs: number
  /** The CPU that did it, CPU_NONE when no CPU did, or none that is known. */
  readonly cpu: number
  /** Where the mapping was made that it concerns, where there is one. */
  readonly mapSite: string | undefined
  /** That mapping; of two that overlap the older one, and itself if buffers that were merged into one overlap. */
  readonly mapping: Mapping | undefined
}

/** No CPU was involved. */
export const CPU_NONE = -1
/** Findings that are kept whole; the others are counted. */
export const FINDINGS_KEPT_MAX = 64

export class Findings {
  readonly counts = Object.fromEntries(FINDING_KINDS.map((kind) => [kind, 0])) as Record<FindingKind, number>
  readonly kept: Array<Finding> = []
  /** All that was found wrong, in number. */
  sum = 0
  /** While true nothing counts: a call that was found wrong is not found wrong again. */
  isQuiet = false
  private readonly devices: Array<string> = []
  /** Names of places in drivers; 0 is none. */
  private readonly sites: Array<string> = [""]
  declare private readonly clocks: Float64Array
  declare private readonly mappings: MappingTable

  constructor(localPs: Float64Array, mappings: MappingTable) {
    this.clocks = localPs
    this.mappings = mappings
  }

  addDevice(name: string): number {
    assert(this.devices.length < DEVICES_MAX, "too many devices")
    return this.devices.push(name) - 1
  }

  nameSite(name: string): number {
    return this.sites.push(name) - 1
  }

  describe(entry: number): Mapping {
    return this.mappings.describe(entry, this.devices, this.sites)
  }

  /** What a call did wrong with these arguments, at the CPU's time; `entry` is the mapping that it concerns. */
  readonly find = (
    kind: FindingKind,
    device: number,
    cpu: number,
    busAddr: BusAddr,
    sizeBytes: number,
    tag: number,
    entry: number
  ): void => {
    const atPs = cpu === CPU_NONE ? Math.max(...this.clocks) : this.clocks[cpu]!
    this.findAt(kind, device, cpu, busAddr, sizeBytes, tag, atPs, entry)
  }

  /** What is wrong with a mapping as it was made, or with its end; `other` is the mapping that it concerns. */
  readonly findOf = (kind: FindingKind, entry: number, cpu: number, other: number): void => {
    const { mappings } = this
    const busAddr = mappings.busAddrOf(entry)
    this.find(kind, mappings.deviceOf(entry), cpu, busAddr, mappings.sizeBytesOf(entry), mappings.tagOf(entry), other)
  }

  /** The same at a time of its own. */
  readonly findAt = (
    kind: FindingKind,
    device: number,
    cpu: number,
    busAddr: BusAddr,
    sizeBytes: number,
    tag: number,
    atPs: number,
    entry: number
  ): void => {
    if (this.isQuiet) return
    this.counts[kind]++
    this.sum++
    if (this.kept.length >= FINDINGS_KEPT_MAX) return
    const mapping = entry === MAPPING_NONE ? undefined : this.describe(entry)
    this.kept.push({
      kind,
      device: this.devices[device]!,
      busAddr,
      sizeBytes,
      direction: directionOfTag(tag),
      atPs,
      cpu,
      mapSite: mapping?.site,
      mapping
    })
  }
}
