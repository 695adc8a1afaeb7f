/**
 * What the driver has said of each receive queue's buffers in SRRCTL.
 *
 * MODEL: a buffer size of 0 is 1 KiB. The descriptor types that are not listed behave as one advanced buffer.
 */
import {
  BSIZEHEADER_STEP_BYTES,
  BSIZEPACKET_STEP_BYTES,
  DESCTYPE_ADVANCED_SPLIT_ALWAYS,
  DESCTYPE_LEGACY,
  QUEUE_COUNT,
  SRRCTL_BSIZEHEADER_MASK,
  SRRCTL_BSIZEHEADER_SHIFT,
  SRRCTL_BSIZEPACKET_MASK,
  SRRCTL_DESCTYPE_MASK,
  SRRCTL_DESCTYPE_SHIFT,
  SRRCTL_DROP_EN_BIT
} from "../registers.ts"

/** Header length has ten bits in the write-back. */
const HEADER_BYTES_MAX = 1023

export class BufferShapes {
  readonly packetBytes = new Int32Array(QUEUE_COUNT)
  /** Bytes that go to the header buffer; 0 where frames are not split. */
  readonly headerBytes = new Int32Array(QUEUE_COUNT)
  readonly isLegacy = new Uint8Array(QUEUE_COUNT)
  /** Whether frames without a descriptor are dropped. */
  readonly isDropping = new Uint8Array(QUEUE_COUNT)

  set(queue: number, srrctl: number): void {
    const type = (srrctl & SRRCTL_DESCTYPE_MASK) >> SRRCTL_DESCTYPE_SHIFT
    const headerBytes = ((srrctl & SRRCTL_BSIZEHEADER_MASK) >> SRRCTL_BSIZEHEADER_SHIFT) * BSIZEHEADER_STEP_BYTES
    this.packetBytes[queue] = Math.max(1, srrctl & SRRCTL_BSIZEPACKET_MASK) * BSIZEPACKET_STEP_BYTES
    this.headerBytes[queue] = type === DESCTYPE_ADVANCED_SPLIT_ALWAYS ? Math.min(headerBytes, HEADER_BYTES_MAX) : 0
    this.isLegacy[queue] = type === DESCTYPE_LEGACY ? 1 : 0
    this.isDropping[queue] = (srrctl & SRRCTL_DROP_EN_BIT) !== 0 ? 1 : 0
  }
}
