/**
 * Checksum sums of the slices of a periodic pattern, looked up instead of added: a generator whose payload
 * is a slice of a fixed pattern fills TCP checksums in without touching the payload again.
 */
import { assert } from "@vnic/sim/core"
import { fold, swapSum } from "./checksum.ts"

/** Longest slice: the length field of IPv4 has 16 bits. */
const SLICE_SIZE_BYTES_MAX = 0xffff

export class PayloadSums {
  /**
   * prefixes[i] is the sum of the first i bytes, those at even positions counting as high bytes, modulo
   * 2^32: the difference of two of them is exact, since no slice's sum reaches 2^31.
   */
  declare private readonly prefixes: Int32Array
  declare private readonly mask: number
  declare private readonly sliceSizeBytesMax: number

  constructor(pattern: Uint8Array, sliceSizeBytesMax: number) {
    const period = pattern.length
    assert(period >= 2 && (period & (period - 1)) === 0, "the pattern's period is not a power of two")
    assert(sliceSizeBytesMax >= 0 && sliceSizeBytesMax <= SLICE_SIZE_BYTES_MAX, "slice size out of range")
    this.mask = period - 1
    this.sliceSizeBytesMax = sliceSizeBytesMax
    this.prefixes = new Int32Array(period + sliceSizeBytesMax + 1)
    for (let index = 0; index < period + sliceSizeBytesMax; index++) {
      const byte = pattern[index & this.mask]!
      this.prefixes[index + 1] = (this.prefixes[index]! + ((index & 1) === 0 ? byte << 8 : byte)) | 0
    }
  }

  /** The sum of the slice that begins `sequenceOffset` bytes into the endlessly repeated pattern. */
  sum(sequenceOffset: number, sizeBytes: number): number {
    assert(sizeBytes <= this.sliceSizeBytesMax, "the slice is longer than announced")
    const start = sequenceOffset & this.mask
    const sum = (this.prefixes[start + sizeBytes]! - this.prefixes[start]!) | 0
    return (start & 1) === 0 ? fold(sum) : swapSum(sum)
  }
}

/** Sums for slices of up to `sliceSizeBytesMax` of `pattern`, whose length is a power of two. */
export const makePayloadSums = (pattern: Uint8Array, sliceSizeBytesMax: number): PayloadSums =>
  new PayloadSums(pattern, sliceSizeBytesMax)
