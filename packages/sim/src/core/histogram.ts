/**
 * A log-linear histogram of non-negative integers (HdrHistogram's idea): values below 64 are exact, above
 * that every power of two has 32 buckets, so a percentile is off by at most 3.2 %. Percentiles are read
 * from the buckets, never from means.
 */
const SUB_BITS = 5
const SUB_COUNT = 1 << SUB_BITS
/** Below this a bucket is found with integer shifts alone. */
const INT32_LIMIT = 2147483648
/** Values up to 2^48 (281 s in picoseconds) have a bucket; larger ones are counted in the last. */
const BUCKET_COUNT = (48 - SUB_BITS + 1) * SUB_COUNT

export class Histogram {
  private readonly buckets = new Float64Array(BUCKET_COUNT)
  /** [0] number of values, [1] largest value. */
  private readonly totals = new Float64Array(2)

  record(value: number): void {
    this.buckets[bucketOf(value)]! += 1
    this.totals[0]! += 1
    if (value > this.totals[1]!) this.totals[1] = value
  }

  get count(): number {
    return this.totals[0]!
  }

  get max(): number {
    return this.totals[1]!
  }

  reset(): void {
    this.buckets.fill(0)
    this.totals.fill(0)
  }

  /** The smallest bucket bound that at least `share` (0..1) of the values do not exceed; 0 when empty. */
  percentile(share: number): number {
    const wanted = Math.ceil(share * this.count)
    if (wanted === 0) return 0
    let seen = 0
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
      seen += this.buckets[bucket]!
      if (seen >= wanted) return Math.min(upperBound(bucket), this.max)
    }
    return this.max
  }
}

/** An empty histogram. */
export const makeHistogram = (): Histogram => new Histogram()

function bucketOf(value: number): number {
  if (value < 2 * SUB_COUNT) return value < 0 ? 0 : Math.floor(value)
  if (value < INT32_LIMIT) {
    const small = value | 0
    const bits = 31 - SUB_BITS - Math.clz32(small)
    return (bits << SUB_BITS) + (small >> bits)
  }
  const high = Math.floor(value / 4294967296)
  const exponent = high > 0 ? 63 - Math.clz32(high) : 31 - Math.clz32(value >>> 0)
  const shift = exponent - SUB_BITS
  const bucket = shift * SUB_COUNT + Math.floor(value / 2 ** shift)
  return bucket < BUCKET_COUNT ? bucket : BUCKET_COUNT - 1
}

function upperBound(bucket: number): number {
  if (bucket < 2 * SUB_COUNT) return bucket
  const shift = Math.floor(bucket / SUB_COUNT) - 1
  return (bucket - shift * SUB_COUNT + 1) * 2 ** shift - 1
}
