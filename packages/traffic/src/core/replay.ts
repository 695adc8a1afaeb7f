/**
 * Replay of a capture, each record once and in order: at the times of its stamps, back to back, or at a
 * given rate, and never faster than the line. Bytes that the snap length cut off are a slice of the
 * pattern, chosen by the seed and the record's number; frames under 60 bytes are padded with zeros.
 *
 * A frame is a head (captured bytes, copied when it is sent) and a body: the slice of the pattern, or the
 * rest of the captured bytes where all of them were kept.
 */
import {
  ETHERTYPE_IPV4,
  ETHERNET_HEADER_SIZE_BYTES,
  FRAME_SIZE_BYTES_MIN,
  IP_PROTOCOL_TCP,
  IP_PROTOCOL_UDP,
  isIpv4Fragment,
  IPV4_HEADER_SIZE_BYTES,
  readEtherType,
  readIpv4HeaderSizeBytes,
  readIpv4Protocol,
  readIpv4TotalLengthBytes,
  readTcpHeaderSizeBytes,
  TCP_HEADER_SIZE_BYTES,
  UDP_HEADER_SIZE_BYTES,
  wireBits
} from "@vnic/net-stack/core"
import { type Frame, type FramePool, makePrng, type Memory, type Timeline } from "@vnic/sim/core"
import type { Link } from "./link.ts"
import { FIRST_BIT, LAST_BIT } from "./medium.ts"
import { Pacer } from "./pacer.ts"
import type { Pattern } from "./pattern.ts"
import type { Capture, Stamp } from "./pcap.ts"
import { FRAME_NONE, type FrameSource, type LinkPeer, type Wire } from "./ports.ts"

/** Captured bytes of one frame that go through its slot; the rest stays where it is. */
const HEAD_BYTES_MAX = 128
/** Distance of two records' bytes in memory is a multiple of this. */
const ALIGNMENT_BYTES = 64

const SECOND_PS = 1e12
const PRNG_STREAM_FILL = 0x6669_6c6c

export type ReplayRate = number | "line" | "as-captured"

export interface ReplayOptions {
  readonly timeline: Timeline
  readonly memory: Memory
  readonly frames: FramePool
  readonly link: Link
  readonly wire: Wire
  readonly pattern: Pattern
  readonly capture: Capture
  readonly seed: number
  /** Bits of medium time a second, or how the times are chosen. */
  readonly rateBitsPerSecond: ReplayRate
}

const strideOf = (keptBytes: number): number =>
  Math.ceil(Math.max(keptBytes, FRAME_SIZE_BYTES_MIN) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES

/** Storage that the replay of a capture needs outside the host's memory, its pattern not counted. */
export function replayOutsideBytes(capture: Capture): number {
  let sizeBytes = 0
  for (let index = 0; index < capture.frameCount; index++) sizeBytes += strideOf(capture.keptBytes[index]!)
  return sizeBytes
}

/** From a replay's start until the wire is free again, picoseconds: frames are due by their rate, and wait in turn. */
export function replayDurationPs(capture: Capture, rate: ReplayRate, linkBitsPerSecond: number): number {
  let freePs = 0
  let duePs = 0
  for (let index = 0; index < capture.frameCount; index++) {
    const bits = wireBits(Math.max(capture.lengthBytes[index]!, FRAME_SIZE_BYTES_MIN))
    const schedulePs = rate === "as-captured" ? capture.stampsPs[index]! : Math.ceil(duePs)
    freePs = Math.max(freePs, schedulePs) + (bits * SECOND_PS) / linkBitsPerSecond
    if (typeof rate === "number") duePs += (bits * SECOND_PS) / rate
  }
  return Math.ceil(freePs)
}

export class Replay implements FrameSource, LinkPeer {
  readonly kind = "replay"
  declare readonly frameCount: number
  /** The capture's first stamp, and the virtual time at which its record was due. */
  declare readonly origin: Stamp
  startPs = 0
  /** Captured bytes of each record in memory, padded to 60 where the frame is shorter. */
  declare readonly storage: Int32Array
  declare readonly keptBytes: Int32Array
  /** Length on the wire without check sequence, padding included. */
  declare readonly lengthBytes: Int32Array
  /** Where the bytes that were cut off begin in the pattern. */
  declare readonly fillPositions: Int32Array
  /** TCP or UDP payload of each frame, as its headers tell and as it can hold. */
  declare readonly payloadBytes: Int32Array
  /** Per record: when it was due (its first bit at the line's rate), and its last bit's time. */
  declare readonly schedulesPs: Float64Array
  declare readonly lastBitsPs: Float64Array
  /** The record sent next on the queue that this one was sent on, or RECORD_NONE. */
  declare readonly nextOfQueue: Int32Array
  /** Per queue: first and last record that were sent and not yet taken by the sink. */
  declare readonly queueHeads: Int32Array
  declare readonly queueTails: Int32Array
  /** Frames that were shorter than 60 bytes. */
  framesPadded = 0
  /** From the start until the wire is free again, picoseconds: what a window must span to see all of it. */
  declare readonly durationPs: number
  declare private readonly isAtLineRate: boolean
  private nextRecord = 0
  private record = 0
  private isRunning = false
  declare private readonly timeline: Timeline
  declare private readonly memory: Memory
  declare private readonly frames: FramePool
  declare private readonly link: Link
  declare private readonly wire: Wire
  declare private readonly times: Float64Array
  declare private readonly pattern: Pattern
  declare private readonly pacer: Pacer

  constructor(options: ReplayOptions) {
    const { capture, link, memory, rateBitsPerSecond, timeline } = options
    const frameCount = capture.frameCount
    this.timeline = timeline
    this.memory = memory
    this.frames = options.frames
    this.link = link
    this.wire = options.wire
    this.times = link.inbound.state
    this.pattern = options.pattern
    this.frameCount = frameCount
    this.origin = capture.origin
    this.storage = new Int32Array(frameCount)
    this.keptBytes = capture.keptBytes.slice()
    this.lengthBytes = capture.lengthBytes.slice()
    this.fillPositions = new Int32Array(frameCount)
    this.payloadBytes = new Int32Array(frameCount)
    this.schedulesPs = capture.stampsPs.slice()
    this.lastBitsPs = new Float64Array(frameCount)
    this.nextOfQueue = new Int32Array(frameCount).fill(RECORD_NONE)
    this.queueHeads = new Int32Array(QUEUES_MAX).fill(RECORD_NONE)
    this.queueTails = new Int32Array(QUEUES_MAX).fill(RECORD_NONE)
    this.isAtLineRate = rateBitsPerSecond === "line"
    this.load(capture, options.seed)
    if (typeof rateBitsPerSecond === "number") this.spread(rateBitsPerSecond)
    this.durationPs = replayDurationPs(capture, rateBitsPerSecond, link.rateBitsPerSecond)
    this.pacer = new Pacer(timeline, link)
  }

  /** Brings the captured bytes into memory and completes what is shorter than a frame can be. */
  private load(capture: Capture, seed: number): void {
    const { memory } = this
    const prng = makePrng(seed, PRNG_STREAM_FILL)
    let at = memory.reserveOutside(replayOutsideBytes(capture))
    for (let index = 0; index < this.frameCount; index++) {
      const kept = this.keptBytes[index]!
      const from = capture.offsets[index]!
      memory.bytes.set(capture.bytes.subarray(from, from + kept), at)
      this.storage[index] = at
      // Cut-off bytes keep their place within a word, so that they are compared by words.
      this.fillPositions[index] = (prng.next() & ~3) | (kept & 3)
      this.payloadBytes[index] = payloadBytesAt(memory.bytes, at, kept, this.lengthBytes[index]!)
      at += strideOf(kept)
      if (this.lengthBytes[index]! < FRAME_SIZE_BYTES_MIN) this.pad(index)
    }
  }

  private pad(index: number): void {
    const kept = this.keptBytes[index]!
    const storage = this.storage[index]!
    const cutOff = this.lengthBytes[index]! - kept
    this.memory.bytes.copyWithin(
      storage + kept,
      this.pattern.at(this.fillPositions[index]!),
      this.pattern.at(this.fillPositions[index]!) + cutOff
    )
    this.memory.bytes.fill(0, storage + kept + cutOff, storage + FRAME_SIZE_BYTES_MIN)
    this.keptBytes[index] = FRAME_SIZE_BYTES_MIN
    this.lengthBytes[index] = FRAME_SIZE_BYTES_MIN
    this.framesPadded++
  }

  /** Times at which frames are due when they are sent at a constant rate of wire bits. */
  private spread(rateBitsPerSecond: number): void {
    let duePs = 0
    for (let index = 0; index < this.frameCount; index++) {
      this.schedulesPs[index] = Math.ceil(duePs)
      duePs += (wireBits(this.lengthBytes[index]!) * SECOND_PS) / rateBitsPerSecond
    }
  }

  /** The first record is due now. */
  start(): void {
    const nowPs = this.timeline.clock[0]!
    this.startPs = nowPs
    for (let index = 0; index < this.frameCount; index++) this.schedulesPs[index]! += nowPs
    this.isRunning = true
    this.link.kick()
  }

  /** Records that have not been sent yet are not sent. */
  stop(): void {
    this.isRunning = false
    this.pacer.stop()
  }

  /** Records handed to the link so far. */
  get framesSent(): number {
    return this.nextRecord
  }

  /** True when every record has been handed to the link. */
  get isFinished(): boolean {
    return this.nextRecord === this.frameCount
  }

  /** Nothing will be sent any more. */
  get isDrained(): boolean {
    return !this.isRunning || this.isFinished
  }

  nextFrame(): Frame {
    const record = this.nextRecord
    if (!this.isRunning || record === this.frameCount) return FRAME_NONE
    if (!this.isAtLineRate && !this.pacer.isDue(this.schedulesPs, record)) return FRAME_NONE
    this.nextRecord = record + 1
    this.record = record
    const { frames } = this
    const frame = frames.allocate()
    const kept = this.keptBytes[record]!
    const length = this.lengthBytes[record]!
    const isWhole = kept === length
    const head = isWhole && kept > HEAD_BYTES_MAX ? HEAD_BYTES_MAX : kept
    frames.append(frame, this.storage[record]!, head)
    frames.bodyOffset[frame] = isWhole ? this.storage[record]! + head : this.pattern.at(this.fillPositions[record]!)
    frames.bodyBytes[frame] = length - head
    return frame
  }

  frameTimed(frame: Frame): void {
    const record = this.record
    this.lastBitsPs[record] = this.times[LAST_BIT]!
    if (this.isAtLineRate) this.schedulesPs[record] = this.times[FIRST_BIT]!
    const queue = this.wire.queueOfFrame(frame)
    const tail = this.queueTails[queue]!
    if (tail === RECORD_NONE) this.queueHeads[queue] = record
    else this.nextOfQueue[tail] = record
    this.queueTails[queue] = record
  }

  /** Nobody waits for what the host sends. */
  frameArrived(_frame: Frame): void {}
}

/** No record. */
export const RECORD_NONE = -1
/** Receive queues of the largest device: 128 in the 82599. */
const QUEUES_MAX = 128

/**
 * TCP or UDP payload of a frame by its headers, as far as they were captured; 0 for everything else. Never more than
 * the frame holds: captures on a sender show headers of what its device was still to cut into segments.
 */
function payloadBytesAt(bytes: Uint8Array, at: number, keptBytes: number, lengthBytes: number): number {
  const ipOffset = at + ETHERNET_HEADER_SIZE_BYTES
  const end = at + keptBytes
  if (ipOffset + IPV4_HEADER_SIZE_BYTES > end || readEtherType(bytes, at) !== ETHERTYPE_IPV4) return 0
  if (isIpv4Fragment(bytes, ipOffset)) return 0
  const l4Offset = ipOffset + readIpv4HeaderSizeBytes(bytes, ipOffset)
  const ipBytes = Math.min(readIpv4TotalLengthBytes(bytes, ipOffset), lengthBytes - ETHERNET_HEADER_SIZE_BYTES)
  const l4Bytes = ipBytes - (l4Offset - ipOffset)
  const protocol = readIpv4Protocol(bytes, ipOffset)
  if (protocol === IP_PROTOCOL_UDP) return Math.max(0, l4Bytes - UDP_HEADER_SIZE_BYTES)
  if (protocol !== IP_PROTOCOL_TCP || l4Offset + TCP_HEADER_SIZE_BYTES > end) return 0
  return Math.max(0, l4Bytes - readTcpHeaderSizeBytes(bytes, l4Offset))
}

/** The replay of a capture; attach it to the link as source and as peer. */
export const makeReplay = (options: ReplayOptions): Replay => new Replay(options)
