/**
 * The device's side of a driver, by hand: it comes up as told, takes over the buffers that the driver posts,
 * and does nothing more until the test says so. Everything that it finds in the driver's rings it checks:
 * a ring that is posted whole, or a buffer that leads nowhere, is an error of the driver.
 */
import {
  BSIZEHEADER_STEP_BYTES,
  BSIZEPACKET_STEP_BYTES,
  CTRL,
  DESCRIPTOR_BYTES,
  EIAM,
  EICS,
  EIMC,
  EIMS,
  IVAR,
  IVAR_ALLOC_MASK,
  IVAR_ALLOC_VAL_BIT,
  QUEUE_COUNT,
  RDBAH,
  RDBAL,
  RDH,
  RDLEN,
  RDT,
  RXCTRL,
  RXCTRL_RXEN_BIT,
  RXD_WB_DD_BIT,
  RXD_WB_EOP_BIT,
  RXD_WB_HEADER_LENGTH_SHIFT,
  RXD_WB_SPH_BIT,
  RXDCTL,
  RXDCTL_ENABLE_BIT,
  SRRCTL,
  SRRCTL_BSIZEHEADER_MASK,
  SRRCTL_BSIZEHEADER_SHIFT,
  SRRCTL_BSIZEPACKET_MASK,
  TDBAH,
  TDBAL,
  TDH,
  TDLEN,
  TDT,
  TXD_LENGTH_MASK,
  TXD_RS_BIT,
  TXD_WB_DD_BIT,
  TXDCTL,
  TXDCTL_ENABLE_BIT
} from "@vnic/nic-device/registers"
import { fail, type Cpus } from "@vnic/sim/core"
import type { RegisterWindow } from "../core/ports.ts"
import { busAddrOf, ScriptedMemory, type ScriptedMemoryOptions } from "./scriptedMemory.ts"
import { ScriptedRegisters } from "./scriptedRegisters.ts"

export interface ScriptedDeviceOptions extends ScriptedMemoryOptions {
  readonly cpus: Cpus
  /** How long a posted register write is under way; 0 when left out. */
  readonly mmioLatencyPs?: number
  /** How long an interrupt message is under way; 0 when left out. */
  readonly interruptLatencyPs?: number
}

/** A receive descriptor that the device owns, as it was read when the tail passed it. */
export interface PostedBuffers {
  readonly slot: number
  readonly headBus: number
  readonly bodyBus: number
}

/** A transmit descriptor that the device owns. */
export interface QueuedFrame {
  readonly slot: number
  readonly busAddr: number
  readonly sizeBytes: number
  /** The driver asks for a report of this one. */
  readonly isReported: boolean
}

/** What a frame is delivered with. */
export interface DeliveryOptions {
  /** Its bytes are written now, its descriptor when `writeBack` is called. */
  readonly isLate?: boolean
  /** The frame goes on in the next descriptor: no EOP. */
  readonly isContinued?: boolean
  /** Bits of the status and error word besides DD and EOP. */
  readonly statusBits?: number
}

interface WriteBack {
  readonly slot: number
  readonly words: readonly [number, number, number, number]
}

type Post = readonly [offset: number, value: number]

/** What the device knows of one ring. */
interface Ring<Owned> {
  next: number
  readonly owned: Array<Owned>
}

/** Register writes and interrupts under way. */
const EVENTS_MAX = 4096

/** The heads and tails of all rings by their offsets. */
const POINTERS = new Map<number, readonly [name: "RDH" | "RDT" | "TDH" | "TDT", queue: number]>()
for (let queue = 0; queue < QUEUE_COUNT; queue++) {
  POINTERS.set(RDH(queue), ["RDH", queue])
  POINTERS.set(RDT(queue), ["RDT", queue])
  POINTERS.set(TDH(queue), ["TDH", queue])
  POINTERS.set(TDT(queue), ["TDT", queue])
}

export class ScriptedDevice implements RegisterWindow {
  readonly registers = new ScriptedRegisters()
  /** What the driver has waited by `delay`, in all. */
  delayedPs = 0
  /** Its way to the host's memory, with the faults on it. */
  readonly memory: ScriptedMemory
  /** Frames that `deliver` refused: no descriptor, or reception off. */
  refused = 0
  /** Vectors of the interrupt messages sent. */
  readonly raised: Array<number> = []
  /** Called when a message has reached its CPU. */
  onInterrupt: (vector: number) => void = () => {}
  private readonly options: ScriptedDeviceOptions
  private readonly rx: ReadonlyArray<Ring<PostedBuffers> & { readonly writeBacks: Array<WriteBack> }>
  private readonly tx: ReadonlyArray<Ring<QueuedFrame> & { readonly sent: Array<QueuedFrame> }>
  /** Posted writes that each CPU still holds back, and those that were let go, by ring of the bell. */
  private readonly held = new Map<number, Array<Post>>()
  private readonly posts: Array<ReadonlyArray<Post>> = []
  private readonly postLane: number
  /** Vectors that the driver asked for by EICS and that are still throttled. */
  private askedFor = 0
  private readonly interruptLane: number
  private enabled = 0
  private pending = 0

  constructor(options: ScriptedDeviceOptions) {
    this.options = options
    this.memory = new ScriptedMemory(options)
    this.rx = Array.from({ length: QUEUE_COUNT }, () => ({ next: 0, owned: [], writeBacks: [] }))
    this.tx = Array.from({ length: QUEUE_COUNT }, () => ({ next: 0, owned: [], sent: [] }))
    const { timeline } = options
    this.postLane = timeline.addLane("scripted device: posted writes", (at) => this.land(at), EVENTS_MAX)
    this.interruptLane = timeline.addLane("scripted device: interrupt", (at) => this.onInterrupt(at), EVENTS_MAX)
    this.registers.onWrite = (offset, value) => this.written(offset, value)
  }

  // The register window.

  read(offset: number): number {
    return this.registers.read(offset)
  }

  write(offset: number, value: number): void {
    this.registers.write(offset, value, "write")
  }

  post(cpu: number, offset: number, value: number): void {
    const held = this.held.get(cpu)
    if (held === undefined) this.held.set(cpu, [[offset, value]])
    else held.push([offset, value])
  }

  ring(cpu: number): void {
    const { cpus, mmioLatencyPs = 0, timeline } = this.options
    const posts = this.held.get(cpu)
    if (posts === undefined) return
    this.held.delete(cpu)
    timeline.push(this.postLane, cpus.localPs[cpu]! + mmioLatencyPs, this.posts.push(posts) - 1)
  }

  private land(at: number): void {
    for (const [offset, value] of this.posts[at]!) this.registers.write(offset, value, "post")
  }

  delay(durationPs: number): void {
    const { timeline } = this.options
    this.delayedPs += durationPs
    timeline.runUntil(timeline.nowPs + durationPs, Infinity)
  }

  private written(offset: number, value: number): void {
    if (offset === CTRL) this.reset()
    if (offset === EIMC) this.enabled &= ~value
    if (offset === EIMS) {
      this.enabled |= value
      this.signal()
    }
    if (offset === EICS) this.askedFor |= value
    const pointer = POINTERS.get(offset)
    if (pointer === undefined) return
    const [name, queue] = pointer
    if (name === "RDH") this.rx[queue]!.next = value
    else if (name === "TDH") this.tx[queue]!.next = value
    else if (name === "RDT") this.takePosted(queue, value)
    else this.takeQueued(queue, value)
  }

  private reset(): void {
    this.enabled = 0
    this.pending = 0
    for (const ring of this.rx) [ring.owned.length, ring.writeBacks.length] = [0, 0]
    for (const ring of this.tx) [ring.owned.length, ring.sent.length] = [0, 0]
  }

  private rxBase(queue: number): number {
    return busAddrOf(this.registers.peek(RDBAL(queue)), this.registers.peek(RDBAH(queue)))
  }

  private txBase(queue: number): number {
    return busAddrOf(this.registers.peek(TDBAL(queue)), this.registers.peek(TDBAH(queue)))
  }

  // Receive.

  /** Is this receive queue on, as far as the device is concerned? */
  isReceiving(queue: number): boolean {
    const { registers } = this
    return (registers.peek(RXDCTL(queue)) & RXDCTL_ENABLE_BIT) !== 0 && (registers.peek(RXCTRL) & RXCTRL_RXEN_BIT) !== 0
  }

  /** Descriptors that the device owns and has not begun with, oldest first. */
  posted(queue: number): ReadonlyArray<PostedBuffers> {
    return this.rx[queue]!.owned
  }

  private takePosted(queue: number, tail: number): void {
    const ring = this.rx[queue]!
    const count = this.registers.peek(RDLEN(queue)) / DESCRIPTOR_BYTES
    while (ring.next !== tail) {
      const [low, high, headLow, headHigh] = this.memory.descriptorWords(this.rxBase(queue), ring.next)
      ring.owned.push({
        slot: ring.next,
        bodyBus: busAddrOf(low!, high!),
        headBus: busAddrOf(headLow!, headHigh!)
      })
      ring.next = (ring.next + 1) % count
      if (ring.owned.length + ring.writeBacks.length > count - 1) fail("the driver posted a whole receive ring")
    }
  }

  /** Size of a queue's header buffers, and of its packet buffers. */
  bufferBytes(queue: number): readonly [head: number, body: number] {
    const sizes = this.registers.peek(SRRCTL(queue))
    return [
      ((sizes & SRRCTL_BSIZEHEADER_MASK) >>> SRRCTL_BSIZEHEADER_SHIFT) * BSIZEHEADER_STEP_BYTES,
      (sizes & SRRCTL_BSIZEPACKET_MASK) * BSIZEPACKET_STEP_BYTES
    ]
  }

  /**
   * A frame arrives and goes into the oldest posted descriptor; false when it is refused or faults.
   * Write-backs keep the order of the descriptors: one that is not late brings the late ones before it along.
   */
  deliver(queue: number, bytes: Uint8Array, options: DeliveryOptions = {}): boolean {
    const ring = this.rx[queue]!
    const buffers = this.isReceiving(queue) ? ring.owned.shift() : undefined
    if (buffers === undefined) {
      this.refused++
      return false
    }
    const [headSize, bodySize] = this.bufferBytes(queue)
    if (bytes.length > headSize + bodySize) fail("a frame that its buffers cannot hold")
    const headBytes = Math.min(bytes.length, headSize)
    const isWritten =
      this.memory.writeBytes(buffers.headBus, bytes.subarray(0, headBytes)) &&
      this.memory.writeBytes(buffers.bodyBus, bytes.subarray(headBytes))
    const header = headBytes > 0 ? (headBytes << RXD_WB_HEADER_LENGTH_SHIFT) | RXD_WB_SPH_BIT : 0
    const end = options.isContinued === true ? 0 : RXD_WB_EOP_BIT
    const status = RXD_WB_DD_BIT | end | (options.statusBits ?? 0)
    ring.writeBacks.push({ slot: buffers.slot, words: [header, 0, status, bytes.length - headBytes] })
    if (options.isLate !== true) this.writeBack(queue)
    return isWritten
  }

  /** Writes the oldest late descriptors back, all when left out, and raises the queue's interrupt. */
  writeBack(queue: number, count = Infinity): void {
    const { writeBacks } = this.rx[queue]!
    const done = writeBacks.splice(0, count)
    for (const { slot, words } of done) this.memory.writeDescriptor(this.rxBase(queue), slot, words)
    if (done.length > 0) this.cause(queue, 0)
  }

  // Transmit.

  /** Frames that the driver has queued and the device has not sent yet. */
  queued(queue: number): ReadonlyArray<QueuedFrame> {
    return this.tx[queue]!.owned
  }

  private takeQueued(queue: number, tail: number): void {
    if ((this.registers.peek(TXDCTL(queue)) & TXDCTL_ENABLE_BIT) === 0) return
    const ring = this.tx[queue]!
    const count = this.registers.peek(TDLEN(queue)) / DESCRIPTOR_BYTES
    while (ring.next !== tail) {
      const [low, high, command] = this.memory.descriptorWords(this.txBase(queue), ring.next)
      ring.owned.push({
        slot: ring.next,
        busAddr: busAddrOf(low!, high!),
        sizeBytes: command! & TXD_LENGTH_MASK,
        isReported: (command! & TXD_RS_BIT) !== 0
      })
      ring.next = (ring.next + 1) % count
      if (ring.owned.length + ring.sent.length > count - 1) fail("the driver queued a whole transmit ring")
    }
  }

  /** Reads the oldest queued frames from memory and sends them; returns their bytes. Reports nothing. */
  send(queue: number, count = Infinity): ReadonlyArray<Uint8Array> {
    const { owned, sent } = this.tx[queue]!
    return owned.splice(0, count).map((frame) => {
      sent.push(frame)
      return this.memory.readBytes(frame.busAddr, frame.sizeBytes) ?? new Uint8Array(0)
    })
  }

  /** Reports all frames that were sent, where the driver asked for it, and raises the queue's interrupt. */
  report(queue: number): void {
    const done = this.tx[queue]!.sent.splice(0)
    const reported = done.filter(({ isReported }) => isReported)
    for (const { slot } of reported) this.memory.writeDescriptor(this.txBase(queue), slot, [0, 0, 0, TXD_WB_DD_BIT])
    if (reported.length > 0) this.cause(queue, 8)
  }

  // Interrupts.

  /** May this vector raise an interrupt now? */
  isUnmasked(vector: number): boolean {
    return (this.enabled & (1 << vector)) !== 0
  }

  private cause(queue: number, shift: number): void {
    const entry = this.registers.peek(IVAR(queue >> 1)) >>> (16 * (queue & 1) + shift)
    if ((entry & IVAR_ALLOC_VAL_BIT) === 0) return
    this.pending |= 1 << (entry & IVAR_ALLOC_MASK)
    this.signal()
  }

  /** The throttle of the interrupts that the driver asked for by EICS runs out: they are raised. */
  raiseAskedFor(): void {
    this.pending |= this.askedFor
    this.askedFor = 0
    this.signal()
  }

  private signal(): void {
    const { interruptLatencyPs = 0, timeline } = this.options
    for (let vector = 0; vector < QUEUE_COUNT; vector++) {
      const bit = 1 << vector
      if ((this.pending & this.enabled & bit) === 0) continue
      this.pending &= ~bit
      this.enabled &= ~(bit & this.registers.peek(EIAM))
      this.raised.push(vector)
      timeline.push(this.interruptLane, timeline.nowPs + interruptLatencyPs, vector)
    }
  }
}

/** A device that has done nothing yet. */
export const makeScriptedDevice = (options: ScriptedDeviceOptions): ScriptedDevice => new ScriptedDevice(options)
