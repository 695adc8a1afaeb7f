/** The machine-repairman world: CPUs that think, ask for one lock, hold it, let it go, and think again. */
import { ACCOUNT_BENCHMARK, ACCOUNT_IOVA, type Cpus, makeCpus, makeTimeline, type Timeline } from "@vnic/sim/core"

export interface ClosedLoopOptions {
  readonly cpuCount: number
  readonly thinkPs: (cpu: number) => number
  readonly holdPs: (cpu: number) => number
  readonly lockAcquirePs?: number
  readonly lockHandOffPs?: number
  readonly lockHandOffPerWaiterPs?: number
}

export interface ClosedLoop {
  readonly timeline: Timeline
  readonly cpus: Cpus
  /** Times that each CPU let the lock go. */
  readonly released: Int32Array
  /** CPUs in the order of being granted the lock. */
  readonly order: Array<number>
}

/** All CPUs start to think at time 0. */
export function closedLoop(options: ClosedLoopOptions): ClosedLoop {
  const timeline = makeTimeline()
  const cpus = makeCpus(timeline, {
    cpuCount: options.cpuCount,
    threadsPerCore: 1,
    speedShares: [1],
    lockAcquirePs: options.lockAcquirePs ?? 0,
    lockHandOffPs: options.lockHandOffPs ?? 0,
    lockHandOffPerWaiterPs: options.lockHandOffPerWaiterPs ?? 0
  })
  const lock = cpus.makeLock("the lock")
  const released = new Int32Array(options.cpuCount)
  const order: Array<number> = []
  const think = cpus.define("think", (cpu) => {
    cpus.spend(cpu, ACCOUNT_BENCHMARK, options.thinkPs(cpu))
    return cpus.lock(cpu, lock, hold)
  })
  const hold = cpus.define("hold", (cpu) => {
    order.push(cpu)
    cpus.spend(cpu, ACCOUNT_IOVA, options.holdPs(cpu))
    cpus.unlock(cpu, lock)
    released[cpu]! += 1
    return think
  })
  for (let cpu = 0; cpu < options.cpuCount; cpu++) cpus.wake(cpu, think)
  return { timeline, cpus, released, order }
}
