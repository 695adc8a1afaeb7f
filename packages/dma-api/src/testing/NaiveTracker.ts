/** The oracle of DMA debug: live mappings in a list, every question answered by looking at all of them. */
import type { FindingKind } from "../core/debugChecks.ts"
import { DMA_MAPPING_ERROR, TO_DEVICE, type Direction } from "../core/types.ts"

/** A mapping as whoever makes it knows it. */
export interface NaiveMapping {
  readonly device: string
  readonly kind: "single" | "coherent" | "sg" | "link"
  readonly busAddr: number
  readonly sizeBytes: number
  readonly direction: Direction
  /** Entries of its scatter list; 0 when it is of none. */
  readonly listEntries: number
  /** Where its bytes lie: address and size of each piece. */
  readonly pieces: ReadonlyArray<readonly [phys: number, sizeBytes: number]>
}

interface LiveMapping extends NaiveMapping {
  isChecked: boolean
}

const KINDS = ["single", "coherent", "sg", "link"]
const OVERLAPS_MAX = 7

/** The first of those that come first in each order, one order after the other. */
const bestOf = <A>(all: ReadonlyArray<A>, ...orders: ReadonlyArray<(one: A) => number>): A | undefined =>
  all.toSorted((left, right) => {
    for (const order of orders) if (order(left) !== order(right)) return order(left) - order(right)
    return 0
  })[0]

export class NaiveTracker {
  /** Live mappings, the latest first. */
  readonly live: Array<LiveMapping> = []
  /** Everything found. */
  readonly found: Array<FindingKind> = []
  private readonly lineBytes: number
  private newest: LiveMapping | undefined

  constructor(lineBytes = 64) {
    this.lineBytes = lineBytes
  }

  mapped(mapping: NaiveMapping, isSyncSkipped = false): void {
    const lines = this.linesOf(mapping)
    const others = this.live.map((other) => this.linesOf(other))
    const depths = [...lines].map((line) => others.filter((other) => other.has(line)).length)
    const depth = Math.max(0, ...depths)
    if (depth > 0 && !isSyncSkipped) this.found.push("overlappingMappings")
    if (depth > OVERLAPS_MAX) this.found.push("tooManyOverlaps")
    this.newest = { ...mapping, isChecked: mapping.kind !== "single" }
    this.live.unshift(this.newest)
  }

  /** Cache lines that a mapping must not share. */
  private linesOf(mapping: NaiveMapping): ReadonlySet<number> {
    const lines = new Set<number>()
    if (mapping.direction === TO_DEVICE) return lines
    for (const [phys, sizeBytes] of mapping.pieces) {
      const last = Math.floor((phys + sizeBytes - 1) / this.lineBytes)
      for (let line = Math.floor(phys / this.lineBytes); line <= last; line++) lines.add(line)
    }
    return lines
  }

  mappingErrorChecked(device: string, busAddr: number): void {
    const owing = this.live.filter(
      (mapping) => mapping.device === device && mapping.busAddr === busAddr && !mapping.isChecked
    )
    const newest = owing.find((mapping) => mapping === this.newest)
    const mapping = newest ?? bestOf(owing, ({ sizeBytes }) => sizeBytes)
    if (mapping !== undefined) mapping.isChecked = true
  }

  /** The mapping that fits best goes: in size, direction, kind, entries; among equals the smallest, then the latest. */
  unmapped(asked: Omit<NaiveMapping, "pieces">): void {
    const best = bestOf(
      this.live.filter((mapping) => mapping.device === asked.device && mapping.busAddr === asked.busAddr),
      (mapping) => Number(mapping.sizeBytes !== asked.sizeBytes),
      (mapping) => Number(mapping.direction !== asked.direction),
      (mapping) => Number(mapping.kind !== asked.kind),
      (mapping) => Number(mapping.listEntries !== asked.listEntries),
      (mapping) => mapping.sizeBytes
    )
    if (best === undefined) {
      this.found.push(asked.busAddr === DMA_MAPPING_ERROR ? "unmapOfError" : "unmapOfNothing")
      return
    }
    if (best.sizeBytes !== asked.sizeBytes) this.found.push("wrongSize")
    if (best.direction !== asked.direction) this.found.push("wrongDirection")
    if (best.kind !== asked.kind) this.found.push("wrongKind")
    else if (best.listEntries !== asked.listEntries) this.found.push("wrongEntryCount")
    if (!best.isChecked) this.found.push("mappingErrorUnchecked")
    this.live.splice(this.live.indexOf(best), 1)
  }

  /** A list is unmapped: what is wrong with its first wrong segment is found, the rest goes in silence. */
  unmappedList(segments: ReadonlyArray<Omit<NaiveMapping, "pieces">>): void {
    const before = this.found.length
    let foundOfFirst = before
    for (const segment of segments) {
      this.unmapped(segment)
      if (foundOfFirst === before) foundOfFirst = this.found.length
      this.found.length = foundOfFirst
    }
  }

  /** At most one finding: the one that says most. `listEntries` is 0 for no list. */
  synced(
    device: string,
    busAddr: number,
    sizeBytes: number,
    direction: Direction,
    listEntries: number,
    isForCpu: boolean
  ): void {
    const around = this.around(device, busAddr, sizeBytes)
    const allows = (mapping: NaiveMapping): boolean => mapping.direction === 0 || mapping.direction === direction
    const isCount = (mapping: NaiveMapping): boolean => listEntries === 0 || mapping.listEntries === listEntries
    if (around.some((mapping) => allows(mapping) && isCount(mapping))) return
    if (around.length === 0) {
      const isBegun = this.around(device, busAddr, 1).length > 0
      this.found.push(isBegun ? "syncBeyondMapping" : "syncOutsideMapping")
      return
    }
    const best = bestOf(
      around,
      (mapping) => Number(!allows(mapping)),
      (mapping) => mapping.sizeBytes,
      (mapping) => KINDS.indexOf(mapping.kind) * 4 + mapping.direction
    )!
    if (allows(best)) this.found.push("syncWrongEntryCount")
    else if (isForCpu && best.direction === TO_DEVICE) this.found.push("syncReadOnlyForCpu")
    else if (isForCpu || best.direction === TO_DEVICE) this.found.push("syncWrongDirection")
    else this.found.push("syncWriteOnlyForDevice")
  }

  syncedList(
    segments: ReadonlyArray<NaiveMapping>,
    listEntries: number,
    direction: Direction,
    isForCpu: boolean
  ): void {
    const before = this.found.length
    for (const { busAddr, device, sizeBytes } of segments) {
      if (this.found.length === before) this.synced(device, busAddr, sizeBytes, direction, listEntries, isForCpu)
    }
  }

  accessed(device: string, busAddr: number, sizeBytes: number, direction: Direction): void {
    const around = this.around(device, busAddr, sizeBytes)
    if (around.some((mapping) => mapping.direction === 0 || mapping.direction === direction)) return
    this.found.push("accessOutsideMapping")
  }

  pageFreed(phys: number, sizeBytes: number): void {
    for (const { pieces } of this.live) {
      const isInside = pieces.some(([start, length]) => start < phys + sizeBytes && phys < start + length)
      if (isInside) this.found.push("pageFreedWhileMapped")
    }
  }

  released(device: string): void {
    for (const mapping of this.live) if (mapping.device === device) this.found.push("leak")
  }

  private around(device: string, busAddr: number, sizeBytes: number): ReadonlyArray<NaiveMapping> {
    return this.live.filter(
      (mapping) =>
        mapping.device === device &&
        mapping.busAddr <= busAddr &&
        busAddr + sizeBytes <= mapping.busAddr + mapping.sizeBytes
    )
  }
}
