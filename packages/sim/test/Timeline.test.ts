import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { ARGUMENT_LIMIT, makePrng, makeTimeline, NEVER_PS, type Timeline } from "@vnic/sim/core"
import { NaiveTimeline, type Ran } from "./support/naiveTimeline.ts"

const CAPACITY = 8

type Command =
  | { readonly kind: "push"; readonly source: number; readonly delayPs: number; readonly argument: number }
  | { readonly kind: "set"; readonly source: number; readonly delayPs: number }
  | { readonly kind: "clear"; readonly source: number }
  | { readonly kind: "run"; readonly delayPs: number; readonly eventsMax: number }
  | { readonly kind: "addTimer" | "addLane" }

const index = fc.nat({ max: 60 })
const delayPs = fc.nat({ max: 12 })
const commands = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ kind: fc.constant("push" as const), source: index, delayPs, argument: index })
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("set" as const), source: index, delayPs }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("clear" as const), source: index }) },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant("run" as const), delayPs, eventsMax: fc.integer({ min: 1, max: 6 }) })
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("addTimer" as const, "addLane" as const) }) }
  ),
  { minLength: 1, maxLength: 150 }
)

/** The real timeline and its oracle, driven by the same commands. */
class Pair {
  readonly real = makeTimeline()
  readonly naive = new NaiveTimeline()
  readonly ran: Array<Ran> = []
  private readonly lanes: Array<number> = []
  private readonly timers: Array<number> = []

  constructor() {
    this.add("addTimer")
    this.add("addLane")
  }

  private add(kind: "addTimer" | "addLane"): void {
    const source = this.lanes.length + this.timers.length
    const note = (argument: number): void => void this.ran.push({ source, argument, atPs: this.real.nowPs })
    if (kind === "addTimer") this.timers.push(this.real.addTimer("timer", note, source))
    else this.lanes.push(this.real.addLane("lane", note, CAPACITY))
  }

  apply(command: Command): void {
    const { real, naive } = this
    const pick = (from: ReadonlyArray<number>, which: number): number => from[which % from.length]!
    switch (command.kind) {
      case "push": {
        const lane = pick(this.lanes, command.source)
        if (naive.pending(lane) === CAPACITY) return
        const timePs = naive.nowPs + command.delayPs
        real.push(lane, timePs, command.argument)
        naive.push(lane, timePs, command.argument)
        return
      }
      case "set": {
        const timer = pick(this.timers, command.source)
        real.setTimer(timer, naive.nowPs + command.delayPs)
        naive.setTimer(timer, naive.nowPs + command.delayPs)
        return
      }
      case "clear": {
        const timer = pick(this.timers, command.source)
        real.clearTimer(timer)
        naive.clearTimer(timer)
        return
      }
      case "run": {
        const endPs = naive.nowPs + command.delayPs
        expect(real.runUntil(endPs, command.eventsMax)).toBe(naive.runUntil(endPs, command.eventsMax))
        return
      }
      default:
        this.add(command.kind)
    }
  }

  check(): void {
    expect(this.ran).toEqual(this.naive.ran)
    expect(this.real.nowPs).toBe(this.naive.nowPs)
    expect(this.real.nextDuePs).toBe(this.naive.nextDuePs)
    for (const source of [...this.lanes, ...this.timers]) {
      expect(this.real.pending(source)).toBe(this.naive.pending(source))
      expect(this.real.nextOf(source)).toBe(this.naive.nextOf(source))
    }
  }
}

/** A world whose events beget events, some of them at once; `log` is everything that can be seen of it. */
function begetting(seed: number): { readonly timeline: Timeline; readonly log: Array<Ran> } {
  const timeline = makeTimeline()
  const log: Array<Ran> = []
  const random = makePrng(seed)
  const lanes: Array<number> = []
  for (let lane = 0; lane < 3; lane++) {
    const source = timeline.addLane(
      `lane ${lane}`,
      (argument) => {
        log.push({ source, argument, atPs: timeline.nowPs })
        const next = random.below(3)
        timeline.setTimer(timer, timeline.nowPs + random.below(20))
        if (timeline.pending(lanes[next]!) < 16) {
          timeline.push(lanes[next]!, timeline.nowPs + random.below(6), argument + 1)
        }
        if (random.below(4) === 0) timeline.clearTimer(timer)
      },
      16
    )
    lanes.push(source)
  }
  const timer = timeline.addTimer("timer", () => {
    log.push({ source: timer, argument: 0, atPs: timeline.nowPs })
    if (timeline.pending(lanes[0]!) < 16) timeline.push(lanes[0]!, timeline.nowPs, 0)
  })
  timeline.push(lanes[0]!, 0, 0)
  return { timeline, log }
}

describe("timeline", () => {
  test.prop([commands], { numRuns: 500 })("does what an unsorted list does", (commands) => {
    const pair = new Pair()
    for (const command of commands) {
      pair.apply(command)
      pair.check()
    }
    expect(pair.real.eventsRun).toBe(pair.naive.ran.length)
  })

  test.prop([fc.nat(), fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 20 })], { numRuns: 100 })(
    "any slicing gives the same run",
    (seed, slices) => {
      const endPs = 500
      const whole = begetting(seed)
      whole.timeline.runUntil(endPs, 1_000_000)
      const sliced = begetting(seed)
      for (let slice = 0; ; slice++) {
        const eventsMax = slices[slice % slices.length]!
        if (sliced.timeline.runUntil(endPs, eventsMax) < eventsMax) break
      }
      expect(sliced.log).toEqual(whole.log)
      expect(sliced.timeline.eventsRun).toBe(whole.timeline.eventsRun)
      expect(sliced.timeline.nowPs).toBe(endPs)
      expect(whole.log.length).toBeGreaterThan(10)
    }
  )

  test.prop([fc.nat(), fc.array(fc.nat({ max: 500 }))], { numRuns: 100 })(
    "any stops on the way give the same run",
    (seed, stops) => {
      const whole = begetting(seed)
      whole.timeline.runUntil(500, 1_000_000)
      const stopped = begetting(seed)
      for (const stop of [...stops.toSorted((left, right) => left - right), 500]) {
        stopped.timeline.runUntil(stop, 1_000_000)
        expect(stopped.timeline.nowPs).toBe(stop)
      }
      expect(stopped.log).toEqual(whole.log)
    }
  )

  it("orders events of one instant by source, then first in first out", () => {
    const timeline = makeTimeline()
    const order: Array<string> = []
    const sources = [0, 1, 2, 3].map((lane) => timeline.addLane(`${lane}`, (arg) => order.push(`${lane}.${arg}`), 4))
    for (const argument of [0, 1]) for (const lane of [2, 0, 3, 1]) timeline.push(sources[lane]!, 7, argument)
    timeline.runUntil(7, 100)
    expect(order).toEqual(["0.0", "0.1", "1.0", "1.1", "2.0", "2.1", "3.0", "3.1"])
  })

  it("refuses a full lane, the past, times that are no numbers, and arguments that are too large", () => {
    const timeline = makeTimeline()
    const lane = timeline.addLane("lane", () => {}, 2)
    const timer = timeline.addTimer("timer", () => {})
    timeline.push(lane, 10, 0)
    timeline.push(lane, 10, 1)
    expect(() => timeline.push(lane, 10, 2)).toThrow("a lane is full: lane")
    timeline.runUntil(20, 100)
    expect(() => timeline.push(lane, 19, 0)).toThrow("into the past")
    expect(() => timeline.setTimer(timer, 19)).toThrow("into the past: timer")
    expect(() => timeline.push(lane, NaN, 0)).toThrow()
    expect(() => timeline.push(lane, 20, -1)).toThrow("out of range")
    expect(() => timeline.push(lane, 20, ARGUMENT_LIMIT)).toThrow("out of range")
    expect(() => timeline.setTimer(timer, NaN)).toThrow()
    expect(() => timeline.runUntil(19, 100)).toThrow()
    expect(timeline.nowPs).toBe(20)
    expect(timeline.pending(lane)).toBe(0)
  })

  it("runs to the last event when there is no end, and stays there", () => {
    const timeline = makeTimeline()
    let count = 0
    const timer = timeline.addTimer("timer", () => count++)
    timeline.setTimer(timer, 5)
    expect(timeline.runUntil(NEVER_PS, 100)).toBe(1)
    expect(timeline.runUntil(NEVER_PS, 100)).toBe(0)
    expect([count, timeline.nowPs]).toEqual([1, 5])
  })

  it("lets a handler add sources beyond the room that there was", () => {
    const timeline = makeTimeline()
    const order: Array<number> = []
    const grow = timeline.addTimer("grow", () => {
      for (let index = 0; index < 100; index++) {
        const timer = timeline.addTimer(`${index}`, (argument) => order.push(argument), index)
        timeline.setTimer(timer, timeline.nowPs + 1 + (index % 10))
      }
    })
    timeline.setTimer(grow, 1)
    expect(timeline.runUntil(100, 1000)).toBe(101)
    const expected = Array.from({ length: 100 }, (_, index) => index)
    expect(order).toEqual(expected.toSorted((left, right) => (left % 10) - (right % 10) || left - right))
  })

  it("runs an event that a handler schedules at its own instant", () => {
    const timeline = makeTimeline()
    const times: Array<number> = []
    let left = 3
    const timer = timeline.addTimer("again", () => {
      times.push(timeline.nowPs)
      if (--left > 0) timeline.setTimer(timer, timeline.nowPs)
    })
    timeline.setTimer(timer, 4)
    timeline.runUntil(4, 100)
    expect(times).toEqual([4, 4, 4])
  })

  it("knows inside a handler what is due next", () => {
    const timeline = makeTimeline()
    const seen: Array<readonly [number, number, number]> = []
    const look = (): void => void seen.push([timeline.nowPs, timeline.nextOf(first), timeline.nextDuePs])
    const first = timeline.addTimer("first", () => {
      look()
      if (timeline.nowPs > 2) return
      timeline.setTimer(first, 8)
      look()
      timeline.setTimer(second, 6)
      look()
    })
    const second = timeline.addTimer("second", look)
    timeline.setTimer(first, 2)
    timeline.runUntil(10, 100)
    expect(seen).toEqual([
      [2, NEVER_PS, NEVER_PS],
      [2, 8, 8],
      [2, 8, 6],
      [6, 8, 8],
      [8, NEVER_PS, NEVER_PS]
    ])
  })

  it("lets a handler run the world on, and goes on after one that threw", () => {
    const timeline = makeTimeline()
    const times: Array<number> = []
    const inner = timeline.addTimer("inner", () => {
      times.push(timeline.nowPs)
      if (timeline.nowPs < 30) timeline.setTimer(inner, timeline.nowPs + 5)
    })
    const outer = timeline.addTimer("outer", () => {
      timeline.setTimer(inner, 10)
      timeline.setTimer(outer, 40)
      timeline.runUntil(20, 100)
      times.push(timeline.nowPs + 0.5)
      if (timeline.pending(broken) === 0) timeline.setTimer(broken, 50)
    })
    const broken = timeline.addTimer("broken", () => {
      timeline.setTimer(broken, 60)
      throw new Error("broken")
    })
    timeline.setTimer(outer, 1)
    expect(() => timeline.runUntil(39, 100)).not.toThrow()
    expect(times).toEqual([10, 15, 20, 20.5, 25, 30])
    timeline.clearTimer(outer)
    for (const atPs of [50, 60]) {
      expect(() => timeline.runUntil(100, 100)).toThrow("broken")
      expect(timeline.nowPs).toBe(atPs)
    }
  })
})
