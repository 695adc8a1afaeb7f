/** How one register of the device is described, in the shape of the datasheet's register chapter. */

/**
 * What reading and writing does.
 * RO read only; RW read and write; RC a read returns and clears; W1C and W1S a written 1 clears or sets
 * the bit; SC the bit clears itself when the work that it starts is done.
 */
export type Access = "RO" | "RW" | "RC" | "W1C" | "W1S" | "SC"

/** Chapters of the table. */
export type Section = "general" | "interrupt" | "receive" | "transmit" | "link" | "statistics"

/** Some neighbouring bits of a register. */
export interface RegisterField {
  readonly name: string
  /** Lowest bit. */
  readonly shift: number
  /** Number of bits. */
  readonly bits: number
  readonly about: string
  /** Where it differs from the register's. */
  readonly access?: Access
}

/** Equally spaced addresses of registers with consecutive indices. */
export interface Bank {
  /** Index of the first register of the bank. */
  readonly first: number
  readonly offset: number
  readonly stride: number
  readonly count: number
}

/** A register, or an array of registers of one kind. */
export interface RegisterDefinition {
  readonly name: string
  readonly section: Section
  /** Byte offset of the first one in the 128 KiB window. */
  readonly offset: number
  /** Bytes from one to the next. */
  readonly stride: number
  /** Registers of the array. */
  readonly count: number
  readonly access: Access
  /** Value after a reset. */
  readonly reset: number
  /** Value of the array's first register after a reset, where it differs. */
  readonly resetOfFirst: number
  /** Bits that keep what is written to them. */
  readonly writable: number
  /** Where offset, reset value and bits were read. */
  readonly source: string
  readonly about: string
  readonly fields: ReadonlyArray<RegisterField>
  /** Where the registers from a certain index on sit. */
  readonly further: Bank | undefined
  /** Second address of the same registers. */
  readonly mirror: Bank | undefined
}

/** What may be left out of a description. */
export interface RegisterDetails {
  readonly stride?: number
  readonly count?: number
  readonly access?: Access
  readonly reset?: number
  readonly resetOfFirst?: number
  readonly writable?: number
  readonly source?: string
  readonly fields?: ReadonlyArray<RegisterField>
  readonly further?: Bank
  readonly mirror?: Bank
}

const ALL_BITS = -1

/** A maker of descriptions for one chapter. */
export const describing =
  (section: Section, access: Access, source: string) =>
  (name: string, offset: number, about: string, details: RegisterDetails = {}): RegisterDefinition => {
    const reset = details.reset ?? 0
    const own = details.access ?? access
    return {
      name,
      section,
      offset,
      stride: details.stride ?? 4,
      count: details.count ?? 1,
      access: own,
      reset: reset | 0,
      resetOfFirst: (details.resetOfFirst ?? reset) | 0,
      writable: own === "RW" ? (details.writable ?? ALL_BITS) | 0 : 0,
      source: details.source ?? source,
      about,
      fields: details.fields ?? [],
      further: details.further,
      mirror: details.mirror
    }
  }

/** A field of one bit. */
export const bit = (name: string, shift: number, about: string, access?: Access): RegisterField =>
  access === undefined ? { name, shift, bits: 1, about } : { name, shift, bits: 1, about, access }

/** A field of several bits. */
export const bits = (name: string, shift: number, count: number, about: string): RegisterField => ({
  name,
  shift,
  bits: count,
  about
})

/** A bank of addresses; the first index is 0 unless given. */
export const bank = (offset: number, stride: number, count: number, first = 0): Bank => ({
  first,
  offset,
  stride,
  count
})
