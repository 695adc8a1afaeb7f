/**
 * From a pair of ports to a stream's index: open addressing with linear probing in two Int32Arrays, at most
 * half full, so that a lookup is one multiplication and, nearly always, one probe.
 */
import { assert, fail } from "@vnic/sim/core"

/** What a lookup returns for a pair that was never inserted. */
export const STREAM_NONE = -1

/** Most streams of one table: as many as there are ports. */
export const STREAM_COUNT_MAX = 65536

/** 2^32 divided by the golden ratio, odd: spreads neighbouring ports over the table. */
const HASH_MULTIPLIER = 0x9e3779b1 | 0

/** Both ports as one int32, as they lie in a TCP or UDP header. */
export const portPair = (sourcePort: number, destinationPort: number): number => (sourcePort << 16) | destinationPort

export class FlowTable {
  declare private readonly keys: Int32Array
  /** Stream index of each slot; STREAM_NONE where the slot is empty. */
  declare private readonly streams: Int32Array
  declare private readonly mask: number
  declare private readonly shift: number
  declare private readonly capacity: number
  private count = 0

  constructor(capacity: number) {
    assert(capacity >= 1 && capacity <= STREAM_COUNT_MAX, "stream count out of range")
    let bits = 2
    while (1 << bits < 2 * capacity) bits++
    this.keys = new Int32Array(1 << bits)
    this.streams = new Int32Array(1 << bits).fill(STREAM_NONE)
    this.mask = (1 << bits) - 1
    this.shift = 32 - bits
    this.capacity = capacity
  }

  /** Adds a pair that is not in the table yet. */
  readonly insert = (ports: number, stream: number): void => {
    assert(this.count < this.capacity, "the flow table is full")
    let slot = Math.imul(ports, HASH_MULTIPLIER) >>> this.shift
    while (this.streams[slot] !== STREAM_NONE) {
      if (this.keys[slot] === ports) fail("two streams have the same ports")
      slot = (slot + 1) & this.mask
    }
    this.keys[slot] = ports
    this.streams[slot] = stream
    this.count++
  }

  /** The stream of a pair, or STREAM_NONE. */
  readonly lookup = (ports: number): number => {
    let slot = Math.imul(ports, HASH_MULTIPLIER) >>> this.shift
    let stream = this.streams[slot]!
    while (stream !== STREAM_NONE && this.keys[slot] !== ports) {
      slot = (slot + 1) & this.mask
      stream = this.streams[slot]!
    }
    return stream
  }
}
