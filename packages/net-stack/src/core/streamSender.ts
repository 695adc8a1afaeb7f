/**
 * The sending end of N one-way TCP streams with a fixed window: whole segments, sent again after three
 * duplicate acknowledgements (fast retransmit [RFC 5681 3.2] with NewReno's partial acknowledgements
 * [RFC 6582 3.2]) or when the retransmission time-out runs out (go back to the first unacknowledged byte, and
 * begin again with one segment).
 *
 * The caller asks `canSend`, takes `nextSegment` (retransmissions come first), and writes the header with
 * `writeHeader` and the payload itself: whatever belongs at that offset of the stream. The offset is
 * modulo 2^32, so payload must be a function of it that repeats every 2^k bytes.
 *
 * MODEL: no congestion control until a stream's first time-out: the window is constant, as in a bulk transfer
 * between neighbours whose window is the receiver's. A drop costs the bytes sent again and the time in which the
 * window stands. After a time-out the stream uses as much of the window as slow start and congestion avoidance
 * [RFC 5681 3.1] give it, until that is all of it again; without them every restart would overrun the same ring.
 * MODEL: the time-out is constant and does not back off [RFC 6298 5.5]: Linux's minimum of 200 ms is far
 * above what queues on one link can add, so every time-out is a real loss.
 * MODEL: no handshake and no close; the streams are open from the start. What is outstanding when the sender is
 * stopped is given up after so many time-outs in a row as Linux gives a socket that its program has closed.
 * [Linux 6.12 net/ipv4/tcp_timer.c tcp_orphan_retries]
 */
import { assert } from "@vnic/sim/core"
import { readInt32 } from "./bytes.ts"
import { FlowTable, portPair, STREAM_NONE } from "./flowTable.ts"
import { HeaderTemplates } from "./headerTemplates.ts"
import { streamCountOf } from "./streamEndpoints.ts"
import { WINDOW_BYTES_MAX } from "./streamReceiver.ts"
import type { StreamSenderCounters, StreamSenderOptions } from "./streamSenderTypes.ts"
import { TCP_ACK_BIT, TCP_CONNECTION_FLAGS_MASK, TCP_TIMESTAMP_NONE, TCP_TIMESTAMP_VALUE_OFFSET_BYTES } from "./tcp.ts"
import { PARSE_SOUND, TcpSegment } from "./tcpSegment.ts"
import { UsableWindow } from "./usableWindow.ts"

/** The acknowledgement was for bytes not acknowledged before. */
export const WINDOW_OPENED = 1
/** It repeated the last one while bytes are outstanding. */
export const DUPLICATE_ACK = 2
/** It made a retransmission due. */
export const RETRANSMISSION_DUE = 4
/** It was older than one seen before, or for bytes never sent. */
export const ACK_IGNORED = 8

/** Linux TCP_RTO_MIN. */
export const RETRANSMISSION_TIMEOUT_PS_DEFAULT = 200e9

/** Time-outs in a row after which a stopped sender gives a stream up. [Linux TCP_ORPHAN_RETRIES's default] */
export const ORPHAN_RETRIES_MAX = 8

/** Duplicate acknowledgements that start a fast retransmit [RFC 5681 3.2]. */
export const DUPLICATE_ACK_THRESHOLD = 3

const RECOVERY_NONE = 0
const RECOVERY_BEGUN = 1
/** A partial acknowledgement has come. */
const RECOVERY_ADVANCED = 2

/** Window field of data segments: this end receives no data. */
const WINDOW_FIELD = 0xffff

const COUNT_SEGMENTS = 0
const COUNT_RETRANSMITTED = 1
const COUNT_FAST_RETRANSMITS = 2
const COUNT_TIMEOUTS = 3
const COUNT_ACKS = 4
const COUNT_DUPLICATE = 5
const COUNT_IGNORED = 6
const COUNT_UNKNOWN = 7
const COUNT_GIVEN_UP = 8

export class StreamSender {
  declare readonly streamCount: number
  declare readonly segmentBytes: number
  /** The window in whole segments. */
  declare readonly windowBytes: number
  /** Size of every header that `writeHeader` writes. */
  declare readonly headerSizeBytes: number

  /** What the last acknowledgement did: WINDOW_OPENED, DUPLICATE_ACK, … */
  ackEvents = 0
  /** Bytes that it acknowledged for the first time. */
  ackedBytes = 0
  /** True when the last `nextSegment` was sent before. */
  isRetransmission = false

  private readonly segment = new TcpSegment()
  declare private readonly flows: FlowTable
  declare private readonly headers: HeaderTemplates
  declare private readonly clock: Float64Array
  declare private readonly ownIp: number
  declare private readonly peerIp: number
  declare private readonly timeoutPs: Float64Array
  private isStopped = false
  /** Sequence number of each stream's first byte, int32. */
  declare private readonly initialSequences: Int32Array
  /** First byte not acknowledged (SND.UNA). */
  declare private readonly unacked: Int32Array
  /** Next byte to send (SND.NXT); goes back to `unacked` on a time-out. */
  declare private readonly next: Int32Array
  declare private readonly usable: UsableWindow
  /** Bytes that each stream may have under way: `usable`'s. */
  declare private readonly usableBytes: Int32Array
  /** What the last acknowledgement acknowledged for the first time. */
  declare private readonly lastAdvanceBytes: Int32Array
  /** One beyond the last byte ever sent. */
  declare private readonly sentEnd: Int32Array
  /** Where a running recovery ends: `next` when it began [RFC 6582: recover]. */
  declare private readonly recoveryEnd: Int32Array
  /** Only acknowledgements beyond this may start a recovery, lest what a time-out sent twice starts one. */
  declare private readonly recoveryBarrier: Int32Array
  /** Fast recovery: RECOVERY_NONE, … */
  declare private readonly recovery: Uint8Array
  /** 1 when the segment at `unacked` is to be sent again. */
  declare private readonly retransmit: Uint8Array
  /** Duplicates of the last acknowledgement. */
  declare private readonly duplicateAcks: Int32Array
  /** Time-outs since the last acknowledgement that advanced. */
  declare private readonly retries: Int32Array
  /** The peer's sequence number in every segment sent: it sends no data. */
  declare private readonly peerSequences: Int32Array
  /** When the time-out runs out; Infinity when nothing is outstanding. */
  declare private readonly deadlinesPs: Float64Array
  private readonly counts = new Float64Array(9)

  constructor(options: StreamSenderOptions) {
    const { endpoints, clock, segmentBytes, tcpChecksum, timestamps, windowBytes } = options
    const streamCount = streamCountOf(endpoints)
    assert(segmentBytes >= 1 && segmentBytes <= 0xffff - 60, "segment size out of range")
    assert(windowBytes >= segmentBytes && windowBytes <= WINDOW_BYTES_MAX, "send window out of range")
    this.streamCount = streamCount
    this.segmentBytes = segmentBytes
    this.windowBytes = windowBytes - (windowBytes % segmentBytes)
    this.timeoutPs = Float64Array.of(options.retransmissionTimeoutPs ?? RETRANSMISSION_TIMEOUT_PS_DEFAULT)
    assert(this.timeoutPs[0]! > 0, "time-out out of range")
    this.clock = clock
    this.ownIp = endpoints.sender.ip
    this.peerIp = endpoints.receiver.ip
    this.flows = new FlowTable(streamCount)
    for (let stream = 0; stream < streamCount; stream++) {
      const ports = portPair(endpoints.receiver.ports[stream]!, endpoints.sender.ports[stream]!)
      this.flows.insert(ports, stream)
    }
    this.headers = new HeaderTemplates({
      from: endpoints.sender,
      to: endpoints.receiver,
      streamCount,
      timestamps,
      tcpChecksum,
      windowField: WINDOW_FIELD,
      clock
    })
    this.headerSizeBytes = this.headers.headerSizeBytes
    this.initialSequences = Int32Array.from(endpoints.sender.initialSequences)
    this.usable = new UsableWindow(streamCount, segmentBytes, this.windowBytes)
    this.usableBytes = this.usable.bytes
    this.lastAdvanceBytes = new Int32Array(streamCount)
    this.unacked = this.initialSequences.slice()
    this.next = this.initialSequences.slice()
    this.sentEnd = this.initialSequences.slice()
    this.recoveryEnd = this.initialSequences.slice()
    this.recoveryBarrier = this.initialSequences.map((sequence) => sequence - 1)
    this.recovery = new Uint8Array(streamCount)
    this.retransmit = new Uint8Array(streamCount)
    this.duplicateAcks = new Int32Array(streamCount)
    this.retries = new Int32Array(streamCount)
    this.peerSequences = Int32Array.from(endpoints.receiver.initialSequences)
    this.deadlinesPs = new Float64Array(streamCount).fill(Infinity)
  }

  /** True when `nextSegment` has something to send. */
  readonly canSend = (stream: number): boolean => {
    if (this.retransmit[stream] !== 0) return true
    const next = this.next[stream]!
    if (((next - this.unacked[stream]!) | 0) + this.segmentBytes > this.usableBytes[stream]!) return false
    return !this.isStopped || ((next - this.sentEnd[stream]!) | 0) < 0
  }

  /**
   * Takes the next segment of `stream`, which is sent from now on: the distance of its first byte from the
   * first byte of the stream, modulo 2^32 (int32). Only after `canSend`.
   */
  readonly nextSegment = (stream: number): number => {
    const next = this.next[stream]!
    const sentEnd = this.sentEnd[stream]!
    let sequence = next
    if (this.retransmit[stream] !== 0) {
      this.retransmit[stream] = 0
      this.isRetransmission = true
      sequence = this.unacked[stream]!
    } else {
      const end = (next + this.segmentBytes) | 0
      assert(((end - this.unacked[stream]!) | 0) <= this.usableBytes[stream]!, "a segment is beyond the window")
      this.next[stream] = end
      this.isRetransmission = ((next - sentEnd) | 0) < 0
      if (!this.isRetransmission) this.sentEnd[stream] = end
    }
    this.counts[COUNT_SEGMENTS]! += 1
    if (this.isRetransmission) this.counts[COUNT_RETRANSMITTED]! += 1
    if (this.deadlinesPs[stream] === Infinity) this.restartTimer(stream)
    return (sequence - this.initialSequences[stream]!) | 0
  }

  /**
   * Writes the header of a segment that `nextSegment` gave; returns its size. `payloadSum` is the
   * unfolded checksum sum of the payload (`PayloadSums`); with `tcpChecksum: false` any number will do.
   */
  readonly writeHeader = (
    stream: number,
    sequenceOffset: number,
    payloadSizeBytes: number,
    payloadSum: number,
    bytes: Uint8Array,
    offset: number
  ): number => {
    const sequence = (this.initialSequences[stream]! + sequenceOffset) | 0
    const peer = this.peerSequences[stream]!
    return this.headers.write(stream, sequence, peer, payloadSizeBytes, payloadSum, bytes, offset)
  }

  /**
   * Takes a frame that may be an acknowledgement. Returns its stream, or STREAM_NONE when it is not for
   * these streams; `ackEvents` and `ackedBytes` say what it did.
   */
  readonly onAck = (bytes: Uint8Array, frameOffset: number, frameSizeBytes: number): number => {
    const segment = this.segment
    this.ackEvents = 0
    this.ackedBytes = 0
    if (segment.parse(bytes, frameOffset, frameSizeBytes) !== PARSE_SOUND) return this.unknown()
    if (segment.destinationIp !== this.ownIp || segment.sourceIp !== this.peerIp) return this.unknown()
    const stream = this.flows.lookup(segment.ports)
    const flags = segment.flags & (TCP_CONNECTION_FLAGS_MASK | (1 << TCP_ACK_BIT))
    if (stream === STREAM_NONE || flags !== 1 << TCP_ACK_BIT) return this.unknown()

    this.counts[COUNT_ACKS]! += 1
    const timestampOffset = segment.timestampOffset
    if (timestampOffset !== TCP_TIMESTAMP_NONE) {
      const value = readInt32(bytes, timestampOffset + TCP_TIMESTAMP_VALUE_OFFSET_BYTES)
      const echoes = this.headers.timestampEchoes
      if (((value - echoes[stream]!) | 0) >= 0) echoes[stream] = value
    }
    const acknowledgement = segment.acknowledgement
    const advanceBytes = (acknowledgement - this.unacked[stream]!) | 0
    if (advanceBytes < 0 || ((acknowledgement - this.sentEnd[stream]!) | 0) > 0) this.ignore()
    else if (advanceBytes > 0) this.advance(stream, acknowledgement, advanceBytes)
    else if (segment.payloadSizeBytes === 0) this.repeat(stream)
    return stream
  }

  /**
   * Takes one stream whose time-out has run out and makes it go back, or gives it up; returns it, or STREAM_NONE
   * when no more are due. Whoever keeps the time calls it until then, and sends what `canSend` allows.
   */
  readonly expire = (): number => {
    const nowPs = this.clock[0]!
    for (let stream = 0; stream < this.streamCount; stream++) {
      if (this.deadlinesPs[stream]! > nowPs) continue
      this.usable.collapse(stream, (this.next[stream]! - this.unacked[stream]!) | 0)
      this.next[stream] = this.unacked[stream]!
      this.recoveryBarrier[stream] = this.sentEnd[stream]!
      this.recovery[stream] = RECOVERY_NONE
      this.retransmit[stream] = 0
      this.duplicateAcks[stream] = 0
      this.counts[COUNT_TIMEOUTS]! += 1
      this.retries[stream]! += 1
      if (this.isStopped && this.retries[stream]! > ORPHAN_RETRIES_MAX) this.giveUp(stream)
      else this.restartTimer(stream)
      return stream
    }
    return STREAM_NONE
  }

  /** Nothing of the stream is outstanding any more; later acknowledgements are for bytes that were never sent. */
  private readonly giveUp = (stream: number): void => {
    this.sentEnd[stream] = this.unacked[stream]!
    this.deadlinesPs[stream] = Infinity
    this.counts[COUNT_GIVEN_UP]! += 1
  }

  /** The earliest time at which a time-out runs out; Infinity when nothing is outstanding. */
  readonly nextDeadlinePs = (): number => {
    let earliestPs = Infinity
    for (let stream = 0; stream < this.streamCount; stream++) {
      if (this.deadlinesPs[stream]! < earliestPs) earliestPs = this.deadlinesPs[stream]!
    }
    return earliestPs
  }

  /** No new data from now on; what is outstanding is still sent again when lost, until it is given up. */
  readonly stop = (): void => {
    this.isStopped = true
  }

  /** Bytes sent and not acknowledged. */
  readonly outstanding = (stream: number): number => {
    return (this.sentEnd[stream]! - this.unacked[stream]!) | 0
  }

  /** True when nothing is outstanding on any stream. */
  readonly allAcked = (): boolean => {
    for (let stream = 0; stream < this.streamCount; stream++) {
      if (this.sentEnd[stream] !== this.unacked[stream]) return false
    }
    return true
  }

  /** What has been counted since the start. */
  readonly counters = (): StreamSenderCounters => {
    const counts = this.counts
    return {
      segments: counts[COUNT_SEGMENTS]!,
      segmentsRetransmitted: counts[COUNT_RETRANSMITTED]!,
      fastRetransmits: counts[COUNT_FAST_RETRANSMITS]!,
      timeouts: counts[COUNT_TIMEOUTS]!,
      streamsGivenUp: counts[COUNT_GIVEN_UP]!,
      acks: counts[COUNT_ACKS]!,
      acksDuplicate: counts[COUNT_DUPLICATE]!,
      acksIgnored: counts[COUNT_IGNORED]!,
      framesUnknown: counts[COUNT_UNKNOWN]!
    }
  }

  private readonly advance = (stream: number, acknowledgement: number, advanceBytes: number): void => {
    this.ackedBytes = advanceBytes
    this.ackEvents = WINDOW_OPENED
    this.unacked[stream] = acknowledgement
    this.duplicateAcks[stream] = 0
    this.retries[stream] = 0
    this.lastAdvanceBytes[stream] = advanceBytes
    // After a time-out the receiver may hold what was about to be sent again.
    if (((this.next[stream]! - acknowledgement) | 0) < 0) this.next[stream] = acknowledgement
    // The barrier follows just behind, so that it never falls 2^31 back, and what a finished recovery
    // leaves unacknowledged (all of it sent once) may start the next one.
    if (((acknowledgement - this.recoveryBarrier[stream]!) | 0) > 0) {
      this.recoveryBarrier[stream] = acknowledgement - 1
    }
    this.retransmit[stream] = 0
    if (this.recovery[stream] !== RECOVERY_NONE && this.recover(stream, acknowledgement)) return
    if (this.usableBytes[stream]! < this.windowBytes) this.usable.grow(stream)
    if (acknowledgement === this.sentEnd[stream]) this.deadlinesPs[stream] = Infinity
    else this.restartTimer(stream)
  }

  /**
   * What an acknowledgement does in fast recovery; true when it was partial. Only the first partial one puts the
   * time-out off, so that a recovery that takes longer than that gives way to a slow start [RFC 6582 3.2, step 3].
   */
  private readonly recover = (stream: number, acknowledgement: number): boolean => {
    if (((acknowledgement - this.recoveryEnd[stream]!) | 0) >= 0) {
      this.recovery[stream] = RECOVERY_NONE
      return false
    }
    this.askRetransmit(stream)
    if (this.recovery[stream] === RECOVERY_BEGUN) this.restartTimer(stream)
    this.recovery[stream] = RECOVERY_ADVANCED
    return true
  }

  private readonly repeat = (stream: number): void => {
    if (this.sentEnd[stream] === this.unacked[stream]) return
    const duplicates = this.duplicateAcks[stream]! + 1
    this.duplicateAcks[stream] = duplicates
    this.ackEvents = DUPLICATE_ACK
    this.counts[COUNT_DUPLICATE]! += 1
    if (duplicates !== DUPLICATE_ACK_THRESHOLD || this.recovery[stream] !== RECOVERY_NONE) return
    const isBehindBarrier = ((this.unacked[stream]! - this.recoveryBarrier[stream]!) | 0) <= 0
    if (isBehindBarrier && !this.usable.isLossLikely(stream, this.lastAdvanceBytes[stream]!)) return
    this.recovery[stream] = RECOVERY_BEGUN
    this.recoveryEnd[stream] = this.next[stream]!
    this.usable.halve(stream, (this.next[stream]! - this.unacked[stream]!) | 0)
    this.counts[COUNT_FAST_RETRANSMITS]! += 1
    this.askRetransmit(stream)
    this.restartTimer(stream)
  }

  private readonly askRetransmit = (stream: number): void => {
    this.retransmit[stream] = 1
    this.ackEvents |= RETRANSMISSION_DUE
  }

  private readonly restartTimer = (stream: number): void => {
    this.deadlinesPs[stream] = this.clock[0]! + this.timeoutPs[0]!
  }

  private readonly ignore = (): void => {
    this.ackEvents = ACK_IGNORED
    this.counts[COUNT_IGNORED]! += 1
  }

  private readonly unknown = (): number => {
    this.counts[COUNT_UNKNOWN]! += 1
    return STREAM_NONE
  }
}

/** The sending end of the streams that `options.endpoints` names. */
export const makeStreamSender = (options: StreamSenderOptions): StreamSender => new StreamSender(options)
