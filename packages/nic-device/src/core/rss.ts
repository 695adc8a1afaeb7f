/**
 * Receive side scaling: which queue a frame belongs to, and what its descriptor says about its headers.
 *
 * MODEL: home addresses and routing headers of IPv6 are not looked for; the hash of a frame with extension
 * headers uses the addresses of the fixed header. The device reports IPv4 and TCP/UDP checksums as checked
 * and good without adding them up: what arrives has passed the FCS.
 */
import type { Frame, FramePool, Memory } from "@vnic/sim/core"
import * as Registers from "../registers.ts"
import type { RegisterFile } from "./registerFile.ts"
import * as Toeplitz from "./toeplitz.ts"
import * as Layout from "./layout.ts"

// Imported names cost a load and a check at each use; the hot path has its own.
const { ETHERNET_HEADER_BYTES, RSS_QUEUE, RSS_TYPES, RSS_WORD, RSS_STATUS } = Layout
const {
  MRQC,
  MRQC_IPV4_BIT,
  MRQC_IPV6_BIT,
  MRQC_IPV6_EX_BIT,
  MRQC_MRQE_MASK,
  MRQC_TCP_IPV4_BIT,
  MRQC_TCP_IPV6_BIT,
  MRQC_TCP_IPV6_EX_BIT,
  MRQC_UDP_IPV4_BIT,
  MRQC_UDP_IPV6_BIT,
  MRQC_UDP_IPV6_EX_BIT,
  MRQE_RSS,
  RETA,
  RSS_TYPE_IPV4,
  RSS_TYPE_IPV6,
  RSS_TYPE_IPV6_EX,
  RSS_TYPE_TCP_IPV4,
  RSS_TYPE_TCP_IPV6,
  RSS_TYPE_TCP_IPV6_EX,
  RSS_TYPE_UDP_IPV4,
  RSS_TYPE_UDP_IPV6,
  RSS_TYPE_UDP_IPV6_EX,
  RSSRK,
  RXCSUM,
  RXCSUM_PCSD_BIT,
  RXD_WB_IPCS_BIT,
  RXD_WB_L4CS_BIT,
  RXD_WB_PACKET_IPV4_BIT,
  RXD_WB_PACKET_IPV4_OPTIONS_BIT,
  RXD_WB_PACKET_IPV6_BIT,
  RXD_WB_PACKET_IPV6_EXTENSIONS_BIT,
  RXD_WB_PACKET_SCTP_BIT,
  RXD_WB_PACKET_TCP_BIT,
  RXD_WB_PACKET_UDP_BIT,
  RXD_WB_UDPCS_BIT
} = Registers
const { INDIRECTION_ENTRIES, KEY_BYTES, makeToeplitzTable, TOEPLITZ_INPUT_BYTES, toeplitzByTable } = Toeplitz

const ETHER_TYPE_IPV4 = 0x0800
const ETHER_TYPE_IPV6 = 0x86dd
const ETHER_TYPE_VLAN = 0x8100
const PROTOCOL_TCP = 6
const PROTOCOL_UDP = 17
const PROTOCOL_SCTP = 132
const EXTENSION_HOP_BY_HOP = 0
const EXTENSION_ROUTING = 43
const EXTENSION_DESTINATION = 60
const IPV4_FRAGMENT_MASK = 0x3fff
const IPV4_HEADER_BYTES = 20
const IPV6_HEADER_BYTES = 40
/** The first word with these bits: EtherType 0x0800, version 4, header of 20 bytes. */
const PLAIN_MASK = 0xffffff
const PLAIN_IPV4 = 0x450008
/** Protocol and, of the fragment field, all but "don't fragment". */
const WHOLE_TCP_MASK = 0xff00ff3f | 0
const WHOLE_TCP = PROTOCOL_TCP << 24
/** Ethernet, IPv4 and the ports and sequence number of TCP. */
const PLAIN_HEADER_BYTES = 42
/** Bytes of a transport header that are looked at. */
const TRANSPORT_BYTES = 8
/** Bytes of a frame that are looked at. */
const PARSED_BYTES = 256

export class Rss {
  /** What `classify` found out about the last frame. */
  readonly result = new Int32Array(32)
  private readonly table = new Int32Array(TOEPLITZ_INPUT_BYTES * 256)
  private readonly queueOf = new Uint8Array(INDIRECTION_ENTRIES)
  private readonly key = new Uint8Array(KEY_BYTES)
  private readonly scratch = new Uint8Array(PARSED_BYTES)
  private isTableStale = true
  private hashes = 0
  private isHashReported = false
  /** The common case is ready: TCP on IPv4 is hashed, with a fresh table, and the hash is reported. */
  private isPlainHashed = false
  declare private readonly bytes: Uint8Array
  declare private readonly words: Int32Array
  declare private readonly frames: FramePool

  constructor(file: RegisterFile, memory: Memory, frames: FramePool) {
    this.bytes = memory.bytes
    this.words = memory.words
    this.frames = frames
    file.whenWritten("RSSRK", (index) => this.setKey(index, file.peek(RSSRK(index))))
    file.whenWritten("RETA", (index) => this.setQueues(index, file.peek(RETA(index))))
    file.whenWritten("MRQC", () => this.setMode(file.peek(MRQC)))
    file.whenWritten("RXCSUM", () => {
      this.isHashReported = (file.peek(RXCSUM) & RXCSUM_PCSD_BIT) !== 0
      this.loadPlain()
    })
  }

  /** As after a device reset. */
  reset(): void {
    this.key.fill(0)
    this.queueOf.fill(0)
    this.isTableStale = true
    this.hashes = 0
    this.isHashReported = false
    this.isPlainHashed = false
  }

  private setKey(index: number, word: number): void {
    for (let byte = 0; byte < 4; byte++) this.key[4 * index + byte] = word >>> (8 * byte)
    this.isTableStale = true
    this.loadPlain()
  }

  private setQueues(index: number, word: number): void {
    for (let byte = 0; byte < 4; byte++) this.queueOf[4 * index + byte] = (word >>> (8 * byte)) & 0xf
  }

  private setMode(value: number): void {
    // MODEL: of the multiple-queue modes only RSS is known; the others hash nothing.
    this.hashes = (value & MRQC_MRQE_MASK) === MRQE_RSS ? value & ~MRQC_MRQE_MASK : 0
    this.loadPlain()
  }

  /** Looks at a frame's headers; the answers are in `result`. */
  readonly classify = (frame: Frame): void => {
    const { words } = this
    const word = this.frames.headOffset(frame) >> 2
    // Bytes 12 to 15 and 20 to 23: IPv4 without options or tag, TCP, not a fragment.
    const isPlainTcp =
      (words[word + 3]! & PLAIN_MASK) === PLAIN_IPV4 &&
      (words[word + 5]! & WHOLE_TCP_MASK) === WHOLE_TCP &&
      this.frames.headBytes[frame]! >= PLAIN_HEADER_BYTES
    if (isPlainTcp && this.isPlainHashed) this.classifyPlainTcp(word)
    else this.classifyAny(frame)
  }

  private readonly classifyPlainTcp = (word: number): void => {
    const { result, table, words } = this
    const first = words[word + 6]!
    const second = words[word + 7]!
    const third = words[word + 8]!
    const last = words[word + 9]!
    const hash =
      table[(first >>> 16) & 0xff]! ^
      table[256 + (first >>> 24)]! ^
      table[512 + (second & 0xff)]! ^
      table[768 + ((second >>> 8) & 0xff)]! ^
      table[1024 + ((second >>> 16) & 0xff)]! ^
      table[1280 + (second >>> 24)]! ^
      table[1536 + (third & 0xff)]! ^
      table[1792 + ((third >>> 8) & 0xff)]! ^
      table[2048 + ((third >>> 16) & 0xff)]! ^
      table[2304 + (third >>> 24)]! ^
      table[2560 + (last & 0xff)]! ^
      table[2816 + ((last >>> 8) & 0xff)]!
    result[RSS_QUEUE] = this.queueOf[hash & (INDIRECTION_ENTRIES - 1)]!
    result[RSS_TYPES] = RXD_WB_PACKET_IPV4_BIT | RXD_WB_PACKET_TCP_BIT | RSS_TYPE_TCP_IPV4
    result[RSS_WORD] = hash
    result[RSS_STATUS] = RXD_WB_IPCS_BIT | RXD_WB_L4CS_BIT
  }

  private classifyAny(frame: Frame): void {
    const { frames, result } = this
    const inHead = frames.headBytes[frame]!
    if (this.isTableStale) this.rebuild()
    result[RSS_QUEUE] = 0
    result[RSS_TYPES] = 0
    result[RSS_WORD] = 0
    result[RSS_STATUS] = 0
    if (frames.bodyBytes[frame] === 0 || this.hasHeaders(frames.headOffset(frame), inHead)) {
      this.parse(this.bytes, frames.headOffset(frame), inHead)
      return
    }
    const length = frames.lengthBytes(frame)
    const size = length < PARSED_BYTES ? length : PARSED_BYTES
    for (let index = 0; index < size; index++) this.scratch[index] = frames.byteAt(frame, index)
    this.parse(this.scratch, 0, size)
  }

  /** True when the head surely holds all that is looked at. */
  private hasHeaders(at: number, inHead: number): boolean {
    if (inHead >= PARSED_BYTES) return true
    if (inHead < ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES) return false
    const etherType = (this.bytes[at + 12]! << 8) | this.bytes[at + 13]!
    if (etherType === ETHER_TYPE_IPV4) {
      const headerBytes = (this.bytes[at + ETHERNET_HEADER_BYTES]! & 0xf) << 2
      return inHead >= ETHERNET_HEADER_BYTES + headerBytes + TRANSPORT_BYTES
    }
    if (etherType !== ETHER_TYPE_IPV6) return false
    const isPlain = !isExtension(this.bytes[at + ETHERNET_HEADER_BYTES + 6]!)
    return isPlain && inHead >= ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + TRANSPORT_BYTES
  }

  private rebuild(): void {
    makeToeplitzTable(this.key, this.table)
    this.isTableStale = false
    this.loadPlain()
  }

  private loadPlain(): void {
    this.isPlainHashed = !this.isTableStale && this.isHashReported && (this.hashes & MRQC_TCP_IPV4_BIT) !== 0
  }

  private parse(bytes: Uint8Array, at: number, size: number): void {
    if (size < ETHERNET_HEADER_BYTES) return
    let etherType = (bytes[at + 12]! << 8) | bytes[at + 13]!
    let network = ETHERNET_HEADER_BYTES
    if (etherType === ETHER_TYPE_VLAN && size >= network + 4) {
      etherType = (bytes[at + 16]! << 8) | bytes[at + 17]!
      network += 4
    }
    if (etherType === ETHER_TYPE_IPV4 && size >= network + IPV4_HEADER_BYTES) {
      this.parseIpv4(bytes, at + network, size - network)
    } else if (etherType === ETHER_TYPE_IPV6 && size >= network + IPV6_HEADER_BYTES) {
      this.parseIpv6(bytes, at + network, size - network)
    }
  }

  private parseIpv4(bytes: Uint8Array, at: number, size: number): void {
    const headerBytes = (bytes[at]! & 0xf) << 2
    if (bytes[at]! >> 4 !== 4 || headerBytes < IPV4_HEADER_BYTES) return
    const result = this.result
    const fragment = ((bytes[at + 6]! << 8) | bytes[at + 7]!) & IPV4_FRAGMENT_MASK
    let types = RXD_WB_PACKET_IPV4_BIT
    if (headerBytes > IPV4_HEADER_BYTES) types = RXD_WB_PACKET_IPV4_OPTIONS_BIT
    result[RSS_STATUS] = RXD_WB_IPCS_BIT
    if (!this.isHashReported) result[RSS_WORD] = (bytes[at + 4]! << 8) | bytes[at + 5]!
    const hashes = this.hashes
    const protocol = bytes[at + 9]!
    if (fragment === 0 && size >= headerBytes + TRANSPORT_BYTES) {
      types |= this.transport(protocol, bytes, at + headerBytes)
      if (protocol === PROTOCOL_TCP && (hashes & MRQC_TCP_IPV4_BIT) !== 0) {
        this.place(types | RSS_TYPE_TCP_IPV4, this.hash(bytes, at + 12, 8, at + headerBytes))
        return
      }
      if (protocol === PROTOCOL_UDP && (hashes & MRQC_UDP_IPV4_BIT) !== 0) {
        this.place(types | RSS_TYPE_UDP_IPV4, this.hash(bytes, at + 12, 8, at + headerBytes))
        return
      }
    }
    if ((hashes & MRQC_IPV4_BIT) !== 0) {
      this.place(types | RSS_TYPE_IPV4, toeplitzByTable(this.table, 0, bytes, at + 12, 8))
    } else result[RSS_TYPES] = types
  }

  /** Packet type of the transport header, and its checksum status. */
  private transport(protocol: number, bytes: Uint8Array, at: number): number {
    if (protocol === PROTOCOL_TCP) {
      this.result[RSS_STATUS]! |= RXD_WB_L4CS_BIT
      return RXD_WB_PACKET_TCP_BIT
    }
    if (protocol === PROTOCOL_UDP) {
      // A UDP checksum of 0 means that there is none.
      if ((bytes[at + 6]! | bytes[at + 7]!) !== 0) this.result[RSS_STATUS]! |= RXD_WB_L4CS_BIT | RXD_WB_UDPCS_BIT
      return RXD_WB_PACKET_UDP_BIT
    }
    return protocol === PROTOCOL_SCTP ? RXD_WB_PACKET_SCTP_BIT : 0
  }

  private parseIpv6(bytes: Uint8Array, at: number, size: number): void {
    if (bytes[at]! >> 4 !== 6) return
    let protocol = bytes[at + 6]!
    let transport = IPV6_HEADER_BYTES
    while (isExtension(protocol) && size >= transport + TRANSPORT_BYTES) {
      protocol = bytes[at + transport]!
      transport += (bytes[at + transport + 1]! + 1) << 3
    }
    const isExtended = transport > IPV6_HEADER_BYTES
    let types = isExtended ? RXD_WB_PACKET_IPV6_EXTENSIONS_BIT : RXD_WB_PACKET_IPV6_BIT
    if (size >= transport + TRANSPORT_BYTES) {
      types |= this.transport(protocol, bytes, at + transport)
      const type = transportTypeIpv6(this.hashes, protocol, isExtended)
      if (type !== 0) {
        this.place(types | type, this.hash(bytes, at + 8, 32, at + transport))
        return
      }
    }
    const type = networkTypeIpv6(this.hashes, isExtended)
    if (type !== 0) this.place(types | type, toeplitzByTable(this.table, 0, bytes, at + 8, 32))
    else this.result[RSS_TYPES] = types
  }

  /** Hash of the addresses and, from `ports` on, of the two port numbers. */
  private hash(bytes: Uint8Array, addresses: number, addressBytes: number, ports: number): number {
    return (
      toeplitzByTable(this.table, 0, bytes, addresses, addressBytes) ^
      toeplitzByTable(this.table, addressBytes, bytes, ports, 4)
    )
  }

  private place(types: number, hash: number): void {
    const result = this.result
    result[RSS_TYPES] = types
    result[RSS_QUEUE] = this.queueOf[hash & (INDIRECTION_ENTRIES - 1)]!
    if (this.isHashReported) result[RSS_WORD] = hash
  }

  /** The queue of a TCP connection's frames as the registers stand; addresses as int32, first byte highest. */
  receiveQueueOf(srcIp: number, dstIp: number, srcPort: number, dstPort: number): number {
    if (this.isTableStale) this.rebuild()
    const input = this.scratch
    writeTuple(input, srcIp, dstIp, srcPort, dstPort)
    let size = 0
    if ((this.hashes & MRQC_TCP_IPV4_BIT) !== 0) size = 12
    else if ((this.hashes & MRQC_IPV4_BIT) !== 0) size = 8
    if (size === 0) return 0
    return this.queueOf[toeplitzByTable(this.table, 0, input, 0, size) & (INDIRECTION_ENTRIES - 1)]!
  }
}

/** Puts addresses and ports into hash input order. */
function writeTuple(into: Uint8Array, srcIp: number, dstIp: number, srcPort: number, dstPort: number): void {
  for (let byte = 0; byte < 4; byte++) {
    into[byte] = srcIp >>> (24 - 8 * byte)
    into[4 + byte] = dstIp >>> (24 - 8 * byte)
  }
  into[8] = srcPort >>> 8
  into[9] = srcPort
  into[10] = dstPort >>> 8
  into[11] = dstPort
}

const isExtension = (protocol: number): boolean =>
  protocol === EXTENSION_HOP_BY_HOP || protocol === EXTENSION_ROUTING || protocol === EXTENSION_DESTINATION

function transportTypeIpv6(hashes: number, protocol: number, isExtended: boolean): number {
  if (protocol === PROTOCOL_TCP) {
    if (isExtended) return (hashes & MRQC_TCP_IPV6_EX_BIT) !== 0 ? RSS_TYPE_TCP_IPV6_EX : 0
    return (hashes & MRQC_TCP_IPV6_BIT) !== 0 ? RSS_TYPE_TCP_IPV6 : 0
  }
  if (protocol !== PROTOCOL_UDP) return 0
  if (isExtended) return (hashes & MRQC_UDP_IPV6_EX_BIT) !== 0 ? RSS_TYPE_UDP_IPV6_EX : 0
  return (hashes & MRQC_UDP_IPV6_BIT) !== 0 ? RSS_TYPE_UDP_IPV6 : 0
}

function networkTypeIpv6(hashes: number, isExtended: boolean): number {
  if (isExtended && (hashes & MRQC_IPV6_EX_BIT) !== 0) return RSS_TYPE_IPV6_EX
  return (hashes & MRQC_IPV6_BIT) !== 0 ? RSS_TYPE_IPV6 : 0
}
