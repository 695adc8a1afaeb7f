/** Ethernet II framing [RFC 894, IEEE 802.3 3.2]; the frame as software sees it, without FCS. */
import { readUint16, writeBytes, writeUint16 } from "./bytes.ts"

export const ETHERNET_DESTINATION_OFFSET_BYTES = 0
export const ETHERNET_SOURCE_OFFSET_BYTES = 6
export const ETHERNET_TYPE_OFFSET_BYTES = 12
export const ETHERNET_HEADER_SIZE_BYTES = 14
export const MAC_ADDRESS_SIZE_BYTES = 6

export const ETHERTYPE_IPV4 = 0x0800
export const ETHERTYPE_ARP = 0x0806
export const ETHERTYPE_VLAN = 0x8100
export const ETHERTYPE_IPV6 = 0x86dd

/** A MAC address: six bytes in transmission order. */
export type MacAddress = ArrayLike<number>

export const BROADCAST_MAC: MacAddress = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]

/** What the frame carries: ETHERTYPE_IPV4, …; ETHERTYPE_VLAN when a tag comes first. */
export const readEtherType = (bytes: Uint8Array, frameOffset: number): number =>
  readUint16(bytes, frameOffset + ETHERNET_TYPE_OFFSET_BYTES)

/** Writes the header; returns its size. */
export const writeEthernetHeader = (
  bytes: Uint8Array,
  frameOffset: number,
  destination: MacAddress,
  source: MacAddress,
  etherType: number
): number => {
  writeBytes(bytes, frameOffset + ETHERNET_DESTINATION_OFFSET_BYTES, destination)
  writeBytes(bytes, frameOffset + ETHERNET_SOURCE_OFFSET_BYTES, source)
  writeUint16(bytes, frameOffset + ETHERNET_TYPE_OFFSET_BYTES, etherType)
  return ETHERNET_HEADER_SIZE_BYTES
}
