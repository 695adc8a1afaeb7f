/** Settings that are good one by one and impossible together: each is refused, with what would be right. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { windowBytesMaxOf } from "@vnic/traffic"
import { describe, expect, it } from "vitest"
import { parseScenario } from "../src/Scenario.ts"
import { worldLayer } from "../src/World.ts"

const problems = (text: string, settings: ReadonlyArray<string> = []): ReadonlyArray<string> => {
  const exit = Effect.runSyncExit(parseScenario(text, "mine.yaml", settings).pipe(Effect.flip))
  return Exit.isSuccess(exit) ? exit.value.message.split("\n") : []
}

describe("impossible combinations", () => {
  it.each([
    [
      "dma: { backend: direct }",
      "dma.backend: direct hands physical addresses to a device behind an IOMMU (iommu.kind is tce); " +
        "set dma.backend: iommu, or iommu.kind: none"
    ],
    [
      "iommu: { kind: none }",
      "iommu.kind: does not go with dma.backend, since " +
        "iommu needs an IOMMU, and iommu.kind is none; set dma.backend: direct, or iommu.kind: tce"
    ],
    [
      "dma: { backend: window }\niommu: { kind: none }",
      "dma.backend: window needs an IOMMU, and iommu.kind is none; set dma.backend: direct, or iommu.kind: tce"
    ],
    [
      "dma: { backend: window }\niommu: { window: 64 MiB }\nhost: { memory: 128 MiB }",
      "iommu.window: 64 MiB does not hold all of memory; at least 128 MiB"
    ],
    [
      "dma: { backend: bounce }\niommu: { kind: none }\nnic: { queues: 8 }\nhost: { memory: 64 MiB }",
      "dma.backend: bounce has a buffer of 16 MiB (a quarter of host.memory, 64 MiB at most), which does not hold " +
        "the buffers of nic.queues and nic.rx.descriptors, 32800 KiB with map-per-packet; " +
        "256 MiB of memory would do, or shorter rings"
    ],
    [
      "dma: { flush: lazy-per-cpu }",
      "dma.flush: lazy-per-cpu waits with flushes, and a table of TCEs needs none: an entry that is cleared is gone; " +
        "set dma.flush: strict, or a profile with iommu.kind: vtd"
    ],
    [
      "driver: { strategy: direct }",
      "driver.strategy: direct works without an IOMMU, and iommu.kind is tce; " +
        "set iommu.kind: none and dma.backend: direct"
    ],
    ["iommu: { kind: vtd }", "iommu.kind: vtd is not what power7-pseries has; set iommu.kind: tce, or another profile"],
    [
      "profile: x86-sandybridge",
      "profile: does not go with iommu.kind, since " +
        "tce is not what x86-sandybridge has; set iommu.kind: vtd, or another profile"
    ],
    [
      "profile: x86-sandybridge\niommu: { kind: none }",
      "iommu.kind: does not go with dma.backend, since " +
        "iommu needs an IOMMU, and iommu.kind is none; set dma.backend: direct, or iommu.kind: vtd"
    ],
    ["nic: { queues: 9 }", "nic.queues: 9 queues need a CPU each, and host.cpus is 8; at most 8"],
    ["host: { cpus: 64 }", "host.cpus: 64 is more than the 32 hardware threads of power7-pseries"],
    [
      "link: { mtu: 9000 B }",
      "link.mtu: 9000 B makes jumbo frames, which the device is not set up for; at most 1500 B"
    ],
    [
      "traffic: { kind: closed-loop, frame: 1600 B }",
      "traffic.frame: 1600 B is too large; at most 1518 B, the longest at link.mtu 1500 B"
    ],
    [
      "traffic: { kind: closed-loop, frame: 64 B, timestamps: true }",
      "traffic.frame: 64 B leaves no room for payload; at least 71 B"
    ],
    ["traffic: { kind: closed-loop, window: 1000 B }", "traffic.window: 1000 B is smaller than one segment of 1460 B"],
    [
      "traffic: { kind: closed-loop, window: 1 GiB }",
      "traffic.window: 1 GiB is too large for 16 streams; 255 MiB would do"
    ],
    [
      "host: { memory: 100000001 B }",
      "host.memory: 100000001 B is not a multiple of 64 KiB, a page of power7-pseries; " +
        "97600 KiB or 97664 KiB would do"
    ],
    ["host: { memory: 2 GiB }", "host.memory: 2 GiB is too large; at most 1984 MiB"],
    ["traffic: { kind: open-loop, rate: 20 Gb/s }", "traffic.rate: 20 Gb/s is more than the link's 10 Gb/s"],
    [
      "link: { mtu: 1000 B }\ntraffic: { kind: open-loop }",
      "link.mtu: does not go with traffic.sizes, since " +
        "imix, with frames of 1518 B, is too large; at most 1018 B, the longest at link.mtu 1000 B"
    ]
  ])("%j", (text, message) => {
    const found = problems(text)
    expect(found.map((line) => line.replace(/^\S+ /u, ""))).toEqual([message])
  })

  it("of a window with the buffers are computed for each strategy", () => {
    const window = (strategy: string, size: string): ReadonlyArray<string> =>
      problems(`iommu: { window: ${size} }\ndriver: { strategy: ${strategy} }`)
    expect(window("map-per-packet", "64 MiB")[0]).toContain("at least 67328 KiB with map-per-packet and bitmap")
    expect(window("map-per-packet", "67328 KiB")).toEqual([])
    expect(window("page-chunk", "14 MiB")[0]).toContain("at least 15040 KiB with page-chunk and bitmap")
    expect(window("page-chunk", "15040 KiB")).toEqual([])
  })

  it("of memory with buffers and table", () => {
    expect(problems("host: { memory: 8 MiB }")[0]).toContain(
      "8 MiB does not hold the buffers and rings of nic.queues, nic.rx.descriptors and nic.tx.descriptors " +
        "and translation tables of 2112 KiB; at least 18112 KiB"
    )
    expect(problems("host: { memory: 18112 KiB }")).toEqual([])
  })

  it("leave worlds that can be built, up to the largest memory and windows", async () => {
    const build = (settings: ReadonlyArray<string>) => {
      const { runs } = Effect.runSync(parseScenario("traffic: { kind: closed-loop }", "mine.yaml", settings))
      const { scenario } = runs[0]!
      return Effect.runPromise(Effect.provide(Effect.void, worldLayer(scenario, { seed: 1, payloadCheck: "all" })))
    }
    await build(["host.memory=1984 MiB"])
    for (const [streams, frame] of [
      [1, 64],
      [3, 600],
      [4095, 1518],
      [4096, 800]
    ] as const) {
      const most = windowBytesMaxOf(streams, frame - 58)
      const settings = [`traffic.streams=${streams}`, `traffic.frame=${frame} B`]
      await build([...settings, `traffic.window=${Math.min(most, 2 ** 30)} B`])
      if (most < 2 ** 29)
        expect(problems("traffic: { kind: closed-loop }", [...settings, `traffic.window=${2 * most} B`])).toHaveLength(
          1
        )
    }
  })

  it("are found beside other mistakes, and not made up from them", () => {
    expect(problems("sed: 1\ndma: { backend: direct }").length).toBe(2)
    expect(problems("dma: { backend: direct }\niommu: { kind: non }")).toEqual([
      "mine.yaml:2:16 iommu.kind: non is not tce, vtd or none; did you mean none?"
    ])
  })

  it("of the table lock are those that are written for the allocator and the flush that have none", () => {
    const message = (rest: string): string =>
      `dma.lockAcrossTableWrite: both needs the bitmap with a strict flush, and ${rest}; ` +
      "set dma.lockAcrossTableWrite: none, or leave it out"
    expect(problems("dma: { allocator: rbtree, lockAcrossTableWrite: both }")).toEqual([
      `mine.yaml:1:49 ${message("dma.allocator is rbtree")}`
    ])
    expect(problems("seed: 1", ["dma.allocator=maple", "dma.lockAcrossTableWrite=both"])).toEqual([
      `--set ${message("dma.allocator is maple")}`
    ])
    const x86 = "profile: x86-sandybridge\niommu: { kind: vtd }"
    expect(problems(`${x86}\ndma: { flush: lazy-per-cpu, lockAcrossTableWrite: both }`)).toEqual([
      `mine.yaml:3:51 ${message("dma.flush is lazy-per-cpu")}`
    ])
    for (const text of [
      "dma: { allocator: rbtree, lockAcrossTableWrite: none }",
      `${x86}\ndma: { flush: lazy-per-cpu, lockAcrossTableWrite: none }`
    ]) {
      expect(problems(text)).toEqual([])
    }
  })

  it("are placed where a setting is written that they come from, nearest to the command line", () => {
    const needed = "8 queues need a CPU each, and host.cpus is 1; at most 1"
    const queues = `does not go with nic.queues, since ${needed}`
    expect(problems("nic: { queues: 8 }\nruns: { x: { host.cpus: 1 } }")).toEqual([
      `mine.yaml:2:25 host.cpus: ${queues} (run x)`
    ])
    expect(problems("nic: { queues: 8 }\nhost: { cpus: 1 }")).toEqual([`mine.yaml:1:16 nic.queues: ${needed}`])
    expect(problems("host: { cpus: 1 }")).toEqual([`mine.yaml:1:15 host.cpus: ${queues}`])
    expect(problems("nic: { queues: 8 }", ["host.cpus=1"])).toEqual([`--set host.cpus: ${queues}`])
    const iommu = "iommu.kind, since tce is not what x86-sandybridge has; set iommu.kind: vtd, or another profile"
    expect(problems("iommu: { kind: tce }\nruns: { a: { profile: x86-sandybridge }, b: {} }")).toEqual([
      `mine.yaml:2:23 profile: does not go with ${iommu} (run a)`
    ])
  })

  it("are judged after a run's changes", () => {
    expect(problems("dma: { backend: direct }\nruns: { a: { iommu.kind: none } }")).toEqual([])
  })
})
