/**
 * The measured window and what is summed in it. Whatever is counted belongs to the instant at which its
 * frame's last bit passed the wire, so a window can never hold more than the wire carried in it. The window
 * is cut into equal parts, and their spread gives the confidence interval of the mean.
 */
import { assert } from "@vnic/sim/core"

/** Equal parts of a window. */
export const WINDOW_PARTS = 20

/** 97.5 % point of Student's t with WINDOW_PARTS - 1 = 19 degrees of freedom [NIST e-Handbook 1.3.6.7.2]. */
const STUDENT_T = 2.093024

/** What `Window.partOf` gives for an instant outside the window. */
export const PART_NONE = -1

const OPEN = 0
const CLOSE = 1
const PART = 2
/** Where the part that was asked for last begins and ends. */
const FROM = 3
const TO = 4

export class Window {
  private readonly boundsPs = Float64Array.of(Infinity, Infinity, 1, 0, 0)
  /** What `partOf` gives from FROM to TO. */
  private part = PART_NONE

  /** Measures [openPs, openPs + durationPs), which must not have begun yet. */
  open(openPs: number, durationPs: number): void {
    assert(durationPs > 0, "a window needs a duration")
    const bounds = this.boundsPs
    bounds[OPEN] = openPs
    bounds[CLOSE] = openPs + durationPs
    bounds[PART] = durationPs / WINDOW_PARTS
    bounds[FROM] = 0
    bounds[TO] = 0
  }

  /** False before `open` was called. */
  get isPlanned(): boolean {
    return this.boundsPs[OPEN] !== Infinity
  }

  get openPs(): number {
    return this.boundsPs[OPEN]!
  }

  get durationPs(): number {
    return this.isPlanned ? this.boundsPs[CLOSE]! - this.boundsPs[OPEN]! : 0
  }

  /** Duration of one part. */
  get partPs(): number {
    return this.boundsPs[PART]!
  }

  /** Which part the instant timesPs[index] lies in, or PART_NONE. */
  partOf(timesPs: Float64Array, index: number): number {
    const bounds = this.boundsPs
    const timePs = timesPs[index]!
    // Nearly always it is the part that was asked for last.
    if (timePs >= bounds[FROM]! && timePs < bounds[TO]!) return this.part
    this.find(timesPs, index)
    return this.part
  }

  /** Adds what the time from timesPs[from] to timesPs[to] and the window have in common to timesPs[sum]. */
  addOverlap(timesPs: Float64Array, from: number, to: number, sum: number): void {
    const bounds = this.boundsPs
    const fromPs = timesPs[from]! > bounds[OPEN]! ? timesPs[from]! : bounds[OPEN]!
    const toPs = timesPs[to]! < bounds[CLOSE]! ? timesPs[to]! : bounds[CLOSE]!
    if (toPs > fromPs) timesPs[sum]! += toPs - fromPs
  }

  private find(timesPs: Float64Array, index: number): void {
    const bounds = this.boundsPs
    const timePs = timesPs[index]!
    const openPs = bounds[OPEN]!
    this.part = PART_NONE
    bounds[FROM] = 0
    bounds[TO] = openPs
    if (timePs < openPs) return
    bounds[FROM] = bounds[CLOSE]!
    bounds[TO] = Infinity
    if (timePs >= bounds[CLOSE]!) return
    const partPs = bounds[PART]!
    const part = Math.min(Math.floor((timePs - openPs) / partPs), WINDOW_PARTS - 1)
    this.part = part
    bounds[FROM] = openPs + part * partPs
    bounds[TO] = part === WINDOW_PARTS - 1 ? bounds[CLOSE]! : openPs + (part + 1) * partPs
  }
}

/** One quantity summed over the parts of a window. */
export class Tally {
  readonly parts = new Float64Array(WINDOW_PARTS)

  add(part: number, amount: number): void {
    this.parts[part]! += amount
  }

  get sum(): number {
    let sum = 0
    for (const part of this.parts) sum += part
    return sum
  }

  /** Half-width of the mean part's 95 % confidence interval, taking parts as independent. */
  get halfWidth95(): number {
    const mean = this.sum / WINDOW_PARTS
    let squares = 0
    for (const part of this.parts) squares += (part - mean) * (part - mean)
    return STUDENT_T * Math.sqrt(squares / (WINDOW_PARTS - 1) / WINDOW_PARTS)
  }
}
