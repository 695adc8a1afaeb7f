/** The oracle of DMA debug: live mappings in a list, every question answered by looking at all of them. */
import type { FindingKind } from "../core/debug.ts"
import type { Direction } from "../core/types.ts"

/** A mapping as whoever makes it knows it. */
export interface NaiveMapping {
  readonly device: string
  readonly kind: "single" | "coherent"
  readonly busAddr: number
  readonly sizeBytes: number
  readonly direction: Direction
}

export class NaiveTracker {
  readonly live: Array<NaiveMapping> = []
  /** Everything found, in order; of one operation in the order size, direction, kind. */
  readonly found: Array<FindingKind> = []

  mapped(mapping: NaiveMapping): void {
    this.live.push(mapping)
  }

  /** The mapping that fits best goes: in size, then direction, then kind; among equals the smallest. */
  unmapped(asked: NaiveMapping): void {
    const fit = (mapping: NaiveMapping): number =>
      4 * Number(mapping.sizeBytes === asked.sizeBytes) +
      2 * Number(mapping.direction === asked.direction) +
      Number(mapping.kind === asked.kind)
    const best = this.live
      .filter((mapping) => mapping.device === asked.device && mapping.busAddr === asked.busAddr)
      .sort((left, right) => fit(right) - fit(left) || left.sizeBytes - right.sizeBytes)[0]
    if (best === undefined) {
      this.found.push("unmapOfNothing")
      return
    }
    if (best.sizeBytes !== asked.sizeBytes) this.found.push("wrongSize")
    if (best.direction !== asked.direction) this.found.push("wrongDirection")
    if (best.kind !== asked.kind) this.found.push("wrongKind")
    this.live.splice(this.live.indexOf(best), 1)
  }

  synced(device: string, busAddr: number, sizeBytes: number, direction: Direction): void {
    const around = this.around(device, busAddr, sizeBytes)
    if (around.length === 0) this.found.push("syncOutsideMapping")
    else if (!around.some((mapping) => mapping.direction === 0 || mapping.direction === direction)) {
      this.found.push("syncWrongDirection")
    }
  }

  accessed(device: string, busAddr: number, sizeBytes: number, direction: Direction): void {
    const around = this.around(device, busAddr, sizeBytes)
    if (around.some((mapping) => mapping.direction === 0 || mapping.direction === direction)) return
    this.found.push("accessOutsideMapping")
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
