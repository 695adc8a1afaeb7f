/**
 * Headers that an end writes again and again: Ethernet, IPv4 and TCP of N streams in one direction. All but
 * length, IP identification, sequence numbers, time stamps and checksums is constant, so the constant words
 * and their sums are prepared once; a write stores every byte of the header once.
 */
import { assert } from "@vnic/sim/core"
import { readInt32 } from "./bytes.ts"
import { addBytes, addInt32, checksumOf, pseudoHeaderSum } from "./checksum.ts"
import { ETHERNET_HEADER_SIZE_BYTES, ETHERTYPE_IPV4, writeEthernetHeader } from "./ethernet.ts"
import { portPair } from "./flowTable.ts"
import {
  IP_PROTOCOL_TCP,
  IPV4_CHECKSUM_OFFSET_BYTES,
  IPV4_FRAGMENT_OFFSET_BYTES,
  IPV4_HEADER_SIZE_BYTES,
  IPV4_SOURCE_OFFSET_BYTES,
  IPV4_TOTAL_LENGTH_OFFSET_BYTES,
  writeIpv4Header
} from "./ipv4.ts"
import type { StreamEnd } from "./streamEndpoints.ts"
import {
  TCP_ACK_BIT,
  TCP_ACKNOWLEDGEMENT_OFFSET_BYTES,
  TCP_CHECKSUM_OFFSET_BYTES,
  TCP_DATA_OFFSET_OFFSET_BYTES,
  TCP_HEADER_SIZE_BYTES,
  TCP_SEQUENCE_OFFSET_BYTES,
  TCP_TIMESTAMP_OPTION_SIZE_BYTES,
  TCP_TIMESTAMP_PREFIX
} from "./tcp.ts"

/** One tick of the time-stamp clock: 1 ms, as in Linux [RFC 7323 5.4 allows 1 ms to 1 s]. */
export const TIMESTAMP_TICK_PS = 1e9

/** Ethernet, IPv4 and TCP without options. */
export const PLAIN_HEADER_SIZE_BYTES = ETHERNET_HEADER_SIZE_BYTES + IPV4_HEADER_SIZE_BYTES + TCP_HEADER_SIZE_BYTES

// From the frame's first byte. Where two fields lie in one word, the word is written at once.
const IP_OFFSET = ETHERNET_HEADER_SIZE_BYTES
const TCP_OFFSET = IP_OFFSET + IPV4_HEADER_SIZE_BYTES
/** Total length and identification. */
const LENGTH_OFFSET = IP_OFFSET + IPV4_TOTAL_LENGTH_OFFSET_BYTES
/** Fragment field, time to live and protocol. */
const FRAGMENT_OFFSET = IP_OFFSET + IPV4_FRAGMENT_OFFSET_BYTES
const IP_CHECKSUM_OFFSET = IP_OFFSET + IPV4_CHECKSUM_OFFSET_BYTES
const SOURCE_OFFSET = IP_OFFSET + IPV4_SOURCE_OFFSET_BYTES
const DESTINATION_OFFSET = SOURCE_OFFSET + 4
const PORTS_OFFSET = TCP_OFFSET
const SEQUENCE_OFFSET = TCP_OFFSET + TCP_SEQUENCE_OFFSET_BYTES
const ACKNOWLEDGEMENT_OFFSET = TCP_OFFSET + TCP_ACKNOWLEDGEMENT_OFFSET_BYTES
/** Data offset, flags and window. */
const CONTROL_OFFSET = TCP_OFFSET + TCP_DATA_OFFSET_OFFSET_BYTES
/** Checksum and urgent pointer. */
const TCP_CHECKSUM_OFFSET = TCP_OFFSET + TCP_CHECKSUM_OFFSET_BYTES
const OPTION_OFFSET = TCP_OFFSET + TCP_HEADER_SIZE_BYTES

// Imported bindings cost a load each time; these are constants of this module.
const TIMESTAMP_PREFIX = TCP_TIMESTAMP_PREFIX
const TICK_PS = TIMESTAMP_TICK_PS

export interface HeaderTemplatesOptions {
  /** The end that sends these headers, and the one that gets them. */
  readonly from: StreamEnd
  readonly to: StreamEnd
  readonly streamCount: number
  /** True when every segment carries the time-stamp option. */
  readonly timestamps: boolean
  /** False leaves the TCP checksum zero: the sender's hardware would fill it in. */
  readonly tcpChecksum: boolean
  /** The window field, constant. */
  readonly windowField: number
  /** clock[0] is now, in picoseconds. */
  readonly clock: Float64Array
}

export class HeaderTemplates {
  /** Size of every header that `write` makes. */
  declare readonly headerSizeBytes: number
  /** The time-stamp value to send back, of each stream; the owner keeps it up to date. */
  declare readonly timestampEchoes: Int32Array
  declare private readonly clock: Float64Array
  declare private readonly hasTimestamps: boolean
  declare private readonly hasTcpChecksum: boolean
  /** The first sixteen bytes: Ethernet header, IP version, header length and type of service. */
  declare private readonly word0: number
  declare private readonly word4: number
  declare private readonly word8: number
  declare private readonly word12: number
  declare private readonly fragmentWord: number
  declare private readonly controlWord: number
  declare private readonly sourceIp: number
  declare private readonly destinationIp: number
  /** Both ports of each stream. */
  declare private readonly ports: Int32Array
  /** Sum of the IP header's constant words. */
  declare private readonly ipSum: number
  /** Sum of the pseudo header's and the TCP header's constant words, of each stream. */
  declare private readonly tcpSums: Int32Array
  /** IP identification of each stream's next header. */
  declare private readonly identifications: Int32Array
  /** The memory last written to, and a view of it: a view is made when the memory changes. */
  declare private bytes: Uint8Array
  declare private view: DataView

  constructor(options: HeaderTemplatesOptions) {
    const { from, streamCount, timestamps, to, windowField } = options
    assert(windowField >= 0 && windowField <= 0xffff, "window field out of range")
    const tcpSizeBytes = TCP_HEADER_SIZE_BYTES + (timestamps ? TCP_TIMESTAMP_OPTION_SIZE_BYTES : 0)
    this.headerSizeBytes = TCP_OFFSET + tcpSizeBytes
    this.timestampEchoes = new Int32Array(streamCount)
    this.clock = options.clock
    this.hasTimestamps = timestamps
    this.hasTcpChecksum = options.tcpChecksum

    const prototype = new Uint8Array(PLAIN_HEADER_SIZE_BYTES)
    writeEthernetHeader(prototype, 0, to.mac, from.mac, ETHERTYPE_IPV4)
    writeIpv4Header(prototype, IP_OFFSET, 0, 0, IP_PROTOCOL_TCP, from.ip, to.ip)
    this.word0 = readInt32(prototype, 0)
    this.word4 = readInt32(prototype, 4)
    this.word8 = readInt32(prototype, 8)
    this.word12 = readInt32(prototype, 12)
    this.fragmentWord = readInt32(prototype, FRAGMENT_OFFSET)
    this.sourceIp = from.ip | 0
    this.destinationIp = to.ip | 0
    this.ipSum =
      addBytes(0, prototype, IP_OFFSET, IPV4_CHECKSUM_OFFSET_BYTES) + addBytes(0, prototype, SOURCE_OFFSET, 2 * 4)

    this.controlWord = (tcpSizeBytes << 26) | (1 << (16 + TCP_ACK_BIT)) | windowField
    const option = timestamps ? TIMESTAMP_PREFIX : 0
    const pseudo = pseudoHeaderSum(from.ip, to.ip, IP_PROTOCOL_TCP, tcpSizeBytes)
    const constantSum = addInt32(addInt32(pseudo, this.controlWord), option)
    this.ports = new Int32Array(streamCount)
    this.tcpSums = new Int32Array(streamCount)
    for (let stream = 0; stream < streamCount; stream++) {
      const ports = portPair(from.ports[stream]!, to.ports[stream]!)
      this.ports[stream] = ports
      this.tcpSums[stream] = addInt32(constantSum, ports)
    }
    this.identifications = new Int32Array(streamCount)
    this.bytes = prototype
    this.view = new DataView(prototype.buffer)
  }

  /**
   * Writes the next header of `stream` at `offset`; returns its size. `payloadSum` is the unfolded sum of
   * the payload (checksum.ts); it is not looked at when the TCP checksum is left to hardware.
   */
  write(
    stream: number,
    sequence: number,
    acknowledgement: number,
    payloadSizeBytes: number,
    payloadSum: number,
    bytes: Uint8Array,
    offset: number
  ): number {
    if (bytes !== this.bytes) this.bind(bytes)
    const view = this.view
    const headerSizeBytes = this.headerSizeBytes
    const totalLengthBytes = headerSizeBytes - IP_OFFSET + payloadSizeBytes
    const identification = this.identifications[stream]!
    this.identifications[stream] = (identification + 1) & 0xffff
    view.setInt32(offset, this.word0)
    view.setInt32(offset + 4, this.word4)
    view.setInt32(offset + 8, this.word8)
    view.setInt32(offset + 12, this.word12)
    view.setInt32(offset + LENGTH_OFFSET, (totalLengthBytes << 16) | identification)
    view.setInt32(offset + FRAGMENT_OFFSET, this.fragmentWord)
    view.setInt16(offset + IP_CHECKSUM_OFFSET, checksumOf(this.ipSum + totalLengthBytes + identification))
    view.setInt32(offset + SOURCE_OFFSET, this.sourceIp)
    view.setInt32(offset + DESTINATION_OFFSET, this.destinationIp)
    view.setInt32(offset + PORTS_OFFSET, this.ports[stream]!)
    view.setInt32(offset + SEQUENCE_OFFSET, sequence)
    view.setInt32(offset + ACKNOWLEDGEMENT_OFFSET, acknowledgement)
    view.setInt32(offset + CONTROL_OFFSET, this.controlWord)
    let timestamp = 0
    let echo = 0
    if (this.hasTimestamps) {
      timestamp = (this.clock[0]! / TICK_PS) | 0
      echo = this.timestampEchoes[stream]!
      view.setInt32(offset + OPTION_OFFSET, TIMESTAMP_PREFIX)
      view.setInt32(offset + OPTION_OFFSET + 4, timestamp)
      view.setInt32(offset + OPTION_OFFSET + 8, echo)
    }
    let checksum = 0
    if (this.hasTcpChecksum) {
      const sum = addInt32(addInt32(this.tcpSums[stream]! + payloadSizeBytes, sequence), acknowledgement)
      checksum = checksumOf(addInt32(addInt32(sum, timestamp), echo) + payloadSum)
    }
    view.setInt32(offset + TCP_CHECKSUM_OFFSET, checksum << 16)
    return headerSizeBytes
  }

  private bind(bytes: Uint8Array): void {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
}
