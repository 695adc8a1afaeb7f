/**
 * Simulated CPUs, the programs that they run, and the locks that they wait for.
 *
 * A program is a set of small named *steps*. A step does its work at the CPU's local time, spends time on
 * accounts, and returns the next step. Where it must wait it returns what `lock`, `sleep` or `lookAgain`
 * gives back (PARKED), and the CPU goes on with the step named there when its time has come. A part of a
 * program that others use (a DMA map, say) is entered by `call` and left by `leave`, like a subroutine.
 *
 * Between two waits a CPU runs ahead of the world's clock on its own local time. That is safe because what
 * a program can observe meanwhile are facts that never revert (a descriptor is done), and because whatever
 * it does to the world is scheduled at its local time.
 *
 * Locks are granted in the virtual-time order of asking, one event a grant: the next grant is at
 * max(free at, first ask), and the critical section runs, as ordinary steps, when the grant's event does.
 * CPUs that ask at the same instant are served in the order of their numbers. A waiter spins: it stays busy.
 */
import { assert, fail } from "./assert.ts"
import { Background } from "./background.ts"
import {
  ACCOUNT_COUNT as accountCount,
  ACCOUNT_LOCK_HAND_OFF as accountLockHandOff,
  ACCOUNT_LOCK_WAIT as accountLockWait,
  type Account
} from "./accounts.ts"
import { coreOf } from "./cores.ts"
import type { CpusOptions, LockCounts, LockId, Step, StepId } from "./cpuTypes.ts"
import { LedgerEdges, type LedgerEdge } from "./ledgerEdges.ts"
import * as LockStates from "./lockState.ts"
import type { LockState } from "./lockState.ts"
import type { Timeline } from "./timeline.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_COUNT = accountCount
const ACCOUNT_LOCK_HAND_OFF = accountLockHandOff
const ACCOUNT_LOCK_WAIT = accountLockWait
const { BUSY_SUM, CONTENDED, FREE_AT, GRANTS, HELD_SINCE, NOBODY, WAIT_SUM } = LockStates

/** Returned by a step whose CPU waits. */
export const PARKED: StepId = 0

/** Nested calls of one program: a driver's poll, its strategy, the DMA API, a spare one. */
const CALL_DEPTH_MAX = 8
/** Named limit of simulated CPUs. */
export const CPUS_MAX = 1024
/** Most steps that a CPU may run without waiting: a program that passes it never ends. */
const STEPS_WITHOUT_WAIT_MAX = 100_000_000

/** What a CPU does. */
const IDLE = 0
const IN_PROGRAM = 1
const IN_BACKGROUND = 2

export class Cpus {
  declare readonly count: number
  /** Each CPU's own time; at least the world's clock while it runs. */
  declare readonly localPs: Float64Array
  /** ledger[cpu * ACCOUNT_COUNT + account]: picoseconds spent. */
  declare readonly ledger: Float64Array
  /** Closed busy intervals of each CPU, measured from waking to falling asleep: the ledger's oracle. */
  declare private readonly busySums: Float64Array
  declare private readonly edges: LedgerEdges
  declare private readonly nextEdgePs: Float64Array
  declare private readonly awakeSince: Float64Array
  declare private readonly awake: Uint8Array
  declare private readonly resumeAt: Int32Array
  declare private readonly callStack: Int32Array
  declare private readonly callDepth: Int32Array
  declare private readonly timers: Int32Array
  private readonly steps: Array<Step> = [() => fail("step 0 was run")]
  private readonly stepNames: Array<string> = ["parked"]
  private readonly locks: Array<LockState> = []
  declare private readonly coreOf: Int32Array
  declare private readonly busyThreads: Int32Array
  declare private readonly slowdowns: Float64Array
  declare private readonly isShared: boolean
  declare private readonly acquirePs: number
  declare private readonly handOffPs: number
  declare private readonly handOffPerWaiterPs: number
  private isAlone = false
  private background: Background | undefined
  declare private readonly timeline: Timeline

  constructor(timeline: Timeline, options: CpusOptions) {
    const { cpuCount: count, coreCount = Math.ceil(count / options.threadsPerCore) } = options
    assert(count >= 1 && count <= CPUS_MAX, "CPU count out of range")
    assert(options.threadsPerCore <= options.speedShares.length, "no speed for so many threads a core")
    assert(count <= coreCount * options.threadsPerCore, "more CPUs than the cores have threads")
    this.timeline = timeline
    this.count = count
    this.localPs = new Float64Array(count)
    this.ledger = new Float64Array(count * ACCOUNT_COUNT)
    this.edges = new LedgerEdges(this.localPs, this)
    this.nextEdgePs = this.edges.nextPs
    this.busySums = new Float64Array(count)
    this.awakeSince = new Float64Array(count)
    this.awake = new Uint8Array(count)
    this.resumeAt = new Int32Array(count)
    this.callStack = new Int32Array(count * CALL_DEPTH_MAX)
    this.callDepth = new Int32Array(count)
    this.timers = new Int32Array(count)
    this.coreOf = new Int32Array(count)
    this.busyThreads = new Int32Array(coreCount)
    this.slowdowns = Float64Array.from([1, ...options.speedShares.map((share) => 1 / share)])
    this.isShared = count > coreCount
    this.acquirePs = options.lockAcquirePs
    this.handOffPs = options.lockHandOffPs
    this.handOffPerWaiterPs = options.lockHandOffPerWaiterPs
    const resume = (cpu: number): void => this.run(cpu, this.resumeAt[cpu]!)
    for (let cpu = 0; cpu < count; cpu++) {
      this.coreOf[cpu] = coreOf(cpu, count, coreCount)
      this.timers[cpu] = timeline.addTimer(`cpu ${cpu}`, resume, cpu)
    }
  }

  /** Adds a step to the table; the errors that say where a program went wrong call it by its `name`. */
  readonly define = (name: string, step: Step): StepId => {
    this.steps.push(step)
    this.stepNames.push(name)
    return this.steps.length - 1
  }

  /**
   * Books `durationPs`, a whole number, of the CPU's time; longer when its core's other threads are busy.
   * MODEL: which of them are is asked when the step runs, which may be ahead of the world's clock. On two threads
   * a core CPUs are up to 0.6 % less busy for it where they are interrupted every 16 us, as they are by default,
   * and up to 9 % every 100 us, where a poll takes many frames at a time.
   */
  readonly spend = (cpu: number, account: Account, durationPs: number): void => {
    if (this.isShared) {
      this.book(cpu, account, Math.floor(durationPs * this.slowdowns[this.busyThreads[this.coreOf[cpu]!]!]!))
      return
    }
    this.book(cpu, account, durationPs)
  }

  /** Books time that passes whatever the core's other threads do: waiting by the clock. */
  readonly waitFor = (cpu: number, account: Account, durationPs: number): void => {
    this.book(cpu, account, durationPs)
  }

  private readonly book = (cpu: number, account: Account, durationPs: number): void => {
    const fromPs = this.localPs[cpu]!
    const toPs = fromPs + durationPs
    if (toPs > this.nextEdgePs[cpu]!) this.edges.cross(cpu, account, fromPs, toPs)
    this.localPs[cpu] = toPs
    this.ledger[cpu * ACCOUNT_COUNT + account]! += durationPs
  }

  /** Enters a subroutine at `entry`; `leave` goes on at `then`. */
  readonly call = (cpu: number, entry: StepId, then: StepId): StepId => {
    this.enter(cpu, then)
    return entry
  }

  /** The step that runs has become a subroutine's first: its `leave` goes on at `then`. */
  readonly enter = (cpu: number, then: StepId): void => {
    const depth = this.callDepth[cpu]!
    if (depth >= CALL_DEPTH_MAX) fail("a program's calls nest too deep")
    this.callStack[cpu * CALL_DEPTH_MAX + depth] = then
    this.callDepth[cpu] = depth + 1
  }

  /** Leaves the subroutine that was entered last. */
  readonly leave = (cpu: number): StepId => {
    const depth = this.callDepth[cpu]! - 1
    if (depth < 0) fail("a program left a subroutine that it had not entered")
    this.callDepth[cpu] = depth
    return this.callStack[cpu * CALL_DEPTH_MAX + depth]!
  }

  /** Is the CPU running a program or waiting inside one? */
  readonly isAwake = (cpu: number): boolean => {
    return this.awake[cpu] === IN_PROGRAM
  }

  /** Wakes an idle CPU now, or when its last program has ended, to run `step`. */
  readonly wake = (cpu: number, step: StepId): void => {
    if (this.awake[cpu] === IN_PROGRAM) fail("a CPU that is awake was woken")
    if (this.awake[cpu] === IN_BACKGROUND) {
      this.awake[cpu] = IN_PROGRAM
      this.background!.wakeBehind(cpu, step)
      return
    }
    this.start(cpu, step)
  }

  private readonly start = (cpu: number, step: StepId): void => {
    this.setAwake(cpu)
    this.lookAgain(cpu, step)
  }

  /** The program ends; the CPU is idle from its local time on, until `wake`. */
  readonly sleep = (cpu: number): StepId => {
    const { background } = this
    if (background !== undefined && background.isDue(cpu)) {
      this.awake[cpu] = IN_BACKGROUND
      return background.next
    }
    this.awake[cpu] = IDLE
    this.busyThreads[this.coreOf[cpu]!]! -= 1
    this.busySums[cpu]! += this.localPs[cpu]! - this.awakeSince[cpu]!
    return PARKED
  }

  /** Runs a subroutine on a CPU at `atPs` or, if a program runs there then, when that ends. */
  readonly later = (cpu: number, atPs: number, entry: StepId): void => {
    this.background ??= new Background(this.timeline, this)
    this.background.add(cpu, atPs, entry)
  }

  /** Background work starts, if the CPU is idle. */
  readonly startIdle = (cpu: number, step: StepId): void => {
    if (this.awake[cpu] !== IDLE) return
    this.start(cpu, step)
    this.awake[cpu] = IN_BACKGROUND
  }

  /** Stays busy, lets the world catch up with the CPU's local time, and goes on at `then`. */
  readonly lookAgain = (cpu: number, then: StepId): StepId => {
    this.resumeAt[cpu] = then
    this.timeline.setTimer(this.timers[cpu]!, this.localPs[cpu]!)
    return PARKED
  }

  /** True when the CPU's local time is past the world's clock: something may happen in between. */
  readonly isAhead = (cpu: number): boolean => {
    return this.localPs[cpu]! > this.timeline.clock[0]!
  }

  private readonly setAwake = (cpu: number): void => {
    const nowPs = this.timeline.clock[0]!
    if (nowPs > this.localPs[cpu]!) {
      if (nowPs > this.nextEdgePs[cpu]!) this.edges.crossAt(cpu, nowPs)
      this.localPs[cpu] = nowPs
    }
    this.awakeSince[cpu] = this.localPs[cpu]!
    this.awake[cpu] = IN_PROGRAM
    this.busyThreads[this.coreOf[cpu]!]! += 1
  }

  private readonly run = (cpu: number, first: StepId): void => {
    const steps = this.steps
    let step = first
    let count = 0
    while (step !== PARKED) {
      step = steps[step]!(cpu)
      if (++count > STEPS_WITHOUT_WAIT_MAX) fail(`a program runs without end: ${this.stepNames[step]!}`)
    }
  }

  /**
   * Runs a subroutine at once, to its end, with no other CPU in the world: bring-up, shutdown, tests and
   * simulators with one CPU. Locks are free or let go in time; the program must not sleep.
   */
  readonly runAlone = (cpu: number, entry: StepId): void => {
    const wasAlone = this.isAlone
    const wasAwake = this.awake[cpu] !== IDLE
    if (!wasAwake) this.setAwake(cpu)
    this.isAlone = true
    const depth = this.callDepth[cpu]!
    let last = PARKED
    let step = this.call(cpu, entry, PARKED)
    while (step !== PARKED) {
      last = step
      step = this.steps[step]!(cpu)
    }
    if (this.callDepth[cpu] !== depth) fail(`a program that ran alone waited: ${this.stepNames[last]!}`)
    this.isAlone = wasAlone
    if (!wasAwake) this.sleep(cpu)
  }

  /** A lock that is free. Its name is the one that reports show. */
  readonly makeLock = (name: string): LockId => {
    const id = this.locks.length
    const timer = this.timeline.addTimer(`lock ${name}`, (lock) => this.grant(lock), id)
    this.locks.push(LockStates.makeLockState(name, timer, this.count))
    return id
  }

  /** Asks for a lock at the CPU's local time; goes on at `then` when it is held. */
  readonly lock = (cpu: number, lockId: LockId, then: StepId): StepId => {
    const lock = this.locks[lockId]!
    if (this.isAlone) {
      this.take(cpu, lock, Math.max(this.localPs[cpu]!, lock.times[FREE_AT]!), 0)
      return then
    }
    const localPs = this.localPs
    const askPs = localPs[cpu]!
    if (lock.holder === cpu) fail("a CPU asked for a lock that it holds")
    this.resumeAt[cpu] = then
    const { askCpu, askMask, askTimes, askHead } = lock
    let index = askHead + lock.askCount
    while (index > askHead) {
      const before = (index - 1) & askMask
      const beforePs = askTimes[before]!
      if (beforePs < askPs || (beforePs === askPs && askCpu[before]! < cpu)) break
      askTimes[index & askMask] = beforePs
      askCpu[index & askMask] = askCpu[before]!
      index--
    }
    askTimes[index & askMask] = askPs
    askCpu[index & askMask] = cpu
    lock.askCount++
    if (index === askHead && lock.holder === NOBODY) this.scheduleGrant(lock)
    return PARKED
  }

  private readonly scheduleGrant = (lock: LockState): void => {
    const freePs = lock.times[FREE_AT]!
    const askPs = lock.askTimes[lock.askHead & lock.askMask]!
    this.timeline.setTimer(lock.timer, freePs > askPs ? freePs : askPs)
  }

  private readonly grant = (lockId: LockId): void => {
    const lock = this.locks[lockId]!
    const { askMask, askTimes } = lock
    const nowPs = this.timeline.clock[0]!
    const head = lock.askHead
    const cpu = lock.askCpu[head]!
    lock.askHead = (head + 1) & askMask
    lock.askCount--
    let waiters = 0
    while (waiters < lock.askCount && askTimes[(head + 1 + waiters) & askMask]! <= nowPs) waiters++
    this.take(cpu, lock, nowPs, waiters)
    this.run(cpu, this.resumeAt[cpu]!)
  }

  /** The lock changes hands at `atPs`; a hand-off to a CPU that waited costs more than an acquire. */
  private readonly take = (cpu: number, lock: LockState, atPs: number, waiters: number): void => {
    if (lock.holder !== NOBODY) fail("a lock that is held was granted")
    const waitPs = atPs - this.localPs[cpu]!
    let costPs = this.acquirePs
    lock.holder = cpu
    lock.times[GRANTS]! += 1
    if (waitPs > 0) {
      this.book(cpu, ACCOUNT_LOCK_WAIT, waitPs)
      lock.times[WAIT_SUM]! += waitPs
      lock.times[CONTENDED]! += 1
      costPs += this.handOffPs + this.handOffPerWaiterPs * waiters
    }
    lock.times[HELD_SINCE] = atPs
    this.spend(cpu, ACCOUNT_LOCK_HAND_OFF, costPs)
  }

  /** Lets a lock go at the CPU's local time. */
  readonly unlock = (cpu: number, lockId: LockId): void => {
    const lock = this.locks[lockId]!
    if (lock.holder !== cpu) fail("a lock was let go by a CPU that does not hold it")
    lock.holder = NOBODY
    const freePs = this.localPs[cpu]!
    lock.times[FREE_AT] = freePs
    lock.times[BUSY_SUM]! += freePs - lock.times[HELD_SINCE]!
    if (lock.askCount > 0) this.scheduleGrant(lock)
  }

  /** What each lock has seen since the beginning. */
  readonly lockCounts = (): ReadonlyArray<LockCounts> => {
    return this.locks.map(LockStates.countsOf)
  }

  /** Busy time of a CPU up to its local time, measured between waking and falling asleep. */
  readonly busyPs = (cpu: number): number => {
    const openPs = this.awake[cpu] !== IDLE ? this.localPs[cpu]! - this.awakeSince[cpu]! : 0
    return this.busySums[cpu]! + openPs
  }

  /**
   * Keeps every CPU's ledger as it is at `timePs` of its own time, which is behind all edges before; `countOf` is
   * asked as a CPU passes, or of one that has not when it is looked at.
   */
  readonly addEdge = (timePs: number, countOf: (cpu: number) => number = () => 0): LedgerEdge => {
    return this.edges.add(timePs, countOf)
  }

  /** Sum of a CPU's accounts; equals `busyPs` at any moment between events. */
  readonly bookedPs = (cpu: number): number => {
    let sum = 0
    for (let account = 0; account < ACCOUNT_COUNT; account++) sum += this.ledger[cpu * ACCOUNT_COUNT + account]!
    return sum
  }
}

/** CPUs of one world, all asleep. */
export const makeCpus = (timeline: Timeline, options: CpusOptions): Cpus => new Cpus(timeline, options)
