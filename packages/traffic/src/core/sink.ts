/**
 * The far end of the traffic, on the host: what arrived is compared with what was sent, counted, and
 * metered. The caller says where the bytes lie in host memory, in up to two pieces (a header buffer and a
 * packet buffer); the second has size 0 when there is one.
 */
import type { Memory } from "@vnic/sim/core"
import type { DeliveryMeter } from "./meters.ts"

/** `all`: every byte of every frame. `line`: length, headers, and one 64-byte line of the payload, in turn. */
export type Check = "all" | "line"

/** What sinks count over the whole run. */
export interface SinkCounters {
  /** Frames that reached the sink, sound or not. */
  readonly framesDelivered: number
  /** Frames that differ from everything that was sent. */
  readonly framesCorrupt: number
  /** Frames whose payload had arrived before. */
  readonly framesRepeated: number
}

export abstract class Sink {
  framesDelivered = 0
  framesCorrupt = 0
  framesRepeated = 0
  /** nowPs[0]: when the frame that is delivered next reaches the sink; the caller sets it. */
  readonly nowPs = new Float64Array(1)
  declare readonly meter: DeliveryMeter
  declare protected readonly memory: Memory
  declare protected readonly isChecked: boolean

  constructor(memory: Memory, meter: DeliveryMeter, check: Check) {
    this.memory = memory
    this.meter = meter
    this.isChecked = check === "all"
  }

  /** A frame that nobody on this link has sent reached the host. */
  deliverForeign(): void {
    this.framesDelivered++
    this.framesCorrupt++
  }

  counters(): SinkCounters {
    const { framesCorrupt, framesDelivered, framesRepeated } = this
    return { framesDelivered, framesCorrupt, framesRepeated }
  }
}

/**
 * True when bytes [from, from + sizeBytes) of a message that lies at phys0 (bytes0 of it) and phys1 are
 * those at `expected` in memory.
 */
export function arePiecesSame(
  memory: Memory,
  expected: number,
  from: number,
  sizeBytes: number,
  phys0: number,
  bytes0: number,
  phys1: number
): boolean {
  if (from >= bytes0) return memory.equals(expected, phys1 + from - bytes0, sizeBytes)
  const inFirst = bytes0 - from < sizeBytes ? bytes0 - from : sizeBytes
  if (!memory.equals(expected, phys0 + from, inFirst)) return false
  return inFirst === sizeBytes || memory.equals(expected + inFirst, phys1, sizeBytes - inFirst)
}
