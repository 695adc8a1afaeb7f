import { fail } from "@vnic/sim/core"
import { GENERAL_REGISTERS } from "./general.ts"
import { INTERRUPT_REGISTERS } from "./interrupt.ts"
import { LINK_REGISTERS } from "./link.ts"
import { RECEIVE_REGISTERS } from "./receive.ts"
import type { RegisterDefinition, RegisterField } from "./register.ts"
import { STATISTICS_REGISTERS } from "./statistics.ts"
import { TRANSMIT_REGISTERS } from "./transmit.ts"

/** Every register that the device has, chapter by chapter. */
export const REGISTERS: ReadonlyArray<RegisterDefinition> = [
  ...GENERAL_REGISTERS,
  ...INTERRUPT_REGISTERS,
  ...RECEIVE_REGISTERS,
  ...TRANSMIT_REGISTERS,
  ...LINK_REGISTERS,
  ...STATISTICS_REGISTERS
]

/** Size of the register window. */
export const REGISTER_WINDOW_BYTES = 0x20000

const byName = new Map(REGISTERS.map((definition) => [definition.name, definition]))

/** The description of a register. */
export function registerNamed(name: string): RegisterDefinition {
  return byName.get(name) ?? fail(`no register is called ${name}`)
}

/** Offset of register `index` of an array, at its first address. */
export function offsetOf(definition: RegisterDefinition, index: number): number {
  const { further } = definition
  if (further !== undefined && index >= further.first) return further.offset + (index - further.first) * further.stride
  return definition.offset + index * definition.stride
}

/** A field's description. */
export function fieldNamed(register: string, field: string): RegisterField {
  const found = registerNamed(register).fields.find(({ name }) => name === field)
  return found ?? fail(`${register} has no field ${field}`)
}

/** Offset of a single register. */
export const single = (name: string): number => registerNamed(name).offset

/** Offsets of an array of registers, by index. */
export const array = (name: string): ((index: number) => number) => {
  const { offset, stride, further } = registerNamed(name)
  if (further === undefined) return (index) => offset + index * stride
  const { first, offset: furtherOffset, stride: furtherStride } = further
  return (index) => (index < first ? offset + index * stride : furtherOffset + (index - first) * furtherStride)
}

/** The bit of a field of one bit, in place. */
export function bitOf(register: string, field: string): number {
  const { shift, bits } = fieldNamed(register, field)
  if (bits !== 1) fail(`${register}.${field} has more than one bit`)
  return 1 << shift
}

/** The bits of a field, in place. */
export function maskOf(register: string, field: string): number {
  const { shift, bits } = fieldNamed(register, field)
  return bits === 32 ? -1 : ((1 << bits) - 1) << shift
}

/** The lowest bit's number. */
export const shiftOf = (register: string, field: string): number => fieldNamed(register, field).shift
