/** The TCP header [RFC 9293 3.1] with the time-stamp option [RFC 7323 3.2]. Offsets count from its start. */
import { readInt32, readUint16, writeInt32, writeUint16 } from "./bytes.ts"
import { addBytes, checksumOf, isSumValid } from "./checksum.ts"
import { IP_PROTOCOL_TCP, pseudoHeaderSumAt } from "./ipv4.ts"

export const TCP_SOURCE_PORT_OFFSET_BYTES = 0
export const TCP_DESTINATION_PORT_OFFSET_BYTES = 2
export const TCP_SEQUENCE_OFFSET_BYTES = 4
export const TCP_ACKNOWLEDGEMENT_OFFSET_BYTES = 8
export const TCP_DATA_OFFSET_OFFSET_BYTES = 12
export const TCP_FLAGS_OFFSET_BYTES = 13
export const TCP_WINDOW_OFFSET_BYTES = 14
export const TCP_CHECKSUM_OFFSET_BYTES = 16
export const TCP_URGENT_OFFSET_BYTES = 18
export const TCP_HEADER_SIZE_BYTES = 20

export const TCP_FIN_BIT = 0
export const TCP_SYN_BIT = 1
export const TCP_RST_BIT = 2
export const TCP_PSH_BIT = 3
export const TCP_ACK_BIT = 4
/** Flags that open or close a connection. */
export const TCP_CONNECTION_FLAGS_MASK = (1 << TCP_FIN_BIT) | (1 << TCP_SYN_BIT) | (1 << TCP_RST_BIT)

export const TCP_OPTION_END = 0
export const TCP_OPTION_NOP = 1
export const TCP_OPTION_TIMESTAMP = 8
export const TCP_OPTION_TIMESTAMP_LENGTH_BYTES = 10

/** NOP, NOP, kind 8, length 10: how every common stack aligns the option [RFC 7323 appendix A]. */
export const TCP_TIMESTAMP_PREFIX = 0x0101080a
/** The two NOPs and the option. */
export const TCP_TIMESTAMP_OPTION_SIZE_BYTES = 12
/** The two values, counted from the option's kind byte. */
export const TCP_TIMESTAMP_VALUE_OFFSET_BYTES = 2
export const TCP_TIMESTAMP_ECHO_OFFSET_BYTES = 6

/** What `findTcpTimestamp` returns when there is no such option. */
export const TCP_TIMESTAMP_NONE = -1

/** Port of the end that sent the segment. */
export const readTcpSourcePort = (bytes: Uint8Array, tcpOffset: number): number =>
  readUint16(bytes, tcpOffset + TCP_SOURCE_PORT_OFFSET_BYTES)

/** Port of the end that the segment is for. */
export const readTcpDestinationPort = (bytes: Uint8Array, tcpOffset: number): number =>
  readUint16(bytes, tcpOffset + TCP_DESTINATION_PORT_OFFSET_BYTES)

/** Sequence number of the first payload byte (int32). */
export const readTcpSequence = (bytes: Uint8Array, tcpOffset: number): number =>
  readInt32(bytes, tcpOffset + TCP_SEQUENCE_OFFSET_BYTES)

/** Next sequence number that the sender of the segment expects (int32). */
export const readTcpAcknowledgement = (bytes: Uint8Array, tcpOffset: number): number =>
  readInt32(bytes, tcpOffset + TCP_ACKNOWLEDGEMENT_OFFSET_BYTES)

/** Header with options; whatever the data-offset field says, sound or not. */
export const readTcpHeaderSizeBytes = (bytes: Uint8Array, tcpOffset: number): number =>
  (bytes[tcpOffset + TCP_DATA_OFFSET_OFFSET_BYTES]! >> 4) << 2

/** The eight flags; TCP_ACK_BIT and its like are bit numbers in them. */
export const readTcpFlags = (bytes: Uint8Array, tcpOffset: number): number => bytes[tcpOffset + TCP_FLAGS_OFFSET_BYTES]!

/** The window field, before any scale. */
export const readTcpWindow = (bytes: Uint8Array, tcpOffset: number): number =>
  readUint16(bytes, tcpOffset + TCP_WINDOW_OFFSET_BYTES)

/** Writes a header without options and without checksum; returns its size. */
export const writeTcpHeader = (
  bytes: Uint8Array,
  tcpOffset: number,
  sourcePort: number,
  destinationPort: number,
  sequence: number,
  acknowledgement: number,
  flags: number,
  window: number
): number => {
  writeUint16(bytes, tcpOffset + TCP_SOURCE_PORT_OFFSET_BYTES, sourcePort)
  writeUint16(bytes, tcpOffset + TCP_DESTINATION_PORT_OFFSET_BYTES, destinationPort)
  writeInt32(bytes, tcpOffset + TCP_SEQUENCE_OFFSET_BYTES, sequence)
  writeInt32(bytes, tcpOffset + TCP_ACKNOWLEDGEMENT_OFFSET_BYTES, acknowledgement)
  bytes[tcpOffset + TCP_DATA_OFFSET_OFFSET_BYTES] = (TCP_HEADER_SIZE_BYTES >> 2) << 4
  bytes[tcpOffset + TCP_FLAGS_OFFSET_BYTES] = flags
  writeUint16(bytes, tcpOffset + TCP_WINDOW_OFFSET_BYTES, window)
  writeUint16(bytes, tcpOffset + TCP_CHECKSUM_OFFSET_BYTES, 0)
  writeUint16(bytes, tcpOffset + TCP_URGENT_OFFSET_BYTES, 0)
  return TCP_HEADER_SIZE_BYTES
}

/** Appends the aligned time-stamp option to a header without options; returns the header's new size. */
export const writeTcpTimestampOption = (bytes: Uint8Array, tcpOffset: number, value: number, echo: number): number => {
  const headerSizeBytes = TCP_HEADER_SIZE_BYTES + TCP_TIMESTAMP_OPTION_SIZE_BYTES
  const optionOffset = tcpOffset + TCP_HEADER_SIZE_BYTES
  writeInt32(bytes, optionOffset, TCP_TIMESTAMP_PREFIX)
  writeInt32(bytes, optionOffset + 4, value)
  writeInt32(bytes, optionOffset + 8, echo)
  bytes[tcpOffset + TCP_DATA_OFFSET_OFFSET_BYTES] = (headerSizeBytes >> 2) << 4
  return headerSizeBytes
}

/** Where the time-stamp option's kind byte is, or TCP_TIMESTAMP_NONE. Malformed options end the search. */
export const findTcpTimestamp = (bytes: Uint8Array, tcpOffset: number, headerSizeBytes: number): number => {
  const end = tcpOffset + headerSizeBytes
  let offset = tcpOffset + TCP_HEADER_SIZE_BYTES
  while (offset < end) {
    const kind = bytes[offset]!
    if (kind === TCP_OPTION_NOP) {
      offset += 1
      continue
    }
    if (kind === TCP_OPTION_END || offset + 1 >= end) return TCP_TIMESTAMP_NONE
    const lengthBytes = bytes[offset + 1]!
    if (lengthBytes < 2 || offset + lengthBytes > end) return TCP_TIMESTAMP_NONE
    if (kind === TCP_OPTION_TIMESTAMP && lengthBytes === TCP_OPTION_TIMESTAMP_LENGTH_BYTES) return offset
    offset += lengthBytes
  }
  return TCP_TIMESTAMP_NONE
}

/** Fills the checksum in, once the segment's `lengthBytes` (header and payload) are in place. */
export const writeTcpChecksum = (bytes: Uint8Array, ipOffset: number, tcpOffset: number, lengthBytes: number): void => {
  writeUint16(bytes, tcpOffset + TCP_CHECKSUM_OFFSET_BYTES, 0)
  const pseudo = pseudoHeaderSumAt(bytes, ipOffset, IP_PROTOCOL_TCP, lengthBytes)
  const checksum = checksumOf(addBytes(pseudo, bytes, tcpOffset, lengthBytes))
  writeUint16(bytes, tcpOffset + TCP_CHECKSUM_OFFSET_BYTES, checksum)
}

/** True when the segment and its pseudo header add up. */
export const isTcpChecksumValid = (
  bytes: Uint8Array,
  ipOffset: number,
  tcpOffset: number,
  lengthBytes: number
): boolean =>
  isSumValid(addBytes(pseudoHeaderSumAt(bytes, ipOffset, IP_PROTOCOL_TCP, lengthBytes), bytes, tcpOffset, lengthBytes))
