/**
 * When a range of bus addresses whose entries were cleared may be handed out again: after the flush that covers
 * it, at once (strict) or together with many others (lazy). Tables that cache nothing need no flush.
 *
 * | policy | flushes |
 * | --- | --- |
 * | strict | at every unmap, its pages or the whole domain, and waits |
 * | lazy-global | the whole domain when 250 unmaps wait, or after 10 ms: one list, one lock (flushLazyGlobal.ts) |
 * | lazy-per-cpu | the whole domain when 255 unmaps of a CPU wait, or after 10 ms (flushLazyPerCpu.ts) |
 */
import type { FlushGauge } from "./flushGauge.ts"
import type { Host, Invalidation } from "./types.ts"

export const FLUSHES = ["strict", "lazy-global", "lazy-per-cpu"] as const
export type FlushName = (typeof FLUSHES)[number]

/** What a strict flush invalidates. */
export const FLUSH_GRANULARITIES = ["page", "domain"] as const
export type FlushGranularity = (typeof FLUSH_GRANULARITIES)[number]

/** Gives a range back to its allocator: `beginFree` of IovaAllocator. */
export type FreeRange = (cpu: number, first: number, pages: number, then: number) => number

export interface FlushPolicy {
  /**
   * The entries of a range are cleared: flushes and frees it, now or later. Where not all of its pages had one, or
   * others still use some, `stalePages` is how many were cleared.
   */
  beginRelease(cpu: number, first: number, pages: number, then: number, stalePages?: number): number
  /** Pages that were unmapped and wait for a flush. */
  readonly queuedPages: number
}

export interface FlushOptions {
  readonly host: Host
  readonly invalidation: Invalidation
  readonly free: FreeRange
  readonly gauge: FlushGauge
  /** Bytes of an IOMMU page. */
  readonly pageBytes: number
  /** What a CPU is busy with to put an unmap into a queue, picoseconds. */
  readonly queuePs: number
}

/** For tables whose removed entries translate to nothing at once. */
export const makeNoFlush = (free: FreeRange): FlushPolicy => ({ beginRelease: free, queuedPages: 0 })

/** Invalidates at every unmap and waits for it. */
export class StrictFlush implements FlushPolicy {
  readonly queuedPages = 0
  declare private readonly options: FlushOptions
  declare private readonly isPageSelective: boolean
  /** The range that each CPU flushes, how much of it was cleared and when, and what comes then. */
  declare private readonly firsts: Int32Array
  declare private readonly pageCounts: Int32Array
  declare private readonly stalePages: Int32Array
  declare private readonly clearedAtPs: Float64Array
  declare private readonly thens: Int32Array
  declare private readonly flushed: number
  declare private readonly flushedOnly: number

  constructor(options: FlushOptions, granularity: FlushGranularity) {
    const { host } = options
    this.options = options
    this.isPageSelective = granularity === "page"
    this.firsts = new Int32Array(host.count)
    this.pageCounts = new Int32Array(host.count)
    this.stalePages = new Int32Array(host.count)
    this.clearedAtPs = new Float64Array(host.count)
    this.thens = new Int32Array(host.count)
    this.flushed = host.define("strict flush: done", (cpu) => this.release(cpu))
    this.flushedOnly = host.define("strict flush: done, not freed", (cpu) => this.finish(cpu))
  }

  readonly beginRelease = (cpu: number, first: number, pages: number, then: number, stalePages = pages): number => {
    return this.flush(cpu, first, pages, then, this.flushed, stalePages)
  }

  /** The entries of a range are cleared: flushes them, and frees nothing. */
  readonly beginFlush = (cpu: number, first: number, pages: number, then: number, stalePages = pages): number => {
    return this.flush(cpu, first, pages, then, this.flushedOnly, stalePages)
  }

  private readonly flush = (
    cpu: number,
    first: number,
    pages: number,
    then: number,
    done: number,
    stalePages: number
  ): number => {
    const { host, invalidation, pageBytes } = this.options
    this.thens[cpu] = then
    this.firsts[cpu] = first
    this.pageCounts[cpu] = pages
    this.stalePages[cpu] = stalePages
    this.clearedAtPs[cpu] = host.localPs[cpu]!
    this.options.gauge.opened(stalePages * pageBytes)
    return this.isPageSelective ? invalidation.beginPages(cpu, first, pages, done) : invalidation.beginAll(cpu, done)
  }

  private readonly finish = (cpu: number): number => {
    const { host, pageBytes } = this.options
    this.options.gauge.closed(this.stalePages[cpu]! * pageBytes, host.localPs[cpu]! - this.clearedAtPs[cpu]!)
    return this.thens[cpu]!
  }

  private readonly release = (cpu: number): number => {
    const then = this.finish(cpu)
    return this.options.free(cpu, this.firsts[cpu]!, this.pageCounts[cpu]!, then)
  }
}
