/**
 * Telling the driver which transmit descriptors are done. With TXDCTL.WTHRESH 0 each descriptor that asks for
 * it (RS) is written back at once; else WTHRESH of them together, whether they ask or not. With head
 * write-back one word in memory takes the head in place of the descriptors.
 *
 * MODEL: descriptors that do not fill a WTHRESH batch are written back when the vector's throttle interval
 * has passed since the first of them was done, or at once without one.
 */
import type { Source, Timeline } from "@vnic/sim/core"
import * as Registers from "../registers.ts"
import type { Bus } from "./bus.ts"
import type { DeviceContext } from "./context.ts"
import type { DescriptorRings } from "./descriptorRings.ts"
import type { InterruptBlock } from "./interrupts.ts"
import type { BusMaster } from "./ports.ts"
import { PostedWrites } from "./postedWrites.ts"
import type { RegisterFile } from "./registerFile.ts"
import * as Layout from "./layout.ts"

// Imported names cost a load and a check at each use; the hot path has its own.
const { TWO_TO_32, TAG_TX_BIT, TAG_QUEUE_SHIFT, RECORD_QUEUE, RECORD_INDEX, RECORD_COUNT, RECORD_VOID } = Layout
const {
  DESCRIPTOR_BYTES,
  DESCRIPTOR_WORDS,
  EICR_PCI_BIT,
  QUEUE_COUNT,
  TDWBAH,
  TDWBAL,
  TDWBAL_HEAD_WB_EN_BIT,
  TX_DESCRIPTORS_ON_CHIP,
  TXD_WB_DD_BIT
} = Registers

const HEAD_BYTES = 4
/** In place of a number of descriptors: a write of the head. */
const HEAD_ONLY = 0
/** A batch never grows beyond this: WTHRESH has seven bits. */
const BATCH_MAX = 128 + TX_DESCRIPTORS_ON_CHIP

export class TxWriteBack {
  /** TXDCTL.WTHRESH of each queue. */
  readonly threshold = new Int32Array(QUEUE_COUNT)
  /** Write-backs on their way. */
  declare readonly posted: PostedWrites
  /** Descriptors that are done and not yet written back: first, and how many. */
  private readonly pendingFirst = new Int32Array(QUEUE_COUNT)
  private readonly pendingCount = new Int32Array(QUEUE_COUNT)
  private readonly isTimed = new Uint8Array(QUEUE_COUNT)
  private readonly doneWords = new Int32Array(BATCH_MAX * DESCRIPTOR_WORDS)
  declare private readonly timeline: Timeline
  declare private readonly bus: Bus
  declare private readonly busMaster: BusMaster
  declare private readonly interrupts: InterruptBlock
  declare private readonly file: RegisterFile
  declare private readonly rings: DescriptorRings
  declare private readonly flushLane: Source
  declare private readonly onWritten: () => void

  constructor(context: DeviceContext, rings: DescriptorRings, onWritten: () => void) {
    this.timeline = context.timeline
    this.bus = context.bus
    this.busMaster = context.busMaster
    this.interrupts = context.interrupts
    this.file = context.file
    this.rings = rings
    this.onWritten = onWritten
    this.flushLane = context.timeline.addLane("nic write-back flush", (queue) => this.timeOut(queue), QUEUE_COUNT)
    for (let index = 0; index < BATCH_MAX; index++) this.doneWords[index * DESCRIPTOR_WORDS + 3] = TXD_WB_DD_BIT
    this.posted = new PostedWrites(context.timeline, "nic transmit write-back", context.postedOrder, this.written)
  }

  /** `count` descriptors from `first` on are done; bit n of the RS words says that the n-th asks for a report. */
  readonly done = (queue: number, first: number, count: number, rsLow: number, rsHigh: number): void => {
    const length = this.rings.length[queue]!
    if (length === 0) return
    this.rings.advanceHead(queue, (first + count - 1) % length)
    if (this.threshold[queue] === 0) {
      if ((rsLow | rsHigh) === 0) return
      if (this.isHeadWritten(queue)) this.sendHead(queue)
      else this.sendAsked(queue, first, rsLow, rsHigh)
      return
    }
    if (this.pendingCount[queue] === 0) this.pendingFirst[queue] = first
    this.pendingCount[queue]! += count
    if (this.pendingCount[queue]! >= this.threshold[queue]!) this.flush(queue)
    else this.setTime(queue)
  }

  private setTime(queue: number): void {
    const vector = this.interrupts.txVector[queue]!
    const intervalPs = vector < 0 ? 0 : this.interrupts.intervalPs[vector]!
    if (intervalPs === 0) {
      this.flush(queue)
      return
    }
    if (this.isTimed[queue] === 1) return
    this.isTimed[queue] = 1
    this.timeline.push(this.flushLane, this.timeline.clock[0]! + intervalPs, queue)
  }

  private timeOut(queue: number): void {
    this.isTimed[queue] = 0
    this.flush(queue)
  }

  /** Writes back what is pending. */
  flush(queue: number): void {
    const count = this.pendingCount[queue]!
    if (count === 0) return
    this.pendingCount[queue] = 0
    if (this.isHeadWritten(queue)) this.sendHead(queue)
    else this.sendRange(queue, this.pendingFirst[queue]!, count)
  }

  private readonly sendAsked = (queue: number, first: number, rsLow: number, rsHigh: number): void => {
    for (let rest = rsLow; rest !== 0; rest &= rest - 1) {
      this.sendRange(queue, first + 31 - Math.clz32(rest & -rest), 1)
    }
    for (let rest = rsHigh; rest !== 0; rest &= rest - 1) {
      this.sendRange(queue, first + 63 - Math.clz32(rest & -rest), 1)
    }
  }

  /** Writes `count` descriptors from `first` on, in two parts when the ring ends between them. */
  private readonly sendRange = (queue: number, first: number, count: number): void => {
    const length = this.rings.length[queue]!
    const start = first % length
    const upToEnd = length - start
    if (count > upToEnd) {
      this.send(queue, start, upToEnd)
      this.send(queue, 0, Math.min(count - upToEnd, length))
    } else this.send(queue, start, count)
  }

  private isHeadWritten(queue: number): boolean {
    return (this.file.peek(TDWBAL(queue)) & TDWBAL_HEAD_WB_EN_BIT) !== 0
  }

  private sendHead(queue: number): void {
    this.send(queue, this.rings.head[queue]!, HEAD_ONLY)
  }

  private readonly send = (queue: number, first: number, count: number): void => {
    const { posted } = this
    const sizeBytes = count === HEAD_ONLY ? HEAD_BYTES : count * DESCRIPTOR_BYTES
    this.bus.takeUp(this.bus.writeBytes(sizeBytes, 0))
    this.bus.written(posted.seenPs, 0)
    const at = posted.nextAt
    posted.records[at + RECORD_QUEUE] = queue
    posted.records[at + RECORD_INDEX] = first
    posted.records[at + RECORD_COUNT] = count
    posted.send()
  }

  private readonly written = (at: number): void => {
    const { posted, rings } = this
    posted.count--
    const queue = posted.records[at + RECORD_QUEUE]!
    if (queue !== RECORD_VOID) {
      const first = posted.records[at + RECORD_INDEX]!
      const count = posted.records[at + RECORD_COUNT]!
      const tag = TAG_TX_BIT | (queue << TAG_QUEUE_SHIFT) | first
      const isMoved =
        count === HEAD_ONLY
          ? this.busMaster.writeWords(this.headAddress(queue), posted.records, at + RECORD_INDEX, 1, tag)
          : this.busMaster.writeWords(rings.addressOf(queue, first), this.doneWords, 0, count * DESCRIPTOR_WORDS, tag)
      this.finish(queue, isMoved)
    }
    this.onWritten()
  }

  private headAddress(queue: number): number {
    const low = this.file.peek(TDWBAL(queue)) & ~3
    return (this.file.peek(TDWBAH(queue)) >>> 0) * TWO_TO_32 + (low >>> 0)
  }

  private readonly finish = (queue: number, isMoved: boolean): void => {
    if (isMoved) this.interrupts.cause(this.interrupts.txVector[queue]!)
    else {
      this.rings.isStopped[queue] = 1
      this.interrupts.otherCause(EICR_PCI_BIT)
    }
  }

  /** Nothing pending or under way for this queue any more. */
  forget(queue: number): void {
    this.pendingCount[queue] = 0
    this.posted.cancel(queue, () => {})
  }
}
