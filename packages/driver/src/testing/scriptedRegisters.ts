/**
 * The registers of a device as a script tells them to behave. They start with the reset values of the register
 * table, keep what is written to them, and remember every access. A register can be told to show something else
 * than it should, for a while or for good: what a driver sees of a device that is slow, broken, or lies.
 */
import {
  CTRL,
  CTRL_LRST_BIT,
  CTRL_RST_BIT,
  LINKS,
  LINKS_UP_BIT,
  offsetOf,
  REGISTERS,
  REGISTER_WINDOW_BYTES
} from "@vnic/nic-device/registers"

/** One access, as a driver made it. */
export interface RegisterAccess {
  /** `post`: a posted write, noted when it reaches the device. */
  readonly kind: "read" | "write" | "post"
  /** As in the datasheet, arrays with their index: `RDT[2]`. */
  readonly register: string
  readonly value: number
}

interface Pretence {
  readonly mask: number
  readonly bits: number
  readonly isLie: boolean
  readsLeft: number
}

const RESET_BITS = CTRL_RST_BIT | CTRL_LRST_BIT

const namesByOffset = new Map<number, string>()
const resetValues = new Map<number, number>()
for (const definition of REGISTERS) {
  for (let index = 0; index < definition.count; index++) {
    const offset = offsetOf(definition, index)
    namesByOffset.set(offset, definition.count === 1 ? definition.name : `${definition.name}[${index}]`)
    resetValues.set(offset, index === 0 ? definition.resetOfFirst : definition.reset)
  }
}

/** The name of the register at an offset, or the offset itself where there is none. */
export const registerName = (offset: number): string => namesByOffset.get(offset) ?? `0x${offset.toString(16)}`

export class ScriptedRegisters {
  /** Every access since the beginning, in order. */
  readonly accesses: Array<RegisterAccess> = []
  /** Called when a write has taken effect. */
  onWrite: (offset: number, value: number) => void = () => {}
  private readonly words = new Int32Array(REGISTER_WINDOW_BYTES / 4)
  private readonly pretences = new Map<number, Pretence>()

  constructor() {
    this.reset()
  }

  /** All registers as after a reset; the link is up. What was told to pretend still does. */
  reset(): void {
    this.words.fill(0)
    for (const [offset, value] of resetValues) this.words[offset >> 2] = value
    this.words[LINKS >> 2]! |= LINKS_UP_BIT
  }

  /** The bits in `mask` change only after they were read so many times; until then they show `bits`. */
  late(offset: number, mask: number, bits: number, reads: number): void {
    this.pretences.set(offset, { mask, bits, isLie: false, readsLeft: reads })
  }

  /** The bits in `mask` are `bits`, whatever is written. */
  stuck(offset: number, mask: number, bits: number): void {
    this.late(offset, mask, bits, Infinity)
  }

  /** The bits in `mask` read as `bits`, but the device stays as it is: writes to them do nothing. */
  lie(offset: number, mask: number, bits: number): void {
    this.pretences.set(offset, { mask, bits, isLie: true, readsLeft: Infinity })
  }

  /** The register tells the truth again. */
  honest(offset: number): void {
    this.pretences.delete(offset)
  }

  /** What the device itself goes by: no access, and lies do not count. */
  peek(offset: number): number {
    const value = this.words[offset >> 2]!
    const pretence = this.pretences.get(offset)
    return pretence === undefined || pretence.isLie ? value : shown(value, pretence)
  }

  /** Sets a register from the device's side. */
  poke(offset: number, value: number): void {
    this.words[offset >> 2] = value
  }

  /** A read by the driver. */
  read(offset: number): number {
    let value = this.words[offset >> 2]!
    const pretence = this.pretences.get(offset)
    if (pretence !== undefined) {
      value = shown(value, pretence)
      if (--pretence.readsLeft <= 0) this.pretences.delete(offset)
    }
    this.accesses.push({ kind: "read", register: registerName(offset), value })
    return value
  }

  /** A write that has reached the device. */
  write(offset: number, value: number, kind: "write" | "post"): void {
    this.accesses.push({ kind, register: registerName(offset), value })
    const pretence = this.pretences.get(offset)
    const kept = pretence?.isLie === true ? pretence.mask : 0
    if (offset === CTRL && (value & RESET_BITS) !== 0) this.reset()
    const selfClearing = offset === CTRL ? RESET_BITS : 0
    this.words[offset >> 2] = (this.words[offset >> 2]! & kept) | (value & ~kept & ~selfClearing)
    this.onWrite(offset, value)
  }

  /** Names of the registers that were written, in order. */
  written(): ReadonlyArray<string> {
    return this.accesses.filter(({ kind }) => kind !== "read").map(({ register }) => register)
  }
}

const shown = (value: number, { bits, mask }: Pretence): number => (value & ~mask) | (bits & mask)
