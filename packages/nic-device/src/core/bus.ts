/**
 * The PCIe link as one serial resource in each direction. A transfer takes its direction for the time of its
 * bytes at the link's rate, headers included, after whatever was put on it before.
 *
 * MODEL: completions are cut at the largest payload, never at the 64-byte boundary. Flow-control credits
 * never run out. Transfers are served in the order in which the device begins them, and it begins none before it
 * can go: what waits for a descriptor takes no time of the bus from others.
 */
import { assert, type ProfileValues, type Timeline } from "@vnic/sim/core"
import * as Layout from "./layout.ts"

// Imported names cost a load and a check at each use; the hot path has its own.
const { HOT_LENGTH, UP, DOWN } = Layout

/** The constants of a profile that describe the bus and the latency of memory behind it. */
export type BusConstants = Pick<
  ProfileValues,
  | "busRate"
  | "busPayloadMax"
  | "busReadRequestMax"
  | "busWriteHeader"
  | "busReadHeader"
  | "busCompletionHeader"
  | "dmaReadLatency"
  | "dmaWriteLatency"
>

const PICOSECONDS_PER_SECOND = 1e12
const PAGE_MASK = 4095
const PAGE_BYTES = 4096

const DMA_READ = 1
const DMA_WRITE = 2

export class Bus {
  /** When each direction is free. */
  readonly freeAtPs = new Float64Array(HOT_LENGTH)
  /** Time that each direction has been taken for. */
  readonly busyPs = new Float64Array(HOT_LENGTH)
  /** Bytes that each direction has carried, headers included. */
  readonly bytes = new Float64Array(HOT_LENGTH)
  /** Largest read request, bytes. */
  declare readonly readRequestMaxBytes: number
  /** Picoseconds per byte; read latency; write latency. */
  declare private readonly constants: Float64Array
  declare private readonly clock: Float64Array
  declare private readonly payloadShift: number
  declare private readonly requestShift: number
  declare private readonly writeHeader: number
  declare private readonly readHeader: number
  declare private readonly completionHeader: number

  constructor(timeline: Timeline, profile: BusConstants) {
    const payloadShift = 31 - Math.clz32(profile.busPayloadMax)
    const requestShift = 31 - Math.clz32(profile.busReadRequestMax)
    assert(1 << payloadShift === profile.busPayloadMax, "the largest payload is no power of two")
    assert(1 << requestShift === profile.busReadRequestMax, "the largest read request is no power of two")
    this.clock = timeline.clock
    this.payloadShift = payloadShift
    this.requestShift = requestShift
    this.readRequestMaxBytes = profile.busReadRequestMax
    this.writeHeader = profile.busWriteHeader
    this.readHeader = profile.busReadHeader
    this.completionHeader = profile.busCompletionHeader
    this.constants = new Float64Array(HOT_LENGTH)
    this.constants.set([
      (8 * PICOSECONDS_PER_SECOND) / profile.busRate,
      profile.dmaReadLatency,
      profile.dmaWriteLatency
    ])
  }

  /** Bytes on the bus of a write of `sizeBytes` to an address with these low 12 bits. */
  readonly writeBytes = (sizeBytes: number, inPage: number): number => {
    let packets = (sizeBytes + (1 << this.payloadShift) - 1) >> this.payloadShift
    // No request crosses 4 KiB.
    if ((inPage & PAGE_MASK) + sizeBytes > PAGE_BYTES) packets += ((inPage & PAGE_MASK) + sizeBytes - 1) >> 12
    return sizeBytes + packets * this.writeHeader
  }

  /** Takes the way up for `busBytes` from now on; the end goes to freeAtPs[UP]. */
  readonly takeUp = (busBytes: number): void => {
    let startPs = this.freeAtPs[UP]!
    const nowPs = this.clock[0]!
    if (nowPs > startPs) startPs = nowPs
    const durationPs = Math.ceil(busBytes * this.constants[0]!)
    this.freeAtPs[UP] = startPs + durationPs
    this.busyPs[UP]! += durationPs
    this.bytes[UP]! += busBytes
  }

  /** A read of `sizeBytes`: requests up, completions down; `times[at]` becomes the time of its last byte's arrival. */
  readonly read = (sizeBytes: number, inPage: number, times: Float64Array, at: number): void => {
    let requests = (sizeBytes + (1 << this.requestShift) - 1) >> this.requestShift
    if ((inPage & PAGE_MASK) + sizeBytes > PAGE_BYTES) requests += ((inPage & PAGE_MASK) + sizeBytes - 1) >> 12
    this.takeUp(requests * this.readHeader)
    const completions = (sizeBytes + (1 << this.payloadShift) - 1) >> this.payloadShift
    const busBytes = sizeBytes + completions * this.completionHeader
    const durationPs = Math.ceil(busBytes * this.constants[0]!)
    let startPs = this.freeAtPs[DOWN]!
    if (this.freeAtPs[UP]! > startPs) startPs = this.freeAtPs[UP]!
    this.freeAtPs[DOWN] = startPs + durationPs
    this.busyPs[DOWN]! += durationPs
    this.bytes[DOWN]! += busBytes
    times[at] = startPs + durationPs + this.constants[DMA_READ]!
  }

  /** `times[at]` becomes the time when the write that was put on the bus last is seen in memory. */
  readonly written = (times: Float64Array, at: number): void => {
    times[at] = this.freeAtPs[UP]! + this.constants[DMA_WRITE]!
  }
}
