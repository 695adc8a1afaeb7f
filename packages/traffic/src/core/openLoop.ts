/**
 * Open loop: UDP frames at a given rate, whatever becomes of them. Flows take turns; sizes are fixed or
 * drawn from the simple IMIX; arrivals are evenly spaced or a Poisson process. A frame that the wire cannot
 * take yet waits in a bounded backlog at the sender.
 *
 * The sequence number in a frame is its number among all frames, modulo 2^32.
 */
import {
  type FlowEndpoints,
  FRAME_CHECK_SIZE_BYTES,
  makeOpenLoopFrames,
  type OpenLoopFrames,
  wireBits,
  TEST_FRAME_HEADER_SIZE_BYTES
} from "@vnic/net-stack/core"
import { type Frame, type FramePool, makePrng, type Memory, type Prng, type Timeline } from "@vnic/sim/core"
import { HeldFrames } from "./heldFrames.ts"
import type { Link } from "./link.ts"
import { FREE_AT, LAST_BIT } from "./medium.ts"
import { Pacer } from "./pacer.ts"
import type { Pattern } from "./pattern.ts"
import { FRAME_NONE, type FrameSource, type LinkPeer } from "./ports.ts"

/** Frame sizes of the simple IMIX, check sequence included, and how many of 12 frames have each. */
export const IMIX_FRAME_BYTES: ReadonlyArray<number> = [64, 594, 1518]
export const IMIX_SHARES: ReadonlyArray<number> = [7, 4, 1]
const IMIX_SHARE_SUM = 12

/** Frames that wait at the sender for the wire; more are lost there, and counted. */
export const SENDER_BACKLOG_FRAMES = 4096

/** Frames that a receive queue holds when nobody says how many: the largest ring that a scenario can ask for. */
export const FRAMES_HELD_PER_QUEUE_DEFAULT = 16_384

const SECOND_PS = 1e12
const PRNG_STREAM_ARRIVALS = 0x6172_7276
const PRNG_STREAM_SIZES = 0x7369_7a65
/** Spreads frame numbers over the pattern; word-aligned steps keep payload on word boundaries. */
const POSITION_STEP_BYTES = 1460

export interface OpenLoopOptions {
  readonly timeline: Timeline
  readonly memory: Memory
  readonly frames: FramePool
  readonly link: Link
  readonly pattern: Pattern
  readonly endpoints: FlowEndpoints
  readonly seed: number
  /** Bits of medium time a second, everything counted that a frame takes; or as fast as the link goes. */
  readonly rateBitsPerSecond: number | "line"
  readonly arrivals: "constant" | "poisson"
  /** Frame size with check sequence, or the simple IMIX. */
  readonly frameBytes: number | "imix"
  /** Receive queues that frames come to memory by, and how many of them each can hold. */
  readonly queueCount: number
  readonly framesHeldPerQueue?: number
}

/** Indices of `OpenLoop.next`: when the frame after the last one scheduled is due, with its fraction. */
const DUE = 0
/** Mean bits of medium time of a frame, and picoseconds a bit at the rate asked for. */
const MEAN_BITS = 1
const BIT_PS = 2

export class OpenLoop implements FrameSource, LinkPeer {
  readonly kind = "open-loop"
  declare readonly endpoints: FlowEndpoints
  declare readonly testFrames: OpenLoopFrames
  /** Frames that were due, and those of them that found the backlog full. */
  framesScheduled = 0
  framesLostAtSender = 0
  /** What has come to the host's memory. */
  declare readonly held: HeldFrames
  /** Of each frame between sender and memory: when it was due, when its last bit passed, number and length. */
  declare readonly schedulesPs: Float64Array
  declare readonly lastBitsPs: Float64Array
  declare private readonly numbers: Int32Array
  declare private readonly lengths: Int32Array
  private readonly next = new Float64Array(3)
  declare private readonly isPoisson: boolean
  declare private readonly isImix: boolean
  declare private readonly fixedLengthBytes: number
  declare private readonly arrivalPrng: Prng
  declare private readonly sizePrng: Prng
  /** Frames that are due and wait for the wire: a ring of lengths and times. */
  private readonly backlogLengths = new Int32Array(SENDER_BACKLOG_FRAMES)
  private readonly backlogPs = new Float64Array(SENDER_BACKLOG_FRAMES)
  private backlogHead = 0
  private backlogCount = 0
  private nextLengthBytes = 0
  private frameNumber = 0
  private flow = 0
  private isRunning = false
  declare private readonly timeline: Timeline
  declare private readonly memory: Memory
  declare private readonly frames: FramePool
  declare private readonly link: Link
  declare private readonly times: Float64Array
  declare private readonly pattern: Pattern
  declare private readonly pacer: Pacer

  constructor(options: OpenLoopOptions) {
    const { timeline, link, frameBytes, rateBitsPerSecond } = options
    const capacity = options.frames.headBytes.length
    this.timeline = timeline
    this.memory = options.memory
    this.frames = options.frames
    this.link = link
    this.times = link.inbound.state
    this.pattern = options.pattern
    this.endpoints = options.endpoints
    this.testFrames = makeOpenLoopFrames(options.endpoints)
    this.isPoisson = options.arrivals === "poisson"
    this.isImix = frameBytes === "imix"
    this.fixedLengthBytes = (frameBytes === "imix" ? IMIX_FRAME_BYTES[0]! : frameBytes) - FRAME_CHECK_SIZE_BYTES
    this.next[MEAN_BITS] = this.isImix ? imixMeanBits() : wireBits(this.fixedLengthBytes)
    this.next[BIT_PS] = SECOND_PS / (rateBitsPerSecond === "line" ? link.rateBitsPerSecond : rateBitsPerSecond)
    this.arrivalPrng = makePrng(options.seed, PRNG_STREAM_ARRIVALS)
    this.sizePrng = makePrng(options.seed, PRNG_STREAM_SIZES)
    this.held = new HeldFrames(options.queueCount, options.framesHeldPerQueue ?? FRAMES_HELD_PER_QUEUE_DEFAULT)
    this.schedulesPs = new Float64Array(capacity)
    this.lastBitsPs = new Float64Array(capacity)
    this.numbers = new Int32Array(capacity)
    this.lengths = new Int32Array(capacity)
    options.frames.stored = (frame, queue) => this.hold(frame, queue)
    this.pacer = new Pacer(timeline, link)
  }

  /** Frames are due from now on; the first after a drawn part of the mean distance. */
  start(): void {
    const meanPs = this.next[MEAN_BITS]! * this.next[BIT_PS]!
    const phase = this.isPoisson ? this.arrivalPrng.exponential(1) : this.arrivalPrng.uniform()
    this.next[DUE] = this.timeline.clock[0]! + Math.floor(phase * meanPs)
    this.nextLengthBytes = this.drawLength()
    this.isRunning = true
    this.link.kick()
  }

  /** Nothing more is due; what waits at the sender is still sent. */
  stop(): void {
    this.isRunning = false
    this.pacer.stop()
  }

  /** After `stop`: nothing waits at the sender. */
  get isDrained(): boolean {
    return !this.isRunning && this.backlogCount === 0
  }

  /** Puts what has become due since the last call into the backlog; what finds it full is lost. */
  private schedule(): void {
    const freePs = this.times[FREE_AT]!
    while (this.next[DUE]! <= freePs) {
      if (this.backlogCount === SENDER_BACKLOG_FRAMES) this.framesLostAtSender++
      else this.append()
      this.advance()
    }
  }

  private append(): void {
    const slot = (this.backlogHead + this.backlogCount) & (SENDER_BACKLOG_FRAMES - 1)
    this.backlogLengths[slot] = this.nextLengthBytes
    this.backlogPs[slot] = Math.ceil(this.next[DUE]!)
    this.backlogCount++
  }

  /** The time and size of the frame after this one. */
  private advance(): void {
    const next = this.next
    this.framesScheduled++
    const bits = this.isPoisson ? this.arrivalPrng.exponential(next[MEAN_BITS]!) : wireBits(this.nextLengthBytes)
    next[DUE]! += bits * next[BIT_PS]!
    this.nextLengthBytes = this.drawLength()
  }

  private drawLength(): number {
    if (!this.isImix) return this.fixedLengthBytes
    const draw = this.sizePrng.below(IMIX_SHARE_SUM)
    const kind = draw < IMIX_SHARES[0]! ? 0 : draw < IMIX_SHARES[0]! + IMIX_SHARES[1]! ? 1 : 2
    return IMIX_FRAME_BYTES[kind]! - FRAME_CHECK_SIZE_BYTES
  }

  nextFrame(): Frame {
    if (this.isRunning) {
      this.schedule()
      // Nothing waits: the frame that is due next goes to the wire ahead of its time.
      if (this.backlogCount === 0) {
        if (!this.pacer.isDue(this.next, DUE)) return FRAME_NONE
        this.append()
        this.advance()
      }
    }
    if (this.backlogCount === 0) return FRAME_NONE
    const slot = this.backlogHead
    this.backlogHead = (slot + 1) & (SENDER_BACKLOG_FRAMES - 1)
    this.backlogCount--
    return this.make(slot)
  }

  private make(slot: number): Frame {
    const { frames, testFrames } = this
    const lengthBytes = this.backlogLengths[slot]!
    const number = this.frameNumber
    this.frameNumber = (number + 1) | 0
    const frame = frames.allocate()
    this.numbers[frame] = number
    this.lengths[frame] = lengthBytes
    this.schedulesPs[frame] = this.backlogPs[slot]!
    const flow = this.flow
    this.flow = flow + 1 === testFrames.flowCount ? 0 : flow + 1
    frames.headBytes[frame] = testFrames.write(flow, number, lengthBytes, this.memory.bytes, frames.headOffset(frame))
    frames.bodyOffset[frame] = this.pattern.at(positionOf(number))
    frames.bodyBytes[frame] = lengthBytes - TEST_FRAME_HEADER_SIZE_BYTES
    return frame
  }

  frameTimed(frame: Frame): void {
    this.lastBitsPs[frame] = this.times[LAST_BIT]!
  }

  /** The frame's slot is about to be free; what the sink must know goes on with its bytes. */
  private hold(frame: Frame, queue: number): void {
    const { held } = this
    const at = held.add(queue)
    held.numbers[at] = this.numbers[frame]!
    held.lengths[at] = this.lengths[frame]!
    held.schedulesPs[at] = this.schedulesPs[frame]!
    held.lastBitsPs[at] = this.lastBitsPs[frame]!
  }

  /** Nobody waits for what the host sends. */
  frameArrived(_frame: Frame): void {}
}

/** Where the payload of a frame begins in the pattern: two bytes behind a word, as in the frame. */
export const positionOf = (frameNumber: number): number => Math.imul(frameNumber, POSITION_STEP_BYTES) | 2

/** Mean bits of medium time of a frame of the simple IMIX. */
function imixMeanBits(): number {
  let bits = 0
  IMIX_FRAME_BYTES.forEach((frameBytes, kind) => {
    bits += IMIX_SHARES[kind]! * wireBits(frameBytes - FRAME_CHECK_SIZE_BYTES)
  })
  return bits / IMIX_SHARE_SUM
}

/** An open-loop generator; attach it to the link as source and as peer. */
export const makeOpenLoop = (options: OpenLoopOptions): OpenLoop => new OpenLoop(options)
