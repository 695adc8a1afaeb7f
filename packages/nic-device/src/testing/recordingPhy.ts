import type { FramePool, Timeline } from "@vnic/sim/core"
import type { Interrupts, Phy } from "../core/index.ts"

const OVERHEAD_BYTES = 24
const FRAME_MIN_BYTES = 60

/** A link that sends frames away at its rate and remembers their bytes. */
export class RecordingPhy implements Phy {
  readonly departPs = new Float64Array(1)
  /** Bytes of every frame that was handed over. */
  readonly frames: Array<Uint8Array> = []
  /** When each was handed over. */
  readonly atPs: Array<number> = []
  private readonly timeline: Timeline
  private readonly pool: FramePool
  private readonly bytePs: number

  constructor(timeline: Timeline, pool: FramePool, rateBitsPerSecond: number) {
    this.timeline = timeline
    this.pool = pool
    this.bytePs = 8e12 / rateBitsPerSecond
  }

  transmit(frame: number): void {
    const length = this.pool.lengthBytes(frame)
    this.frames.push(Uint8Array.from({ length }, (_, index) => this.pool.byteAt(frame, index)))
    this.atPs.push(this.timeline.nowPs)
    const startPs = Math.max(this.departPs[0]!, this.timeline.nowPs)
    this.departPs[0] = startPs + (Math.max(length, FRAME_MIN_BYTES) + OVERHEAD_BYTES) * this.bytePs
    this.pool.free(frame)
  }
}

/** A recording link of this rate. */
export const recordingPhy = (timeline: Timeline, pool: FramePool, rateBitsPerSecond = 10e9): RecordingPhy =>
  new RecordingPhy(timeline, pool, rateBitsPerSecond)

/** Remembers every interrupt message. */
export class RecordingInterrupts implements Interrupts {
  readonly vectors: Array<number> = []
  readonly atPs: Array<number> = []
  private readonly timeline: Timeline

  constructor(timeline: Timeline) {
    this.timeline = timeline
  }

  raise(vector: number): void {
    this.vectors.push(vector)
    this.atPs.push(this.timeline.nowPs)
  }
}

/** A sink of interrupt messages that remembers them. */
export const recordingInterrupts = (timeline: Timeline): RecordingInterrupts => new RecordingInterrupts(timeline)
