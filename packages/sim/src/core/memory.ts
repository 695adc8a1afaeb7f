/**
 * The flat simulated physical memory of the host, and the storage of devices and link partners that lies
 * outside it. Both are one array of bytes, so that a copy between them is one call and makes no view; but
 * host addresses end at `hostSizeBytes`, and a device reaches the host's part through its bus-master port.
 *
 * Words are little-endian, as on the PCIe bus, whatever the byte order of the simulated CPU.
 */
import { assert, fail } from "./assert.ts"
import { type BulkCalls, makeBulk } from "./bulk.ts"

/** An address in the host's physical memory, bytes from 0. */
export type PhysAddr = number

/** Largest memory in all: addresses stay below 2^31, so that they are small integers everywhere. */
export const MEMORY_BYTES_MAX = 0x7fff_f000

/** Copies up to this length go word by word: below it a bulk copy's call costs more than its work. */
const WORDWISE_BYTES_MAX = 64

export class Memory {
  declare readonly bytes: Uint8Array
  /** The same bytes as 32-bit words: word index = address / 4. */
  declare readonly words: Int32Array
  declare readonly hostSizeBytes: number
  declare private nextOutside: number
  declare private readonly bulk: BulkCalls

  constructor(hostSizeBytes: number, outsideBytes: number) {
    const sizeBytes = hostSizeBytes + outsideBytes
    assert(hostSizeBytes % 4096 === 0 && sizeBytes <= MEMORY_BYTES_MAX, "memory size out of range")
    const pageBytes = Math.ceil(sizeBytes / 4096) * 4096
    const { buffer, calls } = makeBulk(pageBytes)
    this.bulk = calls
    this.bytes = new Uint8Array(buffer, 0, pageBytes)
    this.words = new Int32Array(buffer, 0, pageBytes >> 2)
    this.hostSizeBytes = hostSizeBytes
    this.nextOutside = hostSizeBytes
  }

  /** Sets storage outside the host's memory aside, 64-byte aligned; returns its offset. Never given back. */
  readonly reserveOutside = (sizeBytes: number): number => {
    const offset = this.nextOutside
    const end = offset + Math.ceil(sizeBytes / 64) * 64
    if (end > this.bytes.length) fail("no storage is left outside the host's memory")
    this.nextOutside = end
    return offset
  }

  /** Copies bytes anywhere in the array. The ranges must not overlap. */
  readonly copy = (from: number, to: number, sizeBytes: number): void => {
    if (sizeBytes > WORDWISE_BYTES_MAX || ((from | to) & 3) !== 0) {
      this.bulk.copy(to, from, sizeBytes)
      return
    }
    const words = this.words
    const whole = sizeBytes & ~3
    const fromWord = from >> 2
    const toWord = to >> 2
    for (let word = 0; word < whole >> 2; word++) words[toWord + word] = words[fromWord + word]!
    const bytes = this.bytes
    for (let index = whole; index < sizeBytes; index++) bytes[to + index] = bytes[from + index]!
  }

  /** True when two ranges hold the same bytes. */
  readonly equals = (left: number, right: number, sizeBytes: number): boolean => {
    return this.bulk.same(left, right, sizeBytes) !== 0
  }
}

/** Host memory of `hostSizeBytes` and `outsideBytes` of storage for what is not the host. */
export const makeMemory = (hostSizeBytes: number, outsideBytes: number): Memory =>
  new Memory(hostSizeBytes, outsideBytes)
