/** The sink of closed-loop streams: payload that the host's TCP receiver has accepted. */
import {
  addBytes,
  ETHERNET_HEADER_SIZE_BYTES,
  IP_PROTOCOL_TCP,
  IPV4_HEADER_SIZE_BYTES,
  isSumValid,
  MAC_ADDRESS_SIZE_BYTES,
  pseudoHeaderSumAt
} from "@vnic/net-stack/core"
import type { Memory } from "@vnic/sim/core"
import type { ClosedLoop } from "./closedLoop.ts"
import type { DeliveryMeter } from "./meters.ts"
import { CHECK_LINE_BYTES, type Pattern } from "./pattern.ts"
import { arePiecesSame, type Check, Sink } from "./sink.ts"
import { PART_NONE } from "./window.ts"

export interface StreamSinkOptions {
  readonly memory: Memory
  readonly meter: DeliveryMeter
  readonly pattern: Pattern
  readonly source: ClosedLoop
  readonly check: Check
}

/** Aliases of imported constants, for the hottest functions. */
const NO_PART = PART_NONE
const LINE_BYTES = CHECK_LINE_BYTES

export class StreamSink extends Sink {
  /** Payload accepted for the first time, of all streams. */
  readonly newBytes = new Float64Array(1)
  declare private readonly source: ClosedLoop
  declare private readonly pattern: Pattern
  declare private readonly segmentBytes: number
  /** Where the next line to be checked begins in its payload. */
  private line = 0

  constructor(options: StreamSinkOptions) {
    super(options.memory, options.meter, options.check)
    this.source = options.source
    this.pattern = options.pattern
    this.segmentBytes = options.source.segmentBytes
  }

  /**
   * A segment reached the application at nowPs[0]: `payloadBytes` from `sequenceOffset` (distance from the
   * stream's first byte, modulo 2^32) on, in two pieces of payload. `newBytes` of them had not arrived
   * before, which is what the receiver says; they are goodput.
   *
   * phys0 is where the headers end, also when no payload follows there (bytes0 = 0): they are checked too.
   */
  readonly deliverStream = (
    stream: number,
    sequenceOffset: number,
    payloadBytes: number,
    newBytes: number,
    phys0: number,
    bytes0: number,
    phys1: number,
    bytes1: number
  ): void => {
    this.framesDelivered++
    const isWhole = payloadBytes === this.segmentBytes && bytes0 + bytes1 === payloadBytes
    if (!isWhole || !this.isSound(stream, sequenceOffset, payloadBytes, phys0, bytes0, phys1)) {
      this.framesCorrupt++
      return
    }
    const { meter, source } = this
    const lap = source.lapOf(stream, sequenceOffset)
    const part = meter.countFrame(source.lastBitsPs, lap)
    if (newBytes === 0) {
      this.framesRepeated++
      return
    }
    this.newBytes[0]! += newBytes
    if (part === NO_PART) return
    meter.goodputBytes.add(part, newBytes)
    meter.recordLatency(source.firstBitsPs, lap, this.nowPs)
  }

  private readonly isSound = (
    stream: number,
    sequenceOffset: number,
    payloadBytes: number,
    phys0: number,
    bytes0: number,
    phys1: number
  ): boolean => {
    const position = this.source.positionOf(stream, sequenceOffset)
    let from = 0
    let sizeBytes = payloadBytes
    if (this.isChecked) {
      if (!this.isHeaderSound(position, payloadBytes, phys0)) return false
    } else {
      if (this.line >= payloadBytes) this.line = 0
      from = this.line
      this.line = from + LINE_BYTES
      if (payloadBytes - from < LINE_BYTES) sizeBytes = payloadBytes - from
      else sizeBytes = LINE_BYTES
    }
    return arePiecesSame(this.memory, this.pattern.at(position + from), from, sizeBytes, phys0, bytes0, phys1)
  }

  /** Every byte of the headers: the addresses, and the rest by the checksums, the receiver's check of IP's done. */
  private readonly isHeaderSound = (position: number, payloadBytes: number, headerEnd: number): boolean => {
    const { bytes } = this.memory
    const { headerSizeBytes } = this.source.sender
    const { receiver, sender } = this.source.endpoints
    const at = headerEnd - headerSizeBytes
    for (let index = 0; index < MAC_ADDRESS_SIZE_BYTES; index++) {
      if (bytes[at + index] !== receiver.mac[index]) return false
      if (bytes[at + MAC_ADDRESS_SIZE_BYTES + index] !== sender.mac[index]) return false
    }
    const ipOffset = at + ETHERNET_HEADER_SIZE_BYTES
    const tcpOffset = ipOffset + IPV4_HEADER_SIZE_BYTES
    const tcpHeaderBytes = headerEnd - tcpOffset
    const pseudo = pseudoHeaderSumAt(bytes, ipOffset, IP_PROTOCOL_TCP, tcpHeaderBytes + payloadBytes)
    return isSumValid(addBytes(pseudo, bytes, tcpOffset, tcpHeaderBytes) + this.source.payloadSumAt(position))
  }
}

/** A sink for the streams of `options.source`. */
export const makeStreamSink = (options: StreamSinkOptions): StreamSink => new StreamSink(options)
