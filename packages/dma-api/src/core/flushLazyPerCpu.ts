/**
 * Deferred flushing as it is today: a ring of 256 entries for each CPU, one of them always empty. An unmap first
 * frees those of its CPU's ring that a flush has covered; when the ring is full all the same it invalidates
 * everything and waits. The first to be queued sets a timer, which flushes after 10 ms and frees what waits in
 * the rings of all CPUs, from the CPU that it runs on. [Linux 6.12 drivers/iommu/dma-iommu.c queue_iova,
 * fq_ring_free_locked, fq_flush_timeout]
 *
 * Each entry knows how many flushes had begun when it was queued: it may go as soon as more than that are done,
 * for then one of them began later.
 */
import { ACCOUNT_DMA_API } from "@vnic/sim/core"
import type { FlushOptions, FlushPolicy } from "./flush.ts"
import { FLUSH_AFTER_PS } from "./flushLazyGlobal.ts"

const RING_ENTRIES = 256
const RING_MASK = RING_ENTRIES - 1

/** What a CPU does once the ring that it looks at holds nothing that may go. */
const QUEUE = 0
const NEXT_RING = 1

export class LazyPerCpuFlush implements FlushPolicy {
  queuedPages = 0
  declare private readonly options: FlushOptions
  declare private readonly locks: ReadonlyArray<number>
  /** Rings, CPU after CPU: the range, and the flushes begun when it was queued. */
  declare private readonly ringFirsts: Int32Array
  declare private readonly ringPages: Int32Array
  declare private readonly ringBegun: Float64Array
  declare private readonly heads: Int32Array
  declare private readonly counts: Int32Array
  /** Flushes that are done. */
  private done = 0
  private isTimerSet = false
  /** What each CPU unmaps and what comes then; the ring that it looks at, what for, and the flush that it does. */
  declare private readonly firsts: Int32Array
  declare private readonly pageCounts: Int32Array
  declare private readonly thens: Int32Array
  declare private readonly rings: Int32Array
  declare private readonly aims: Int8Array
  declare private readonly flushes: Float64Array
  declare private readonly locked: number
  declare private readonly freeNext: number
  declare private readonly flushDone: number
  declare private readonly timer: number
  declare private readonly timerFlushDone: number

  constructor(options: FlushOptions) {
    const { host } = options
    const cpuCount = host.count
    this.options = options
    this.locks = Array.from({ length: cpuCount }, (_, cpu) => host.makeLock(`flush queue ${cpu}`))
    this.ringFirsts = new Int32Array(cpuCount * RING_ENTRIES)
    this.ringPages = new Int32Array(cpuCount * RING_ENTRIES)
    this.ringBegun = new Float64Array(cpuCount * RING_ENTRIES)
    this.heads = new Int32Array(cpuCount)
    this.counts = new Int32Array(cpuCount)
    this.firsts = new Int32Array(cpuCount)
    this.pageCounts = new Int32Array(cpuCount)
    this.thens = new Int32Array(cpuCount)
    this.rings = new Int32Array(cpuCount)
    this.aims = new Int8Array(cpuCount)
    this.flushes = new Float64Array(cpuCount)
    this.locked = host.define("flush queue: locked", (cpu) => this.free(cpu))
    this.freeNext = host.define("flush queue: free", (cpu) => this.free(cpu))
    this.flushDone = host.define("flush queue: flushed", (cpu) => this.flushed(cpu))
    this.timer = host.define("flush queue: timer", (cpu) => this.fire(cpu))
    this.timerFlushDone = host.define("flush queue: timer, flushed", (cpu) => this.freeAll(cpu))
  }

  readonly beginRelease = (cpu: number, first: number, pages: number, then: number, stalePages = pages): number => {
    const { gauge, host, pageBytes } = this.options
    this.firsts[cpu] = first
    this.pageCounts[cpu] = pages
    this.thens[cpu] = then
    this.rings[cpu] = cpu
    this.aims[cpu] = QUEUE
    gauge.cleared(stalePages * pageBytes, host.localPs[cpu]!)
    return host.lock(cpu, this.locks[cpu]!, this.locked)
  }

  /** Frees the oldest entry of the ring that the CPU looks at, if it may go; else does what it came for. */
  private readonly free = (cpu: number): number => {
    const ring = this.rings[cpu]!
    const head = this.heads[ring]!
    const at = ring * RING_ENTRIES + head
    if (this.counts[ring]! > 0 && this.ringBegun[at]! < this.done) {
      const pages = this.ringPages[at]!
      this.heads[ring] = (head + 1) & RING_MASK
      this.counts[ring]! -= 1
      this.queuedPages -= pages
      return this.options.free(cpu, this.ringFirsts[at]!, pages, this.freeNext)
    }
    if (this.aims[cpu] === NEXT_RING) return this.nextRing(cpu)
    if (this.counts[ring]! < RING_ENTRIES - 1) return this.add(cpu)
    return this.beginFlushAll(cpu, this.flushDone)
  }

  private readonly beginFlushAll = (cpu: number, then: number): number => {
    this.flushes[cpu] = this.options.gauge.begin()
    return this.options.invalidation.beginAll(cpu, then)
  }

  private readonly endFlush = (cpu: number): void => {
    this.done++
    this.options.gauge.end(this.flushes[cpu]!, this.options.host.localPs[cpu]!)
  }

  private readonly flushed = (cpu: number): number => {
    this.endFlush(cpu)
    return this.free(cpu)
  }

  private readonly add = (cpu: number): number => {
    const { gauge, host, queuePs } = this.options
    const pages = this.pageCounts[cpu]!
    const at = cpu * RING_ENTRIES + ((this.heads[cpu]! + this.counts[cpu]!) & RING_MASK)
    this.ringFirsts[at] = this.firsts[cpu]!
    this.ringPages[at] = pages
    this.ringBegun[at] = gauge.begun
    this.counts[cpu]! += 1
    this.queuedPages += pages
    host.spend(cpu, ACCOUNT_DMA_API, queuePs)
    host.unlock(cpu, this.locks[cpu]!)
    if (!this.isTimerSet) {
      this.isTimerSet = true
      host.later(cpu, host.localPs[cpu]! + FLUSH_AFTER_PS, this.timer)
    }
    return this.thens[cpu]!
  }

  private readonly fire = (cpu: number): number => {
    this.isTimerSet = false
    return this.beginFlushAll(cpu, this.timerFlushDone)
  }

  private readonly freeAll = (cpu: number): number => {
    this.endFlush(cpu)
    this.aims[cpu] = NEXT_RING
    this.rings[cpu] = 0
    return this.options.host.lock(cpu, this.locks[0]!, this.locked)
  }

  private readonly nextRing = (cpu: number): number => {
    const { host } = this.options
    const ring = this.rings[cpu]!
    host.unlock(cpu, this.locks[ring]!)
    if (ring + 1 === this.locks.length) return host.leave(cpu)
    this.rings[cpu] = ring + 1
    return host.lock(cpu, this.locks[ring + 1]!, this.locked)
  }
}
