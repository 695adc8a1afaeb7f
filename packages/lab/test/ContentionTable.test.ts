/**
 * Views of a study.
 *
 * Goal: any number fits its column, and a chart tells every line from every other. Method: numbers of all sizes,
 * and the specification of a chart with all lines.
 */
import { fc, it as property } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import type { ContentionEnvelope, Point } from "../src/contention/contentionResult.ts"
import { renderContention, short } from "../src/contention/contentionTable.ts"
import { LINES } from "../src/contention/lines.ts"
import { plotSpec } from "../src/contention/plot.ts"

interface Encoding {
  readonly scale: { readonly range: ReadonlyArray<string> }
}

const STEPS = { nodes: 1, words: 0, cacheLines: 3, locks: 1 }
const TIMES = { p50: 900, p99: 1200, p999: 5000 }

const PARTS = {
  profile: "power7-pseries",
  allocator: "bitmap",
  lockAcrossTableWrite: "both",
  flush: "strict"
} as const

const pointOf = (line: string, threads: number, seconds: number): Point => ({
  line,
  ...PARTS,
  pattern: "once",
  threads,
  seconds,
  secondsCi95: seconds / 200,
  opsPerSecond: (threads * 1e6) / seconds,
  pairs: threads * 1e6,
  pairsSimulated: 5120,
  isSampled: true,
  isSettled: true,
  mapNs: TIMES,
  unmapNs: TIMES,
  lockWait: [{ lock: "iova tree", share: 0.5 }],
  perMap: STEPS,
  perUnmap: STEPS,
  hypercallsPerPair: 2,
  hypercalls: threads * 2e6,
  fairness: { jain: 1, minOverMax: 1 }
})

const envelopeOf = (lines: ReadonlyArray<string>, points: ReadonlyArray<Point>): ContentionEnvelope => ({
  schemaVersion: 1,
  kind: "contention",
  version: "0.1.0",
  seed: 1,
  settings: {
    lines: lines.map((name) => ({ name, ...PARTS })),
    threads: [1, 1024],
    ops: 1_000_000,
    pattern: "once",
    granulePages: 1,
    direction: "bidirectional",
    maskBits: 32,
    delayPs: 0,
    seed: 1,
    isExact: false
  },
  points,
  refused: []
})

describe("the table", () => {
  property.prop([fc.double({ min: 1e-9, max: 9e8, noNaN: true })])("has numbers of four characters", (value) => {
    expect(short(value).length).toBeLessThanOrEqual(4)
    const read = Number(short(value).replace("k", "e3"))
    if (value < 999_000) expect(Math.abs(read / value - 1)).toBeLessThan(value < 0.0095 || value > 9999 ? 0.5 : 0.06)
  })

  it("marks what is a guess and what was refused", () => {
    const envelope = {
      ...envelopeOf(
        ["bitmap", "maple"],
        [
          pointOf("bitmap", 1, 1.72),
          { ...pointOf("bitmap", 1024, 6180), isSettled: false },
          { ...pointOf("maple", 1, 1.78), isSampled: false, secondsCi95: 0 }
        ]
      ),
      refused: [{ line: "maple", threads: 1024, seconds: 10_000 }]
    }
    expect(renderContention(envelope).split("\n")).toEqual([
      "contention  power7-pseries  once, 1,000,000 pairs a thread",
      "seconds, threads    1 1024",
      "bitmap           1.72~6180",
      "maple            1.78  >9k",
      "1 of 3 points sampled, 95 % interval within 0.50 %",
      "~ 1 guess, of a sample that does not stand for the whole run",
      "> 1 point would pass 9,000 simulated seconds and was refused"
    ])
  })
})

describe("the table of one line", () => {
  it("has pairs a second in the unit of its column, however many", () => {
    const rate = (opsPerSecond: number): string => {
      const point = { ...pointOf("direct", 1, 0.08), opsPerSecond }
      return renderContention(envelopeOf(["direct"], [point]))
        .split("\n")[2]!
        .slice(17, 26)
        .trim()
    }
    expect([12_488_000, 9_999_400, 574_321, 950].map(rate)).toEqual(["12488", "9999", "574", ".950"])
  })

  it("marks them too, and has no interval of nothing", () => {
    const envelope = {
      ...envelopeOf(
        ["bitmap"],
        [
          { ...pointOf("bitmap", 1, 1.72), secondsCi95: 0 },
          { ...pointOf("bitmap", 8, 15.7), isSettled: false }
        ]
      ),
      refused: [{ line: "bitmap", threads: 1024, seconds: 10_000 }]
    }
    const rows = renderContention(envelope).split("\n")
    expect(rows.map((row) => row.slice(0, 16).trim())).toEqual([
      "bitmap  power7-p",
      "threads  seconds",
      "1     1.72",
      "8    ~15.7",
      "1024      >9k",
      "1 of 2 points sa",
      "~ 1 guess, of a",
      "> 1 point would"
    ])
    expect(rows[5]).toBe("1 of 2 points sampled, 95 % interval within 0.01 %")
  })
})

describe("the chart", () => {
  it("tells all lines apart by colour, and by mark", () => {
    const names = LINES.map(({ name }) => name)
    const spec = plotSpec(
      envelopeOf(
        names,
        names.map((name) => pointOf(name, 1, 1))
      )
    )
    const { color, shape } = (spec as unknown as { readonly encoding: Record<string, Encoding> }).encoding
    const colours = color!.scale.range
    expect(new Set(colours).size).toBe(LINES.length)
    expect(new Set(shape!.scale.range).size).toBe(LINES.length)
  })

  it("has room for the threads of points that were refused, and says which they are", () => {
    const names = LINES.map(({ name }) => name)
    const refused = names.flatMap((line) => [512, 1024].map((threads) => ({ line, threads, seconds: 10_000 })))
    const spec = plotSpec({ ...envelopeOf(names, [pointOf("bitmap", 1, 9000)]), refused })
    const { encoding, title } = spec as unknown as {
      readonly encoding: { readonly x: { readonly scale: { readonly domain: ReadonlyArray<number> } } }
      readonly title: { readonly subtitle: ReadonlyArray<string> }
    }
    expect(encoding.x.scale.domain).toEqual([1, 1024])
    const said = title.subtitle.join(" ")
    expect(said).toContain("would pass 9,000 simulated seconds (threads): direct (512, 1024) ")
    for (const line of names) expect(said).toContain(` ${line} (512, 1024)`)
    expect(Math.max(...title.subtitle.map(({ length }) => length))).toBeLessThanOrEqual(100)
  })
})
