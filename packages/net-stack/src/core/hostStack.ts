/**
 * The host's network stack above a driver: it books the stack's time, hands payload to the application,
 * and answers with acknowledgements. Below TCP (open-loop frames, replay) it hands whole frames up.
 *
 * Transmit buffers are cut from system pages and go back when the driver has no more use for them.
 */
import {
  ACCOUNT_STACK as accountStack,
  PAGE_NONE,
  type Cpus,
  type Memory,
  type PageAllocator,
  type PhysAddr,
  type Prng,
  type Source,
  type Timeline
} from "@vnic/sim/core"
import { STREAM_NONE } from "./flowTable.ts"
import {
  ACK_LATER as ackLater,
  ACK_NOW as ackNow,
  MALFORMED as malformed,
  UNKNOWN as unknown,
  type StreamReceiver
} from "./streamReceiver.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_STACK = accountStack
const ACK_LATER = ackLater
const ACK_NOW = ackNow
const MALFORMED = malformed
const UNKNOWN = unknown

/** Who gets what has arrived, declared here by its caller. */
export interface Application {
  /** nowPs[0]: the instant of the next delivery. */
  readonly nowPs: Float64Array
  /** A segment's payload, in up to two pieces of host memory; `newBytes` of it had not arrived before. */
  deliverStream(
    stream: number,
    sequenceOffset: number,
    payloadBytes: number,
    newBytes: number,
    phys0: PhysAddr,
    bytes0: number,
    phys1: PhysAddr,
    bytes1: number
  ): void
  /** A whole frame, in up to two pieces of host memory. */
  deliverFrame(queue: number, phys0: PhysAddr, bytes0: number, phys1: PhysAddr, bytes1: number): void
  /** A frame that belongs to no stream. */
  deliverForeign(): void
}

export interface HostStackOptions {
  readonly timeline: Timeline
  readonly cpus: Cpus
  readonly memory: Memory
  readonly pages: PageAllocator
  readonly prng: Prng
  /** The stack's work on one frame, and the half-width of its uniform spread as a share. */
  readonly framePs: number
  readonly frameJitterShare: number
}

/** What the host listens with. */
export interface Listener {
  readonly application: Application
  /** The streams' receiving end; without it frames are handed up whole. */
  readonly receiver: StreamReceiver | undefined
  /** Sends a frame from outside of a receive, on the queue that its stream arrives on. False: not now, try again. */
  readonly send: (queue: number, phys: PhysAddr, sizeBytes: number) => boolean
}

/** Bytes of a transmit buffer: an acknowledgement with options fits. */
export const TRANSMIT_BUFFER_BYTES = 128
/** System pages that transmit buffers may take. */
const TRANSMIT_PAGES_MAX = 256
/** A delayed acknowledgement that could not be sent is tried again after this time. */
const ACK_RETRY_PS = 1_000_000_000
/** Spread draws are multiples of 2^-16. */
const DRAW_RANGE = 65536

export class HostStack {
  /** answerPhys[cpu]: where the answer to the frame received last stands. */
  declare readonly answerPhys: Int32Array
  /** Answers that were never sent, each counted once; those that a timer tries again are counted at the end. */
  answersDropped = 0
  declare private readonly options: HostStackOptions
  /** Frames that arrived while nobody listened. */
  framesUnheard = 0
  declare private receiver: StreamReceiver | undefined
  declare private application: Application | undefined
  declare private send: Listener["send"] | undefined
  /** The queue that each stream last arrived on. */
  private queues = new Int32Array(0)
  declare private readonly framePs: number
  declare private readonly spreadPs: number
  declare private readonly freeBuffers: Int32Array
  private freeCount = 0
  declare private readonly buffersPerPage: number
  private readonly pagesTaken: Array<PhysAddr> = []
  declare private readonly ackTimer: Source
  /** When it is due; Infinity when it is not set. */
  private readonly ackTimerPs = Float64Array.of(Infinity)

  constructor(options: HostStackOptions) {
    const { cpus, pages } = options
    this.options = options
    this.answerPhys = new Int32Array(cpus.count)
    this.spreadPs = Math.floor(options.framePs * options.frameJitterShare)
    this.framePs = options.framePs - this.spreadPs
    this.buffersPerPage = Math.floor(pages.pageSizeBytes / TRANSMIT_BUFFER_BYTES)
    this.freeBuffers = new Int32Array(this.buffersPerPage * TRANSMIT_PAGES_MAX)
    this.ackTimer = options.timeline.addTimer("delayed ACK", () => this.sendDueAcks())
  }

  /** From now on what arrives goes to this listener. */
  readonly listen = (listener: Listener): void => {
    this.receiver = listener.receiver
    this.queues = new Int32Array(listener.receiver?.streamCount ?? 0)
    this.application = listener.application
    this.send = listener.send
  }

  /** Takes a received frame; returns the length of an answer to transmit, or 0. See the driver's HostStack. */
  readonly receive = (
    cpu: number,
    queue: number,
    headPhys: PhysAddr,
    headBytes: number,
    bodyPhys: PhysAddr,
    bodyBytes: number
  ): number => {
    const { application, options, receiver } = this
    const draw = options.prng.next() >>> 16
    options.cpus.spend(cpu, ACCOUNT_STACK, this.framePs + Math.floor((2 * this.spreadPs * draw) / DRAW_RANGE))
    if (application === undefined) {
      this.framesUnheard++
      return 0
    }
    application.nowPs[0] = options.cpus.localPs[cpu]!
    if (receiver === undefined) {
      application.deliverFrame(queue, headPhys, headBytes, bodyPhys, bodyBytes)
      return 0
    }
    const bits = receiver.onSegment(options.memory.bytes, headPhys, headBytes + bodyBytes)
    if ((bits & (UNKNOWN | MALFORMED)) !== 0) {
      application.deliverForeign()
      return 0
    }
    this.handUp(application, receiver, headPhys, headBytes, bodyPhys)
    if ((bits & ACK_LATER) !== 0) {
      this.queues[receiver.stream] = queue
      this.armAckTimer(receiver)
    }
    return (bits & ACK_NOW) === 0 ? 0 : this.answer(cpu, receiver)
  }

  private readonly handUp = (
    application: Application,
    receiver: StreamReceiver,
    headPhys: PhysAddr,
    headBytes: number,
    bodyPhys: PhysAddr
  ): void => {
    const payloadBytes = receiver.payloadSizeBytes
    const offset = receiver.payloadFrameOffset
    // Short frames are padded: the payload may end before the head does.
    const inHead = headBytes - offset < payloadBytes ? headBytes - offset : payloadBytes
    application.deliverStream(
      receiver.stream,
      receiver.payloadSequenceOffset,
      payloadBytes,
      receiver.newBytes,
      headPhys + offset,
      inHead,
      bodyPhys,
      payloadBytes - inHead
    )
  }

  private readonly answer = (cpu: number, receiver: StreamReceiver): number => {
    const phys = this.takeBuffer()
    if (phys === PAGE_NONE) {
      // With a delayed one due the timer tries again, for both.
      if (receiver.ackDeadlinesPs[receiver.stream] === Infinity) this.answersDropped++
      return 0
    }
    this.answerPhys[cpu] = phys
    return receiver.buildAck(receiver.stream, this.options.memory.bytes, phys)
  }

  /** One timer serves all streams: it runs out with the earliest deadline, or before. */
  private readonly armAckTimer = (receiver: StreamReceiver): void => {
    const deadlinePs = receiver.ackDeadlinesPs[receiver.stream]!
    if (deadlinePs >= this.ackTimerPs[0]!) return
    this.ackTimerPs[0] = deadlinePs
    this.options.timeline.setTimer(this.ackTimer, deadlinePs)
  }

  private readonly sendDueAcks = (): void => {
    const { timeline } = this.options
    const receiver = this.receiver!
    for (let stream = receiver.dueAck(); stream !== STREAM_NONE; stream = receiver.dueAck()) {
      if (this.sendAck(receiver, stream)) receiver.settleAck(stream)
      else receiver.postponeAck(stream, timeline.nowPs + ACK_RETRY_PS)
    }
    const nextPs = receiver.nextDeadlinePs()
    this.ackTimerPs[0] = nextPs
    if (nextPs !== Infinity) timeline.setTimer(this.ackTimer, nextPs)
  }

  /** False when there is no buffer for it, or the driver does not take it. */
  private readonly sendAck = (receiver: StreamReceiver, stream: number): boolean => {
    const phys = this.takeBuffer()
    if (phys === PAGE_NONE) return false
    const sizeBytes = receiver.writeAck(stream, this.options.memory.bytes, phys)
    if (this.send!(this.queues[stream]!, phys, sizeBytes)) return true
    this.transmitted(phys)
    return false
  }

  private readonly takeBuffer = (): PhysAddr => {
    if (this.freeCount === 0 && !this.takePage()) return PAGE_NONE
    return this.freeBuffers[--this.freeCount]!
  }

  private readonly takePage = (): boolean => {
    if (this.pagesTaken.length === TRANSMIT_PAGES_MAX) return false
    const page = this.options.pages.allocate(0)
    if (page === PAGE_NONE) return false
    this.pagesTaken.push(page)
    for (let index = this.buffersPerPage - 1; index >= 0; index--) {
      this.freeBuffers[this.freeCount++] = page + index * TRANSMIT_BUFFER_BYTES
    }
    return true
  }

  /** The driver has no more use for a transmit buffer. */
  readonly transmitted = (phys: PhysAddr): void => {
    this.freeBuffers[this.freeCount++] = phys
  }

  /** Transmit buffers that the driver still holds. */
  get buffersOut(): number {
    return this.pagesTaken.length * this.buffersPerPage - this.freeCount
  }

  /** Gives the pages back; every buffer must be back before. Answers that still wait were never sent. */
  readonly close = (): void => {
    this.answersDropped += this.receiver?.pendingAckCount() ?? 0
    this.options.timeline.clearTimer(this.ackTimer)
    this.ackTimerPs[0] = Infinity
    for (const page of this.pagesTaken) this.options.pages.free(page)
    this.pagesTaken.length = 0
    this.freeCount = 0
  }
}

/** The stack of one host. */
export const makeHostStack = (options: HostStackOptions): HostStack => new HostStack(options)
