/**
 * The hardware's way through the tables in memory: root entry by bus, context entry by device and function,
 * then the second-stage tables, an entry a level. It trusts nothing that it reads; each way in which a walk
 * can fail has its own reason code.
 *
 * MODEL: walks take no time yet and are not counted as memory reads.
 */
import type { Memory } from "@vnic/sim/core"
import {
  ADDRESS_MASK as addressMask,
  CONTEXT_DOMAIN_SHIFT,
  CONTEXT_ENTRY_WORDS,
  CONTEXT_HIGH_RESERVED_MASK,
  CONTEXT_PRESENT,
  CONTEXT_RESERVED_MASK,
  CONTEXT_TYPE_MASK,
  CONTEXT_TYPE_SHIFT,
  CONTEXT_WIDTH_MASK,
  DOMAIN_MASK,
  FAULT_BEYOND_WIDTH,
  FAULT_CONTEXT_INVALID,
  FAULT_CONTEXT_NOT_PRESENT,
  FAULT_CONTEXT_POINTER,
  FAULT_CONTEXT_RESERVED,
  FAULT_ENTRY_RESERVED,
  FAULT_INTERRUPT_ADDRESS,
  FAULT_NO_READ,
  FAULT_NO_WRITE,
  FAULT_ROOT_NOT_PRESENT,
  FAULT_ROOT_POINTER,
  FAULT_ROOT_RESERVED,
  FAULT_TABLE_POINTER,
  INTERRUPT_FIRST_PAGE,
  INTERRUPT_PAGES,
  LEAF_LEVEL_MAX,
  LEVELS_MAX,
  LEVELS_MIN,
  PAGES_OF_LEVEL as pagesOfLevel,
  ROOT_RESERVED_MASK,
  STAGE_ENTRIES,
  STAGE_LARGE as stageLarge,
  STAGE_PRESENT as stagePresent,
  STAGE_READ,
  TYPE_MULTI_LEVEL,
  TYPE_PASS_THROUGH,
  VTD_PAGE_BYTES,
  VTD_PAGE_SHIFT
} from "./layout.ts"

/** A walk that got through. */
export const WALK_OK = 0
/** It got through to an address where there is no memory: not the IOMMU's fault, and so without a code. */
export const WALK_NO_MEMORY = -1

// Exported and imported names cost a load and a check at each use; the hot path has its own.
const ADDRESS_MASK = addressMask
const PAGES_OF_LEVEL = pagesOfLevel
const STAGE_LARGE = stageLarge
const STAGE_PRESENT = stagePresent
const INDEX_MASK = STAGE_ENTRIES - 1
const LARGE_LEVEL = LEAF_LEVEL_MAX

/** What a device's context entry says. */
export interface DeviceContext {
  readonly domain: number
  readonly isPassThrough: boolean
  readonly levels: number
  /** Where its second-stage tables begin. */
  readonly top: number
}

export class Walker {
  /** The leaf that the last walk ended at: its level, address and effective permissions. */
  level = 0
  phys = 0
  permissions = 0
  /** Of a walk that found no permission: is there something mapped that lacks just this one? */
  isMapped = false
  /** What the last readContext found, when it returned WALK_OK. */
  declare context: DeviceContext
  declare private readonly words: Int32Array
  declare private readonly memoryBytes: number

  constructor(memory: Memory) {
    this.words = memory.words
    this.memoryBytes = memory.hostSizeBytes
  }

  /** Is the page that an entry points to in the host's memory? */
  private readonly isInMemory = (low: number, high: number): boolean => {
    const phys = low & ADDRESS_MASK
    return high === 0 && phys >= 0 && phys + VTD_PAGE_BYTES <= this.memoryBytes
  }

  /** Reads the context of a requester (bus << 8 | device and function); a reason code when it has none. */
  readonly readContext = (root: number, sourceId: number): number => {
    const words = this.words
    const rootWord = (root >> 2) + (sourceId >> 8) * CONTEXT_ENTRY_WORDS
    if (!this.isInMemory(root, 0)) return FAULT_ROOT_POINTER
    const rootLow = words[rootWord]!
    if ((rootLow & CONTEXT_PRESENT) === 0) return FAULT_ROOT_NOT_PRESENT
    if ((rootLow & ROOT_RESERVED_MASK) !== 0 || words[rootWord + 2] !== 0 || words[rootWord + 3] !== 0) {
      return FAULT_ROOT_RESERVED
    }
    if (!this.isInMemory(rootLow, words[rootWord + 1]!)) return FAULT_CONTEXT_POINTER
    const word = ((rootLow & ADDRESS_MASK) >> 2) + (sourceId & 0xff) * CONTEXT_ENTRY_WORDS
    const low = words[word]!
    if ((low & CONTEXT_PRESENT) === 0) return FAULT_CONTEXT_NOT_PRESENT
    return this.decodeContext(low, words[word + 1]!, words[word + 2]!, words[word + 3]!)
  }

  private readonly decodeContext = (low: number, high: number, width: number, end: number): number => {
    if ((low & CONTEXT_RESERVED_MASK) !== 0 || (width & CONTEXT_HIGH_RESERVED_MASK) !== 0 || end !== 0) {
      return FAULT_CONTEXT_RESERVED
    }
    const type = (low >> CONTEXT_TYPE_SHIFT) & CONTEXT_TYPE_MASK
    const levels = (width & CONTEXT_WIDTH_MASK) + 2
    const isTranslated = type === TYPE_MULTI_LEVEL
    if (levels < LEVELS_MIN || levels > LEVELS_MAX || (!isTranslated && type !== TYPE_PASS_THROUGH)) {
      return FAULT_CONTEXT_INVALID
    }
    if (isTranslated && !this.isInMemory(low, high)) return FAULT_TABLE_POINTER
    const domain = (width >> CONTEXT_DOMAIN_SHIFT) & DOMAIN_MASK
    this.context = { domain, isPassThrough: !isTranslated, levels, top: low & ADDRESS_MASK }
    return WALK_OK
  }

  /** Walks a domain's tables to the leaf of a 4 KiB page; `access` is STAGE_READ or STAGE_WRITE. */
  readonly walk = (context: DeviceContext, page: number, access: number): number => {
    const words = this.words
    const refusal = access === STAGE_READ ? FAULT_NO_READ : FAULT_NO_WRITE
    let table = context.top
    let permissions = STAGE_PRESENT
    if (page >= PAGES_OF_LEVEL[context.levels]! * STAGE_ENTRIES) return FAULT_BEYOND_WIDTH
    for (let level = context.levels; ; level--) {
      const span = PAGES_OF_LEVEL[level]!
      const index = level === 1 ? page : page / span
      const word = (table >> 2) + ((index & INDEX_MASK) << 1)
      const low = words[word]!
      const high = words[word + 1]!
      permissions &= low
      if ((permissions & access) === 0) {
        this.isMapped = permissions !== 0
        return refusal
      }
      const isLarge = level > 1 && (low & STAGE_LARGE) !== 0
      if (level > 1 && !isLarge) {
        if (!this.isInMemory(low, high)) return FAULT_TABLE_POINTER
        table = low & ADDRESS_MASK
        continue
      }
      const phys = low & ADDRESS_MASK
      if (isLarge && (level > LARGE_LEVEL || (phys & (span * VTD_PAGE_BYTES - 1)) !== 0)) return FAULT_ENTRY_RESERVED
      if (high !== 0 || phys < 0 || phys >= this.memoryBytes) return this.refuseLeaf(phys, high, page % span)
      this.level = level
      this.phys = phys
      this.permissions = permissions
      return WALK_OK
    }
  }

  /** Why a leaf leads to no memory; `offsetPages` is where in the leaf the page lies. */
  private readonly refuseLeaf = (phys: number, high: number, offsetPages: number): number => {
    const target = (phys >>> VTD_PAGE_SHIFT) + offsetPages - INTERRUPT_FIRST_PAGE
    const isInterrupt = high === 0 && target >= 0 && target < INTERRUPT_PAGES
    return isInterrupt ? FAULT_INTERRUPT_ADDRESS : WALK_NO_MEMORY
  }
}

/** The walker of a memory. */
export const makeWalker = (memory: Memory): Walker => new Walker(memory)
