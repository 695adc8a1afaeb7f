/**
 * The driver's work on a CPU: an interrupt, then polls of up to `budget` frames until the rings are empty.
 * While a queue is polled its interrupt stays masked (the device masks it as it fires); a poll that found
 * less than its budget unmasks it. [Linux Documentation/networking/napi.rst]
 *
 * The journey of a received frame through the steps below:
 *
 *     interrupt → choose a queue → clean transmit → next: done? → take → deliver → (answer) → release → …
 *     … → refill: fill, post → tell the tails → unmask → choose again, or sleep
 */
import { ACCOUNT_DRIVER, ACCOUNT_INTERRUPT, ACCOUNT_MMIO, assert } from "@vnic/sim/core"
import { EIMS, RDT } from "@vnic/nic-device/registers"
import type { DriverWorld } from "./ports.ts"
import type { RxRing } from "./rxRing.ts"
import type { ReceiveContext, ReceiveStrategy } from "./strategy.ts"
import type { Transmit } from "./transmit.ts"
import type { TxRing } from "./txRing.ts"

/** Frames that the stack may have waiting for a CPU outside of its polls (delayed ACKs). */
const BACKLOG_MAX = 64

export interface NapiOptions {
  readonly budget: number
  readonly rxRings: ReadonlyArray<RxRing>
  readonly txRings: ReadonlyArray<TxRing>
  readonly strategy: ReceiveStrategy
  readonly context: ReceiveContext
  readonly transmit: Transmit
}

export class Napi {
  /** Interrupts taken, polls made, frames taken, and frames dropped for want of buffers. */
  interrupts = 0
  polls = 0
  framesTaken = 0
  framesDropped = 0
  private readonly world: DriverWorld
  private readonly options: NapiOptions
  /** Bit q: queue q has raised an interrupt that is not yet booked; queue q is being polled. */
  private readonly raised: Int32Array
  private readonly active: Int32Array
  private readonly queues: Int32Array
  private readonly received: Int32Array
  private readonly backlogPhys: Int32Array
  private readonly backlogBytes: Int32Array
  private readonly backlogCount: Int32Array
  private readonly choose: number
  private readonly next: number
  private readonly taken: number
  private readonly answered: number
  private readonly released: number
  private readonly refill: number
  private readonly slotFilled: number
  private readonly backlogSent: number

  constructor(world: DriverWorld, options: NapiOptions) {
    const { cpus } = world
    this.world = world
    this.options = options
    assert(options.rxRings.length <= 31, "more queues than bits")
    this.raised = new Int32Array(cpus.count)
    this.active = new Int32Array(cpus.count)
    this.queues = new Int32Array(cpus.count)
    this.received = new Int32Array(cpus.count)
    this.backlogPhys = new Int32Array(cpus.count * BACKLOG_MAX)
    this.backlogBytes = new Int32Array(cpus.count * BACKLOG_MAX)
    this.backlogCount = new Int32Array(cpus.count)
    this.choose = cpus.define("poll: choose a queue", (cpu) => this.chooseQueue(cpu))
    this.next = cpus.define("poll: next", (cpu) => this.nextFrame(cpu))
    this.taken = cpus.define("poll: taken", (cpu) => this.deliver(cpu))
    this.answered = cpus.define("poll: answered", (cpu) => this.releaseFrame(cpu))
    this.released = cpus.define("poll: released", (cpu) => this.frameDone(cpu))
    this.refill = cpus.define("poll: refill", (cpu) => this.refillRing(cpu))
    this.slotFilled = cpus.define("poll: slot filled", (cpu) => this.slotIsFilled(cpu))
    this.backlogSent = cpus.define("backlog: sent", (cpu) => this.sendBacklog(cpu))
  }

  /** The CPU that serves a queue. */
  cpuOf(queue: number): number {
    return queue % this.world.cpus.count
  }

  /** The device's interrupt for a queue has reached its CPU. */
  interrupt(queue: number): void {
    const cpu = this.cpuOf(queue)
    this.interrupts++
    this.raised[cpu]! |= 1 << queue
    if (!this.world.cpus.isAwake(cpu)) this.world.cpus.wake(cpu, this.choose)
  }

  /** A frame to transmit from outside of a poll; false when the CPU has too many already. */
  send(queue: number, phys: number, sizeBytes: number): boolean {
    const cpu = this.cpuOf(queue)
    const count = this.backlogCount[cpu]!
    if (count === BACKLOG_MAX) return false
    this.backlogPhys[cpu * BACKLOG_MAX + count] = phys
    this.backlogBytes[cpu * BACKLOG_MAX + count] = sizeBytes
    this.backlogCount[cpu] = count + 1
    if (!this.world.cpus.isAwake(cpu)) this.world.cpus.wake(cpu, this.choose)
    return true
  }

  private chooseQueue(cpu: number): number {
    const { cpus, costs } = this.world
    if (this.raised[cpu] !== 0) this.takeInterrupts(cpu)
    if (this.backlogCount[cpu]! > 0) {
      this.setRings(cpu, cpu % this.options.rxRings.length)
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
    return cpus.call(cpu, this.options.transmit.clean, this.next)
  }

  private takeInterrupts(cpu: number): void {
    let raised = this.raised[cpu]!
    this.active[cpu]! |= raised
    this.raised[cpu] = 0
    while (raised !== 0) {
      raised &= raised - 1
      this.world.cpus.spend(cpu, ACCOUNT_INTERRUPT, this.world.costs.interruptEntryPs)
    }
  }

  private setRings(cpu: number, queue: number): void {
    this.queues[cpu] = queue
    this.options.context.rings[cpu] = this.options.rxRings[queue]!
    this.options.transmit.rings[cpu] = this.options.txRings[queue]!
  }

  private sendBacklog(cpu: number): number {
    const count = this.backlogCount[cpu]!
    const { transmit } = this.options
    if (count === 0) {
      transmit.tell(cpu)
      return this.choose
    }
    const index = cpu * BACKLOG_MAX + count - 1
    this.backlogCount[cpu] = count - 1
    transmit.give(cpu, this.backlogPhys[index]!, this.backlogBytes[index]!)
    return this.world.cpus.call(cpu, transmit.transmit, this.backlogSent)
  }

  private nextFrame(cpu: number): number {
    const { cpus, costs } = this.world
    const { context, strategy } = this.options
    if (this.received[cpu]! >= this.options.budget) return this.refill
    const ring = context.rings[cpu]!
    if (!ring.isDone()) {
      // What the device does until this CPU's own time is still to come.
      return cpus.isAhead(cpu) ? cpus.lookAgain(cpu, this.next) : this.refill
    }
    cpus.spend(cpu, ACCOUNT_DRIVER, costs.descriptorWorkPs)
    context.headBytes[cpu] = ring.doneHeadBytes()
    context.bodyBytes[cpu] = ring.doneBodyBytes()
    return cpus.call(cpu, strategy.take, this.taken)
  }

  private deliver(cpu: number): number {
    const { cpus, stack } = this.world
    const { context, transmit } = this.options
    if (context.isTaken[cpu] === 0) {
      this.framesDropped++
      return this.frameDone(cpu)
    }
    this.framesTaken++
    const answerBytes = stack.receive(
      cpu,
      this.queues[cpu]!,
      context.headPhys[cpu]!,
      context.headBytes[cpu]!,
      context.bodyPhys[cpu]!,
      context.bodyBytes[cpu]!
    )
    if (answerBytes === 0) return this.releaseFrame(cpu)
    transmit.give(cpu, stack.answerPhys[cpu]!, answerBytes)
    return cpus.call(cpu, transmit.transmit, this.answered)
  }

  private releaseFrame(cpu: number): number {
    return this.world.cpus.call(cpu, this.options.strategy.release, this.released)
  }

  private frameDone(cpu: number): number {
    this.options.context.rings[cpu]!.advance()
    this.received[cpu]! += 1
    return this.next
  }

  /** Posts slots from nextToUse on; one that is empty is filled first. */
  private refillRing(cpu: number): number {
    const ring = this.options.context.rings[cpu]!
    while (ring.posted < ring.count - 1) {
      if (ring.filled[ring.nextToUse] === 0) {
        return this.world.cpus.call(cpu, this.options.strategy.fill, this.slotFilled)
      }
      ring.post()
    }
    return this.endPoll(cpu, ring)
  }

  private slotIsFilled(cpu: number): number {
    const ring = this.options.context.rings[cpu]!
    // No buffers to be had: the ring stays short until a later poll.
    return ring.filled[ring.nextToUse] === 0 ? this.endPoll(cpu, ring) : this.refillRing(cpu)
  }

  private endPoll(cpu: number, ring: RxRing): number {
    const { cpus, costs, registers } = this.world
    if (ring.tail !== ring.nextToUse) {
      ring.tail = ring.nextToUse
      cpus.spend(cpu, ACCOUNT_MMIO, costs.mmioWritePs)
      registers.post(cpu, RDT(ring.queue), ring.tail)
    }
    this.options.transmit.tell(cpu)
    if (this.received[cpu]! < this.options.budget) {
      const bit = 1 << ring.queue
      this.active[cpu]! &= ~bit
      cpus.spend(cpu, ACCOUNT_MMIO, costs.mmioWritePs)
      registers.post(cpu, EIMS, bit)
    }
    return this.choose
  }

  /** Fills and posts a whole ring at once, with no other CPU at work; returns the tail to write. */
  fillAlone(cpu: number, queue: number): number {
    const { cpus } = this.world
    this.setRings(cpu, queue)
    const ring = this.options.rxRings[queue]!
    while (ring.posted < ring.count - 1) {
      if (ring.filled[ring.nextToUse] === 0) cpus.runAlone(cpu, this.options.strategy.fill)
      if (ring.filled[ring.nextToUse] === 0) break
      ring.post()
    }
    ring.tail = ring.nextToUse
    return ring.tail
  }
}
