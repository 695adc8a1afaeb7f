import { describe, expect, it } from "vitest"
import { spreadOverCores, threadsPerCoreOf } from "../src/Cores.ts"
import { builtin, runOf } from "./support/scenarios.ts"

describe("work on the cores of a host", () => {
  it("has a thread of each core before any core gets a second", () => {
    expect(spreadOverCores(3, 2)).toEqual([0, 2, 4, 1, 3, 5])
    expect([1, 8, 9, 16, 17, 32].map((cpus) => threadsPerCoreOf(cpus, 8))).toEqual([1, 1, 2, 2, 3, 4])
  })

  it("is not slowed by CPUs that idle beside it: 8 queues on 8, 16 and 32 CPUs of 8 cores", async () => {
    const [eight, ...more] = await Promise.all(
      [8, 16, 32].map((cpus) => runOf(builtin("smoke", "map-per-packet", [`host.cpus=${cpus}`])))
    )
    for (const result of more) {
      expect(result.goodputGbps).toBe(eight!.goodputGbps)
      expect(result.cpu.perCpu.filter((share) => share > 0).length).toBe(8)
    }
  })

  it("shares a core only where there are more queues than cores", async () => {
    const { cpu } = await runOf(builtin("smoke", "direct", ["host.cpus=16", "nic.queues=16"]))
    expect(cpu.perCpu.every((share) => share > 0)).toBe(true)
  })
})
