/**
 * From the packet buffer to memory. When a frame arrives its queue is chosen, a descriptor that is already on
 * chip is taken, and its turn on the bus is settled; one event later, when its write-back is seen in memory,
 * the descriptor is written and the queue's cause raised. A frame whose descriptors are still on their way
 * waits in the packet buffer, and those behind it with it.
 *
 * MODEL: the bytes move, and are translated, when the frame's turn on the bus is settled, which is at its
 * arrival unless it waits for a descriptor; nobody may look at them before the write-back. A frame begins
 * only when there are descriptors for the whole of it. A data or descriptor write that faults stops its
 * queue and sets EICR.PCI. The translation of a write-back overlaps that of its data and adds no time of
 * its own.
 */
import type { Frame, FramePool, Source, Timeline } from "@vnic/sim/core"
import * as Registers from "../registers.ts"
import { BufferShapes } from "./bufferShapes.ts"
import type { Bus } from "./bus.ts"
import type { DeviceContext } from "./context.ts"
import { DescriptorRings } from "./descriptorRings.ts"
import type { InterruptBlock } from "./interrupts.ts"
import { PacketBuffer } from "./packetBuffer.ts"
import type { BusMaster } from "./ports.ts"
import { PostedWrites } from "./postedWrites.ts"
import { Rss } from "./rss.ts"
import { dropIndex, QueueCounts, type Statistics, statisticOf } from "./statistics.ts"
import * as Layout from "./layout.ts"

// Imported names cost a load and a check at each use; the hot path has its own.
const {
  FCS_BYTES,
  TWO_TO_32,
  TAG_QUEUE_SHIFT,
  RSS_QUEUE,
  RSS_TYPES,
  RSS_WORD,
  RSS_STATUS,
  RECORD_QUEUE,
  RECORD_INDEX,
  RECORD_LENGTH,
  RECORD_VOID,
  POSTED_LIMIT
} = Layout
const {
  DESCRIPTOR_BYTES,
  DESCRIPTOR_WORDS,
  EICR_PCI_BIT,
  EICR_RX_MISS_BIT,
  QUEUE_COUNT,
  RXD_HEADER_HIGH_WORD,
  RXD_HEADER_LOW_WORD,
  RXD_LEGACY_DD_BIT,
  RXD_LEGACY_EOP_BIT,
  RXD_PACKET_HIGH_WORD,
  RXD_PACKET_LOW_WORD,
  RXD_WB_DD_BIT,
  RXD_WB_EOP_BIT,
  RXD_WB_HEADER_LENGTH_SHIFT,
  RXD_WB_SPH_BIT,
  SRRCTL
} = Registers

/** Receive descriptors of a queue that the device holds on chip. */
const RX_DESCRIPTORS_ON_CHIP = 32

const RXMPC = statisticOf("RXMPC")
const QPRDC = statisticOf("QPRDC")
const RXDGPC = statisticOf("RXDGPC")
const RXDGBC = statisticOf("RXDGBCL")
const DROP_BUFFER_FULL = dropIndex("packetBufferFull")
const DROP_QUEUE_DISABLED = dropIndex("queueDisabled")
const DROP_NO_DESCRIPTOR = dropIndex("noDescriptor")
const DROP_FAULT = dropIndex("fault")
const DROP_RESET = dropIndex("reset")

export class RxEngine {
  declare readonly rings: DescriptorRings
  declare readonly rss: Rss
  readonly buffer = new PacketBuffer()
  /** Frames whose last descriptor was written back. */
  declare readonly counts: QueueCounts
  /** Write-backs on their way. */
  declare readonly posted: PostedWrites
  private readonly shapes = new BufferShapes()
  /** latencyPs[0]: longest translation of the descriptor that is being filled. */
  private readonly latencyPs = new Float64Array(16)
  /** Bytes on the bus of the descriptor that is being filled. */
  private busBytes = 0
  declare private readonly writeBackBusBytes: number
  /** When the descriptors that the oldest frame waits for are on chip. */
  declare private readonly descriptorTimer: Source
  declare private readonly timeline: Timeline
  declare private readonly frames: FramePool
  declare private readonly bus: Bus
  declare private readonly busMaster: BusMaster
  declare private readonly interrupts: InterruptBlock
  declare private readonly statistics: Statistics
  declare private readonly totals: Float64Array

  constructor(context: DeviceContext) {
    const { file, timeline } = context
    this.timeline = timeline
    this.frames = context.frames
    this.bus = context.bus
    this.busMaster = context.busMaster
    this.interrupts = context.interrupts
    this.statistics = context.statistics
    this.totals = context.statistics.totals
    this.rss = new Rss(file, context.memory, context.frames)
    this.rings = new DescriptorRings(context.timeline, context.bus, context.busMaster, RX_DESCRIPTORS_ON_CHIP, 0, () =>
      this.interrupts.otherCause(EICR_PCI_BIT)
    )
    this.posted = new PostedWrites(context.timeline, "nic receive write-back", context.postedOrder, this.written)
    this.descriptorTimer = timeline.addTimer("nic receive descriptors", () => this.drain())
    this.counts = new QueueCounts(context.statistics, "QPRC", "QBRCL")
    context.statistics.beforeRead(() => {
      this.totals[RXDGPC] = this.counts.framesSum
      this.totals[RXDGBC] = this.counts.bytesSum
    })
    this.writeBackBusBytes = context.bus.writeBytes(DESCRIPTOR_BYTES, 0)
    file.whenWritten("SRRCTL", (queue) => this.setBuffers(queue, file.peek(SRRCTL(queue))))
    for (let queue = 0; queue < QUEUE_COUNT; queue++) this.setBuffers(queue, file.peek(SRRCTL(queue)))
  }

  private setBuffers(queue: number, srrctl: number): void {
    if (queue >= QUEUE_COUNT) return
    this.shapes.set(queue, srrctl)
    this.drain()
  }

  /** A frame that the MAC has taken. */
  readonly accept = (frame: Frame): void => {
    const length = this.frames.headBytes[frame]! + this.frames.bodyBytes[frame]!
    if (!this.buffer.reserve(length)) {
      this.miss(frame)
      return
    }
    if (this.buffer.waitingCount > 0 || !this.place(frame, length)) this.buffer.wait(frame)
  }

  private miss(frame: Frame): void {
    this.totals[RXMPC]! += 1
    this.statistics.drops[DROP_BUFFER_FULL]! += 1
    this.interrupts.otherCause(EICR_RX_MISS_BIT)
    this.frames.free(frame)
  }

  /** Lets the frames that wait go on, oldest first, as far as there are descriptors. */
  drain(): void {
    const { buffer, frames } = this
    while (buffer.waitingCount > 0) {
      const frame = buffer.oldest
      if (!this.place(frame, frames.headBytes[frame]! + frames.bodyBytes[frame]!)) return
      buffer.shift()
    }
  }

  /** Sends a frame to its queue; false when it must wait in the packet buffer. */
  private readonly place = (frame: Frame, length: number): boolean => {
    this.rss.classify(frame)
    const queue = this.rss.result[RSS_QUEUE]!
    const { rings } = this
    const rest = length - this.shapes.headerBytes[queue]!
    const packetBytes = this.shapes.packetBytes[queue]!
    const needed = rest <= packetBytes ? 1 : ((rest + packetBytes - 1) / packetBytes) | 0
    // A queue that is off or stopped has nothing on chip, or not for long.
    if (rings.cacheCount[queue]! < needed || rings.isStopped[queue] === 1) {
      if (rings.isEnabled[queue] === 0) return this.drop(frame, length, DROP_QUEUE_DISABLED)
      rings.fetchAll(queue)
      if (rings.cacheCount[queue]! < needed || rings.isStopped[queue] === 1) {
        return this.lackDescriptors(frame, length, queue)
      }
    }
    if (this.posted.count >= POSTED_LIMIT) return false
    const readyPs = rings.readyPs[rings.after(queue, needed - 1)]!
    if (readyPs > this.timeline.clock[0]!) {
      this.timeline.setTimer(this.descriptorTimer, readyPs)
      return false
    }
    if (needed === 1) this.storeWhole(frame, length, queue)
    else this.storeSpilling(frame, length, queue, needed)
    return true
  }

  private lackDescriptors(frame: Frame, length: number, queue: number): boolean {
    if (this.rings.isStopped[queue] === 1) return this.drop(frame, length, DROP_FAULT)
    if (this.shapes.isDropping[queue] === 0) return false
    this.totals[QPRDC + this.counts.setOf(queue)]! += 1
    return this.drop(frame, length, DROP_NO_DESCRIPTOR)
  }

  private drop(frame: Frame, length: number, cause: number): boolean {
    this.statistics.drops[cause]! += 1
    this.buffer.release(length)
    this.frames.free(frame)
    return true
  }

  /** Writes a frame into one descriptor's buffers. */
  private readonly storeWhole = (frame: Frame, length: number, queue: number): void => {
    const { rings } = this
    const slot = rings.oldest(queue)
    const tag = (queue << TAG_QUEUE_SHIFT) | rings.nextToUse[queue]!
    let header = this.shapes.headerBytes[queue]!
    if (header > length) header = length
    this.latencyPs[0] = 0
    if (
      (header > 0 && !this.writePart(frame, 0, header, slot, RXD_HEADER_LOW_WORD, tag)) ||
      (header < length && !this.writePart(frame, header, length - header, slot, RXD_PACKET_LOW_WORD, tag))
    ) {
      this.faultOn(frame, length, queue)
      return
    }
    this.sendWriteBack(queue, slot, header, length - header, length)
    this.frames.stored?.(frame, queue)
    this.frames.free(frame)
    rings.consume(queue)
  }

  /** Writes a frame into the buffers of several descriptors; only the last one's write-back says EOP. */
  private storeSpilling(frame: Frame, length: number, queue: number, count: number): void {
    const { rings } = this
    let from = 0
    let header = this.shapes.headerBytes[queue]!
    for (let left = count; left > 0; left--) {
      const slot = rings.oldest(queue)
      const tag = (queue << TAG_QUEUE_SHIFT) | rings.nextToUse[queue]!
      const packet = Math.min(length - from - header, this.shapes.packetBytes[queue]!)
      this.latencyPs[0] = 0
      if (
        (header > 0 && !this.writePart(frame, from, header, slot, RXD_HEADER_LOW_WORD, tag)) ||
        !this.writePart(frame, from + header, packet, slot, RXD_PACKET_LOW_WORD, tag)
      ) {
        this.faultOn(frame, length, queue)
        return
      }
      from += header + packet
      this.sendWriteBack(queue, slot, header, packet, left === 1 ? length : 0)
      rings.consume(queue)
      header = 0
    }
    this.frames.stored?.(frame, queue)
    this.frames.free(frame)
  }

  /** Moves one buffer's bytes over the bus; the buffer's address is at `word` of the descriptor. */
  private readonly writePart = (
    frame: Frame,
    from: number,
    sizeBytes: number,
    slot: number,
    word: number,
    tag: number
  ): boolean => {
    const { words } = this.rings
    const at = slot * DESCRIPTOR_WORDS + word
    const low = words[at]!
    const high = words[at + 1]!
    this.busBytes += this.bus.writeBytes(sizeBytes, low)
    const isMoved =
      high === 0 && low >= 0
        ? this.busMaster.writeFrame(low, frame, from, sizeBytes, tag)
        : this.busMaster.writeFrame((high >>> 0) * TWO_TO_32 + (low >>> 0), frame, from, sizeBytes, tag)
    const latencyPs = this.busMaster.latencyPs[0]!
    if (latencyPs > this.latencyPs[0]!) this.latencyPs[0] = latencyPs
    return isMoved
  }

  /** Puts a descriptor's data and write-back on the bus. `length` is the frame's at its last descriptor. */
  private readonly sendWriteBack = (
    queue: number,
    slot: number,
    header: number,
    packet: number,
    length: number
  ): void => {
    const { posted, bus } = this
    const at = posted.nextAt
    const { records } = posted
    if (this.shapes.isLegacy[queue] === 1) this.fillLegacy(at, slot, packet, length)
    else this.fillAdvanced(at, header, packet, length)
    records[at + RECORD_QUEUE] = queue
    records[at + RECORD_INDEX] = this.rings.nextToUse[queue]!
    records[at + RECORD_LENGTH] = length
    bus.takeUp(this.busBytes + this.writeBackBusBytes)
    this.busBytes = 0
    bus.written(posted.seenPs, 0)
    posted.seenPs[0]! += this.latencyPs[0]!
    posted.send()
  }

  private readonly fillAdvanced = (at: number, header: number, packet: number, length: number): void => {
    const { records } = this.posted
    const { result } = this.rss
    const types = header > 0 ? (header << RXD_WB_HEADER_LENGTH_SHIFT) | RXD_WB_SPH_BIT : 0
    records[at + 3] = packet
    if (length > 0) {
      records[at] = types | result[RSS_TYPES]!
      records[at + 1] = result[RSS_WORD]!
      records[at + 2] = RXD_WB_DD_BIT | RXD_WB_EOP_BIT | result[RSS_STATUS]!
    } else {
      records[at] = types
      records[at + 1] = 0
      records[at + 2] = RXD_WB_DD_BIT
    }
  }

  private fillLegacy(at: number, slot: number, packet: number, length: number): void {
    const { records } = this.posted
    const { words } = this.rings
    records[at] = words[slot * DESCRIPTOR_WORDS + RXD_PACKET_LOW_WORD]!
    records[at + 1] = words[slot * DESCRIPTOR_WORDS + RXD_PACKET_HIGH_WORD]!
    records[at + RXD_HEADER_LOW_WORD] = packet
    records[at + RXD_HEADER_HIGH_WORD] = length > 0 ? RXD_LEGACY_DD_BIT | RXD_LEGACY_EOP_BIT : RXD_LEGACY_DD_BIT
  }

  private faultOn(frame: Frame, length: number, queue: number): void {
    this.busBytes = 0
    this.rings.stop(queue)
    this.drop(frame, length, DROP_FAULT)
  }

  /** A write-back has reached memory. */
  private readonly written = (at: number): void => {
    const { posted, rings } = this
    const { records } = posted
    posted.count--
    const queue = records[at + RECORD_QUEUE]!
    if (queue === RECORD_VOID) return
    const index = records[at + RECORD_INDEX]!
    const length = records[at + RECORD_LENGTH]!
    this.buffer.release(length)
    const tag = (queue << TAG_QUEUE_SHIFT) | index
    if (this.busMaster.writeWords(rings.addressOf(queue, index), records, at, DESCRIPTOR_WORDS, tag)) {
      rings.advanceHead(queue, index)
      if (length > 0) {
        this.counts.frames[queue]! += 1
        this.counts.bytes[queue]! += length + FCS_BYTES
        this.interrupts.cause(this.interrupts.rxVector[queue]!)
      }
    } else {
      rings.stop(queue)
      if (length > 0) this.statistics.drops[DROP_FAULT]! += 1
    }
    if (this.buffer.waitingCount > 0) this.drain()
  }

  /** The tail moved, or the queue was switched on. */
  readonly kick = (queue: number): void => {
    this.rings.fetch(queue)
    if (this.buffer.waitingCount > 0) this.drain()
  }

  /** On or off; what a queue has under way when it is switched on again is lost. */
  enable(queue: number, isOn: boolean): void {
    if (isOn) this.cancel(queue, DROP_QUEUE_DISABLED)
    this.rings.enable(queue, isOn)
    this.kick(queue)
  }

  private cancel(queue: number, cause: number): void {
    const { records } = this.posted
    this.posted.cancel(queue, (at) => {
      const length = records[at + RECORD_LENGTH]!
      this.buffer.release(length)
      if (length > 0) this.statistics.drops[cause]! += 1
    })
  }

  /** Device reset: what is in the packet buffer or on its way to memory is lost. */
  reset(): void {
    for (let queue = 0; queue < QUEUE_COUNT; queue++) this.cancel(queue, DROP_RESET)
    const { buffer, frames } = this
    while (buffer.waitingCount > 0) {
      const frame = buffer.oldest
      buffer.shift()
      this.drop(frame, frames.lengthBytes(frame), DROP_RESET)
    }
    this.rings.reset()
    this.rss.reset()
  }

  /** Takes SRRCTL's reset values over. */
  loadBuffers(peek: (queue: number) => number): void {
    for (let queue = 0; queue < QUEUE_COUNT; queue++) this.setBuffers(queue, peek(queue))
  }
}
