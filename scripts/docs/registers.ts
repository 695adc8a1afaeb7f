/** The register table as a page. */
import {
  type Bank,
  type RegisterDefinition,
  type RegisterField,
  REGISTERS,
  type Section
} from "@vnic/nic-device/registers"
import { capitalized, code, type Page, page, table } from "./page.ts"

const hex = (value: number, digits: number): string => `0x${(value >>> 0).toString(16).padStart(digits, "0")}`

const bankText = ({ count, first, offset, stride }: Bank): string => {
  const index = first === 0 ? "n" : `(n - ${first})`
  return count === 1 ? hex(offset, 5) : `${hex(offset, 5)} + ${hex(stride, 2)} ${index}`
}

const offsetText = ({ count, further, mirror, offset, stride }: RegisterDefinition): string => {
  const own = bankText({ first: 0, offset, stride, count })
  const parts = further === undefined ? [own] : [`${own} below ${further.first}`, `then ${bankText(further)}`]
  if (mirror !== undefined) parts.push(`also at ${bankText(mirror)}`)
  return parts.join("; ")
}

const resetText = ({ reset, resetOfFirst }: RegisterDefinition): string =>
  resetOfFirst === reset ? hex(reset, 8) : `${hex(reset, 8)}; the first ${hex(resetOfFirst, 8)}`

const writableText = ({ access, writable }: RegisterDefinition): string =>
  access !== "RW" || writable === -1 ? "" : hex(writable, 8)

const registerRow = (register: RegisterDefinition): ReadonlyArray<string> => [
  code(register.name),
  offsetText(register),
  register.count === 1 ? "" : `${register.count}`,
  register.access,
  resetText(register),
  writableText(register),
  register.about
]

const bitsText = ({ bits, shift }: RegisterField): string => (bits === 1 ? `${shift}` : `${shift + bits - 1}:${shift}`)

const fieldRows = ({ access, fields, name }: RegisterDefinition): ReadonlyArray<ReadonlyArray<string>> =>
  fields.map((field) => [
    code(`${name}.${field.name}`),
    bitsText(field),
    field.access === undefined || field.access === access ? "" : field.access,
    field.about
  ])

const chapter = (section: Section): ReadonlyArray<string> => {
  const registers = REGISTERS.filter((register) => register.section === section)
  const fields = registers.flatMap(fieldRows)
  const sources = [...new Set(registers.map(({ source }) => source))].toSorted()
  return [
    `## ${capitalized(section)}`,
    table(["Register", "Offset", "Count", "Access", "Reset", "Writable", "Meaning"], registers.map(registerRow)),
    ...(fields.length === 0 ? [] : [table(["Field", "Bits", "Access", "Meaning"], fields)]),
    `Read from: ${sources.join("; ")}.`
  ]
}

const LEGEND = `Offsets are bytes in the register window. RO: read only. RW: read and write. RC: a read returns and
clears. W1C and W1S: a written 1 clears or sets the bit. SC: the bit clears itself when the work that it starts is
done. Where "Writable" is empty, a register that can be written keeps all bits. A field has its register's access
unless its own is given.`

/** docs/reference/registers.md */
export const registersPage = (): Page => {
  const sections = [...new Set(REGISTERS.map(({ section }) => section))]
  const parts = [LEGEND, ...sections.flatMap(chapter)]
  return page("registers.md", "Registers", "packages/nic-device/src/registers", parts)
}
