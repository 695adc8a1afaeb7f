import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { describe, expect, it } from "vitest"
import { nearestName } from "../src/Names.ts"
import { applySettings, parseScenario, resolveRuns, runNames } from "../src/Scenario.ts"
import type { Setting } from "../src/Overrides.ts"

const builtin = (name: string): string => readFileSync(new URL(`../scenarios/${name}.yaml`, import.meta.url), "utf8")
const cascardo = builtin("cascardo-2013")

const parse = (text: string, settings: ReadonlyArray<Setting> = []) =>
  Effect.runSync(parseScenario(text, "mine.yaml", settings))

const problems = (text: string, settings: ReadonlyArray<Setting> = []): ReadonlyArray<string> => {
  const exit = Effect.runSyncExit(parseScenario(text, "mine.yaml", settings).pipe(Effect.flip))
  return Exit.isSuccess(exit) ? exit.value.message.split("\n") : []
}

describe("built-in scenarios", () => {
  it("resolve the three runs of cascardo-2013", () => {
    const runs = resolveRuns(parse(cascardo))
    expect(runs.map(({ name }) => name)).toEqual(["direct", "map-per-packet", "page-chunk"])
    expect(runs.map(({ scenario }) => scenario.driver.strategy)).toEqual(["direct", "map-per-packet", "page-chunk"])
    expect(runs.map(({ scenario }) => scenario.iommu.kind)).toEqual(["none", "tce", "tce"])
    expect(runs.map(({ scenario }) => scenario.dma.backend)).toEqual(["direct", "iommu", "iommu"])
  })

  it("decode to integers that carry their unit", () => {
    expect(parse(cascardo).base).toEqual({
      about: "Cascardo 2013, receive, 16 TCP streams on an 8-core POWER7",
      profile: "power7-pseries",
      seed: 1,
      measure: { warmUpPs: 5e9, durationPs: 50e9 },
      link: { rateBitsPerSecond: 10e9, mtuBytes: 1500 },
      nic: {
        queues: 8,
        rx: { descriptors: 1024, dropEnable: true },
        tx: { descriptors: 512 },
        interruptIntervalPs: 16e6
      },
      host: { memoryBytes: 2 ** 28, cpus: 8 },
      iommu: { kind: "tce", windowBytes: 2 ** 30, multiTce: true },
      dma: {
        backend: "iommu",
        allocator: "bitmap",
        flush: "strict",
        flushGranularity: "page",
        lockAcrossTableWrite: "both",
        debug: true
      },
      driver: { strategy: "map-per-packet", budget: 64, tx: { small: "copy" } },
      traffic: {
        kind: "closed-loop",
        direction: "receive",
        streams: 16,
        placement: "even",
        windowBytes: 65_536,
        timestamps: false,
        ackDelayPs: 40e9
      }
    })
  })

  it("run the same world for a few milliseconds in smoke", () => {
    const smoke = parse(builtin("smoke"))
    expect(smoke.base.measure).toEqual({ warmUpPs: 2e9, durationPs: 1e9 })
    expect({ ...smoke.base, about: "", measure: {} }).toEqual({
      ...parse(cascardo).base,
      about: "",
      measure: {}
    })
    expect(smoke.runs.length).toBe(3)
  })

  it("leave nothing to be written but what differs from the defaults", () => {
    expect(parse("runs: {}").base).toEqual({ ...parse(cascardo).base, about: "" })
    expect(parse('{ "seed": 2 }').runs.map(({ name }) => name)).toEqual(["map-per-packet"])
  })
})

describe("settings of the command line", () => {
  it("win over the file and over its runs", () => {
    const scenario = parse(cascardo, ["driver.strategy=page-chunk", "link.mtu=1000 B", "nic.rx.descriptors=512"])
    expect(scenario.runs.slice(1).map((run) => run.scenario.driver.strategy)).toEqual(["page-chunk", "page-chunk"])
    expect(scenario.runs.every((run) => run.scenario.link.mtuBytes === 1000)).toBe(true)
    expect(scenario.base.nic.rx).toEqual({ descriptors: 512, dropEnable: true })
  })

  it("add up", () => {
    const twice = Effect.runSync(applySettings(parse(cascardo, ["seed=2"]), ["nic.queues=4"]))
    expect([twice.base.seed, twice.base.nic.queues]).toEqual([2, 4])
  })

  it("are checked like the file", () => {
    expect(problems(cascardo, ["nic.rx.descriptors=100", "foo", "driver.stategy=direct", "seed.x=1", "a=["])).toEqual([
      "--set foo: write path=value, as in nic.rx.descriptors=512 or link.mtu='1500 B'",
      "--set a=[: write path=value, as in nic.rx.descriptors=512 or link.mtu='1500 B'",
      "--set seed.x: seed has no settings inside it",
      "--set nic.rx.descriptors: 100 is not a multiple of 8; 96 or 104 would do",
      "--set driver.stategy: stategy is not a known key; did you mean strategy?"
    ])
    expect(problems(cascardo, [{ flag: "--seed", path: "seed", value: -1 }])).toEqual([
      "--seed: -1 is too small; at least 0"
    ])
  })

  it("change what they name in a section, as a run does, and leave the rest, unless they name its kind", () => {
    const file = "nic: { queues: 2, rx: { descriptors: 64 } }\niommu: { window: 256 MiB }\n"
    const worldOf = (text: string, settings: ReadonlyArray<string> = []) =>
      parse(file + text, settings).runs[0]!.scenario
    for (const { iommu, nic } of [
      worldOf("", ["nic={interruptInterval: 8 us, rx: {dropEnable: false}}"]),
      worldOf("runs: { a: { nic: { interruptInterval: 8 us, rx: { dropEnable: false } } } }"),
      worldOf("runs: { a: { nic.interruptInterval: 8 us, nic.rx: { dropEnable: false } } }")
    ]) {
      expect(nic).toMatchObject({ queues: 2, interruptIntervalPs: 8e6, rx: { descriptors: 64, dropEnable: false } })
      expect(iommu).toMatchObject({ windowBytes: 2 ** 28 })
    }
    expect(worldOf("", ["iommu={multiTce: false}"]).iommu).toMatchObject({ windowBytes: 2 ** 28, multiTce: false })
    expect(worldOf("", ["iommu={kind: tce}"]).iommu).toMatchObject({ windowBytes: 2 ** 30 })
  })

  it("need not say the default kind of traffic", () => {
    const trafficOf = (text: string, settings: ReadonlyArray<string>) => parse(text, settings).runs[0]!.scenario.traffic
    expect(trafficOf("seed: 1", ["traffic.streams=4"])).toMatchObject({ kind: "closed-loop", streams: 4 })
    expect(trafficOf("traffic: { streams: 4 }", [])).toMatchObject({ kind: "closed-loop", streams: 4 })
    expect(trafficOf("runs: { a: { traffic.streams: 4 } }", [])).toMatchObject({ kind: "closed-loop", streams: 4 })
    expect(trafficOf("traffic: { streams: 4 }", ["traffic.kind=open-loop"])).toMatchObject({ kind: "open-loop" })
    // What only other kinds know says that theirs was forgotten.
    const missing = "traffic.kind: is missing; use"
    expect(problems("seed: 1", ["traffic.flows=4"])).toEqual([`--set ${missing} open-loop`])
    expect(problems("seed: 1\ntraffic: { rate: line }")).toEqual([`mine.yaml:2:1 ${missing} open-loop or replay`])
    expect(problems("runs: { a: { traffic.rate: line } }")).toEqual([
      `mine.yaml:1:14 ${missing} open-loop or replay (run a)`
    ])
    // Nor is what was of another kind made a closed loop because a run changes a part of it.
    const open = "traffic: { kind: open-loop }\nruns: { a: { traffic: { streams: 4 } } }"
    expect(problems(open)).toEqual([
      expect.stringMatching(/^mine\.yaml:2:25 traffic\.streams: streams is not a known key; .* \(run a\)$/u)
    ])
    expect(trafficOf("runs: { a: { traffic: { streams: 4 } } }", [])).toMatchObject({ kind: "closed-loop" })
  })

  it("of a kind that needs more say so where the kind is written", () => {
    const needs = "traffic.kind: replay needs traffic.capture, the name of a classic pcap file"
    expect(problems(cascardo, ["traffic.kind=replay"])).toEqual([`--set ${needs}`])
    expect(problems("runs: { a: { traffic.kind: replay } }")).toEqual([`mine.yaml:1:28 ${needs} (run a)`])
  })

  it("of another kind leave the settings of the old kind behind", () => {
    const open = parse(cascardo, ["traffic.kind=open-loop", "traffic.rate=1 Gb/s"])
    expect(open.runs).toHaveLength(3)
    for (const { scenario } of open.runs) {
      expect(scenario.traffic).toEqual({
        kind: "open-loop",
        rateBitsPerSecond: 1e9,
        arrivals: "constant",
        frameBytes: "imix",
        flows: 16,
        placement: "even"
      })
    }
    // The same by a run, in whatever order it is written, and back again by the command line.
    const text = "traffic: { kind: closed-loop, streams: 2, placement: random }\n"
    const run = `${text}runs: { a: { traffic.flows: 3, traffic.kind: open-loop } }`
    expect(parse(run).runs[0]!.scenario.traffic).toMatchObject({ kind: "open-loop", flows: 3, placement: "random" })
    const back = parse(run, ["traffic.kind=closed-loop"]).runs[0]!.scenario.traffic
    expect(back).toMatchObject({ kind: "closed-loop", streams: 16, placement: "random" })
  })

  it("of another allocator or flush leave the bitmap's lock behind", () => {
    const lockOf = (text: string, settings: ReadonlyArray<string> = []): string =>
      parse(text, settings).runs.at(-1)!.scenario.dma.lockAcrossTableWrite
    expect(lockOf("seed: 1")).toBe("both")
    expect(lockOf("dma: { debug: false }")).toBe("both")
    expect(lockOf("dma: { allocator: rbtree }")).toBe("none")
    expect(lockOf(cascardo, ["dma.allocator=bitmap"])).toBe("both")
    expect(lockOf(cascardo, ["dma.allocator=rbtree"])).toBe("none")
    expect(parse(cascardo, ["dma.allocator=rbtree"]).base.dma.lockAcrossTableWrite).toBe("none")
    expect(lockOf("dma: { lockAcrossTableWrite: unmap }\nruns: { a: { dma.allocator: ring } }")).toBe("none")
    const vtd = ["profile=x86-sandybridge", "iommu.kind=vtd", "dma.flush=lazy-global"]
    expect(lockOf("dma: { lockAcrossTableWrite: both }", vtd)).toBe("none")
  })

  it("of another kind are checked all the same", () => {
    const typo = "traffic: { kind: closed-loop, stream: 2, streams: 2 }"
    expect(problems(typo, ["traffic.kind=open-loop"])).toEqual([
      "mine.yaml:1:31 traffic.stream: stream is not a known key; use kind, rate, arrivals, sizes, flows or placement"
    ])
    expect(problems(cascardo, ["traffic.streams=4", "traffic.kind=open-loop"])).toEqual([
      "--set traffic.streams: streams is not a known key; use kind, rate, arrivals, sizes, flows or placement"
    ])
    expect(problems(cascardo, ["traffic.kind=opn-loop"])).toEqual([
      "--set traffic.kind: opn-loop is not closed-loop, open-loop or replay; did you mean open-loop?"
    ])
  })

  it("do not change what runs there are", () => {
    const message = "a setting changes all runs; write runs in a file, and choose among them with --only"
    expect(problems(cascardo, ["runs.x=4"])).toEqual([`--set runs.x: ${message}`])
    expect(problems(cascardo, ["runs=4", "runs={ a: {} }", "runs.direct.seed=4"])).toEqual([
      `--set runs: ${message}`,
      `--set runs.direct.seed: ${message}`
    ])
    expect(problems(cascardo, ["seed=x", "runs.x=4"])).toHaveLength(2)
  })

  it("do not reach the prototype of anything", () => {
    expect(problems("seed: 1", ["__proto__.polluted=1"])[0]).toContain("__proto__ is not a known key")
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined()
  })
})

describe("bad input", () => {
  it("is reported all at once, where it is written", () => {
    const text = cascardo
      .replace("1024", "100")
      .replace("memory: 256 MiB", "memory: -3 MiB")
      .replace("multiTce", "multiTse")
      .replace("window: 64 KiB", "window: 64")
      .replace("strategy: page-chunk", "strategy: page-chnk")
    expect(problems(text)).toEqual([
      "mine.yaml:6:38 nic.rx.descriptors: 100 is not a multiple of 8; 96 or 104 would do",
      "mine.yaml:7:17 host.memory: -3 MiB is too small; at least 1 MiB",
      "mine.yaml:8:36 iommu.multiTse: multiTse is not a known key; did you mean multiTce?",
      "mine.yaml:11:89 traffic.window: 64 has no unit; a size needs B, KiB, MiB, GiB or TiB, as in 64 KiB",
      "mine.yaml:15:34 driver.strategy: page-chnk is not map-per-packet, page-chunk or direct; " +
        "did you mean page-chunk? (run page-chunk)"
    ])
  })

  it.each([
    ["", "mine.yaml:1:1: a scenario is a mapping of settings; `vnic show smoke` prints one to start from"],
    ["- 1", "mine.yaml:1:1: a scenario is a mapping of settings; `vnic show smoke` prints one to start from"],
    ["seed: 1\nseed: 2", "mine.yaml:2:1 seed: is written twice, here and in line 1"],
    [
      "nic:\n  rx: { descriptors: 64, dropEnable: true,\n    descriptors: 64 }",
      "mine.yaml:3:5 nic.rx.descriptors: is written twice, here and in line 2"
    ],
    ["seed: 1\n---\nseed: 2", "mine.yaml:2:1: a scenario is one document; what begins with this --- is another"],
    ["seed: 1e400", "mine.yaml:1:7 seed: Infinity is not a count; write a whole number from 0 to 4294967295"],
    ["nic: { queues: .nan }", "mine.yaml:1:16 nic.queues: NaN is not a count; write a whole number from 1 to 16"],
    [
      "nic: { queues: '4' }",
      "mine.yaml:1:16 nic.queues: '4', a text, is not a count; write a whole number from 1 to 16"
    ],
    ["dma: { debug: 'true' }", "mine.yaml:1:15 dma.debug: 'true', a text, is not true or false"],
    ["traffic: { kind: replay, capture: '' }", "mine.yaml:1:35 traffic.capture: is empty"],
    ["nic: 3", "mine.yaml:1:6 nic: 3 is not a section with settings"],
    ["measure:", "mine.yaml:1:9 measure: nothing is not a section with settings"],
    ["sed: 1", "mine.yaml:1:1 sed: sed is not a known key; did you mean seed?"],
    [
      "profile: power7",
      "mine.yaml:1:10 profile: power7 is not power7-pseries or x86-sandybridge; did you mean power7-pseries?"
    ],
    ["dma: { debug: yes }", "mine.yaml:1:15 dma.debug: yes is not true or false"],
    ["about: 3", "mine.yaml:1:8 about: 3 is not text"],
    ["seed: 1.5", "mine.yaml:1:7 seed: 1.5 is not a whole number"],
    ["nic: { queues: 17 }", "mine.yaml:1:16 nic.queues: 17 is too large; at most 16"],
    [
      "link: { rate: 10 }",
      "mine.yaml:1:15 link.rate: 10 has no unit; a rate needs b/s, kb/s, Mb/s, Gb/s or Tb/s, as in 10 Gb/s"
    ],
    ["link: { rate: 10 Gbps }", "mine.yaml:1:15 link.rate: 10 Gbps: Gbps is not a unit of rate; did you mean Gb/s?"],
    ["measure: { duration: 0 s }", "mine.yaml:1:22 measure.duration: 0 ps is too small; at least 1 ms"],
    [
      "nic: { interruptInterval: 5 us }",
      "mine.yaml:1:27 nic.interruptInterval: 5 us is not a multiple of 2 us; 4 us or 6 us would do"
    ],
    [
      "traffic: { kind: clsed-loop }",
      "mine.yaml:1:18 traffic.kind: clsed-loop is not closed-loop, open-loop or replay; did you mean closed-loop?"
    ],
    ["traffic: { flows: 2 }", "mine.yaml:1:1 traffic.kind: is missing; use open-loop"],
    [
      "traffic: { flows: 2, streams: 2 }",
      "mine.yaml:1:1 traffic.kind: is missing; use closed-loop, open-loop or replay"
    ],
    [
      "traffic: { kind: replay }",
      "mine.yaml:1:18 traffic.kind: replay needs traffic.capture, the name of a classic pcap file"
    ],
    [
      "seed: 18446744073709551616",
      "mine.yaml:1:7 seed: 18446744073709551616 is not a count; write a whole number from 0 to 4294967295"
    ],
    [
      "traffic: { kind: open-loop, sizes: imxi }",
      "mine.yaml:1:36 traffic.sizes: imxi is not imix or a size as in 64 KiB"
    ],
    ["runs: { a: 3 }", "mine.yaml:1:12 runs.a: 3 is not a section with settings"],
    [
      "runs: { a: { nic.quues: 3 } }",
      "mine.yaml:1:14 nic.quues: quues is not a known key; did you mean queues? (run a)"
    ],
    [
      "runs: { a: { seed.b: 3 } }",
      "mine.yaml:1:14 seed: a section is not a count; write a whole number from 0 to 4294967295 (run a)"
    ],
    [
      "runs: { a: { __proto__.x: 3 } }",
      "mine.yaml:1:14 __proto__: __proto__ is not a known key; " +
        "use about, profile, seed, measure, link, nic, host, iommu, dma, driver or traffic (run a)"
    ],
    [
      "runs:\n  a: { nic.rx.descriptors: 128, nic.rx: { descriptors: 64 } }",
      "mine.yaml:2:43 nic.rx.descriptors: the run writes it twice; write it once"
    ],
    [
      "runs:\n  a: { iommu.window: 1 GiB, iommu: { kind: tce } }",
      "mine.yaml:2:8 iommu.window: the run writes all of iommu as well; write it in there"
    ],
    ...["", " a", "a ", "a\nb", "a\u001b[31m", "a\u202eb", "x".repeat(65)].map((name) => [
      `runs: { ${JSON.stringify(name)}: {} }`,
      expect.stringMatching(/^mine\.yaml:1:9 runs: ".*" is no name for a run; write 1 to 64 printable characters/u)
    ])
  ])("%j", (text, message) => expect(problems(text)).toEqual([message]))

  it("is printed without what a terminal would obey", () => {
    expect(problems('"a\\e[31mb\\u202e": 1')[0]).toContain("mine.yaml:1:1 a\\u001b[31mb\\u{202e}: ")
    expect(problems("seed: 1", ["a\nb"])[0]).toContain("--set a\\nb: write path=value")
  })

  it("does not print a file that is no scenario", () => {
    const [first = ""] = problems(`${"secret ".repeat(50)}: 1`)
    expect(first.split(";")[0]!.length).toBeLessThan(100)
  })
})

describe("runs of a file", () => {
  const direct =
    "dma.backend: window needs an IOMMU, and iommu.kind is none; set dma.backend: direct, or iommu.kind: tce"

  const onlyProblems = (text: string, settings: ReadonlyArray<string>, only: ReadonlyArray<string>) =>
    Effect.runSync(Effect.flip(parseScenario(text, "mine.yaml", settings, only))).message.split("\n")

  it("are named where a problem is of their own", () => {
    expect(problems(cascardo, ["dma.backend=window"])).toEqual([`--set ${direct} (run direct)`])
    const runs = "runs: { a: { iommu.kind: none }, b: { iommu.kind: none }, c: {} }"
    expect(problems(runs, ["dma.backend=window"])).toEqual([`--set ${direct} (runs a, b)`])
    expect(
      problems("traffic: { kind: closed-loop }\nruns: { a: { traffic.kind: open-loop }, b: {} }", ["traffic.streams=3"])
    ).toEqual([
      "--set traffic.streams: streams is not a known key; " +
        "use kind, rate, arrivals, sizes, flows or placement (run a)"
    ])
  })

  it("are not named where all have it", () => {
    const message = "--set nic.queues: 9 queues need a CPU each, and host.cpus is 8; at most 8"
    expect(problems("runs: { a: {}, b: { driver.strategy: page-chunk } }", ["nic.queues=9"])).toEqual([message])
    // What another run has without a change of its own is nothing of the first run's.
    expect(problems("runs: { a: { host.cpus: 8 }, b: {} }", ["nic.queues=9"])).toEqual([message])
  })

  it("are neither checked nor resolved where others are asked for", () => {
    const only = ["map-per-packet", "page-chunk"]
    const scenario = Effect.runSync(parseScenario(cascardo, "mine.yaml", ["dma.backend=window"], only))
    expect(scenario.runs.map(({ name }) => name)).toEqual(only)
    expect(runNames(scenario)).toEqual(["direct", ...only])
    expect(Effect.runSync(applySettings(scenario, ["seed=2"])).runs.map(({ name }) => name)).toEqual(only)
    expect(onlyProblems(cascardo, ["dma.backend=window"], ["direct"])).toEqual([`--set ${direct} (run direct)`])
    const text = "runs: { a: { nic.queues: 99 }, b: { nic.quues: 3 } }"
    expect(onlyProblems(text, [], ["b"])).toEqual([
      "mine.yaml:1:37 nic.quues: quues is not a known key; did you mean queues? (run b)"
    ])
  })

  it("are one, named by its strategy, where none is written", () => {
    const scenario = Effect.runSync(parseScenario("seed: 1", "mine.yaml", [], ["map-per-packet"]))
    expect(runNames(scenario)).toEqual(["map-per-packet"])
    expect(scenario.runs).toHaveLength(1)
  })
})

describe("nearest names", () => {
  it.each([
    ["page-chnk", "page-chunk"],
    ["PAGE-CHUNK", "page-chunk"],
    ["map", "map-per-packet"],
    ["zzz", undefined]
  ])("%s", (written, name) => expect(nearestName(written, ["map-per-packet", "page-chunk", "direct"])).toBe(name))
})
