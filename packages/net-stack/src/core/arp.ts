/** Address resolution for IPv4 over Ethernet [RFC 826]. Offsets count from the end of the Ethernet header. */
import { readInt32, readUint16, writeBytes, writeInt32, writeUint16 } from "./bytes.ts"
import {
  BROADCAST_MAC,
  ETHERNET_HEADER_SIZE_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  MAC_ADDRESS_SIZE_BYTES,
  type MacAddress,
  writeEthernetHeader
} from "./ethernet.ts"

export const ARP_HARDWARE_TYPE_OFFSET_BYTES = 0
export const ARP_PROTOCOL_TYPE_OFFSET_BYTES = 2
export const ARP_HARDWARE_LENGTH_OFFSET_BYTES = 4
export const ARP_PROTOCOL_LENGTH_OFFSET_BYTES = 5
export const ARP_OPERATION_OFFSET_BYTES = 6
export const ARP_SENDER_MAC_OFFSET_BYTES = 8
export const ARP_SENDER_IP_OFFSET_BYTES = 14
export const ARP_TARGET_MAC_OFFSET_BYTES = 18
export const ARP_TARGET_IP_OFFSET_BYTES = 24
export const ARP_SIZE_BYTES = 28

export const ARP_HARDWARE_ETHERNET = 1
export const ARP_REQUEST = 1
export const ARP_REPLY = 2

const ARP_FRAME_SIZE_BYTES = ETHERNET_HEADER_SIZE_BYTES + ARP_SIZE_BYTES
const IPV4_ADDRESS_SIZE_BYTES = 4
const UNKNOWN_MAC: MacAddress = [0, 0, 0, 0, 0, 0]

/** ARP_REQUEST or ARP_REPLY, or what else the packet claims. */
export const readArpOperation = (bytes: Uint8Array, arpOffset: number): number =>
  readUint16(bytes, arpOffset + ARP_OPERATION_OFFSET_BYTES)

/** Who asks or answers (int32). */
export const readArpSenderIp = (bytes: Uint8Array, arpOffset: number): number =>
  readInt32(bytes, arpOffset + ARP_SENDER_IP_OFFSET_BYTES)

/** Who is asked for, or gets the answer (int32). */
export const readArpTargetIp = (bytes: Uint8Array, arpOffset: number): number =>
  readInt32(bytes, arpOffset + ARP_TARGET_IP_OFFSET_BYTES)

/** True when `availableBytes` hold an ARP packet for IPv4 over Ethernet. */
export const isArpValid = (bytes: Uint8Array, arpOffset: number, availableBytes: number): boolean =>
  availableBytes >= ARP_SIZE_BYTES &&
  readUint16(bytes, arpOffset + ARP_HARDWARE_TYPE_OFFSET_BYTES) === ARP_HARDWARE_ETHERNET &&
  readUint16(bytes, arpOffset + ARP_PROTOCOL_TYPE_OFFSET_BYTES) === ETHERTYPE_IPV4 &&
  bytes[arpOffset + ARP_HARDWARE_LENGTH_OFFSET_BYTES] === MAC_ADDRESS_SIZE_BYTES &&
  bytes[arpOffset + ARP_PROTOCOL_LENGTH_OFFSET_BYTES] === IPV4_ADDRESS_SIZE_BYTES

const writeArp = (
  bytes: Uint8Array,
  arpOffset: number,
  operation: number,
  senderMac: MacAddress,
  senderIp: number,
  targetMac: MacAddress,
  targetIp: number
): void => {
  writeUint16(bytes, arpOffset + ARP_HARDWARE_TYPE_OFFSET_BYTES, ARP_HARDWARE_ETHERNET)
  writeUint16(bytes, arpOffset + ARP_PROTOCOL_TYPE_OFFSET_BYTES, ETHERTYPE_IPV4)
  bytes[arpOffset + ARP_HARDWARE_LENGTH_OFFSET_BYTES] = MAC_ADDRESS_SIZE_BYTES
  bytes[arpOffset + ARP_PROTOCOL_LENGTH_OFFSET_BYTES] = IPV4_ADDRESS_SIZE_BYTES
  writeUint16(bytes, arpOffset + ARP_OPERATION_OFFSET_BYTES, operation)
  writeBytes(bytes, arpOffset + ARP_SENDER_MAC_OFFSET_BYTES, senderMac)
  writeInt32(bytes, arpOffset + ARP_SENDER_IP_OFFSET_BYTES, senderIp)
  writeBytes(bytes, arpOffset + ARP_TARGET_MAC_OFFSET_BYTES, targetMac)
  writeInt32(bytes, arpOffset + ARP_TARGET_IP_OFFSET_BYTES, targetIp)
}

/** Writes the broadcast frame that asks who has `targetIp`; returns its size. */
export const writeArpRequest = (
  bytes: Uint8Array,
  frameOffset: number,
  senderMac: MacAddress,
  senderIp: number,
  targetIp: number
): number => {
  const arpOffset = frameOffset + writeEthernetHeader(bytes, frameOffset, BROADCAST_MAC, senderMac, ETHERTYPE_ARP)
  writeArp(bytes, arpOffset, ARP_REQUEST, senderMac, senderIp, UNKNOWN_MAC, targetIp)
  return ARP_FRAME_SIZE_BYTES
}

/** Writes the frame that answers the request at `requestOffset` (a frame) with `mac`; returns its size. */
export const writeArpReply = (
  bytes: Uint8Array,
  frameOffset: number,
  requestOffset: number,
  mac: MacAddress
): number => {
  const request = requestOffset + ETHERNET_HEADER_SIZE_BYTES
  const askerIp = readArpSenderIp(bytes, request)
  const ownIp = readArpTargetIp(bytes, request)
  const askerMacOffset = request + ARP_SENDER_MAC_OFFSET_BYTES
  const askerMac = bytes.slice(askerMacOffset, askerMacOffset + MAC_ADDRESS_SIZE_BYTES)
  const arpOffset = frameOffset + writeEthernetHeader(bytes, frameOffset, askerMac, mac, ETHERTYPE_ARP)
  writeArp(bytes, arpOffset, ARP_REPLY, mac, ownIp, askerMac, askerIp)
  return ARP_FRAME_SIZE_BYTES
}
