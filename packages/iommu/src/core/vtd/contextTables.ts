/**
 * The kernel's root and context tables: which domain each requester belongs to. One page for the root table,
 * and one for the contexts of the one bus that devices sit on.
 */
import { fail, type Memory } from "@vnic/sim/core"
import {
  CONTEXT_DOMAIN_SHIFT,
  CONTEXT_ENTRY_WORDS,
  CONTEXT_PRESENT,
  CONTEXT_TYPE_SHIFT,
  TYPE_MULTI_LEVEL,
  TYPE_PASS_THROUGH,
  VTD_PAGE_BYTES
} from "./layout.ts"

/** What a requester may be given: a domain's tables, or all of memory as it is. */
export type ContextTarget =
  | { readonly domain: number; readonly top: number; readonly levels: number }
  | { readonly domain: number; readonly isPassThrough: true; readonly levels: number }

export class ContextTables {
  /** Physical address of the root table. */
  declare readonly root: number
  declare private readonly words: Int32Array
  declare private readonly bus: number
  declare private readonly contextWord: number

  constructor(memory: Memory, bus: number, root: number, contexts: number) {
    this.words = memory.words
    this.bus = bus
    this.root = root
    this.contextWord = contexts >> 2
    for (const phys of [root, contexts]) memory.words.fill(0, phys >> 2, (phys + VTD_PAGE_BYTES) >> 2)
    this.words[(root >> 2) + bus * CONTEXT_ENTRY_WORDS] = contexts | CONTEXT_PRESENT
  }

  /** First word of a requester's context entry. */
  private readonly entryOf = (sourceId: number): number => {
    if (sourceId >> 8 !== this.bus) fail("a requester is on another bus")
    return this.contextWord + (sourceId & 0xff) * CONTEXT_ENTRY_WORDS
  }

  /** Gives a requester (bus << 8 | device and function) a domain. */
  readonly set = (sourceId: number, target: ContextTarget): void => {
    const word = this.entryOf(sourceId)
    const isPassThrough = "isPassThrough" in target
    const type = isPassThrough ? TYPE_PASS_THROUGH : TYPE_MULTI_LEVEL
    this.words[word + 2] = (target.levels - 2) | (target.domain << CONTEXT_DOMAIN_SHIFT)
    this.words[word] = (isPassThrough ? 0 : target.top) | (type << CONTEXT_TYPE_SHIFT) | CONTEXT_PRESENT
  }

  /** Takes a requester's domain away. */
  readonly clear = (sourceId: number): void => {
    const word = this.entryOf(sourceId)
    this.words.fill(0, word, word + CONTEXT_ENTRY_WORDS)
  }
}

/** Tables in which no requester has a domain: a page each. */
export const makeContextTables = (memory: Memory, bus: number, root: number, contexts: number): ContextTables =>
  new ContextTables(memory, bus, root, contexts)
