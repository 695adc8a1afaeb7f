/** The sink of open-loop frames: flow and sequence number say which frame it is. */
import { TEST_FRAME_HEADER_SIZE_BYTES, TEST_HEADER_SIZE_BYTES, STREAM_NONE } from "@vnic/net-stack/core"
import type { Memory } from "@vnic/sim/core"
import { HELD_NONE, type HeldFrames } from "./heldFrames.ts"
import type { DeliveryMeter } from "./meters.ts"
import { type OpenLoop, positionOf } from "./openLoop.ts"
import { CHECK_LINE_BYTES, type Pattern } from "./pattern.ts"
import { arePiecesSame, type Check, Sink } from "./sink.ts"
import { PART_NONE } from "./window.ts"

export interface DatagramSinkOptions {
  readonly memory: Memory
  readonly meter: DeliveryMeter
  readonly pattern: Pattern
  readonly source: OpenLoop
  readonly check: Check
}

export class DatagramSink extends Sink {
  /** Frames that came behind a later frame of their flow. */
  framesReordered = 0
  declare private readonly source: OpenLoop
  declare private readonly held: HeldFrames
  declare private readonly pattern: Pattern
  /** Number of the latest frame of each flow. */
  declare private readonly latest: Int32Array
  declare private readonly hasLatest: Uint8Array
  /** Where the header as it was sent is written again, to be compared. */
  declare private readonly scratch: number
  private line = 0

  constructor(options: DatagramSinkOptions) {
    super(options.memory, options.meter, options.check)
    this.source = options.source
    this.held = options.source.held
    this.pattern = options.pattern
    const flowCount = options.source.testFrames.flowCount
    this.latest = new Int32Array(flowCount)
    this.hasLatest = new Uint8Array(flowCount)
    this.scratch = options.memory.reserveOutside(DATAGRAM_SINK_OUTSIDE_BYTES)
  }

  /** A whole frame from this queue reached the sink at nowPs[0], in two pieces; the first holds all headers. */
  deliverFrame(queue: number, phys0: number, bytes0: number, phys1: number, bytes1: number): void {
    this.framesDelivered++
    const { held, meter } = this
    const frames = this.source.testFrames
    const lengthBytes = bytes0 + bytes1
    const isHeaderWhole = bytes0 >= TEST_FRAME_HEADER_SIZE_BYTES
    const flow = isHeaderWhole ? frames.parse(this.memory.bytes, phys0, lengthBytes) : STREAM_NONE
    const number = frames.sequence
    if (flow === STREAM_NONE || !this.isSound(flow, number, lengthBytes, phys0, bytes0, phys1)) {
      this.framesCorrupt++
      return
    }
    const at = held.find(queue, number)
    if (at === HELD_NONE || held.lengths[at] !== lengthBytes) {
      this.framesCorrupt++
      return
    }
    if (held.isSeen[at] !== 0) {
      this.framesRepeated++
      return
    }
    held.isSeen[at] = 1
    if (this.hasLatest[flow] !== 0 && ((number - this.latest[flow]!) | 0) < 0) this.framesReordered++
    else this.latest[flow] = number
    this.hasLatest[flow] = 1
    const part = meter.countFrame(held.lastBitsPs, at)
    if (part === PART_NONE) return
    meter.goodputBytes.add(part, frames.fillSizeBytes + TEST_HEADER_SIZE_BYTES)
    meter.recordLatency(held.schedulesPs, at, this.nowPs)
  }

  private isSound(
    flow: number,
    number: number,
    lengthBytes: number,
    phys0: number,
    bytes0: number,
    phys1: number
  ): boolean {
    const { memory, scratch } = this
    let from = TEST_FRAME_HEADER_SIZE_BYTES
    let sizeBytes = lengthBytes - from
    if (this.isChecked) {
      this.source.testFrames.write(flow, number, lengthBytes, memory.bytes, scratch)
      if (!memory.equals(scratch, phys0, TEST_FRAME_HEADER_SIZE_BYTES)) return false
    } else {
      if (this.line >= sizeBytes) this.line = 0
      const left = sizeBytes - this.line
      from += this.line
      sizeBytes = left < CHECK_LINE_BYTES ? left : CHECK_LINE_BYTES
      this.line += CHECK_LINE_BYTES
    }
    const expected = this.pattern.at(positionOf(number) + from - TEST_FRAME_HEADER_SIZE_BYTES)
    return arePiecesSame(memory, expected, from, sizeBytes, phys0, bytes0, phys1)
  }
}

/** Storage that the sink needs outside the host's memory. */
export const DATAGRAM_SINK_OUTSIDE_BYTES = 64

/** A sink for the frames of `options.source`. */
export const makeDatagramSink = (options: DatagramSinkOptions): DatagramSink => new DatagramSink(options)
