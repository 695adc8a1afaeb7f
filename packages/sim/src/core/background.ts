/**
 * Work that a CPU has to do at a time, whatever else it does: what a kernel's timers start. It runs at once on
 * an idle CPU, else when the program that runs there has ended; a program that is woken meanwhile starts
 * behind it. MODEL: a timer's interrupt does not break into a running program.
 */
import type { Source, Timeline } from "./timeline.ts"

/** The CPUs as their background work needs them; numbers are those of Cpus. */
export interface BackgroundCpus {
  readonly count: number
  define(name: string, step: (cpu: number) => number): number
  call(cpu: number, entry: number, then: number): number
  sleep(cpu: number): number
  lookAgain(cpu: number, then: number): number
  /** Starts `step` on the CPU if it is idle. */
  startIdle(cpu: number, step: number): void
}

/** An event's argument is step * CPU_FACTOR + CPU. */
const CPU_FACTOR = 1024
/** Pieces of work that may wait for their time. */
const PENDING_MAX = 1 << 14

export class Background {
  /** The step that does what is due and ends. */
  declare readonly next: number
  /** Subroutines whose time has come, by CPU, oldest first. */
  declare private readonly due: ReadonlyArray<Array<number>>
  /** Where a program starts that was woken meanwhile; 0 when none was. */
  declare private readonly woken: Int32Array
  declare private readonly lane: Source
  declare private readonly timeline: Timeline
  declare private readonly cpus: BackgroundCpus

  constructor(timeline: Timeline, cpus: BackgroundCpus) {
    this.timeline = timeline
    this.cpus = cpus
    this.due = Array.from({ length: cpus.count }, () => [])
    this.woken = new Int32Array(cpus.count)
    this.next = cpus.define("background", (cpu) => this.goOn(cpu))
    this.lane = timeline.addLane("background", (argument) => this.fire(argument), PENDING_MAX)
  }

  /** Runs a subroutine at `atPs` or now, whichever is later. */
  readonly add = (cpu: number, atPs: number, entry: number): void => {
    this.timeline.push(this.lane, Math.max(atPs, this.timeline.nowPs), entry * CPU_FACTOR + cpu)
  }

  readonly isDue = (cpu: number): boolean => {
    return this.due[cpu]!.length > 0
  }

  /** A program was woken while background work ran: it starts when that is done. */
  readonly wakeBehind = (cpu: number, step: number): void => {
    this.woken[cpu] = step
  }

  private readonly fire = (argument: number): void => {
    const cpu = argument % CPU_FACTOR
    this.due[cpu]!.push((argument - cpu) / CPU_FACTOR)
    this.cpus.startIdle(cpu, this.next)
  }

  private readonly goOn = (cpu: number): number => {
    const entry = this.due[cpu]!.shift()
    if (entry !== undefined) return this.cpus.call(cpu, entry, this.next)
    const step = this.woken[cpu]!
    if (step === 0) return this.cpus.sleep(cpu)
    this.woken[cpu] = 0
    return this.cpus.lookAgain(cpu, step)
  }
}
