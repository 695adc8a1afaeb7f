/**
 * A domain's second-stage page tables as the kernel keeps them: in memory, in their real layout, their pages
 * from the page allocator. Pages are 4 KiB pages, numbered from bus address 0.
 *
 * A map chooses for each part the largest leaf (4 KiB, 2 MiB, 1 GiB) to which both addresses are aligned and
 * that fits. A map over anything mapped fails and leaves nothing of itself. An unmap of a part of a large leaf splits
 * it: a table of the next smaller leaves takes its place. What is not mapped is skipped. Tables that an unmap covers
 * from their first to their last page are freed with it; others stay until a large leaf takes their place, or to the
 * end of the domain.
 *
 * MODEL: leaves are split as Linux split those of Arm tables; those of intel-iommu go whole, as nobody there unmaps a
 * part of what was mapped. Who maps memory at its own address here, page by page shared, does. An unmap cannot fail:
 * where no page is left for the new table, all of the leaf goes, and accesses to the rest of it fault.
 * [Linux 6.12 drivers/iommu/io-pgtable-arm.c arm_lpae_split_blk_unmap]
 *
 * MODEL: table pages are free at once, as in Linux 3.10; later kernels keep them until the IOTLB is flushed.
 * [Linux 6.12 drivers/iommu/iommu.c iommu_pgsize; 3.10 and 6.12 intel-iommu.c, dma_pte_clear_range and
 * dma_pte_free_pagetable; 6.19 generic_pt]
 */
import { assert, fail, type Memory, PAGE_NONE, type PageAllocator } from "@vnic/sim/core"
import {
  ADDRESS_MASK as addressMask,
  LEAF_LEVEL_MAX,
  LEVELS_MAX,
  LEVELS_MIN,
  PAGES_OF_LEVEL as pagesOfLevel,
  STAGE_BITS,
  STAGE_ENTRIES,
  STAGE_LARGE as stageLarge,
  STAGE_PRESENT as stagePresent,
  VTD_PAGE_BYTES
} from "./layout.ts"

/** Results of a map, by their Linux names. */
export const MAPPED = 0
export const ENOMEM = -12
export const EADDRINUSE = -98

// Exported and imported names cost a load and a check at each use; the hot path has its own.
const ADDRESS_MASK = addressMask
const PAGES_OF_LEVEL = pagesOfLevel
const STAGE_LARGE = stageLarge
const STAGE_PRESENT = stagePresent
const BITS = STAGE_BITS
/** Beyond it a shift of 32-bit integers does not do what a division does. */
const SHIFT_MAX = 31
const ENTRIES = STAGE_ENTRIES
const INDEX_MASK = STAGE_ENTRIES - 1
const LARGE_LEVEL = LEAF_LEVEL_MAX
const PAGE_BYTES = VTD_PAGE_BYTES
const TWO_32 = 2 ** 32
/** Instead of a table: below every address of one. */
const NO_TABLE = -1
/** Where a physical address is no small integer any more, and may have a high half. */
const SMALL_END = 2 ** 31

export class SecondStage {
  declare readonly levels: number
  /** Physical address of the top table. */
  declare readonly top: number
  /** Pages of the address space. */
  declare readonly pageCount: number
  /** Tables that exist, the top one included. */
  tableCount = 1
  /** What the last map or unmap did: leaves written or cleared, tables allocated. */
  leavesChanged = 0
  tablesAdded = 0
  declare private readonly pages: PageAllocator
  declare private readonly words: Int32Array
  declare private readonly tableOrder: number

  constructor(memory: Memory, pages: PageAllocator, levels: number, top: number) {
    this.levels = levels
    this.pageCount = 2 ** (levels * STAGE_BITS)
    this.pages = pages
    this.words = memory.words
    this.tableOrder = pages.orderFor(PAGE_BYTES)
    this.top = top
    this.words.fill(0, top >> 2, (top + PAGE_BYTES) >> 2)
  }

  /** Word of the entry that `page` belongs to in the table at this level. */
  private readonly entryAt = (table: number, page: number, level: number): number => {
    const shift = (level - 1) * BITS
    const isSmall = (page | 0) === page && shift < SHIFT_MAX
    const index = isSmall ? page >> shift : page / PAGES_OF_LEVEL[level]!
    return (table >> 2) + ((index & INDEX_MASK) << 1)
  }

  /**
   * Maps `count` pages from `page` on to `phys` (4 KiB aligned) with these permissions (STAGE_READ and
   * STAGE_WRITE). MAPPED, or EADDRINUSE or ENOMEM with none of the pages mapped.
   */
  readonly map = (page: number, count: number, phys: number, permissions: number): number => {
    if (page < 0 || page + count > this.pageCount) fail("a map outside of the address space")
    this.leavesChanged = 0
    this.tablesAdded = 0
    let done = 0
    while (done < count) {
      const at = page + done
      const target = phys + done * PAGE_BYTES
      const level = this.leafLevel(at, count - done, target)
      const written = this.writeLeaves(at, count - done, target, permissions, level)
      if (written < 0) {
        if (done > 0) this.unmap(page, done)
        return written
      }
      done += written
    }
    return MAPPED
  }

  /** Level of the largest leaf that may begin here. */
  private readonly leafLevel = (page: number, count: number, phys: number): number => {
    if (count < ENTRIES || (page & INDEX_MASK) !== 0) return 1
    let level = LARGE_LEVEL < this.levels ? LARGE_LEVEL : this.levels
    while (level > 1) {
      const pages = PAGES_OF_LEVEL[level]!
      if (count >= pages && page % pages === 0 && phys % (pages * PAGE_BYTES) === 0) break
      level--
    }
    return level
  }

  /** Leaves of one level to the end of their table; the 4 KiB pages mapped, or an error. */
  private readonly writeLeaves = (
    page: number,
    count: number,
    phys: number,
    permissions: number,
    level: number
  ): number => {
    const table = this.tableFor(page, level)
    if (table < 0) return table
    const leafPages = PAGES_OF_LEVEL[level]!
    const first = this.entryAt(table, page, level)
    const room = ENTRIES - ((first - (table >> 2)) >> 1)
    const fitting = level === 1 ? count : Math.floor(count / leafPages)
    const leaves = fitting < room ? fitting : room
    const bits = level === 1 ? permissions : permissions | STAGE_LARGE
    const words = this.words
    for (let leaf = 0; leaf < leaves; leaf++) {
      const word = first + (leaf << 1)
      const isFree = (words[word]! & STAGE_PRESENT) === 0 || (level > 1 && this.dropEmpty(word, level - 1))
      if (!isFree) {
        if (leaf > 0) this.unmap(page, leaf * leafPages)
        return EADDRINUSE
      }
      this.setLeaf(word, phys + leaf * leafPages * PAGE_BYTES, bits)
    }
    this.leavesChanged += leaves
    return leaves * leafPages
  }

  private readonly setLeaf = (word: number, phys: number, bits: number): void => {
    this.words[word] = phys | bits
    this.words[word + 1] = phys < SMALL_END ? 0 : Math.floor(phys / TWO_32)
  }

  /** The table of this level that holds `page`, with those above it made as needed; or an error. */
  private readonly tableFor = (page: number, level: number): number => {
    const words = this.words
    let table = this.top
    for (let at = this.levels; at > level; at--) {
      const word = this.entryAt(table, page, at)
      const entry = words[word]!
      if ((entry & STAGE_PRESENT) === 0) {
        table = this.makeTable()
        if (table < 0) return table
        words[word] = table | STAGE_PRESENT
        words[word + 1] = 0
      } else {
        if ((entry & STAGE_LARGE) !== 0) return EADDRINUSE
        table = entry & ADDRESS_MASK
      }
    }
    return table
  }

  private readonly makeTable = (): number => {
    const table = this.pages.allocate(this.tableOrder)
    if (table === PAGE_NONE) return ENOMEM
    this.words.fill(0, table >> 2, (table + PAGE_BYTES) >> 2)
    this.tableCount++
    this.tablesAdded++
    return table
  }

  private readonly freeTable = (table: number): void => {
    this.pages.free(table)
    this.tableCount--
  }

  /** Frees the tables below an entry if no leaf is in them. False: one is, or the entry is one itself. */
  private readonly dropEmpty = (word: number, level: number): boolean => {
    const entry = this.words[word]!
    if ((entry & STAGE_LARGE) !== 0 || !this.isEmpty(entry & ADDRESS_MASK, level)) return false
    this.freeTree(entry & ADDRESS_MASK, level)
    this.words[word] = 0
    return true
  }

  private readonly isEmpty = (table: number, level: number): boolean => {
    const first = table >> 2
    for (let word = first; word < first + ENTRIES * 2; word += 2) {
      const entry = this.words[word]!
      if ((entry & STAGE_PRESENT) === 0) continue
      const isLeaf = level === 1 || (entry & STAGE_LARGE) !== 0
      if (isLeaf || !this.isEmpty(entry & ADDRESS_MASK, level - 1)) return false
    }
    return true
  }

  /** Frees a table and all below it. */
  private readonly freeTree = (table: number, level: number): void => {
    const first = table >> 2
    for (let word = first; level > 1 && word < first + ENTRIES * 2; word += 2) {
      const entry = this.words[word]!
      if ((entry & STAGE_PRESENT) !== 0 && (entry & STAGE_LARGE) === 0) this.freeTree(entry & ADDRESS_MASK, level - 1)
    }
    this.freeTable(table)
  }

  /** Unmaps `count` pages from `page` on; the number of pages that are gone: more where a leaf could not be split. */
  readonly unmap = (page: number, count: number): number => {
    if (page < 0 || page + count > this.pageCount) fail("an unmap outside of the address space")
    this.leavesChanged = 0
    this.tablesAdded = 0
    return count === 1 ? this.unmapOne(page) : this.unmapIn(this.top, this.levels, 0, page, page + count)
  }

  /** The leaf of one page; no table is covered by so little. */
  private readonly unmapOne = (page: number): number => {
    const words = this.words
    let table = this.top
    for (let level = this.levels; ; level--) {
      const word = this.entryAt(table, page, level)
      const entry = words[word]!
      if ((entry & STAGE_PRESENT) === 0) return 0
      if (level === 1) return this.clearLeaf(word, level)
      table = (entry & STAGE_LARGE) === 0 ? entry & ADDRESS_MASK : this.split(word, level)
      if (table < 0) return this.clearLeaf(word, level)
    }
  }

  /** The pages that are gone. */
  private readonly clearLeaf = (word: number, level: number): number => {
    this.words[word] = 0
    this.words[word + 1] = 0
    this.leavesChanged++
    return PAGES_OF_LEVEL[level]!
  }

  /** Unmaps pages [from, to) of one table, whose first page is `base`; returns the pages gone. */
  private readonly unmapIn = (table: number, level: number, base: number, from: number, to: number): number => {
    const words = this.words
    const span = PAGES_OF_LEVEL[level]!
    let gone = 0
    let word = this.entryAt(table, from, level)
    let start = base + ((word - (table >> 2)) >> 1) * span
    for (; start < to; start += span, word += 2) {
      const entry = words[word]!
      if ((entry & STAGE_PRESENT) === 0) continue
      const end = start + span
      const isWhole = from <= start && to >= end
      const isLeaf = level === 1 || (entry & STAGE_LARGE) !== 0
      const child = isLeaf ? (isWhole ? NO_TABLE : this.split(word, level)) : entry & ADDRESS_MASK
      if (child < 0) {
        gone += this.clearLeaf(word, level)
        continue
      }
      gone += this.unmapIn(child, level - 1, start, from > start ? from : start, to < end ? to : end)
      if (isWhole) {
        words[word] = 0
        this.freeTable(child)
      }
    }
    return gone
  }

  /** A table of leaves a level smaller in the place of a large leaf; or ENOMEM, and the leaf is as it was. */
  private readonly split = (word: number, level: number): number => {
    const table = this.makeTable()
    if (table < 0) return table
    const words = this.words
    const entry = words[word]!
    const phys = words[word + 1]! * TWO_32 + ((entry & ADDRESS_MASK) >>> 0)
    const bits = (entry & STAGE_PRESENT) | (level > 2 ? STAGE_LARGE : 0)
    const leafBytes = PAGES_OF_LEVEL[level - 1]! * PAGE_BYTES
    for (let leaf = 0; leaf < ENTRIES; leaf++) this.setLeaf((table >> 2) + (leaf << 1), phys + leaf * leafBytes, bits)
    words[word] = table | STAGE_PRESENT
    words[word + 1] = 0
    this.leavesChanged += ENTRIES
    return table
  }

  /** Frees all tables; the domain is no more. */
  readonly destroy = (): void => {
    this.freeTree(this.top, this.levels)
  }
}

/** A domain that maps nothing, of 3 to 5 levels; undefined when no page is left for its top table. */
export function makeSecondStage(memory: Memory, pages: PageAllocator, levels: number): SecondStage | undefined {
  assert(levels >= LEVELS_MIN && levels <= LEVELS_MAX, "second-stage tables have 3 to 5 levels")
  const top = pages.allocate(pages.orderFor(VTD_PAGE_BYTES))
  return top === PAGE_NONE ? undefined : new SecondStage(memory, pages, levels, top)
}
