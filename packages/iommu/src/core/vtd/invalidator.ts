/**
 * The kernel's side of queued invalidation, as Linux 3.10 has it: one lock for the queue; each call submits one
 * invalidation and a wait descriptor, writes the tail register, and watches the status word. Between looks it
 * lets the lock go and asks for it again, so that others can submit meanwhile.
 *
 * Of pages: the hardware takes naturally aligned powers of two, so the block is the smallest one that holds
 * the range, and may hold more; a range that no block holds is invalidated with its whole domain.
 * [Linux 3.10 drivers/iommu/dmar.c qi_submit_sync; 6.12 drivers/iommu/intel/cache.c
 * calculate_psi_aligned_address]
 */
import { ACCOUNT_INVALIDATE, type Account, type LockId, type Memory, type Step, type StepId } from "@vnic/sim/core"
import type { CpuTime } from "../pvdma.ts"
import type { InvalidationQueue } from "./invalidationQueue.ts"
import {
  BLOCK_ORDER_MAX as blockOrderMax,
  DESCRIPTOR_DOMAIN_SHIFT,
  DESCRIPTOR_IOTLB,
  DESCRIPTOR_WAIT,
  DESCRIPTOR_WORDS as descriptorWords,
  GRANULARITY_DOMAIN,
  GRANULARITY_PAGE,
  GRANULARITY_SHIFT,
  QUEUE_ENTRIES as queueEntries,
  VTD_PAGE_SHIFT,
  WAIT_STATUS_WRITE
} from "./layout.ts"

/** CPUs as programs use them; sim's Cpus is one. */
export interface CpuPrograms extends CpuTime {
  readonly count: number
  spend(cpu: number, account: Account, durationPs: number): void
  define(name: string, step: Step): StepId
  call(cpu: number, entry: StepId, then: StepId): StepId
  leave(cpu: number): StepId
  makeLock(name: string): LockId
  lock(cpu: number, lock: LockId, then: StepId): StepId
  unlock(cpu: number, lock: LockId): void
}

// Exported and imported names cost a load and a check at each use; the hot path has its own.
const ACCOUNT = ACCOUNT_INVALIDATE
const BLOCK_ORDER_MAX = blockOrderMax
const DESCRIPTOR_WORDS = descriptorWords
const QUEUE_ENTRIES = queueEntries
const QUEUE_MASK = queueEntries - 1
const OF_PAGES = DESCRIPTOR_IOTLB | (GRANULARITY_PAGE << GRANULARITY_SHIFT)
const OF_DOMAIN = DESCRIPTOR_IOTLB | (GRANULARITY_DOMAIN << GRANULARITY_SHIFT)
const WAIT = DESCRIPTOR_WAIT | WAIT_STATUS_WRITE
const DOMAIN_SHIFT = DESCRIPTOR_DOMAIN_SHIFT
const PAGE_SHIFT = VTD_PAGE_SHIFT
const TWO_20 = 2 ** 20

/** Values of a descriptor's status word. */
const STATUS_FREE = 0
const STATUS_IN_USE = 1
const STATUS_DONE = 2

/** An invalidation and its wait; one slot always stays free. */
const SUBMITTED = 2
const SLOTS_NEEDED = SUBMITTED + 1
/** `blockOrders` of a CPU that invalidates a whole domain. */
const WHOLE_DOMAIN = -1

export interface InvalidatorOptions {
  readonly memory: Memory
  readonly cpus: CpuPrograms
  readonly queue: InvalidationQueue
  /** The ring's page. */
  readonly ring: number
  /** A word for each descriptor. */
  readonly status: number
  /** One look at the status word and the fault register, picoseconds. */
  readonly pollPs: number
}

/** log2 of the pages of the smallest naturally aligned block that holds `count` pages from `page` on. */
export const blockOrder = (page: number, count: number): number => {
  const last = page + count - 1
  let order = 0
  let size = 1
  while (page - (page % size) + size <= last) {
    size *= 2
    order++
  }
  return order
}

export class Invalidator {
  /** The lock of the queue. */
  declare readonly lock: LockId
  declare private readonly cpus: CpuPrograms
  declare private readonly queue: InvalidationQueue
  declare private readonly words: Int32Array
  declare private readonly ringWord: number
  declare private readonly status: number
  declare private readonly pollPs: number
  declare private readonly submitStep: StepId
  declare private readonly submitLocked: StepId
  declare private readonly lookLocked: StepId
  /** The ring as software sees it: the next free slot, the first one in use, how many are free. */
  private freeHead = 0
  private freeTail = 0
  private freeCount = QUEUE_ENTRIES
  /** What each CPU is about: its domain, its block, and the slot of its wait descriptor. */
  declare private readonly domains: Int32Array
  declare private readonly blockOrders: Int8Array
  declare private readonly blockPages: Float64Array
  declare private readonly waitSlots: Int16Array

  constructor(options: InvalidatorOptions) {
    const { cpus, memory } = options
    this.cpus = cpus
    this.queue = options.queue
    this.words = memory.words
    this.ringWord = options.ring >> 2
    this.status = options.status
    this.pollPs = options.pollPs
    this.domains = new Int32Array(cpus.count)
    this.blockOrders = new Int8Array(cpus.count)
    this.blockPages = new Float64Array(cpus.count)
    this.waitSlots = new Int16Array(cpus.count)
    memory.words.fill(0, this.ringWord, this.ringWord + QUEUE_ENTRIES * DESCRIPTOR_WORDS)
    memory.words.fill(STATUS_FREE, this.status >> 2, (this.status >> 2) + QUEUE_ENTRIES)
    this.lock = cpus.makeLock("invalidation queue")
    this.submitStep = cpus.define("invalidate", (cpu) => cpus.lock(cpu, this.lock, this.submitLocked))
    this.submitLocked = cpus.define("invalidate, locked", (cpu) => this.submit(cpu))
    this.lookLocked = cpus.define("invalidate, looking", (cpu) => this.look(cpu))
  }

  /** Part of a program: invalidates what holds these pages, and goes on at `then` when that is done. */
  readonly beginPages = (cpu: number, domain: number, page: number, count: number, then: StepId): StepId => {
    const order = blockOrder(page, count)
    this.domains[cpu] = domain
    this.blockOrders[cpu] = order > BLOCK_ORDER_MAX ? WHOLE_DOMAIN : order
    this.blockPages[cpu] = page - (page % 2 ** order)
    return this.cpus.call(cpu, this.submitStep, then)
  }

  /** Part of a program: the same for all of a domain. */
  readonly beginDomain = (cpu: number, domain: number, then: StepId): StepId => {
    this.domains[cpu] = domain
    this.blockOrders[cpu] = WHOLE_DOMAIN
    return this.cpus.call(cpu, this.submitStep, then)
  }

  private readonly submit = (cpu: number): StepId => {
    if (this.freeCount < SLOTS_NEEDED) return this.tryAgain(cpu, this.submitLocked)
    const slot = this.freeHead
    const waitSlot = (slot + 1) & QUEUE_MASK
    const order = this.blockOrders[cpu]!
    if (order === WHOLE_DOMAIN) this.writeDescriptor(slot, OF_DOMAIN | (this.domains[cpu]! << DOMAIN_SHIFT), 0, 0, 0)
    else {
      const page = this.blockPages[cpu]!
      const low = OF_PAGES | (this.domains[cpu]! << DOMAIN_SHIFT)
      this.writeDescriptor(slot, low, 0, (page << PAGE_SHIFT) | order, Math.floor(page / TWO_20))
    }
    this.writeDescriptor(waitSlot, WAIT, STATUS_DONE, this.statusAt(waitSlot), 0)
    this.words[this.statusAt(slot) >> 2] = STATUS_IN_USE
    this.words[this.statusAt(waitSlot) >> 2] = STATUS_IN_USE
    this.waitSlots[cpu] = waitSlot
    this.freeHead = (slot + SUBMITTED) & QUEUE_MASK
    this.freeCount -= SUBMITTED
    this.queue.writeTail(this.freeHead, this.cpus.localPs[cpu]!)
    return this.look(cpu)
  }

  private readonly statusAt = (slot: number): number => {
    return this.status + (slot << 2)
  }

  private readonly writeDescriptor = (slot: number, low: number, lowUpper: number, high: number, highUpper: number) => {
    const { words } = this
    const word = this.ringWord + slot * DESCRIPTOR_WORDS
    words[word] = low
    words[word + 1] = lowUpper
    words[word + 2] = high
    words[word + 3] = highUpper
  }

  /** Holding the lock: is it done? */
  private readonly look = (cpu: number): StepId => {
    this.queue.runTo(this.cpus.localPs[cpu]!)
    const waitSlot = this.waitSlots[cpu]!
    if (this.words[this.statusAt(waitSlot) >> 2] !== STATUS_DONE) return this.tryAgain(cpu, this.lookLocked)
    this.words[this.statusAt((waitSlot - 1) & QUEUE_MASK) >> 2] = STATUS_DONE
    this.reclaim()
    this.cpus.unlock(cpu, this.lock)
    return this.cpus.leave(cpu)
  }

  private readonly tryAgain = (cpu: number, then: StepId): StepId => {
    this.cpus.spend(cpu, ACCOUNT, this.pollPs)
    this.cpus.unlock(cpu, this.lock)
    return this.cpus.lock(cpu, this.lock, then)
  }

  /** Frees slots in the order of the ring, as far as their owners are done. */
  private readonly reclaim = (): void => {
    const { words } = this
    while (words[this.statusAt(this.freeTail) >> 2] === STATUS_DONE) {
      words[this.statusAt(this.freeTail) >> 2] = STATUS_FREE
      this.freeTail = (this.freeTail + 1) & QUEUE_MASK
      this.freeCount++
    }
  }
}

/** The submitter of a queue that is empty. */
export const makeInvalidator = (options: InvalidatorOptions): Invalidator => new Invalidator(options)
