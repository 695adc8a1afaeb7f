import type { FramePool, Memory } from "@vnic/sim/core"
import type { BusMaster } from "../core/index.ts"

/** A way to memory on which bus addresses are physical ones. */
export class FlatBusMaster implements BusMaster {
  readonly latencyPs = new Float64Array(1)
  /** Accesses so far; the one with number `faultAt` faults (0: none does). */
  accesses = 0
  faultAt = 0
  /** Tag of the last access. */
  lastTag = 0
  private readonly memory: Memory
  private readonly frames: FramePool

  constructor(memory: Memory, frames: FramePool) {
    this.memory = memory
    this.frames = frames
  }

  private isFaulty(busAddr: number, sizeBytes: number, tag: number): boolean {
    this.accesses++
    this.lastTag = tag
    return busAddr + sizeBytes > this.memory.hostSizeBytes || this.accesses === this.faultAt
  }

  readWords(busAddr: number, into: Int32Array, at: number, wordCount: number, tag: number): boolean {
    if (this.isFaulty(busAddr, wordCount * 4, tag)) return false
    const first = busAddr >>> 2
    for (let word = 0; word < wordCount; word++) into[at + word] = this.memory.words[first + word]!
    return true
  }

  writeWords(busAddr: number, from: Int32Array, at: number, wordCount: number, tag: number): boolean {
    if (this.isFaulty(busAddr, wordCount * 4, tag)) return false
    const first = busAddr >>> 2
    for (let word = 0; word < wordCount; word++) this.memory.words[first + word] = from[at + word]!
    return true
  }

  writeFrame(busAddr: number, frame: number, from: number, sizeBytes: number, tag: number): boolean {
    if (this.isFaulty(busAddr, sizeBytes, tag)) return false
    this.frames.copyOut(frame, from, sizeBytes, busAddr)
    return true
  }

  readFrame(busAddr: number, frame: number, sizeBytes: number, tag: number): boolean {
    if (this.isFaulty(busAddr, sizeBytes, tag)) return false
    this.frames.append(frame, busAddr, sizeBytes)
    return true
  }
}

/** A bus master straight to memory. Addresses past the end of the host's memory fault. */
export const flatBusMaster = (memory: Memory, frames: FramePool): FlatBusMaster => new FlatBusMaster(memory, frames)
