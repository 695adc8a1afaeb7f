/**
 * The host's side of the paravirtual IOMMU: the hypercalls by which a guest changes its TCE tables. Every
 * call checks what the guest passes, updates the table, and pins and lets go of the guest pages mapped.
 *
 * Bus addresses (`ioba`) are non-negative numbers; TCEs are a low word and, where it matters, a high one.
 * The calling CPU is named only because its local time is when the call takes effect.
 *
 * MODEL: where KVM hands a call that it cannot serve to user space (H_TOO_HARD: an unknown LIOBN, an
 * address outside the guest's memory), the guest here gets H_PARAMETER at once.
 */
import { assert, type Memory } from "@vnic/sim/core"
import { makePins, PIN_SHIFT, type Pins } from "./pins.ts"
import { H_FUNCTION, H_HARDWARE, H_PARAMETER, H_SUCCESS } from "./returnCodes.ts"
import { byteSwap, TCE_BYTES, TCE_PERMISSION, type TceTable } from "./tceTable.ts"

/** Most entries of one H_PUT_TCE_INDIRECT: a list is one 4 KiB page. */
export const TCE_LIST_ENTRIES_MAX = 512
/** Size and alignment of a list. */
export const TCE_LIST_BYTES = TCE_LIST_ENTRIES_MAX * TCE_BYTES

// Exported and imported constants cost a load and a check at each use; the hot path has its own.
const SUCCESS = H_SUCCESS
const PARAMETER = H_PARAMETER
const PERMISSION = TCE_PERMISSION
const swap = byteSwap

export interface HypervisorOptions {
  /** The guest's memory is all of `hostSizeBytes`, less the tables. */
  readonly memory: Memory
  /** Each CPU's time, picoseconds: when its hypercalls take effect. */
  readonly localPs: Float64Array
  /** Does the platform offer H_PUT_TCE_INDIRECT and H_STUFF_TCE? */
  readonly multiTce: boolean
  /** Most 4 KiB pages that may be pinned; without it there is no limit. */
  readonly pinnedPagesLimit?: number
}

export class Hypervisor {
  declare readonly pins: Pins
  declare readonly multiTce: boolean
  /** What H_GET_TCE read last: [0] high word, [1] low word. */
  readonly entry = new Int32Array(2)
  /** The hypercall with this number (1 is the next one) is refused with `failCode`, once; 0 means none. */
  failAt = 0
  failCode = H_HARDWARE
  private readonly tables: Array<TceTable> = []
  declare private firstTable: TceTable | undefined
  declare private readonly words: Int32Array
  declare private readonly guestBytes: number
  declare private readonly localPs: Float64Array

  constructor(options: HypervisorOptions) {
    this.guestBytes = options.memory.hostSizeBytes
    this.words = options.memory.words
    this.localPs = options.localPs
    this.multiTce = options.multiTce
    this.pins = makePins(this.guestBytes, options.pinnedPagesLimit ?? this.guestBytes >> PIN_SHIFT)
  }

  /** Puts a table under its LIOBN. From now on no guest may map the table's own storage. */
  readonly addTable = (table: TceTable): void => {
    assert(this.find(table.liobn) === undefined, "two TCE tables have one LIOBN")
    this.tables.push(table)
    this.firstTable = this.tables[0]
    if (table.tableOffset < this.guestBytes) this.pins.forbid(table.tableOffset, table.tableBytes)
  }

  /** H_PUT_TCE: stores one entry. */
  readonly hPutTce = (cpu: number, liobn: number, ioba: number, tceLow: number, tceHigh = 0): number => {
    if (this.failAt !== 0 && this.isToldToFail()) return this.failCode
    const table = this.find(liobn)
    if (table === undefined) return PARAMETER
    const index = table.indexOf(ioba)
    if (index < 0 || (ioba & table.pageMask) !== 0) return PARAMETER
    return this.exchange(cpu, table, index, tceHigh, tceLow)
  }

  /**
   * H_PUT_TCE_INDIRECT: stores `count` entries from a list in the guest's memory, for consecutive pages.
   * All are checked before the first is stored; they are read again when stored, and what was stored
   * before a refusal (the pinning limit) stays.
   */
  readonly hPutTceIndirect = (cpu: number, liobn: number, ioba: number, listPhys: number, count: number): number => {
    if (this.failAt !== 0 && this.isToldToFail()) return this.failCode
    if (!this.multiTce) return H_FUNCTION
    const table = this.find(liobn)
    if (table === undefined) return PARAMETER
    if (count > TCE_LIST_ENTRIES_MAX || (listPhys & (TCE_LIST_BYTES - 1)) !== 0) return PARAMETER
    if (!this.pins.isGuestMemory(listPhys, 1)) return PARAMETER
    const index = firstOfRange(table, ioba, count)
    if (index < 0) return PARAMETER
    const words = this.words
    const listWord = listPhys >> 2
    const endWord = listWord + count * 2
    for (let word = listWord; word < endWord; word += 2) {
      if (!this.isAcceptable(table, swap(words[word]!), swap(words[word + 1]!))) return PARAMETER
    }
    for (let entry = 0; entry < count; entry++) {
      const word = listWord + (entry << 1)
      const code = this.exchange(cpu, table, index + entry, swap(words[word]!), swap(words[word + 1]!))
      if (code !== SUCCESS) return code
    }
    return SUCCESS
  }

  /** H_STUFF_TCE: stores one entry, which must map nothing, for `count` consecutive pages. */
  readonly hStuffTce = (
    cpu: number,
    liobn: number,
    ioba: number,
    tceLow: number,
    count: number,
    tceHigh = 0
  ): number => {
    if (this.failAt !== 0 && this.isToldToFail()) return this.failCode
    if (!this.multiTce) return H_FUNCTION
    const table = this.find(liobn)
    if (table === undefined) return PARAMETER
    if ((tceLow & PERMISSION) !== 0) return PARAMETER
    const index = firstOfRange(table, ioba, count)
    if (index < 0) return PARAMETER
    for (let entry = index; entry < index + count; entry++) this.store(cpu, table, entry, tceHigh, tceLow)
    return SUCCESS
  }

  /** H_GET_TCE: reads one entry into `entry`. */
  readonly hGetTce = (liobn: number, ioba: number): number => {
    if (this.failAt !== 0 && this.isToldToFail()) return this.failCode
    const table = this.find(liobn)
    if (table === undefined) return PARAMETER
    const index = table.indexOf(ioba)
    if (index < 0 || (ioba & table.pageMask) !== 0) return PARAMETER
    this.entry[0] = table.high(index)
    this.entry[1] = table.low(index)
    return SUCCESS
  }

  private readonly find = (liobn: number): TceTable | undefined => {
    const first = this.firstTable
    if (first !== undefined && first.liobn === liobn) return first
    return this.tables.find((table) => table.liobn === liobn)
  }

  private readonly isToldToFail = (): boolean => {
    return --this.failAt === 0
  }

  /** Of an entry that maps something: is its address whole pages below 4 GiB? */
  private readonly isAligned = (table: TceTable, high: number, low: number): boolean => {
    return high === 0 && (low & table.pageMask & ~PERMISSION) === 0
  }

  /** An entry that maps nothing always is; another must name whole pages of the guest's memory. */
  private readonly isAcceptable = (table: TceTable, high: number, low: number): boolean => {
    if ((low & PERMISSION) === 0) return true
    return this.isAligned(table, high, low) && this.pins.isGuestMemory(low & ~table.pageMask, table.pinPages)
  }

  /** Pins what the new entry maps, stores it, and lets go of what the old one mapped, in this order. */
  private readonly exchange = (cpu: number, table: TceTable, index: number, high: number, low: number): number => {
    if ((low & PERMISSION) !== 0) {
      if (!this.isAligned(table, high, low)) return PARAMETER
      const code = this.pins.pin(low & ~table.pageMask, table.pinPages, this.localPs, cpu)
      if (code !== SUCCESS) return code
    }
    this.store(cpu, table, index, high, low)
    return SUCCESS
  }

  private readonly store = (cpu: number, table: TceTable, index: number, high: number, low: number): void => {
    const old = table.low(index)
    table.set(index, high, low)
    if ((old & PERMISSION) !== 0) this.pins.unpin(old & ~table.pageMask, table.pinPages, this.localPs, cpu)
  }
}

/** Index of the first of `count` entries from `ioba` on; -1 when they are not all inside the window. */
function firstOfRange(table: TceTable, ioba: number, count: number): number {
  const index = table.indexOf(ioba)
  if (index < 0 || (ioba & table.pageMask) !== 0) return -1
  return count >= 0 && count <= table.pageCount - index ? index : -1
}

/** A hypervisor without tables. */
export const makeHypervisor = (options: HypervisorOptions): Hypervisor => new Hypervisor(options)
