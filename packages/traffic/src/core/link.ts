/**
 * The full-duplex link between the link partner and the device: in each direction one frame at a time, the
 * last bit of each at the other end after its serialisation and the propagation. Where `inbound` is named,
 * it is the device's receive direction.
 *
 * One event a frame and direction: at the instant at which an inbound frame's last bit arrives, the source
 * is asked for the next frame, which then starts when the gap is over. Only a propagation longer than the
 * gap takes a second event, since the choice of the next frame must not wait for the arrival of this one.
 */
import { FRAME_SIZE_BYTES_MIN } from "@vnic/net-stack/core"
import type { Frame, FramePool, Memory, Source, Timeline } from "@vnic/sim/core"
import { FREE_AT, LAST_BIT, Medium, NOT_BEFORE } from "./medium.ts"
import type { Window } from "./window.ts"
import type { LinkPeer, FrameSource, Wire } from "./ports.ts"
import { FRAME_NONE } from "./ports.ts"

/** Aliases of imported constants, for the hottest function. */
const FREE = FREE_AT
const EARLIEST = NOT_BEFORE
const LAST = LAST_BIT
const NONE = FRAME_NONE
const LENGTH_LEAST = FRAME_SIZE_BYTES_MIN

export interface LinkOptions {
  readonly timeline: Timeline
  readonly memory: Memory
  readonly frames: FramePool
  readonly window: Window
  readonly wire: Wire
  readonly rateBitsPerSecond: number
  /** From the last bit sent to the last bit received, each direction. */
  readonly propagationPs: number
}

export class Link {
  /** Toward the device, and away from it. */
  declare readonly inbound: Medium
  declare readonly outbound: Medium
  /** departPs[0]: when the last bit of the frame that the device handed over last has left. */
  readonly departPs = new Float64Array(1)
  declare readonly rateBitsPerSecond: number
  /** Inbound frames that were shorter than 60 bytes. */
  framesPadded = 0
  declare private source: FrameSource | undefined
  declare private peer: LinkPeer | undefined
  private isIdle = true
  /** The one frame between source and device, while propagation is within the gap. */
  private incoming: Frame = FRAME_NONE
  declare private readonly timeline: Timeline
  declare private readonly memory: Memory
  declare private readonly frames: FramePool
  declare private readonly wire: Wire
  declare private readonly propagationPs: Float64Array
  declare private readonly isWithinGap: boolean
  declare private readonly incomingTimer: Source
  declare private readonly incomingLane: Source
  declare private readonly outgoingLane: Source

  constructor(options: LinkOptions) {
    const { timeline, frames, rateBitsPerSecond } = options
    this.timeline = timeline
    this.memory = options.memory
    this.frames = frames
    this.wire = options.wire
    this.rateBitsPerSecond = rateBitsPerSecond
    this.inbound = new Medium(rateBitsPerSecond, options.window)
    this.outbound = new Medium(rateBitsPerSecond, options.window)
    this.propagationPs = Float64Array.of(options.propagationPs)
    this.isWithinGap = options.propagationPs <= this.inbound.gapPs
    const capacity = frames.headBytes.length
    const onIncoming = this.isWithinGap ? () => this.arriveAndGoOn() : () => this.startNext()
    this.incomingTimer = timeline.addTimer("link inbound", onIncoming)
    this.incomingLane = timeline.addLane("link inbound arrival", (frame) => this.wire.deliver(frame), capacity)
    this.outgoingLane = timeline.addLane("link outbound", (frame) => this.leave(frame), capacity)
  }

  /** Names the one that sends to the device, and the one that gets what the device sends. */
  readonly attach = (source: FrameSource, peer: LinkPeer): void => {
    this.source = source
    this.peer = peer
  }

  /** The source has a frame again. */
  readonly kick = (): void => {
    if (this.isIdle) this.startNext()
  }

  /** True when no frame is between the two ends. */
  get isQuiet(): boolean {
    const { timeline } = this
    const isInboundQuiet = this.isIdle && timeline.pending(this.incomingLane) === 0
    return isInboundQuiet && timeline.pending(this.outgoingLane) === 0
  }

  private readonly startNext = (): void => {
    const times = this.inbound.state
    const nowPs = this.timeline.clock[0]!
    if (times[FREE]! < nowPs) times[FREE] = nowPs
    times[EARLIEST] = 0
    const source = this.source!
    // A source may answer by kicking: it is not idle before it has said so.
    this.isIdle = false
    const frame = source.nextFrame()
    if (frame === NONE) {
      this.isIdle = true
      return
    }
    const lengthBytes = this.frames.lengthBytes(frame)
    if (lengthBytes < LENGTH_LEAST) this.pad(frame)
    this.inbound.occupy(lengthBytes)
    source.frameTimed(frame)
    const lastBitPs = Math.ceil(times[LAST]!)
    if (this.isWithinGap) {
      this.incoming = frame
      this.timeline.setTimer(this.incomingTimer, lastBitPs + this.propagationPs[0]!)
    } else {
      this.timeline.push(this.incomingLane, lastBitPs + this.propagationPs[0]!, frame)
      this.timeline.setTimer(this.incomingTimer, Math.ceil(times[FREE]!))
    }
  }

  private readonly arriveAndGoOn = (): void => {
    this.wire.deliver(this.incoming)
    this.startNext()
  }

  /** Zeros up to the shortest frame, as the sending MAC puts them. */
  private readonly pad = (frame: Frame): void => {
    const { frames, memory } = this
    const headBytes = frames.headBytes[frame]!
    const bodyBytes = frames.bodyBytes[frame]!
    const head = frames.headOffset(frame)
    this.framesPadded++
    memory.copy(frames.bodyOffset[frame]!, head + headBytes, bodyBytes)
    frames.bodyBytes[frame] = 0
    memory.bytes.fill(0, head + headBytes + bodyBytes, head + FRAME_SIZE_BYTES_MIN)
    frames.headBytes[frame] = FRAME_SIZE_BYTES_MIN
  }

  /** The device hands a frame over; the link owns it from here, and frees it at the other end. */
  readonly transmit = (frame: Frame): void => {
    const times = this.outbound.state
    times[NOT_BEFORE] = this.timeline.clock[0]!
    this.outbound.occupy(this.frames.lengthBytes(frame))
    const lastBitPs = Math.ceil(times[LAST_BIT]!)
    this.departPs[0] = lastBitPs
    this.timeline.push(this.outgoingLane, lastBitPs + this.propagationPs[0]!, frame)
  }

  private readonly leave = (frame: Frame): void => {
    this.peer!.frameArrived(frame)
    this.frames.free(frame)
  }
}

/** An idle link; `attach` its source and peer before anything is sent. */
export const makeLink = (options: LinkOptions): Link => new Link(options)
