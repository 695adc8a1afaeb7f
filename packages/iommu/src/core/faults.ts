/**
 * What the IOMMU keeps of accesses that it refused: which device wanted what, on behalf of which queue
 * entry, and who had the address mapped last. A fault is an event of the simulated world, not an error.
 */
import type { MapSite } from "./mapSites.ts"

/** Records that are kept; later faults are only counted. */
export const FAULT_RECORDS_MAX = 256

/** Why an access was refused. */
export type FaultReason =
  | "notMapped"
  | "noReadPermission"
  | "noWritePermission"
  | "outsideWindow"
  | "outsideMemory"
  | "deviceDetached"
  | "rootNotPresent"
  | "contextNotPresent"
  | "contextInvalid"
  | "tablePointerInvalid"
  | "rootPointerInvalid"
  | "contextPointerInvalid"
  | "rootReserved"
  | "contextReserved"
  | "entryReserved"
  | "interruptAddress"

/** The queue entry on whose behalf a device accessed memory. */
export interface QueueEntry {
  readonly isTx: boolean
  readonly queue: number
  readonly descriptor: number
}

/** One refused access. Local times of CPUs run ahead of the world, so `unmappedAtPs` may be after `timePs`. */
export interface FaultRecord extends MapSite {
  readonly device: string
  readonly busAddr: number
  readonly sizeBytes: number
  readonly access: "read" | "write"
  readonly reason: FaultReason
  /** The code by which VT-d hardware reports it; other IOMMUs have none. */
  readonly code?: number
  /** The world's time of the access, picoseconds. */
  readonly timePs: number
  /** Null when the device named none. */
  readonly entry: QueueEntry | null
}

/** Packs a queue entry into the tag that a device gives its accesses. */
export const entryTag = (isTx: boolean, queue: number, descriptor: number): number =>
  (isTx ? 1 << 30 : 0) | (queue << 16) | descriptor

/** The queue entry that a tag names; a negative tag names none. */
export const tagEntry = (tag: number): QueueEntry | null =>
  tag < 0 ? null : { isTx: tag >> 30 === 1, queue: (tag >> 16) & 0x3fff, descriptor: tag & 0xffff }
