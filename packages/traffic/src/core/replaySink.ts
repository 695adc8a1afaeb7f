/**
 * The sink of replayed frames. A capture's frames carry no number, so what arrives on a queue is compared
 * with what was sent to that queue, in order: the first frame with the same bytes it is, and those before
 * it were dropped. What equals nothing that was sent is corrupt.
 *
 * Delivered frames can be kept as they arrived, and are written in the order in which they were on the link.
 */
import type { Memory } from "@vnic/sim/core"
import type { DeliveryMeter } from "./meters.ts"
import type { Pattern } from "./pattern.ts"
import type { CaptureFrames } from "./pcap.ts"
import { RECORD_NONE, type Replay } from "./replay.ts"
import { arePiecesSame, Sink } from "./sink.ts"
import { PART_NONE } from "./window.ts"

export interface ReplaySinkOptions {
  readonly memory: Memory
  readonly meter: DeliveryMeter
  readonly pattern: Pattern
  readonly source: Replay
  /** Keep the bytes of delivered frames, for `delivered`. */
  readonly keepFrames: boolean
}

export class ReplaySink extends Sink {
  declare private readonly source: Replay
  declare private readonly pattern: Pattern
  declare private readonly isDelivered: Uint8Array
  /** Bytes of all delivered frames, each at its record's place. */
  declare private readonly kept: Uint8Array | undefined
  declare private readonly keptOffsets: Float64Array

  constructor(options: ReplaySinkOptions) {
    super(options.memory, options.meter, "all")
    const { source } = options
    this.source = source
    this.pattern = options.pattern
    this.isDelivered = new Uint8Array(source.frameCount)
    this.keptOffsets = new Float64Array(source.frameCount)
    let sizeBytes = 0
    for (let record = 0; record < source.frameCount; record++) {
      this.keptOffsets[record] = sizeBytes
      sizeBytes += source.lengthBytes[record]!
    }
    this.kept = options.keepFrames ? new Uint8Array(sizeBytes) : undefined
  }

  /** A whole frame from this queue reached the sink at nowPs[0], in two pieces. */
  deliverFrame(queue: number, phys0: number, bytes0: number, phys1: number, bytes1: number): void {
    this.framesDelivered++
    const { meter, source } = this
    let record = source.queueHeads[queue]!
    while (record !== RECORD_NONE && !this.isRecord(record, phys0, bytes0, phys1, bytes1)) {
      record = source.nextOfQueue[record]!
    }
    if (record === RECORD_NONE) {
      this.framesCorrupt++
      return
    }
    const next = source.nextOfQueue[record]!
    source.queueHeads[queue] = next
    if (next === RECORD_NONE) source.queueTails[queue] = RECORD_NONE
    this.isDelivered[record] = 1
    if (this.kept !== undefined) this.keep(this.kept, record, phys0, bytes0, phys1, bytes1)
    const part = meter.countFrame(source.lastBitsPs, record)
    if (part === PART_NONE) return
    meter.goodputBytes.add(part, source.payloadBytes[record]!)
    meter.recordLatency(source.schedulesPs, record, this.nowPs)
  }

  private isRecord(record: number, phys0: number, bytes0: number, phys1: number, bytes1: number): boolean {
    const { memory, source } = this
    const length = source.lengthBytes[record]!
    if (length !== bytes0 + bytes1) return false
    const kept = source.keptBytes[record]!
    if (!arePiecesSame(memory, source.storage[record]!, 0, kept, phys0, bytes0, phys1)) return false
    if (kept === length) return true
    const fill = this.pattern.at(source.fillPositions[record]!)
    return arePiecesSame(memory, fill, kept, length - kept, phys0, bytes0, phys1)
  }

  private keep(to: Uint8Array, record: number, phys0: number, bytes0: number, phys1: number, bytes1: number): void {
    const { bytes } = this.memory
    const at = this.keptOffsets[record]!
    to.set(bytes.subarray(phys0, phys0 + bytes0), at)
    if (bytes1 > 0) to.set(bytes.subarray(phys1, phys1 + bytes1), at + bytes0)
  }

  /**
   * Delivered frames as they arrived, in the order of the link. A stamp is the capture's first one and the time
   * from the replay's start to the frame's last bit, so that the file opens beside the capture. None when their
   * bytes were not kept.
   */
  delivered(): CaptureFrames {
    const { source } = this
    const records: Array<number> = []
    this.isDelivered.forEach((isDelivered, record) => {
      if (isDelivered !== 0 && this.kept !== undefined) records.push(record)
    })
    return {
      frameCount: records.length,
      origin: source.origin,
      stampsPs: Float64Array.from(records, (record) => source.lastBitsPs[record]! - source.startPs),
      offsets: Float64Array.from(records, (record) => this.keptOffsets[record]!),
      lengthBytes: Int32Array.from(records, (record) => source.lengthBytes[record]!),
      bytes: this.kept ?? new Uint8Array(0)
    }
  }
}

/** A sink for the frames of `options.source`. */
export const makeReplaySink = (options: ReplaySinkOptions): ReplaySink => new ReplaySink(options)
