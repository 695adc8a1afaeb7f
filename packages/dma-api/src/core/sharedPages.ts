/**
 * The entries of pages that several live mappings may share, as memory at its own address does: set with a page's first
 * user, cleared with its last. Who uses what is counted by the allocator.
 *
 * MODEL: entries grant both ways, whatever the direction: users of one page may differ in it. And a shared page may be
 * mapped again before the flush that covers it. What the device may still find in its cache until then is the same
 * translation: there is no other. From then on its bytes are not stale any more; but with a strict flush, for the time
 * that the flush still takes.
 */
import type { FlushPolicy } from "./flush.ts"
import type { FlushGauge } from "./flushGauge.ts"
import { BIDIRECTIONAL, type Host, type Table } from "./types.ts"

/** Of a page that waits for no flush. */
const NOT_CLEARED = -1

export interface SharedPagesOptions {
  readonly host: Host
  readonly table: Table
  readonly policy: FlushPolicy
  /** Present where flushes are lazy: what they leave reachable is told to it. */
  readonly gauge: FlushGauge | undefined
  /** Users of each page. */
  readonly uses: Int32Array
}

export class SharedPages {
  declare private readonly host: Host
  declare private readonly table: Table
  declare private readonly policy: FlushPolicy
  declare private readonly gauge: FlushGauge | undefined
  declare private readonly pageBytes: number
  declare private readonly uses: Int32Array
  /** By page, for the gauge: the flushes that had begun when its entry was cleared, and when that was. */
  declare private readonly clearedIn: Float64Array
  declare private readonly clearedAtPs: Float64Array
  /** Where each CPU's table refused. */
  declare private readonly refusedAt: Int32Array

  constructor({ gauge, host, policy, table, uses }: SharedPagesOptions) {
    const gaugedPages = gauge === undefined ? 0 : uses.length
    this.host = host
    this.table = table
    this.policy = policy
    this.gauge = gauge
    this.pageBytes = 2 ** table.pageShift
    this.uses = uses
    this.clearedIn = new Float64Array(gaugedPages).fill(NOT_CLEARED)
    this.clearedAtPs = new Float64Array(gaugedPages)
    this.refusedAt = new Int32Array(host.count)
  }

  /** Sets the entries of pages that have no other user; 0, or the table's refusal with none of them set. */
  readonly insert = (cpu: number, first: number, pages: number): number => {
    const { table, uses } = this
    const end = first + pages
    for (let page = first; page < end; page++) {
      const from = page
      while (page < end && uses[page] === 1) page++
      if (page === from) continue
      const phys = table.windowStart + from * this.pageBytes
      const refusal = table.insert(cpu, from, page - from, phys, BIDIRECTIONAL)
      if (refusal !== 0) {
        this.refusedAt[cpu] = from
        this.clear(cpu, first, from, 1)
        return refusal
      }
      if (this.gauge !== undefined) this.noteMapped(cpu, from, page, this.gauge)
    }
    return 0
  }

  /** Flushes what was set of a range before the table refused the rest; its pages are free by now. */
  readonly beginUndo = (cpu: number, first: number, then: number): number => {
    return this.beginFlush(cpu, first, this.refusedAt[cpu]!, then)
  }

  /** Clears the entries of pages that have no user any more, and flushes them. */
  readonly beginRemove = (cpu: number, first: number, pages: number, then: number): number => {
    this.clear(cpu, first, first + pages, 0)
    return this.beginFlush(cpu, first, first + pages, then)
  }

  /** Clears the entries of pages in [from, to) with so many users. */
  private readonly clear = (cpu: number, from: number, to: number, users: number): void => {
    const { uses } = this
    for (let page = from; page < to; page++) {
      const start = page
      while (page < to && uses[page] === users) page++
      if (page > start) this.table.remove(cpu, start, page - start)
    }
  }

  /** All pages in [first, end) without users were cleared just now. */
  private readonly beginFlush = (cpu: number, first: number, end: number, then: number): number => {
    const { clearedAtPs, clearedIn, gauge, uses } = this
    const atPs = this.host.localPs[cpu]!
    let cleared = 0
    for (let page = first; page < end; page++) {
      if (uses[page] !== 0) continue
      cleared++
      if (gauge === undefined) continue
      clearedIn[page] = gauge.begun
      clearedAtPs[page] = atPs
    }
    if (cleared === 0) return then
    // A lazy flush is of everything, and nothing is to be freed after it: what waits for it is what was cleared.
    const pages = gauge === undefined ? end - first : cleared
    return this.policy.beginRelease(cpu, first, pages, then, cleared)
  }

  /** Pages in [from, to) are mapped: those that wait for a flush are not stale any more. */
  private readonly noteMapped = (cpu: number, from: number, to: number, gauge: FlushGauge): void => {
    const { clearedAtPs, clearedIn, host, pageBytes } = this
    for (let page = from; page < to; page++) {
      if (clearedIn[page] === NOT_CLEARED) continue
      gauge.mappedAgain(pageBytes, clearedIn[page]!, clearedAtPs[page]!, host.localPs[cpu]!)
      clearedIn[page] = NOT_CLEARED
    }
  }
}
