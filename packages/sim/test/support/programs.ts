/** Random CPU programs, and their translation into steps of the real mechanism. */
import fc from "fast-check"
import { ACCOUNT_COUNT, type Cpus, makeCpus, makeTimeline, type StepId } from "@vnic/sim/core"
import type { Grant, NaiveOptions, Outcome, Program } from "@vnic/sim/testing"

/** Short durations, so that CPUs meet at the same instant all the time. */
const durationPs = fc.oneof(fc.nat({ max: 4 }), fc.nat({ max: 60 }))
const spend = fc.record({
  kind: fc.constant("spend" as const),
  account: fc.nat({ max: ACCOUNT_COUNT - 1 }),
  durationPs
})
const lookAgain = fc.constant({ kind: "lookAgain" as const })
const pause = fc.record({ kind: fc.constant("pause" as const), durationPs })

/**
 * Programs over `lockCount` locks. Inside a critical section only locks with higher numbers are asked for (as
 * any program must that does not want to deadlock), and nothing sleeps.
 */
function program(lockCount: number, lowestLock = 0, depth = 0): fc.Arbitrary<Program> {
  const isInside = lowestLock > 0
  const parts: Array<fc.WeightedArbitrary<Program[number]>> = [
    { arbitrary: spend, weight: 5 },
    { arbitrary: lookAgain, weight: 1 }
  ]
  if (!isInside) parts.push({ arbitrary: pause, weight: 1 })
  for (let lock = lowestLock; lock < lockCount; lock++) {
    const body = program(lockCount, lock + 1, depth + 1)
    parts.push({ arbitrary: body.map((body) => ({ kind: "critical" as const, lock, body })), weight: 3 })
  }
  if (depth < 3) {
    const body = program(lockCount, lowestLock, depth + 1)
    parts.push({ arbitrary: body.map((body) => ({ kind: "call" as const, body })), weight: 1 })
  }
  return fc.array(fc.oneof(...parts), { maxLength: depth === 0 ? 12 : 4 })
}

const CPUS_MAX = 8
/** With one to eight threads of a core busy; what a work of some picoseconds takes is rounded nearly always. */
const SPEED_SHARES = [1, 0.8, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2]

/** 1 to 8 programs over 1 or 2 locks on as many cores, with their starts and the costs of the locks. */
const worldsOn = (coresOf: (cpuCount: number) => fc.Arbitrary<number>) =>
  fc
    .record({ lockCount: fc.integer({ min: 1, max: 2 }), cpuCount: fc.integer({ min: 1, max: CPUS_MAX }) })
    .chain(({ cpuCount, lockCount }) =>
      fc.record({
        programs: fc.array(program(lockCount), { minLength: cpuCount, maxLength: cpuCount }),
        startsPs: fc.array(durationPs, { minLength: CPUS_MAX, maxLength: CPUS_MAX }),
        options: fc.record({
          lockCount: fc.constant(lockCount),
          edgesPs: fc
            .uniqueArray(fc.integer({ min: 1, max: 200 }), { maxLength: 3 })
            .map((edges) => edges.toSorted((left, right) => left - right)),
          lockAcquirePs: fc.nat({ max: 5 }),
          lockHandOffPs: fc.nat({ max: 5 }),
          lockHandOffPerWaiterPs: fc.nat({ max: 5 }),
          coreOf: coresOf(cpuCount).map((coreCount) =>
            Array.from({ length: cpuCount }, (_, cpu) => Math.floor((cpu * coreCount) / cpuCount))
          ),
          speedShares: fc.constant(SPEED_SHARES)
        })
      })
    )

/** Each on a core of its own. */
export const worlds = worldsOn(fc.constant)
/** On any number of cores. */
export const sharedWorlds = worldsOn((cpuCount) => fc.integer({ min: 1, max: cpuCount }))

const row = (ofAccount: (account: number) => number): Array<number> =>
  Array.from({ length: ACCOUNT_COUNT }, (_, account) => ofAccount(account))

/**
 * Runs the programs on simulated CPUs, `eventsPerSlice` events at a time. Where CPUs share cores they look again
 * wherever time has passed, since a CPU that ran ahead would ask too early which others are busy.
 */
export function runOnCpus(
  programs: ReadonlyArray<Program>,
  startsPs: ReadonlyArray<number>,
  options: NaiveOptions,
  eventsPerSlice = 1_000_000
): Outcome {
  const cpuCount = programs.length
  const coreCount = new Set(options.coreOf).size
  const timeline = makeTimeline()
  // Before the CPUs' own timers: at one instant all wake up, and then they run in the order of their numbers.
  const wakeUp = programs.map((_, cpu) => timeline.addTimer(`wake ${cpu}`, () => cpus.wake(cpu, resumeAt[cpu]!)))
  const cpus = makeCpus(timeline, { ...options, cpuCount, coreCount, threadsPerCore: Math.ceil(cpuCount / coreCount) })
  const edges = options.edgesPs.map((edgePs) => cpus.addEdge(edgePs))
  const resumeAt = programs.map(() => 0)
  const locks = Array.from({ length: options.lockCount }, (_, lock) => cpus.makeLock(`lock ${lock}`))
  const grants: Array<Grant> = []
  const pause = (cpu: number, durationPs: number, next: StepId): StepId => {
    resumeAt[cpu] = next
    timeline.setTimer(wakeUp[cpu]!, cpus.localPs[cpu]! + durationPs)
    return cpus.sleep(cpu)
  }
  const passed = (cpu: number, next: StepId): StepId => (coreCount < cpuCount ? cpus.lookAgain(cpu, next) : next)
  programs.forEach((program, cpu) => {
    const end = cpus.define("end", () => cpus.sleep(cpu))
    resumeAt[cpu] = defineProgram(cpus, program, end, locks, grants, timeline.clock, pause, passed)
    timeline.setTimer(wakeUp[cpu]!, startsPs[cpu]!)
  })
  while (timeline.runUntil(1e15, eventsPerSlice) === eventsPerSlice);
  for (let cpu = 0; cpu < cpus.count; cpu++) {
    if (cpus.isAwake(cpu)) throw new Error("a program did not end")
    if (cpus.bookedPs(cpu) !== cpus.busyPs(cpu)) throw new Error("accounts do not add up to the busy time")
    for (const edge of edges) {
      const bookedPs = row((account) => edge.spentPs(cpu, account)).reduce((sum, spentPs) => sum + spentPs, 0)
      if (bookedPs !== edge.busyPs(cpu)) throw new Error("accounts do not add up to the busy time at an edge")
    }
  }
  return {
    grants,
    ledgers: programs.map((_, cpu) => row((account) => cpus.ledger[cpu * ACCOUNT_COUNT + account]!)),
    ledgersAt: edges.map((edge) => programs.map((_, cpu) => row((account) => edge.spentPs(cpu, account)))),
    endPs: programs.map((_, cpu) => cpus.localPs[cpu]!),
    busyPs: programs.map((_, cpu) => cpus.busyPs(cpu)),
    locks: cpus.lockCounts().map(({ busyPs, waitPs, grants, contended }) => ({ busyPs, waitPs, grants, contended }))
  }
}

/** Translates from the back: each instruction becomes steps that go on at `next`. */
function defineProgram(
  cpus: Cpus,
  program: Program,
  next: StepId,
  locks: ReadonlyArray<number>,
  grants: Array<Grant>,
  clock: Float64Array,
  pause: (cpu: number, durationPs: number, next: StepId) => StepId,
  passed: (cpu: number, next: StepId) => StepId
): StepId {
  const define = (program: Program, next: StepId): StepId =>
    defineProgram(cpus, program, next, locks, grants, clock, pause, passed)
  return program.reduceRight((then, instruction): StepId => {
    switch (instruction.kind) {
      case "spend":
        return cpus.define("spend", (cpu) => {
          cpus.spend(cpu, instruction.account, instruction.durationPs)
          return passed(cpu, then)
        })
      case "lookAgain":
        return cpus.define("look again", (cpu) => cpus.lookAgain(cpu, then))
      case "pause":
        return cpus.define("pause", (cpu) => pause(cpu, instruction.durationPs, then))
      case "call": {
        const leave = cpus.define("leave", (cpu) => cpus.leave(cpu))
        const entry = define(instruction.body, leave)
        return cpus.define("call", (cpu) => cpus.call(cpu, entry, then))
      }
      case "critical": {
        const { lock } = instruction
        const leave = cpus.define("unlock", (cpu) => {
          cpus.unlock(cpu, locks[lock]!)
          return then
        })
        const body = define(instruction.body, leave)
        const enter = cpus.define("locked", (cpu) => {
          grants.push({ lock, cpu, atPs: clock[0]!, startPs: cpus.localPs[cpu]! })
          return passed(cpu, body)
        })
        return cpus.define("lock", (cpu) => cpus.lock(cpu, locks[lock]!, enter))
      }
    }
  }, next)
}
