/**
 * Causes, masks, auto-clear, auto-mask, and the throttle of each vector.
 *
 * A queue's cause goes through IVAR to a vector; vector n below 16 is bit n of EICR, those above are seen in
 * the EX registers only. A vector fires when its cause was set (or unmasked while set) and its throttle
 * interval is over; each new event of a cause that is still set fires again.
 *
 * MODEL: with GPIE.MSIX_MODE clear every cause fires vector 0. EIAM masks when a vector fires with
 * GPIE.EIAME, and on a read of EICR without MSI-X; not when EICR is written. It unmasks what EICS sets.
 * What EICR.OTHER sums up, and that EIAM unmasks, is said of the chip's siblings [82598EB and X550
 * datasheets, EICR and EIAM].
 */
import type { Source, Timeline } from "@vnic/sim/core"
import {
  EIAC,
  EICR_OTHER_BIT,
  EICR_RTXQ_MASK,
  EICR_TCP_TIMER_BIT,
  EITR,
  EITR_CNT_WDIS_BIT,
  EITR_INTERVAL_MASK,
  EITR_INTERVAL_SHIFT,
  EITR_STEP_PS,
  GPIE,
  GPIE_EIAME_BIT,
  GPIE_MSIX_MODE_BIT,
  GPIE_OCD_BIT,
  IVAR_ALLOC_MASK,
  IVAR_ALLOC_VAL_BIT,
  QUEUE_COUNT
} from "../registers.ts"
import type { Interrupts } from "./ports.ts"
import type { RegisterFile } from "./registerFile.ts"

/** MSI-X vectors of the device. */
export const VECTOR_COUNT = 64
/** Vectors whose cause is a bit of EICR. */
const EICR_VECTORS = 16
/** EICR's causes above the queues' bits. */
const OTHER_CAUSES = ~(EICR_RTXQ_MASK | EICR_OTHER_BIT)
/** Those of them that EICR.OTHER sums up. */
const SUMMED_CAUSES = OTHER_CAUSES & ~EICR_TCP_TIMER_BIT
/** No vector. */
const NONE = -1
/** state[vector]: the cause is set; and something has happened that is still to be signalled. */
const PENDING = 1
const SIGNAL = 2

export class InterruptBlock {
  /** Vector of each queue's cause, or -1. */
  readonly rxVector = new Int32Array(QUEUE_COUNT).fill(NONE)
  readonly txVector = new Int32Array(QUEUE_COUNT).fill(NONE)
  /** Messages sent since the device was made. */
  raised = 0
  private readonly state = new Uint8Array(VECTOR_COUNT)
  private readonly enabled = new Uint8Array(VECTOR_COUNT)
  private readonly autoClear = new Uint8Array(VECTOR_COUNT)
  private readonly autoMask = new Uint8Array(VECTOR_COUNT)
  /** Least time between two messages of each vector. */
  readonly intervalPs = new Float64Array(VECTOR_COUNT)
  private readonly nextFirePs = new Float64Array(VECTOR_COUNT)
  private readonly isWaiting = new Uint8Array(VECTOR_COUNT)
  /** EICR and EIMS above the queues' bits. */
  private otherPending = 0
  private otherSignal = 0
  private otherMask = 0
  private otherAutoMask = 0
  private otherVector = NONE
  private isMsix = false
  private hasAutoMask = false
  declare private readonly clock: Float64Array
  declare private readonly timeline: Timeline
  declare private readonly throttle: Source
  declare private readonly file: RegisterFile
  declare private readonly port: Interrupts

  constructor(timeline: Timeline, file: RegisterFile, port: Interrupts) {
    this.timeline = timeline
    this.clock = timeline.clock
    this.file = file
    this.port = port
    this.throttle = timeline.addLane("nic interrupt throttle", this.throttleOver, VECTOR_COUNT)
    this.connectCauses(file)
    this.connectModes(file)
    this.reset()
  }

  private connectCauses(file: RegisterFile): void {
    file.whenRead("EICR", () => this.readCauses())
    file.whenWritten("EICR", (_, value) => this.clearCauses(value))
    file.whenRead("EICS", () => this.causes())
    file.whenWritten("EICS", (_, value) => this.setCauses(0, value & EICR_RTXQ_MASK, value & OTHER_CAUSES))
    file.whenRead("EIMS", () => this.lowWord(this.enabled) | this.otherMask)
    file.whenWritten("EIMS", (_, value) => this.unmask(0, value & EICR_RTXQ_MASK, value & OTHER_CAUSES))
    file.whenRead("EIMC", () => 0)
    file.whenWritten("EIMC", (_, value) => this.mask(0, value & EICR_RTXQ_MASK, value & OTHER_CAUSES))
    file.whenRead("EICS_EX", () => 0)
    file.whenWritten("EICS_EX", (index, value) => {
      this.setCauses(index, value, 0)
    })
    file.whenRead("EIMS_EX", (index) => this.word(this.enabled, index))
    file.whenWritten("EIMS_EX", (index, value) => this.unmask(index, value, 0))
    file.whenRead("EIMC_EX", () => 0)
    file.whenWritten("EIMC_EX", (index, value) => this.mask(index, value, 0))
  }

  private connectModes(file: RegisterFile): void {
    file.whenWritten("EIAC", (_, value) => this.setBits(this.autoClear, 0, value & EICR_RTXQ_MASK, EICR_VECTORS))
    file.whenRead("EIAM", () => this.lowWord(this.autoMask) | this.otherAutoMask)
    file.whenWritten("EIAM", (_, value) => {
      this.setBits(this.autoMask, 0, value, EICR_VECTORS)
      this.otherAutoMask = value & OTHER_CAUSES
    })
    file.whenRead("EIAM_EX", (index) => this.word(this.autoMask, index))
    file.whenWritten("EIAM_EX", (index, value) => this.setBits(this.autoMask, 32 * index, value, 32))
    file.whenWritten("GPIE", (_, value) => {
      this.isMsix = (value & GPIE_MSIX_MODE_BIT) !== 0
      this.hasAutoMask = (value & GPIE_EIAME_BIT) !== 0
    })
    file.whenWritten("EITR", (vector, value) => this.setInterval(vector, value))
    file.whenWritten("IVAR", (index, value) => this.setQueueVectors(index, value))
    file.whenWritten("IVAR_MISC", (_, value) => {
      this.otherVector = vectorOf(value >> 8)
    })
  }

  /** Everything masked, cleared and unthrottled. */
  reset(): void {
    this.rxVector.fill(NONE)
    this.txVector.fill(NONE)
    this.state.fill(0)
    this.enabled.fill(0)
    // Above EICR's bits nothing else could clear a cause.
    this.autoClear.fill(0, 0, EICR_VECTORS).fill(1, EICR_VECTORS)
    this.autoMask.fill(0)
    this.intervalPs.fill(0)
    this.nextFirePs.fill(0)
    this.otherPending = 0
    this.otherSignal = 0
    this.otherMask = 0
    this.otherAutoMask = 0
    this.otherVector = NONE
    this.isMsix = false
    this.hasAutoMask = false
  }

  /** The cause of a vector happens; -1 is no vector. */
  readonly cause = (vector: number): void => {
    if (vector < 0) return
    this.state[vector] = PENDING | SIGNAL
    if (this.enabled[vector] === 1) this.consider(this.isMsix ? vector : 0)
  }

  /** One of EICR's causes above the queues' bits happens. */
  otherCause(bit: number): void {
    this.otherPending |= bit
    this.otherSignal |= bit
    if ((this.otherMask & bit) !== 0) this.considerOther()
  }

  private considerOther(): void {
    const vector = this.isMsix ? this.otherVector : 0
    if (vector >= 0) this.consider(vector)
  }

  /** Fires a vector that has something to signal, now or when its interval is over. */
  private readonly consider = (vector: number): void => {
    if (!this.hasSignal(vector)) return
    if (this.clock[0]! >= this.nextFirePs[vector]!) {
      this.fire(vector)
      return
    }
    if (this.isWaiting[vector] === 1) return
    this.isWaiting[vector] = 1
    this.timeline.push(this.throttle, this.nextFirePs[vector]!, vector)
  }

  private readonly hasSignal = (vector: number): boolean => {
    if (this.isMsix) {
      if (this.state[vector] === (PENDING | SIGNAL) && this.enabled[vector] === 1) return true
      return vector === this.otherVector && (this.otherSignal & this.otherMask) !== 0
    }
    if ((this.otherSignal & this.otherMask) !== 0) return true
    for (let other = 0; other < EICR_VECTORS; other++) {
      if (this.state[other] === (PENDING | SIGNAL) && this.enabled[other] === 1) return true
    }
    return false
  }

  private readonly throttleOver = (vector: number): void => {
    this.isWaiting[vector] = 0
    this.consider(vector)
  }

  private readonly fire = (vector: number): void => {
    this.nextFirePs[vector] = this.clock[0]! + this.intervalPs[vector]!
    if (this.isMsix) {
      this.settle(vector)
    } else {
      for (let other = 0; other < EICR_VECTORS; other++) this.state[other]! &= ~SIGNAL
      this.otherSignal &= ~this.otherMask
    }
    this.raised++
    this.port.raise(vector)
  }

  /** What firing does to a vector's cause and mask under MSI-X. */
  private readonly settle = (vector: number): void => {
    if (this.enabled[vector] === 1) {
      this.state[vector] = this.autoClear[vector] === 1 ? 0 : this.state[vector]! & ~SIGNAL
      if (this.hasAutoMask && this.autoMask[vector] === 1) this.enabled[vector] = 0
    }
    if (vector !== this.otherVector) return
    const signalled = this.otherSignal & this.otherMask
    this.otherSignal &= ~signalled
    this.otherPending &= ~(signalled & this.file.peek(EIAC))
    if (this.hasAutoMask) this.otherMask &= ~(signalled & this.otherAutoMask)
  }

  private causes(): number {
    const summary = (this.otherPending & this.otherMask & SUMMED_CAUSES) !== 0 ? EICR_OTHER_BIT : 0
    return this.word(this.pendingBits(), 0) | this.otherPending | summary
  }

  private pendingBits(): Uint8Array {
    return this.state.map((state, vector) => (vector < EICR_VECTORS ? state & PENDING : 0))
  }

  private readCauses(): number {
    const value = this.causes()
    if ((this.file.peek(GPIE) & GPIE_OCD_BIT) === 0) this.clearCauses(-1)
    if (!this.isMsix && value !== 0) this.mask(0, this.lowWord(this.autoMask), this.otherAutoMask)
    return value
  }

  private clearCauses(value: number): void {
    for (let vector = 0; vector < EICR_VECTORS; vector++) if (((value >> vector) & 1) === 1) this.state[vector] = 0
    this.otherPending &= ~(value & OTHER_CAUSES)
    this.otherSignal &= ~(value & OTHER_CAUSES)
  }

  /** Software sets causes; those of EIAM that are masked are unmasked by it. */
  private setCauses(word: number, vectors: number, others: number): void {
    const maskedVectors = vectors & this.word(this.autoMask, word) & ~this.word(this.enabled, word)
    const maskedOthers = others & this.otherAutoMask & ~this.otherMask
    for (let rest = vectors; rest !== 0; rest &= rest - 1) this.cause(32 * word + lowestBit(rest))
    for (let rest = others; rest !== 0; rest &= rest - 1) this.otherCause(rest & -rest)
    this.unmask(word, maskedVectors, maskedOthers)
  }

  private unmask(word: number, vectors: number, others: number): void {
    this.otherMask |= others
    for (let rest = vectors; rest !== 0; rest &= rest - 1) {
      const vector = 32 * word + lowestBit(rest)
      if (this.enabled[vector] === 1) continue
      this.enabled[vector] = 1
      if ((this.state[vector]! & PENDING) === 0) continue
      this.state[vector] = PENDING | SIGNAL
      this.consider(this.isMsix ? vector : 0)
    }
    if ((this.otherPending & others) === 0) return
    this.otherSignal |= this.otherPending & others
    this.considerOther()
  }

  private mask(word: number, vectors: number, others: number): void {
    for (let rest = vectors; rest !== 0; rest &= rest - 1) this.enabled[32 * word + lowestBit(rest)] = 0
    this.otherMask &= ~others
  }

  private setInterval(vector: number, value: number): void {
    if (vector >= VECTOR_COUNT) return
    this.intervalPs[vector] = ((value & EITR_INTERVAL_MASK) >> EITR_INTERVAL_SHIFT) * EITR_STEP_PS
    this.file.poke(EITR(vector), value & ~EITR_CNT_WDIS_BIT)
    if ((value & EITR_CNT_WDIS_BIT) !== 0) return
    this.nextFirePs[vector] = this.clock[0]!
    this.consider(vector)
  }

  private setQueueVectors(index: number, value: number): void {
    for (let half = 0; half < 2; half++) {
      const queue = 2 * index + half
      if (queue >= QUEUE_COUNT) return
      this.rxVector[queue] = vectorOf(value >> (16 * half))
      this.txVector[queue] = vectorOf(value >> (16 * half + 8))
    }
  }

  private setBits(flags: Uint8Array, first: number, value: number, count: number): void {
    for (let index = 0; index < count; index++) flags[first + index] = (value >> index) & 1
  }

  private lowWord(flags: Uint8Array): number {
    return this.word(flags, 0) & EICR_RTXQ_MASK
  }

  private word(flags: Uint8Array, index: number): number {
    let value = 0
    for (let bit = 0; bit < 32; bit++) value |= flags[32 * index + bit]! << bit
    return value
  }
}

/** The vector in one byte of IVAR, or -1. */
const vectorOf = (entry: number): number => ((entry & IVAR_ALLOC_VAL_BIT) !== 0 ? entry & IVAR_ALLOC_MASK : NONE)

const lowestBit = (value: number): number => 31 - Math.clz32(value & -value)
