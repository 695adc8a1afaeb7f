/**
 * The receiving end of N one-way TCP streams: in-order check, reassembly, and when to acknowledge.
 *
 * An acknowledgement is due for every second segment or when the delayed-ACK timer runs out
 * [RFC 9293 3.8.6.3, RFC 5681 4.2], and at once for a segment beyond a hole (the duplicate ACK that fast
 * retransmit counts), for one that fills a hole or a part of it, and for one that brings nothing new.
 *
 * `onSegment` returns bits and leaves the particulars in the fields below it, overwritten by the next call.
 * Goodput is counted once, in either of two ways that agree when no hole is left: `newBytes` as bytes
 * arrive, `deliveredBytes` as they become readable in order.
 *
 * MODEL: no handshake; the streams are open from the start, and both ends know the window's scale. SYN,
 * FIN and RST are counted as unknown.
 * MODEL: payload beyond a hole is not kept: only which sequence numbers have arrived. The caller reads the
 * bytes when they arrive, so a hole holds no buffers back.
 * MODEL: no check of old time stamps (PAWS) [RFC 7323 5]: no frame lives on the link for long enough for
 * its sequence numbers to come round again.
 */
import { assert, fail } from "@vnic/sim/core"
import { readInt32 } from "./bytes.ts"
import { FlowTable, portPair, STREAM_NONE } from "./flowTable.ts"
import { HeaderTemplates } from "./headerTemplates.ts"
import { ReceivedRanges } from "./receivedRanges.ts"
import { streamCountOf, type StreamEndpoints } from "./streamEndpoints.ts"
import { TCP_CONNECTION_FLAGS_MASK, TCP_TIMESTAMP_NONE, TCP_TIMESTAMP_VALUE_OFFSET_BYTES } from "./tcp.ts"
import { PARSE_MALFORMED, PARSE_SOUND, TcpSegment } from "./tcpSegment.ts"

/** The caller must build and send an acknowledgement of this stream now. */
export const ACK_NOW = 1
/** The segment moved the next expected sequence number. */
export const IN_ORDER = 2
/** Every byte had arrived before. */
export const DUPLICATE = 4
/** The segment lies beyond a hole and is held. */
export const OUT_OF_ORDER = 8
/** Not a segment of these streams. */
export const UNKNOWN = 16
/** Lengths that contradict each other, or a wrong IP header checksum. */
export const MALFORMED = 32
/** Beyond the window: dropped, to be sent again. */
export const DISCARDED = 64
/** The segment started the delayed-ACK timer. */
export const ACK_LATER = 128

/** Linux TCP_DELACK_MIN. */
export const DELAYED_ACK_PS_DEFAULT = 40e9
export const SEGMENTS_PER_ACK_DEFAULT = 2

/** Largest window that a scale of 14 can say [RFC 7323 2.3]; sequence comparison stays unambiguous. */
export const WINDOW_BYTES_MAX = 1 << 30

export interface StreamReceiverOptions {
  readonly endpoints: StreamEndpoints
  /** How far beyond the next expected byte a segment may reach; at least the sender's window. */
  readonly windowBytes: number
  /** True when acknowledgements carry the time-stamp option. */
  readonly timestamps: boolean
  /** clock[0] is now, in picoseconds; whoever owns the time writes it. */
  readonly clock: Float64Array
  /** In-order segments that make an acknowledgement due. */
  readonly segmentsPerAck?: number
  readonly delayedAckPs?: number
}

export interface StreamReceiverCounters {
  readonly segments: number
  readonly segmentsInOrder: number
  readonly segmentsOutOfOrder: number
  readonly segmentsDuplicate: number
  readonly segmentsDiscarded: number
  readonly framesUnknown: number
  readonly framesMalformed: number
  readonly acks: number
}

const COUNT_SEGMENTS = 0
const COUNT_IN_ORDER = 1
const COUNT_OUT_OF_ORDER = 2
const COUNT_DUPLICATE = 3
const COUNT_DISCARDED = 4
const COUNT_UNKNOWN = 5
const COUNT_MALFORMED = 6
const COUNT_ACKS = 7

export class StreamReceiver {
  declare readonly streamCount: number
  /** Size of every frame that `buildAck` writes, without padding and FCS. */
  declare readonly ackSizeBytes: number

  /** Stream of the last segment, or STREAM_NONE. */
  stream = STREAM_NONE
  /** Its first payload byte's distance from the first byte of the stream, modulo 2^32 (int32). */
  payloadSequenceOffset = 0
  /** Where its payload begins, counted from the frame's first byte. */
  payloadFrameOffset = 0
  payloadSizeBytes = 0
  /** Payload bytes of it that had not arrived before. */
  newBytes = 0
  /** Bytes by which the stream's in-order part grew, held ones included. */
  deliveredBytes = 0

  /** In-order bytes of each stream since the start. */
  declare readonly deliveredTotalBytes: Float64Array
  /** When the delayed acknowledgement of each stream is due; Infinity when none is. */
  declare readonly ackDeadlinesPs: Float64Array

  private readonly segment = new TcpSegment()
  declare private readonly flows: FlowTable
  declare private readonly headers: HeaderTemplates
  declare private readonly ranges: ReceivedRanges
  declare private readonly clock: Float64Array
  declare private readonly ownIp: number
  declare private readonly peerIp: number
  declare private readonly windowBytes: number
  declare private readonly segmentsPerAck: number
  declare private readonly delayedAckPs: Float64Array
  /** First sequence number of each stream, int32. */
  declare private readonly initialSequences: Int32Array
  /** Next sequence number expected (RCV.NXT). */
  declare private readonly nextSequences: Int32Array
  /** What the last acknowledgement said [RFC 7323: Last.ACK.sent]. */
  declare private readonly ackedSequences: Int32Array
  /** The own sequence number in every acknowledgement: this end sends no data. */
  declare private readonly ownSequences: Int32Array
  /** In-order segments since the last acknowledgement. */
  declare private readonly unackedSegments: Int32Array
  private readonly counts = new Float64Array(8)

  constructor(options: StreamReceiverOptions) {
    const { endpoints, clock, timestamps, windowBytes } = options
    const streamCount = streamCountOf(endpoints)
    assert(windowBytes >= 1 && windowBytes <= WINDOW_BYTES_MAX, "receive window out of range")
    this.streamCount = streamCount
    this.windowBytes = windowBytes
    this.segmentsPerAck = options.segmentsPerAck ?? SEGMENTS_PER_ACK_DEFAULT
    this.delayedAckPs = Float64Array.of(options.delayedAckPs ?? DELAYED_ACK_PS_DEFAULT)
    assert(this.segmentsPerAck >= 1 && this.delayedAckPs[0]! >= 0, "acknowledgement policy out of range")
    this.clock = clock
    this.ownIp = endpoints.receiver.ip
    this.peerIp = endpoints.sender.ip
    this.flows = new FlowTable(streamCount)
    for (let stream = 0; stream < streamCount; stream++) {
      const ports = portPair(endpoints.sender.ports[stream]!, endpoints.receiver.ports[stream]!)
      this.flows.insert(ports, stream)
    }
    this.headers = new HeaderTemplates({
      from: endpoints.receiver,
      to: endpoints.sender,
      streamCount,
      timestamps,
      tcpChecksum: true,
      windowField: windowFieldOf(windowBytes),
      clock
    })
    this.ackSizeBytes = this.headers.headerSizeBytes
    this.ranges = new ReceivedRanges(streamCount)
    this.initialSequences = Int32Array.from(endpoints.sender.initialSequences)
    this.nextSequences = this.initialSequences.slice()
    this.ackedSequences = this.initialSequences.slice()
    this.ownSequences = Int32Array.from(endpoints.receiver.initialSequences)
    this.unackedSegments = new Int32Array(streamCount)
    this.ackDeadlinesPs = new Float64Array(streamCount).fill(Infinity)
    this.deliveredTotalBytes = new Float64Array(streamCount)
  }

  /**
   * Takes a frame of `frameSizeBytes` (without FCS) whose headers lie at `headerOffset`; the payload may
   * lie elsewhere and is not looked at. Returns bits: ACK_NOW, IN_ORDER, …
   */
  readonly onSegment = (bytes: Uint8Array, headerOffset: number, frameSizeBytes: number): number => {
    const segment = this.segment
    this.stream = STREAM_NONE
    this.newBytes = 0
    this.deliveredBytes = 0
    const parsed = segment.parse(bytes, headerOffset, frameSizeBytes)
    if (parsed !== PARSE_SOUND) return parsed === PARSE_MALFORMED ? this.malformed() : this.unknown()
    if (segment.destinationIp !== this.ownIp || segment.sourceIp !== this.peerIp) return this.unknown()
    const stream = this.flows.lookup(segment.ports)
    if (stream === STREAM_NONE || (segment.flags & TCP_CONNECTION_FLAGS_MASK) !== 0) return this.unknown()

    const sequence = segment.sequence
    const sizeBytes = segment.payloadSizeBytes
    this.counts[COUNT_SEGMENTS]! += 1
    this.stream = stream
    this.payloadSequenceOffset = (sequence - this.initialSequences[stream]!) | 0
    this.payloadFrameOffset = segment.headerSizeBytes
    this.payloadSizeBytes = sizeBytes
    if (segment.timestampOffset !== TCP_TIMESTAMP_NONE) this.takeTimestamp(bytes, stream)
    if (sizeBytes === 0) return 0

    const next = this.nextSequences[stream]!
    const end = (sequence + sizeBytes) | 0
    const reach = (end - next) | 0
    if (reach <= 0) return this.duplicate()
    if (reach > this.windowBytes) return this.discard()
    if (((sequence - next) | 0) > 0) return this.hold(stream, next, sequence, end)
    return this.advance(stream, next, end)
  }

  /** Writes the acknowledgement of `stream`, which is sent now, as a whole frame; returns its size. */
  readonly buildAck = (stream: number, bytes: Uint8Array, offset: number): number => {
    const sizeBytes = this.writeAck(stream, bytes, offset)
    this.settleAck(stream)
    return sizeBytes
  }

  /** Writes it for a sender that may refuse it; `settleAck` or `postponeAck` says what became of it. */
  readonly writeAck = (stream: number, bytes: Uint8Array, offset: number): number => {
    return this.headers.write(stream, this.ownSequences[stream]!, this.nextSequences[stream]!, 0, 0, bytes, offset)
  }

  /** What has arrived of `stream` is acknowledged. */
  readonly settleAck = (stream: number): void => {
    this.unackedSegments[stream] = 0
    this.ackDeadlinesPs[stream] = Infinity
    this.ackedSequences[stream] = this.nextSequences[stream]!
    this.counts[COUNT_ACKS]! += 1
  }

  /** The delayed acknowledgement of `stream` could not be sent: it is due again at `untilPs`. */
  readonly postponeAck = (stream: number, untilPs: number): void => {
    this.ackDeadlinesPs[stream] = untilPs
  }

  /** A stream whose delayed acknowledgement is due now, or STREAM_NONE; sending or postponing it settles that. */
  readonly dueAck = (): number => {
    const nowPs = this.clock[0]!
    for (let stream = 0; stream < this.streamCount; stream++) {
      if (this.ackDeadlinesPs[stream]! <= nowPs) return stream
    }
    return STREAM_NONE
  }

  /** Streams whose delayed acknowledgement waits for its time, or for a buffer. */
  readonly pendingAckCount = (): number => {
    return this.ackDeadlinesPs.reduce((count, deadlinePs) => (deadlinePs === Infinity ? count : count + 1), 0)
  }

  /** The earliest time at which a delayed acknowledgement is due; Infinity when none is. */
  readonly nextDeadlinePs = (): number => {
    let earliestPs = Infinity
    for (let stream = 0; stream < this.streamCount; stream++) {
      if (this.ackDeadlinesPs[stream]! < earliestPs) earliestPs = this.ackDeadlinesPs[stream]!
    }
    return earliestPs
  }

  /** True when bytes beyond a hole have arrived. */
  readonly hasHole = (stream: number): boolean => {
    return this.ranges.count(stream) !== 0
  }

  /** What has been counted since the start. */
  readonly counters = (): StreamReceiverCounters => {
    const counts = this.counts
    return {
      segments: counts[COUNT_SEGMENTS]!,
      segmentsInOrder: counts[COUNT_IN_ORDER]!,
      segmentsOutOfOrder: counts[COUNT_OUT_OF_ORDER]!,
      segmentsDuplicate: counts[COUNT_DUPLICATE]!,
      segmentsDiscarded: counts[COUNT_DISCARDED]!,
      framesUnknown: counts[COUNT_UNKNOWN]!,
      framesMalformed: counts[COUNT_MALFORMED]!,
      acks: counts[COUNT_ACKS]!
    }
  }

  private readonly advance = (stream: number, next: number, end: number): number => {
    let reached = end
    let bits = IN_ORDER
    this.newBytes = (end - next) | 0
    if (this.ranges.count(stream) !== 0) {
      this.newBytes -= this.ranges.overlap(stream, next, end)
      reached = this.ranges.absorb(stream, end)
      bits |= ACK_NOW
    }
    this.nextSequences[stream] = reached
    this.deliveredBytes = (reached - next) | 0
    this.deliveredTotalBytes[stream]! += this.deliveredBytes
    this.counts[COUNT_IN_ORDER]! += 1
    const unacked = this.unackedSegments[stream]! + 1
    this.unackedSegments[stream] = unacked
    if (unacked >= this.segmentsPerAck) bits |= ACK_NOW
    if ((bits & ACK_NOW) === 0 && this.ackDeadlinesPs[stream] === Infinity) {
      this.ackDeadlinesPs[stream] = this.clock[0]! + this.delayedAckPs[0]!
      bits |= ACK_LATER
    }
    return bits
  }

  private readonly hold = (stream: number, next: number, sequence: number, end: number): number => {
    const newBytes = this.ranges.insert(stream, next, sequence, end)
    if (newBytes === 0) return this.duplicate()
    if (newBytes < 0) fail("a held range has shrunk")
    this.newBytes = newBytes
    this.counts[COUNT_OUT_OF_ORDER]! += 1
    return OUT_OF_ORDER | ACK_NOW
  }

  private readonly duplicate = (): number => {
    this.counts[COUNT_DUPLICATE]! += 1
    return DUPLICATE | ACK_NOW
  }

  private readonly discard = (): number => {
    this.counts[COUNT_DISCARDED]! += 1
    return DISCARDED | ACK_NOW
  }

  private readonly unknown = (): number => {
    this.counts[COUNT_UNKNOWN]! += 1
    return UNKNOWN
  }

  private readonly malformed = (): number => {
    this.counts[COUNT_MALFORMED]! += 1
    return MALFORMED
  }

  /** The value to echo is that of the oldest segment not acknowledged yet [RFC 7323 4.3]. */
  private readonly takeTimestamp = (bytes: Uint8Array, stream: number): void => {
    const segment = this.segment
    if (((segment.sequence - this.ackedSequences[stream]!) | 0) > 0) return
    const value = readInt32(bytes, segment.timestampOffset + TCP_TIMESTAMP_VALUE_OFFSET_BYTES)
    const echoes = this.headers.timestampEchoes
    if (((value - echoes[stream]!) | 0) >= 0) echoes[stream] = value
  }
}

/** The window as the 16-bit field says it, with the smallest scale that fits [RFC 7323 2.2]. */
const windowFieldOf = (windowBytes: number): number => {
  let field = windowBytes
  while (field > 0xffff) field >>= 1
  return field
}

/** The receiving end of the streams that `options.endpoints` names. */
export const makeStreamReceiver = (options: StreamReceiverOptions): StreamReceiver => new StreamReceiver(options)
