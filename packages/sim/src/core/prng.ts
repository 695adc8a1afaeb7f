/**
 * The one source of randomness: sfc32 (small fast counter, 128 bits of state), seeded from an integer.
 * Integer operations only, so that a seed gives the same draws on every machine. Streams with different
 * `stream` numbers are independent, so that a part of the world may draw without moving the others.
 */
export class Prng {
  private readonly state = new Int32Array(4)

  constructor(seed: number, stream: number) {
    this.state[0] = seed | 0
    this.state[1] = Math.floor(seed / 4294967296) | 0
    this.state[2] = stream | 0
    this.state[3] = 1
    for (let round = 0; round < 20; round++) this.next()
  }

  /** The next 32 random bits, as a signed int32. */
  next(): number {
    const state = this.state
    const a = state[0]!
    const b = state[1]!
    const c = state[2]!
    const counter = state[3]!
    const result = (((a + b) | 0) + counter) | 0
    state[3] = (counter + 1) | 0
    state[0] = b ^ (b >>> 9)
    state[1] = (c + (c << 3)) | 0
    state[2] = ((c << 21) | (c >>> 11)) + result
    return result
  }

  /** A uniform number in [0, 1), a multiple of 2^-32. */
  uniform(): number {
    return (this.next() >>> 0) / 4294967296
  }

  /** A uniform integer in [0, bound), by multiplication (bias below 2^-21 for bounds under 2,048). */
  below(bound: number): number {
    return Math.floor(this.uniform() * bound)
  }

  /** An exponentially distributed number with this mean. */
  exponential(mean: number): number {
    return -mean * naturalLogarithm(((this.next() >>> 0) + 1) / 4294967296)
  }
}

/** A generator for `seed`; generators of one seed with different `stream` numbers are independent. */
export const makePrng = (seed: number, stream = 0): Prng => new Prng(seed, stream)

const LN2 = 0.6931471805599453
const SQRT_HALF = 0.7071067811865476

/**
 * Natural logarithm from + - * / alone: `Math.log` is not specified to the bit and may differ between
 * machines. Relative error below 1e-15 for normal numbers.
 */
export function naturalLogarithm(x: number): number {
  if (!(x > 0)) return x === 0 ? -Infinity : NaN
  if (x === Infinity) return x
  let mantissa = x
  let exponent = 0
  while (mantissa >= 2 * SQRT_HALF) {
    mantissa /= 2
    exponent++
  }
  while (mantissa < SQRT_HALF) {
    mantissa *= 2
    exponent--
  }
  // ln m = 2 artanh((m - 1) / (m + 1)), |argument| < 0.172
  const z = (mantissa - 1) / (mantissa + 1)
  const square = z * z
  let term = z
  let sum = z
  for (let odd = 3; odd < 30; odd += 2) {
    term *= square
    sum += term / odd
  }
  return 2 * sum + exponent * LN2
}
