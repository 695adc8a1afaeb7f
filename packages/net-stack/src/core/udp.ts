/** The UDP header [RFC 768]. Offsets count from the end of the IPv4 header. */
import { readUint16, writeUint16 } from "./bytes.ts"
import { addBytes, checksumOf, isSumValid } from "./checksum.ts"
import { IP_PROTOCOL_UDP, pseudoHeaderSumAt } from "./ipv4.ts"

export const UDP_SOURCE_PORT_OFFSET_BYTES = 0
export const UDP_DESTINATION_PORT_OFFSET_BYTES = 2
export const UDP_LENGTH_OFFSET_BYTES = 4
export const UDP_CHECKSUM_OFFSET_BYTES = 6
export const UDP_HEADER_SIZE_BYTES = 8

/** What a checksum that comes out as zero is sent as; zero itself says that there is none. */
export const UDP_CHECKSUM_ZERO = 0xffff

/** Port of the end that sent the datagram. */
export const readUdpSourcePort = (bytes: Uint8Array, udpOffset: number): number =>
  readUint16(bytes, udpOffset + UDP_SOURCE_PORT_OFFSET_BYTES)

/** Port of the end that the datagram is for. */
export const readUdpDestinationPort = (bytes: Uint8Array, udpOffset: number): number =>
  readUint16(bytes, udpOffset + UDP_DESTINATION_PORT_OFFSET_BYTES)

/** Header and data. */
export const readUdpLengthBytes = (bytes: Uint8Array, udpOffset: number): number =>
  readUint16(bytes, udpOffset + UDP_LENGTH_OFFSET_BYTES)

/** Writes the header without a checksum; returns its size. */
export const writeUdpHeader = (
  bytes: Uint8Array,
  udpOffset: number,
  sourcePort: number,
  destinationPort: number,
  dataBytes: number
): number => {
  writeUint16(bytes, udpOffset + UDP_SOURCE_PORT_OFFSET_BYTES, sourcePort)
  writeUint16(bytes, udpOffset + UDP_DESTINATION_PORT_OFFSET_BYTES, destinationPort)
  writeUint16(bytes, udpOffset + UDP_LENGTH_OFFSET_BYTES, UDP_HEADER_SIZE_BYTES + dataBytes)
  writeUint16(bytes, udpOffset + UDP_CHECKSUM_OFFSET_BYTES, 0)
  return UDP_HEADER_SIZE_BYTES
}

/** Fills the checksum in, once header and data are in place. */
export const writeUdpChecksum = (bytes: Uint8Array, ipOffset: number, udpOffset: number): void => {
  const lengthBytes = readUdpLengthBytes(bytes, udpOffset)
  writeUint16(bytes, udpOffset + UDP_CHECKSUM_OFFSET_BYTES, 0)
  const pseudo = pseudoHeaderSumAt(bytes, ipOffset, IP_PROTOCOL_UDP, lengthBytes)
  const checksum = checksumOf(addBytes(pseudo, bytes, udpOffset, lengthBytes))
  writeUint16(bytes, udpOffset + UDP_CHECKSUM_OFFSET_BYTES, checksum === 0 ? UDP_CHECKSUM_ZERO : checksum)
}

/** True when the datagram adds up, or carries no checksum. */
export const isUdpChecksumValid = (bytes: Uint8Array, ipOffset: number, udpOffset: number): boolean => {
  if (readUint16(bytes, udpOffset + UDP_CHECKSUM_OFFSET_BYTES) === 0) return true
  const lengthBytes = readUdpLengthBytes(bytes, udpOffset)
  const pseudo = pseudoHeaderSumAt(bytes, ipOffset, IP_PROTOCOL_UDP, lengthBytes)
  return isSumValid(addBytes(pseudo, bytes, udpOffset, lengthBytes))
}
