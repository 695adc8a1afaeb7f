/**
 * The software side of one receive ring. It knows the descriptors' memory and nothing of registers.
 *
 * The device owns the descriptors in [nextToClean, nextToUse): those were posted and are not yet taken.
 * At most count - 1 are posted, so that head == tail always means that the device has nothing.
 * A slot that is *filled* has buffers; a slot is posted when its descriptor is written and the tail passed it.
 */
import type { Memory, PhysAddr } from "@vnic/sim/core"
import type { Coherent } from "@vnic/dma-api/core"
import {
  DESCRIPTOR_WORDS,
  RXD_HEADER_HIGH_WORD,
  RXD_HEADER_LOW_WORD,
  RXD_PACKET_HIGH_WORD,
  RXD_PACKET_LOW_WORD,
  RXD_WB_DD_BIT,
  RXD_WB_EOP_BIT,
  RXD_WB_HEADER_LENGTH_MASK,
  RXD_WB_HEADER_LENGTH_SHIFT,
  RXD_WB_LENGTH_MASK,
  RXD_WB_RXE_BIT
} from "@vnic/nic-device/registers"

// Module constants: an imported binding costs more in the hottest loops.
const DD = RXD_WB_DD_BIT
const EOP = RXD_WB_EOP_BIT
const RXE_EOP = RXD_WB_RXE_BIT | RXD_WB_EOP_BIT
const HDR_LEN_SHIFT = RXD_WB_HEADER_LENGTH_SHIFT
const HDR_LEN_MASK = RXD_WB_HEADER_LENGTH_MASK
const LENGTH_MASK = RXD_WB_LENGTH_MASK
const WORDS = DESCRIPTOR_WORDS
const STATUS_WORD = 2
const LENGTH_WORD = 3
const TWO_TO_32 = 4294967296

/** What a finished descriptor says of its frame: it is whole and without error; */
export const FRAME_SOUND = 0
/** it is whole, and the device found an error in it (RXE); */
export const FRAME_ERROR = 1
/** it has more than one descriptor, which frames no longer than the two buffers never have: its last, */
export const FRAME_SPLIT = 2
/** and each before. */
export const FRAME_PIECE = 3

export class RxRing {
  declare readonly queue: number
  declare readonly count: number
  declare readonly block: Coherent
  /** The next descriptor that the device will finish. */
  nextToClean = 0
  /** The next descriptor that will be posted. */
  nextToUse = 0
  /** What the device was told last. */
  tail = 0
  /** The frame of the descriptor before goes on in the next one. */
  private isSplit = false
  /** 1 when the slot has buffers. */
  declare readonly filled: Uint8Array
  declare readonly headPhys: Int32Array
  declare readonly bodyPhys: Int32Array
  declare readonly headBus: Float64Array
  declare readonly bodyBus: Float64Array
  declare private readonly words: Int32Array
  declare private readonly baseWord: number

  constructor(memory: Memory, queue: number, count: number, block: Coherent) {
    this.queue = queue
    this.count = count
    this.block = block
    this.words = memory.words
    this.baseWord = block.phys >> 2
    this.filled = new Uint8Array(count)
    this.headPhys = new Int32Array(count)
    this.bodyPhys = new Int32Array(count)
    this.headBus = new Float64Array(count)
    this.bodyBus = new Float64Array(count)
  }

  /** Descriptors that the device owns. */
  get posted(): number {
    const distance = this.nextToUse - this.nextToClean
    return distance < 0 ? distance + this.count : distance
  }

  /** Slots that have buffers. */
  get filledCount(): number {
    return this.filled.reduce((sum, isFilled) => sum + isFilled, 0)
  }

  /** Has the device finished the next descriptor? */
  isDone(): boolean {
    if (this.nextToClean === this.nextToUse) return false
    return (this.words[this.baseWord + this.nextToClean * WORDS + STATUS_WORD]! & DD) !== 0
  }

  /** FRAME_SOUND, or why the finished descriptor's frame is none to hand up. To be asked once for each descriptor. */
  judge(): number {
    const status = this.words[this.baseWord + this.nextToClean * WORDS + STATUS_WORD]!
    return (status & RXE_EOP) === EOP && !this.isSplit ? FRAME_SOUND : this.judgeUnsound(status)
  }

  private judgeUnsound(status: number): number {
    const wasSplit = this.isSplit
    this.isSplit = (status & EOP) === 0
    if (this.isSplit) return FRAME_PIECE
    return wasSplit ? FRAME_SPLIT : FRAME_ERROR
  }

  /** Bytes of the finished descriptor in its header buffer. */
  doneHeadBytes(): number {
    return (this.words[this.baseWord + this.nextToClean * WORDS]! & HDR_LEN_MASK) >>> HDR_LEN_SHIFT
  }

  /** Bytes of the finished descriptor in its packet buffer. */
  doneBodyBytes(): number {
    return this.words[this.baseWord + this.nextToClean * WORDS + LENGTH_WORD]! & LENGTH_MASK
  }

  /** The finished descriptor is dealt with. */
  advance(): void {
    const next = this.nextToClean + 1
    this.nextToClean = next === this.count ? 0 : next
  }

  /** Writes the filled slot at nextToUse in the read format; from the tail write on the device owns it. */
  post(): void {
    const slot = this.nextToUse
    const words = this.words
    const word = this.baseWord + slot * WORDS
    const bodyBus = this.bodyBus[slot]!
    const headBus = this.headBus[slot]!
    words[word + RXD_PACKET_LOW_WORD] = bodyBus
    words[word + RXD_PACKET_HIGH_WORD] = bodyBus / TWO_TO_32
    words[word + RXD_HEADER_LOW_WORD] = headBus
    words[word + RXD_HEADER_HIGH_WORD] = headBus / TWO_TO_32
    this.nextToUse = slot + 1 === this.count ? 0 : slot + 1
  }

  /** Fills a slot: chunk addresses as the CPU and as the device see them. */
  fill(slot: number, headPhys: PhysAddr, bodyPhys: PhysAddr): void {
    this.headPhys[slot] = headPhys
    this.bodyPhys[slot] = bodyPhys
    this.filled[slot] = 1
  }
}
