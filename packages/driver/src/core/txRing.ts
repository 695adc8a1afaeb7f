/**
 * The software side of one transmit ring: advanced data descriptors, one for each frame. Frames given over
 * since the last tail write are a batch; the last descriptor of a batch asks for a report of its status
 * (RS), and when that one is done all before it are.
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
const RS = TXD_RS_BIT
const DATA_COMMAND = TXD_DTYP_DATA | TXD_DEXT_BIT | TXD_EOP_BIT | TXD_IFCS_BIT
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
  /** What the device was told last. */
  tail = 0
  /** Ends (last slots) of batches that the device was given, oldest first. */
  declare private readonly batchEnds: Int32Array
  private batchHead = 0
  private batchCount = 0
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
    this.batchEnds = new Int32Array(count)
    this.phys = new Int32Array(count)
    this.bus = new Float64Array(count)
    this.sizes = new Int32Array(count)
  }

  get isFull(): boolean {
    const next = this.nextToUse + 1 === this.count ? 0 : this.nextToUse + 1
    return next === this.nextToClean
  }

  get hasUntold(): boolean {
    return this.nextToUse !== this.tail
  }

  /** Writes the descriptor at nextToUse. */
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

  /** Ends the batch: its last descriptor reports. The caller writes the tail that is returned. */
  endBatch(): number {
    const last = this.nextToUse === 0 ? this.count - 1 : this.nextToUse - 1
    this.words[this.baseWord + last * WORDS + 2]! |= RS
    const end = this.batchHead + this.batchCount
    this.batchEnds[end >= this.count ? end - this.count : end] = last
    this.batchCount++
    this.tail = this.nextToUse
    return this.tail
  }

  /** Is the oldest batch out? Then its last slot, else -1. */
  finishedBatchEnd(): number {
    if (this.batchCount === 0) return -1
    const last = this.batchEnds[this.batchHead]!
    return (this.words[this.baseWord + last * WORDS + 3]! & DD) === 0 ? -1 : last
  }

  /** The oldest batch was cleaned. */
  dropBatch(): void {
    this.batchHead = this.batchHead + 1 === this.count ? 0 : this.batchHead + 1
    this.batchCount--
  }

  /** The slot at nextToClean is free again. */
  advance(): void {
    this.sizes[this.nextToClean] = 0
    this.nextToClean = this.nextToClean + 1 === this.count ? 0 : this.nextToClean + 1
  }
}
