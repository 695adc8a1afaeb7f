/**
 * An 82599-class network device: its registers, and the engines behind them.
 *
 * A driver brings it up through registers alone, in the datasheet's order. Frames come in by `frameArrived`
 * and go out by the Phy port; memory is reached by the BusMaster port only.
 */
import { assert, type Frame, type FramePool, type Memory, type Source, type Timeline } from "@vnic/sim/core"
import {
  AUTOC,
  AUTOC_AN_RESTART_BIT,
  CTRL,
  CTRL_LRST_BIT,
  CTRL_MASTER_DISABLE_BIT,
  CTRL_RST_BIT,
  EICR_LSC_BIT,
  LINKS,
  LINKS_SPEED_10G,
  LINKS_SPEED_SHIFT,
  LINKS_UP_BIT,
  MSCA,
  MSCA_MDICMD_BIT,
  QUEUE_COUNT,
  RAH,
  RAH_AV_BIT,
  RAL,
  RQSMR,
  RXPBSIZE,
  RXPBSIZE_SIZE_SHIFT,
  SRRCTL,
  STATUS_LINK_UP_BIT,
  STATUS_MASTER_ENABLE_BIT,
  TQSM
} from "../registers.ts"
import { Bus, type BusConstants } from "./bus.ts"
import type { DeviceContext } from "./context.ts"
import { type DeviceCounters, snapshot } from "./counters.ts"
import { Eeprom } from "./eeprom.ts"
import { InterruptBlock } from "./interrupts.ts"
import { Mac } from "./mac.ts"
import { PACKET_BUFFER_BYTES } from "./packetBuffer.ts"
import type { BusMaster, Interrupts, Phy } from "./ports.ts"
import { makePostedOrder } from "./postedWrites.ts"
import { connectQueueRegisters } from "./queueRegisters.ts"
import { RegisterFile } from "./registerFile.ts"
import { RxEngine } from "./rxEngine.ts"
import { type QueueCounts, Statistics } from "./statistics.ts"
import { TxEngine } from "./txEngine.ts"
import * as Layout from "./layout.ts"

// Imported names cost a load and a check at each use; the hot path has its own.
const { RSS_QUEUE } = Layout

/**
 * Time that a device reset takes.
 * MODEL: 1 us. The datasheet asks software to wait 10 ms before it goes on.
 */
export const RESET_PS = 1_000_000
/**
 * Time from a reset or a restart of the link until it is up.
 * MODEL: 50 us. Real links take milliseconds to seconds.
 */
export const LINK_UP_PS = 50_000_000
/** The address in the EEPROM unless another is given: a locally administered one. */
export const DEFAULT_MAC_ADDRESS: ReadonlyArray<number> = [0x02, 0x00, 0x00, 0x82, 0x59, 0x90]

export interface NicDeviceOptions {
  readonly timeline: Timeline
  /** Where the frames' bytes lie. The device reads headers of frames there, and nothing else. */
  readonly memory: Memory
  readonly frames: FramePool
  /** Bus and memory latency. */
  readonly bus: BusConstants
  /** The link's rate, to know how far the transmit buffer is ahead of the wire. */
  readonly rateBitsPerSecond: number
  /** Six bytes. */
  readonly macAddress?: ReadonlyArray<number>
}

export interface NicDevicePorts {
  readonly busMaster: BusMaster
  readonly interrupts: Interrupts
  readonly phy: Phy
}

export class NicDevice {
  declare readonly bus: Bus
  declare readonly rx: RxEngine
  declare readonly tx: TxEngine
  declare readonly mac: Mac
  declare readonly interrupts: InterruptBlock
  declare readonly statistics: Statistics
  declare readonly registers: RegisterFile
  declare readonly macAddress: ReadonlyArray<number>
  /** Frames that came in since the device was made. */
  arrived = 0
  declare private readonly eeprom: Eeprom
  declare private readonly frames: FramePool
  declare private readonly timeline: Timeline
  declare private readonly resetTimer: Source
  declare private readonly linkTimer: Source

  constructor(options: NicDeviceOptions, ports: NicDevicePorts) {
    const { timeline, memory, frames } = options
    const file = new RegisterFile()
    this.macAddress = options.macAddress ?? DEFAULT_MAC_ADDRESS
    assert(this.macAddress.length === 6, "a MAC address has six bytes")
    this.timeline = timeline
    this.frames = frames
    this.registers = file
    this.bus = new Bus(timeline, options.bus)
    this.statistics = new Statistics(file)
    this.interrupts = new InterruptBlock(timeline, file, ports.interrupts)
    const context: DeviceContext = {
      timeline,
      memory,
      frames,
      file,
      bus: this.bus,
      busMaster: ports.busMaster,
      phy: ports.phy,
      interrupts: this.interrupts,
      postedOrder: makePostedOrder(),
      statistics: this.statistics
    }
    this.mac = new Mac(context)
    this.rx = new RxEngine(context)
    this.tx = new TxEngine(context, options.rateBitsPerSecond)
    connectQueueRegisters(file, this.rx, this.tx)
    this.eeprom = new Eeprom(file, this.macAddress)
    this.resetTimer = timeline.addTimer("nic reset", () => this.resetOver())
    this.linkTimer = timeline.addTimer("nic link", () => this.setLink(true))
    this.connect(file)
    this.load()
    this.restartLink()
  }

  private connect(file: RegisterFile): void {
    file.whenWritten("CTRL", (_, value) => {
      if ((value & (CTRL_RST_BIT | CTRL_LRST_BIT)) !== 0) this.reset(value)
    })
    file.whenRead("STATUS", () => this.status())
    file.whenWritten("AUTOC", (_, value) => {
      if ((value & AUTOC_AN_RESTART_BIT) === 0) return
      file.poke(AUTOC, value & ~AUTOC_AN_RESTART_BIT)
      this.restartLink()
    })
    file.whenWritten("MSCA", (_, value) => file.poke(MSCA, value & ~MSCA_MDICMD_BIT))
    file.whenWritten("RXPBSIZE", () => this.loadPacketBuffer())
    file.whenWritten("RQSMR", (index) => this.loadSets(this.rx.counts, index, file.peek(RQSMR(index))))
    file.whenWritten("TQSM", (index) => this.loadSets(this.tx.counts, index, file.peek(TQSM(index))))
  }

  private status(): number {
    let status = this.mac.isLinkUp ? STATUS_LINK_UP_BIT : 0
    const isDisabled = (this.registers.peek(CTRL) & CTRL_MASTER_DISABLE_BIT) !== 0
    if (!isDisabled || this.rx.posted.count + this.tx.writeBack.posted.count > 0) status |= STATUS_MASTER_ENABLE_BIT
    return status
  }

  private loadPacketBuffer(): void {
    const sizeBytes = (this.registers.peek(RXPBSIZE(0)) >> RXPBSIZE_SIZE_SHIFT) * 1024
    this.rx.buffer.capacityBytes = Math.min(sizeBytes, PACKET_BUFFER_BYTES)
  }

  private loadSets(counts: QueueCounts, index: number, word: number): void {
    for (let byte = 0; byte < 4; byte++) {
      if (4 * index + byte < QUEUE_COUNT) counts.assign(4 * index + byte, (word >>> (8 * byte)) & 0xf)
    }
  }

  /** Takes over what the registers hold after a reset. */
  private load(): void {
    const { registers, macAddress } = this
    registers.poke(RAL(0), bytesToWord(macAddress, 0))
    registers.poke(RAH(0), (bytesToWord(macAddress, 4) & 0xffff) | RAH_AV_BIT)
    this.mac.load()
    this.loadPacketBuffer()
    this.rx.loadBuffers((queue) => registers.peek(SRRCTL(queue)))
  }

  private reset(ctrl: number): void {
    this.rx.reset()
    this.tx.reset()
    this.interrupts.reset()
    this.statistics.reset()
    this.registers.reset()
    for (let index = 0; 4 * index < QUEUE_COUNT; index++) {
      this.loadSets(this.rx.counts, index, 0)
      this.loadSets(this.tx.counts, index, 0)
    }
    this.eeprom.reset()
    this.load()
    this.registers.poke(CTRL, ctrl)
    this.timeline.setTimer(this.resetTimer, this.timeline.clock[0]! + RESET_PS)
    this.restartLink()
  }

  private resetOver(): void {
    const { registers } = this
    registers.poke(CTRL, registers.peek(CTRL) & ~(CTRL_RST_BIT | CTRL_LRST_BIT))
  }

  private restartLink(): void {
    this.setLink(false)
    this.timeline.setTimer(this.linkTimer, this.timeline.clock[0]! + LINK_UP_PS)
  }

  private setLink(isUp: boolean): void {
    const wasUp = this.mac.isLinkUp
    const { registers } = this
    const upBits = LINKS_UP_BIT | (LINKS_SPEED_10G << LINKS_SPEED_SHIFT) | LINKS_STATUS_BIT
    registers.poke(LINKS, isUp ? registers.peek(LINKS) | upBits : registers.peek(LINKS) & ~upBits)
    this.mac.isLinkUp = isUp
    this.tx.isLinkUp = isUp
    if (isUp === wasUp) return
    this.interrupts.otherCause(EICR_LSC_BIT)
    if (isUp) this.tx.pump()
  }

  /** The last bit of a frame arrives at the MAC now. The device owns the frame and frees it. */
  readonly frameArrived = (frame: Frame): void => {
    this.arrived++
    if (this.mac.admit(frame)) this.rx.accept(frame)
    else this.frames.free(frame)
  }

  /** A register read, answered now. */
  readRegister(offset: number): number {
    return this.registers.read(offset)
  }

  /** A register write that has reached the device. */
  writeRegister(offset: number, value: number): void {
    this.registers.write(offset, value)
  }

  /** The queue that a TCP connection's frames go to as the registers stand; addresses as int32. */
  receiveQueueOf(srcIp: number, dstIp: number, srcPort: number, dstPort: number): number {
    return this.rx.rss.receiveQueueOf(srcIp, dstIp, srcPort, dstPort)
  }

  /** The queue that a frame would go to as the registers stand. */
  queueOfFrame(frame: Frame): number {
    this.rx.rss.classify(frame)
    return this.rx.rss.result[RSS_QUEUE]!
  }

  /** What the device has counted since it was made. */
  counters(): DeviceCounters {
    return snapshot(this)
  }
}

/** Link status as drivers of the family before read it. */
const LINKS_STATUS_BIT = 1 << 7

const bytesToWord = (bytes: ReadonlyArray<number>, first: number): number => {
  let word = 0
  for (let byte = 0; byte < 4; byte++) word |= (bytes[first + byte] ?? 0) << (8 * byte)
  return word
}

/** A device as after power-on. Its link comes up by itself. */
export const makeNicDevice = (options: NicDeviceOptions, ports: NicDevicePorts): NicDevice =>
  new NicDevice(options, ports)
