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

const isSameSegment = (one: NaiveMapping, other: NaiveMapping): boolean =>
  one.kind === other.kind &&
  one.device === other.device &&
  one.busAddr === other.busAddr &&
  one.sizeBytes === other.sizeBytes &&
  one.direction === other.direction &&
  one.listEntries === other.listEntries

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
    const held = [...lines, ...this.live.flatMap((other) => this.linesOf(other))]
    const depths = lines.map((line) => held.filter((other) => other === line).length - 1)
    const depth = Math.max(0, ...depths)
    if (depth > 0 && !isSyncSkipped) this.found.push("overlappingMappings")
    if (depth > OVERLAPS_MAX) this.found.push("tooManyOverlaps")
    this.newest = { ...mapping, isChecked: mapping.kind !== "single" }
    this.live.unshift(this.newest)
  }

  /** Cache lines that a mapping must not share, those of each of its buffers. */
  private linesOf(mapping: NaiveMapping): ReadonlyArray<number> {
    const lines: Array<number> = []
    if (mapping.direction === TO_DEVICE) return lines
    for (const [phys, sizeBytes] of mapping.pieces) {
      const last = Math.floor((phys + sizeBytes - 1) / this.lineBytes)
      for (let line = Math.floor(phys / this.lineBytes); line <= last; line++) lines.push(line)
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

  /**
   * The mapping that fits best goes: in kind, size, direction; among equals the smallest, then the latest. Not so what
   * is part of a list or a range, unless it is meant: it is only complained of.
   */
  unmapped(asked: Omit<NaiveMapping, "pieces">): void {
    const best = bestOf(
      this.live.filter((mapping) => mapping.device === asked.device && mapping.busAddr === asked.busAddr),
      (mapping) => Number(mapping.kind !== asked.kind),
      (mapping) => Number(mapping.sizeBytes !== asked.sizeBytes),
      (mapping) => Number(mapping.direction !== asked.direction),
      (mapping) => mapping.sizeBytes
    )
    if (best === undefined) {
      this.found.push(asked.busAddr === DMA_MAPPING_ERROR ? "unmapOfError" : "unmapOfNothing")
      return
    }
    if (best.sizeBytes !== asked.sizeBytes) this.found.push("wrongSize")
    if (best.direction !== asked.direction) this.found.push("wrongDirection")
    if (best.kind !== asked.kind) {
      this.found.push("wrongKind")
      if ([best.kind, asked.kind].some((kind) => kind === "sg" || kind === "link")) return
    }
    if (!best.isChecked) this.found.push("mappingErrorUnchecked")
    this.live.splice(this.live.indexOf(best), 1)
  }

  /**
   * A list is unmapped, as mapped in these segments: they and no others go. What the caller says wrong is found of the
   * first one alone.
   */
  unmappedList(segments: ReadonlyArray<NaiveMapping>, listEntries: number, direction: Direction): void {
    const before = this.found.length
    for (const segment of segments) {
      const index = this.live.findIndex((mapping) => isSameSegment(mapping, segment))
      if (index >= 0) this.live.splice(index, 1)
      if (this.found.length > before) continue
      if (index < 0) this.found.push("unmapOfNothing")
      else {
        if (segment.listEntries !== listEntries) this.found.push("wrongEntryCount")
        if (segment.direction !== direction) this.found.push("wrongDirection")
      }
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
