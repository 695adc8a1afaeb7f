/**
 * A flat table whose translations a device keeps once it has used them, until they are invalidated, as an IOTLB
 * does. It insists that an entry is not set again before the flush of what was there, and can be asked what is
 * still within reach.
 */
import { ACCOUNT_INVALIDATE, fail } from "@vnic/sim/core"
import type { BusAddr, Direction, Host, Invalidation, PhysAddr } from "../core/types.ts"
import { FlatTable, type FlatTableOptions } from "./FlatTable.ts"

export interface CachingTableOptions extends FlatTableOptions {
  readonly host: Host
  /** What an invalidation takes, with the one before it done; 0 when left out. */
  readonly invalidatePs?: number
  /** May a page be set again before its flush, to what it was? For addresses that are not allocated. */
  readonly isIdentity?: boolean
}

/** An invalidation, when it was done. */
export interface Flush {
  /** Pages; all of them when `pageCount` is Infinity. */
  readonly iovaPage: number
  readonly pageCount: number
  readonly atPs: number
}

export class CachingTable extends FlatTable {
  readonly flushes: Array<Flush> = []
  declare readonly invalidation: Invalidation
  /** Pages that were cleared and not flushed. */
  readonly unflushed = new Set<number>()
  private readonly cache = new Map<number, PhysAddr>()
  private readonly isIdentity: boolean

  constructor(options: CachingTableOptions) {
    super(options)
    this.isIdentity = options.isIdentity ?? false
    this.invalidation = this.makeInvalidation(options.host, options.invalidatePs ?? 0)
  }

  override insert(cpu: number, iovaPage: number, pageCount: number, phys: PhysAddr, direction: Direction): number {
    for (let page = iovaPage; page < iovaPage + pageCount && !this.isIdentity; page++) {
      if (this.unflushed.has(page)) fail("an address was handed out again before its flush")
    }
    return super.insert(cpu, iovaPage, pageCount, phys, direction)
  }

  override remove(cpu: number, iovaPage: number, pageCount: number): void {
    super.remove(cpu, iovaPage, pageCount)
    for (let page = iovaPage; page < iovaPage + pageCount; page++) this.unflushed.add(page)
  }

  /** Where the device gets to: by what it keeps, else by the table. */
  override translate(busAddr: BusAddr): PhysAddr | undefined {
    const pageBytes = 2 ** this.pageShift
    const page = Math.floor((busAddr - this.windowStart) / pageBytes)
    const start = this.cache.get(page) ?? this.entries.get(page)?.phys
    if (start === undefined) return undefined
    this.cache.set(page, start)
    return start + (busAddr % pageBytes)
  }

  private makeInvalidation(host: Host, invalidatePs: number): Invalidation {
    const queue = host.makeLock("invalidation queue")
    const ranges = Array.from({ length: host.count }, () => ({ iovaPage: 0, pageCount: 0, next: 0 }))
    const locked = host.define("invalidate", (cpu) => {
      const { iovaPage, next, pageCount } = ranges[cpu]!
      for (const pages of [this.unflushed, this.cache]) {
        for (const page of pages.keys()) {
          if (page >= iovaPage && page < iovaPage + pageCount) pages.delete(page)
        }
      }
      host.spend(cpu, ACCOUNT_INVALIDATE, invalidatePs)
      this.flushes.push({ iovaPage, pageCount, atPs: host.localPs[cpu]! })
      host.unlock(cpu, queue)
      return next
    })
    const begin = (cpu: number, iovaPage: number, pageCount: number, then: number): number => {
      ranges[cpu] = { iovaPage, pageCount, next: then }
      return host.lock(cpu, queue, locked)
    }
    return { beginPages: begin, beginAll: (cpu, then) => begin(cpu, 0, Infinity, then) }
  }
}

/** A table of its own. */
export const makeCachingTable = (options: CachingTableOptions): CachingTable => new CachingTable(options)
