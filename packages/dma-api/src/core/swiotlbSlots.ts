/**
 * Which slots of a bounce buffer are free. Slots lie in sets, each contiguous in memory, and an allocation is slots of
 * one set; sets are divided among areas, which are searched and changed apart from each other. Of each slot it is
 * known how many are free from it on, so that a search looks at one number a slot, from where the last one ended.
 * Nothing here waits or costs: `steps` says how many slots were looked at or written.
 * [Linux 6.12 kernel/dma/swiotlb.c swiotlb_search_pool_area, swiotlb_release_slots]
 */
import { assert, fail } from "@vnic/sim/core"
import { isPowerOfTwo } from "./iova/powersOfTwo.ts"
import type { PhysAddr } from "./types.ts"

export const SLOT_SHIFT = 11
export const SLOT_BYTES = 1 << SLOT_SHIFT
/** No run of free slots that long, where it was looked for. */
export const SLOT_NONE = -1

/** What an allocation must look like. */
export interface SlotRequest {
  /** Slots in a row. */
  count: number
  /** These bits of the first slot's address are `alignedTo`; neither has bits below the slot. */
  alignMask: number
  alignedTo: number
  /** First and last byte do not differ above this mask. */
  boundaryMask: number
}

export class SwiotlbSlots {
  declare readonly slotCount: number
  declare readonly areaCount: number
  declare readonly areaSlots: number
  declare readonly setSlots: number
  /** Slots in use by area. */
  declare readonly used: Int32Array
  /** lengths[slot]: slots of the allocation that begins there; 0 where none does. */
  declare readonly lengths: Int32Array
  /** Slots that the last call looked at or wrote. */
  steps = 0
  declare private readonly setAddresses: Float64Array
  /** runs[slot]: free slots from there to the next one in use or to the end of the set; 0 when it is in use. */
  declare private readonly runs: Int32Array
  /** Where each area's next search begins, from the area's first slot. */
  declare private readonly nexts: Int32Array

  /** Sets of `setSlots` slots at these addresses, multiples of their size; all numbers are powers of two. */
  constructor(setAddresses: Float64Array, setSlots: number, areaCount: number) {
    const setCount = setAddresses.length
    for (const count of [setCount, setSlots, areaCount]) assert(isPowerOfTwo(count), "slots are not a power of two")
    assert(areaCount <= setCount, "an area of the bounce buffer has no slots")
    this.setAddresses = setAddresses
    this.setSlots = setSlots
    this.slotCount = setCount * setSlots
    this.areaCount = areaCount
    this.areaSlots = this.slotCount / areaCount
    this.used = new Int32Array(areaCount)
    this.lengths = new Int32Array(this.slotCount)
    this.nexts = new Int32Array(areaCount)
    this.runs = Int32Array.from({ length: this.slotCount }, (_, slot) => setSlots - (slot % setSlots))
  }

  readonly addressOf = (slot: number): PhysAddr => {
    const inSet = slot & (this.setSlots - 1)
    return this.setAddresses[(slot - inSet) / this.setSlots]! + inSet * SLOT_BYTES
  }

  readonly areaOf = (slot: number): number => {
    return Math.floor(slot / this.areaSlots)
  }

  /** The first slot of a new allocation in this area, or SLOT_NONE. */
  readonly take = (area: number, request: SlotRequest): number => {
    const { areaSlots, nexts } = this
    const { alignMask, count } = request
    this.steps = 0
    if (count > areaSlots - this.used[area]!) return SLOT_NONE
    const from = area * areaSlots
    const next = nexts[area]!
    // Where one slot is aligned the others are so many slots apart, as far as a set goes.
    const stride = Math.min((alignMask >>> SLOT_SHIFT) + 1, this.setSlots)
    for (let passed = 0; passed < areaSlots;) {
      const slot = from + ((next + passed) & (areaSlots - 1))
      const address = this.addressOf(slot)
      this.steps++
      if ((address & alignMask) !== request.alignedTo) {
        passed++
        continue
      }
      if (this.runs[slot]! >= count && isInside(address, count, request.boundaryMask)) {
        this.use(area, slot, count)
        return slot
      }
      passed += stride
    }
    return SLOT_NONE
  }

  /** Would such an allocation succeed if no slot was in use? */
  readonly canEverFit = ({ alignedTo, alignMask, boundaryMask, count }: SlotRequest): boolean => {
    const { setSlots, slotCount } = this
    for (let slot = 0; slot < slotCount; slot++) {
      const address = this.addressOf(slot)
      const isRoom = (slot & (setSlots - 1)) + count <= setSlots && isInside(address, count, boundaryMask)
      if (isRoom && (address & alignMask) === alignedTo) return true
    }
    return false
  }

  private readonly use = (area: number, slot: number, count: number): void => {
    const { areaSlots, runs } = this
    runs.fill(0, slot, slot + count)
    this.lengths[slot] = count
    this.steps += count
    this.shortenBefore(slot, 0)
    this.used[area]! += count
    this.nexts[area] = (slot + count) & (areaSlots - 1)
  }

  /** Counts anew the free slots right before `slot`, which has `run` of them itself. */
  private readonly shortenBefore = (slot: number, run: number): void => {
    const { runs } = this
    const setStart = slot - (slot & (this.setSlots - 1))
    for (let before = slot - 1; before >= setStart && runs[before]! > 0; before--) {
      runs[before] = ++run
      this.steps++
    }
  }

  /** Gives an allocation back by its first slot. */
  readonly giveBack = (slot: number): void => {
    const { lengths, runs } = this
    const count = lengths[slot] ?? 0
    if (count === 0) fail("a bounce buffer was given back that was not handed out")
    const end = slot + count
    const isSetEnd = (end & (this.setSlots - 1)) === 0
    const behind = isSetEnd ? 0 : runs[end]!
    lengths[slot] = 0
    for (let index = 0; index < count; index++) runs[slot + index] = behind + count - index
    this.steps = count
    this.shortenBefore(slot, behind + count)
    this.used[this.areaOf(slot)]! -= count
  }
}

/** A boundary narrower than a slot asks for no more than one slot. */
const isInside = (address: PhysAddr, count: number, boundaryMask: number): boolean => {
  if (boundaryMask === Number.MAX_SAFE_INTEGER || count === 1) return true
  const boundaryBytes = boundaryMask + 1
  return Math.floor(address / boundaryBytes) === Math.floor((address + count * SLOT_BYTES - 1) / boundaryBytes)
}
