/** Which memory must not be handed to a device: the port by which DMA debug asks, and a map made from areas. */
import type { PhysAddr } from "./types.ts"

/** What a buffer touches, as bits; 0 is memory that may be mapped. */
export const AREA_INVALID = 1
export const AREA_VMALLOC = 2
export const AREA_STACK = 4
export const AREA_KERNEL = 8

export interface MemoryMap {
  /** The AREA bits of all that the range touches. */
  areasOf(phys: PhysAddr, sizeBytes: number): number
}

/** Part of memory that is of one kind. */
export interface MemoryArea {
  readonly phys: PhysAddr
  readonly sizeBytes: number
  /** AREA bits. */
  readonly area: number
}

/** A map of `memoryBytes` bytes from address 0; what lies outside is invalid, what lies in no area may be mapped. */
export function makeMemoryMap(memoryBytes: number, areas: ReadonlyArray<MemoryArea> = []): MemoryMap {
  const isPlain = areas.length === 0
  return {
    areasOf: (phys, sizeBytes) => {
      const outside = phys >= 0 && phys + sizeBytes <= memoryBytes ? 0 : AREA_INVALID
      return isPlain ? outside : outside | touched(areas, phys, sizeBytes)
    }
  }
}

function touched(areas: ReadonlyArray<MemoryArea>, phys: PhysAddr, sizeBytes: number): number {
  let bits = 0
  for (const area of areas) {
    if (area.phys < phys + sizeBytes && phys < area.phys + area.sizeBytes) bits |= area.area
  }
  return bits
}
