/**
 * The hardware's side of queued invalidation: a ring of 256 descriptors in memory, which it works through in
 * order, one at a time, from its head to the tail that software has written. An IOTLB invalidation takes its
 * time; a wait descriptor then writes its status word, which software watches.
 *
 * What is done by some instant is worked out when somebody asks: software that looks at a status word, or an
 * access that looks at the IOTLB.
 * MODEL: an invalidation occupies the unit for as long as software sees it take.
 */
import { fail, type Memory } from "@vnic/sim/core"
import type { Iotlb } from "./iotlb.ts"
import {
  ADDRESS_MASK,
  ADDRESS_MASK_FIELD,
  BLOCK_ORDER_MAX,
  DESCRIPTOR_CONTEXT,
  DESCRIPTOR_DOMAIN_SHIFT,
  DESCRIPTOR_IOTLB,
  DESCRIPTOR_TYPE_MASK,
  DESCRIPTOR_WAIT,
  DESCRIPTOR_WORDS,
  DOMAIN_MASK,
  GRANULARITY_DOMAIN,
  GRANULARITY_GLOBAL,
  GRANULARITY_MASK,
  GRANULARITY_PAGE,
  GRANULARITY_SHIFT,
  QUEUE_ENTRIES as queueEntries,
  VTD_PAGE_BYTES,
  VTD_PAGE_SHIFT,
  WAIT_STATUS_WRITE
} from "./layout.ts"

// Exported and imported names cost a load and a check at each use; the hot path has its own.
const QUEUE_ENTRIES = queueEntries
const QUEUE_MASK = queueEntries - 1
const FREE_AT = 0

export interface InvalidationQueueOptions {
  readonly memory: Memory
  readonly iotlb: Iotlb
  /** The ring: one page. */
  readonly ring: number
  /** What one IOTLB or context invalidation takes, picoseconds. */
  readonly invalidationPs: number
  /** Context entries were changed: what is kept of them is void. */
  readonly forgetContexts: () => void
}

/** Invalidations done since the beginning, by how much they invalidate. */
export interface InvalidationCounts {
  readonly global: number
  readonly domain: number
  readonly page: number
  readonly context: number
}

export class InvalidationQueue {
  /** Index of the next descriptor to work on, and the first one that is not software's any more. */
  head = 0
  tail = 0
  /** A descriptor made no sense: the queue stands still at it, as IQE says. */
  isStopped = false
  private readonly counts = new Float64Array(GRANULARITY_PAGE + 1)
  private contexts = 0
  declare private readonly words: Int32Array
  declare private readonly memoryBytes: number
  declare private readonly ringWord: number
  declare private readonly iotlb: Iotlb
  declare private readonly invalidationPs: number
  declare private readonly forgetContexts: () => void
  /** When each descriptor is done. */
  private readonly doneAt = new Float64Array(QUEUE_ENTRIES)
  /** [FREE_AT]: when the last of them is. */
  private readonly times = new Float64Array(1)

  constructor(options: InvalidationQueueOptions) {
    if (options.ring % VTD_PAGE_BYTES !== 0) fail("an invalidation queue is not page aligned")
    this.words = options.memory.words
    this.memoryBytes = options.memory.hostSizeBytes
    this.ringWord = options.ring >> 2
    this.iotlb = options.iotlb
    this.invalidationPs = options.invalidationPs
    this.forgetContexts = options.forgetContexts
  }

  /** Software writes the tail register at `timePs`: descriptors up to it are the hardware's. */
  readonly writeTail = (index: number, timePs: number): void => {
    const { doneAt, times } = this
    this.runTo(timePs)
    let donePs = timePs > times[FREE_AT]! ? timePs : times[FREE_AT]!
    for (let slot = this.tail; slot !== index; slot = (slot + 1) & QUEUE_MASK) {
      const type = this.words[this.ringWord + slot * DESCRIPTOR_WORDS]! & DESCRIPTOR_TYPE_MASK
      if (type !== DESCRIPTOR_WAIT) donePs += this.invalidationPs
      doneAt[slot] = donePs
    }
    times[FREE_AT] = donePs
    this.tail = index
  }

  /** Does what is done by `timePs`. */
  readonly runTo = (timePs: number): void => {
    while (this.head !== this.tail && !this.isStopped && this.doneAt[this.head]! <= timePs) {
      if (this.execute(this.head)) this.head = (this.head + 1) & QUEUE_MASK
      else this.isStopped = true
    }
  }

  private readonly execute = (slot: number): boolean => {
    const word = this.ringWord + slot * DESCRIPTOR_WORDS
    const low = this.words[word]!
    switch (low & DESCRIPTOR_TYPE_MASK) {
      case DESCRIPTOR_IOTLB:
        return this.invalidate(low, this.words[word + 2]!, this.words[word + 3]!, this.doneAt[slot]!)
      case DESCRIPTOR_WAIT:
        return this.writeStatus(low, this.words[word + 1]!, this.words[word + 2]!, this.words[word + 3]!)
      case DESCRIPTOR_CONTEXT:
        this.contexts++
        this.forgetContexts()
        return true
      default:
        return false
    }
  }

  private readonly invalidate = (low: number, addressLow: number, addressHigh: number, timePs: number): boolean => {
    const granularity = (low >> GRANULARITY_SHIFT) & GRANULARITY_MASK
    const domain = (low >> DESCRIPTOR_DOMAIN_SHIFT) & DOMAIN_MASK
    if (granularity === GRANULARITY_GLOBAL) this.iotlb.invalidateAll(timePs)
    else if (granularity === GRANULARITY_DOMAIN) this.iotlb.invalidateDomain(domain, timePs)
    else if (granularity === GRANULARITY_PAGE) {
      const order = addressLow & ADDRESS_MASK_FIELD
      if (order > BLOCK_ORDER_MAX) return false
      const count = 2 ** order
      const page = addressHigh * 2 ** (32 - VTD_PAGE_SHIFT) + ((addressLow & ADDRESS_MASK) >>> VTD_PAGE_SHIFT)
      this.iotlb.invalidatePages(domain, page - (page % count), count, timePs)
    } else return false
    this.counts[granularity]! += 1
    return true
  }

  private readonly writeStatus = (low: number, data: number, statusLow: number, statusHigh: number): boolean => {
    if ((low & WAIT_STATUS_WRITE) === 0) return true
    if (statusHigh !== 0 || statusLow < 0 || statusLow >= this.memoryBytes) return false
    this.words[statusLow >> 2] = data
    return true
  }

  /** Invalidations done since the beginning. */
  get invalidations(): InvalidationCounts {
    const { contexts, counts } = this
    return {
      global: counts[GRANULARITY_GLOBAL]!,
      domain: counts[GRANULARITY_DOMAIN]!,
      page: counts[GRANULARITY_PAGE]!,
      context: contexts
    }
  }
}

/** A queue that is empty. */
export const makeInvalidationQueue = (options: InvalidationQueueOptions): InvalidationQueue =>
  new InvalidationQueue(options)
