/**
 * A remapping unit: what stands between a device and memory. An access finds its device's domain in the
 * context cache, its page in the IOTLB, or walks the tables in memory for them; only what succeeded is kept.
 *
 * A copy in the IOTLB is believed until it is invalidated, except that one without the permission asked for is
 * looked up again.
 *
 * MODEL: interrupts do not come this way, so what a device writes to the addresses of interrupt messages is an
 * access like a read of them: refused, whatever its context says, with the code of an interrupt address.
 */
import type { Memory } from "@vnic/sim/core"
import type { ContextTables, ContextTarget } from "./contextTables.ts"
import type { InvalidationQueue } from "./invalidationQueue.ts"
import { IOTLB_MISS, type Iotlb } from "./iotlb.ts"
import {
  FAULT_BEYOND_WIDTH,
  FAULT_INTERRUPT_ADDRESS,
  INTERRUPT_FIRST_PAGE,
  INTERRUPT_PAGES,
  PAGES_OF_LEVEL as pagesOfLevel,
  VTD_PAGE_BYTES,
  VTD_PAGE_SHIFT
} from "./layout.ts"
import { WALK_NO_MEMORY, WALK_OK, type DeviceContext, type Walker } from "./walker.ts"

// Exported and imported names cost a load and a check at each use; the hot path has its own.
const MISS = IOTLB_MISS
const OK = WALK_OK
const PAGES_OF_LEVEL = pagesOfLevel
const PAGE_BYTES = VTD_PAGE_BYTES
const PAGE_SHIFT = VTD_PAGE_SHIFT
const INTERRUPT_FIRST = INTERRUPT_FIRST_PAGE
const INTERRUPT_END = INTERRUPT_FIRST_PAGE + INTERRUPT_PAGES

export interface RemappingOptions {
  readonly memory: Memory
  /** clock[0]: the world's time, picoseconds. */
  readonly clock: Float64Array
  readonly contextTables: ContextTables
  readonly iotlb: Iotlb
  readonly walker: Walker
  readonly queue: InvalidationQueue
  /** The bus that devices sit on; device n is its n-th device and function. */
  readonly bus: number
  /** What a device is given when it comes. */
  readonly target: ContextTarget
}

export class Remapping {
  /** Why the last access was refused: a reason code, or WALK_NO_MEMORY. */
  fault = OK
  declare readonly iotlb: Iotlb
  declare readonly contextTables: ContextTables
  declare readonly walker: Walker
  declare private readonly options: RemappingOptions
  declare private readonly memoryBytes: number
  declare private readonly clock: Float64Array
  declare private readonly queue: InvalidationQueue
  /** The context cache, by device. */
  private readonly contexts: Array<DeviceContext | undefined> = []

  constructor(options: RemappingOptions) {
    this.options = options
    this.iotlb = options.iotlb
    this.contextTables = options.contextTables
    this.walker = options.walker
    this.memoryBytes = options.memory.hostSizeBytes | 0
    this.clock = options.clock
    this.queue = options.queue
  }

  /** Requester id of a device: bus, device and function. */
  readonly sourceId = (device: number): number => {
    return (this.options.bus << 8) | device
  }

  /** A device comes, and is given the domain. */
  readonly attach = (device: number): void => {
    this.contextTables.set(this.sourceId(device), this.options.target)
    this.contexts[device] = undefined
  }

  /**
   * A device goes; its context entry is cleared.
   * MODEL: the context cache knows at once, without an invalidation by way of the queue.
   */
  readonly detach = (device: number): void => {
    this.contextTables.clear(this.sourceId(device))
    this.contexts[device] = undefined
  }

  /** Empties the context cache, as a context invalidation does. */
  readonly forgetContexts = (): void => {
    this.contexts.fill(undefined)
  }

  /** The physical address of an access inside one 4 KiB page, or -1 with the reason in `fault`. */
  readonly translate = (device: number, busAddr: number, sizeBytes: number, access: number): number => {
    const context = this.contexts[device] ?? this.readContext(device)
    if (context === undefined) return -1
    const page = (busAddr | 0) === busAddr ? busAddr >> PAGE_SHIFT : Math.floor(busAddr / PAGE_BYTES)
    if (page < 0) return this.refuse(FAULT_BEYOND_WIDTH)
    if (page >= INTERRUPT_FIRST && page < INTERRUPT_END) return this.refuse(FAULT_INTERRUPT_ADDRESS)
    if (context.isPassThrough) return this.checked(busAddr, sizeBytes)
    const timePs = this.clock[0]!
    const queue = this.queue
    if (queue.head !== queue.tail) queue.runTo(timePs)
    const iotlb = this.iotlb
    let slot = iotlb.lookup(context.domain, page)
    if (slot === MISS || (iotlb.permissions[slot]! & access) === 0) {
      slot = this.fetch(context, page, access, timePs)
      if (slot === MISS) return -1
    } else if (iotlb.isStale(slot, timePs)) this.useStale(context, slot, page, busAddr, sizeBytes, access)
    return this.checked(iotlb.physOf(slot, busAddr), sizeBytes)
  }

  /**
   * A copy of what was unmapped is used: for a page that is gone, or for one that is mapped just so, either again or
   * still, where a large leaf was unmapped in part.
   */
  private readonly useStale = (
    context: DeviceContext,
    slot: number,
    page: number,
    busAddr: number,
    sizeBytes: number,
    access: number
  ): void => {
    const { iotlb, walker } = this
    const code = walker.walk(context, page, access)
    const leafBytes = PAGES_OF_LEVEL[walker.level]! * PAGE_BYTES
    if (code === OK && walker.phys + (busAddr % leafBytes) === iotlb.physOf(slot, busAddr)) return
    iotlb.used(slot, sizeBytes, this.clock[0]!)
  }

  private readonly readContext = (device: number): DeviceContext | undefined => {
    const code = this.walker.readContext(this.contextTables.root, this.sourceId(device))
    if (code === OK) return (this.contexts[device] = this.walker.context)
    this.fault = code
    return undefined
  }

  private readonly fetch = (context: DeviceContext, page: number, access: number, timePs: number): number => {
    const walker = this.walker
    const code = walker.walk(context, page, access)
    if (code === OK) {
      return this.iotlb.insert(context.domain, walker.level, page, walker.phys, walker.permissions, timePs)
    }
    this.fault = code
    return MISS
  }

  private readonly checked = (phys: number, sizeBytes: number): number => {
    return phys + sizeBytes <= this.memoryBytes ? phys : this.refuse(WALK_NO_MEMORY)
  }

  private readonly refuse = (code: number): number => {
    this.fault = code
    return -1
  }
}

/** A unit with no device. */
export const makeRemapping = (options: RemappingOptions): Remapping => new Remapping(options)
