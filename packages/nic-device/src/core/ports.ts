/** What the device needs from the world around it. */
import type { Frame } from "@vnic/sim/core"

/**
 * The device's way to memory: an IOMMU's translation, or memory itself. Accesses that fault return false
 * and move nothing. `tag` names the queue entry that the access is for: bit 30 transmit, bits 29:16 queue,
 * bits 15:0 descriptor.
 */
export interface BusMaster {
  /** Reads `wordCount` 32-bit words at a bus address into `into[at..]`. */
  readWords(busAddr: number, into: Int32Array, at: number, wordCount: number, tag: number): boolean
  writeWords(busAddr: number, from: Int32Array, at: number, wordCount: number, tag: number): boolean
  /** Writes bytes [from, from + sizeBytes) of a frame to a bus address. */
  writeFrame(busAddr: number, frame: Frame, from: number, sizeBytes: number, tag: number): boolean
  /** Appends `sizeBytes` from a bus address to a frame's head. */
  readFrame(busAddr: number, frame: Frame, sizeBytes: number, tag: number): boolean
  /** latencyPs[0]: translation time of the last access, picoseconds. It delays, but does not take the bus. */
  readonly latencyPs: Float64Array
}

/** Where interrupt messages go. */
export interface Interrupts {
  /** The message of an MSI-X vector leaves the device now. */
  raise(vector: number): void
}

/** The transmit side of the link. */
export interface Phy {
  /** The device hands over a frame; the link owns and frees it from here. */
  transmit(frame: Frame): void
  /** departPs[0]: when the last bit of the frame that was handed over last leaves. */
  readonly departPs: Float64Array
}
