/**
 * Closed loop: N TCP streams with a fixed window, each sending on when its acknowledgements come back.
 * Streams that may send take turns on the wire.
 *
 * Of every segment in flight are kept when its first bit was first on the wire, from which its latency is counted,
 * and when the last bit of its latest transmission was, which says where it counts.
 */
import {
  makePayloadSums,
  makeStreamSender,
  RETRANSMISSION_DUE,
  segmentSizeBytes,
  FRAME_CHECK_SIZE_BYTES,
  STREAM_NONE,
  type StreamEndpoints,
  type StreamSender,
  PLAIN_HEADER_SIZE_BYTES,
  TCP_TIMESTAMP_OPTION_SIZE_BYTES,
  WINDOW_OPENED
} from "@vnic/net-stack/core"
import { assert, type Frame, type FramePool, makePrng, type Memory, type Source, type Timeline } from "@vnic/sim/core"
import type { Link } from "./link.ts"
import { FIRST_BIT, LAST_BIT } from "./medium.ts"
import { PATTERN_PERIOD_BYTES, type Pattern } from "./pattern.ts"
import { FRAME_NONE, type FrameSource, type LinkPeer } from "./ports.ts"

export interface ClosedLoopOptions {
  readonly timeline: Timeline
  readonly memory: Memory
  readonly frames: FramePool
  readonly link: Link
  readonly pattern: Pattern
  readonly endpoints: StreamEndpoints
  readonly seed: number
  /** Bytes that a stream may have outstanding, rounded down to whole segments. */
  readonly windowBytes: number
  /** TCP payload of every segment. */
  readonly segmentBytes: number
  readonly timestamps: boolean
  /** Streams start at drawn times within this span. */
  readonly startSpreadPs?: number
  readonly retransmissionTimeoutPs?: number
}

/** Aliases of imported constants, for the hottest functions. */
const NO_FRAME = FRAME_NONE
const NO_STREAM = STREAM_NONE
const FIRST = FIRST_BIT
const LAST = LAST_BIT
const POSITION_MASK = PATTERN_PERIOD_BYTES - 1
const MAY_SEND = WINDOW_OPENED | RETRANSMISSION_DUE

/** Two turns of 64 full segments: streams do not start in step. */
export const START_SPREAD_PS_DEFAULT = 100e6

const PRNG_STREAM_PHASES = 0x7068_6173
const PRNG_STREAM_SALTS = 0x7361_6c74

/** TCP payload of a full segment: what the MTU leaves, or what a frame of `frameBytes` with check sequence holds. */
export function segmentBytesOf(mtuBytes: number, timestamps: boolean, frameBytes: number | undefined): number {
  if (frameBytes === undefined) return segmentSizeBytes(mtuBytes, timestamps)
  const optionBytes = timestamps ? TCP_TIMESTAMP_OPTION_SIZE_BYTES : 0
  return frameBytes - FRAME_CHECK_SIZE_BYTES - PLAIN_HEADER_SIZE_BYTES - optionBytes
}

/** Neighbouring segments are at least 2^lapShift apart, so the segments of a window have different laps. */
const lapShiftOf = (segmentBytes: number): number => 31 - Math.clz32(segmentBytes)

/** Segments of one stream whose wire times are kept: at least a window's, a power of two. */
export const lapCountOf = (windowBytes: number, segmentBytes: number): number =>
  1 << (32 - Math.clz32((windowBytes >> lapShiftOf(segmentBytes)) + 2))

/** Segments of all streams together whose wire times are kept, at most. */
const LAPS_MAX = 1 << 22

/** Largest window of so many streams, in whole segments: their wire times are kept. */
export const windowBytesMaxOf = (streams: number, segmentBytes: number): number => {
  const lapsMax = 2 ** (31 - Math.clz32(LAPS_MAX / streams))
  const behind = (lapsMax - 2) * 2 ** lapShiftOf(segmentBytes)
  return Math.floor((behind - 1) / segmentBytes) * segmentBytes
}

export class ClosedLoop implements FrameSource, LinkPeer {
  readonly kind = "closed-loop"
  declare readonly endpoints: StreamEndpoints
  declare readonly sender: StreamSender
  declare readonly segmentBytes: number
  /** Of each segment: the first bit of its first transmission, the last bit of its latest; index: `lapOf`. */
  declare readonly firstBitsPs: Float64Array
  declare readonly lastBitsPs: Float64Array
  declare private readonly lapShift: number
  declare private readonly lapMask: number
  declare private readonly lapCount: number
  /** The stream's pattern begins here; even places payload on the pattern's word boundaries. */
  declare private readonly salts: Int32Array
  declare private readonly pattern: Pattern
  /** Checksum sum of a segment's payload, by its place in the pattern shifted by `sumShift`. */
  declare private readonly sums: Int32Array
  declare private readonly sumShift: number
  declare private readonly timeline: Timeline
  declare private readonly memory: Memory
  declare private readonly frames: FramePool
  declare private readonly link: Link
  declare private readonly times: Float64Array
  /** Streams that may send, in the order of their turns: a ring, each stream in it at most once. */
  declare private readonly turns: Int32Array
  declare private readonly isQueued: Uint8Array
  declare private readonly turnMask: number
  private turnHead = 0
  private turnCount = 0
  /** Lap of the segment that was handed to the link last. */
  private lap = 0
  declare private readonly starter: Source
  declare private readonly timeouts: Source
  private isTimerSet = false
  private isStopped = false
  /** Streams in the order in which they start, and when. */
  declare private readonly startOrder: Int32Array
  declare private readonly startsPs: Float64Array
  private startCount = 0

  constructor(options: ClosedLoopOptions) {
    const { timeline, endpoints, segmentBytes, pattern, memory, windowBytes } = options
    assert(segmentBytes >= 1, "a segment has no room for payload")
    this.timeline = timeline
    this.memory = memory
    this.frames = options.frames
    this.link = options.link
    this.times = options.link.inbound.state
    this.pattern = pattern
    this.endpoints = endpoints
    this.segmentBytes = segmentBytes
    this.sender = makeStreamSender({
      endpoints,
      windowBytes,
      segmentBytes,
      timestamps: options.timestamps,
      tcpChecksum: true,
      clock: timeline.clock,
      ...(options.retransmissionTimeoutPs === undefined
        ? {}
        : { retransmissionTimeoutPs: options.retransmissionTimeoutPs })
    })
    const streamCount = this.sender.streamCount
    // Salts are two above a multiple of four, so segments begin at few of the pattern's bytes.
    this.sumShift = segmentBytes % 4 === 0 ? 2 : 0
    this.sums = segmentSums(memory, pattern, segmentBytes, this.sumShift)
    const salts = makePrng(options.seed, PRNG_STREAM_SALTS)
    this.salts = Int32Array.from({ length: streamCount }, () => (salts.next() & (PATTERN_PERIOD_BYTES - 1) & ~3) | 2)

    this.lapShift = lapShiftOf(segmentBytes)
    this.lapCount = lapCountOf(windowBytes, segmentBytes)
    this.lapMask = this.lapCount - 1
    this.firstBitsPs = new Float64Array(streamCount * this.lapCount)
    this.lastBitsPs = new Float64Array(streamCount * this.lapCount)

    let slots = 1
    while (slots < streamCount) slots *= 2
    this.turns = new Int32Array(slots)
    this.turnMask = slots - 1
    this.isQueued = new Uint8Array(streamCount)

    const spreadPs = options.startSpreadPs ?? START_SPREAD_PS_DEFAULT
    const phases = makePrng(options.seed, PRNG_STREAM_PHASES)
    this.startsPs = Float64Array.from({ length: streamCount }, () => Math.floor(phases.uniform() * spreadPs))
    this.startOrder = Int32Array.from({ length: streamCount }, (_, stream) => stream)
    this.startOrder.sort((left, right) => this.startsPs[left]! - this.startsPs[right]! || left - right)
    this.starter = timeline.addTimer("stream start", () => this.startDue())
    this.timeouts = timeline.addTimer("retransmission time-out", () => this.expire())
  }

  /** Streams start from now on, each at its phase. */
  readonly start = (): void => {
    const nowPs = this.timeline.clock[0]!
    for (let stream = 0; stream < this.startsPs.length; stream++) this.startsPs[stream]! += nowPs
    this.startDue()
  }

  /** No new data; what is outstanding is still sent again when it was lost. */
  readonly stop = (): void => {
    this.isStopped = true
    this.sender.stop()
    this.timeline.clearTimer(this.starter)
  }

  /** After `stop`: everything that was sent has been acknowledged, or given up. */
  get isDrained(): boolean {
    return this.isStopped && this.sender.allAcked()
  }

  private readonly startDue = (): void => {
    const nowPs = this.timeline.clock[0]!
    while (this.startCount < this.startOrder.length) {
      const stream = this.startOrder[this.startCount]!
      if (this.startsPs[stream]! > nowPs) {
        this.timeline.setTimer(this.starter, this.startsPs[stream]!)
        break
      }
      this.startCount++
      this.queue(stream)
    }
    this.link.kick()
  }

  /** Where the times of the segment at this offset of the stream (modulo 2^32) are kept. */
  readonly lapOf = (stream: number, sequenceOffset: number): number => {
    return stream * this.lapCount + ((sequenceOffset >>> this.lapShift) & this.lapMask)
  }

  /** Where the byte at this offset of the stream is in the endless pattern. */
  readonly positionOf = (stream: number, sequenceOffset: number): number => {
    return (sequenceOffset + this.salts[stream]!) | 0
  }

  /** The checksum sum of the segment whose payload begins there. */
  readonly payloadSumAt = (position: number): number => {
    return this.sums[(position & POSITION_MASK) >> this.sumShift]!
  }

  private readonly queue = (stream: number): void => {
    if (this.isQueued[stream] !== 0) return
    this.isQueued[stream] = 1
    this.turns[(this.turnHead + this.turnCount) & this.turnMask] = stream
    this.turnCount++
  }

  /** The next stream whose turn it is and that may send, or STREAM_NONE. */
  private readonly takeTurn = (): number => {
    while (this.turnCount > 0) {
      const stream = this.turns[this.turnHead]!
      this.turnHead = (this.turnHead + 1) & this.turnMask
      this.turnCount--
      this.isQueued[stream] = 0
      if (this.sender.canSend(stream)) return stream
    }
    return NO_STREAM
  }

  readonly nextFrame = (): Frame => {
    const stream = this.takeTurn()
    if (stream === NO_STREAM) return NO_FRAME
    const { sender, frames, segmentBytes } = this
    const offset = sender.nextSegment(stream)
    const position = this.positionOf(stream, offset)
    const frame = frames.allocate()
    const sum = this.payloadSumAt(position)
    frames.headBytes[frame] = sender.writeHeader(
      stream,
      offset,
      segmentBytes,
      sum,
      this.memory.bytes,
      frames.headOffset(frame)
    )
    frames.bodyOffset[frame] = this.pattern.at(position)
    frames.bodyBytes[frame] = segmentBytes
    this.lap = this.lapOf(stream, offset)
    if (sender.canSend(stream)) this.queue(stream)
    if (!this.isTimerSet) this.setTimer()
    return frame
  }

  readonly frameTimed = (_frame: Frame): void => {
    if (!this.sender.isRetransmission) this.firstBitsPs[this.lap] = this.times[FIRST]!
    this.lastBitsPs[this.lap] = this.times[LAST]!
  }

  readonly frameArrived = (frame: Frame): void => {
    const { frames, sender } = this
    assert(frames.bodyBytes[frame] === 0, "a frame from the device has a body")
    const stream = sender.onAck(this.memory.bytes, frames.headOffset(frame), frames.headBytes[frame]!)
    if (stream === NO_STREAM || (sender.ackEvents & MAY_SEND) === 0) return
    this.queue(stream)
    this.link.kick()
    if (this.isStopped && sender.allAcked()) {
      this.isTimerSet = false
      this.timeline.clearTimer(this.timeouts)
    }
  }

  /**
   * One timer for all streams, set only when it is not: it then finds later deadlines, since every
   * deadline is the same span after an acknowledgement, and is set again.
   */
  private readonly setTimer = (): void => {
    const deadlinePs = this.sender.nextDeadlinePs()
    this.isTimerSet = deadlinePs !== Infinity
    if (this.isTimerSet) this.timeline.setTimer(this.timeouts, deadlinePs)
  }

  private readonly expire = (): void => {
    let stream = this.sender.expire()
    while (stream !== NO_STREAM) {
      this.queue(stream)
      stream = this.sender.expire()
    }
    this.setTimer()
    this.link.kick()
  }
}

/** Sums of all slices that a segment's payload can be: a lookup instead of an addition over the payload. */
function segmentSums(memory: Memory, pattern: Pattern, segmentBytes: number, shift: number): Int32Array {
  const period = memory.bytes.subarray(pattern.base, pattern.base + PATTERN_PERIOD_BYTES)
  const sums = makePayloadSums(period, segmentBytes)
  const offset = shift === 0 ? 0 : 2
  return Int32Array.from({ length: PATTERN_PERIOD_BYTES >> shift }, (_, index) =>
    sums.sum((index << shift) + offset, segmentBytes)
  )
}

/** The link partner's end of the streams; attach it to the link as source and as peer. */
export const makeClosedLoop = (options: ClosedLoopOptions): ClosedLoop => new ClosedLoop(options)
