/**
 * The receive MAC: which frames are taken off the wire at all, and what the statistics say of them.
 *
 * MODEL: what arrives has a good FCS. A frame shorter than 60 bytes is one whose sender's MAC padded it: the
 * padding is added here.
 */
import type { Frame, FramePool, Memory } from "@vnic/sim/core"
import * as Registers from "../registers.ts"
import type { DeviceContext } from "./context.ts"
import type { RegisterFile } from "./registerFile.ts"
import type { Statistics } from "./statistics.ts"
import * as Statistic from "./statistics.ts"
import * as Layout from "./layout.ts"

// Imported names cost a load and a check at each use; the hot path has its own.
const { FCS_BYTES, FRAME_MIN_BYTES, ETHERNET_HEADER_BYTES } = Layout
const {
  FCTRL,
  FCTRL_BAM_BIT,
  FCTRL_MPE_BIT,
  FCTRL_UPE_BIT,
  HLREG0,
  HLREG0_JUMBOEN_BIT,
  MAXFRS,
  MAXFRS_MFS_SHIFT,
  MCSTCTRL,
  MCSTCTRL_MFE_BIT,
  MCSTCTRL_MO_MASK,
  MTA,
  RAH,
  RAH_AV_BIT,
  RAL,
  RXCTRL,
  RXCTRL_RXEN_BIT
} = Registers
const { dropIndex, SIZE_BIN_LAST, sizeBin, statisticOf } = Statistic

const VLAN_TAG_BYTES = 4
const VLAN_TAGS_MAX = 2
const ETHER_TYPE_BYTES = 2
const ETHER_TYPE_VLAN = 0x8100
/** Longest frame with FCS when jumbo frames are off. */
export const FRAME_MAX_BYTES = 1518
const RECEIVE_ADDRESSES = 128
/** Where the 12 bits that index MTA begin in the last two address bytes, by MCSTCTRL.MO. */
const MULTICAST_SHIFTS = [4, 3, 2, 0]

const TPR = statisticOf("TPR")
const TOR = statisticOf("TORL")
const GPRC = statisticOf("GPRC")
const GORC = statisticOf("GORCL")
const BPRC = statisticOf("BPRC")
const MPRC = statisticOf("MPRC")
const PRC64 = statisticOf("PRC64")
const ROC = statisticOf("ROC")
const RUC = statisticOf("RUC")
const DROP_LINK_DOWN = dropIndex("linkDown")
const DROP_RECEIVER_DISABLED = dropIndex("receiverDisabled")
const DROP_OVERSIZE = dropIndex("oversize")
const DROP_UNDERSIZE = dropIndex("undersize")
const DROP_FILTERED = dropIndex("filtered")

export class Mac {
  isLinkUp = false
  /** Received frames that were padded to 60 bytes. */
  padded = 0
  private isReceiving = false
  private lengthMax = FRAME_MAX_BYTES
  private accepts = 0
  private isMulticastTable = false
  private multicastShift = 0
  /** Valid receive addresses, as the first four bytes and the last two. */
  private readonly addressLow = new Int32Array(RECEIVE_ADDRESSES)
  private readonly addressHigh = new Int32Array(RECEIVE_ADDRESSES)
  private addressCount = 0
  private readonly refusedFrames = new Float64Array(1)
  private readonly refusedBytes = new Float64Array(1)
  declare private readonly frames: FramePool
  declare private readonly memory: Memory
  declare private readonly words: Int32Array
  declare private readonly file: RegisterFile
  declare private readonly statistics: Statistics
  declare private readonly totals: Float64Array

  constructor(context: DeviceContext) {
    const { file } = context
    this.frames = context.frames
    this.memory = context.memory
    this.words = context.memory.words
    this.file = file
    this.statistics = context.statistics
    this.totals = context.statistics.totals
    for (const name of ["RXCTRL", "FCTRL", "HLREG0", "MAXFRS", "MCSTCTRL", "RAL", "RAH"]) {
      file.whenWritten(name, () => this.load())
    }
    context.statistics.beforeRead(() => this.settle())
    this.load()
  }

  /** Takes over what the registers say. */
  load(): void {
    const { file } = this
    this.isReceiving = (file.peek(RXCTRL) & RXCTRL_RXEN_BIT) !== 0
    this.accepts = file.peek(FCTRL)
    const isJumbo = (file.peek(HLREG0) & HLREG0_JUMBOEN_BIT) !== 0
    this.lengthMax = isJumbo ? file.peek(MAXFRS) >>> MAXFRS_MFS_SHIFT : FRAME_MAX_BYTES
    this.isMulticastTable = (file.peek(MCSTCTRL) & MCSTCTRL_MFE_BIT) !== 0
    this.multicastShift = MULTICAST_SHIFTS[file.peek(MCSTCTRL) & MCSTCTRL_MO_MASK]!
    this.addressCount = 0
    for (let index = 0; index < RECEIVE_ADDRESSES; index++) {
      const high = file.peek(RAH(index))
      if ((high & RAH_AV_BIT) === 0) continue
      this.addressLow[this.addressCount] = file.peek(RAL(index))
      this.addressHigh[this.addressCount] = high & 0xffff
      this.addressCount++
    }
  }

  /** True when a frame that has arrived is for us; else it has been counted, and the caller frees it. */
  readonly admit = (frame: Frame): boolean => {
    const frames = this.frames
    let length = frames.headBytes[frame]! + frames.bodyBytes[frame]!
    if (!this.isLinkUp) return this.refuse(DROP_LINK_DOWN)
    if (!this.isReceiving) return this.refuse(DROP_RECEIVER_DISABLED)
    if (length < FRAME_MIN_BYTES || frames.headBytes[frame]! < ETHERNET_HEADER_BYTES) {
      if (length < ETHERNET_HEADER_BYTES) {
        this.totals[RUC]!++
        return this.refuse(DROP_UNDERSIZE)
      }
      length = this.complete(frame, length)
    }
    const withFcs = length + FCS_BYTES
    const at = frames.headOffset(frame)
    if (withFcs > this.lengthMax && this.isTooLong(frame, withFcs)) {
      this.totals[ROC]!++
      return this.refuseCounted(DROP_OVERSIZE, withFcs)
    }
    if (!this.isForUs(at)) return this.refuseCounted(DROP_FILTERED, withFcs)
    this.totals[GORC]! += withFcs
    this.totals[PRC64 + (withFcs < sizeBin.length ? sizeBin[withFcs]! : SIZE_BIN_LAST)]!++
    return true
  }

  private refuse(cause: number): boolean {
    this.statistics.drops[cause]!++
    return false
  }

  /** Refuses a frame that counts among all that were received. */
  private refuseCounted(cause: number, withFcs: number): boolean {
    this.refusedFrames[0]! += 1
    this.refusedBytes[0]! += withFcs
    return this.refuse(cause)
  }

  /** Brings the sums over the size bins up to date. */
  private settle(): void {
    const { totals } = this
    let good = 0
    for (let bin = 0; bin <= SIZE_BIN_LAST; bin++) good += totals[PRC64 + bin]!
    totals[GPRC] = good
    totals[TPR] = good + this.refusedFrames[0]!
    totals[TOR] = totals[GORC]! + this.refusedBytes[0]!
  }

  /** A VLAN tag lets a frame be longer by its own bytes, and so does a second. */
  private isTooLong(frame: Frame, withFcs: number): boolean {
    gatherHead(this.frames, frame, ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES)
    const { bytes } = this.memory
    let tagAt = this.frames.headOffset(frame) + ETHERNET_HEADER_BYTES - ETHER_TYPE_BYTES
    let tagsBytes = 0
    while (
      tagsBytes < VLAN_TAGS_MAX * VLAN_TAG_BYTES &&
      ((bytes[tagAt]! << 8) | bytes[tagAt + 1]!) === ETHER_TYPE_VLAN
    ) {
      tagsBytes += VLAN_TAG_BYTES
      tagAt += VLAN_TAG_BYTES
    }
    return withFcs > this.lengthMax + tagsBytes
  }

  private readonly isForUs = (at: number): boolean => {
    const low = this.words[at >> 2]!
    const high = this.words[(at >> 2) + 1]! & 0xffff
    if ((low & 1) === 1) return this.isGroupForUs(low, high)
    if ((this.accepts & FCTRL_UPE_BIT) !== 0) return true
    for (let index = 0; index < this.addressCount; index++) {
      if (this.addressLow[index] === low && this.addressHigh[index] === high) return true
    }
    return false
  }

  private isGroupForUs(low: number, high: number): boolean {
    if (low === -1 && high === 0xffff) {
      if ((this.accepts & FCTRL_BAM_BIT) === 0) return false
      this.totals[BPRC]!++
      return true
    }
    if ((this.accepts & FCTRL_MPE_BIT) === 0 && !this.isInMulticastTable(high)) return false
    this.totals[MPRC]!++
    return true
  }

  private isInMulticastTable(high: number): boolean {
    if (!this.isMulticastTable) return false
    const index = (high >> this.multicastShift) & 0xfff
    return ((this.file.peek(MTA(index >> 5)) >> (index & 31)) & 1) === 1
  }

  /** Gathers a short frame in its head and pads it. */
  private complete(frame: Frame, length: number): number {
    gatherHead(this.frames, frame, length < FRAME_MIN_BYTES ? length : ETHERNET_HEADER_BYTES)
    if (length >= FRAME_MIN_BYTES) return length
    this.padded++
    padFrame(this.memory, this.frames, frame)
    return FRAME_MIN_BYTES
  }
}

/** Moves bytes from the body to the head until the head has `sizeBytes`. */
function gatherHead(frames: FramePool, frame: Frame, sizeBytes: number): void {
  const missing = sizeBytes - frames.headBytes[frame]!
  if (missing <= 0) return
  frames.append(frame, frames.bodyOffset[frame]!, missing)
  frames.bodyOffset[frame]! += missing
  frames.bodyBytes[frame]! -= missing
}

/** Appends zeros to a frame without body, up to 60 bytes. */
export function padFrame(memory: Memory, frames: FramePool, frame: Frame): void {
  const at = frames.headOffset(frame)
  memory.bytes.fill(0, at + frames.headBytes[frame]!, at + FRAME_MIN_BYTES)
  frames.headBytes[frame] = FRAME_MIN_BYTES
}
