import { assert, type Memory } from "@vnic/sim/core"
import {
  AUTOC,
  AUTOC_AN_RESTART_BIT,
  AUTOC_LMS_MASK,
  AUTOC_LMS_SHIFT,
  BSIZEHEADER_STEP_BYTES,
  BSIZEPACKET_STEP_BYTES,
  CTRL,
  CTRL_EXT,
  CTRL_EXT_NS_DIS_BIT,
  CTRL_LRST_BIT,
  CTRL_RST_BIT,
  DCA_RXCTRL,
  DCA_RXCTRL_MUST_CLEAR_BIT,
  DESCRIPTOR_BYTES,
  DESCTYPE_ADVANCED_ONE_BUFFER,
  DESCTYPE_ADVANCED_SPLIT_ALWAYS,
  DMATXCTL,
  DMATXCTL_TE_BIT,
  EEC,
  EEC_AUTO_RD_BIT,
  EICR,
  EIMC,
  FCTRL,
  FCTRL_BAM_BIT,
  GPIE,
  GPIE_MSIX_MODE_BIT,
  GPRC,
  IVAR,
  IVAR_ALLOC_VAL_BIT,
  LINKS,
  LINKS_UP_BIT,
  RDBAH,
  RDBAL,
  RDH,
  RDLEN,
  RDRXCTL,
  RDRXCTL_DMAIDONE_BIT,
  RDT,
  RXCTRL,
  RXCTRL_RXEN_BIT,
  RXD_WB_DD_BIT,
  RXDCTL,
  RXDCTL_ENABLE_BIT,
  SRRCTL,
  SRRCTL_BSIZEHEADER_SHIFT,
  SRRCTL_DESCTYPE_SHIFT,
  SRRCTL_DROP_EN_BIT,
  TDBAH,
  TDBAL,
  TDH,
  TDLEN,
  TDT,
  TXD_DEXT_BIT,
  TXD_DTYP_DATA,
  TXD_EOP_BIT,
  TXD_IFCS_BIT,
  TXD_PAYLEN_SHIFT,
  TXD_RS_BIT,
  TXDCTL,
  TXDCTL_ENABLE_BIT,
  TXDCTL_WTHRESH_SHIFT
} from "../registers.ts"

/** What a scripted driver touches the device with. */
export interface RegisterPort {
  read(offset: number): number
  write(offset: number, value: number): void
  /** Lets the world run on. */
  delay(durationPs: number): void
}

const POLL_PS = 1_000_000
const POLLS_MAX = 1000

export interface RxRingOptions {
  readonly queue: number
  /** Bus address of the ring, 128-byte aligned. */
  readonly base: number
  readonly descriptors: number
  readonly packetBytes: number
  /** Not 0: DESCTYPE 5 with header buffers of this size. */
  readonly headerBytes: number
  readonly isDropping: boolean
}

export interface TxRingOptions {
  readonly queue: number
  readonly base: number
  readonly descriptors: number
  /** TXDCTL.WTHRESH. */
  readonly writeBackThreshold?: number
}

/** A driver in the smallest steps: raw registers, rings in flat memory, no interrupts of its own. */
export class ScriptedDriver {
  private readonly port: RegisterPort
  private readonly memory: Memory

  constructor(port: RegisterPort, memory: Memory) {
    this.port = port
    this.memory = memory
  }

  private poll(offset: number, bit: number, isSet: boolean): void {
    for (let count = 0; count < POLLS_MAX; count++) {
      if (((this.port.read(offset) & bit) !== 0) === isSet) return
      this.port.delay(POLL_PS)
    }
    assert(false, "the device did not answer a poll")
  }

  private set(offset: number, bits: number): void {
    this.port.write(offset, this.port.read(offset) | bits)
  }

  private clear(offset: number, bits: number): void {
    this.port.write(offset, this.port.read(offset) & ~bits)
  }

  /** The datasheet's order, up to the rings. */
  bringUp(): void {
    const { port } = this
    port.write(EIMC, -1)
    port.write(CTRL, CTRL_RST_BIT | CTRL_LRST_BIT)
    this.poll(CTRL, CTRL_RST_BIT | CTRL_LRST_BIT, false)
    port.delay(10 * POLL_PS)
    port.write(EIMC, -1)
    port.read(EICR)
    this.poll(EEC, EEC_AUTO_RD_BIT, true)
    this.poll(RDRXCTL, RDRXCTL_DMAIDONE_BIT, true)
    port.write(AUTOC, (port.read(AUTOC) & ~AUTOC_LMS_MASK) | (3 << AUTOC_LMS_SHIFT) | AUTOC_AN_RESTART_BIT)
    port.read(GPRC)
    port.write(FCTRL, FCTRL_BAM_BIT)
    this.set(CTRL_EXT, CTRL_EXT_NS_DIS_BIT)
    this.set(DMATXCTL, DMATXCTL_TE_BIT)
    this.set(GPIE, GPIE_MSIX_MODE_BIT)
    this.set(RXCTRL, RXCTRL_RXEN_BIT)
  }

  /** Waits until LINKS says that the link is up. */
  awaitLink(): void {
    this.poll(LINKS, LINKS_UP_BIT, true)
  }

  /** Sets a receive ring up and enables it, empty. */
  startRx(options: RxRingOptions): void {
    const { port } = this
    const { queue, base } = options
    const type = options.headerBytes > 0 ? DESCTYPE_ADVANCED_SPLIT_ALWAYS : DESCTYPE_ADVANCED_ONE_BUFFER
    port.write(
      SRRCTL(queue),
      (options.packetBytes / BSIZEPACKET_STEP_BYTES) |
        ((options.headerBytes / BSIZEHEADER_STEP_BYTES) << SRRCTL_BSIZEHEADER_SHIFT) |
        (type << SRRCTL_DESCTYPE_SHIFT) |
        (options.isDropping ? SRRCTL_DROP_EN_BIT : 0)
    )
    port.write(RDBAL(queue), base | 0)
    port.write(RDBAH(queue), Math.floor(base / 4294967296))
    port.write(RDLEN(queue), options.descriptors * DESCRIPTOR_BYTES)
    port.write(RDH(queue), 0)
    port.write(RDT(queue), 0)
    this.clear(DCA_RXCTRL(queue), DCA_RXCTRL_MUST_CLEAR_BIT)
    this.set(RXDCTL(queue), RXDCTL_ENABLE_BIT)
    this.poll(RXDCTL(queue), RXDCTL_ENABLE_BIT, true)
  }

  /** Sets a transmit ring up and enables it, empty. */
  startTx(options: TxRingOptions): void {
    const { port } = this
    const { queue, base } = options
    port.write(TDBAL(queue), base | 0)
    port.write(TDBAH(queue), Math.floor(base / 4294967296))
    port.write(TDLEN(queue), options.descriptors * DESCRIPTOR_BYTES)
    port.write(TDH(queue), 0)
    port.write(TDT(queue), 0)
    port.write(TXDCTL(queue), ((options.writeBackThreshold ?? 0) << TXDCTL_WTHRESH_SHIFT) | TXDCTL_ENABLE_BIT)
    this.poll(TXDCTL(queue), TXDCTL_ENABLE_BIT, true)
  }

  /** Sends the receive and transmit causes of a queue to two vectors. */
  setVectors(queue: number, rxVector: number, txVector: number): void {
    const shift = 16 * (queue & 1)
    const entry = rxVector | IVAR_ALLOC_VAL_BIT | ((txVector | IVAR_ALLOC_VAL_BIT) << 8)
    const offset = IVAR(queue >> 1)
    this.port.write(offset, (this.port.read(offset) & ~(0xffff << shift)) | (entry << shift))
  }

  /** Writes a receive descriptor in its read format. */
  writeRxDescriptor(base: number, index: number, packetAddr: number, headerAddr = 0): void {
    const word = (base + index * DESCRIPTOR_BYTES) >> 2
    this.memory.words[word] = packetAddr
    this.memory.words[word + 1] = 0
    this.memory.words[word + 2] = headerAddr
    this.memory.words[word + 3] = 0
  }

  /** Moves a receive ring's tail. */
  setRxTail(queue: number, tail: number): void {
    this.port.write(RDT(queue), tail)
  }

  /** The four words of a descriptor. */
  descriptor(base: number, index: number): Int32Array {
    const word = (base + index * DESCRIPTOR_BYTES) >> 2
    return this.memory.words.slice(word, word + 4)
  }

  /** Was a receive descriptor written back? */
  isRxDone(base: number, index: number): boolean {
    return (this.descriptor(base, index)[2]! & RXD_WB_DD_BIT) !== 0
  }

  /** Writes an advanced transmit data descriptor. */
  writeTxDescriptor(
    base: number,
    index: number,
    busAddr: number,
    sizeBytes: number,
    packetBytes: number,
    flags = TXD_EOP_BIT | TXD_RS_BIT
  ): void {
    const word = (base + index * DESCRIPTOR_BYTES) >> 2
    this.memory.words[word] = busAddr
    this.memory.words[word + 1] = 0
    this.memory.words[word + 2] = sizeBytes | TXD_DTYP_DATA | TXD_DEXT_BIT | TXD_IFCS_BIT | flags
    this.memory.words[word + 3] = packetBytes << TXD_PAYLEN_SHIFT
  }

  /** Moves a transmit ring's tail. */
  setTxTail(queue: number, tail: number): void {
    this.port.write(TDT(queue), tail)
  }
}

/** A scripted driver on a register port and flat memory. */
export const makeScriptedDriver = (port: RegisterPort, memory: Memory): ScriptedDriver =>
  new ScriptedDriver(port, memory)
