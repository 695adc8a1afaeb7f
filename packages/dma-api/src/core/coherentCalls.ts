/** The calls of a device about coherent memory: a block of pages, and the mapping of it. */
import { checkCall } from "./backend.ts"
import { allocateBlock, type CoherentMemory } from "./coherent.ts"
import { checkMap, isMappingError, type Coherent, type Device } from "./device.ts"
import type { DeviceFront } from "./deviceFront.ts"
import { KIND_COHERENT, kindOfTag, tagOf } from "./mappings.ts"
import { BIDIRECTIONAL, MAP_OUT_OF_MEMORY, type PhysAddr } from "./types.ts"

const TAG = tagOf(KIND_COHERENT, BIDIRECTIONAL)

export class CoherentCalls {
  /** The block that each CPU was given last, undefined when there was none. */
  declare readonly coherent: Array<Coherent | undefined>
  declare private readonly front: DeviceFront
  declare private readonly memory: CoherentMemory
  /** Where each CPU goes on when its block is mapped or unmapped. */
  declare private readonly thens: Int32Array
  declare private readonly mapped: number
  declare private readonly unmapped: number

  constructor(front: DeviceFront, memory: CoherentMemory) {
    const { host } = front
    this.front = front
    this.memory = memory
    this.coherent = Array.from({ length: host.count }, () => undefined)
    this.thens = new Int32Array(host.count)
    this.mapped = host.define("dma coherent: mapped", (cpu) => this.endAlloc(cpu))
    this.unmapped = host.define("dma coherent: unmapped", (cpu) => this.endFree(cpu))
  }

  readonly allocCoherent: Device["allocCoherent"] = (cpu, sizeBytes) => {
    const { host, leaveStep, mapStep } = this.front
    if (!this.setAlloc(cpu, sizeBytes, leaveStep)) return undefined
    host.runAlone(cpu, mapStep)
    return this.coherent[cpu]
  }

  readonly beginAllocCoherent: Device["beginAllocCoherent"] = (cpu, sizeBytes, then) => {
    return this.setAlloc(cpu, sizeBytes, then) ? this.front.backend.beginMap(cpu) : then
  }

  /** Takes a block, to be mapped; false when there is none. */
  private readonly setAlloc = (cpu: number, sizeBytes: number, then: number): boolean => {
    const { backend, calls } = this.front
    checkMap(0, sizeBytes, BIDIRECTIONAL)
    this.front.setMap(cpu, 0, sizeBytes, TAG, 0)
    this.coherent[cpu] = undefined
    const suits = (phys: PhysAddr): boolean => {
      calls.phys[cpu] = phys
      return backend.suits(cpu)
    }
    const phys = allocateBlock(this.memory, sizeBytes, suits)
    if (phys < 0) {
      this.front.noteFailure(cpu, MAP_OUT_OF_MEMORY)
      return false
    }
    calls.phys[cpu] = phys
    calls.thens[cpu] = this.mapped
    this.thens[cpu] = then
    return true
  }

  private readonly endAlloc = (cpu: number): number => {
    const { calls, mapped } = this.front
    const phys = calls.phys[cpu]!
    const busAddr = mapped[cpu]!
    if (isMappingError(busAddr)) this.memory.pages.free(phys)
    else this.coherent[cpu] = { phys, busAddr, sizeBytes: calls.sizes[cpu]! }
    return this.thens[cpu]!
  }

  readonly freeCoherent: Device["freeCoherent"] = (cpu, block) => {
    const { host, leaveStep, unmapStep } = this.front
    if (this.setFree(cpu, block, leaveStep)) host.runAlone(cpu, unmapStep)
  }

  readonly beginFreeCoherent: Device["beginFreeCoherent"] = (cpu, block, then) => {
    return this.setFree(cpu, block, then) ? this.front.backend.beginUnmap(cpu) : then
  }

  /** Says what is to be unmapped; false when there is nothing to undo. */
  private readonly setFree = (cpu: number, { busAddr, phys, sizeBytes }: Coherent, then: number): boolean => {
    const { calls, debug, debugId } = this.front
    checkCall(calls, cpu)
    // Where debug knows better than the driver where the block lies, that is what goes.
    calls.phys[cpu] = debug?.freeing(debugId, cpu, busAddr, phys, sizeBytes) ?? phys
    calls.thens[cpu] = this.unmapped
    this.thens[cpu] = then
    return this.front.setUnmap(cpu, busAddr, sizeBytes, TAG, 0)
  }

  /** What debug knows to be no block of coherent memory stays allocated. */
  private readonly endFree = (cpu: number): number => {
    const { calls } = this.front
    if (kindOfTag(calls.tags[cpu]!) === KIND_COHERENT) this.memory.pages.free(calls.phys[cpu]!)
    return this.thens[cpu]!
  }
}
