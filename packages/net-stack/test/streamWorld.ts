/**
 * A sender and a receiver with a channel between them that loses, repeats and delays frames as it is told.
 * Every frame passes as bytes; what it says is checked with `dissect`, what the receiver makes of it with
 * `NaiveReceiver`. Invariants throw at the step that breaks them.
 */
import {
  ACK_NOW,
  DISCARDED,
  DUPLICATE,
  IN_ORDER,
  makePayloadSums,
  makeStreamEndpoints,
  makeStreamReceiver,
  makeStreamSender,
  OUT_OF_ORDER,
  STREAM_NONE,
  type StreamEndpoints,
  type StreamReceiver,
  type StreamSender
} from "@vnic/net-stack/core"
import { dissect, NaiveReceiver } from "@vnic/net-stack/testing"
import { assert } from "@vnic/sim/core"

/** Extra delays of the copies that arrive; empty when the frame is lost. */
export type Fate = ReadonlyArray<number>

export interface SentSegment {
  readonly stream: number
  readonly offset: number
  readonly isRetransmission: boolean
}

export interface StreamWorldOptions {
  readonly streamCount: number
  readonly windowBytes: number
  readonly segmentBytes: number
  readonly timestamps: boolean
  /** First sequence number of every sender. */
  readonly initialSequence?: number
  /** What happens to the n-th frame of its direction; the last bit of a segment passes the wire at timePs. */
  readonly fateOfData: (frameIndex: number, segment: SentSegment, timePs: number) => Fate
  readonly fateOfAck: (frameIndex: number) => Fate
}

interface Arrival {
  readonly timePs: number
  readonly frame: Uint8Array
  readonly isAck: boolean
}

export const FRAME_PS = 1_230_400
const DELAY_PS = 10_000_000
const PATTERN = Uint8Array.from({ length: 256 }, (_, index) => (index * 167 + 13) & 0xff)

export class StreamWorld {
  readonly sender: StreamSender
  readonly receiver: StreamReceiver
  readonly sent: Array<SentSegment> = []
  newBytesTotal = 0
  private readonly options: StreamWorldOptions
  private readonly endpoints: StreamEndpoints
  private readonly clock = new Float64Array(1)
  private readonly sums = makePayloadSums(PATTERN, 2000)
  private readonly oracles: ReadonlyArray<NaiveReceiver>
  /** Highest offset acknowledged to the sender, of each stream. */
  private readonly acked: Array<number>
  /** One beyond the highest offset sent, of each stream. */
  readonly sentEnds: Array<number>
  /** Sorted by time; equal times in the order of sending. */
  private readonly arrivals: Array<Arrival> = []
  private mediumFreePs = 0
  private dataFrames = 0
  private ackFrames = 0

  constructor(options: StreamWorldOptions) {
    const { initialSequence, streamCount } = options
    const endpoints = makeStreamEndpoints(streamCount)
    const initialSequences = new Int32Array(streamCount).fill(initialSequence ?? 0)
    this.options = options
    this.endpoints =
      initialSequence === undefined ? endpoints : { ...endpoints, sender: { ...endpoints.sender, initialSequences } }
    const shared = {
      endpoints: this.endpoints,
      windowBytes: options.windowBytes,
      timestamps: options.timestamps,
      clock: this.clock
    }
    this.sender = makeStreamSender({ ...shared, segmentBytes: options.segmentBytes, tcpChecksum: true })
    this.receiver = makeStreamReceiver(shared)
    this.oracles = Array.from({ length: streamCount }, () => new NaiveReceiver())
    this.acked = Array.from({ length: streamCount }, () => 0)
    this.sentEnds = Array.from({ length: streamCount }, () => 0)
  }

  /** Sends until one stream has sent `segmentCount` new segments, then drains; throws when it stalls. */
  run(segmentCount: number, stepCountMax: number): void {
    const { segmentBytes, streamCount } = this.options
    this.sendAll()
    for (let step = 0; step < stepCountMax; step++) {
      if (this.sentEnds.some((end) => end >= segmentCount * segmentBytes)) this.sender.stop()
      if (!this.step()) break
    }
    assert(this.sender.allAcked(), "the streams have stalled")
    for (let stream = 0; stream < streamCount; stream++) {
      const sentEnd = this.sentEnds[stream]!
      assert(sentEnd > 0, "a stream has sent nothing")
      assert(this.oracles[stream]!.deliveredBytes === sentEnd, "bytes are missing")
      assert(this.receiver.deliveredTotalBytes[stream] === sentEnd, "goodput was miscounted")
      assert(!this.receiver.hasHole(stream), "a hole is left")
      assert(this.sender.outstanding(stream) === 0, "bytes are left outstanding")
    }
    const sentBytes = this.sentEnds.reduce((sum, end) => sum + end, 0)
    assert(this.newBytesTotal === sentBytes, "goodput was miscounted")
  }

  /** The next arrival or timer; false when nothing is left to happen. */
  private step(): boolean {
    const arrival = this.arrivals[0]
    const timerPs = Math.min(this.sender.nextDeadlinePs(), this.receiver.nextDeadlinePs())
    if (arrival === undefined && timerPs === Infinity) return false
    if (arrival !== undefined && arrival.timePs <= timerPs) {
      this.arrivals.shift()
      this.clock[0] = arrival.timePs
      if (arrival.isAck) this.takeAck(arrival.frame)
      else this.takeData(arrival.frame)
      return true
    }
    this.clock[0] = timerPs
    for (let stream = this.receiver.dueAck(); stream !== STREAM_NONE; stream = this.receiver.dueAck()) {
      this.sendAck(stream)
    }
    while (this.sender.expire() !== STREAM_NONE) this.sendAll()
    return true
  }

  private sendAll(): void {
    for (let stream = 0; stream < this.options.streamCount; stream++) {
      while (this.sender.canSend(stream)) this.sendSegment(stream)
    }
  }

  private sendSegment(stream: number): void {
    const { segmentBytes, windowBytes } = this.options
    const offset = this.sender.nextSegment(stream)
    const headerBytes = this.sender.headerSizeBytes
    const frame = new Uint8Array(headerBytes + segmentBytes)
    for (let index = 0; index < segmentBytes; index++) frame[headerBytes + index] = patternAt(offset + index)
    const sum = this.sums.sum(offset, segmentBytes)
    this.sender.writeHeader(stream, offset, segmentBytes, sum, frame, 0)
    const fields = dissect(frame, 0, frame.length)
    const initial = this.endpoints.sender.initialSequences[stream]!
    assert(fields.ipv4!.isChecksumValid && fields.tcp!.isChecksumValid, "a checksum is wrong")
    assert(fields.tcp!.sequence === (offset + initial) >>> 0, "the sequence number is wrong")
    assert(fields.payload.length === segmentBytes, "the length is wrong")
    const end = offset + segmentBytes
    assert(end - this.acked[stream]! <= windowBytes, "a segment is beyond the window")
    const isRetransmission = end <= this.sentEnds[stream]!
    assert(this.sender.isRetransmission === isRetransmission, "a retransmission was miscounted")
    assert(isRetransmission || offset === this.sentEnds[stream], "new data are not in order")
    this.sentEnds[stream] = Math.max(this.sentEnds[stream]!, end)
    const segment = { stream, offset, isRetransmission }
    this.sent.push(segment)
    this.occupyMedium()
    this.transmit(frame, false, this.options.fateOfData(this.dataFrames++, segment, this.mediumFreePs))
  }

  private sendAck(stream: number): void {
    const frame = new Uint8Array(66)
    const sizeBytes = this.receiver.buildAck(stream, frame, 0)
    assert(sizeBytes === (this.options.timestamps ? 66 : 54), "the acknowledgement's size is wrong")
    const fields = dissect(frame, 0, sizeBytes)
    assert(fields.ipv4!.isChecksumValid && fields.tcp!.isChecksumValid, "a checksum is wrong")
    const next = this.oracles[stream]!.deliveredBytes + this.endpoints.sender.initialSequences[stream]!
    assert(fields.tcp!.acknowledgement === next >>> 0, "the acknowledgement is wrong")
    this.transmit(frame.slice(0, sizeBytes), true, this.options.fateOfAck(this.ackFrames++))
  }

  private occupyMedium(): void {
    this.mediumFreePs = Math.max(this.mediumFreePs, this.clock[0]!) + FRAME_PS
  }

  private transmit(frame: Uint8Array, isAck: boolean, fate: Fate): void {
    const leavesPs = isAck ? Math.max(this.mediumFreePs, this.clock[0]!) : this.mediumFreePs
    for (const delayPs of fate) {
      const timePs = leavesPs + DELAY_PS + delayPs
      let place = this.arrivals.length
      while (place > 0 && this.arrivals[place - 1]!.timePs > timePs) place--
      this.arrivals.splice(place, 0, { timePs, frame, isAck })
    }
  }

  private takeData(frame: Uint8Array): void {
    const { receiver } = this
    const bits = receiver.onSegment(frame, 0, frame.length)
    const { payloadFrameOffset, payloadSequenceOffset, payloadSizeBytes, stream } = receiver
    assert(payloadSizeBytes === this.options.segmentBytes, "the payload's size is wrong")
    for (let index = 0; index < payloadSizeBytes; index++) {
      const expected = patternAt(payloadSequenceOffset + index)
      assert(frame[payloadFrameOffset + index] === expected, "the payload is wrong")
    }
    if ((bits & DISCARDED) === 0) this.compare(bits, stream, payloadSequenceOffset)
    if ((bits & ACK_NOW) !== 0) this.sendAck(stream)
    else assert(receiver.ackDeadlinesPs[stream]! < Infinity, "no acknowledgement is pending")
  }

  private compare(bits: number, stream: number, offset: number): void {
    const { receiver } = this
    const oracle = this.oracles[stream]!
    const before = oracle.deliveredBytes
    const hadHole = oracle.hasHole
    const newBytes = oracle.take(offset, receiver.payloadSizeBytes)
    const delivered = oracle.deliveredBytes - before
    const kind = newBytes === 0 ? DUPLICATE : delivered > 0 ? IN_ORDER : OUT_OF_ORDER
    assert(receiver.newBytes === newBytes, "new bytes were miscounted")
    assert(receiver.deliveredBytes === delivered, "delivered bytes were miscounted")
    assert((bits & (DUPLICATE | IN_ORDER | OUT_OF_ORDER)) === kind, "the segment was misjudged")
    const isUrgent = kind !== IN_ORDER || hadHole
    assert(!isUrgent || (bits & ACK_NOW) !== 0, "an acknowledgement is late")
    this.newBytesTotal += newBytes
  }

  private takeAck(frame: Uint8Array): void {
    const stream = this.sender.onAck(frame, 0, frame.length)
    assert(stream !== STREAM_NONE, "an acknowledgement was not recognised")
    const initial = this.endpoints.sender.initialSequences[stream]!
    const acknowledged = (dissect(frame, 0, frame.length).tcp!.acknowledgement - initial) | 0
    const advance = Math.max(0, acknowledged - this.acked[stream]!)
    assert(this.sender.ackedBytes === advance, "acknowledged bytes were miscounted")
    this.acked[stream] = Math.max(this.acked[stream]!, acknowledged)
    this.sendAll()
  }
}

const patternAt = (offset: number): number => PATTERN[offset & 0xff]!
