/**
 * A device's bus-master port: its reads and writes of memory, cut at IOMMU pages, each piece through the
 * IOMMU's door. A piece that faults ends the access; the pieces before it have happened.
 */
import { fail, type FramePool, type Memory } from "@vnic/sim/core"
import { ACCESS_READ, ACCESS_WRITE, type DeviceId, type Iommu } from "./iommu.ts"

// Exported and imported names cost a load and a check at each use; the hot path has its own.
const READ = ACCESS_READ
const WRITE = ACCESS_WRITE

export class BusPort {
  /** [0]: translation time of the last access, picoseconds; of several pieces the longest. */
  readonly latencyPs = new Float64Array(1)
  declare private readonly iommu: Iommu
  declare private readonly device: DeviceId
  declare private readonly words: Int32Array
  declare private readonly frames: FramePool
  declare private readonly pageBytes: number
  declare private readonly pageMask: number

  constructor(iommu: Iommu, device: DeviceId, memory: Memory, frames: FramePool) {
    this.iommu = iommu
    this.device = device
    this.words = memory.words
    this.frames = frames
    this.pageBytes = iommu.pageBytes
    this.pageMask = iommu.pageBytes - 1
  }

  /** Bytes from a bus address to the end of its page. */
  private readonly roomBytes = (busAddr: number): number => {
    return this.pageBytes - (busAddr & this.pageMask)
  }

  private readonly translate = (busAddr: number, sizeBytes: number, access: number, tag: number): number => {
    const phys = this.iommu.translate(this.device, busAddr, sizeBytes, access, tag)
    this.latencyPs[0] = this.iommu.latencyPs[0]!
    return phys
  }

  /** After the last piece of an access whose first piece took `firstPs`. */
  private readonly keepLongest = (firstPs: number): void => {
    if (firstPs > this.latencyPs[0]!) this.latencyPs[0] = firstPs
  }

  /** Reads 32-bit words at a bus address (word aligned) into `into[at..]`. False: the access faulted. */
  readonly readWords = (busAddr: number, into: Int32Array, at: number, wordCount: number, tag: number): boolean => {
    if ((busAddr & 3) !== 0) fail("a read of words that are not aligned")
    const roomBytes = this.roomBytes(busAddr)
    if (wordCount << 2 > roomBytes) {
      const first = roomBytes >> 2
      if (!this.readWords(busAddr, into, at, first, tag)) return false
      const firstPs = this.latencyPs[0]!
      const isRead = this.readWords(busAddr + roomBytes, into, at + first, wordCount - first, tag)
      this.keepLongest(firstPs)
      return isRead
    }
    const phys = this.translate(busAddr, wordCount << 2, READ, tag)
    if (phys < 0) return false
    const words = this.words
    const from = phys >> 2
    for (let word = 0; word < wordCount; word++) into[at + word] = words[from + word]!
    return true
  }

  /** Writes 32-bit words from `from[at..]` to a bus address (word aligned). False: the access faulted. */
  readonly writeWords = (busAddr: number, from: Int32Array, at: number, wordCount: number, tag: number): boolean => {
    if ((busAddr & 3) !== 0) fail("a write of words that are not aligned")
    const roomBytes = this.roomBytes(busAddr)
    if (wordCount << 2 > roomBytes) {
      const first = roomBytes >> 2
      if (!this.writeWords(busAddr, from, at, first, tag)) return false
      const firstPs = this.latencyPs[0]!
      const isWritten = this.writeWords(busAddr + roomBytes, from, at + first, wordCount - first, tag)
      this.keepLongest(firstPs)
      return isWritten
    }
    const phys = this.translate(busAddr, wordCount << 2, WRITE, tag)
    if (phys < 0) return false
    const words = this.words
    const to = phys >> 2
    for (let word = 0; word < wordCount; word++) words[to + word] = from[at + word]!
    return true
  }

  /** Writes bytes [from, from + sizeBytes) of a frame to a bus address. False: the access faulted. */
  readonly writeFrame = (busAddr: number, frame: number, from: number, sizeBytes: number, tag: number): boolean => {
    const roomBytes = this.roomBytes(busAddr)
    if (sizeBytes > roomBytes) {
      if (!this.writeFrame(busAddr, frame, from, roomBytes, tag)) return false
      const firstPs = this.latencyPs[0]!
      const isWritten = this.writeFrame(busAddr + roomBytes, frame, from + roomBytes, sizeBytes - roomBytes, tag)
      this.keepLongest(firstPs)
      return isWritten
    }
    const phys = this.translate(busAddr, sizeBytes, WRITE, tag)
    if (phys < 0) return false
    this.frames.copyOut(frame, from, sizeBytes, phys)
    return true
  }

  /** Appends `sizeBytes` from a bus address to a frame's head. False: the access faulted. */
  readonly readFrame = (busAddr: number, frame: number, sizeBytes: number, tag: number): boolean => {
    const roomBytes = this.roomBytes(busAddr)
    if (sizeBytes > roomBytes) {
      if (!this.readFrame(busAddr, frame, roomBytes, tag)) return false
      const firstPs = this.latencyPs[0]!
      const isRead = this.readFrame(busAddr + roomBytes, frame, sizeBytes - roomBytes, tag)
      this.keepLongest(firstPs)
      return isRead
    }
    const phys = this.translate(busAddr, sizeBytes, READ, tag)
    if (phys < 0) return false
    this.frames.append(frame, phys, sizeBytes)
    return true
  }
}

/** The bus-master port of one attached device. */
export const makeBusPort = (iommu: Iommu, device: DeviceId, memory: Memory, frames: FramePool): BusPort =>
  new BusPort(iommu, device, memory, frames)
