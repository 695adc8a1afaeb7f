/** An IOVA allocator on simulated CPUs: one operation at a time, or all CPUs at once with every range's life noted. */
import { makeCpus, makePrng, makeTimeline, type Cpus, type Timeline } from "@vnic/sim/core"
import { IOVA_NONE, type IovaAllocator, type IovaCosts, type IovaWindow } from "../../src/core/iova/allocator.ts"

export const IOVA_COSTS: IovaCosts = {
  bitmapSearchPs: 50_000,
  bitmapWordPs: 1000,
  treeSearchPs: 60_000,
  treeVisitPs: 10_000,
  magazinePs: 20_000,
  constantPs: 15_000
}
export const LOCK_ACQUIRE_PS = 40_000

export interface World {
  readonly cpus: Cpus
  readonly timeline: Timeline
  readonly window: IovaWindow
}

/** CPUs and a window of 1024 pages, of which page 0 is reserved. */
export function makeWorld(cpuCount: number, changes: Partial<IovaWindow> = {}): World {
  const timeline = makeTimeline()
  const cpus = makeCpus(timeline, {
    cpuCount,
    threadsPerCore: 1,
    speedShares: [1],
    lockAcquirePs: LOCK_ACQUIRE_PS,
    lockHandOffPs: 10_000,
    lockHandOffPerWaiterPs: 0
  })
  const window: IovaWindow = {
    pageCount: 1024,
    pageShift: 12,
    startPage: 0,
    isFirstPageReserved: true,
    reserved: [],
    host: cpus,
    costs: IOVA_COSTS,
    tableName: "IOVA",
    pagesBelow4GiB: 1 << 20,
    lockAcrossTableWrite: "both",
    ...changes
  }
  return { cpus, timeline, window }
}

/** Calls at once, on whichever CPU. */
export interface Calls {
  allocate(
    pages: number,
    alignment?: number,
    reach?: number,
    cpu?: number,
    physPage?: number,
    boundary?: number
  ): number
  free(first: number, pages: number, cpu?: number): void
}

/** Runs an allocator's operations alone, as a map and an unmap would. */
export function makeCalls(world: World, allocator: IovaAllocator): Calls {
  const { cpus, window } = world
  const request = { pages: 0, alignment: 1, reach: 0, physPage: -1, boundary: 0, first: 0 }
  const leave = cpus.define("done", (cpu) => cpus.leave(cpu))
  const end = cpus.define("allocated", (cpu) => {
    if (allocator.firsts[cpu] !== IOVA_NONE) allocator.endAllocate(cpu)
    return cpus.leave(cpu)
  })
  const allocate = cpus.define("allocate", (cpu) => {
    const { alignment, boundary, pages, physPage, reach } = request
    return allocator.beginAllocate(cpu, pages, alignment, reach, physPage, end, boundary)
  })
  const free = cpus.define("free", (cpu) => allocator.beginFree(cpu, request.first, request.pages, leave))
  const remove = cpus.define("remove", (cpu) => allocator.beginRemove(cpu, free))
  return {
    allocate: (pages, alignment = 1, reach = window.pageCount, cpu = 0, physPage = -1, boundary = 0) => {
      Object.assign(request, { pages, alignment, reach, physPage, boundary })
      cpus.runAlone(cpu, allocate)
      return allocator.firsts[cpu]!
    },
    free: (first, pages, cpu = 0) => {
      Object.assign(request, { first, pages })
      cpus.runAlone(cpu, remove)
    }
  }
}

/** What one range was, and from when to when, on the clocks of the CPUs that allocated and freed it. */
export interface Life {
  readonly first: number
  readonly pages: number
  readonly fromPs: number
  toPs: number
}

export interface HammerOptions {
  readonly rounds: number
  /** Ranges that a CPU has before it frees one for each that it allocates. */
  readonly depth: number
  /** Pages of a request: 1 to this. */
  readonly pagesMax: number
  /** Which of its ranges a CPU frees. */
  readonly order: "fifo" | "random"
  /** Does the next CPU free them? */
  readonly isHandedOn?: boolean
  readonly seed?: number
}

export interface Hammered {
  readonly lives: ReadonlyArray<Life>
  readonly failures: number
}

/** All CPUs allocate and free for so many rounds, with table writes in between, then free what they have. */
export function hammer(world: World, allocator: IovaAllocator, options: HammerOptions): Hammered {
  const { cpus, timeline, window } = world
  const prng = makePrng(options.seed ?? 1)
  const lives: Array<Life> = []
  const { count } = cpus
  /** Ranges that each CPU is to free, the one that it frees now, and whether it has allocated all of its own. */
  const held: Array<Array<Life>> = Array.from({ length: count }, () => [])
  const freed: Array<Life> = []
  const isDone = Array.from({ length: count }, () => false)
  const left = new Int32Array(count).fill(options.rounds)
  const sizes = new Int32Array(count)
  const shift = options.isHandedOn === true ? 1 : 0
  let failures = 0
  const next = cpus.define("next", (cpu) => {
    const mine = held[cpu]!
    const index = options.order === "fifo" ? 0 : prng.below(Math.max(1, mine.length))
    const isFull = mine.length >= (left[cpu]! > 0 ? options.depth : 1)
    cpus.spend(cpu, 0, prng.below(300_000))
    // What another CPU hands on is there only when this CPU's time has come to it.
    if (isFull && mine[index]!.fromPs <= cpus.localPs[cpu]!) {
      freed[cpu] = mine.splice(index, 1)[0]!
      return allocator.beginRemove(cpu, free)
    }
    if (left[cpu]! > 0) {
      left[cpu]! -= 1
      sizes[cpu] = 1 + prng.below(options.pagesMax)
      return allocator.beginAllocate(cpu, sizes[cpu], 1, window.pageCount, -1, allocated)
    }
    isDone[cpu] = true
    if (mine.length === 0 && isDone[(cpu + count - shift) % count]) return cpus.sleep(cpu)
    cpus.spend(cpu, 0, 1_000_000)
    return cpus.lookAgain(cpu, next)
  })
  const allocated = cpus.define("allocated", (cpu) => {
    const first = allocator.firsts[cpu]!
    if (first === IOVA_NONE) {
      failures++
      return next
    }
    const life = { first, pages: sizes[cpu]!, fromPs: cpus.localPs[cpu]!, toPs: Infinity }
    lives.push(life)
    held[(cpu + shift) % count]!.push(life)
    cpus.spend(cpu, 0, 100_000)
    allocator.endAllocate(cpu)
    return next
  })
  const free = cpus.define("free", (cpu) => {
    const life = freed[cpu]!
    cpus.spend(cpu, 0, 100_000)
    life.toPs = cpus.localPs[cpu]!
    return allocator.beginFree(cpu, life.first, life.pages, next)
  })
  for (let cpu = 0; cpu < count; cpu++) cpus.wake(cpu, next)
  timeline.runUntil(Number.MAX_SAFE_INTEGER, 10_000_000)
  return { lives, failures }
}

/** Two ranges that had a page at the same time, or undefined. */
export function findClash(lives: ReadonlyArray<Life>): readonly [Life, Life] | undefined {
  const byPage = new Map<number, Array<Life>>()
  for (const life of lives) {
    for (let page = life.first; page < life.first + life.pages; page++) {
      const list = byPage.get(page)
      if (list === undefined) byPage.set(page, [life])
      else list.push(life)
    }
  }
  for (const list of byPage.values()) {
    list.sort((one, other) => one.fromPs - other.fromPs)
    for (let index = 1; index < list.length; index++) {
      if (list[index - 1]!.toPs > list[index]!.fromPs) return [list[index - 1]!, list[index]!]
    }
  }
  return undefined
}
