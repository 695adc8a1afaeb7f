import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { describe, expect, it } from "vitest"
import { nearestName } from "../src/Names.ts"
import { applySettings, parseScenario, resolveRuns, scenarioJsonSchema } from "../src/Scenario.ts"
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
    expect(smoke.base.measure).toEqual({ warmUpPs: 1e9, durationPs: 4e9 })
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
    expect(problems(cascardo, [{ flag: "--seed", text: "seed=-1" }])).toEqual([
      "--seed seed: -1 is too small; at least 0"
    ])
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
      "mine.yaml:15:34 driver.strategy: page-chnk is not map-per-packet, page-chunk or direct; did you mean page-chunk?"
    ])
  })

  it.each([
    ["", "mine.yaml:1:1: a scenario is a mapping of settings; `vnic show smoke` prints one to start from"],
    ["- 1", "mine.yaml:1:1: a scenario is a mapping of settings; `vnic show smoke` prints one to start from"],
    ["seed: 1\nseed: 2", "mine.yaml:2:1: Map keys must be unique"],
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
    ["traffic: { streams: 2 }", "mine.yaml:1:1 traffic.kind: is missing; use closed-loop, open-loop or replay"],
    ["traffic: { kind: replay }", "mine.yaml:1:1 traffic.capture: is missing"],
    [
      "traffic: { kind: open-loop, sizes: imxi }",
      "mine.yaml:1:36 traffic.sizes: imxi is not imix or a size as in 64 KiB"
    ],
    ["runs: { a: 3 }", "mine.yaml:1:12 runs.a: 3 is not a section with settings"],
    ["runs: { a: { nic.quues: 3 } }", "mine.yaml:1:14 nic.quues: quues is not a known key; did you mean queues?"],
    [
      "runs: { a: { seed.b: 3 } }",
      "mine.yaml:1:1 seed: a section is not a count; write a whole number from 0 to 4294967295"
    ]
  ])("%j", (text, message) => expect(problems(text)).toEqual([message]))

  it("does not print a file that is no scenario", () => {
    const [first = ""] = problems(`${"secret ".repeat(50)}: 1`)
    expect(first.split(";")[0]!.length).toBeLessThan(100)
  })
})

describe("impossible combinations", () => {
  it.each([
    [
      "dma: { backend: direct }",
      "dma.backend: direct hands physical addresses to a device behind an IOMMU (iommu.kind is tce); " +
        "set dma.backend: iommu, or iommu.kind: none"
    ],
    [
      "iommu: { kind: none }",
      "dma.backend: iommu needs an IOMMU, and iommu.kind is none; set dma.backend: direct, or iommu.kind: tce"
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
        "the buffers of nic.queues and nic.rx.descriptors, 34272 KiB with map-per-packet; more memory or shorter rings"
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
      "iommu.kind: tce is not what x86-sandybridge has; set iommu.kind: vtd, or another profile"
    ],
    [
      "profile: x86-sandybridge\niommu: { kind: none }",
      "dma.backend: iommu needs an IOMMU, and iommu.kind is none; set dma.backend: direct, or iommu.kind: vtd"
    ],
    ["nic: { queues: 9 }", "nic.queues: 9 queues need a CPU each, and host.cpus is 8; at most 8"],
    ["host: { cpus: 64 }", "host.cpus: 64 is more than the 32 hardware threads of power7-pseries"],
    [
      "link: { mtu: 9000 B }",
      "link.mtu: 9000 B makes jumbo frames, which the device is not set up for; at most 1500 B"
    ],
    [
      "traffic: { kind: closed-loop, frame: 1600 B }",
      "traffic.frame: 1600 B is more than 1518 B, the longest frame at link.mtu 1500 B"
    ],
    [
      "traffic: { kind: closed-loop, frame: 64 B, timestamps: true }",
      "traffic.frame: 64 B leaves no room for payload; at least 71 B"
    ],
    ["traffic: { kind: closed-loop, window: 1000 B }", "traffic.window: 1000 B is smaller than one segment of 1460 B"],
    ["traffic: { kind: open-loop, rate: 20 Gb/s }", "traffic.rate: 20 Gb/s is more than the link's 10 Gb/s"],
    [
      "link: { mtu: 1000 B }\ntraffic: { kind: open-loop }",
      "traffic.sizes: imix has frames of 1518 B, which is more than 1018 B, the longest frame at link.mtu 1000 B"
    ]
  ])("%j", (text, message) => {
    const found = problems(text)
    expect(found.map((line) => line.replace(/^\S+ /u, ""))).toEqual([message])
  })

  it("of a window with the buffers are computed for each strategy", () => {
    const window = (strategy: string, size: string): ReadonlyArray<string> =>
      problems(`iommu: { window: ${size} }\ndriver: { strategy: ${strategy} }`)
    expect(window("map-per-packet", "64 MiB")[0]).toContain("at least 67008 KiB with map-per-packet")
    expect(window("map-per-packet", "67008 KiB")).toEqual([])
    expect(window("page-chunk", "13 MiB")[0]).toContain("at least 13824 KiB with page-chunk")
    expect(window("page-chunk", "13824 KiB")).toEqual([])
  })

  it("of memory with buffers and table", () => {
    expect(problems("host: { memory: 8 MiB }")[0]).toContain(
      "8 MiB does not hold the buffers and rings of nic.queues, nic.rx.descriptors and nic.tx.descriptors " +
        "and a translation table of 2 MiB; at least 15872 KiB"
    )
    expect(problems("host: { memory: 15872 KiB }")).toEqual([])
  })

  it("are found beside other mistakes, and not made up from them", () => {
    expect(problems("sed: 1\ndma: { backend: direct }").length).toBe(2)
    expect(problems("dma: { backend: direct }\niommu: { kind: non }")).toEqual([
      "mine.yaml:2:16 iommu.kind: non is not tce, vtd or none; did you mean none?"
    ])
  })

  it("are judged after a run's changes", () => {
    expect(problems("dma: { backend: direct }\nruns: { a: { iommu.kind: none } }")).toEqual([])
  })
})

describe("the JSON Schema for editors", () => {
  it("describes the file as it is written", () => {
    const schema = scenarioJsonSchema() as {
      properties: Record<string, { properties: Record<string, object> }>
    }
    expect(Object.keys(schema.properties)).toContain("runs")
    expect(schema.properties["host"]!.properties["memory"]).toMatchObject({ type: "string" })
    expect(schema.properties["nic"]!.properties["queues"]).toMatchObject({
      type: "integer",
      minimum: 1,
      maximum: 16
    })
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
