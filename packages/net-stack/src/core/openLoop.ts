/**
 * The test frame of an open-loop generator: UDP over IPv4 over Ethernet, with the flow's index and a
 * sequence number as the first eight bytes of payload, so that a sink counts what is lost, repeated or out
 * of order. Everything else of the payload is the caller's. The UDP checksum is zero: none [RFC 768].
 */
import { assert } from "@vnic/sim/core"
import { readInt32 } from "./bytes.ts"
import { addBytes, checksumOf } from "./checksum.ts"
import { ETHERNET_HEADER_SIZE_BYTES, ETHERTYPE_IPV4, readEtherType, writeEthernetHeader } from "./ethernet.ts"
import { STREAM_NONE } from "./flowTable.ts"
import {
  IP_PROTOCOL_UDP,
  IPV4_CHECKSUM_OFFSET_BYTES,
  IPV4_HEADER_SIZE_BYTES,
  IPV4_IDENTIFICATION_OFFSET_BYTES,
  IPV4_TOTAL_LENGTH_OFFSET_BYTES,
  isIpv4HeaderValid,
  readIpv4Destination,
  readIpv4HeaderSizeBytes,
  readIpv4Protocol,
  readIpv4Source,
  readIpv4TotalLengthBytes,
  writeIpv4Header
} from "./ipv4.ts"
import { type FlowEndpoints, flowCountOf } from "./streamEndpoints.ts"
import {
  readUdpDestinationPort,
  readUdpLengthBytes,
  readUdpSourcePort,
  UDP_HEADER_SIZE_BYTES,
  UDP_LENGTH_OFFSET_BYTES,
  writeUdpHeader
} from "./udp.ts"
import { FRAME_SIZE_BYTES_MIN } from "./wire.ts"

/** Inside the UDP payload. */
export const TEST_FLOW_OFFSET_BYTES = 0
export const TEST_SEQUENCE_OFFSET_BYTES = 4
export const TEST_HEADER_SIZE_BYTES = 8

/** Everything before the caller's part of the payload. */
export const TEST_FRAME_HEADER_SIZE_BYTES =
  ETHERNET_HEADER_SIZE_BYTES + IPV4_HEADER_SIZE_BYTES + UDP_HEADER_SIZE_BYTES + TEST_HEADER_SIZE_BYTES

/** Largest frame: the IPv4 length field has 16 bits. */
const FRAME_SIZE_BYTES_MAX = ETHERNET_HEADER_SIZE_BYTES + 0xffff

const TEMPLATE_STRIDE_BYTES = 52
const IP_OFFSET = ETHERNET_HEADER_SIZE_BYTES
const UDP_OFFSET = IP_OFFSET + IPV4_HEADER_SIZE_BYTES
const TEST_OFFSET = UDP_OFFSET + UDP_HEADER_SIZE_BYTES
const SEQUENCE_OFFSET = TEST_OFFSET + TEST_SEQUENCE_OFFSET_BYTES

export class OpenLoopFrames {
  declare readonly flowCount: number
  /** Sequence number of the last frame that `parse` knew, int32. */
  sequence = 0
  /** Payload of it behind the test header. */
  fillSizeBytes = 0

  declare private readonly endpoints: FlowEndpoints
  /** Prebuilt headers, TEMPLATE_STRIDE_BYTES apart. */
  declare private readonly templates: DataView
  /** Sum of the IP header's constant words, of each flow. */
  declare private readonly ipSums: Int32Array
  /** The memory that was last written to, and a view of it: a view is made when the memory changes. */
  declare private bytes: Uint8Array
  declare private view: DataView

  constructor(endpoints: FlowEndpoints) {
    this.flowCount = flowCountOf(endpoints)
    this.endpoints = endpoints
    this.ipSums = new Int32Array(this.flowCount)
    this.bytes = new Uint8Array(this.flowCount * TEMPLATE_STRIDE_BYTES)
    this.templates = new DataView(this.bytes.buffer)
    this.view = this.templates
    const { receiver, sender } = endpoints
    for (let flow = 0; flow < this.flowCount; flow++) {
      const offset = flow * TEMPLATE_STRIDE_BYTES
      writeEthernetHeader(this.bytes, offset, receiver.mac, sender.mac, ETHERTYPE_IPV4)
      writeIpv4Header(this.bytes, offset + IP_OFFSET, 0, 0, IP_PROTOCOL_UDP, sender.ip, receiver.ip)
      this.view.setInt16(offset + IP_OFFSET + IPV4_CHECKSUM_OFFSET_BYTES, 0)
      writeUdpHeader(this.bytes, offset + UDP_OFFSET, sender.ports[flow]!, receiver.ports[flow]!, 0)
      this.view.setInt32(offset + TEST_OFFSET + TEST_FLOW_OFFSET_BYTES, flow)
      this.ipSums[flow] = addBytes(0, this.bytes, offset + IP_OFFSET, IPV4_HEADER_SIZE_BYTES)
    }
  }

  /** Writes everything before the caller's part of a frame of `frameSizeBytes` (without FCS); returns its size. */
  write(flow: number, sequence: number, frameSizeBytes: number, bytes: Uint8Array, offset: number): number {
    assert(frameSizeBytes >= FRAME_SIZE_BYTES_MIN, "a test frame is shorter than Ethernet allows")
    assert(frameSizeBytes <= FRAME_SIZE_BYTES_MAX, "a test frame is longer than IPv4 allows")
    if (bytes !== this.bytes) this.bind(bytes)
    const view = this.view
    const templates = this.templates
    const template = flow * TEMPLATE_STRIDE_BYTES
    // 50 bytes: the caller's part may be in place already.
    for (let index = 0; index < TEST_FRAME_HEADER_SIZE_BYTES - 2; index += 4) {
      view.setInt32(offset + index, templates.getInt32(template + index))
    }
    const totalLengthBytes = frameSizeBytes - ETHERNET_HEADER_SIZE_BYTES
    const identification = sequence & 0xffff
    const ipOffset = offset + IP_OFFSET
    view.setInt16(ipOffset + IPV4_TOTAL_LENGTH_OFFSET_BYTES, totalLengthBytes)
    view.setInt16(ipOffset + IPV4_IDENTIFICATION_OFFSET_BYTES, identification)
    const checksum = checksumOf(this.ipSums[flow]! + totalLengthBytes + identification)
    view.setInt16(ipOffset + IPV4_CHECKSUM_OFFSET_BYTES, checksum)
    view.setInt16(offset + UDP_OFFSET + UDP_LENGTH_OFFSET_BYTES, totalLengthBytes - IPV4_HEADER_SIZE_BYTES)
    view.setInt32(offset + SEQUENCE_OFFSET, sequence)
    return TEST_FRAME_HEADER_SIZE_BYTES
  }

  /** The flow of a sound test frame, or STREAM_NONE; `sequence` and `fillSizeBytes` are its particulars. */
  parse(bytes: Uint8Array, offset: number, frameSizeBytes: number): number {
    if (frameSizeBytes < FRAME_SIZE_BYTES_MIN || readEtherType(bytes, offset) !== ETHERTYPE_IPV4) return STREAM_NONE
    const { receiver, sender } = this.endpoints
    const ipOffset = offset + IP_OFFSET
    const udpOffset = offset + UDP_OFFSET
    if (!isIpv4HeaderValid(bytes, ipOffset, frameSizeBytes - ETHERNET_HEADER_SIZE_BYTES)) return STREAM_NONE
    if (readIpv4HeaderSizeBytes(bytes, ipOffset) !== IPV4_HEADER_SIZE_BYTES) return STREAM_NONE
    if (readIpv4Protocol(bytes, ipOffset) !== IP_PROTOCOL_UDP) return STREAM_NONE
    if (readIpv4Source(bytes, ipOffset) !== sender.ip) return STREAM_NONE
    if (readIpv4Destination(bytes, ipOffset) !== receiver.ip) return STREAM_NONE
    const lengthBytes = readUdpLengthBytes(bytes, udpOffset)
    if (lengthBytes !== readIpv4TotalLengthBytes(bytes, ipOffset) - IPV4_HEADER_SIZE_BYTES) return STREAM_NONE
    if (lengthBytes < UDP_HEADER_SIZE_BYTES + TEST_HEADER_SIZE_BYTES) return STREAM_NONE
    const flow = readInt32(bytes, offset + TEST_OFFSET + TEST_FLOW_OFFSET_BYTES)
    if (flow < 0 || flow >= this.flowCount) return STREAM_NONE
    if (readUdpSourcePort(bytes, udpOffset) !== sender.ports[flow]) return STREAM_NONE
    if (readUdpDestinationPort(bytes, udpOffset) !== receiver.ports[flow]) return STREAM_NONE
    this.sequence = readInt32(bytes, offset + SEQUENCE_OFFSET)
    this.fillSizeBytes = lengthBytes - UDP_HEADER_SIZE_BYTES - TEST_HEADER_SIZE_BYTES
    return flow
  }

  private bind(bytes: Uint8Array): void {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
}

/** Test frames of the flows that `endpoints` names. */
export const makeOpenLoopFrames = (endpoints: FlowEndpoints): OpenLoopFrames => new OpenLoopFrames(endpoints)
