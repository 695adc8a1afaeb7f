/**
 * A device that obeys nobody: it reads and writes wherever it likes, across pages, past the window, far
 * above any memory. Whatever it does must end as a fault or inside pages that are mapped for it.
 */
import type { FramePool, Prng } from "@vnic/sim/core"
import type { BusPort } from "../core/busPort.ts"

/** Bus addresses that were trouble to somebody. */
const ODD_ADDRESSES = [0, 4092, 0x3fff_fffc, 0x4000_0000, 0x7fff_fffc, 0x8000_0000, 0xffff_fffc, 2 ** 32, 2 ** 52]

const WORDS_MAX = 16
const FRAME_BYTES_MAX = 1518

export class HostileDevice {
  /** Accesses that were let through, and that faulted. */
  passed = 0
  faulted = 0
  private readonly port: BusPort
  private readonly frames: FramePool
  private readonly prng: Prng
  private readonly words = new Int32Array(WORDS_MAX)

  constructor(port: BusPort, frames: FramePool, prng: Prng) {
    this.port = port
    this.frames = frames
    this.prng = prng
  }

  /** An access anywhere below `reachBytes`, or at an odd address. */
  strike(reachBytes: number): void {
    const { prng } = this
    const busAddr = prng.below(4) === 0 ? ODD_ADDRESSES[prng.below(ODD_ADDRESSES.length)]! : prng.below(reachBytes)
    if (this.access(prng.below(4), busAddr)) this.passed++
    else this.faulted++
  }

  private access(kind: number, busAddr: number): boolean {
    const { frames, port, prng, words } = this
    const wordAddr = busAddr - (busAddr % 4)
    const tag = prng.next() & 0x7fff_ffff
    if (kind === 0) return port.readWords(wordAddr, words, 0, 1 + prng.below(WORDS_MAX), tag)
    if (kind === 1) {
      words.fill(-1)
      return port.writeWords(wordAddr, words, 0, 1 + prng.below(WORDS_MAX), tag)
    }
    const frame = frames.allocate()
    const sizeBytes = 1 + prng.below(FRAME_BYTES_MAX)
    frames.headBytes[frame] = kind === 2 ? sizeBytes : 0
    const isPassed =
      kind === 2 ? port.writeFrame(busAddr, frame, 0, sizeBytes, tag) : port.readFrame(busAddr, frame, sizeBytes, tag)
    frames.free(frame)
    return isPassed
  }
}

/** A device behind `port` whose whims come from `prng`. */
export const makeHostileDevice = (port: BusPort, frames: FramePool, prng: Prng): HostileDevice =>
  new HostileDevice(port, frames, prng)
