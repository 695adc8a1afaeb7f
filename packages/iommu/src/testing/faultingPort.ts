/** The other side of a device's bus-master port: memory without translation in which chosen accesses fault. */
import type { FramePool, Memory } from "@vnic/sim/core"

/** One access as the device made it. */
export interface BusAccess {
  readonly kind: "readWords" | "writeWords" | "readFrame" | "writeFrame"
  readonly busAddr: number
  readonly sizeBytes: number
  readonly tag: number
  readonly isFault: boolean
}

export class FaultingPort {
  readonly latencyPs = new Float64Array(1)
  /** Everything that the device did. */
  readonly accesses: Array<BusAccess> = []
  private readonly memory: Memory
  private readonly frames: FramePool
  private readonly isFault: (access: Omit<BusAccess, "isFault">, index: number) => boolean

  constructor(
    memory: Memory,
    frames: FramePool,
    isFault: (access: Omit<BusAccess, "isFault">, index: number) => boolean
  ) {
    this.memory = memory
    this.frames = frames
    this.isFault = isFault
  }

  private isAllowed(kind: BusAccess["kind"], busAddr: number, sizeBytes: number, tag: number): boolean {
    const access = { kind, busAddr, sizeBytes, tag }
    const isInside = busAddr >= 0 && busAddr + sizeBytes <= this.memory.hostSizeBytes
    const isFault = !isInside || this.isFault(access, this.accesses.length)
    this.accesses.push({ ...access, isFault })
    return !isFault
  }

  readWords(busAddr: number, into: Int32Array, at: number, wordCount: number, tag: number): boolean {
    if (!this.isAllowed("readWords", busAddr, wordCount * 4, tag)) return false
    into.set(this.memory.words.subarray(busAddr / 4, busAddr / 4 + wordCount), at)
    return true
  }

  writeWords(busAddr: number, from: Int32Array, at: number, wordCount: number, tag: number): boolean {
    if (!this.isAllowed("writeWords", busAddr, wordCount * 4, tag)) return false
    this.memory.words.set(from.subarray(at, at + wordCount), busAddr / 4)
    return true
  }

  writeFrame(busAddr: number, frame: number, from: number, sizeBytes: number, tag: number): boolean {
    if (!this.isAllowed("writeFrame", busAddr, sizeBytes, tag)) return false
    this.frames.copyOut(frame, from, sizeBytes, busAddr)
    return true
  }

  readFrame(busAddr: number, frame: number, sizeBytes: number, tag: number): boolean {
    if (!this.isAllowed("readFrame", busAddr, sizeBytes, tag)) return false
    this.frames.append(frame, busAddr, sizeBytes)
    return true
  }
}

/** A port in which the accesses that `isFault` picks (by what they are, or by their number from 0) fault. */
export const makeFaultingPort = (
  memory: Memory,
  frames: FramePool,
  isFault: (access: Omit<BusAccess, "isFault">, index: number) => boolean = () => false
): FaultingPort => new FaultingPort(memory, frames, isFault)
