/** The fixed IPv6 header [RFC 8200 3]: enough to recognise a datagram and to find what it carries. */
import { readUint16 } from "./bytes.ts"

export const IPV6_VERSION_OFFSET_BYTES = 0
export const IPV6_PAYLOAD_LENGTH_OFFSET_BYTES = 4
export const IPV6_NEXT_HEADER_OFFSET_BYTES = 6
export const IPV6_HOP_LIMIT_OFFSET_BYTES = 7
export const IPV6_SOURCE_OFFSET_BYTES = 8
export const IPV6_DESTINATION_OFFSET_BYTES = 24
export const IPV6_HEADER_SIZE_BYTES = 40

export const IP_PROTOCOL_ICMPV6 = 58

/** Everything behind the fixed header, extension headers included. */
export const readIpv6PayloadLengthBytes = (bytes: Uint8Array, ipOffset: number): number =>
  readUint16(bytes, ipOffset + IPV6_PAYLOAD_LENGTH_OFFSET_BYTES)

/** The protocol of what follows, which may be an extension header. */
export const readIpv6NextHeader = (bytes: Uint8Array, ipOffset: number): number =>
  bytes[ipOffset + IPV6_NEXT_HEADER_OFFSET_BYTES]!

/** True when `availableBytes` at most hold a header of version 6 and the payload that it announces. */
export const isIpv6HeaderValid = (bytes: Uint8Array, ipOffset: number, availableBytes: number): boolean =>
  availableBytes >= IPV6_HEADER_SIZE_BYTES &&
  bytes[ipOffset + IPV6_VERSION_OFFSET_BYTES]! >> 4 === 6 &&
  IPV6_HEADER_SIZE_BYTES + readIpv6PayloadLengthBytes(bytes, ipOffset) <= availableBytes
