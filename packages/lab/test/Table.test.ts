import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import {
  DROP_CAUSES,
  type DropCause,
  type Envelope,
  failedChecks,
  type RunResult,
  SCHEMA_VERSION
} from "../src/Result.ts"
import { parseScenario } from "../src/Scenario.ts"
import { renderTable } from "../src/Table.ts"

const run = (name: string, parts: Partial<RunResult>): RunResult => ({
  name,
  seed: 1,
  profile: "power7-pseries",
  strategy: name,
  allocator: "bitmap",
  flush: "strict",
  goodputGbps: 9.49,
  goodputGbpsCi95: 0.01,
  wireGbps: 10,
  framesPerSecond: 812_744,
  limit: { resource: "wire", busyShare: 1, busiest: "wire" },
  frames: {
    offered: 1000,
    delivered: 1000,
    padded: 0,
    answersDropped: 0,
    dropped: Object.fromEntries(DROP_CAUSES.map((cause) => [cause, 0])) as Record<DropCause, number>
  },
  retransmissions: { segments: 0, fast: 0, timeouts: 0 },
  cpu: { utilization: 0.21, perCpu: [0.21], framesPerSecond: 812_744, nsPerFrame: {} },
  dma: {
    maps: 0,
    unmaps: 0,
    hypercalls: 0,
    hypercallsPerFrame: 0,
    rx: { mapsPerFrame: 0, unmapsPerFrame: 0 },
    tx: { mapsPerFrame: 0, unmapsPerFrame: 0 },
    pinnedPagesMax: 0
  },
  locks: [],
  latencyNs: { p50: 0, p99: 0, p999: 0 },
  checks: { corruptFrames: 0, leakedMappings: 0, debugFindings: 0, faults: 0, unsettled: 0 },
  ...parts
})

const dma = (mapsPerFrame: number, hypercallsPerFrame: number): RunResult["dma"] => ({
  maps: 0,
  unmaps: 0,
  hypercalls: 1000 * hypercallsPerFrame,
  hypercallsPerFrame,
  rx: { mapsPerFrame, unmapsPerFrame: mapsPerFrame },
  tx: { mapsPerFrame: 0, unmapsPerFrame: 0 },
  pinnedPagesMax: 0
})

const NEXT = "npx -y pnpm@12.21.0 vnic list"

/** The table of runs in the world of cascardo-2013, or in one world each, made by a setting of its own. */
const table = (runs: ReadonlyArray<RunResult>, ...settings: ReadonlyArray<string>): string => {
  const text = readFileSync(new URL("../scenarios/cascardo-2013.yaml", import.meta.url), "utf8")
  const scenarioOf = (setting: string | undefined) =>
    Effect.runSync(parseScenario(text, "cascardo-2013.yaml", setting === undefined ? [] : [setting]))
  const { base, name, overrides } = scenarioOf(undefined)
  const envelope: Envelope = {
    schemaVersion: SCHEMA_VERSION,
    kind: "run",
    scenario: name,
    version: "0.1.0",
    seed: base.seed,
    settings: { ...base, runs: overrides },
    runs,
    failed: []
  }
  return renderTable(
    envelope,
    runs.map((_, index) => scenarioOf(settings[index]).base),
    NEXT
  )
}

const headline = [
  run("direct", {}),
  run("map-per-packet", {
    goodputGbps: 3,
    wireGbps: 3.2,
    dma: dma(2, 4),
    cpu: { utilization: 0.88, perCpu: [], framesPerSecond: 812_744, nsPerFrame: {} },
    limit: { resource: "TCE table lock", busyShare: 0.99, busiest: "TCE table lock" }
  }),
  run("page-chunk", {
    dma: dma(0.0234, 0.05),
    cpu: { utilization: 0.24, perCpu: [], framesPerSecond: 812_744, nsPerFrame: {} }
  })
]

describe("the table", () => {
  it("has the form that the documentation shows", () => {
    expect(table(headline)).toBe(
      [
        "cascardo-2013  power7-pseries  16 TCP streams, MTU 1500  seed 1",
        "strategy          goodput  wire  maps/frame  hcalls/frame  CPU  limited by",
        "direct          9.49 Gb/s  100%      0            0        21%  wire",
        "map-per-packet  3.00 Gb/s   32%      2.00         4.00     88%  TCE table lock",
        "page-chunk      9.49 Gb/s  100%      0.0234       0.05     24%  wire",
        "0 corrupt, 0 leaked, 0 faults.   Next: npx -y pnpm@12.21.0 vnic list"
      ].join("\n")
    )
  })

  it("says where CPUs took less than what passed, or more: those rates will not last", () => {
    const cpu = (framesPerSecond: number) => ({ utilization: 1, perCpu: [], framesPerSecond, nsPerFrame: {} })
    const lines = table([run("one", { cpu: cpu(256_000) }), run("two", { cpu: cpu(900_000) })])
    expect(lines.split("\n").slice(4, -1)).toEqual([
      "one: rings filled: 813k frames/s passed, CPUs took 256k",
      "two: rings emptied: 813k frames/s passed, CPUs took 900k"
    ])
    const settled = table([run("one", { cpu: cpu(800_000) })])
    expect(settled).not.toContain("rings")
  })

  it("fits 80 columns whatever the names and figures", () => {
    const wide = run("a-run-with-a-very-long-name", {
      strategy: "page-chunk",
      goodputGbps: 99.99,
      wireGbps: 10,
      dma: dma(1234.5, 1234.567),
      cpu: { utilization: 1, perCpu: [], framesPerSecond: 812_744, nsPerFrame: {} },
      limit: { resource: "a resource with a long name", busyShare: 1, busiest: "a resource with a long name" }
    })
    const text = table([wide, run("b", { goodputGbps: 1000 })], "traffic={kind: open-loop, rate: line}")
    expect(text.split("\n").every((line) => line.length <= 80)).toBe(true)
    expect(text.split("\n").slice(1, -1)).toEqual([
      "run                  goodput  wire  maps/frame  hcalls/frame   CPU  limited by",
      "a-run-with-a-very-long-name",
      "                  99.99 Gb/s  100%   1234.50      1234.57     100%  a resource",
      "                                                                    with a long",
      "                                                                    name",
      "b               1000.00 Gb/s  100%      0            0         21%  wire"
    ])
  })

  it("leaves nothing out of a line that is too long: it goes on in the next, and numbers stay whole", () => {
    const none = run("direct", {}).frames
    const dropped = { ...none.dropped, packetBufferFull: 28_442, noDescriptor: 36_864, receiveError: 1234 }
    const lost = run("a run of a long name", { frames: { ...none, offered: 123_456, dropped } })
    expect(table([lost]).split("\n").slice(4, -1)).toEqual([
      "a run of a long name: 66540 of 123456 frames dropped: noDescriptor 36864,",
      "  packetBufferFull 28442, receiveError 1234"
    ])
    const checks = { ...lost.checks, corruptFrames: 123_456_789_012, faults: 1234 }
    expect(
      table([run("direct", { checks })])
        .split("\n")
        .slice(3)
    ).toEqual(["123456789012 corrupt, 0 leaked, 1234 faults.", "  Next: npx -y pnpm@12.21.0 vnic list"])
  })

  it("claims one value for all runs only where they have one", () => {
    const heading = (...settings: ReadonlyArray<string>): string =>
      table([run("a", {}), run("b", {})], ...settings).split("\n")[0]!
    const common = "cascardo-2013  power7-pseries  16 TCP streams, MTU 1500"
    expect(heading("seed=5", "seed=5")).toBe(`${common}  seed 5`)
    expect(heading("seed=1", "seed=5")).toBe(`${common}  seed by run`)
    for (const setting of ["traffic.streams=2", "link.mtu=1000 B", "traffic={ kind: open-loop }"]) {
      expect(heading("about=a", setting)).toBe("cascardo-2013  power7-pseries  traffic by run  seed 1")
    }
  })

  it("takes the share of the wire of each run's own link", () => {
    const lines = table([run("a", { wireGbps: 1 }), run("b", { wireGbps: 1 })], "about=a", "link.rate=1 Gb/s").split(
      "\n"
    )
    expect(lines.slice(2, 4).map((line) => /\d+%/u.exec(line)?.[0])).toEqual(["10%", "100%"])
  })

  it("has a line for a run that delivered nothing", () => {
    const nothing = run("direct", {
      frames: { ...headline[0]!.frames, delivered: 0 },
      goodputGbps: 0,
      wireGbps: 0,
      dma: { ...dma(0, 0), hypercallsPerFrame: null, rx: { mapsPerFrame: null, unmapsPerFrame: null } }
    })
    expect(table([nothing]).split("\n")[2]).toBe("direct    0.00 Gb/s    0%      -            -        21%  wire")
  })

  it("says which frames were dropped, and why", () => {
    const none = run("direct", {}).frames
    const frames = { ...none, delivered: 990, dropped: { ...none.dropped, noDescriptor: 9, filtered: 1 } }
    const text = table([run("direct", {}), run("page-chunk", { frames })])
    expect(text.split("\n").at(-2)).toBe("page-chunk: 10 of 1000 frames dropped: noDescriptor 9, filtered 1")
    expect(text).not.toContain("direct: ")
    const mute = table([run("direct", { frames: { ...none, answersDropped: 7 } })])
    expect(mute.split("\n").at(-2)).toBe("direct: 7 answers were not sent")
  })

  it("sums what the checks found", () => {
    const bad = run("direct", {
      checks: { corruptFrames: 1, leakedMappings: 2, debugFindings: 0, faults: 0, unsettled: 0 }
    })
    expect(table([bad, bad])).toContain("2 corrupt, 4 leaked, 0 faults.")
    expect(failedChecks([bad])).toEqual(["direct: 1 corrupt frame", "direct: 2 leaked mappings"])
  })
})
