/** Settings that are written where they can have no effect are refused, wherever that is; what others leave is not. */
import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { describe, expect, it } from "vitest"
import { replayScenario } from "../src/ReplayScenario.ts"
import { parseScenario } from "../src/Scenario.ts"

const problems = (
  text: string,
  settings: ReadonlyArray<string> = [],
  only: ReadonlyArray<string> = []
): ReadonlyArray<string> => {
  const exit = Effect.runSyncExit(parseScenario(text, "mine.yaml", settings, only).pipe(Effect.flip))
  return Exit.isSuccess(exit) ? exit.value.message.split("\n") : []
}

const cascardo = readFileSync(new URL("../scenarios/cascardo-2013.yaml", import.meta.url), "utf8")
const VTD = "profile: x86-sandybridge\niommu: { kind: vtd }\n"

describe("a setting without effect", () => {
  it.each([
    [
      "profile: x86-sandybridge\niommu: { kind: vtd, window: 64 KiB, multiTce: false }",
      "mine.yaml:2:21 iommu.window: has no effect with iommu.kind vtd; leave it out",
      "mine.yaml:2:37 iommu.multiTce: has no effect with iommu.kind vtd; leave it out"
    ],
    [
      `${VTD}dma: { flush: lazy-global, flushGranularity: domain }`,
      "mine.yaml:3:28 dma.flushGranularity: has no effect with dma.flush lazy-global; leave it out"
    ],
    [
      "dma: { flushGranularity: page }",
      "mine.yaml:1:8 dma.flushGranularity: has no effect with iommu.kind tce; leave it out"
    ],
    [
      "dma: { backend: direct, allocator: rbtree, flush: strict }\niommu: { kind: none }",
      "mine.yaml:1:25 dma.allocator: has no effect with dma.backend direct; leave it out",
      "mine.yaml:1:44 dma.flush: has no effect with dma.backend direct; leave it out"
    ],
    [
      "measure: { duration: 1 ms }\nlink: { mtu: 1000 B }\ntraffic: { kind: replay, capture: a.pcap }",
      "mine.yaml:1:12 measure.duration: has no effect with traffic.kind replay, whose window is the whole capture; " +
        "leave it out",
      "mine.yaml:2:9 link.mtu: has no effect with traffic.kind replay, whose frames have their length; leave it out"
    ]
  ])("is refused: %j", (text, ...messages) => expect(problems(text)).toEqual(messages))

  it("is refused in the run, or on the command line, that writes it", () => {
    const kind = "has no effect with iommu.kind"
    const untranslated = "iommu.kind: none, dma.backend: direct"
    expect(problems(`runs: { a: { ${untranslated}, iommu.window: 1 MiB }, b: {} }`)).toEqual([
      `mine.yaml:1:53 iommu.window: ${kind} none; leave it out (run a)`
    ])
    expect(problems(VTD, ["iommu.window=1 MiB"])).toEqual([`--set iommu.window: ${kind} vtd; leave it out`])
    expect(problems("seed: 1", ["iommu.kind=none", "dma.backend=direct", "dma.flush=strict"])).toEqual([
      "--set dma.flush: has no effect with dma.backend direct; leave it out"
    ])
  })

  it("is one that has an effect in none of the runs that it is written for", () => {
    const window = ["iommu.window=128 MiB", "dma.lockAcrossTableWrite=none"]
    expect(problems(cascardo, window)).toEqual([])
    expect(problems(cascardo, window, ["page-chunk"])).toEqual([])
    expect(problems(cascardo, window, ["direct"])).toEqual([
      "--set iommu.window: has no effect with iommu.kind none; leave it out",
      "--set dma.lockAcrossTableWrite: has no effect with dma.backend direct; leave it out"
    ])
  })

  it("is none of the file's where a run or the command line leaves it behind", () => {
    expect(problems(cascardo, [], ["direct"])).toEqual([])
    const without = ["iommu.kind=none", "dma.backend=direct", "driver.strategy=direct"]
    expect(problems(cascardo, without)).toEqual([])
    expect(problems(cascardo, ["profile=x86-sandybridge", "iommu.kind=vtd"], ["page-chunk"])).toEqual([])
    expect(problems(cascardo, ["traffic.kind=replay", "traffic.capture=a.pcap"])).toEqual([])
    const run = `dma: { flushGranularity: domain }\nruns: { a: { profile: x86-sandybridge, iommu.kind: vtd }, b: {} }`
    expect(problems(run)).toEqual([])
    expect(problems(run, [], ["b"])).toEqual([])
  })
})

describe("a replay", () => {
  const refusal = (
    request: Omit<Parameters<typeof replayScenario>[0], "capture" | "rate" | "strategy"> & {
      readonly rate?: string
      readonly strategy?: string
    }
  ): string =>
    Effect.runSync(Effect.flip(replayScenario({ capture: "a.pcap", rate: undefined, strategy: undefined, ...request })))
      .message

  it("takes no setting that has no effect in it, and none twice", () => {
    expect(refusal({ settings: ["measure.duration=1 ms"] })).toBe(
      "--set measure.duration: has no effect with traffic.kind replay, whose window is the whole capture; leave it out"
    )
    expect(refusal({ strategy: "direct", settings: ["driver.strategy=page-chunk"] })).toBe(
      "--set driver.strategy: is what --strategy says as well; write one of them"
    )
    expect(refusal({ rate: "1 Gb/s", settings: ["traffic.rate=line"] })).toBe(
      "--set traffic.rate: is what --rate says as well; write one of them"
    )
    expect(refusal({ settings: ["seed=1", { flag: "--seed", path: "seed", value: 2 }] })).toBe(
      "--set seed: is what --seed says as well; write one of them"
    )
  })

  it("without translation may bounce", () => {
    const request = { capture: "a.pcap", rate: undefined, strategy: "direct" }
    const scenario = Effect.runSync(
      replayScenario({ ...request, settings: ["dma.backend=bounce", "nic.rx.descriptors=1024"] })
    )
    expect(scenario.runs[0]!.scenario).toMatchObject({ iommu: { kind: "none" }, dma: { backend: "bounce" } })
  })
})
