/**
 * The software side of one transmit ring: advanced data descriptors, one for each frame. Each asks for a
 * report of its status (RS), so a frame can be cleaned as soon as the device has sent it.
 */
import type { Memory } from "@vnic/sim/core"
import type { Coherent } from "@vnic/dma-api/core"
import {
  DESCRIPTOR_WORDS,
  TXD_DEXT_BIT,
  TXD_DTYP_DATA,
  TXD_EOP_BIT,
  TXD_IFCS_BIT,
  TXD_PAYLEN_SHIFT,
  TXD_RS_BIT,
  TXD_WB_DD_BIT
} from "@vnic/nic-device/registers"

const DD = TXD_WB_DD_BIT
const DATA_COMMAND = TXD_DTYP_DATA | TXD_DEXT_BIT | TXD_EOP_BIT | TXD_IFCS_BIT | TXD_RS_BIT
const PAYLEN_SHIFT = TXD_PAYLEN_SHIFT
const WORDS = DESCRIPTOR_WORDS
const TWO_TO_32 = 4294967296

/** Bytes of one slot of the block that small frames are copied into. */
export const COPY_SLOT_BYTES = 128

export class TxRing {
  declare readonly queue: number
  declare readonly count: number
  declare readonly block: Coherent
  /** The permanently mapped block that small frames are copied into. */
  declare readonly copyBlock: Coherent
  nextToUse = 0
  nextToClean = 0
  /** phys, bus and size of a frame that was mapped for its slot; size 0 for a copied one. */
  declare readonly phys: Int32Array
  declare readonly bus: Float64Array
  declare readonly sizes: Int32Array
  declare private readonly words: Int32Array
  declare private readonly baseWord: number

  constructor(memory: Memory, queue: number, count: number, block: Coherent, copyBlock: Coherent) {
    this.queue = queue
    this.count = count
    this.block = block
    this.copyBlock = copyBlock
    this.words = memory.words
    this.baseWord = block.phys >> 2
    this.phys = new Int32Array(count)
    this.bus = new Float64Array(count)
    this.sizes = new Int32Array(count)
  }

  get isFull(): boolean {
    const next = this.nextToUse + 1 === this.count ? 0 : this.nextToUse + 1
    return next === this.nextToClean
  }

  /** Writes the descriptor at nextToUse. The caller tells the device of it at once: nextToUse is the new tail. */
  enqueue(busAddr: number, sizeBytes: number): void {
    const slot = this.nextToUse
    const words = this.words
    const word = this.baseWord + slot * WORDS
    words[word] = busAddr
    words[word + 1] = busAddr / TWO_TO_32
    words[word + 2] = DATA_COMMAND | sizeBytes
    words[word + 3] = sizeBytes << PAYLEN_SHIFT
    this.nextToUse = slot + 1 === this.count ? 0 : slot + 1
  }

  /** Has the device reported the oldest frame that is not cleaned? False when there is none. */
  isDone(): boolean {
    const slot = this.nextToClean
    return slot !== this.nextToUse && (this.words[this.baseWord + slot * WORDS + 3]! & DD) !== 0
  }

  /** The slot at nextToClean is free again. */
  advance(): void {
    this.sizes[this.nextToClean] = 0
    this.nextToClean = this.nextToClean + 1 === this.count ? 0 : this.nextToClean + 1
  }
}
