/**
 * The benchmark program: threads that map and unmap, on the CPUs of a simulated machine.
 *
 *     fill    what the threads' patterns keep mapped is mapped; then all begin together
 *     pairs   map · delay · unmap · loop, until the thread has mapped as often as it was told to
 *     empty   it unmaps what is left
 *
 * The loop is the program's own time: what the kernel's map_benchmark spends on dirtying its buffer and on reading
 * the clock. MODEL: it is uniform between 0 and twice its mean. Without it CPUs fall into step and pass a lock on
 * in a cycle in which nobody ever meets anybody, or everybody always does.
 *
 * With more threads than CPUs the threads take turns: a CPU that has run one for a time slice puts it at the end
 * of the queue and takes the first of it. MODEL: a thread loses its CPU between two operations, never within one,
 * and the queue is one for all CPUs, which is what balancing comes to.
 */
import type { SimulationCore } from "@vnic/sim"
import { ACCOUNTS, spreadOverCores } from "@vnic/sim"
import type { Mapper } from "./mapper.ts"
import type { Slots } from "./patterns.ts"
import type { Sampler, Verdict } from "./sampling.ts"

const ACCOUNT = ACCOUNTS.indexOf("benchmark")
const NO_THREAD = -1
/** Of a slot without a mapping. */
const NOT_MAPPED = -1
/** CPUs begin within so long of each other. */
const START_SPREAD_PS = 10_000_000
/** Pairs of each CPU, of which no round has any, after CPUs began or were shifted against each other. */
const SETTLING_PAIRS = 8
const START_STREAM = 1
const LOOP_STREAM = 3

export type Histogram = ReturnType<SimulationCore["histogram"]>

export interface BenchmarkOptions {
  readonly world: SimulationCore
  readonly mapper: Mapper
  readonly slots: Slots
  readonly threads: number
  /** Maps of each thread; as many unmaps. */
  readonly ops: number
  /** Busy-wait between a map and an unmap. */
  readonly delayPs: number
  /** The buffer of each slot of each thread. */
  readonly buffers: Int32Array
  /** Watches the pairs; absent, the run goes to its end. */
  readonly sampler: Sampler | undefined
  /** Called when a round of the sample begins. */
  readonly onRoundBegin: () => void
  /** Called when one has ended; whether the sampling, or the whole run, goes on. */
  readonly onRound: (verdict: Exclude<Verdict, "more">) => "sample" | "whole" | "stop"
}

/** Times of the two calls, picoseconds. */
export interface Times {
  readonly map: Histogram
  readonly unmap: Histogram
}

/** The first slots of all threads, then their second ones, and so on. */
const fillOrder = ({ slots, threads }: BenchmarkOptions, filledEach: number): Int32Array => {
  const order = new Int32Array(threads * filledEach)
  for (let index = 0; index < order.length; index++) {
    order[index] = (index % threads) * slots.perThread + slots.fillSlot(Math.floor(index / threads))
  }
  return order
}

export class Benchmark {
  /** The pairs are over, or the sample is good, or a map failed. */
  isOver = false
  /** CPUs that run threads, in the order in which these were placed. */
  declare readonly cpus: ReadonlyArray<number>
  /** Pairs that have ended, of each thread and of each CPU. */
  declare readonly pairsOfThread: Float64Array
  declare readonly pairsOfCpu: Float64Array
  /** When each thread had its last pair behind it; 0 before. */
  declare readonly endedPs: Float64Array
  /** The first map that failed, by how many were live then. */
  failedWithLive: number | undefined
  /** Of all pairs, and of those of the round. */
  declare readonly times: Times
  declare readonly roundTimes: Times
  private liveCount = 0
  private endedCount = 0
  private filledCount = 0
  private sleepers = 0
  private queueHead = 0
  private queueLength = 0
  private sampler: Sampler | undefined
  /** Pairs until a round begins. */
  private settlingPairs = 0
  declare private readonly options: BenchmarkOptions
  declare private readonly host: SimulationCore["cpus"]
  declare private readonly localPs: Float64Array
  declare private readonly threadOf: Int32Array
  declare private readonly slotOf: Int32Array
  declare private readonly askedPs: Float64Array
  declare private readonly sliceEndPs: Float64Array
  /** How long each CPU stands back before its next pair. */
  declare private readonly pausePs: Float64Array
  declare private readonly prng: ReturnType<SimulationCore["prng"]>
  declare private readonly loopPrng: ReturnType<SimulationCore["prng"]>
  /** The loop takes less than this. */
  declare private readonly loopBoundPs: number
  /** thread * slots + slot of what is filled, in order. */
  declare private readonly fillOrder: Int32Array
  /** Slots of a thread that have been looked at while it emptied them. */
  declare private readonly emptied: Int32Array
  declare private readonly mapsLeft: Float64Array
  declare private readonly bus: Float64Array
  declare private readonly queue: Int32Array
  declare private readonly turn: number
  declare private readonly filledStep: number
  declare private readonly mapped: number
  declare private readonly unmapped: number
  declare private readonly emptiedStep: number

  constructor(options: BenchmarkOptions) {
    const { ops, slots, threads, world } = options
    const { cpus: host, profile } = world
    this.options = options
    this.sampler = options.sampler
    this.host = host
    this.localPs = host.localPs
    this.cpus = spreadOverCores(host.count, profile.coreCount).slice(0, threads)
    this.times = { map: world.histogram(), unmap: world.histogram() }
    this.roundTimes = { map: world.histogram(), unmap: world.histogram() }
    this.threadOf = new Int32Array(host.count).fill(NO_THREAD)
    this.slotOf = new Int32Array(host.count)
    this.askedPs = new Float64Array(host.count)
    this.pausePs = new Float64Array(host.count)
    this.sliceEndPs = new Float64Array(host.count)
    this.pairsOfThread = new Float64Array(threads)
    this.pairsOfCpu = new Float64Array(host.count)
    this.endedPs = new Float64Array(threads)
    this.emptied = new Int32Array(threads)
    const filledEach = Math.min(slots.fillCount, ops)
    this.fillOrder = fillOrder(options, filledEach)
    this.mapsLeft = new Float64Array(threads).fill(ops - filledEach)
    this.bus = new Float64Array(threads * slots.perThread).fill(NOT_MAPPED)
    this.queue = new Int32Array(threads)
    this.turn = host.define("benchmark: turn", (cpu) => this.takeTurn(cpu))
    const fill = host.define("benchmark: fill", (cpu) => this.fillNext(cpu))
    this.filledStep = host.define("benchmark: filled", (cpu) => this.fillDone(cpu, fill))
    this.mapped = host.define("benchmark: mapped", (cpu) => this.mapDone(cpu))
    this.unmapped = host.define("benchmark: unmapped", (cpu) => this.unmapDone(cpu))
    this.emptiedStep = host.define("benchmark: emptied", (cpu) => this.emptyDone(cpu))
    this.prng = world.prng(START_STREAM)
    this.loopPrng = world.prng(LOOP_STREAM)
    this.loopBoundPs = 2 * profile.benchmarkLoop + 1
    for (const cpu of this.cpus) host.wake(cpu, fill)
  }

  private readonly fillNext = (cpu: number): number => {
    const { buffers, mapper } = this.options
    if (this.filledCount < this.fillOrder.length && !this.isOver) {
      const at = this.fillOrder[this.filledCount++]!
      this.slotOf[cpu] = at
      return mapper.beginMap(cpu, buffers[at]!, this.filledStep)
    }
    const next = this.host.sleep(cpu)
    this.sleepers++
    if (this.sleepers === this.cpus.length) this.open()
    return next
  }

  private readonly fillDone = (cpu: number, fill: number): number => {
    this.keep(cpu, this.slotOf[cpu]!)
    return this.host.lookAgain(cpu, fill)
  }

  /** All slots are filled: as many threads start as there are CPUs, the others queue. */
  private readonly open = (): void => {
    const { threads } = this.options
    this.settlingPairs = SETTLING_PAIRS * this.cpus.length
    for (let thread = this.cpus.length; thread < threads; thread++) this.enqueue(thread)
    for (const [index, cpu] of this.cpus.entries()) {
      this.threadOf[cpu] = index
      this.host.wake(cpu, this.turn)
    }
  }

  private readonly enqueue = (thread: number): void => {
    const { queue } = this
    queue[(this.queueHead + this.queueLength) % queue.length] = thread
    this.queueLength++
  }

  private readonly dequeue = (): number => {
    const { queue, queueHead } = this
    this.queueHead = (queueHead + 1) % queue.length
    this.queueLength--
    return queue[queueHead]!
  }

  /** Between two operations: the slice may be over, the thread may have done all its pairs. */
  private readonly takeTurn = (cpu: number): number => {
    if (this.isOver) return this.host.sleep(cpu)
    if (this.pausePs[cpu]! > 0) return this.pause(cpu)
    if (this.localPs[cpu]! >= this.sliceEndPs[cpu]!) return this.endSlice(cpu)
    const thread = this.threadOf[cpu]!
    if (this.mapsLeft[thread] === 0) return this.emptyNext(cpu, thread)
    const { buffers, mapper, slots } = this.options
    const slot = slots.mapSlot(thread)
    this.mapsLeft[thread]! -= 1
    this.slotOf[cpu] = slot
    this.askedPs[cpu] = this.localPs[cpu]!
    return mapper.beginMap(cpu, buffers[thread * slots.perThread + slot]!, this.mapped)
  }

  /** The timer's interrupt: the next thread takes its turn, and what was put off may be done. */
  private readonly endSlice = (cpu: number): number => {
    const { host } = this
    const { contextSwitch, timeSlice } = this.options.world.profile
    if (this.sliceEndPs[cpu] === 0) {
      // CPUs neither begin at the same instant nor change threads at the same instant.
      host.waitFor(cpu, ACCOUNT, this.prng.below(START_SPREAD_PS))
      this.sliceEndPs[cpu] = this.localPs[cpu]! + 1 + this.prng.below(timeSlice)
    } else {
      if (this.queueLength > 0) {
        this.enqueue(this.threadOf[cpu]!)
        this.threadOf[cpu] = this.dequeue()
        host.spend(cpu, ACCOUNT, contextSwitch)
      }
      this.sliceEndPs[cpu] = this.localPs[cpu]! + timeSlice
    }
    const next = host.sleep(cpu)
    host.wake(cpu, this.turn)
    return next
  }

  /** Notes where a slot was mapped; false when it could not be. */
  private readonly keep = (cpu: number, at: number): boolean => {
    const busAddr = this.options.mapper.mapped[cpu]!
    if (busAddr < 0) {
      this.failedWithLive ??= this.liveCount
      this.isOver = true
      return false
    }
    this.liveCount++
    this.bus[at] = busAddr
    return true
  }

  private readonly mapDone = (cpu: number): number => {
    const { delayPs, slots } = this.options
    const thread = this.threadOf[cpu]!
    const tookPs = this.localPs[cpu]! - this.askedPs[cpu]!
    this.times.map.record(tookPs)
    this.roundTimes.map.record(tookPs)
    if (!this.keep(cpu, thread * slots.perThread + this.slotOf[cpu]!)) return this.host.sleep(cpu)
    if (delayPs > 0) this.host.waitFor(cpu, ACCOUNT, delayPs)
    this.askedPs[cpu] = this.localPs[cpu]!
    return this.unmap(cpu, thread, slots.unmapSlot(thread), this.unmapped)
  }

  private readonly unmap = (cpu: number, thread: number, slot: number, then: number): number => {
    const { buffers, mapper, slots } = this.options
    const at = thread * slots.perThread + slot
    const busAddr = this.bus[at]!
    this.bus[at] = NOT_MAPPED
    this.liveCount--
    return mapper.beginUnmap(cpu, buffers[at]!, busAddr, then)
  }

  private readonly unmapDone = (cpu: number): number => {
    const localPs = this.localPs[cpu]!
    const tookPs = localPs - this.askedPs[cpu]!
    this.times.unmap.record(tookPs)
    this.roundTimes.unmap.record(tookPs)
    this.pairsOfThread[this.threadOf[cpu]!]! += 1
    this.pairsOfCpu[cpu]! += 1
    if (this.sampler !== undefined) this.watch(this.sampler, localPs)
    this.host.spend(cpu, ACCOUNT, this.loopPrng.below(this.loopBoundPs))
    return this.host.lookAgain(cpu, this.turn)
  }

  private readonly watch = (sampler: Sampler, atPs: number): void => {
    if (this.settlingPairs > 0) {
      if (--this.settlingPairs === 0) this.beginRound(sampler, atPs)
      return
    }
    const verdict = sampler.pairEnded(atPs)
    if (verdict !== "more") this.roundEnded(verdict)
  }

  private readonly beginRound = (sampler: Sampler, atPs: number): void => {
    sampler.begin(atPs)
    this.roundTimes.map.reset()
    this.roundTimes.unmap.reset()
    this.options.onRoundBegin()
  }

  private readonly roundEnded = (verdict: Exclude<Verdict, "more">): void => {
    const next = this.options.onRound(verdict)
    this.isOver = next === "stop"
    if (next === "whole") this.sampler = undefined
    if (next === "sample") this.mix()
  }

  /**
   * CPUs that queue for a lock do so in the same order for ever, and what they do depends on it a little. Each
   * stands back for a random part of a pair, so that the rounds of a sample have different orders. A round begins when
   * that has died away: meanwhile CPUs wait for locks that are free otherwise.
   */
  private readonly mix = (): void => {
    const { cpus } = this
    const pairPs = this.sampler!.estimate!.pairPs * cpus.length
    for (const cpu of cpus) this.pausePs[cpu] = this.prng.below(pairPs)
    this.settlingPairs = SETTLING_PAIRS * cpus.length
  }

  private readonly pause = (cpu: number): number => {
    const { pausePs } = this
    this.host.waitFor(cpu, ACCOUNT, pausePs[cpu]!)
    pausePs[cpu] = 0
    return this.host.lookAgain(cpu, this.turn)
  }

  private readonly emptyNext = (cpu: number, thread: number): number => {
    const { perThread } = this.options.slots
    let slot = this.emptied[thread]!
    while (slot < perThread && this.bus[thread * perThread + slot] === NOT_MAPPED) slot++
    this.emptied[thread] = slot
    if (slot < perThread) return this.unmap(cpu, thread, slot, this.emptiedStep)
    return this.endThread(cpu, thread)
  }

  private readonly emptyDone = (cpu: number): number => {
    const thread = this.threadOf[cpu]!
    this.pairsOfThread[thread]! += 1
    this.pairsOfCpu[cpu]! += 1
    return this.host.lookAgain(cpu, this.turn)
  }

  private readonly endThread = (cpu: number, thread: number): number => {
    this.endedPs[thread] = this.localPs[cpu]!
    this.endedCount++
    if (this.endedCount === this.endedPs.length) this.isOver = true
    if (this.queueLength === 0) return this.host.sleep(cpu)
    this.threadOf[cpu] = this.dequeue()
    return this.host.lookAgain(cpu, this.turn)
  }
}
