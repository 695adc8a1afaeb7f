/** The IPv4 header [RFC 791 3.1]. Addresses are int32 in network order: 10.0.0.1 is 0x0a000001. */
import { readInt32, readUint16, writeInt32, writeUint16 } from "./bytes.ts"
import { addBytes, checksumOf, isSumValid, pseudoHeaderSum } from "./checksum.ts"

export const IPV4_VERSION_OFFSET_BYTES = 0
export const IPV4_TOS_OFFSET_BYTES = 1
export const IPV4_TOTAL_LENGTH_OFFSET_BYTES = 2
export const IPV4_IDENTIFICATION_OFFSET_BYTES = 4
export const IPV4_FRAGMENT_OFFSET_BYTES = 6
export const IPV4_TTL_OFFSET_BYTES = 8
export const IPV4_PROTOCOL_OFFSET_BYTES = 9
export const IPV4_CHECKSUM_OFFSET_BYTES = 10
export const IPV4_SOURCE_OFFSET_BYTES = 12
export const IPV4_DESTINATION_OFFSET_BYTES = 16
export const IPV4_HEADER_SIZE_BYTES = 20

/** Version 4, five words of header. */
export const IPV4_VERSION_AND_LENGTH = 0x45
export const IPV4_DONT_FRAGMENT_BIT = 14
/** More-fragments flag and fragment offset: zero in a datagram that is whole. */
export const IPV4_FRAGMENT_MASK = 0x3fff
export const IPV4_TTL_DEFAULT = 64

export const IP_PROTOCOL_ICMP = 1
export const IP_PROTOCOL_TCP = 6
export const IP_PROTOCOL_UDP = 17

/** The address a.b.c.d as int32. */
export const ipv4Address = (a: number, b: number, c: number, d: number): number => (a << 24) | (b << 16) | (c << 8) | d

/** Header with options; whatever the field says, sound or not. */
export const readIpv4HeaderSizeBytes = (bytes: Uint8Array, ipOffset: number): number => (bytes[ipOffset]! & 0xf) << 2

/** Header and data, without the padding that Ethernet may add. */
export const readIpv4TotalLengthBytes = (bytes: Uint8Array, ipOffset: number): number =>
  readUint16(bytes, ipOffset + IPV4_TOTAL_LENGTH_OFFSET_BYTES)

/** What the datagram carries: IP_PROTOCOL_TCP, … */
export const readIpv4Protocol = (bytes: Uint8Array, ipOffset: number): number =>
  bytes[ipOffset + IPV4_PROTOCOL_OFFSET_BYTES]!

/** Source address (int32). */
export const readIpv4Source = (bytes: Uint8Array, ipOffset: number): number =>
  readInt32(bytes, ipOffset + IPV4_SOURCE_OFFSET_BYTES)

/** Destination address (int32). */
export const readIpv4Destination = (bytes: Uint8Array, ipOffset: number): number =>
  readInt32(bytes, ipOffset + IPV4_DESTINATION_OFFSET_BYTES)

/** True for every part of a datagram that was cut up, the first one included. */
export const isIpv4Fragment = (bytes: Uint8Array, ipOffset: number): boolean =>
  (readUint16(bytes, ipOffset + IPV4_FRAGMENT_OFFSET_BYTES) & IPV4_FRAGMENT_MASK) !== 0

/** True when a datagram of `availableBytes` at most has a sound header: version, lengths and checksum. */
export const isIpv4HeaderValid = (bytes: Uint8Array, ipOffset: number, availableBytes: number): boolean => {
  if (availableBytes < IPV4_HEADER_SIZE_BYTES || bytes[ipOffset]! >> 4 !== 4) return false
  const headerSizeBytes = readIpv4HeaderSizeBytes(bytes, ipOffset)
  const totalLengthBytes = readIpv4TotalLengthBytes(bytes, ipOffset)
  if (headerSizeBytes < IPV4_HEADER_SIZE_BYTES || totalLengthBytes < headerSizeBytes) return false
  return totalLengthBytes <= availableBytes && isSumValid(addBytes(0, bytes, ipOffset, headerSizeBytes))
}

/** The pseudo header that TCP and UDP add to their sums, with the addresses of the header at `ipOffset`. */
export const pseudoHeaderSumAt = (bytes: Uint8Array, ipOffset: number, protocol: number, lengthBytes: number): number =>
  pseudoHeaderSum(readIpv4Source(bytes, ipOffset), readIpv4Destination(bytes, ipOffset), protocol, lengthBytes)

/** Writes a header without options, do-not-fragment set, with its checksum; returns its size. */
export const writeIpv4Header = (
  bytes: Uint8Array,
  ipOffset: number,
  totalLengthBytes: number,
  identification: number,
  protocol: number,
  source: number,
  destination: number
): number => {
  bytes[ipOffset + IPV4_VERSION_OFFSET_BYTES] = IPV4_VERSION_AND_LENGTH
  bytes[ipOffset + IPV4_TOS_OFFSET_BYTES] = 0
  writeUint16(bytes, ipOffset + IPV4_TOTAL_LENGTH_OFFSET_BYTES, totalLengthBytes)
  writeUint16(bytes, ipOffset + IPV4_IDENTIFICATION_OFFSET_BYTES, identification)
  writeUint16(bytes, ipOffset + IPV4_FRAGMENT_OFFSET_BYTES, 1 << IPV4_DONT_FRAGMENT_BIT)
  bytes[ipOffset + IPV4_TTL_OFFSET_BYTES] = IPV4_TTL_DEFAULT
  bytes[ipOffset + IPV4_PROTOCOL_OFFSET_BYTES] = protocol
  writeUint16(bytes, ipOffset + IPV4_CHECKSUM_OFFSET_BYTES, 0)
  writeInt32(bytes, ipOffset + IPV4_SOURCE_OFFSET_BYTES, source)
  writeInt32(bytes, ipOffset + IPV4_DESTINATION_OFFSET_BYTES, destination)
  const sum = addBytes(0, bytes, ipOffset, IPV4_HEADER_SIZE_BYTES)
  writeUint16(bytes, ipOffset + IPV4_CHECKSUM_OFFSET_BYTES, checksumOf(sum))
  return IPV4_HEADER_SIZE_BYTES
}
