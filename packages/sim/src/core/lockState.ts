/** What is known of one lock of simulated CPUs, and how its sums are indexed. */
import type { LockCounts } from "./cpuTypes.ts"
import type { Source } from "./timeline.ts"

/** Holder of a lock that is free. */
export const NOBODY = -1
/** Indices of `LockState.times`: when it was or will be let go; since when it is held; */
export const FREE_AT = 0
export const HELD_SINCE = 1
/** and sums over all grants. */
export const BUSY_SUM = 2
export const WAIT_SUM = 3
export const GRANTS = 4
export const CONTENDED = 5
const TIME_COUNT = 6

export interface LockState {
  readonly name: string
  readonly timer: Source
  /** Waiters sorted by (time of asking, CPU); a ring of `askMask + 1` slots. */
  readonly askTimes: Float64Array
  readonly askCpu: Int32Array
  readonly askMask: number
  askHead: number
  askCount: number
  /** The CPU that holds it, or NOBODY. */
  holder: number
  readonly times: Float64Array
}

/** A lock that is free, with room for every CPU to wait. */
export const makeLockState = (name: string, timer: Source, cpuCount: number): LockState => {
  let slots = 1
  while (slots < cpuCount) slots *= 2
  return {
    name,
    timer,
    askTimes: new Float64Array(slots),
    askCpu: new Int32Array(slots),
    askMask: slots - 1,
    askHead: 0,
    askCount: 0,
    holder: NOBODY,
    times: new Float64Array(TIME_COUNT)
  }
}

/** What a lock has seen since the beginning. */
export const countsOf = ({ name, times }: LockState): LockCounts => ({
  name,
  busyPs: times[BUSY_SUM]!,
  waitPs: times[WAIT_SUM]!,
  grants: times[GRANTS]!,
  contended: times[CONTENDED]!
})
