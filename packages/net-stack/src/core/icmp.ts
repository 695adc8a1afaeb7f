/** ICMP echo [RFC 792]. Offsets count from the end of the IPv4 header. */
import { readUint16, writeUint16 } from "./bytes.ts"
import { addBytes, checksumOf, isSumValid } from "./checksum.ts"

export const ICMP_TYPE_OFFSET_BYTES = 0
export const ICMP_CODE_OFFSET_BYTES = 1
export const ICMP_CHECKSUM_OFFSET_BYTES = 2
export const ICMP_IDENTIFIER_OFFSET_BYTES = 4
export const ICMP_SEQUENCE_OFFSET_BYTES = 6
export const ICMP_ECHO_HEADER_SIZE_BYTES = 8

export const ICMP_ECHO_REPLY = 0
export const ICMP_ECHO_REQUEST = 8

/** ICMP_ECHO_REQUEST, ICMP_ECHO_REPLY, or another message. */
export const readIcmpType = (bytes: Uint8Array, icmpOffset: number): number =>
  bytes[icmpOffset + ICMP_TYPE_OFFSET_BYTES]!

/** Which pinger the echo belongs to. */
export const readIcmpIdentifier = (bytes: Uint8Array, icmpOffset: number): number =>
  readUint16(bytes, icmpOffset + ICMP_IDENTIFIER_OFFSET_BYTES)

/** Which of its echoes it is. */
export const readIcmpSequence = (bytes: Uint8Array, icmpOffset: number): number =>
  readUint16(bytes, icmpOffset + ICMP_SEQUENCE_OFFSET_BYTES)

/** True when `messageBytes` of ICMP hold an echo header and add up. */
export const isIcmpValid = (bytes: Uint8Array, icmpOffset: number, messageBytes: number): boolean =>
  messageBytes >= ICMP_ECHO_HEADER_SIZE_BYTES && isSumValid(addBytes(0, bytes, icmpOffset, messageBytes))

/** Writes an echo header in front of data that are already in place; returns the header's size. */
export const writeIcmpEchoHeader = (
  bytes: Uint8Array,
  icmpOffset: number,
  type: number,
  identifier: number,
  sequence: number,
  dataBytes: number
): number => {
  bytes[icmpOffset + ICMP_TYPE_OFFSET_BYTES] = type
  bytes[icmpOffset + ICMP_CODE_OFFSET_BYTES] = 0
  writeUint16(bytes, icmpOffset + ICMP_CHECKSUM_OFFSET_BYTES, 0)
  writeUint16(bytes, icmpOffset + ICMP_IDENTIFIER_OFFSET_BYTES, identifier)
  writeUint16(bytes, icmpOffset + ICMP_SEQUENCE_OFFSET_BYTES, sequence)
  const sum = addBytes(0, bytes, icmpOffset, ICMP_ECHO_HEADER_SIZE_BYTES + dataBytes)
  writeUint16(bytes, icmpOffset + ICMP_CHECKSUM_OFFSET_BYTES, checksumOf(sum))
  return ICMP_ECHO_HEADER_SIZE_BYTES
}
