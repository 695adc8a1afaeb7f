/**
 * The receive packet buffer on the chip: every frame is in it from its arrival until it is in memory. Frames
 * for which there is no descriptor yet wait in a queue, and hold back whatever arrived behind them.
 *
 * MODEL: a frame takes its own length in the buffer and leaves it when its last write is seen in memory.
 */
import type { Frame } from "@vnic/sim/core"
import * as Layout from "./layout.ts"

// Imported names cost a load and a check at each use; the hot path has its own.
const { FRAME_MIN_BYTES } = Layout

/** On-chip receive memory. */
export const PACKET_BUFFER_BYTES = 512 * 1024
/** Most frames that fit. */
export const PACKET_BUFFER_FRAMES_MAX = Math.floor(PACKET_BUFFER_BYTES / FRAME_MIN_BYTES)

const WAITING_SLOTS = 16384

export class PacketBuffer {
  capacityBytes = PACKET_BUFFER_BYTES
  usedBytes = 0
  usedBytesMax = 0
  /** Frames that wait for a descriptor, or behind one that does. */
  waitingCount = 0
  private readonly waiting = new Int32Array(WAITING_SLOTS)
  private first = 0

  /** Takes room for a frame; false when there is not enough. */
  readonly reserve = (sizeBytes: number): boolean => {
    const used = this.usedBytes + sizeBytes
    if (used > this.capacityBytes) return false
    this.usedBytes = used
    if (used > this.usedBytesMax) this.usedBytesMax = used
    return true
  }

  /** A frame has left the buffer. */
  readonly release = (sizeBytes: number): void => {
    this.usedBytes -= sizeBytes
  }

  /** Queues a frame that has its room. */
  wait(frame: Frame): void {
    this.waiting[(this.first + this.waitingCount) & (WAITING_SLOTS - 1)] = frame
    this.waitingCount++
  }

  /** The frame that has waited longest. */
  get oldest(): Frame {
    return this.waiting[this.first]!
  }

  /** Takes the oldest out of the queue. */
  shift(): void {
    this.first = (this.first + 1) & (WAITING_SLOTS - 1)
    this.waitingCount--
  }
}
