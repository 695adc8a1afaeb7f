import { describe, expect, it } from "vitest"
import {
  ACCOUNT_BENCHMARK,
  ACCOUNT_DRIVER,
  ACCOUNT_STACK,
  type Cpus,
  type CpusOptions,
  makeCpus,
  makeTimeline,
  PROFILES,
  profileValues,
  speedShares,
  type Timeline
} from "@vnic/sim/core"

const END_PS = 1_000_000
const EVENTS_MAX = 100_000

function makeWorld(options: Partial<CpusOptions> = {}): { readonly timeline: Timeline; readonly cpus: Cpus } {
  const timeline = makeTimeline()
  const cpus = makeCpus(timeline, {
    cpuCount: 2,
    threadsPerCore: 1,
    speedShares: [1],
    lockAcquirePs: 0,
    lockHandOffPs: 0,
    lockHandOffPerWaiterPs: 0,
    ...options
  })
  return { timeline, cpus }
}

describe("programs", () => {
  it("run step by step at the CPU's local time, and book what they spend", () => {
    const { timeline, cpus } = makeWorld()
    const second = cpus.define("second", (cpu) => {
      expect(cpus.localPs[cpu]).toBe(30)
      expect(cpus.isAhead(cpu)).toBe(true)
      cpus.spend(cpu, ACCOUNT_STACK, 12)
      return cpus.sleep(cpu)
    })
    const first = cpus.define("first", (cpu) => {
      expect(cpus.isAhead(cpu)).toBe(false)
      cpus.spend(cpu, ACCOUNT_DRIVER, 30)
      return second
    })
    cpus.wake(1, first)
    expect(cpus.isAwake(1)).toBe(true)
    timeline.runUntil(END_PS, EVENTS_MAX)
    expect([cpus.isAwake(1), cpus.busyPs(1), cpus.bookedPs(1), cpus.busyPs(0)]).toEqual([false, 42, 42, 0])
  })

  it("look again when the world has caught up, after what happened meanwhile", () => {
    const { timeline, cpus } = makeWorld()
    let isDone = false
    const device = timeline.addTimer("device", () => (isDone = true))
    timeline.setTimer(device, 80)
    const seen: Array<[number, boolean]> = []
    const look = cpus.define("look", (cpu) => {
      seen.push([timeline.nowPs, isDone])
      if (isDone) return cpus.sleep(cpu)
      cpus.spend(cpu, ACCOUNT_DRIVER, 50)
      return cpus.lookAgain(cpu, look)
    })
    cpus.wake(0, look)
    timeline.runUntil(END_PS, EVENTS_MAX)
    expect(seen).toEqual([
      [0, false],
      [50, false],
      [100, true]
    ])
  })

  it("start, when woken before the last one's time is over, behind it", () => {
    const { timeline, cpus } = makeWorld()
    const starts: Array<number> = []
    const work = cpus.define("work", (cpu) => {
      starts.push(cpus.localPs[cpu]!)
      cpus.spend(cpu, ACCOUNT_DRIVER, 100)
      return cpus.sleep(cpu)
    })
    const interrupt = timeline.addLane("interrupt", (cpu) => cpus.wake(cpu, work), 4)
    for (const atPs of [10, 40, 500]) timeline.push(interrupt, atPs, 0)
    timeline.runUntil(END_PS, EVENTS_MAX)
    expect(starts).toEqual([10, 110, 500])
    expect([cpus.busyPs(0), cpus.bookedPs(0)]).toEqual([300, 300])
  })

  it("call subroutines that call subroutines", () => {
    const { timeline, cpus } = makeWorld()
    const order: Array<string> = []
    const note = (name: string, next: (cpu: number) => number) =>
      cpus.define(name, (cpu) => {
        order.push(name)
        return next(cpu)
      })
    const inner = note("inner", (cpu) => cpus.leave(cpu))
    const outerEnd = note("outer end", (cpu) => cpus.leave(cpu))
    const outer = note("outer", (cpu) => cpus.call(cpu, inner, outerEnd))
    const end = note("end", (cpu) => cpus.sleep(cpu))
    cpus.wake(
      0,
      note("main", (cpu) => cpus.call(cpu, outer, end))
    )
    timeline.runUntil(END_PS, EVENTS_MAX)
    expect(order).toEqual(["main", "outer", "inner", "outer end", "end"])
  })

  it("break loudly when they are wrong", () => {
    const run = (step: (cpus: Cpus, cpu: number) => number): void => {
      const { timeline, cpus } = makeWorld()
      const wrong = cpus.define("wrong", (cpu) => step(cpus, cpu))
      cpus.wake(0, wrong)
      timeline.runUntil(END_PS, EVENTS_MAX)
    }
    const wrong = 1
    expect(() => run((cpus, cpu) => cpus.call(cpu, wrong, wrong))).toThrow("nest too deep")
    expect(() => run((cpus, cpu) => cpus.leave(cpu))).toThrow("had not entered")
    expect(() => run((cpus, cpu) => (cpus.wake(cpu, wrong), 0))).toThrow("awake was woken")
    expect(() => run((cpus, cpu) => (cpus.unlock(cpu, cpus.makeLock("free")), 0))).toThrow("does not hold it")
    expect(() => makeWorld({ threadsPerCore: 2 })).toThrow("no speed")
    expect(() => makeWorld({ cpuCount: 0 })).toThrow("CPU count")
  })
})

describe("an edge", () => {
  it("counts what a CPU has done when it passes, and splits what it books then", () => {
    const { timeline, cpus } = makeWorld()
    const done = new Int32Array(2)
    const edge = cpus.addEdge(70, (cpu) => done[cpu]!)
    const work = cpus.define("work", (cpu) => {
      done[cpu]! += 1
      cpus.spend(cpu, ACCOUNT_STACK, 30)
      return done[cpu] === 5 ? cpus.sleep(cpu) : work
    })
    cpus.wake(0, work)
    timeline.runUntil(0, EVENTS_MAX)
    // The program has run ahead of the world, to 150.
    expect([edge.spentPs(0, ACCOUNT_STACK), edge.count(0), cpus.ledger[ACCOUNT_STACK]]).toEqual([70, 3, 150])
    expect([edge.busyPs(0), cpus.busyPs(0)]).toEqual([70, 150])
    expect([edge.spentPs(1, ACCOUNT_STACK), edge.count(1), edge.busyPs(1)]).toEqual([0, 0, 0])
  })

  it("that a CPU has passed already keeps its ledger as it is", () => {
    const { timeline, cpus } = makeWorld()
    const work = cpus.define("work", (cpu) => {
      cpus.spend(cpu, ACCOUNT_STACK, 30)
      return cpus.sleep(cpu)
    })
    cpus.wake(0, work)
    timeline.runUntil(0, EVENTS_MAX)
    const edge = cpus.addEdge(10)
    const later = cpus.addEdge(40)
    timeline.runUntil(100, EVENTS_MAX)
    cpus.wake(0, work)
    timeline.runUntil(200, EVENTS_MAX)
    expect([edge.spentPs(0, ACCOUNT_STACK), later.spentPs(0, ACCOUNT_STACK)]).toEqual([30, 30])
    expect(() => cpus.addEdge(40)).toThrow("an edge is not behind the one before")
  })
})

describe("what is counted before anything is booked", () => {
  /** A program that counts, books 30, and then counts before it books, as often as it is run. */
  const counting = () => {
    const world = makeWorld()
    const done = new Int32Array(2)
    const countOf = (cpu: number): number => done[cpu]!
    const work = world.cpus.define("work", (cpu) => {
      done[cpu]! += 1
      world.cpus.spend(cpu, ACCOUNT_STACK, 30)
      return world.cpus.sleep(cpu)
    })
    return { ...world, countOf, done, work }
  }

  it("is behind an edge at which its CPU was idle", () => {
    const { countOf, cpus, timeline, work } = counting()
    const edge = cpus.addEdge(50, countOf)
    cpus.wake(0, work)
    timeline.runUntil(80, EVENTS_MAX)
    expect([edge.count(0), edge.busyPs(0)]).toEqual([1, 30])
    cpus.wake(0, work)
    timeline.runUntil(200, EVENTS_MAX)
    expect([edge.count(0), edge.busyPs(0), cpus.busyPs(0)]).toEqual([1, 30, 60])
  })

  it("is behind an edge that its CPU had passed when it was added", () => {
    const { countOf, cpus, done, timeline, work } = counting()
    cpus.wake(0, work)
    timeline.runUntil(0, EVENTS_MAX)
    const edge = cpus.addEdge(10, countOf)
    done[0]! += 1
    expect([edge.count(0), edge.busyPs(0)]).toEqual([1, 30])
  })
})

describe("running alone", () => {
  it("runs a subroutine at once, through locks, and gives its time back to the CPU", () => {
    const { timeline, cpus } = makeWorld({ lockAcquirePs: 7 })
    const lock = cpus.makeLock("lock")
    const held = cpus.define("held", (cpu) => {
      cpus.spend(cpu, ACCOUNT_DRIVER, 20)
      cpus.unlock(cpu, lock)
      return cpus.leave(cpu)
    })
    const entry = cpus.define("entry", (cpu) => cpus.lock(cpu, lock, held))
    cpus.runAlone(0, entry)
    cpus.runAlone(0, entry)
    expect([cpus.localPs[0], cpus.busyPs(0), cpus.bookedPs(0), cpus.isAwake(0)]).toEqual([54, 54, 54, false])
    expect(cpus.lockCounts()[0]).toMatchObject({ grants: 2, contended: 0, busyPs: 54, waitPs: 0 })
    expect(timeline.nowPs).toBe(0)
  })

  it("waits for what another CPU's lock costs when that CPU ran ahead", () => {
    const { cpus } = makeWorld()
    const lock = cpus.makeLock("lock")
    const held = cpus.define("held", (cpu) => {
      cpus.spend(cpu, ACCOUNT_DRIVER, 20)
      cpus.unlock(cpu, lock)
      return cpus.leave(cpu)
    })
    const entry = cpus.define("entry", (cpu) => cpus.lock(cpu, lock, held))
    cpus.runAlone(0, entry)
    cpus.runAlone(1, entry)
    expect([cpus.localPs[0], cpus.localPs[1], cpus.busyPs(1), cpus.bookedPs(1)]).toEqual([20, 40, 40, 40])
  })

  it("refuses a program that waits", () => {
    const { cpus } = makeWorld()
    const wait = cpus.define("wait", (cpu) => cpus.lookAgain(cpu, wait))
    expect(() => cpus.runAlone(0, wait)).toThrow("waited: wait")
  })
})

describe("threads of a core", () => {
  const shares = speedShares(profileValues(PROFILES[0]!))

  /** `busyCount` threads of core 0 start a long program at once; how long does each of them take? */
  function durations(busyCount: number, threadsPerCore: number): ReadonlyArray<number> {
    const { timeline, cpus } = makeWorld({ cpuCount: 2 * threadsPerCore, threadsPerCore, speedShares: shares })
    let steps = 0
    const work = cpus.define("work", (cpu) => {
      if (cpus.localPs[cpu]! >= 1_000_000) return cpus.sleep(cpu)
      steps++
      cpus.spend(cpu, ACCOUNT_BENCHMARK, 1000)
      return cpus.lookAgain(cpu, work)
    })
    for (let cpu = 0; cpu < busyCount; cpu++) cpus.wake(cpu, work)
    timeline.runUntil(2_000_000, EVENTS_MAX)
    return Array.from({ length: busyCount }, (_, cpu) => cpus.busyPs(cpu) / (steps / busyCount))
  }

  it("run at the profile's speed when two, three or four of them are busy", () => {
    expect(durations(1, 4)).toEqual([1000])
    expect(durations(2, 4)).toEqual([1, 1].map(() => Math.floor(1000 / 0.7)))
    expect(durations(3, 4)).toEqual([1, 1, 1].map(() => Math.floor(1000 / shares[2]!)))
    expect(durations(4, 4)).toEqual([1, 1, 1, 1].map(() => Math.floor(1000 / 0.47)))
  })

  it("are not slowed by another core", () => {
    const { timeline, cpus } = makeWorld({ cpuCount: 4, threadsPerCore: 2, speedShares: [1, 0.5] })
    const work = cpus.define("work", (cpu) => {
      cpus.spend(cpu, ACCOUNT_BENCHMARK, 1000)
      return cpus.sleep(cpu)
    })
    cpus.wake(0, work)
    cpus.wake(2, work)
    timeline.runUntil(END_PS, EVENTS_MAX)
    expect([cpus.busyPs(0), cpus.busyPs(2)]).toEqual([1000, 1000])
  })

  it("get more done together with every thread, and less each", () => {
    for (let busy = 2; busy <= 4; busy++) {
      expect(shares[busy - 1]!).toBeLessThan(shares[busy - 2]!)
      expect(busy * shares[busy - 1]!).toBeGreaterThan((busy - 1) * shares[busy - 2]!)
    }
  })
})

describe("work for later", () => {
  /** Background work of 10 ps, a program of 100 ps; what starts when. */
  const makeScene = () => {
    const world = makeWorld({ lockAcquirePs: 0 })
    const { cpus } = world
    const starts: Array<[string, number]> = []
    const work = cpus.define("work", (cpu) => {
      starts.push(["work", cpus.localPs[cpu]!])
      cpus.spend(cpu, ACCOUNT_DRIVER, 10)
      return cpus.leave(cpu)
    })
    const program = cpus.define("program", (cpu) => {
      starts.push(["program", cpus.localPs[cpu]!])
      cpus.spend(cpu, ACCOUNT_DRIVER, 100)
      return cpus.sleep(cpu)
    })
    return { ...world, program, starts, work }
  }

  it("runs on an idle CPU at its time, in order, and is booked", () => {
    const { cpus, starts, timeline, work } = makeScene()
    cpus.later(1, 500, work)
    cpus.later(1, 300, work)
    cpus.later(1, 305, work)
    timeline.runUntil(END_PS, EVENTS_MAX)
    expect(starts).toEqual([
      ["work", 300],
      ["work", 310],
      ["work", 500]
    ])
    expect([cpus.busyPs(1), cpus.bookedPs(1), cpus.isAwake(1)]).toEqual([30, 30, false])
  })

  it("waits for the end of a program that runs then", () => {
    const { cpus, program, starts, timeline, work } = makeScene()
    cpus.later(0, 40, work)
    cpus.wake(0, program)
    timeline.runUntil(END_PS, EVENTS_MAX)
    expect(starts).toEqual([
      ["program", 0],
      ["work", 100]
    ])
    expect(cpus.busyPs(0)).toBe(110)
  })

  it("lets a program that is woken while it waits for a lock start behind it", () => {
    const { cpus, program, starts, timeline, work } = makeScene()
    const lock = cpus.makeLock("lock")
    const held = cpus.define("held", (cpu) => {
      cpus.unlock(cpu, lock)
      return work
    })
    const waiting = cpus.define("waiting", (cpu) => cpus.lock(cpu, lock, held))
    const release = cpus.define("release", (cpu) => {
      cpus.unlock(cpu, lock)
      return cpus.sleep(cpu)
    })
    const holding = cpus.define("holding", (cpu) => {
      cpus.spend(cpu, ACCOUNT_DRIVER, 200)
      return cpus.lookAgain(cpu, release)
    })
    cpus.wake(
      1,
      cpus.define("take", (cpu) => cpus.lock(cpu, lock, holding))
    )
    cpus.later(0, 50, waiting)
    const interrupt = timeline.addTimer("interrupt", () => {
      expect(cpus.isAwake(0)).toBe(false)
      cpus.wake(0, program)
      expect(cpus.isAwake(0)).toBe(true)
    })
    timeline.setTimer(interrupt, 80)
    timeline.runUntil(END_PS, EVENTS_MAX)
    expect(starts).toEqual([
      ["work", 200],
      ["program", 210]
    ])
    expect([cpus.busyPs(0), cpus.bookedPs(0)]).toEqual([260, 260])
  })
})
