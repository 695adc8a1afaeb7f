/** Slots of a bounce buffer the slow way: a list of who is in each, searched slot by slot. */
import { SLOT_BYTES, SLOT_NONE, type SlotRequest } from "@vnic/dma-api/core"

export class NaiveSlots {
  /** The first slot of the allocation that each slot belongs to, or SLOT_NONE. */
  readonly owners: Array<number>
  private readonly nexts: Array<number>
  private readonly setAddresses: ReadonlyArray<number>
  private readonly setSlots: number
  private readonly areaSlots: number

  constructor(setAddresses: ReadonlyArray<number>, setSlots: number, areaCount: number) {
    const slotCount = setAddresses.length * setSlots
    this.setAddresses = setAddresses
    this.setSlots = setSlots
    this.areaSlots = slotCount / areaCount
    this.owners = new Array<number>(slotCount).fill(SLOT_NONE)
    this.nexts = new Array<number>(areaCount).fill(0)
  }

  addressOf(slot: number): number {
    return this.setAddresses[Math.floor(slot / this.setSlots)]! + (slot % this.setSlots) * SLOT_BYTES
  }

  take(area: number, { alignMask, alignedTo, boundaryMask, count }: SlotRequest): number {
    for (let passed = 0; passed < this.areaSlots; passed++) {
      const slot = area * this.areaSlots + ((this.nexts[area]! + passed) % this.areaSlots)
      const slots = Array.from({ length: count }, (_, index) => slot + index)
      const isOneSet = (slot % this.setSlots) + count <= this.setSlots
      const isFree = isOneSet && slots.every((one) => this.owners[one] === SLOT_NONE)
      const first = this.addressOf(slot)
      const pieceOf = (address: number): number => Math.floor(address / (boundaryMask + 1))
      const isInside = count === 1 || pieceOf(first) === pieceOf(first + count * SLOT_BYTES - 1)
      if (!isFree || !isInside || (first & alignMask) !== alignedTo) continue
      for (const one of slots) this.owners[one] = slot
      this.nexts[area] = (slot + count) % this.areaSlots
      return slot
    }
    return SLOT_NONE
  }

  giveBack(slot: number): void {
    for (let one = slot; this.owners[one] === slot; one++) this.owners[one] = SLOT_NONE
  }

  get used(): number {
    return this.owners.filter((owner) => owner !== SLOT_NONE).length
  }
}
