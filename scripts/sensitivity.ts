/**
 * Writes docs/sensitivity.md: every assumed constant of the profile at half and twice its value and at the
 * ends of its range, the hypercall fitted again at each, and what follows for the headline and for lines of the
 * contention study. Takes some minutes; the page is a pure function of the code. With the argument `contention`
 * only the last chapter is written again.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import {
  assumedConstants,
  fitHypercall,
  outcomeOf,
  pairTimesOf,
  parseScenario,
  type Outcome,
  type ResolvedScenario,
  type RunResult,
  runScenario,
  variantsOf
} from "@vnic/lab"
import { type ConstantName, findProfile, formatQuantity, timeQuantity } from "@vnic/sim"
import * as Effect from "effect/Effect"
import { code, table } from "./docs/page.ts"
import { valueText } from "./docs/profiles.ts"
import { ROOT } from "./lib/sources.ts"

const PROFILE = "power7-pseries"
const SCENARIO = "cascardo-2013"
const TARGET_GBPS = 3
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
const NS = 1000
const STACK_COSTS_NS = [500, 1000, 2500, 4000, 5000, 6000, 7000, 8000, 8500, 9000, 9250, 9500, 9750, 10_000, 12_000]
const CHANGES = { low: "low end", half: "half", double: "double", high: "high end" } as const

const CONTENTION = {
  lines: ["direct", "identity", "bitmap", "bitmap-outside", "bitmap-pool", "rbtree"],
  threads: [1, 8, 16, 32],
  ops: 1_000_000
}
/** What moves those lines; the cost of the stack does by the hypercall only. */
const CONTENTION_CONSTANTS: ReadonlyArray<ConstantName> = [
  "lockAcquire",
  "lockHandOff",
  "lockHandOffPerWaiter",
  "bitmapSearch",
  "treeVisit",
  "directMapPair",
  "mapOther",
  "speedWithTwoThreads",
  "speedWithFourThreads",
  "benchmarkLoop",
  "stackFrame"
]

const profile = findProfile(PROFILE)!
const { hypercall } = profile.constants
const text = readFileSync(`${ROOT}packages/lab/scenarios/${SCENARIO}.yaml`, "utf8")

/** The world of one run of the scenario, measured for other spans than its own. */
const worldOf = (run: string, warmUp: string, duration: string): ResolvedScenario => {
  const settings = [`measure.warmUp=${warmUp}`, `measure.duration=${duration}`]
  const { runs } = Effect.runSync(parseScenario(text, `${SCENARIO}.yaml`, settings))
  return runs.find(({ name }) => name === run)!.scenario
}

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, one) => sum + one, 0) / values.length
const gbps = (value: number): string => value.toFixed(3)
const percent = (share: number): string => `${Math.round(share * 100)} %`
const time = (durationPs: number): string => formatQuantity(timeQuantity, durationPs)
const runOf = (scenario: ResolvedScenario, seed: number, changes: object = {}): Promise<RunResult> =>
  Effect.runPromise(runScenario(scenario, { seed, payloadCheck: "line", profileChanges: changes }))

/** Ten seeds of the scenario as it is. */
const headline = async (): Promise<string> => {
  const rows: Array<ReadonlyArray<string>> = []
  for (const run of ["direct", "map-per-packet", "page-chunk"]) {
    const scenario = worldOf(run, "5 ms", "50 ms")
    const results: Array<RunResult> = []
    for (const seed of SEEDS) results.push(await runOf(scenario, seed))
    const goodputs = results.map(({ goodputGbps }) => goodputGbps)
    rows.push([
      run,
      gbps(mean(goodputs)),
      `${gbps(Math.min(...goodputs))} to ${gbps(Math.max(...goodputs))}`,
      percent(mean(results.map(({ cpu }) => cpu.utilization))),
      mean(results.map(({ dma }) => dma.rx.mapsPerFrame ?? NaN)).toFixed(4),
      mean(results.map(({ dma }) => dma.hypercallsPerFrame ?? NaN)).toFixed(3),
      [...new Set(results.map(({ limit }) => limit.resource))].join(", ")
    ])
  }
  const heads = [
    "Run",
    "Gb/s, mean of 10 seeds",
    "least to most",
    "CPU",
    "maps/frame",
    "hypercalls/frame",
    "limited by"
  ]
  return table(heads, rows, heads.slice(1, -1))
}

const variantRow = (outcome: Outcome, first: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...first,
  gbps(outcome.unfittedGbps),
  outcome.isConverged ? `${outcome.fittedHypercallPs / NS} ns` : "none",
  percent(outcome.mapPerPacket.cpu.utilization),
  gbps(outcome.pageChunk.goodputGbps),
  percent(outcome.pageChunk.cpu.utilization),
  outcome.pageChunk.limit.resource
]

const variants = async (): Promise<string> => {
  const options = {
    mapPerPacket: worldOf("map-per-packet", "5 ms", "50 ms"),
    pageChunk: worldOf("page-chunk", "3 ms", "10 ms"),
    targetGbps: TARGET_GBPS,
    seed: 1,
    startPs: hypercall.value
  }
  const rows: Array<ReadonlyArray<string>> = []
  const add = async (first: ReadonlyArray<string>, changes: object): Promise<void> => {
    rows.push(variantRow(await Effect.runPromise(outcomeOf(options, changes)), first))
    console.error(rows.at(-1)!.join("  "))
  }
  await add(["as it is", "", ""], {})
  for (const { change, constant, value } of variantsOf(profile, true)) {
    const { unit } = profile.constants[constant]
    await add([code(constant), CHANGES[change], valueText(value, unit)], { [constant]: value })
  }
  const heads = ["Constant", "Change", "Value", "Gb/s", "Hypercall", "CPU", "page-chunk Gb/s", "its CPU", "its limit"]
  return table(heads, rows, heads.slice(2, -1))
}

const stackSweep = async (): Promise<string> => {
  const scenario = worldOf("page-chunk", "10 ms", "20 ms")
  const rows: Array<ReadonlyArray<string>> = []
  for (const cost of STACK_COSTS_NS) {
    const { cpu, goodputGbps, limit } = await runOf(scenario, 1, { stackFrame: cost * NS })
    const cells = [time(cost * NS), gbps(goodputGbps), percent(cpu.utilization), limit.resource]
    rows.push([...cells, percent(limit.busyShare)])
    console.error(rows.at(-1)!.join("  "))
  }
  const heads = ["stackFrame", "page-chunk Gb/s", "CPU", "limited by", "its busy share"]
  return table(heads, rows, ["stackFrame", "page-chunk Gb/s", "CPU", "its busy share"])
}

/** The last of the numbers of threads: where lines are furthest apart. */
const MOST_THREADS = CONTENTION.threads.at(-1)!

/** Microseconds, three digits. */
const microseconds = (durationPs: number): string => Number((durationPs / (1000 * NS)).toPrecision(3)).toString()

/** By what a time at the most threads differs from another. */
const difference = (times: ReadonlyArray<number>, from: ReadonlyArray<number>): number =>
  times.at(-1)! / from.at(-1)! - 1

const differenceText = (share: number): string =>
  Math.round(share * 100) === 0 ? "0 %" : `${share > 0 ? "+" : "−"}${percent(Math.abs(share))}`

/** The hypercall that gives map-per-packet its goodput under changes. */
const refitted = async (changes: object): Promise<number> => {
  const scenario = worldOf("map-per-packet", "5 ms", "50 ms")
  const options = { scenario, targetGbps: TARGET_GBPS, seeds: [1], startPs: hypercall.value, profileChanges: changes }
  return (await Effect.runPromise(fitHypercall(options))).hypercallPs
}

/** Lines of the contention study at both ends of each range, and what moves each of them most. */
const contention = async (): Promise<readonly [all: string, extremes: string]> => {
  const timesOf = (changes: object) => Effect.runPromise(pairTimesOf(CONTENTION, changes))
  const rows: Array<ReadonlyArray<string>> = []
  const add = (first: ReadonlyArray<string>, times: ReadonlyArray<ReadonlyArray<number>>): void => {
    rows.push([...first, ...times.map((one) => one.map(microseconds).join(" / "))])
    console.error(rows.at(-1)!.join("  "))
  }
  const spent = new Set(assumedConstants(profile))
  const asItIs = await timesOf({})
  add(["as it is", "", "", time(hypercall.value)], asItIs)
  const ends: Array<{ readonly name: string; readonly times: ReadonlyArray<ReadonlyArray<number>> }> = []
  for (const constant of CONTENTION_CONSTANTS) {
    const { range, unit, value: own } = profile.constants[constant]
    for (const [index, value] of range!.entries()) {
      if (value === own) continue
      const end = index === 0 ? CHANGES.low : CHANGES.high
      // What the scenario does not spend leaves its fit alone.
      const hypercallPs = spent.has(constant) ? await refitted({ [constant]: value }) : hypercall.value
      const times = await timesOf({ [constant]: value, hypercall: hypercallPs })
      add([code(constant), end, valueText(value, unit), `${hypercallPs / NS} ns`], times)
      ends.push({ name: `${code(constant)}, ${end}`, times })
    }
  }
  const extremes = CONTENTION.lines.map((line, index) => {
    const moved = ends
      .map(({ name, times }) => ({ name, share: difference(times[index]!, asItIs[index]!) }))
      .toSorted((left, right) => left.share - right.share)
    const cell = ({ name, share }: (typeof moved)[number]): string => `${differenceText(share)}: ${name}`
    return [code(line), microseconds(asItIs[index]!.at(-1)!), cell(moved[0]!), cell(moved.at(-1)!)]
  })
  const heads = ["Constant", "End", "Value", "Hypercall", ...CONTENTION.lines]
  return [
    table(heads, rows, heads.slice(2)),
    table(["Line", `us at ${MOST_THREADS} threads`, "Least", "Most"], extremes, [`us at ${MOST_THREADS} threads`])
  ]
}

/** Ten seeds of the scenario as it is: what the profile's value was taken from. */
const fit = async (): Promise<string> => {
  const scenario = worldOf("map-per-packet", "5 ms", "50 ms")
  const result = await Effect.runPromise(
    fitHypercall({ scenario, targetGbps: TARGET_GBPS, seeds: SEEDS, startPs: 700 * NS })
  )
  return (
    `Fitted from a start at 700 ns, ten seeds: ${result.hypercallPs / NS} ns, which gives ` +
    `${gbps(result.goodputGbps)} Gb/s; the profile has ${hypercall.value / NS} ns.`
  )
}

const CONTENTION_HEADING = "## The contention lines at the ends of the ranges"

const contentionText = async (): Promise<string> => {
  const [all, extremes] = await contention()
  return [
    CONTENTION_HEADING,
    `Lines of [the contention study](contention.md) on this profile, with the hypercall that is fitted again as above:
what one pair of map and unmap takes each thread, in microseconds, at ${CONTENTION.threads.join(" / ")} threads
(pattern \`once\`; for 1 million pairs a thread, as in the study's charts, the same figures are seconds). What
map-per-packet does not spend leaves its hypercall as it is.`,
    all,
    `By how much each line moves at ${MOST_THREADS} threads, and by which constant it is made least and most:`,
    extremes
  ].join("\n\n")
}

const headlineText = async (): Promise<string> =>
  [
    "# How much the assumed constants matter",
    "<!-- Generated by `node scripts/sensitivity.ts`. Do not edit. -->",
    `The profile \`${PROFILE}\` has one fitted constant, the hypercall. It is fitted to one published figure:
map-per-packet receives about 3 Gb/s on an 8-core POWER7 with 16 TCP streams (Linux commit 4cce66cdd14a). No
published value exists for the constants tagged E in [the profile](reference/profiles.md); each is an assumption
with a range. This page changes them one by one, fits the hypercall again, and shows what follows.`,
    "## The scenario as it is",
    await headline(),
    await fit(),
    "## Each constant within its range",
    `Each is halved and doubled, where its range allows, and put at both ends of the range. "Gb/s" is what
map-per-packet delivers with the profile's hypercall; "Hypercall" is what it has to be for 3 Gb/s again; the CPU
and page-chunk's figures are with that hypercall. page-chunk is not fitted: it fills the wire, at most 9.493 Gb/s
of payload at an MTU of 1500, wherever in its range a constant lies. Seed 1; windows of 50 ms, for
page-chunk of 10 ms. A nanosecond more or less in the hypercall is noise.`,
    await variants(),
    `What is done while the lock is held moves the fit, and nearly by as much as it grows: what a hand-off costs (most
of all for each waiter), the search of the bitmap, the acquire. What is done outside of it moves nothing but CPU time,
except that a dearer stack keeps one CPU more away from the lock at a time, and so makes its hand-offs cheaper.`,
    "## Where page-chunk leaves the wire",
    `The cost of the stack for a frame, other constants as they are. At 812,744 frames a second a CPU of eight has
9.84 us for each; what the stack does not take of that goes to the driver, the copy of acknowledgements, interrupts and
its share of the block's mapping. The range that the profile gives for the stack is 1 to 6 us.`,
    await stackSweep()
  ].join("\n\n")

const PAGE = `${ROOT}docs/sensitivity.md`

/** The page's other chapters, as they were written last. */
const writtenText = (): string => readFileSync(PAGE, "utf8").split(`\n\n${CONTENTION_HEADING}`)[0]!.trimEnd()

const chapters = process.argv[2] === "contention" ? writtenText() : await headlineText()
mkdirSync(`${ROOT}docs`, { recursive: true })
writeFileSync(PAGE, `${chapters}\n\n${await contentionText()}\n`)
