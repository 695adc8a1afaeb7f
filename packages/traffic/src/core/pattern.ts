/**
 * The payload of everything that is generated: slices of one periodic pattern outside the host's memory.
 * A frame's body points into it, so the sender copies nothing, and the sink knows what must have arrived.
 *
 * The period is a power of two, because offsets in a stream are known modulo 2^32; and one more period
 * follows, so that every slice is contiguous. It is long enough that no two segments of a window are equal
 * (their distance is no multiple of it), and short enough to stay in the cache of the machine that runs this.
 */
import { makePrng, type Memory } from "@vnic/sim/core"

/** Longer than any frame, so that no frame repeats itself. */
export const PATTERN_PERIOD_BYTES = 1 << 14
const PERIOD_MASK = PATTERN_PERIOD_BYTES - 1

/** Storage that a pattern needs outside the host's memory. */
export const PATTERN_OUTSIDE_BYTES = 2 * PATTERN_PERIOD_BYTES

/** Distance of two lines of a payload that is checked in parts. */
export const CHECK_LINE_BYTES = 64

const WORD_BYTES = 4
const PRNG_STREAM_PATTERN = 0x7061_7474

export class Pattern {
  /** Where the pattern starts in memory. */
  declare readonly base: number

  constructor(memory: Memory, seed: number) {
    this.base = memory.reserveOutside(PATTERN_OUTSIDE_BYTES)
    const prng = makePrng(seed, PRNG_STREAM_PATTERN)
    const firstWord = this.base / WORD_BYTES
    const periodWords = PATTERN_PERIOD_BYTES / WORD_BYTES
    for (let word = 0; word < periodWords; word++) memory.words[firstWord + word] = prng.next()
    memory.copy(this.base, this.base + PATTERN_PERIOD_BYTES, PATTERN_PERIOD_BYTES)
  }

  /** Where in memory the pattern goes on from byte `position` of its endless repetition. */
  readonly at = (position: number): number => {
    return this.base + (position & PERIOD_MASK)
  }
}

/** A pattern drawn from the seed. */
export const makePattern = (memory: Memory, seed: number): Pattern => new Pattern(memory, seed)
