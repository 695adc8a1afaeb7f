/**
 * A network stack that keeps what it is given: every frame with its bytes, and when told so an answer to it.
 * What it gives the driver to transmit it lends: the driver must give it back, once.
 */
import { ACCOUNT_STACK, fail, type Cpus, type Memory, type PageAllocator, type PhysAddr } from "@vnic/sim/core"
import type { HostStack } from "../core/ports.ts"

/** A frame that went up. */
export interface ReceivedFrame {
  readonly cpu: number
  readonly queue: number
  readonly bytes: Uint8Array
  readonly headPhys: PhysAddr
  readonly bodyPhys: PhysAddr
}

export interface RecordingStackOptions {
  readonly cpus: Cpus
  readonly memory: Memory
  readonly pages: PageAllocator
  /** CPU time of a frame; 0 when left out. */
  readonly framePs?: number
}

const SLOT_BYTES = 2048
const SLOTS = 128

export class RecordingStack implements HostStack {
  readonly answerPhys: Int32Array
  readonly received: Array<ReceivedFrame> = []
  /** What to send in answer to a frame; nothing when it returns undefined. */
  answer: (frame: ReceivedFrame) => Uint8Array | undefined = () => undefined
  /** Called while the driver waits for the stack, with the frame's pieces still the stack's. */
  onReceive: (frame: ReceivedFrame) => void = () => {}
  /** Frames given back. */
  givenBack = 0
  /** Frames that the driver has now. */
  readonly lent = new Set<PhysAddr>()
  /** Pages that the stack holds for itself. */
  readonly ownPages: number
  private readonly options: RecordingStackOptions
  private readonly free: Array<PhysAddr>

  constructor(options: RecordingStackOptions) {
    const { cpus, pages } = options
    this.options = options
    this.answerPhys = new Int32Array(cpus.count)
    const order = pages.orderFor(SLOTS * SLOT_BYTES)
    const block = pages.allocate(order)
    if (block < 0) fail("no memory for the frames of the stack")
    this.ownPages = 2 ** order
    this.free = Array.from({ length: SLOTS }, (_, slot) => block + slot * SLOT_BYTES).toReversed()
  }

  /** A frame of these bytes in host memory, lent to whoever transmits it. */
  lend(bytes: Uint8Array): PhysAddr {
    const phys = this.free.pop() ?? fail("all frames of the stack are lent")
    this.options.memory.bytes.set(bytes, phys)
    this.lent.add(phys)
    return phys
  }

  receive(
    cpu: number,
    queue: number,
    headPhys: PhysAddr,
    headBytes: number,
    bodyPhys: PhysAddr,
    bodyBytes: number
  ): number {
    const { cpus, framePs = 0, memory } = this.options
    const bytes = new Uint8Array(headBytes + bodyBytes)
    bytes.set(memory.bytes.subarray(headPhys, headPhys + headBytes))
    bytes.set(memory.bytes.subarray(bodyPhys, bodyPhys + bodyBytes), headBytes)
    const frame = { cpu, queue, bytes, headPhys, bodyPhys }
    this.received.push(frame)
    cpus.spend(cpu, ACCOUNT_STACK, framePs)
    this.onReceive(frame)
    const answer = this.answer(frame)
    if (answer === undefined) return 0
    this.answerPhys[cpu] = this.lend(answer)
    return answer.length
  }

  transmitted(phys: PhysAddr): void {
    if (!this.lent.delete(phys)) fail("the driver gave back a frame that it does not have")
    this.free.push(phys)
    this.givenBack++
  }
}

/** A stack that has seen nothing yet. */
export const makeRecordingStack = (options: RecordingStackOptions): RecordingStack => new RecordingStack(options)
