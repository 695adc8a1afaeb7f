/**
 * Wire arithmetic: what a frame costs on the medium [IEEE 802.3 3.1.1, 4.4.2]. Frame sizes here are
 * without FCS, as software sees them; everything that the medium adds is added by `wireBytes`.
 */
import { ETHERNET_HEADER_SIZE_BYTES } from "./ethernet.ts"
import { IPV4_HEADER_SIZE_BYTES } from "./ipv4.ts"
import { TCP_HEADER_SIZE_BYTES, TCP_TIMESTAMP_OPTION_SIZE_BYTES } from "./tcp.ts"

export const PREAMBLE_SIZE_BYTES = 7
export const START_DELIMITER_SIZE_BYTES = 1
export const FRAME_CHECK_SIZE_BYTES = 4
export const INTERFRAME_GAP_SIZE_BYTES = 12

/** Shortest frame without FCS; shorter ones are padded by the sending MAC. */
export const FRAME_SIZE_BYTES_MIN = 60

/** What every frame costs beyond its own bytes: preamble, delimiter, FCS and gap. */
export const WIRE_OVERHEAD_SIZE_BYTES =
  PREAMBLE_SIZE_BYTES + START_DELIMITER_SIZE_BYTES + FRAME_CHECK_SIZE_BYTES + INTERFRAME_GAP_SIZE_BYTES

/** Bytes of medium time that a frame takes, padding included. */
export const wireBytes = (frameBytesWithoutFcs: number): number =>
  (frameBytesWithoutFcs < FRAME_SIZE_BYTES_MIN ? FRAME_SIZE_BYTES_MIN : frameBytesWithoutFcs) + WIRE_OVERHEAD_SIZE_BYTES

/** Bits of medium time that a frame takes. */
export const wireBits = (frameBytesWithoutFcs: number): number => wireBytes(frameBytesWithoutFcs) * 8

/** Most frames of one size that a medium carries in a second. */
export const framesPerSecondMax = (frameBytesWithoutFcs: number, rateBitsPerSecond: number): number =>
  rateBitsPerSecond / wireBits(frameBytesWithoutFcs)

/** TCP payload of a full segment over IPv4. */
export const segmentSizeBytes = (mtuBytes: number, timestamps: boolean): number =>
  mtuBytes - IPV4_HEADER_SIZE_BYTES - TCP_HEADER_SIZE_BYTES - (timestamps ? TCP_TIMESTAMP_OPTION_SIZE_BYTES : 0)

/** The goodput that no TCP stream can exceed on a medium: full segments back to back. */
export const tcpGoodputBitsPerSecondMax = (mtuBytes: number, timestamps: boolean, rateBitsPerSecond: number): number =>
  segmentSizeBytes(mtuBytes, timestamps) *
  8 *
  framesPerSecondMax(mtuBytes + ETHERNET_HEADER_SIZE_BYTES, rateBitsPerSecond)
