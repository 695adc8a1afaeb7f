/**
 * The bounce buffer of a host: memory that every device reaches, through which buffers go that a device does not.
 * A map takes slots for the buffer and copies it there, whatever the direction: a device that writes only part of
 * its buffer must not change the rest. A slot remembers where its bytes belong, so that any part can be synced.
 *
 * MODEL: the pool is made of slot sets, each a block of the page allocator, not of one range; an allocation never
 * leaves its set in the kernel either. It does not grow (the kernel's can), and there is no padding in front of a
 * buffer, which only devices behind an IOMMU that distrusts them are given.
 * [Linux 6.12 kernel/dma/swiotlb.c, Documentation/core-api/swiotlb.rst]
 */
import { ACCOUNT_COPY, ACCOUNT_DMA_API, fail } from "@vnic/sim/core"
import type { CoherentMemory } from "./coherent.ts"
import type { DeviceLimits } from "./device.ts"
import { powerOfTwoFrom } from "./iova/powersOfTwo.ts"
import { SLOT_BYTES, SLOT_NONE, SLOT_SHIFT, SwiotlbSlots, type SlotRequest } from "./swiotlbSlots.ts"
import type { DmaCosts, Host, PhysAddr } from "./types.ts"

/** Sizes of the pool; each is a power of two. */
export interface SwiotlbSizes {
  /** Those of `bounceBufferBytes` when left out. */
  readonly slotCount: number
  /** One for each CPU when left out; an area has at least one slot set. */
  readonly areaCount: number
  /** Slots in a row that an allocation can have at most: 128, unless a test wants fewer. */
  readonly setSlots: number
  /** No byte of the pool lies above: the last one below 4 GiB when left out. */
  readonly addressMax: PhysAddr
}

export interface SwiotlbOptions {
  readonly host: Host
  readonly costs: DmaCosts
  readonly memory: CoherentMemory
  readonly sizes?: Partial<SwiotlbSizes>
}

/** What went through the bounce buffer since the beginning, as data. */
export interface SwiotlbCounts {
  readonly slots: number
  readonly slotsUsed: number
  readonly slotsUsedMax: number
  /** Slots looked at or written by searches and returns. */
  readonly steps: number
  /** Copied from memory into the buffer, and back. */
  readonly bytesIn: number
  readonly bytesOut: number
  /** Maps that found no room. */
  readonly full: number
  /** Syncs that were longer than their mapping, and were cut short. */
  readonly clamped: number
}

/** Where there is no bounce buffer. */
export const NO_BOUNCES: SwiotlbCounts = {
  slots: 0,
  slotsUsed: 0,
  slotsUsedMax: 0,
  steps: 0,
  bytesIn: 0,
  bytesOut: 0,
  full: 0,
  clamped: 0
}

/** No slots were free. */
export const BOUNCE_NONE: PhysAddr = -1

const POOL_BYTES = 64 * 1024 * 1024
const SET_SLOTS = 128
const BELOW_4_GIB = 2 ** 32 - 1
const SLOT_MASK = SLOT_BYTES - 1
const KIB = 1024

export class Swiotlb {
  /** taken[cpu]: where the CPU's last buffer begins in the pool, or BOUNCE_NONE. */
  declare readonly taken: Float64Array
  declare private readonly host: Host
  declare private readonly costs: DmaCosts
  declare private readonly bytes: Uint8Array
  declare private readonly pageMask: number
  declare private readonly slots: SwiotlbSlots
  declare private readonly setBytes: number
  /** The slot set in each piece of memory of a set's size, or SLOT_NONE. */
  declare private readonly setAt: Int32Array
  /** originals[slot]: the address whose byte lies at the slot's beginning; and bytes from there to the buffer's end. */
  declare private readonly originals: Float64Array
  declare private readonly remaining: Int32Array
  /** A lock for each area. */
  declare private readonly locks: Array<number>
  /** What each CPU maps: address, size, bytes before it in its first slot, areas that had no room, what goes on. */
  declare private readonly phys: Float64Array
  declare private readonly sizes: Int32Array
  declare private readonly offsets: Int32Array
  declare private readonly tried: Int32Array
  declare private readonly thens: Int32Array
  /** The slot that each CPU gives back. */
  declare private readonly returned: Int32Array
  declare private readonly requests: Array<SlotRequest>
  declare private readonly searchStep: number
  declare private readonly giveBackStep: number
  private slotsUsedMax = 0
  private steps = 0
  private bytesIn = 0
  private bytesOut = 0
  private full = 0
  private clamped = 0

  constructor(options: SwiotlbOptions) {
    const { host, memory } = options
    const { pages } = memory
    const sizes = withDefaults(options)
    this.host = host
    this.costs = options.costs
    this.bytes = memory.bytes
    this.pageMask = pages.pageSizeBytes - 1
    this.setBytes = sizes.setSlots * SLOT_BYTES
    const sets = allocateSets(memory, sizes)
    this.slots = new SwiotlbSlots(sets, sizes.setSlots, Math.min(powerOfTwoFrom(sizes.areaCount), sets.length))
    this.setAt = new Int32Array(Math.ceil(memory.bytes.length / this.setBytes)).fill(SLOT_NONE)
    for (let set = 0; set < sets.length; set++) this.setAt[sets[set]! / this.setBytes] = set
    this.originals = new Float64Array(this.slots.slotCount)
    this.remaining = new Int32Array(this.slots.slotCount)
    this.locks = Array.from({ length: this.slots.areaCount }, (_, area) => host.makeLock(`swiotlb area ${area}`))
    this.taken = new Float64Array(host.count)
    this.phys = new Float64Array(host.count)
    this.sizes = new Int32Array(host.count)
    this.offsets = new Int32Array(host.count)
    this.tried = new Int32Array(host.count)
    this.thens = new Int32Array(host.count)
    this.returned = new Int32Array(host.count)
    this.requests = Array.from({ length: host.count }, () => ({
      count: 0,
      alignMask: 0,
      alignedTo: 0,
      boundaryMask: 0
    }))
    this.searchStep = host.define("swiotlb: search", (cpu) => this.search(cpu))
    this.giveBackStep = host.define("swiotlb: give back", (cpu) => this.giveBack(cpu))
  }

  /** Is this an address of the pool? */
  readonly holds = (address: PhysAddr): boolean => {
    return this.slotAt(address) !== SLOT_NONE
  }

  /**
   * The longest buffer that a device with this mask of bits to be kept can map wherever it lies, bytes; 0 where they
   * say its place in the set, down to the last byte.
   */
  readonly maxBytes = (minAlignMask: number): number => {
    const kept = Math.min(minAlignMask, this.setBytes - 1)
    return this.setBytes - ((kept + SLOT_MASK) & ~SLOT_MASK)
  }

  private readonly slotAt = (address: PhysAddr): number => {
    const inSet = address % this.setBytes
    const set = this.setAt[(address - inSet) / this.setBytes] ?? SLOT_NONE
    return set === SLOT_NONE ? SLOT_NONE : set * this.slots.setSlots + (inSet >>> SLOT_SHIFT)
  }

  /** Takes room for a buffer and copies the buffer there; `taken` says where it is when `then` runs. */
  readonly beginTake = (cpu: number, phys: PhysAddr, sizeBytes: number, limits: DeviceLimits, then: number): number => {
    const { minAlignMask } = limits
    const request = this.requests[cpu]!
    const offset = phys & minAlignMask & SLOT_MASK
    const kept = minAlignMask & ~SLOT_MASK
    // Whole pages begin at a page, unless the device asks for bits of its own.
    const isPaged = minAlignMask === 0 && sizeBytes > this.pageMask
    request.count = (offset + sizeBytes + SLOT_MASK) >>> SLOT_SHIFT
    request.alignMask = isPaged ? this.pageMask & ~SLOT_MASK : kept
    request.alignedTo = phys & kept
    request.boundaryMask = limits.segBoundaryMask
    this.phys[cpu] = phys
    this.sizes[cpu] = sizeBytes
    this.offsets[cpu] = offset
    this.tried[cpu] = 0
    this.thens[cpu] = then
    return this.lockArea(cpu)
  }

  /** The next area: each CPU begins at its own. */
  private readonly lockArea = (cpu: number): number => {
    return this.host.lock(cpu, this.locks[this.areaFor(cpu)]!, this.searchStep)
  }

  private readonly areaFor = (cpu: number): number => {
    return (cpu + this.tried[cpu]!) & (this.slots.areaCount - 1)
  }

  private readonly search = (cpu: number): number => {
    const { host, slots } = this
    const area = this.areaFor(cpu)
    const slot = slots.take(area, this.requests[cpu]!)
    this.spendSteps(cpu)
    host.unlock(cpu, this.locks[area]!)
    if (slot !== SLOT_NONE) {
      this.fillSlots(cpu, slot)
      return this.thens[cpu]!
    }
    this.tried[cpu]! += 1
    if (this.tried[cpu]! < slots.areaCount) return this.lockArea(cpu)
    this.taken[cpu] = BOUNCE_NONE
    this.full++
    return this.thens[cpu]!
  }

  /** Could the buffer that the CPU asked room for last be had, with all its limits, if nothing was in the pool? */
  readonly canEverFit = (cpu: number): boolean => {
    return this.slots.canEverFit(this.requests[cpu]!)
  }

  /** MODEL: a slot that is looked at or written costs what a word of a bitmap does: a load from a table, a compare. */
  private readonly spendSteps = (cpu: number): void => {
    const { bitmapSearchPs, bitmapWordPs } = this.costs
    const { steps } = this.slots
    this.steps += steps
    this.host.spend(cpu, ACCOUNT_DMA_API, bitmapSearchPs + steps * bitmapWordPs)
  }

  private readonly fillSlots = (cpu: number, first: number): void => {
    const { originals, remaining, slots } = this
    const offset = this.offsets[cpu]!
    const sizeBytes = this.sizes[cpu]!
    const start = this.phys[cpu]! - offset
    const { count } = this.requests[cpu]!
    for (let index = 0; index < count; index++) {
      originals[first + index] = start + index * SLOT_BYTES
      remaining[first + index] = offset + sizeBytes - index * SLOT_BYTES
    }
    const slotsUsed = this.slotsUsed()
    if (slotsUsed > this.slotsUsedMax) this.slotsUsedMax = slotsUsed
    const address = slots.addressOf(first) + offset
    this.taken[cpu] = address
    this.copyIn(cpu, address, sizeBytes)
  }

  /** From memory into the pool: what the CPU wrote becomes the device's. */
  readonly copyIn = (cpu: number, address: PhysAddr, sizeBytes: number): void => {
    this.bytesIn += this.copy(cpu, address, sizeBytes, true)
  }

  /** From the pool into memory: what the device wrote becomes the CPU's. */
  readonly copyOut = (cpu: number, address: PhysAddr, sizeBytes: number): void => {
    this.bytesOut += this.copy(cpu, address, sizeBytes, false)
  }

  /** Copies part of a buffer, no further than it goes; the bytes copied. */
  private readonly copy = (cpu: number, address: PhysAddr, sizeBytes: number, isIn: boolean): number => {
    const slot = this.slotAt(address)
    const within = address & SLOT_MASK
    const room = this.remaining[slot]! - within
    if (sizeBytes > room) this.clamped++
    const copied = Math.min(sizeBytes, room)
    if (copied <= 0) return 0
    const original = this.originals[slot]! + within
    const { copyCallPs, copyKiBPs } = this.costs
    this.host.spend(cpu, ACCOUNT_COPY, copyCallPs + Math.floor((copyKiBPs * copied) / KIB))
    if (isIn) this.bytes.copyWithin(address, original, original + copied)
    else this.bytes.copyWithin(original, address, address + copied)
    return copied
  }

  /** Gives a buffer's room back; nothing is copied. */
  readonly beginGive = (cpu: number, address: PhysAddr, then: number): number => {
    const slot = this.slotAt(address)
    this.returned[cpu] = slot
    this.thens[cpu] = then
    return this.host.lock(cpu, this.locks[this.slots.areaOf(slot)]!, this.giveBackStep)
  }

  private readonly giveBack = (cpu: number): number => {
    const { slots } = this
    const slot = this.returned[cpu]!
    const count = slots.lengths[slot]!
    slots.giveBack(slot)
    this.remaining.fill(0, slot, slot + count)
    this.spendSteps(cpu)
    this.host.unlock(cpu, this.locks[slots.areaOf(slot)]!)
    return this.thens[cpu]!
  }

  private slotsUsed(): number {
    const { used } = this.slots
    let sum = 0
    for (let area = 0; area < used.length; area++) sum += used[area]!
    return sum
  }

  counts(): SwiotlbCounts {
    const { bytesIn, bytesOut, clamped, full, slotsUsedMax, steps } = this
    const slots = this.slots.slotCount
    return { slots, slotsUsed: this.slotsUsed(), slotsUsedMax, steps, bytesIn, bytesOut, full, clamped }
  }
}

/** The pool's size when nothing is said: 64 MiB, halved until it is no more than a quarter of memory. */
export const bounceBufferBytes = (memoryBytes: number): number => {
  let poolBytes = POOL_BYTES
  while (poolBytes > memoryBytes / 4) poolBytes /= 2
  return poolBytes
}

const withDefaults = ({ host, memory, sizes }: SwiotlbOptions): SwiotlbSizes => ({
  slotCount: bounceBufferBytes(memory.bytes.length) / SLOT_BYTES,
  areaCount: host.count,
  setSlots: SET_SLOTS,
  addressMax: BELOW_4_GIB,
  ...sizes
})

/** The sets that were asked for, below the limit; or half of them, or a quarter, …; that there are none is a defect. */
const allocateSets = ({ pages }: CoherentMemory, sizes: SwiotlbSizes): Float64Array => {
  const setBytes = sizes.setSlots * SLOT_BYTES
  const order = pages.orderFor(setBytes)
  const wanted = sizes.slotCount / sizes.setSlots
  const good: Array<PhysAddr> = []
  const bad: Array<PhysAddr> = []
  while (good.length < wanted) {
    const block = pages.allocate(order)
    if (block < 0) break
    if (block + setBytes - 1 <= sizes.addressMax) good.push(block)
    else bad.push(block)
  }
  if (good.length === 0) fail("no memory for a bounce buffer")
  const kept = good.length === wanted ? wanted : powerOfTwoFrom(good.length + 1) / 2
  for (const block of [...good.splice(kept), ...bad]) pages.free(block)
  return Float64Array.from(good)
}

/** A bounce buffer in the host's memory. */
export const makeSwiotlb = (options: SwiotlbOptions): Swiotlb => new Swiotlb(options)
