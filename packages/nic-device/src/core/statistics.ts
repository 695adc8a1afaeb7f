/**
 * The statistics registers and the device's own counts. Registers clear on read; the totals behind them
 * do not, so that a report and a driver can both count.
 */
import { QUEUE_COUNT, REGISTERS } from "../registers.ts"
import type { RegisterFile } from "./registerFile.ts"

const TWO_TO_32 = 4294967296

const slots = new Map<string, number>()
let slotCount = 0
for (const { name, section, count } of REGISTERS) {
  // A pair of low and high half is one counter.
  if (section !== "statistics" || isHighHalf(name)) continue
  slots.set(name, slotCount)
  slotCount += count
}

function isHighHalf(name: string): boolean {
  return name.endsWith("H") && REGISTERS.some((other) => other.name === `${name.slice(0, -1)}L`)
}

function isLowHalf(name: string): boolean {
  return name.endsWith("L") && REGISTERS.some((other) => other.name === `${name.slice(0, -1)}H`)
}

/** Where the total behind a statistics register is kept; those of arrays follow each other. */
export function statisticOf(name: string): number {
  const slot = slots.get(name)
  if (slot === undefined) throw new Error(`no statistics register is called ${name}`)
  return slot
}

/** Why a received frame did not reach memory. Every frame that arrives ends in one of these, or delivered. */
export const DROP_CAUSES = [
  "linkDown",
  "receiverDisabled",
  "undersize",
  "oversize",
  "filtered",
  "packetBufferFull",
  "queueDisabled",
  "noDescriptor",
  "fault",
  "reset"
] as const
export type DropCause = (typeof DROP_CAUSES)[number]

/** Index of a drop cause in `drops`. */
export const dropIndex = (cause: DropCause): number => DROP_CAUSES.indexOf(cause)

export class Statistics {
  /** Behind the statistics registers, since the device was made. */
  readonly totals = new Float64Array(slotCount)
  /** Received frames that were dropped, by cause. */
  readonly drops = new Float64Array(DROP_CAUSES.length)
  /** Part of each total that was read and cleared. */
  private readonly cleared = new Float64Array(slotCount)
  /** Bring totals up to date that are kept elsewhere, or follow from others. */
  private readonly settlers: Array<() => void> = []

  constructor(file: RegisterFile) {
    for (const [name, slot] of slots) {
      if (!isLowHalf(name)) {
        file.whenRead(name, (index) => this.takeAll(slot + index))
        continue
      }
      file.whenRead(name, (index) => this.takeLow(slot + index))
      file.whenRead(`${name.slice(0, -1)}H`, (index) => this.takeHigh(slot + index))
    }
  }

  /** `settle` runs before totals are looked at. */
  beforeRead(settle: () => void): void {
    this.settlers.push(settle)
  }

  /** Brings all totals up to date. */
  settle(): void {
    for (const settle of this.settlers) settle()
  }

  private takeAll(slot: number): number {
    return this.takeAllWide(slot) | 0
  }

  private takeLow(slot: number): number {
    this.settle()
    const low = (this.totals[slot]! - this.cleared[slot]!) % TWO_TO_32
    this.cleared[slot]! += low
    return low | 0
  }

  private takeHigh(slot: number): number {
    return Math.floor(this.takeAllWide(slot) / TWO_TO_32) | 0
  }

  private takeAllWide(slot: number): number {
    this.settle()
    const value = this.totals[slot]! - this.cleared[slot]!
    this.cleared[slot] = this.totals[slot]!
    return value
  }

  /** The registers read 0 after a device reset; the totals behind them go on. */
  reset(): void {
    this.settle()
    this.cleared.set(this.totals)
  }
}

/** Counts of a queue's frames and bytes, moved into the statistics set that the queue belongs to. */
export class QueueCounts {
  /** Since the device was made. */
  readonly frames = new Float64Array(QUEUE_COUNT)
  readonly bytes = new Float64Array(QUEUE_COUNT)
  /** Statistics set of each queue. */
  private readonly sets = new Int32Array(QUEUE_COUNT)
  private readonly framesMoved = new Float64Array(QUEUE_COUNT)
  private readonly bytesMoved = new Float64Array(QUEUE_COUNT)
  declare private readonly totals: Float64Array
  declare private readonly framesSlot: number
  declare private readonly bytesSlot: number

  constructor(statistics: Statistics, framesName: string, bytesName: string) {
    this.totals = statistics.totals
    this.framesSlot = statisticOf(framesName)
    this.bytesSlot = statisticOf(bytesName)
    statistics.beforeRead(() => this.settle())
  }

  /** Statistics set of a queue. */
  setOf(queue: number): number {
    return this.sets[queue]!
  }

  /** From now on `queue` counts into `set`. */
  assign(queue: number, set: number): void {
    this.settle()
    this.sets[queue] = set
  }

  private settle(): void {
    for (let queue = 0; queue < QUEUE_COUNT; queue++) {
      const set = this.sets[queue]!
      this.totals[this.framesSlot + set]! += this.frames[queue]! - this.framesMoved[queue]!
      this.totals[this.bytesSlot + set]! += this.bytes[queue]! - this.bytesMoved[queue]!
      this.framesMoved[queue] = this.frames[queue]!
      this.bytesMoved[queue] = this.bytes[queue]!
    }
  }

  /** Frames of all queues. */
  get framesSum(): number {
    return this.frames.reduce((sum, count) => sum + count, 0)
  }

  /** Bytes of all queues. */
  get bytesSum(): number {
    return this.bytes.reduce((sum, count) => sum + count, 0)
  }
}

/** Largest frame of each size bin but the last, with FCS. */
const BIN_LIMITS = [64, 127, 255, 511, 1023]
/** sizeBin[length with FCS]: which of the six size counters a frame is counted in. */
export const sizeBin = Uint8Array.from({ length: 2048 }, (_, length) => {
  const bin = BIN_LIMITS.findIndex((limit) => length <= limit)
  return bin < 0 ? BIN_LIMITS.length : bin
})
/** The bin of everything longer than the table. */
export const SIZE_BIN_LAST = BIN_LIMITS.length
