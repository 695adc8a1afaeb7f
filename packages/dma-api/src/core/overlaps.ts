/**
 * Which live mappings share memory. Its footprint tells at once that a new mapping shares no cache line, which is
 * nearly always so; whoever shares one is looked for among all mappings.
 */
import { Footprint } from "./footprint.ts"
import { MAPPING_NONE, MARK_OVERLAPS, type MappingTable } from "./mappings.ts"
import { TO_DEVICE, type PhysAddr } from "./types.ts"

// Copied: an import that is read in a hot function is looked up each time.
const READ_ONLY = TO_DEVICE

/**
 * What a mapping shares: the first one found that it overlaps, and the most buffers that share one line with one of
 * its own. A merged segment whose buffers share a line overlaps itself.
 */
export interface Overlap {
  readonly other: number
  readonly depth: number
}

export class Overlaps {
  /** pieces[entry]: where a segment lies that was merged from several buffers: address, size, address, size, … */
  private readonly pieces = new Map<number, ReadonlyArray<number>>()
  declare private readonly mappings: MappingTable
  declare private readonly footprint: Footprint
  private pieceCount = 0
  /** Live mappings that shared a line when they were made. */
  private overlapCount = 0

  constructor(mappings: MappingTable, lineBytes: number) {
    this.mappings = mappings
    this.footprint = new Footprint(lineBytes)
  }

  /** The segment of this entry, which is to be added, was merged from these buffers. */
  setPieces(entry: number, pieces: ReadonlyArray<number>): void {
    this.pieces.set(entry, pieces)
    this.pieceCount++
  }

  /** A mapping was made, with this tag: does it share a cache line with another one? */
  readonly added = (entry: number, phys: PhysAddr, sizeBytes: number, tag: number): boolean => {
    const isTracked = (tag & 3) !== READ_ONLY
    if ((this.overlapCount | this.pieceCount) !== 0) return this.addedSlowly(entry, isTracked)
    const isShared = this.footprint.add(phys, sizeBytes, isTracked)
    if (isShared) this.noteShared(entry)
    return isShared
  }

  /** Lines that the device only reads may be shared. */
  private isTracked(entry: number): boolean {
    return (this.mappings.tagOf(entry) & 3) !== READ_ONLY
  }

  private addedSlowly(entry: number, isTracked: boolean): boolean {
    let isShared = false
    this.forRanges(entry, (phys, sizeBytes) => {
      if (this.footprint.add(phys, sizeBytes, isTracked)) isShared = true
    })
    if (isShared) this.noteShared(entry)
    return isShared
  }

  private noteShared(entry: number): void {
    this.mappings.mark(entry, MARK_OVERLAPS)
    this.overlapCount++
  }

  /** A mapping with this tag was taken out, and no other was added since. */
  readonly removed = (entry: number, sizeBytes: number, tag: number): void => {
    if ((this.overlapCount | this.pieceCount) !== 0) this.removedSlowly(entry)
    else this.footprint.remove(this.mappings.physOf(entry), sizeBytes, (tag & 3) !== READ_ONLY)
  }

  private removedSlowly(entry: number): void {
    const isTracked = this.isTracked(entry)
    this.forRanges(entry, (phys, sizeBytes) => this.footprint.remove(phys, sizeBytes, isTracked))
    if (isTracked && this.overlapCount > 0) this.markOthers(entry)
    if (this.mappings.hasMark(entry, MARK_OVERLAPS)) this.overlapCount--
    if (this.pieces.delete(entry)) this.pieceCount--
  }

  /** The lines that others share with it stay taken. */
  private markOthers(entry: number): void {
    this.mappings.forEach((other) => {
      if (!this.isTracked(other) || !this.shareLines(entry, other)) return
      this.forRanges(other, (phys, sizeBytes) => this.footprint.mark(phys, sizeBytes))
    })
  }

  /** What the mapping shares; to be asked when `added` said that it does. */
  overlapOf(entry: number): Overlap {
    const others: Array<number> = []
    this.mappings.forEach((other) => {
      if (other !== entry && this.isTracked(other) && this.shareLines(entry, other)) others.push(other)
    })
    const depth = this.deepest(entry, [entry, ...others]) - 1
    return { other: others[0] ?? (depth > 0 ? entry : MAPPING_NONE), depth }
  }

  /** Most buffers of these that hold one line of the mapping: a walk along their beginnings and ends. */
  private deepest(entry: number, others: ReadonlyArray<number>): number {
    let most = 0
    for (const [first, last] of this.linesOf(entry)) {
      const changes: Array<readonly [line: number, by: number]> = []
      for (const other of others) {
        for (const [start, end] of this.linesOf(other)) {
          if (start <= last && first <= end) changes.push([Math.max(start, first), 1], [end + 1, -1])
        }
      }
      let depth = 0
      changes.sort((left, right) => left[0] - right[0] || left[1] - right[1])
      for (const [, by] of changes) {
        depth += by
        most = Math.max(most, depth)
      }
    }
    return most
  }

  private shareLines(one: number, other: number): boolean {
    if (this.pieceCount === 0) {
      const { footprint, mappings } = this
      const phys = mappings.physOf(one)
      const otherPhys = mappings.physOf(other)
      const isBefore = footprint.lineOf(phys + mappings.sizeBytesOf(one) - 1) < footprint.lineOf(otherPhys)
      return !isBefore && footprint.lineOf(otherPhys + mappings.sizeBytesOf(other) - 1) >= footprint.lineOf(phys)
    }
    const lines = this.linesOf(other)
    return this.linesOf(one).some(([first, last]) => lines.some((range) => range[0] <= last && first <= range[1]))
  }

  /** First and last line of each range. */
  private linesOf(entry: number): ReadonlyArray<readonly [first: number, last: number]> {
    const lines: Array<readonly [number, number]> = []
    this.forRanges(entry, (phys, sizeBytes) => {
      lines.push([this.footprint.lineOf(phys), this.footprint.lineOf(phys + sizeBytes - 1)])
    })
    return lines
  }

  /** Live mappings of all devices that lie in this memory, whatever the device may do there. */
  inside(phys: PhysAddr, sizeBytes: number): ReadonlyArray<number> {
    const found: Array<number> = []
    if (!this.footprint.isTouched(phys, sizeBytes)) return found
    this.mappings.forEach((entry) => {
      let isInside = false
      this.forRanges(entry, (start, length) => {
        if (start < phys + sizeBytes && phys < start + length) isInside = true
      })
      if (isInside) found.push(entry)
    })
    return found
  }

  private forRanges(entry: number, visit: (phys: PhysAddr, sizeBytes: number) => void): void {
    const pieces = this.pieces.get(entry)
    if (pieces === undefined) return visit(this.mappings.physOf(entry), this.mappings.sizeBytesOf(entry))
    for (let at = 0; at < pieces.length; at += 2) visit(pieces[at]!, pieces[at + 1]!)
  }
}
