/**
 * From memory to the link. The tail moves and descriptors are fetched; when they have come, queue after queue
 * each packet's data is read; one event later, when its last byte is on chip, the frame goes to the link and its
 * descriptors are reported done.
 *
 * MODEL: the bytes are read, and translated, when the read is put on the bus. Context descriptors and offload
 * requests are taken and have no effect. At most 32 read requests are under way (the chip's number is not
 * public). A packet that is malformed or longer than a slot is dropped and its descriptors reported done; a
 * packet of more than 40 descriptors, and a fault, stop the queue.
 */
import { FRAME_SLOT_BYTES, type FramePool, type Memory, type Source, type Timeline } from "@vnic/sim/core"
import * as Registers from "../registers.ts"
import type { Bus } from "./bus.ts"
import type { DeviceContext } from "./context.ts"
import { DescriptorRings } from "./descriptorRings.ts"
import type { InterruptBlock } from "./interrupts.ts"
import { padFrame } from "./mac.ts"
import type { BusMaster, Phy } from "./ports.ts"
import type { RegisterFile } from "./registerFile.ts"
import { QueueCounts } from "./statistics.ts"
import * as Statistic from "./statistics.ts"
import { TxWriteBack } from "./txWriteBack.ts"
import * as Layout from "./layout.ts"

// Imported names cost a load and a check at each use; the hot path has its own.
const { FCS_BYTES, FRAME_MIN_BYTES, ETHERNET_HEADER_BYTES, TWO_TO_32, TAG_TX_BIT, TAG_QUEUE_SHIFT, POSTED_LIMIT } =
  Layout
const {
  DESCRIPTOR_WORDS,
  DMATXCTL,
  DMATXCTL_TE_BIT,
  DTXMXSZRQ,
  EICR_PCI_BIT,
  HLREG0,
  HLREG0_TXPADEN_BIT,
  QUEUE_COUNT,
  TX_DESCRIPTORS_ON_CHIP,
  TXD_DEXT_BIT,
  TXD_DTYP_CONTEXT,
  TXD_DTYP_MASK,
  TXD_EOP_BIT,
  TXD_LENGTH_MASK,
  TXD_RS_BIT,
  TXPBSIZE,
  TXPBSIZE_SIZE_SHIFT
} = Registers
const { SIZE_BIN_LAST, sizeBin, statisticOf } = Statistic

const REQUEST_STEP_BYTES = 256
/** Read requests under way. */
const READ_REQUESTS_MAX = 32
/** Room that must be free again before reading goes on after the buffer was full. */
const RESUME_BYTES = 8192
/** Packets whose data is being read: shortest frames in the largest read-ahead, and one more. */
const READS_MAX = 512
const NO_FRAME = -1
/** Words of a read's record. */
const READ_WORDS = 8
const READ_FRAME = 0
const READ_QUEUE = 1
const READ_FIRST = 2
const READ_COUNT = 3
const READ_LENGTH = 4
const READ_RS_LOW = 5
const READ_RS_HIGH = 6
/** Indices into `times`. */
const ARRIVAL = 0
const LAST_ARRIVAL = 1
const LATENCY = 2

const GPTC = statisticOf("GPTC")
const GOTC = statisticOf("GOTCL")
const TPT = statisticOf("TPT")
const PTC64 = statisticOf("PTC64")
const MPTC = statisticOf("MPTC")
const BPTC = statisticOf("BPTC")
const TXDGPC = statisticOf("TXDGPC")
const TXDGBC = statisticOf("TXDGBCL")

export class TxEngine {
  declare readonly rings: DescriptorRings
  declare readonly writeBack: TxWriteBack
  /** Frames handed to the link. */
  declare readonly counts: QueueCounts
  /** Padded frames, and packets dropped, since the device was made. */
  padded = 0
  malformed = 0
  faulted = 0
  isLinkUp = false
  /** Packets of each queue whose data is being read. */
  readonly inFlight = new Int32Array(QUEUE_COUNT)
  /** Bit per queue: it has descriptors on chip that may hold a whole packet. */
  private ready = 0
  /** Bit per queue: its next packet's descriptors are on their way, and an event is due when they come. */
  private awaited = 0
  private lastQueue = 0
  private readonly reads = new Int32Array(READS_MAX * READ_WORDS)
  private nextRead = 0
  private readCount = 0
  private readBytes = 0
  private readDescriptors = 0
  private readonly times = new Float64Array(16)
  declare private readonly bytePs: Float64Array
  declare private readonly timeline: Timeline
  declare private readonly memory: Memory
  declare private readonly frames: FramePool
  declare private readonly file: RegisterFile
  declare private readonly bus: Bus
  declare private readonly busMaster: BusMaster
  declare private readonly phy: Phy
  declare private readonly interrupts: InterruptBlock
  declare private readonly totals: Float64Array
  declare private readonly lane: Source
  declare private readonly descriptorLane: Source
  declare private readonly roomTimer: Source

  constructor(context: DeviceContext, rateBitsPerSecond: number) {
    this.timeline = context.timeline
    this.memory = context.memory
    this.frames = context.frames
    this.file = context.file
    this.bus = context.bus
    this.busMaster = context.busMaster
    this.phy = context.phy
    this.interrupts = context.interrupts
    this.totals = context.statistics.totals
    this.bytePs = Float64Array.of(8e12 / rateBitsPerSecond)
    this.rings = new DescriptorRings(
      context.timeline,
      context.bus,
      context.busMaster,
      TX_DESCRIPTORS_ON_CHIP,
      TAG_TX_BIT,
      () => this.interrupts.otherCause(EICR_PCI_BIT)
    )
    this.writeBack = new TxWriteBack(context, this.rings, () => this.resume())
    this.lane = context.timeline.addLane("nic transmit data", this.arrived, READS_MAX)
    this.descriptorLane = context.timeline.addLane("nic transmit descriptors", this.descriptorsArrived, QUEUE_COUNT)
    this.roomTimer = context.timeline.addTimer("nic transmit room", () => this.pump())
    this.counts = new QueueCounts(context.statistics, "QPTC", "QBTCL")
    context.statistics.beforeRead(() => this.settle())
    for (const name of ["DMATXCTL", "DTXMXSZRQ", "TXPBSIZE"]) this.file.whenWritten(name, () => this.pump())
  }

  private settle(): void {
    const { counts, totals } = this
    totals[GPTC] = totals[TPT] = totals[TXDGPC] = counts.framesSum
    totals[GOTC] = totals[TXDGBC] = counts.bytesSum
  }

  /** The tail moved, or the queue was switched on. */
  readonly kick = (queue: number): void => {
    this.refill(queue)
    this.pump()
  }

  private readonly refill = (queue: number): void => {
    this.rings.fetch(queue)
    this.look(queue)
  }

  /** Tells whether there is something on chip to look at, unless it is known to be still on its way. */
  private readonly look = (queue: number): void => {
    const { rings } = this
    if (rings.cacheCount[queue]! > 0 && rings.isStopped[queue] === 0) this.ready |= (1 << queue) & ~this.awaited
  }

  /** The descriptors that a queue waited for are on chip. */
  private readonly descriptorsArrived = (queue: number): void => {
    this.awaited &= ~(1 << queue)
    this.look(queue)
    if (this.ready !== 0) this.pump()
  }

  /** Reads packets, queue after queue, as far as the buffer and the bus take them. */
  readonly pump = (): void => {
    if (!this.isLinkUp || (this.file.peek(DMATXCTL) & DMATXCTL_TE_BIT) === 0) return
    while (this.ready !== 0 && this.mayRead()) {
      const queue = this.nextQueue()
      if (!this.readPacket(queue)) this.ready &= ~(1 << queue)
    }
  }

  /** A write-back has reached memory: what only waited for room among the posted writes goes on. */
  private resume(): void {
    if (this.ready !== 0 && this.readCount === 0) this.pump()
  }

  /** The ready queue that follows the one served last. */
  private readonly nextQueue = (): number => {
    const behind = this.ready & (-2 << this.lastQueue)
    const choice = behind !== 0 ? behind : this.ready
    const queue = 31 - Math.clz32(choice & -choice)
    this.lastQueue = queue
    return queue
  }

  private readonly mayRead = (): boolean => {
    if (this.readDescriptors + this.writeBack.posted.count >= POSTED_LIMIT) return false
    if (this.readCount === 0) return this.hasRoom()
    const requested = this.file.peek(DTXMXSZRQ) * REQUEST_STEP_BYTES
    const most = READ_REQUESTS_MAX * this.bus.readRequestMaxBytes
    return this.readBytes < (requested < most ? requested : most) && this.hasRoom()
  }

  /** True when the transmit buffer takes one more slot; else comes back when it will. */
  private readonly hasRoom = (): boolean => {
    const capacityBytes = (this.file.peek(TXPBSIZE(0)) >> TXPBSIZE_SIZE_SHIFT) * 1024
    let room = capacityBytes - this.readBytes - FRAME_SLOT_BYTES
    if (room < 0) {
      if (this.readCount > 0) return false
      // MODEL: a buffer smaller than a frame takes one frame at a time.
      room = 0
    }
    const bytePs = this.bytePs[0]!
    const nowPs = this.timeline.clock[0]!
    const departPs = this.phy.departPs[0]!
    if (departPs - nowPs <= room * bytePs) return true
    const resume = room > RESUME_BYTES ? room - RESUME_BYTES : 0
    this.timeline.setTimer(this.roomTimer, Math.max(nowPs, Math.ceil(departPs - resume * bytePs)))
    return false
  }

  /** Reads the next packet of a queue; false when the chip does not hold all of it. */
  private readonly readPacket = (queue: number): boolean => {
    const { rings } = this
    const held = rings.cacheCount[queue]!
    let count = 0
    let length = 0
    let rsLow = 0
    let rsHigh = 0
    let isWhole = false
    while (count < held && !isWhole) {
      const command = rings.words[rings.after(queue, count) * DESCRIPTOR_WORDS + 2]!
      const isContext = isContextDescriptor(command)
      if (!isContext) length += command & TXD_LENGTH_MASK
      if ((command & TXD_RS_BIT) !== 0) {
        if (count < 32) rsLow |= 1 << count
        else rsHigh |= 1 << (count - 32)
      }
      count++
      isWhole = !isContext && (command & TXD_EOP_BIT) !== 0
    }
    if (!isWhole) {
      if (held >= TX_DESCRIPTORS_ON_CHIP) {
        this.malformed++
        rings.stop(queue)
        return false
      }
      rings.fetchAll(queue)
      return rings.cacheCount[queue]! > held
    }
    const readyPs = rings.readyPs[rings.after(queue, count - 1)]!
    if (readyPs > this.timeline.clock[0]!) {
      this.awaited |= 1 << queue
      this.timeline.push(this.descriptorLane, readyPs, queue)
      return false
    }
    const at = this.nextRead * READ_WORDS
    this.reads[at + READ_QUEUE] = queue
    this.reads[at + READ_FIRST] = rings.nextToUse[queue]!
    this.reads[at + READ_COUNT] = count
    this.reads[at + READ_RS_LOW] = rsLow
    this.reads[at + READ_RS_HIGH] = rsHigh
    return this.readData(queue, at, count, length)
  }

  private readonly readData = (queue: number, at: number, count: number, length: number): boolean => {
    const { reads, rings, times } = this
    const nowPs = this.timeline.clock[0]!
    times[ARRIVAL] = nowPs
    times[LATENCY] = 0
    let frame = NO_FRAME
    if (length < ETHERNET_HEADER_BYTES || length > FRAME_SLOT_BYTES) this.malformed++
    else frame = this.frames.allocate()
    for (let left = count; left > 0; left--) {
      const slot = rings.oldest(queue)
      if (frame !== NO_FRAME && !this.readBuffer(queue, frame, slot)) {
        this.frames.free(frame)
        this.faulted++
        rings.stop(queue)
        return false
      }
      rings.consume(queue)
    }
    reads[at + READ_FRAME] = frame
    reads[at + READ_LENGTH] = length
    this.nextRead = (this.nextRead + 1) & (READS_MAX - 1)
    this.readCount++
    this.readBytes += length < FRAME_MIN_BYTES ? FRAME_MIN_BYTES : length
    this.readDescriptors += count
    this.inFlight[queue]!++
    let arrivalPs = times[ARRIVAL]! + times[LATENCY]!
    // Data goes to the link in the order of the reads.
    if (arrivalPs < times[LAST_ARRIVAL]!) arrivalPs = times[LAST_ARRIVAL]!
    times[LAST_ARRIVAL] = arrivalPs
    this.timeline.push(this.lane, arrivalPs, at)
    return rings.cacheCount[queue]! > 0 && rings.isStopped[queue] === 0
  }

  /** Reads one descriptor's buffer into the frame. */
  private readonly readBuffer = (queue: number, frame: number, slot: number): boolean => {
    const { rings, times } = this
    const at = slot * DESCRIPTOR_WORDS
    const command = rings.words[at + 2]!
    const sizeBytes = command & TXD_LENGTH_MASK
    if (isContextDescriptor(command) || sizeBytes === 0) return true
    const low = rings.words[at]!
    const high = rings.words[at + 1]!
    const tag = TAG_TX_BIT | (queue << TAG_QUEUE_SHIFT) | rings.nextToUse[queue]!
    // Later than what was read before: the ways of the bus are taken in turn.
    this.bus.read(sizeBytes, low, times, ARRIVAL)
    const isMoved =
      high === 0 && low >= 0
        ? this.busMaster.readFrame(low, frame, sizeBytes, tag)
        : this.busMaster.readFrame((high >>> 0) * TWO_TO_32 + (low >>> 0), frame, sizeBytes, tag)
    if (this.busMaster.latencyPs[0]! > times[LATENCY]!) times[LATENCY] = this.busMaster.latencyPs[0]!
    return isMoved
  }

  /** The last byte of a packet is on chip. */
  private readonly arrived = (at: number): void => {
    const { reads } = this
    const queue = reads[at + READ_QUEUE]!
    const length = reads[at + READ_LENGTH]!
    const count = reads[at + READ_COUNT]!
    this.readCount--
    this.readBytes -= length < FRAME_MIN_BYTES ? FRAME_MIN_BYTES : length
    this.readDescriptors -= count
    if (queue >= 0) {
      this.inFlight[queue]!--
      if (reads[at + READ_FRAME] !== NO_FRAME) this.transmit(reads[at + READ_FRAME]!, queue, length)
      this.writeBack.done(queue, reads[at + READ_FIRST]!, count, reads[at + READ_RS_LOW]!, reads[at + READ_RS_HIGH]!)
    }
    if (this.ready !== 0) this.pump()
  }

  private readonly transmit = (frame: number, queue: number, lengthRead: number): void => {
    let length = lengthRead
    if (length < FRAME_MIN_BYTES && (this.file.peek(HLREG0) & HLREG0_TXPADEN_BIT) !== 0) {
      padFrame(this.memory, this.frames, frame)
      this.padded++
      length = FRAME_MIN_BYTES
    }
    const { totals } = this
    const withFcs = length + FCS_BYTES
    this.counts.frames[queue]! += 1
    this.counts.bytes[queue]! += withFcs
    totals[PTC64 + (withFcs < sizeBin.length ? sizeBin[withFcs]! : SIZE_BIN_LAST)]!++
    const low = this.memory.words[this.frames.headOffset(frame) >> 2]!
    if ((low & 1) === 1) totals[low === -1 ? BPTC : MPTC]!++
    this.phy.transmit(frame)
  }

  /** On or off; what a queue has under way when it is switched on again is lost. */
  enable(queue: number, isOn: boolean): void {
    if (isOn && this.inFlight[queue]! > 0) this.cancel(queue)
    this.writeBack.forget(queue)
    this.ready &= ~(1 << queue)
    this.rings.enable(queue, isOn)
    this.kick(queue)
  }

  private cancel(queue: number): void {
    for (let back = this.readCount; back > 0; back--) {
      const at = ((this.nextRead - back) & (READS_MAX - 1)) * READ_WORDS
      if (this.reads[at + READ_QUEUE] !== queue) continue
      if (this.reads[at + READ_FRAME] !== NO_FRAME) this.frames.free(this.reads[at + READ_FRAME]!)
      this.reads[at + READ_QUEUE] = -1
    }
    this.inFlight[queue] = 0
  }

  /** Device reset: packets that are being read are lost. */
  reset(): void {
    for (let queue = 0; queue < QUEUE_COUNT; queue++) {
      this.cancel(queue)
      this.writeBack.forget(queue)
    }
    this.ready = 0
    this.rings.reset()
  }
}

/** An advanced context descriptor: it has no buffer and is never the last of a packet. */
const isContextDescriptor = (command: number): boolean =>
  (command & TXD_DEXT_BIT) !== 0 && (command & TXD_DTYP_MASK) === TXD_DTYP_CONTEXT
