/**
 * A host without a device: every frame reaches the sink at the instant at which it arrives, straight from
 * the frame, and is acknowledged at once. What the traffic reaches with it is what the wire allows. It can
 * be told to drop or to damage frames.
 */
import { ACK_NOW, makeStreamReceiver, STREAM_NONE, type StreamReceiver } from "@vnic/net-stack/core"
import { type Frame, type FramePool, type Memory, NEVER_PS, type Source, type Timeline } from "@vnic/sim/core"
import type { Wire } from "../core/ports.ts"
import type { Traffic } from "../core/traffic.ts"
import { FakeQueues } from "./fakeQueues.ts"

export interface IdealHostOptions {
  readonly timeline: Timeline
  readonly memory: Memory
  readonly frames: FramePool
  readonly queueCount: number
  /** Called for every frame with its number from 0; true drops it. */
  readonly isDropped?: (frameNumber: number) => boolean
  /** Called likewise; true flips a bit of the frame's last byte. */
  readonly isDamaged?: (frameNumber: number) => boolean
  readonly timestamps?: boolean
  readonly windowBytes?: number
  readonly delayedAckPs?: number
}

const WINDOW_BYTES_DEFAULT = 1 << 24

export class IdealHost implements Wire {
  framesArrived = 0
  framesDropped = 0
  framesDamaged = 0
  receiver: StreamReceiver | undefined
  private readonly queues: FakeQueues
  private readonly options: IdealHostOptions
  private readonly ackTimer: Source
  private traffic: Traffic | undefined

  constructor(options: IdealHostOptions) {
    this.options = options
    this.queues = new FakeQueues(options.queueCount)
    this.ackTimer = options.timeline.addTimer("delayed acknowledgement", () => this.sendDueAcks())
  }

  /** Takes the traffic that was made with this host as its wire. */
  connect(traffic: Traffic): void {
    this.traffic = traffic
    const { delayedAckPs, timeline, timestamps, windowBytes } = this.options
    const endpoints = traffic.streamEndpoints
    if (endpoints === undefined) return
    this.receiver = makeStreamReceiver({
      endpoints,
      windowBytes: windowBytes ?? WINDOW_BYTES_DEFAULT,
      timestamps: timestamps ?? false,
      clock: timeline.clock,
      ...(delayedAckPs === undefined ? {} : { delayedAckPs })
    })
  }

  receiveQueueOf(sourceIp: number, destinationIp: number, sourcePort: number, destinationPort: number): number {
    return this.queues.receiveQueueOf(sourceIp, destinationIp, sourcePort, destinationPort)
  }

  queueOfFrame(frame: Frame): number {
    return this.queues.queueOfFrame(this.options.memory, this.options.frames, frame)
  }

  deliver(frame: Frame): void {
    const { frames, isDamaged, isDropped } = this.options
    const number = this.framesArrived++
    if (isDropped?.(number) === true) this.framesDropped++
    else {
      if (isDamaged?.(number) === true) this.damage(frame)
      this.take(frame)
    }
    frames.free(frame)
  }

  private damage(frame: Frame): void {
    const { frames, memory } = this.options
    const head = frames.headOffset(frame)
    const headBytes = frames.headBytes[frame]!
    const bodyBytes = frames.bodyBytes[frame]!
    memory.bytes.copyWithin(head + headBytes, frames.bodyOffset[frame]!, frames.bodyOffset[frame]! + bodyBytes)
    frames.headBytes[frame] = headBytes + bodyBytes
    frames.bodyBytes[frame] = 0
    memory.bytes[head + headBytes + bodyBytes - 1]! ^= 1
    this.framesDamaged++
  }

  private take(frame: Frame): void {
    const { frames, timeline } = this.options
    const { frameSink, streamSink } = this.traffic!
    const head = frames.headOffset(frame)
    const headBytes = frames.headBytes[frame]!
    const bodyBytes = frames.bodyBytes[frame]!
    if (frameSink !== undefined) {
      const queue = this.queueOfFrame(frame)
      frames.stored?.(frame, queue)
      frameSink.nowPs[0] = timeline.clock[0]!
      frameSink.deliverFrame(queue, head, headBytes, frames.bodyOffset[frame]!, bodyBytes)
      return
    }
    if (streamSink !== undefined) streamSink.nowPs[0] = timeline.clock[0]!
    this.takeSegment(frame)
  }

  private takeSegment(frame: Frame): void {
    const { frames, memory, timeline } = this.options
    const receiver = this.receiver!
    const sink = this.traffic!.streamSink!
    const head = frames.headOffset(frame)
    const headBytes = frames.headBytes[frame]!
    const bits = receiver.onSegment(memory.bytes, head, frames.lengthBytes(frame))
    const stream = receiver.stream
    if (stream === STREAM_NONE) {
      sink.deliverForeign()
      return
    }
    const payloadAt = receiver.payloadFrameOffset
    const inHead = Math.min(headBytes - payloadAt, receiver.payloadSizeBytes)
    sink.deliverStream(
      stream,
      receiver.payloadSequenceOffset,
      receiver.payloadSizeBytes,
      receiver.newBytes,
      head + payloadAt,
      inHead,
      frames.bodyOffset[frame]!,
      receiver.payloadSizeBytes - inHead
    )
    if ((bits & ACK_NOW) !== 0) this.sendAck(stream)
    else if (receiver.nextDeadlinePs() < timeline.nextOf(this.ackTimer)) {
      timeline.setTimer(this.ackTimer, receiver.nextDeadlinePs())
    }
  }

  private sendAck(stream: number): void {
    const { frames, memory } = this.options
    const frame = frames.allocate()
    frames.headBytes[frame] = this.receiver!.buildAck(stream, memory.bytes, frames.headOffset(frame))
    this.traffic!.link.transmit(frame)
  }

  private sendDueAcks(): void {
    const receiver = this.receiver!
    for (let stream = receiver.dueAck(); stream !== STREAM_NONE; stream = receiver.dueAck()) this.sendAck(stream)
    const nextPs = receiver.nextDeadlinePs()
    if (nextPs !== NEVER_PS) this.options.timeline.setTimer(this.ackTimer, nextPs)
  }
}

/** A host that takes everything; `connect` it to the traffic that was made with it. */
export const makeIdealHost = (options: IdealHostOptions): IdealHost => new IdealHost(options)
