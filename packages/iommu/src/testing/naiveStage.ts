/**
 * Oracles of VT-d: a domain as one Map from page to what it maps, and a reader of the tables in memory that
 * knows nothing of how they were written.
 */
import type { Memory } from "@vnic/sim/core"

const PAGE_BYTES = 4096

/** One leaf as it lies in memory. */
export interface Leaf {
  readonly page: number
  readonly pages: number
  readonly phys: number
  readonly permissions: number
}

/** All leaves below a table, lowest page first, and the number of tables. */
export function readTables(memory: Memory, top: number, levels: number): { leaves: Array<Leaf>; tables: number } {
  const view = new DataView(memory.bytes.buffer)
  const leaves: Array<Leaf> = []
  let tables = 0
  const read = (table: number, level: number, firstPage: number): void => {
    tables++
    for (let index = 0; index < 512; index++) {
      const low = view.getUint32(table + index * 8, true)
      const high = view.getUint32(table + index * 8 + 4, true)
      const permissions = low % 4
      if (permissions === 0) continue
      const pages = 512 ** (level - 1)
      const phys = high * 2 ** 32 + low - (low % PAGE_BYTES)
      const page = firstPage + index * pages
      if (level === 1 || Math.floor(low / 128) % 2 === 1) leaves.push({ page, pages, phys, permissions })
      else read(phys, level - 1, page)
    }
  }
  read(top, levels, 0)
  return { leaves, tables }
}

/** What a domain must map, page by page. */
export class NaiveStage {
  private readonly mappings = new Map<number, { readonly phys: number; readonly permissions: number }>()

  /** False, and nothing changed, when one of the pages is mapped. */
  map(page: number, count: number, phys: number, permissions: number): boolean {
    for (let at = page; at < page + count; at++) if (this.mappings.has(at)) return false
    for (let index = 0; index < count; index++) {
      this.mappings.set(page + index, { phys: phys + index * PAGE_BYTES, permissions })
    }
    return true
  }

  unmap(page: number, count: number): void {
    for (let at = page; at < page + count; at++) this.mappings.delete(at)
  }

  /** Everything that is mapped: page, address, permissions; lowest page first. */
  get pages(): ReadonlyArray<readonly [page: number, phys: number, permissions: number]> {
    return [...this.mappings]
      .map(([page, { permissions, phys }]) => [page, phys, permissions] as const)
      .toSorted(([one], [other]) => one - other)
  }
}

/** The same of leaves that were read. */
export const pagesOf = (
  leaves: ReadonlyArray<Leaf>
): ReadonlyArray<readonly [page: number, phys: number, permissions: number]> =>
  leaves.flatMap(({ page, pages, permissions, phys }) =>
    Array.from({ length: pages }, (_, index) => [page + index, phys + index * PAGE_BYTES, permissions] as const)
  )
