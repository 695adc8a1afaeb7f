/**
 * The oracle of the waiting mechanism: programs of CPUs that share locks, run in the plainest way there is.
 * Every instruction is an event of its own, no CPU runs ahead, and everything is looked for by linear
 * search. Slow, and short enough to be believed.
 *
 * At one instant the CPUs whose pauses are over become busy; then every CPU goes as far as it can without a
 * lock; then the free lock with the lowest number is granted to the CPU that asked first, the lowest number
 * among those that asked together. What a CPU spends takes longer by how many CPUs of its core are busy when
 * that begins; what it waits does not.
 */
import {
  ACCOUNT_COUNT,
  ACCOUNT_LOCK_HAND_OFF,
  ACCOUNT_LOCK_WAIT,
  type Account,
  type LockCounts
} from "../core/index.ts"

/** What a program may do. */
export type Instruction =
  /** Spends time on an account. */
  | { readonly kind: "spend"; readonly account: Account; readonly durationPs: number }
  /** Holds a lock while the body runs. */
  | { readonly kind: "critical"; readonly lock: number; readonly body: Program }
  /** Runs the body as a subroutine. */
  | { readonly kind: "call"; readonly body: Program }
  /** Lets the world catch up; takes no time. */
  | { readonly kind: "lookAgain" }
  /** Ends the program for so long, and starts it again behind this instruction. */
  | { readonly kind: "pause"; readonly durationPs: number }

export type Program = ReadonlyArray<Instruction>

export interface NaiveOptions {
  readonly lockCount: number
  readonly lockAcquirePs: number
  readonly lockHandOffPs: number
  readonly lockHandOffPerWaiterPs: number
  /** Instants at which the ledgers are kept, in ascending order. */
  readonly edgesPs: ReadonlyArray<number>
  /** The core that each CPU is a thread of. */
  readonly coreOf: ReadonlyArray<number>
  /** speedShares[n - 1] is the speed of a CPU when n CPUs of its core are busy. */
  readonly speedShares: ReadonlyArray<number>
}

/** A lock given to a CPU. */
export interface Grant {
  readonly lock: number
  readonly cpu: number
  readonly atPs: number
  /** The CPU's time when its critical section starts: the costs of the lock are paid. */
  readonly startPs: number
}

/** Everything that can be seen of a run. */
export interface Outcome {
  readonly grants: ReadonlyArray<Grant>
  /** Of each CPU by account, picoseconds. */
  readonly ledgers: ReadonlyArray<ReadonlyArray<number>>
  /** The same as they were at each of the edges, in each CPU's own time. */
  readonly ledgersAt: ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>>
  /** When each CPU's program ended. */
  readonly endPs: ReadonlyArray<number>
  /** Busy time of each CPU. */
  readonly busyPs: ReadonlyArray<number>
  readonly locks: ReadonlyArray<Omit<LockCounts, "name">>
}

type Operation =
  | { readonly kind: "spend"; readonly account: Account; readonly durationPs: number }
  | { readonly kind: "ask" | "release"; readonly lock: number }
  | { readonly kind: "pause"; readonly durationPs: number }

interface Booking {
  readonly account: Account
  readonly fromPs: number
  readonly durationPs: number
}

interface Worker {
  readonly operations: ReadonlyArray<Operation>
  readonly bookings: Array<Booking>
  next: number
  /** When its next operation runs; Infinity while it waits for a lock, and at the end. */
  atPs: number
  endPs: number
  pausedPs: number
  /** Its program runs or waits for a lock. */
  isBusy: boolean
}

interface NaiveLock {
  readonly waiting: Array<{ readonly cpu: number; readonly askedPs: number }>
  isHeld: boolean
  heldSincePs: number
  busyPs: number
  waitPs: number
  grants: number
  contended: number
}

const flatten = (program: Program): ReadonlyArray<Operation> =>
  program.flatMap((instruction): ReadonlyArray<Operation> => {
    switch (instruction.kind) {
      case "critical": {
        const { lock, body } = instruction
        return [{ kind: "ask", lock }, ...flatten(body), { kind: "release", lock }]
      }
      case "call":
        return flatten(instruction.body)
      case "lookAgain":
        return []
      default:
        return [instruction]
    }
  })

/** What was booked before `endPs`, by account. */
const ledgerAt = (bookings: ReadonlyArray<Booking>, endPs: number): ReadonlyArray<number> => {
  const ledger = Array.from({ length: ACCOUNT_COUNT }, () => 0)
  for (const { account, durationPs, fromPs } of bookings) {
    ledger[account]! += Math.min(durationPs, Math.max(0, endPs - fromPs))
  }
  return ledger
}

export class NaiveScheduler {
  private readonly workers: ReadonlyArray<Worker>
  private readonly locks: ReadonlyArray<NaiveLock>
  private readonly grants: Array<Grant> = []
  private readonly options: NaiveOptions
  private readonly startsPs: ReadonlyArray<number>
  private nowPs = 0

  /** One program per CPU, and when each of them starts. */
  constructor(programs: ReadonlyArray<Program>, startsPs: ReadonlyArray<number>, options: NaiveOptions) {
    this.options = options
    this.startsPs = startsPs
    this.workers = programs.map((program, cpu) => ({
      operations: flatten(program),
      bookings: [],
      next: 0,
      atPs: startsPs[cpu]!,
      endPs: startsPs[cpu]!,
      pausedPs: 0,
      isBusy: false
    }))
    this.locks = Array.from({ length: options.lockCount }, () => ({
      waiting: [],
      isHeld: false,
      heldSincePs: 0,
      busyPs: 0,
      waitPs: 0,
      grants: 0,
      contended: 0
    }))
  }

  /** Runs all programs to their ends. */
  run(): Outcome {
    for (;;) {
      for (const worker of this.workers) if (worker.atPs === this.nowPs) worker.isBusy = true
      const cpu = this.workers.findIndex((worker) => worker.atPs === this.nowPs)
      if (cpu >= 0) {
        this.step(cpu)
        continue
      }
      const lock = this.locks.findIndex((candidate) => !candidate.isHeld && candidate.waiting.length > 0)
      if (lock >= 0) {
        this.grant(lock)
        continue
      }
      this.nowPs = Math.min(...this.workers.map((worker) => worker.atPs))
      if (this.nowPs === Infinity) break
    }
    return {
      grants: this.grants,
      ledgers: this.workers.map(({ bookings }) => ledgerAt(bookings, Infinity)),
      ledgersAt: this.options.edgesPs.map((edgePs) => this.workers.map(({ bookings }) => ledgerAt(bookings, edgePs))),
      endPs: this.workers.map((worker) => worker.endPs),
      busyPs: this.workers.map((worker, cpu) => worker.endPs - this.startsPs[cpu]! - worker.pausedPs),
      locks: this.locks.map(({ busyPs, waitPs, grants, contended }) => ({ busyPs, waitPs, grants, contended }))
    }
  }

  /** What `durationPs` of work takes a CPU, by how many CPUs of its core are busy now. */
  private stretchedPs(cpu: number, durationPs: number): number {
    const { coreOf, speedShares } = this.options
    const busy = this.workers.filter(({ isBusy }, other) => isBusy && coreOf[other] === coreOf[cpu]).length
    return Math.floor(durationPs * (1 / speedShares[busy - 1]!))
  }

  private step(cpu: number): void {
    const worker = this.workers[cpu]!
    const operation = worker.operations[worker.next++]
    if (operation === undefined) {
      worker.endPs = this.nowPs
      worker.atPs = Infinity
      worker.isBusy = false
      return
    }
    switch (operation.kind) {
      case "spend": {
        const durationPs = this.stretchedPs(cpu, operation.durationPs)
        worker.bookings.push({ account: operation.account, fromPs: this.nowPs, durationPs })
        worker.atPs += durationPs
        return
      }
      case "pause":
        worker.isBusy = false
        worker.pausedPs += operation.durationPs
        worker.atPs += operation.durationPs
        return
      case "ask":
        this.locks[operation.lock]!.waiting.push({ cpu, askedPs: this.nowPs })
        worker.atPs = Infinity
        return
      case "release": {
        const lock = this.locks[operation.lock]!
        lock.isHeld = false
        lock.busyPs += this.nowPs - lock.heldSincePs
      }
    }
  }

  private grant(lockNumber: number): void {
    const { lockAcquirePs, lockHandOffPs, lockHandOffPerWaiterPs } = this.options
    const lock = this.locks[lockNumber]!
    lock.waiting.sort((left, right) => left.askedPs - right.askedPs || left.cpu - right.cpu)
    const { cpu, askedPs } = lock.waiting.shift()!
    const waitedPs = this.nowPs - askedPs
    const isContended = waitedPs > 0
    const handOffPs = isContended ? lockHandOffPs + lockHandOffPerWaiterPs * lock.waiting.length : 0
    const costPs = this.stretchedPs(cpu, lockAcquirePs + handOffPs)
    lock.isHeld = true
    lock.heldSincePs = this.nowPs
    lock.waitPs += waitedPs
    lock.grants++
    if (isContended) lock.contended++
    const worker = this.workers[cpu]!
    worker.bookings.push({ account: ACCOUNT_LOCK_WAIT, fromPs: askedPs, durationPs: waitedPs })
    worker.bookings.push({ account: ACCOUNT_LOCK_HAND_OFF, fromPs: this.nowPs, durationPs: costPs })
    worker.atPs = this.nowPs + costPs
    this.grants.push({ lock: lockNumber, cpu, atPs: this.nowPs, startPs: worker.atPs })
  }
}
