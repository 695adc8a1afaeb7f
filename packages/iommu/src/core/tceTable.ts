/**
 * A table of translation control entries as the pseries platform defines it: one level, one 8-byte entry
 * for each IOMMU page of a DMA window. The table lies in the simulated memory in its real layout:
 * big-endian 64-bit entries, bit 0 the device may read, bit 1 the device may write (the format of PCI
 * windows; virtual-bus windows differ), the real page number from the page shift up.
 *
 * Entries are handled as a high and a low 32-bit word. Memory ends below 2^31, so a valid entry's high
 * word is 0 and its low word a small non-negative integer; an entry without permission may hold anything.
 */
import { assert, type Memory } from "@vnic/sim/core"
import { PIN_SHIFT } from "./pins.ts"

/** The device may read. Also the access bit of a read. */
export const TCE_READ = 1
/** The device may write. Also the access bit of a write. */
export const TCE_WRITE = 2
/** Both permission bits; an entry with neither maps nothing. */
export const TCE_PERMISSION = TCE_READ | TCE_WRITE

/** Bytes of one entry. */
export const TCE_BYTES = 8

/** Bus addresses end here. MODEL: windows above 4 GiB are not modelled. */
export const BUS_ADDRESS_END = 0x1_0000_0000

// Exported and imported names cost a load and a check at each use; hot paths have their own.
const swap = (word: number): number => (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)

/** Reverses the bytes of a 32-bit word. */
export const byteSwap = swap

/**
 * LIOBN of a PCI window, as QEMU composes it: top bit, number of the host bridge, number of its window.
 * An int32, so usually negative; show it unsigned.
 */
export const pciLiobn = (hostBridge: number, window: number): number => 0x8000_0000 | (hostBridge << 8) | window

export interface TceTableOptions {
  readonly memory: Memory
  /** Where the table starts in the memory, bytes; 8-byte aligned. The caller owns the storage. */
  readonly tableOffset: number
  /** The number that hypercalls name the table by, int32. */
  readonly liobn: number
  /** First bus address of the window; a whole number of IOMMU pages. */
  readonly windowStart: number
  /** Size of the window; a whole number of IOMMU pages. */
  readonly windowBytes: number
  /** log2 of the IOMMU page size: 12 for 4 KiB. */
  readonly pageShift: number
}

/** Storage that a table needs for its window. */
export const tceTableBytes = (windowBytes: number, pageShift: number): number =>
  (windowBytes / 2 ** pageShift) * TCE_BYTES

export class TceTable {
  declare readonly liobn: number
  declare readonly windowStart: number
  declare readonly windowBytes: number
  declare readonly pageShift: number
  /** Bits of an address below the page. */
  declare readonly pageMask: number
  declare readonly pageBytes: number
  /** 4 KiB pages of one IOMMU page: what an entry pins. */
  declare readonly pinPages: number
  /** Entries of the table. */
  declare readonly pageCount: number
  /** Bus page number of the first entry. */
  declare readonly firstPage: number
  declare readonly tableOffset: number
  declare readonly tableBytes: number
  /** The memory's words, in which entry n is words[firstWord + 2n] (high) and the next (low), byte-swapped. */
  declare readonly words: Int32Array
  declare readonly firstWord: number

  constructor(options: TceTableOptions) {
    const { memory, pageShift, tableOffset, windowBytes, windowStart } = options
    const pageBytes = 1 << pageShift
    assert(pageShift >= 12 && pageShift <= 24, "an IOMMU page is 4 KiB to 16 MiB")
    assert(windowBytes > 0 && windowBytes % pageBytes === 0, "a window is not whole IOMMU pages")
    assert(windowStart >= 0 && windowStart % pageBytes === 0, "a window does not start at an IOMMU page")
    assert(windowStart + windowBytes <= BUS_ADDRESS_END, "a window ends above 4 GiB")
    this.tableBytes = tceTableBytes(windowBytes, pageShift)
    assert(tableOffset % TCE_BYTES === 0, "a TCE table is not aligned")
    assert(
      tableOffset >= 0 && tableOffset + this.tableBytes <= memory.bytes.length,
      "a TCE table is outside the memory"
    )
    this.liobn = options.liobn | 0
    this.windowStart = windowStart
    this.windowBytes = windowBytes
    this.pageShift = pageShift
    this.pageBytes = pageBytes
    this.pageMask = pageBytes - 1
    this.pinPages = pageBytes >> PIN_SHIFT
    // Quotients made small integers: V8 keeps a double where a division was, and then computes in doubles.
    this.pageCount = (windowBytes / pageBytes) | 0
    this.firstPage = (windowStart / pageBytes) | 0
    this.tableOffset = tableOffset | 0
    this.words = memory.words
    this.firstWord = tableOffset >> 2
    memory.words.fill(0, this.firstWord, this.firstWord + this.pageCount * 2)
  }

  /** Index of the entry that a bus address belongs to, or -1 outside the window. */
  readonly indexOf = (busAddr: number): number => {
    const shift = this.pageShift
    const page = ((busAddr | 0) === busAddr ? busAddr >> shift : wideBusPage(busAddr, shift)) - this.firstPage
    return page >= 0 && page < this.pageCount ? page : -1
  }

  /** Low word of an entry: permission bits and the address's low half. */
  readonly low = (index: number): number => {
    return swap(this.words[this.firstWord + (index << 1) + 1]!)
  }

  /** High word of an entry. */
  readonly high = (index: number): number => {
    return swap(this.words[this.firstWord + (index << 1)]!)
  }

  /** Stores an entry. */
  readonly set = (index: number, high: number, low: number): void => {
    const word = this.firstWord + (index << 1)
    this.words[word] = swap(high)
    this.words[word + 1] = swap(low)
  }
}

/** Bus page of an address that is no int32; -1 when it is no bus address at all. */
const wideBusPage = (busAddr: number, shift: number): number =>
  busAddr >= 0 && busAddr < BUS_ADDRESS_END ? busAddr >>> shift : -1

/** A table in which every entry maps nothing. */
export const makeTceTable = (options: TceTableOptions): TceTable => new TceTable(options)
