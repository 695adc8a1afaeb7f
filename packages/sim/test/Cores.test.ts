import { describe, expect, it } from "vitest"
import { coreOf, spreadOverCores } from "@vnic/sim/core"

/** Threads that each core of a host has. */
const threadsOf = (cpus: ReadonlyArray<number>, cpuCount: number, coreCount: number): ReadonlyArray<number> => {
  const threads = Array.from({ length: coreCount }, () => 0)
  for (const cpu of cpus) threads[coreOf(cpu, cpuCount, coreCount)]! += 1
  return threads
}

/** Every host of up to 33 CPUs on up to 9 cores. */
const hosts = Array.from({ length: 33 * 9 }, (_, index) => ({ cpuCount: (index % 33) + 1, coreCount: (index % 9) + 1 }))

describe("the cores of a host", () => {
  it("have neighbours for threads", () => {
    const coresOf = (cpuCount: number): ReadonlyArray<number> =>
      Array.from({ length: cpuCount }, (_, cpu) => coreOf(cpu, cpuCount, 4))
    expect(coresOf(4)).toEqual([0, 1, 2, 3])
    expect(coresOf(5)).toEqual([0, 0, 1, 2, 3])
    expect(coresOf(8)).toEqual([0, 0, 1, 1, 2, 2, 3, 3])
  })

  it("never differ by two threads, in whatever number of CPUs, first to last in the order of work", () => {
    for (const { coreCount, cpuCount } of hosts) {
      const order = spreadOverCores(cpuCount, coreCount)
      expect(order.toSorted((one, other) => one - other)).toEqual(Array.from({ length: cpuCount }, (_, cpu) => cpu))
      for (let used = 1; used <= cpuCount; used++) {
        const threads = threadsOf(order.slice(0, used), cpuCount, coreCount)
        expect(Math.max(...threads) - Math.min(...threads)).toBeLessThan(2)
      }
    }
  })

  it("are used in order", () => {
    expect(spreadOverCores(6, 3)).toEqual([0, 2, 4, 1, 3, 5])
    expect(spreadOverCores(3, 8)).toEqual([0, 1, 2])
  })
})
