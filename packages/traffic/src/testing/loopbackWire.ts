/** A wire whose other end sends every frame back the way it came. */
import type { Frame, FramePool, Memory } from "@vnic/sim/core"
import type { Wire } from "../core/ports.ts"
import { FakeQueues } from "./fakeQueues.ts"

export interface LoopbackWireOptions {
  readonly memory: Memory
  readonly frames: FramePool
  readonly queueCount: number
}

export class LoopbackWire implements Wire {
  framesArrived = 0
  private readonly options: LoopbackWireOptions
  private readonly queues: FakeQueues
  private transmit: (frame: Frame) => void = () => undefined

  constructor(options: LoopbackWireOptions) {
    this.options = options
    this.queues = new FakeQueues(options.queueCount)
  }

  /** Where frames go back to. */
  connect(phy: { transmit(frame: Frame): void }): void {
    this.transmit = (frame) => phy.transmit(frame)
  }

  deliver(frame: Frame): void {
    this.framesArrived++
    this.transmit(frame)
  }

  receiveQueueOf(sourceIp: number, destinationIp: number, sourcePort: number, destinationPort: number): number {
    return this.queues.receiveQueueOf(sourceIp, destinationIp, sourcePort, destinationPort)
  }

  queueOfFrame(frame: Frame): number {
    return this.queues.queueOfFrame(this.options.memory, this.options.frames, frame)
  }
}

/** A wire that sends everything back. */
export const makeLoopbackWire = (options: LoopbackWireOptions): LoopbackWire => new LoopbackWire(options)
