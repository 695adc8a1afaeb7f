/**
 * One direction of a link as a serial resource: every frame takes its bytes, and the preamble before and
 * the gap behind it, one after the other; and the meter of what it carries. All times and sums are in
 * `state`, so that no double travels in a call.
 */
import {
  FRAME_CHECK_SIZE_BYTES,
  FRAME_SIZE_BYTES_MIN,
  INTERFRAME_GAP_SIZE_BYTES,
  PREAMBLE_SIZE_BYTES,
  START_DELIMITER_SIZE_BYTES
} from "@vnic/net-stack/core"
import { assert } from "@vnic/sim/core"
import { PART_NONE, Tally, type Window } from "./window.ts"

/** Indices of `Medium.state`, picoseconds. When the next preamble may begin: */
export const FREE_AT = 0
/** not before this may the next frame's preamble begin (set before `occupy`); */
export const NOT_BEFORE = 1
/** first bit of the frame that was put on the medium last, behind its preamble; */
export const FIRST_BIT = 2
/** and its last bit, the end of its check sequence. */
export const LAST_BIT = 3
const BYTE = 4
const PREFIX = 5
const GAP = 6
/** Sums since the beginning. */
const FRAMES = 7
const FRAME_BYTES = 8
/** When the preamble of the frame that was put on the medium last began. */
const BEGIN = 9
/** Time of the window that the medium was taken for: a frame across an edge counts in part. */
const BUSY_IN_WINDOW = 10
const STATE_COUNT = 11

const PICOSECOND_BITS_PER_BYTE = 8e12
const PREFIX_BYTES = PREAMBLE_SIZE_BYTES + START_DELIMITER_SIZE_BYTES
/** Medium time of a frame that is not its own bytes: preamble, delimiter and gap. */
const AROUND_FRAME_BYTES = PREFIX_BYTES + INTERFRAME_GAP_SIZE_BYTES
/** Aliases of imported constants, for the hottest function. */
const FRAME_BYTES_LEAST = FRAME_SIZE_BYTES_MIN
const CHECK_BYTES = FRAME_CHECK_SIZE_BYTES
const NO_PART = PART_NONE

export class Medium {
  readonly state = new Float64Array(STATE_COUNT)
  /** What passed in each part of the window: frames, and their bytes with check sequence and padding. */
  readonly framesInWindow = new Tally()
  readonly frameBytesInWindow = new Tally()
  declare private readonly window: Window
  declare private readonly partFrames: Float64Array
  declare private readonly partFrameBytes: Float64Array

  constructor(rateBitsPerSecond: number, window: Window) {
    assert(rateBitsPerSecond > 0, "a medium needs a rate")
    const bytePs = PICOSECOND_BITS_PER_BYTE / rateBitsPerSecond
    this.state[BYTE] = bytePs
    this.state[PREFIX] = PREFIX_BYTES * bytePs
    this.state[GAP] = INTERFRAME_GAP_SIZE_BYTES * bytePs
    this.window = window
    this.partFrames = this.framesInWindow.parts
    this.partFrameBytes = this.frameBytesInWindow.parts
  }

  /**
   * Puts a frame of `lengthBytes` without check sequence on the medium, as early as it is free and
   * NOT_BEFORE allows, and leaves its times in FIRST_BIT and LAST_BIT. It has at least 60 bytes there, and
   * its check sequence.
   *
   * Rates that give no whole picoseconds a byte keep their fraction here; events are rounded up.
   */
  occupy(lengthBytes: number): void {
    const state = this.state
    const frameBytes = (lengthBytes < FRAME_BYTES_LEAST ? FRAME_BYTES_LEAST : lengthBytes) + CHECK_BYTES
    const freeAt = state[FREE_AT]!
    const notBefore = state[NOT_BEFORE]!
    const begin = freeAt > notBefore ? freeAt : notBefore
    const firstBit = begin + state[PREFIX]!
    const lastBit = firstBit + frameBytes * state[BYTE]!
    state[BEGIN] = begin
    state[FIRST_BIT] = firstBit
    state[LAST_BIT] = lastBit
    state[FREE_AT] = lastBit + state[GAP]!
    state[FRAMES]! += 1
    state[FRAME_BYTES]! += frameBytes
    this.window.addOverlap(state, BEGIN, FREE_AT, BUSY_IN_WINDOW)
    const part = this.window.partOf(state, LAST_BIT)
    if (part !== NO_PART) {
      this.partFrames[part]! += 1
      this.partFrameBytes[part]! += frameBytes
    }
  }

  /** Time of the gap between two frames, picoseconds. */
  get gapPs(): number {
    return this.state[GAP]!
  }

  /** Frames since the beginning. */
  get frames(): number {
    return this.state[FRAMES]!
  }

  /** Time that the medium was taken since the beginning, picoseconds. */
  get busyPs(): number {
    return (this.state[FRAME_BYTES]! + this.state[FRAMES]! * AROUND_FRAME_BYTES) * this.state[BYTE]!
  }

  /** Time of the window that the medium was taken for, picoseconds. */
  get busyPsInWindow(): number {
    return this.state[BUSY_IN_WINDOW]!
  }

  /** Bytes of medium time of the frames that count in the window: frames, preambles and gaps. */
  get wireBytesInWindow(): number {
    return this.frameBytesInWindow.sum + this.framesInWindow.sum * AROUND_FRAME_BYTES
  }

  /** The same of one of its parts. */
  wireBytesInPart(part: number): number {
    return this.partFrameBytes[part]! + this.partFrames[part]! * AROUND_FRAME_BYTES
  }
}
