/** The device's way to the host's memory: by bus addresses, in pieces that lie in one page, every access watched. */
import { FROM_DEVICE, TO_DEVICE, type Direction } from "@vnic/dma-api/core"
import { DESCRIPTOR_BYTES } from "@vnic/nic-device/registers"
import { fail, type Memory, type PhysAddr, type Timeline } from "@vnic/sim/core"

export interface ScriptedMemoryOptions {
  readonly timeline: Timeline
  readonly memory: Memory
  /** Where a bus address leads; undefined: nowhere. Asked for every access and every page of it. */
  readonly translate: (busAddr: number) => PhysAddr | undefined
  /** Told of every access: a DMA debug's `accessed`, say. */
  readonly accessed?: (busAddr: number, sizeBytes: number, direction: Direction, atPs: number) => void
}

/** No translation is finer. */
const PAGE_BYTES = 4096

/** A bus address from the two halves in which registers and descriptors hold it. */
export const busAddrOf = (low: number, high: number): number => (low >>> 0) + (high >>> 0) * 2 ** 32

export class ScriptedMemory {
  /** Accesses that led nowhere, by bus address. A driver that is right causes none. */
  readonly faults: Array<number> = []
  private readonly options: ScriptedMemoryOptions

  constructor(options: ScriptedMemoryOptions) {
    this.options = options
  }

  /** Where the byte at a bus address is; counts a fault and gives undefined where it is nowhere. */
  private physOf(busAddr: number): PhysAddr | undefined {
    const phys = this.options.translate(busAddr)
    if (phys === undefined) this.faults.push(busAddr)
    return phys
  }

  /** Goes through a range in pieces that lie in one page; false when a piece leads nowhere. */
  private eachPiece(
    busAddr: number,
    sizeBytes: number,
    direction: Direction,
    piece: (phys: PhysAddr, from: number, to: number) => void
  ): boolean {
    this.options.accessed?.(busAddr, sizeBytes, direction, this.options.timeline.nowPs)
    for (let from = 0; from < sizeBytes;) {
      const to = Math.min(sizeBytes, from + PAGE_BYTES - ((busAddr + from) % PAGE_BYTES))
      const phys = this.physOf(busAddr + from)
      if (phys === undefined) return false
      piece(phys, from, to)
      from = to
    }
    return true
  }

  writeBytes(busAddr: number, bytes: Uint8Array): boolean {
    const memory = this.options.memory.bytes
    return this.eachPiece(busAddr, bytes.length, FROM_DEVICE, (phys, from, to) =>
      memory.set(bytes.subarray(from, to), phys)
    )
  }

  readBytes(busAddr: number, sizeBytes: number): Uint8Array | undefined {
    const bytes = new Uint8Array(sizeBytes)
    const { memory } = this.options
    const isRead = this.eachPiece(busAddr, sizeBytes, TO_DEVICE, (phys, from, to) =>
      bytes.set(memory.bytes.subarray(phys, phys + to - from), from)
    )
    return isRead ? bytes : undefined
  }

  descriptorWords(ringBus: number, slot: number): Int32Array {
    const bytes = this.readBytes(ringBus + slot * DESCRIPTOR_BYTES, DESCRIPTOR_BYTES)
    return new Int32Array((bytes ?? fail("a descriptor ring that is not mapped")).buffer)
  }

  writeDescriptor(ringBus: number, slot: number, words: ReadonlyArray<number>): void {
    this.writeBytes(ringBus + slot * DESCRIPTOR_BYTES, new Uint8Array(Int32Array.from(words).buffer))
  }
}
