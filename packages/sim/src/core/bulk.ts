/**
 * Copies and comparisons of many bytes, in a hundred bytes of WebAssembly: 16 bytes at a time, where JavaScript's
 * ways are a call into the engine (copies) or four bytes at a time (comparisons).
 */
import { assert } from "./assert.ts"

const PAGE_BYTES = 65536

interface WebAssemblyMemory {
  readonly buffer: ArrayBuffer
}

/** What is used of the platform's WebAssembly. */
declare const WebAssembly: {
  readonly Memory: new (limits: { readonly initial: number; readonly maximum: number }) => WebAssemblyMemory
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (
    module: object,
    imports: { readonly sim: { readonly memory: WebAssemblyMemory } }
  ) => { readonly exports: BulkCalls }
}

/** Addresses and sizes are int32. */
export interface BulkCalls {
  /** Copies `sizeBytes` from `from` to `to`. */
  readonly copy: (to: number, from: number, sizeBytes: number) => void
  /** 1 when two ranges hold the same bytes, else 0. */
  readonly same: (left: number, right: number, sizeBytes: number) => number
}

type Code = ReadonlyArray<number>

/** Code in one piece, from numbers and pieces. */
const code = (...parts: ReadonlyArray<number | Code>): Code => parts.flat()

// Instructions, by their names in the WebAssembly specification, section 5.4.
const get = (local: number): Code => [0x20, local]
const set = (local: number): Code => [0x21, local]
const constant = (value: number): Code => [0x41, value]
const [I32_EQZ, I32_NE, I32_LT_U, I32_ADD, I32_SUB] = [0x45, 0x47, 0x49, 0x6a, 0x6b] as const
const LOAD_BYTE = [0x2d, 0, 0]
const V128_LOAD = [0xfd, 0, 0, 0]
const V128_XOR = [0xfd, 0x51]
const V128_ANY_TRUE = [0xfd, 0x53]
const MEMORY_COPY = [0xfc, 10, 0, 0]
const END = 0x0b
const BLOCK = [0x02, 0x40]
const LOOP = [0x03, 0x40]
/** Out of the block around a loop, when there is something else than 0 on the stack; back to a loop's beginning. */
const LEAVE_IF = [0x0d, 1]
const AGAIN = [0x0c, 0]
const RETURN_FALSE_IF = code([0x04, 0x40], constant(0), 0x0f, END)

// Parameters of both functions.
const LEFT = 0
const RIGHT = 1
const SIZE = 2

/** Goes on behind the next bytes of both ranges. */
const advanceBy = (bytes: number): Code =>
  code(
    code(get(LEFT), constant(bytes), I32_ADD, set(LEFT)),
    code(get(RIGHT), constant(bytes), I32_ADD, set(RIGHT)),
    code(get(SIZE), constant(bytes), I32_SUB, set(SIZE))
  )

const VECTOR_BYTES = 16
const COPY = code(get(LEFT), get(RIGHT), get(SIZE), MEMORY_COPY, END)
const SAME = code(
  code(BLOCK, LOOP, get(SIZE), constant(VECTOR_BYTES), I32_LT_U, LEAVE_IF),
  code(get(LEFT), V128_LOAD, get(RIGHT), V128_LOAD, V128_XOR, V128_ANY_TRUE, RETURN_FALSE_IF),
  code(advanceBy(VECTOR_BYTES), AGAIN, END, END),
  code(BLOCK, LOOP, get(SIZE), I32_EQZ, LEAVE_IF),
  code(get(LEFT), LOAD_BYTE, get(RIGHT), LOAD_BYTE, I32_NE, RETURN_FALSE_IF),
  code(advanceBy(1), AGAIN, END, END),
  code(constant(1), END)
)

/** Something behind its own length, which is in seven bits a byte. */
const sized = (...parts: ReadonlyArray<number | Code>): Code => {
  const bytes = code(...parts)
  assert(bytes.length < 0x4000, "a part of the module is too long")
  return code(bytes.length < 0x80 ? bytes.length : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7], bytes)
}
const name = (text: string): Code => sized(Array.from(text, (letter) => letter.codePointAt(0)!))

const I32 = 0x7f
const FUNCTION_TYPE = 0x60
const NO_LOCALS = 0
const MODULE = Uint8Array.from(
  code(
    [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    // Types: three numbers to nothing, and to one; an import, the memory, of any size; a function of each type.
    code(1, sized(2, FUNCTION_TYPE, [3, I32, I32, I32], 0, FUNCTION_TYPE, [3, I32, I32, I32], [1, I32])),
    code(2, sized(1, name("sim"), name("memory"), [2, 0, 0])),
    code(3, sized(2, [0, 1])),
    // Exports, and the code of the functions.
    code(7, sized(2, name("copy"), [0, 0], name("same"), [0, 1])),
    code(10, sized(2, sized(NO_LOCALS, COPY), sized(NO_LOCALS, SAME)))
  )
)

/** Zeroed memory of at least `sizeBytes`, and the calls that work on it. */
export const makeBulk = (sizeBytes: number): { readonly buffer: ArrayBuffer; readonly calls: BulkCalls } => {
  const pages = Math.ceil(sizeBytes / PAGE_BYTES)
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages })
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(MODULE), { sim: { memory } })
  return { buffer: memory.buffer, calls: exports }
}
