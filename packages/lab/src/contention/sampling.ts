/**
 * How long a steady state must be watched. Pairs are counted in rounds of twenty batches of equal size. A round has
 * a mean time of a pair, and three things say how far to trust it:
 *
 *     noise   95 % interval from the means of its batches (Student's t with 19 degrees of freedom)
 *     drift   how far the means of the two rounds before it lie from its own
 *     trend   slope of a straight line through its batches, and that slope's 95 % interval
 *
 * The sample is good after three rounds with noise and drift under 1 % of the mean and no trend, if the last of them
 * was as long as asked for; the larger of noise and drift is its interval. Else rounds go on, each twice as long as
 * the one before, whose batches depend less on each other.
 *
 * A structure that ages, so that its pairs take longer and longer, does not come to rest. A sample is given up when
 * each of three rounds is slower than the one before, by much, or when the next one would have more pairs than are
 * left.
 */

/** Batches of a round. */
const BATCH_COUNT = 20
/** 97.5 % quantiles of Student's t with 19 and 18 degrees of freedom. */
const T_MEAN = 2.093
const T_SLOPE = 2.101
/** Noise and drift that are good enough, as shares of the mean. */
const GOOD_SHARE = 0.01
/** Drift of rounds that get slower and slower, from which on they will not agree. */
const HOPELESS_SHARE = 0.05
/** Rounds that must agree. */
const ROUNDS_MIN = 3

/** What a sample says of all pairs. */
export interface Estimate {
  /** Mean time from one pair's end to the next one's, of all threads together. */
  readonly pairPs: number
  /** Half-width of its 95 % confidence interval, as a share of it. */
  readonly ci95Share: number
  readonly pairs: number
}

/** How a sample goes on. */
export type Verdict = "more" | "round" | "good" | "hopeless"

export interface SamplerOptions {
  /** Of the first rounds; rounded up to batches. */
  readonly roundPairs: number
  /** Time that the last round must span. */
  readonly roundPs: number
  /** Of all rounds; the sample is given up before it has more. */
  readonly pairsMax: number
}

export class Sampler {
  /** Of the last whole round. */
  estimate: Estimate | undefined
  private readonly options: SamplerOptions
  private readonly durations = new Float64Array(BATCH_COUNT)
  /** Of the rounds that have ended, the last one first. */
  private means: ReadonlyArray<number> = []
  private pairs = 0
  private batch = 0
  private batchPairs: number
  private pairsLeft: number
  private readonly beganPs = new Float64Array(1)

  constructor(options: SamplerOptions) {
    this.options = options
    this.batchPairs = Math.ceil(options.roundPairs / BATCH_COUNT)
    this.pairsLeft = this.batchPairs
  }

  /** The first pair of a round begins. */
  begin(atPs: number): void {
    this.beganPs[0] = atPs
  }

  /** A pair has ended: whether more are needed, a new round begins with the next, or the sample is over. */
  pairEnded(atPs: number): Verdict {
    if (--this.pairsLeft > 0) return "more"
    this.durations[this.batch] = atPs - this.beganPs[0]!
    this.beganPs[0] = atPs
    this.pairsLeft = this.batchPairs
    if (++this.batch < BATCH_COUNT) return "more"
    return this.roundEnded()
  }

  private roundEnded(): Verdict {
    const { pairsMax, roundPs } = this.options
    const { hasTrend, noiseShare, pairPs, pairs } = estimateOf(this.durations, this.batchPairs)
    const before = this.means.slice(0, ROUNDS_MIN - 1)
    const drift = Math.max(0, ...before.map((mean) => Math.abs(mean - pairPs))) / pairPs
    const ci95Share = Math.max(noiseShare, drift)
    const isGood = before.length === ROUNDS_MIN - 1 && ci95Share < GOOD_SHARE && !hasTrend && pairs * pairPs >= roundPs
    this.estimate = { pairPs, ci95Share, pairs }
    this.means = [pairPs, ...before]
    this.pairs += pairs
    this.batch = 0
    if (isGood) return "good"
    const [last, lastButOne] = before
    const isAgeing = lastButOne !== undefined && pairPs > last! && last! > lastButOne && drift > HOPELESS_SHARE
    if (isAgeing) return "hopeless"
    if (this.means.length === ROUNDS_MIN) this.batchPairs *= 2
    this.pairsLeft = this.batchPairs
    return this.pairs + this.batchPairs * BATCH_COUNT > pairsMax ? "hopeless" : "round"
  }
}

/** From the durations of equal batches, in their order. */
export const estimateOf = (durations: Float64Array, batchPairs: number) => {
  const count = durations.length
  const sumPs = durations.reduce((sum, one) => sum + one, 0)
  const meanPs = sumPs / count
  const middle = (count - 1) / 2
  let squares = 0
  let products = 0
  let places = 0
  for (let batch = 0; batch < count; batch++) {
    const off = durations[batch]! - meanPs
    squares += off * off
    products += off * (batch - middle)
    places += (batch - middle) * (batch - middle)
  }
  const slope = products / places
  // What the line leaves unexplained; rounding may take it below nothing.
  const rest = Math.max(0, squares - slope * products)
  const pairs = batchPairs * count
  return {
    pairPs: sumPs / pairs,
    pairs,
    noiseShare: (T_MEAN * Math.sqrt(squares / (count - 1))) / Math.sqrt(count) / meanPs,
    hasTrend: Math.abs(slope) > T_SLOPE * Math.sqrt(rest / (count - 2) / places)
  }
}
