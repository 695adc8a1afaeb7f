/** One live mapping: what it is called, and what is known of it. */
import type { BusAddr, Direction, PhysAddr } from "./types.ts"

/** How a mapping was made; unmapping must use the same way. */
export const KIND_SINGLE = 0
export const KIND_COHERENT = 1
/** A segment of a scatter list; a piece linked into a range of bus addresses (dma_iova_link). */
export const KIND_SG = 2
export const KIND_LINK = 3
export const MAPPING_KINDS = ["single", "coherent", "sg", "link"] as const

/** Kind and direction of a mapping in one number. */
export const tagOf = (kind: number, direction: Direction): number => (kind << 2) | direction
export const directionOfTag = (tag: number): Direction => (tag & 3) as Direction
export const kindOfTag = (tag: number): number => (tag >> 2) & 3

/** One live mapping, as data. */
export interface Mapping {
  readonly device: string
  readonly kind: (typeof MAPPING_KINDS)[number]
  readonly busAddr: BusAddr
  readonly phys: PhysAddr
  readonly sizeBytes: number
  readonly direction: Direction
  /** Entries of the scatter list that it was mapped with; 0 when it was not. */
  readonly listEntries: number
  /** Where the driver mapped it: the name of the place, or of the call. */
  readonly site: string
  /** Who mapped it, and when on its local time. */
  readonly cpu: number
  readonly mappedAtPs: number
}
