/** The calls of a device about coherent memory: a block of pages, and the mapping of it. */
import { allocateBlock, BLOCK_TOO_HIGH, freeBlock, type CoherentMemory } from "./coherent.ts"
import { checkMap, isMappingError, type Device } from "./device.ts"
import type { DeviceFront } from "./deviceFront.ts"
import { KIND_COHERENT, tagOf } from "./mappings.ts"
import { BIDIRECTIONAL, MAP_MASK_TOO_NARROW, MAP_OUT_OF_MEMORY, type PhysAddr } from "./types.ts"

const TAG = tagOf(KIND_COHERENT, BIDIRECTIONAL)

export class CoherentCalls {
  declare private readonly front: DeviceFront
  declare private readonly memory: CoherentMemory

  constructor(front: DeviceFront, memory: CoherentMemory) {
    this.front = front
    this.memory = memory
  }

  readonly allocCoherent: Device["allocCoherent"] = (cpu, sizeBytes) => {
    const { front, memory } = this
    checkMap(0, sizeBytes, BIDIRECTIONAL)
    const phys = allocateBlock(memory, sizeBytes, this.startMaxOf(sizeBytes))
    if (phys < 0) {
      front.noteFailure(cpu, phys === BLOCK_TOO_HIGH ? MAP_MASK_TOO_NARROW : MAP_OUT_OF_MEMORY)
      return undefined
    }
    const busAddr = front.mapNow(cpu, phys, sizeBytes, TAG, 0)
    if (isMappingError(busAddr)) {
      freeBlock(memory, phys)
      return undefined
    }
    return { phys, busAddr, sizeBytes }
  }

  /** The highest place of a block that the device reaches: any, where the backend chooses its bus address. */
  private readonly startMaxOf = (sizeBytes: number): PhysAddr => {
    const { backend, limits } = this.front
    if (backend.ranges !== undefined) return Infinity
    return limits.coherentMask + 1 - sizeBytes - (backend.memoryStart ?? 0)
  }

  readonly freeCoherent: Device["freeCoherent"] = (cpu, block) => {
    const { debug, debugId } = this.front
    const { busAddr, phys, sizeBytes } = block
    // Where debug knows better than the driver where the block lies, that is what goes.
    const really = debug?.freeing(debugId, cpu, busAddr, phys, sizeBytes) ?? phys
    if (this.front.unmapNow(cpu, busAddr, sizeBytes, TAG, 0)) freeBlock(this.memory, really)
  }
}
