/**
 * The driver's work on a CPU: an interrupt, then polls of up to `budget` frames until the rings are empty.
 * While a queue is polled its interrupt stays masked (the device masks it as it fires); a poll that found
 * less than its budget unmasks it. [Linux Documentation/networking/napi.rst]
 *
 * The journey of a received frame through the steps below:
 *
 *     interrupt → choose a queue → clean transmit → done? → take → deliver → (answer) → release → done? → …
 *     … → refill: fill, post → tell the tail → unmask → choose again, or sleep
 *
 * What needs no lock runs in one loop. Where something must be waited for, the poll leaves the loop with the
 * step that goes on, and that step comes back to it.
 */
import {
  ACCOUNT_DRIVER as accountDriver,
  ACCOUNT_INTERRUPT as accountInterrupt,
  ACCOUNT_MMIO as accountMmio,
  assert
} from "@vnic/sim/core"
import { EICS, EIMS as eims, RDT } from "@vnic/nic-device/registers"
import type { DriverWorld } from "./ports.ts"
import { FRAME_ERROR, FRAME_PIECE, FRAME_SOUND, type RxRing } from "./rxRing.ts"
import type { ReceiveContext, ReceiveStrategy } from "./strategy.ts"
import type { Transmit } from "./transmit.ts"
import type { TxRing } from "./txRing.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_DRIVER = accountDriver
const ACCOUNT_INTERRUPT = accountInterrupt
const ACCOUNT_MMIO = accountMmio
const EIMS = eims
const SOUND = FRAME_SOUND

/** Frames that the stack may have waiting for a CPU outside of its polls (delayed ACKs). */
export const BACKLOG_MAX = 64

export interface NapiOptions {
  readonly budget: number
  /** The CPU that serves each queue. */
  readonly queueCpus: ReadonlyArray<number>
  readonly rxRings: ReadonlyArray<RxRing>
  readonly txRings: ReadonlyArray<TxRing>
  readonly strategy: ReceiveStrategy
  readonly context: ReceiveContext
  readonly transmit: Transmit
}

export class Napi {
  /** Interrupts taken, polls made, and frames dropped for want of buffers. */
  interrupts = 0
  polls = 0
  framesDropped = 0
  /** Frames dropped for an error that the device found, and for having more than one descriptor. */
  framesWithError = 0
  framesSplit = 0
  /** Frames that each CPU has handed up. */
  declare readonly framesTaken: Float64Array
  declare private readonly world: DriverWorld
  declare private readonly options: NapiOptions
  /** Bit q: queue q has raised an interrupt that is not yet booked; queue q is being polled. */
  declare private readonly raised: Int32Array
  declare private readonly active: Int32Array
  declare private readonly queues: Int32Array
  declare private readonly received: Int32Array
  declare private readonly queueCpus: Int32Array
  /** The first queue that each CPU serves: its transmit ring is no other CPU's. */
  declare private readonly ownQueues: Int32Array
  /** 1 when what the CPU takes from the ring is not to go up. */
  declare private readonly isRejected: Uint8Array
  declare private readonly backlogPhys: Int32Array
  declare private readonly backlogBytes: Int32Array
  /** Oldest waiting frame of each CPU, and how many there are: what is sent first leaves first. */
  declare private readonly backlogHead: Int32Array
  declare private readonly backlogCount: Int32Array
  declare private readonly choose: number
  declare private readonly next: number
  declare private readonly taken: number
  declare private readonly answered: number
  declare private readonly released: number
  declare private readonly fillOne: number
  declare private readonly fillDone: number
  declare private readonly slotFilled: number
  declare private readonly backlogSent: number

  constructor(world: DriverWorld, options: NapiOptions) {
    const { cpus } = world
    this.world = world
    this.options = options
    assert(options.rxRings.length <= 31, "more queues than bits")
    this.queueCpus = Int32Array.from(options.queueCpus)
    assert(
      this.queueCpus.length === options.rxRings.length && this.queueCpus.every((cpu) => cpu >= 0 && cpu < cpus.count),
      "a queue has no CPU"
    )
    this.ownQueues = new Int32Array(cpus.count)
    for (let queue = this.queueCpus.length - 1; queue >= 0; queue--) this.ownQueues[this.queueCpus[queue]!] = queue
    this.framesTaken = new Float64Array(cpus.count)
    this.raised = new Int32Array(cpus.count)
    this.active = new Int32Array(cpus.count)
    this.queues = new Int32Array(cpus.count)
    this.received = new Int32Array(cpus.count)
    this.isRejected = new Uint8Array(cpus.count)
    this.backlogPhys = new Int32Array(cpus.count * BACKLOG_MAX)
    this.backlogBytes = new Int32Array(cpus.count * BACKLOG_MAX)
    this.backlogHead = new Int32Array(cpus.count)
    this.backlogCount = new Int32Array(cpus.count)
    this.choose = cpus.define("poll: choose a queue", (cpu) => this.chooseQueue(cpu))
    this.next = cpus.define("poll: next", (cpu) => this.pollRing(cpu))
    this.taken = cpus.define("poll: taken", (cpu) => this.deliver(cpu))
    this.answered = cpus.define("poll: answered", (cpu) => options.strategy.release(cpu, this.released))
    this.released = cpus.define("poll: released", (cpu) => this.frameDone(cpu))
    this.fillOne = cpus.define("fill one slot", (cpu) => options.strategy.fill(cpu, this.fillDone))
    this.fillDone = cpus.define("one slot filled", (cpu) => cpus.leave(cpu))
    this.slotFilled = cpus.define("poll: slot filled", (cpu) => this.slotIsFilled(cpu))
    this.backlogSent = cpus.define("backlog: sent", (cpu) => this.sendBacklog(cpu))
  }

  /** The CPU that serves a queue. */
  readonly cpuOf = (queue: number): number => {
    return this.queueCpus[queue]!
  }

  /** The device's interrupt for a queue has reached its CPU. */
  readonly interrupt = (queue: number): void => {
    const cpu = this.cpuOf(queue)
    this.interrupts++
    this.raised[cpu]! |= 1 << queue
    if (!this.world.cpus.isAwake(cpu)) this.world.cpus.wake(cpu, this.choose)
  }

  /** A frame to transmit from outside of a poll; false when the CPU has too many already. */
  readonly send = (queue: number, phys: number, sizeBytes: number): boolean => {
    const cpu = this.cpuOf(queue)
    const count = this.backlogCount[cpu]!
    if (count === BACKLOG_MAX) return false
    const index = cpu * BACKLOG_MAX + ((this.backlogHead[cpu]! + count) % BACKLOG_MAX)
    this.backlogPhys[index] = phys
    this.backlogBytes[index] = sizeBytes
    this.backlogCount[cpu] = count + 1
    if (!this.world.cpus.isAwake(cpu)) this.world.cpus.wake(cpu, this.choose)
    return true
  }

  private readonly chooseQueue = (cpu: number): number => {
    const { cpus, costs } = this.world
    if (this.raised[cpu] !== 0) this.takeInterrupts(cpu)
    if (this.backlogCount[cpu]! > 0) {
      // Not `setRings`: whose turn it is to be polled stays as it was.
      const { transmit, txRings } = this.options
      transmit.rings[cpu] = txRings[this.ownQueues[cpu]!]!
      return this.sendBacklog(cpu)
    }
    const active = this.active[cpu]!
    if (active === 0) return cpus.sleep(cpu)
    // Round robin: the lowest active queue above the last one, else the lowest.
    const above = active & ~((2 << this.queues[cpu]!) - 1)
    const candidates = above !== 0 ? above : active
    this.setRings(cpu, 31 - Math.clz32(candidates & -candidates))
    this.polls++
    cpus.spend(cpu, ACCOUNT_DRIVER, costs.pollEntryPs)
    this.received[cpu] = 0
    const step = this.options.transmit.clean(cpu, this.next)
    return step === this.next ? this.pollRing(cpu) : step
  }

  private readonly takeInterrupts = (cpu: number): void => {
    let raised = this.raised[cpu]!
    this.active[cpu]! |= raised
    this.raised[cpu] = 0
    while (raised !== 0) {
      raised &= raised - 1
      this.world.cpus.spend(cpu, ACCOUNT_INTERRUPT, this.world.costs.interruptEntryPs)
    }
  }

  private readonly setRings = (cpu: number, queue: number): void => {
    this.queues[cpu] = queue
    this.options.context.rings[cpu] = this.options.rxRings[queue]!
    this.options.transmit.rings[cpu] = this.options.txRings[queue]!
  }

  private readonly sendBacklog = (cpu: number): number => {
    const count = this.backlogCount[cpu]!
    const { transmit } = this.options
    if (count === 0) return this.choose
    const head = this.backlogHead[cpu]!
    const index = cpu * BACKLOG_MAX + head
    this.backlogHead[cpu] = (head + 1) % BACKLOG_MAX
    this.backlogCount[cpu] = count - 1
    return transmit.send(cpu, this.backlogPhys[index]!, this.backlogBytes[index]!, this.backlogSent)
  }

  /** A poll takes half a ring at most: it is filled up at the poll's end, and must not run dry before. */
  private readonly budgetOf = (ring: RxRing): number => {
    const half = ring.count >> 1
    return half < this.options.budget ? half : this.options.budget
  }

  /** Frame after frame for as long as nothing has to be waited for; else the step to wait in. */
  private readonly pollRing = (cpu: number): number => {
    const { cpus, costs } = this.world
    const { context, strategy } = this.options
    const ring = context.rings[cpu]!
    const budget = this.budgetOf(ring)
    while (this.received[cpu]! < budget) {
      if (!ring.isDone()) {
        // What the device does until this CPU's own time is still to come.
        return cpus.isAhead(cpu) ? cpus.lookAgain(cpu, this.next) : this.refillRing(cpu)
      }
      cpus.spend(cpu, ACCOUNT_DRIVER, costs.descriptorWorkPs)
      const verdict = ring.judge()
      if (verdict !== SOUND) this.reject(cpu, verdict)
      context.headBytes[cpu] = ring.doneHeadBytes()
      context.bodyBytes[cpu] = ring.doneBodyBytes()
      const taken = strategy.take(cpu, this.taken)
      if (taken !== this.taken) return taken
      const released = this.deliver(cpu)
      if (released !== this.released) return released
      this.finishFrame(cpu, ring)
    }
    return this.refillRing(cpu)
  }

  /** A frame that is not to go up is taken like any other, so that its buffers keep their place in the order. */
  private readonly reject = (cpu: number, verdict: number): void => {
    this.isRejected[cpu] = 1
    if (verdict === FRAME_ERROR) this.framesWithError++
    else if (verdict !== FRAME_PIECE) this.framesSplit++
  }

  private readonly letGo = (cpu: number): number => {
    const { context, strategy } = this.options
    this.isRejected[cpu] = 0
    return context.isTaken[cpu] === 0 ? this.released : strategy.release(cpu, this.released)
  }

  /** The frame goes up, an answer goes out, the buffers go back: `released`, or the step to wait in. */
  private readonly deliver = (cpu: number): number => {
    const { stack } = this.world
    const { context, strategy, transmit } = this.options
    if (this.isRejected[cpu] !== 0) return this.letGo(cpu)
    if (context.isTaken[cpu] === 0) {
      this.framesDropped++
      return this.released
    }
    this.framesTaken[cpu]! += 1
    const answerBytes = stack.receive(
      cpu,
      this.queues[cpu]!,
      context.headPhys[cpu]!,
      context.headBytes[cpu]!,
      context.bodyPhys[cpu]!,
      context.bodyBytes[cpu]!
    )
    if (answerBytes > 0) {
      const answered = transmit.send(cpu, stack.answerPhys[cpu]!, answerBytes, this.answered)
      if (answered !== this.answered) return answered
    }
    return strategy.release(cpu, this.released)
  }

  private readonly frameDone = (cpu: number): number => {
    this.finishFrame(cpu, this.options.context.rings[cpu]!)
    return this.pollRing(cpu)
  }

  private readonly finishFrame = (cpu: number, ring: RxRing): void => {
    ring.advance()
    this.received[cpu]! += 1
  }

  /** Posts slots from nextToUse on; one that is empty is filled first. */
  private readonly refillRing = (cpu: number): number => {
    const { context, strategy } = this.options
    const ring = context.rings[cpu]!
    while (ring.posted < ring.count - 1) {
      if (ring.filled[ring.nextToUse] === 0) {
        const filled = strategy.fill(cpu, this.slotFilled)
        if (filled !== this.slotFilled) return filled
        // No buffers to be had: the ring stays short until a later poll.
        if (ring.filled[ring.nextToUse] === 0) break
      }
      ring.post()
    }
    return this.endPoll(cpu, ring)
  }

  private readonly slotIsFilled = (cpu: number): number => {
    const ring = this.options.context.rings[cpu]!
    return ring.filled[ring.nextToUse] === 0 ? this.endPoll(cpu, ring) : this.refillRing(cpu)
  }

  private readonly endPoll = (cpu: number, ring: RxRing): number => {
    const { cpus, costs, registers } = this.world
    if (ring.tail !== ring.nextToUse) {
      ring.tail = ring.nextToUse
      cpus.spend(cpu, ACCOUNT_MMIO, costs.mmioWritePs)
      registers.post(cpu, RDT(ring.queue), ring.tail)
    }
    if (this.received[cpu]! < this.budgetOf(ring)) {
      const bit = 1 << ring.queue
      this.active[cpu]! &= ~bit
      cpus.spend(cpu, ACCOUNT_MMIO, costs.mmioWritePs)
      registers.post(cpu, EIMS, bit)
      // Without a descriptor no frame will ever raise an interrupt: ask for one, throttled, to try again.
      if (ring.posted === 0) registers.post(cpu, EICS, bit)
    }
    registers.ring(cpu)
    return this.choose
  }

  /** Fills and posts a whole ring at once, with no other CPU at work; returns the tail to write. */
  readonly fillAlone = (cpu: number, queue: number): number => {
    const { cpus } = this.world
    this.setRings(cpu, queue)
    const ring = this.options.rxRings[queue]!
    while (ring.posted < ring.count - 1) {
      if (ring.filled[ring.nextToUse] === 0) cpus.runAlone(cpu, this.fillOne)
      if (ring.filled[ring.nextToUse] === 0) break
      ring.post()
    }
    ring.tail = ring.nextToUse
    return ring.tail
  }
}
