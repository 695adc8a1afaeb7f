/**
 * The 128 KiB register window as storage with access modes. Registers that do something when they are read
 * or written get a handler; the others only store. Second addresses lead to the same word.
 *
 * MODEL: offsets that the table does not list read 0 and ignore writes; they are counted.
 */
import { offsetOf, REGISTER_WINDOW_BYTES, registerNamed, REGISTERS, type RegisterDefinition } from "../registers.ts"

/** Runs when a register was written; `value` is what was written, before access modes. */
export type WriteHandler = (index: number, value: number) => void
/** Answers a read of a register. */
export type ReadHandler = (index: number) => number

const WINDOW_WORDS = REGISTER_WINDOW_BYTES / 4
const UNLISTED = -1

export class RegisterFile {
  /** The window's words; only a register's first address is used. */
  readonly words = new Int32Array(WINDOW_WORDS)
  /** Reads and writes outside the table, or not aligned. */
  unlistedAccesses = 0
  /** First address of each word's register, and which register of which definition it is. */
  private readonly home = new Int32Array(WINDOW_WORDS)
  private readonly definitionAt = new Int16Array(WINDOW_WORDS).fill(UNLISTED)
  private readonly indexAt = new Uint8Array(WINDOW_WORDS)
  private readonly writable = new Int32Array(WINDOW_WORDS)
  private readonly isReadClear = new Uint8Array(REGISTERS.length)
  private readonly onWrite: Array<WriteHandler | undefined> = REGISTERS.map(() => undefined)
  private readonly onRead: Array<ReadHandler | undefined> = REGISTERS.map(() => undefined)

  constructor() {
    REGISTERS.forEach((definition, number) => {
      if (definition.access === "RC") this.isReadClear[number] = 1
      for (let index = 0; index < definition.count; index++) this.place(definition, number, index)
    })
    this.reset()
  }

  private place(definition: RegisterDefinition, number: number, index: number): void {
    const word = offsetOf(definition, index) >> 2
    this.settle(word, word, number, index)
    this.writable[word] = definition.writable
    const { mirror } = definition
    if (mirror !== undefined && index < mirror.count) {
      this.settle((mirror.offset + index * mirror.stride) >> 2, word, number, index)
    }
  }

  private settle(word: number, home: number, number: number, index: number): void {
    this.home[word] = home
    this.definitionAt[word] = number
    this.indexAt[word] = index
  }

  /** Every register to its reset value; handlers do not run. */
  reset(): void {
    for (const definition of REGISTERS) {
      for (let index = 0; index < definition.count; index++) {
        this.words[offsetOf(definition, index) >> 2] = index === 0 ? definition.resetOfFirst : definition.reset
      }
    }
  }

  /** `handler` runs after each write of a register called `name`. */
  whenWritten(name: string, handler: WriteHandler): void {
    this.onWrite[REGISTERS.indexOf(registerNamed(name))] = handler
  }

  /** `handler` answers the reads of registers called `name`. */
  whenRead(name: string, handler: ReadHandler): void {
    this.onRead[REGISTERS.indexOf(registerNamed(name))] = handler
  }

  private definitionOf(offset: number): number {
    const inside = (offset & 3) === 0 && offset >= 0 && offset < REGISTER_WINDOW_BYTES
    const definition = inside ? this.definitionAt[offset >> 2]! : UNLISTED
    if (definition === UNLISTED) this.unlistedAccesses++
    return definition
  }

  /** What a driver's read returns, as int32. */
  read(offset: number): number {
    const definition = this.definitionOf(offset)
    if (definition === UNLISTED) return 0
    const handler = this.onRead[definition]
    if (handler !== undefined) return handler(this.indexAt[offset >> 2]!) | 0
    const word = this.home[offset >> 2]!
    const value = this.words[word]!
    if (this.isReadClear[definition] === 1) this.words[word] = 0
    return value
  }

  /** A driver's write. */
  write(offset: number, value: number): void {
    const definition = this.definitionOf(offset)
    if (definition === UNLISTED) return
    const word = this.home[offset >> 2]!
    const writable = this.writable[word]!
    this.words[word] = (this.words[word]! & ~writable) | (value & writable)
    const handler = this.onWrite[definition]
    if (handler !== undefined) handler(this.indexAt[offset >> 2]!, value | 0)
  }

  /** The stored word of a register, without any effect. */
  peek(offset: number): number {
    return this.words[offset >> 2]!
  }

  /** Sets the stored word of a register at its first address, without any effect. */
  poke(offset: number, value: number): void {
    this.words[offset >> 2] = value
  }
}
