/** The words of simulated CPUs: steps, locks, and what a CPU is. */

/** One step of a program on `cpu`; returns the next step, or PARKED. */
export type Step = (cpu: number) => StepId
/** Index of a step in the table of its Cpus. */
export type StepId = number
/** Index of a lock in its Cpus. */
export type LockId = number

export interface CpusOptions {
  /** Number of simulated CPUs (hardware threads that are used). */
  readonly cpuCount: number
  /** Threads of one core that are used at most. */
  readonly threadsPerCore: number
  /** Cores that the CPUs are spread over (`coreOf`); without it, as few as hold them. */
  readonly coreCount?: number
  /** speedShares[n - 1] is the speed of a thread when n threads of its core are busy. */
  readonly speedShares: ReadonlyArray<number>
  /** An uncontended acquire, picoseconds. */
  readonly lockAcquirePs: number
  /** What a hand-off to a waiter costs beyond an acquire, picoseconds. */
  readonly lockHandOffPs: number
  /** What each CPU that waits adds to a hand-off, picoseconds. */
  readonly lockHandOffPerWaiterPs: number
}

/** What a lock has seen since the beginning; times in picoseconds. */
export interface LockCounts {
  readonly name: string
  readonly busyPs: number
  readonly waitPs: number
  readonly grants: number
  readonly contended: number
}
