/**
 * Deferred flushing as intel-iommu had it in 2013: one list of all that was unmapped under one lock. When 250
 * wait the next one to come invalidates everything, waits, and frees them all, still holding the lock; a timer
 * does so after 10 ms. MODEL: one IOMMU. [Linux 3.10 drivers/iommu/intel-iommu.c add_unmap, flush_unmaps]
 */
import { ACCOUNT_DMA_API } from "@vnic/sim/core"
import type { FlushOptions, FlushPolicy } from "./flush.ts"

const LIST_ENTRIES = 250
export const FLUSH_AFTER_PS = 10_000_000_000
const LOCK_NAME = "deferred unmap lock"

export class LazyGlobalFlush implements FlushPolicy {
  queuedPages = 0
  declare private readonly options: FlushOptions
  declare private readonly lock: number
  private readonly listFirsts = new Int32Array(LIST_ENTRIES)
  private readonly listPages = new Int32Array(LIST_ENTRIES)
  private count = 0
  /** Of the flush that the lock's holder does: its number, and the entries freed so far. */
  private flush = 0
  private freed = 0
  /** When the list must be flushed, Infinity when it need not; and is a timer under way? */
  private duePs = Infinity
  private isTimerSet = false
  /** What each CPU unmaps, and what comes then; 0 when it is the timer that flushes. */
  declare private readonly firsts: Int32Array
  declare private readonly pageCounts: Int32Array
  declare private readonly thens: Int32Array
  declare private readonly locked: number
  declare private readonly flushDone: number
  declare private readonly freeNext: number
  declare private readonly timer: number
  declare private readonly timerLocked: number

  constructor(options: FlushOptions) {
    const { host } = options
    this.options = options
    this.lock = host.makeLock(LOCK_NAME)
    this.firsts = new Int32Array(host.count)
    this.pageCounts = new Int32Array(host.count)
    this.thens = new Int32Array(host.count)
    this.locked = host.define("deferred unmap: locked", (cpu) => this.queue(cpu))
    this.flushDone = host.define("deferred unmap: flushed", (cpu) => this.flushed(cpu))
    this.freeNext = host.define("deferred unmap: free", (cpu) => this.free(cpu))
    this.timer = host.define("deferred unmap: timer", (cpu) => this.fire(cpu))
    this.timerLocked = host.define("deferred unmap: timer, locked", (cpu) => this.flushAfterTime(cpu))
  }

  readonly beginRelease = (cpu: number, first: number, pages: number, then: number, stalePages = pages): number => {
    const { host, pageBytes } = this.options
    this.firsts[cpu] = first
    this.pageCounts[cpu] = pages
    this.thens[cpu] = then
    this.options.gauge.cleared(stalePages * pageBytes, host.localPs[cpu]!)
    return host.lock(cpu, this.lock, this.locked)
  }

  private readonly queue = (cpu: number): number => {
    if (this.count === LIST_ENTRIES) return this.beginFlushAll(cpu)
    return this.add(cpu)
  }

  private readonly beginFlushAll = (cpu: number): number => {
    this.duePs = Infinity
    this.flush = this.options.gauge.begin()
    return this.options.invalidation.beginAll(cpu, this.flushDone)
  }

  private readonly flushed = (cpu: number): number => {
    this.options.gauge.end(this.flush, this.options.host.localPs[cpu]!)
    this.freed = 0
    return this.free(cpu)
  }

  /** Frees the next entry of the list; at its end goes on with what the lock was taken for. */
  private readonly free = (cpu: number): number => {
    const index = this.freed
    if (index < this.count) {
      this.freed = index + 1
      const pages = this.listPages[index]!
      this.queuedPages -= pages
      return this.options.free(cpu, this.listFirsts[index]!, pages, this.freeNext)
    }
    this.count = 0
    if (this.thens[cpu] !== 0) return this.add(cpu)
    this.options.host.unlock(cpu, this.lock)
    return this.options.host.leave(cpu)
  }

  private readonly add = (cpu: number): number => {
    const { host, queuePs } = this.options
    const pages = this.pageCounts[cpu]!
    this.listFirsts[this.count] = this.firsts[cpu]!
    this.listPages[this.count] = pages
    this.count++
    this.queuedPages += pages
    host.spend(cpu, ACCOUNT_DMA_API, queuePs)
    if (this.duePs === Infinity) this.setTimer(cpu)
    const then = this.thens[cpu]!
    this.thens[cpu] = 0
    host.unlock(cpu, this.lock)
    return then
  }

  /** The kernel's one timer is moved; here it looks, when it fires, whether it is time. */
  private readonly setTimer = (cpu: number): void => {
    const { host } = this.options
    this.duePs = host.localPs[cpu]! + FLUSH_AFTER_PS
    if (this.isTimerSet) return
    this.isTimerSet = true
    host.later(cpu, this.duePs, this.timer)
  }

  private readonly fire = (cpu: number): number => {
    const { host } = this.options
    this.isTimerSet = false
    if (this.duePs === Infinity) return host.leave(cpu)
    if (host.localPs[cpu]! < this.duePs) {
      this.isTimerSet = true
      host.later(cpu, this.duePs, this.timer)
      return host.leave(cpu)
    }
    return host.lock(cpu, this.lock, this.timerLocked)
  }

  private readonly flushAfterTime = (cpu: number): number => {
    const { host } = this.options
    if (this.count > 0) return this.beginFlushAll(cpu)
    host.unlock(cpu, this.lock)
    return host.leave(cpu)
  }
}
