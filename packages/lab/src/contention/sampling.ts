/**
 * How long a steady state must be watched. Pairs are counted in rounds of twenty batches of equal size, and the
 * first round is warm-up. Each further round has a mean time of a pair with a confidence interval from the batches'
 * means (95 %, Student's t with 19 degrees of freedom). The sample is good when the half-width is under 1 % of the
 * mean, and the mean within 1 % of the round's before it, so that nothing drifts. Else the round is the warm-up of
 * the next one, whose batches are twice as long and so depend less on each other.
 *
 * A structure that ages, so that its pairs take longer and longer, does not come to rest. A sample is given up when
 * its mean and its interval grow, or when the rounds are used up.
 */

/** Batches of a round. */
const BATCH_COUNT = 20
/** 97.5 % quantile of Student's t with 19 degrees of freedom. */
const T_QUANTILE = 2.093
/** Half-width of the interval, and drift from round to round, that are good enough, as shares of the mean. */
const GOOD_SHARE = 0.01

/** From the third round on, while the mean grows, an interval so wide and wider than before does not get narrow. */
const HOPELESS_SHARE = 0.03
const ROUNDS_BEFORE_HOPELESS = 3
/** Pairs of the last round: 32 times as many as of the first. */
const ROUNDS_MAX = 7

/** What a sample says of all pairs. */
export interface Estimate {
  /** Mean time from one pair's end to the next one's, of all threads together. */
  readonly pairPs: number
  /** Half-width of its 95 % confidence interval, as a share of it. */
  readonly ci95Share: number
  readonly pairs: number
  /** Whether it may stand for all pairs. */
  readonly isGood: boolean
}

/** How a sample goes on. */
export type Verdict = "more" | "round" | "good" | "hopeless"

export class Sampler {
  /** Of the last whole round. */
  estimate: Estimate | undefined
  private readonly durations = new Float64Array(BATCH_COUNT)
  private rounds = 0
  private batch = 0
  private batchPairs: number
  private pairsLeft: number
  private readonly beganPs = new Float64Array(1)

  /** `batchPairs`: of a batch of the first rounds. */
  constructor(batchPairs: number) {
    this.batchPairs = batchPairs
    this.pairsLeft = batchPairs
  }

  /** The first pair begins. */
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
    const before = this.estimate
    const found = estimateOf(this.durations, this.batchPairs)
    const drift = before === undefined ? 1 : Math.abs(found.pairPs - before.pairPs) / found.pairPs
    const isGood = found.ci95Share < GOOD_SHARE && drift < GOOD_SHARE
    this.estimate = { ...found, isGood }
    this.batch = 0
    this.rounds++
    if (isGood) return "good"
    if (before === undefined) return "round"
    const isAgeing =
      this.rounds >= ROUNDS_BEFORE_HOPELESS &&
      found.pairPs > before.pairPs &&
      found.ci95Share > Math.max(HOPELESS_SHARE, before.ci95Share)
    if (isAgeing || this.rounds === ROUNDS_MAX) return "hopeless"
    this.batchPairs *= 2
    this.pairsLeft = this.batchPairs
    return "round"
  }
}

/** From the durations of equal batches. */
export const estimateOf = (durations: Float64Array, batchPairs: number): Omit<Estimate, "isGood"> => {
  const sumPs = durations.reduce((sum, one) => sum + one, 0)
  const meanPs = sumPs / durations.length
  const squares = durations.reduce((sum, one) => sum + (one - meanPs) * (one - meanPs), 0)
  const deviationPs = Math.sqrt(squares / (durations.length - 1))
  const pairs = batchPairs * durations.length
  return {
    pairPs: sumPs / pairs,
    ci95Share: (T_QUANTILE * deviationPs) / Math.sqrt(durations.length) / meanPs,
    pairs
  }
}
