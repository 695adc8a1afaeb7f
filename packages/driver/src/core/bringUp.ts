/**
 * Bringing the device up through its registers, in the datasheet's order [82599 4.6.3 to 4.6.8], and down
 * again. Step numbers are those of the sequence that the public drivers share.
 */
import type { Coherent } from "@vnic/dma-api/core"
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
  DESCTYPE_ADVANCED_SPLIT_ALWAYS,
  DMATXCTL,
  DMATXCTL_TE_BIT,
  DTXMXSZRQ,
  EEC,
  EEC_AUTO_RD_BIT,
  EIAC,
  EIAM,
  EICR,
  EIMC,
  EIMS,
  EITR,
  EITR_INTERVAL_MASK,
  EITR_INTERVAL_SHIFT,
  EITR_STEP_PS,
  FCTRL,
  FCTRL_BAM_BIT,
  FCTRL_MPE_BIT,
  FCTRL_UPE_BIT,
  GPIE,
  GPIE_EIAME_BIT,
  GPIE_MSIX_MODE_BIT,
  GPIE_OCD_BIT,
  GPRC,
  GPTC,
  HLREG0,
  HLREG0_RXCRCSTRP_BIT,
  HLREG0_TXCRCEN_BIT,
  HLREG0_TXPADEN_BIT,
  IVAR,
  IVAR_ALLOC_VAL_BIT,
  LINKS,
  LINKS_UP_BIT,
  MRQC,
  MRQC_IPV4_BIT,
  MRQC_IPV6_BIT,
  MRQC_TCP_IPV4_BIT,
  MRQC_TCP_IPV6_BIT,
  MRQC_UDP_IPV4_BIT,
  MRQC_UDP_IPV6_BIT,
  MRQE_RSS,
  PSRTYPE,
  QPRDC,
  RAH,
  RAH_AV_BIT,
  RAL,
  RDBAH,
  RDBAL,
  RDH,
  RDLEN,
  RDRXCTL,
  RDRXCTL_CRCSTRIP_BIT,
  RDRXCTL_DMAIDONE_BIT,
  RDRXCTL_FCOE_WRFIX_BIT,
  RDRXCTL_RSCACKC_BIT,
  RDRXCTL_RSCFRSTSIZE_MASK,
  RDT,
  RETA,
  RSSRK,
  RTTDCS,
  RTTDCS_ARBDIS_BIT,
  RXCSUM,
  RXCSUM_PCSD_BIT,
  RXCTRL,
  RXCTRL_RXEN_BIT,
  RXDCTL,
  RXDCTL_ENABLE_BIT,
  RXMPC,
  SRRCTL,
  SRRCTL_BSIZEHEADER_SHIFT,
  SRRCTL_DESCTYPE_SHIFT,
  SRRCTL_DROP_EN_BIT,
  TDBAH,
  TDBAL,
  TDH,
  TDLEN,
  TDT,
  TXDCTL,
  TXDCTL_ENABLE_BIT,
  TXDCTL_HTHRESH_SHIFT,
  TXDCTL_PTHRESH_SHIFT
} from "@vnic/nic-device/registers"
import type { RegisterWindow } from "./ports.ts"
import { BODY_BUFFER_BYTES, HEAD_BUFFER_BYTES } from "./strategy.ts"

/** The hash key that Microsoft publishes its verification vectors for. */
export const RSS_KEY = [
  0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
  0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
  0x01, 0xfa
] as const

const RETA_WORDS = 32
const MICROSECOND_PS = 1_000_000
const MILLISECOND_PS = 1000 * MICROSECOND_PS
const ALL_CAUSES = 0x7fff_ffff
const LMS_10G_SERIAL = 3

/** Why the device did not come up: the register that never showed what it must. */
export interface BringUpFailure {
  readonly step: string
  readonly register: string
  readonly waitedPs: number
}

/** What the device is set up for. */
export interface BringUpOptions {
  readonly queues: number
  readonly dropEnable: boolean
  /** Accept every frame, whoever it is addressed to. */
  readonly promiscuous: boolean
  readonly macAddress: ReadonlyArray<number>
  /** Least time between two interrupts of a queue. */
  readonly interruptIntervalPs: number
}

/** A ring as the device must know it. */
export interface RingPlace {
  readonly count: number
  readonly block: Coherent
}

const write = (registers: RegisterWindow, offset: number, value: number): void => registers.write(offset, value | 0)

const modify = (registers: RegisterWindow, offset: number, clear: number, set: number): void =>
  write(registers, offset, (registers.read(offset) & ~clear) | set)

/** Polls a register until `mask` reads `wanted`; undefined when it did. */
function waitFor(
  registers: RegisterWindow,
  step: string,
  register: string,
  offset: number,
  mask: number,
  wanted: number,
  everyPs: number,
  polls: number
): BringUpFailure | undefined {
  for (let poll = 0; poll < polls; poll++) {
    if ((registers.read(offset) & mask) === wanted) return undefined
    registers.delay(everyPs)
  }
  // Once more: what came true during the last wait counts.
  if ((registers.read(offset) & mask) === wanted) return undefined
  return { step, register, waitedPs: everyPs * polls }
}

/** Steps 1 to 8: reset, EEPROM, DMA, link, statistics. */
export function resetDevice(registers: RegisterWindow): BringUpFailure | undefined {
  maskInterrupts(registers)
  write(registers, CTRL, CTRL_RST_BIT | CTRL_LRST_BIT)
  const failure =
    waitFor(registers, "reset", "CTRL", CTRL, CTRL_RST_BIT | CTRL_LRST_BIT, 0, 10 * MICROSECOND_PS, 1000) ??
    waitAfterReset(registers)
  if (failure !== undefined) return failure
  maskInterrupts(registers)
  registers.read(EICR)
  modify(registers, AUTOC, AUTOC_LMS_MASK, (LMS_10G_SERIAL << AUTOC_LMS_SHIFT) | AUTOC_AN_RESTART_BIT)
  for (const counter of [GPRC, GPTC, RXMPC(0)]) registers.read(counter)
  for (let set = 0; set < 16; set++) registers.read(QPRDC(set))
  return undefined
}

function waitAfterReset(registers: RegisterWindow): BringUpFailure | undefined {
  // The datasheet asks for 10 ms before the device is touched again.
  registers.delay(10 * MILLISECOND_PS)
  return (
    waitFor(registers, "EEPROM auto-read", "EEC", EEC, EEC_AUTO_RD_BIT, EEC_AUTO_RD_BIT, MILLISECOND_PS, 100) ??
    waitFor(
      registers,
      "DMA initialisation",
      "RDRXCTL",
      RDRXCTL,
      RDRXCTL_DMAIDONE_BIT,
      RDRXCTL_DMAIDONE_BIT,
      MILLISECOND_PS,
      100
    )
  )
}

/** Steps 9 to 11: the receive side, all but the queues' enabling. */
export function setUpReceive(
  registers: RegisterWindow,
  options: BringUpOptions,
  rings: ReadonlyArray<RingPlace>
): void {
  modify(registers, RXCTRL, RXCTRL_RXEN_BIT, 0)
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = options.macAddress
  write(registers, RAL(0), a | (b << 8) | (c << 16) | (d << 24))
  write(registers, RAH(0), e | (f << 8) | RAH_AV_BIT)
  modify(registers, HLREG0, 0, HLREG0_RXCRCSTRP_BIT | HLREG0_TXCRCEN_BIT | HLREG0_TXPADEN_BIT)
  modify(
    registers,
    RDRXCTL,
    RDRXCTL_RSCFRSTSIZE_MASK,
    RDRXCTL_CRCSTRIP_BIT | RDRXCTL_RSCACKC_BIT | RDRXCTL_FCOE_WRFIX_BIT
  )
  const promiscuous = FCTRL_UPE_BIT | FCTRL_MPE_BIT
  modify(registers, FCTRL, promiscuous, FCTRL_BAM_BIT | (options.promiscuous ? promiscuous : 0))
  setUpSpreading(registers, options.queues)
  write(registers, PSRTYPE(0), 0)
  const drop = options.dropEnable ? SRRCTL_DROP_EN_BIT : 0
  rings.forEach((ring, queue) => {
    const sizes =
      (BODY_BUFFER_BYTES / BSIZEPACKET_STEP_BYTES) |
      ((HEAD_BUFFER_BYTES / BSIZEHEADER_STEP_BYTES) << SRRCTL_BSIZEHEADER_SHIFT)
    write(registers, SRRCTL(queue), sizes | (DESCTYPE_ADVANCED_SPLIT_ALWAYS << SRRCTL_DESCTYPE_SHIFT) | drop)
    write(registers, RDBAL(queue), ring.block.busAddr)
    write(registers, RDBAH(queue), Math.floor(ring.block.busAddr / 2 ** 32))
    write(registers, RDLEN(queue), ring.count * DESCRIPTOR_BYTES)
    write(registers, RDH(queue), 0)
    write(registers, RDT(queue), 0)
    modify(registers, DCA_RXCTRL(queue), DCA_RXCTRL_MUST_CLEAR_BIT, 0)
  })
  modify(registers, CTRL_EXT, 0, CTRL_EXT_NS_DIS_BIT)
}

/** Hash key, redirection table round robin over the queues, and which headers are hashed. */
function setUpSpreading(registers: RegisterWindow, queues: number): void {
  for (let word = 0; word < RSS_KEY.length / 4; word++) {
    const [a = 0, b = 0, c = 0, d = 0] = RSS_KEY.slice(4 * word, 4 * word + 4)
    write(registers, RSSRK(word), a | (b << 8) | (c << 16) | (d << 24))
  }
  for (let word = 0; word < RETA_WORDS; word++) {
    let entries = 0
    for (let index = 0; index < 4; index++) entries |= ((4 * word + index) % queues) << (8 * index)
    write(registers, RETA(word), entries)
  }
  modify(registers, RXCSUM, 0, RXCSUM_PCSD_BIT)
  const hashed = MRQC_TCP_IPV4_BIT | MRQC_IPV4_BIT | MRQC_UDP_IPV4_BIT
  write(registers, MRQC, MRQE_RSS | hashed | MRQC_TCP_IPV6_BIT | MRQC_IPV6_BIT | MRQC_UDP_IPV6_BIT)
}

/** Step 12: the transmit side, all but the queues' enabling. */
export function setUpTransmit(registers: RegisterWindow, rings: ReadonlyArray<RingPlace>): void {
  modify(registers, RTTDCS, 0, RTTDCS_ARBDIS_BIT)
  write(registers, DTXMXSZRQ, 0xfff)
  modify(registers, RTTDCS, RTTDCS_ARBDIS_BIT, 0)
  rings.forEach((ring, queue) => {
    write(registers, TDBAL(queue), ring.block.busAddr)
    write(registers, TDBAH(queue), Math.floor(ring.block.busAddr / 2 ** 32))
    write(registers, TDLEN(queue), ring.count * DESCRIPTOR_BYTES)
    write(registers, TDH(queue), 0)
    write(registers, TDT(queue), 0)
    // WTHRESH 0: what asks for a report is reported at once.
    write(registers, TXDCTL(queue), (32 << TXDCTL_PTHRESH_SHIFT) | (1 << TXDCTL_HTHRESH_SHIFT))
  })
  modify(registers, DMATXCTL, 0, DMATXCTL_TE_BIT)
}

/** One vector for both rings of a queue, masked as it fires, throttled. */
export function setUpInterrupts(registers: RegisterWindow, options: BringUpOptions): void {
  const causes = (1 << options.queues) - 1
  write(registers, GPIE, GPIE_MSIX_MODE_BIT | GPIE_OCD_BIT | GPIE_EIAME_BIT)
  write(registers, EIAC, causes)
  write(registers, EIAM, causes)
  const steps = Math.round(options.interruptIntervalPs / EITR_STEP_PS)
  for (let queue = 0; queue < options.queues; queue++) {
    const entry = queue | IVAR_ALLOC_VAL_BIT
    const shift = 16 * (queue & 1)
    modify(registers, IVAR(queue >> 1), 0xffff << shift, (entry | (entry << 8)) << shift)
    write(registers, EITR(queue), (steps << EITR_INTERVAL_SHIFT) & EITR_INTERVAL_MASK)
  }
}

/** Steps 13 and 14: a queue pair is enabled, then its receive tail handed over. */
export function startQueue(registers: RegisterWindow, queue: number, tail: number): BringUpFailure | undefined {
  modify(registers, RXDCTL(queue), 0, RXDCTL_ENABLE_BIT)
  modify(registers, TXDCTL(queue), 0, TXDCTL_ENABLE_BIT)
  const enabled = RXDCTL_ENABLE_BIT
  const failure =
    waitFor(registers, "enabling", `RXDCTL[${queue}]`, RXDCTL(queue), enabled, enabled, MILLISECOND_PS, 10) ??
    waitFor(registers, "enabling", `TXDCTL[${queue}]`, TXDCTL(queue), enabled, enabled, MILLISECOND_PS, 10)
  if (failure !== undefined) return failure
  write(registers, RDT(queue), tail)
  return undefined
}

/** Step 15: receive on, interrupts on, link up. */
export function startDevice(registers: RegisterWindow, queues: number): BringUpFailure | undefined {
  modify(registers, RXCTRL, 0, RXCTRL_RXEN_BIT)
  write(registers, EIMS, (1 << queues) - 1)
  return waitFor(registers, "link", "LINKS", LINKS, LINKS_UP_BIT, LINKS_UP_BIT, MILLISECOND_PS, 10_000)
}

/** No cause raises an interrupt any more. */
export const maskInterrupts = (registers: RegisterWindow): void => write(registers, EIMC, ALL_CAUSES)

/** Receive off, interrupts off, queues off: the device touches no memory any more. */
export function stopDevice(registers: RegisterWindow, queues: number): BringUpFailure | undefined {
  maskInterrupts(registers)
  modify(registers, RXCTRL, RXCTRL_RXEN_BIT, 0)
  for (let queue = 0; queue < queues; queue++) {
    modify(registers, RXDCTL(queue), RXDCTL_ENABLE_BIT, 0)
    modify(registers, TXDCTL(queue), TXDCTL_ENABLE_BIT, 0)
  }
  for (let queue = 0; queue < queues; queue++) {
    const enabled = RXDCTL_ENABLE_BIT
    const failure =
      waitFor(registers, "disabling", `RXDCTL[${queue}]`, RXDCTL(queue), enabled, 0, MILLISECOND_PS, 10) ??
      waitFor(registers, "disabling", `TXDCTL[${queue}]`, TXDCTL(queue), enabled, 0, MILLISECOND_PS, 10)
    if (failure !== undefined) return failure
  }
  // Writes under way have landed 100 us later [82599 4.6.7].
  registers.delay(100 * MICROSECOND_PS)
  return undefined
}
