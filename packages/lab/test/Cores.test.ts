import { describe, expect, it } from "vitest"
import { builtin, runOf } from "./support/scenarios.ts"

describe("work on the cores of a host", () => {
  it("is not slowed by CPUs that idle beside it: 8 queues on 8 and more CPUs of 8 cores", async () => {
    const [eight, ...more] = await Promise.all(
      [8, 9, 12, 15, 16, 32].map((cpus) => runOf(builtin("smoke", "map-per-packet", [`host.cpus=${cpus}`])))
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
