/**
 * A TCP segment as it lies in memory: the one place where both ends take a frame apart. The fields are
 * overwritten by the next `parse`; nothing is allocated, unless the memory is another one than last time.
 * Every word of the headers is read once, and several fields come out of one read.
 *
 * MODEL: the TCP checksum is not verified here; the receiving hardware does it (receive checksum offload)
 * and drops or flags the frame, so that software pays for the IP header only.
 */
import { addBytes, fold } from "./checksum.ts"
import { ETHERNET_HEADER_SIZE_BYTES, ETHERNET_TYPE_OFFSET_BYTES, ETHERTYPE_IPV4 } from "./ethernet.ts"
import {
  IP_PROTOCOL_TCP,
  IPV4_CHECKSUM_OFFSET_BYTES,
  IPV4_DESTINATION_OFFSET_BYTES,
  IPV4_FRAGMENT_MASK,
  IPV4_FRAGMENT_OFFSET_BYTES,
  IPV4_HEADER_SIZE_BYTES,
  IPV4_SOURCE_OFFSET_BYTES,
  IPV4_TOTAL_LENGTH_OFFSET_BYTES
} from "./ipv4.ts"
import {
  findTcpTimestamp,
  TCP_ACKNOWLEDGEMENT_OFFSET_BYTES,
  TCP_DATA_OFFSET_OFFSET_BYTES,
  TCP_HEADER_SIZE_BYTES,
  TCP_SEQUENCE_OFFSET_BYTES,
  TCP_SOURCE_PORT_OFFSET_BYTES,
  TCP_TIMESTAMP_NONE,
  TCP_TIMESTAMP_OPTION_SIZE_BYTES,
  TCP_TIMESTAMP_PREFIX
} from "./tcp.ts"

/** What `parse` found. */
export const PARSE_SOUND = 0
/** Not TCP over IPv4, or a fragment: somebody else's business. */
export const PARSE_FOREIGN = 1
/** Lengths that contradict each other, or a wrong IP header checksum. */
export const PARSE_MALFORMED = 2

// Imported bindings cost a load each time; these are constants of this module.
const ETHERNET_SIZE = ETHERNET_HEADER_SIZE_BYTES
const IP_SIZE = IPV4_HEADER_SIZE_BYTES
const TCP_SIZE = TCP_HEADER_SIZE_BYTES
const IPV4 = ETHERTYPE_IPV4
const TCP = IP_PROTOCOL_TCP
const FRAGMENT_MASK = IPV4_FRAGMENT_MASK
const TIMESTAMP_NONE = TCP_TIMESTAMP_NONE
const TIMESTAMP_PREFIX = TCP_TIMESTAMP_PREFIX
const STAMPED_TCP_SIZE = TCP_HEADER_SIZE_BYTES + TCP_TIMESTAMP_OPTION_SIZE_BYTES
const FRAME_SIZE_LEAST = ETHERNET_SIZE + IP_SIZE + TCP_SIZE

// From the frame's first byte. EtherType, version, header length and type of service are one word.
const TYPE_OFFSET = ETHERNET_TYPE_OFFSET_BYTES
const LENGTH_OFFSET = ETHERNET_SIZE + IPV4_TOTAL_LENGTH_OFFSET_BYTES
const FRAGMENT_OFFSET = ETHERNET_SIZE + IPV4_FRAGMENT_OFFSET_BYTES
const CHECKSUM_OFFSET = ETHERNET_SIZE + IPV4_CHECKSUM_OFFSET_BYTES
const SOURCE_OFFSET = ETHERNET_SIZE + IPV4_SOURCE_OFFSET_BYTES
const DESTINATION_OFFSET = ETHERNET_SIZE + IPV4_DESTINATION_OFFSET_BYTES

// From the TCP header's first byte. Both ports are one word; so are data offset, flags and window.
const PORTS_OFFSET = TCP_SOURCE_PORT_OFFSET_BYTES
const SEQUENCE_OFFSET = TCP_SEQUENCE_OFFSET_BYTES
const ACKNOWLEDGEMENT_OFFSET = TCP_ACKNOWLEDGEMENT_OFFSET_BYTES
const CONTROL_OFFSET = TCP_DATA_OFFSET_OFFSET_BYTES

export class TcpSegment {
  sourceIp = 0
  destinationIp = 0
  /** Source port in the upper, destination port in the lower half (portPair). */
  ports = 0
  /** Sequence number of the first payload byte, int32. */
  sequence = 0
  /** Next sequence number that the other end expects, int32. */
  acknowledgement = 0
  flags = 0
  /** All headers, from the frame's first byte to the payload. */
  headerSizeBytes = 0
  payloadSizeBytes = 0
  /** Where the time-stamp option's kind byte is in memory, or TCP_TIMESTAMP_NONE. */
  timestampOffset = TIMESTAMP_NONE

  /** The memory last read, and a view of it. */
  private bytes: Uint8Array = new Uint8Array(0)
  private view: DataView = new DataView(this.bytes.buffer)

  /** Takes the frame of `frameSizeBytes` (without FCS, padding allowed) at `frameOffset` apart. */
  parse(bytes: Uint8Array, frameOffset: number, frameSizeBytes: number): number {
    if (bytes !== this.bytes) this.bind(bytes)
    const view = this.view
    if (frameSizeBytes < ETHERNET_SIZE) return PARSE_MALFORMED
    if (view.getUint16(frameOffset + TYPE_OFFSET) !== IPV4) return PARSE_FOREIGN
    if (frameSizeBytes < FRAME_SIZE_LEAST) return PARSE_MALFORMED

    const typeOfService = view.getUint16(frameOffset + TYPE_OFFSET + 2)
    const length = view.getInt32(frameOffset + LENGTH_OFFSET)
    const fragment = view.getInt32(frameOffset + FRAGMENT_OFFSET)
    const source = view.getInt32(frameOffset + SOURCE_OFFSET)
    const destination = view.getInt32(frameOffset + DESTINATION_OFFSET)
    const ipSizeBytes = (typeOfService >> 6) & 0x3c
    const totalSizeBytes = length >>> 16
    if (typeOfService >> 12 !== 4 || ipSizeBytes < IP_SIZE) return PARSE_MALFORMED
    if (totalSizeBytes < ipSizeBytes || ETHERNET_SIZE + totalSizeBytes > frameSizeBytes) return PARSE_MALFORMED
    let sum = typeOfService + totalSizeBytes + (length & 0xffff) + (fragment >>> 16) + (fragment & 0xffff)
    sum += view.getUint16(frameOffset + CHECKSUM_OFFSET)
    sum += (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff)
    const tcpOffset = frameOffset + ETHERNET_SIZE + ipSizeBytes
    if (ipSizeBytes > IP_SIZE) {
      const optionsOffset = frameOffset + ETHERNET_SIZE + IP_SIZE
      sum = addBytes(sum, bytes, optionsOffset, tcpOffset - optionsOffset)
    }
    if (fold(sum) !== 0xffff) return PARSE_MALFORMED
    if ((fragment & 0xff) !== TCP || ((fragment >>> 16) & FRAGMENT_MASK) !== 0) return PARSE_FOREIGN
    this.sourceIp = source
    this.destinationIp = destination
    return this.parseTcp(view, tcpOffset, totalSizeBytes - ipSizeBytes, tcpOffset - frameOffset)
  }

  private parseTcp(view: DataView, tcpOffset: number, segmentSizeBytes: number, lowerSizeBytes: number): number {
    if (segmentSizeBytes < TCP_SIZE) return PARSE_MALFORMED
    const control = view.getInt32(tcpOffset + CONTROL_OFFSET)
    const tcpSizeBytes = (control >>> 26) & 0x3c
    if (tcpSizeBytes < TCP_SIZE || tcpSizeBytes > segmentSizeBytes) return PARSE_MALFORMED
    this.ports = view.getInt32(tcpOffset + PORTS_OFFSET)
    this.sequence = view.getInt32(tcpOffset + SEQUENCE_OFFSET)
    this.acknowledgement = view.getInt32(tcpOffset + ACKNOWLEDGEMENT_OFFSET)
    this.flags = (control >> 16) & 0xff
    this.headerSizeBytes = lowerSizeBytes + tcpSizeBytes
    this.payloadSizeBytes = segmentSizeBytes - tcpSizeBytes
    // The two common layouts, no option and the aligned time stamp alone, need no search.
    if (tcpSizeBytes === TCP_SIZE) this.timestampOffset = TIMESTAMP_NONE
    else if (tcpSizeBytes === STAMPED_TCP_SIZE && view.getInt32(tcpOffset + TCP_SIZE) === TIMESTAMP_PREFIX) {
      this.timestampOffset = tcpOffset + TCP_SIZE + 2
    } else this.timestampOffset = findTcpTimestamp(this.bytes, tcpOffset, tcpSizeBytes)
    return PARSE_SOUND
  }

  private bind(bytes: Uint8Array): void {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
}
