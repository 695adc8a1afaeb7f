/** The table of a scenario's results on a terminal of 80 columns. */
import { formatQuantity, rateQuantity, sizeQuantity } from "@vnic/sim"
import { ringBalance } from "./Limit.ts"
import { COLUMNS, FIXED_SPACE, wrapped } from "./Lines.ts"
import type { Envelope, RunResult, Statistic } from "./Result.ts"
import type { ResolvedScenario } from "./Scenario.ts"

/** Longer names have a line of their own. */
const NAME_COLUMNS = 14
/** What begins the lines that a line goes on in. */
const INDENT = "  "

const percent = (share: number): string => `${Math.round(share * 100)}%`

/** A count per frame: no digits after 0, and enough to see a small one. */
const perFrame = (value: Statistic, smallDigits: number): string => {
  if (value === null) return "-"
  if (value === 0) return "0"
  return value.toFixed(value < 0.1 ? smallDigits : 2)
}

/** Sets numbers under each other by their decimal points. */
const alignPoint = (text: string, integerColumns: number, columns: number): string => {
  const point = text.indexOf(".")
  const integers = point < 0 ? text : text.slice(0, point)
  return (integers.padStart(integerColumns) + text.slice(integers.length)).padEnd(columns)
}

/** Widths of the columns that depend on what is in them. */
interface Widths {
  readonly name: number
  readonly goodput: number
  readonly cpu: number
}

const goodput = ({ goodputGbps }: RunResult): string => `${goodputGbps.toFixed(2)} Gb/s`

/** One line, and further ones for a name or a limit that its column has no room for. */
const row = (run: RunResult, widths: Widths, linkGbps: number): ReadonlyArray<string> => {
  const isNameLong = run.name.length > widths.name
  const cells = [
    (isNameLong ? "" : run.name).padEnd(widths.name),
    goodput(run).padStart(widths.goodput),
    percent(run.wireGbps / linkGbps).padStart(4),
    alignPoint(perFrame(run.dma.rx.mapsPerFrame, 4), 5, 10),
    alignPoint(perFrame(run.dma.hypercallsPerFrame, 2), 6, 12),
    percent(run.cpu.utilization).padStart(widths.cpu),
    ""
  ].join("  ")
  const lines = wrapped(cells + run.limit.resource, COLUMNS, " ".repeat(cells.length)).split("\n")
  return isNameLong ? [run.name, ...lines] : lines
}

const rateOrWord = (rate: number | string): string =>
  typeof rate === "number" ? `at ${formatQuantity(rateQuantity, rate)}` : rate === "line" ? "at line rate" : rate

/** What is sent, in a few words. */
const trafficInWords = ({ link, traffic }: ResolvedScenario): string => {
  const mtu = `MTU ${link.mtuBytes}`
  switch (traffic.kind) {
    case "closed-loop":
      return `${traffic.streams} TCP streams, ${mtu}`
    case "open-loop": {
      const frames = traffic.frameBytes === "imix" ? "IMIX" : formatQuantity(sizeQuantity, traffic.frameBytes)
      return `${frames} frames ${rateOrWord(traffic.rateBitsPerSecond)}`
    }
    case "replay":
      return `${traffic.capture.split("/").at(-1)} ${rateOrWord(traffic.rateBitsPerSecond)}`
  }
}

/** What all worlds have in common, or that they differ in it. */
const shared = (
  noun: string,
  worlds: ReadonlyArray<ResolvedScenario>,
  wordsOf: (world: ResolvedScenario) => string
): string => {
  const [words, ...others] = new Set(worlds.map(wordsOf))
  return others.length === 0 ? words! : `${noun} by run`
}

/** What became of frames that did not arrive, one line for each run that lost some, the commonest cause first. */
const losses = (runs: ReadonlyArray<RunResult>): ReadonlyArray<string> =>
  runs.flatMap(({ frames, name }) => {
    const causes = Object.entries(frames.dropped).filter(([, count]) => count > 0)
    const answers = frames.answersDropped > 0 ? [`${name}: ${frames.answersDropped} answers were not sent`] : []
    if (causes.length === 0) return answers
    const lost = causes.reduce((sum, [, count]) => sum + count, 0)
    const named = causes
      .toSorted((left, right) => right[1] - left[1])
      .map(([cause, count]) => cause + FIXED_SPACE + count)
    return [`${name}: ${lost} of ${frames.offered} frames dropped: ${named.join(", ")}`, ...answers]
  })

const thousands = (framesPerSecond: number): string => `${Math.round(framesPerSecond / 1000)}k`

/** Runs whose host did not keep up with the wire, or caught up, inside the window: one line each. */
const imbalances = (runs: ReadonlyArray<RunResult>): ReadonlyArray<string> =>
  runs.flatMap(({ cpu, framesPerSecond, name }) => {
    const balance = ringBalance(framesPerSecond, cpu.framesPerSecond)
    if (balance === 0) return []
    const what = balance < 0 ? "rings filled" : "rings emptied"
    return [
      `${name}: ${what}: ${thousands(framesPerSecond)} frames/s passed, CPUs took ${thousands(cpu.framesPerSecond)}`
    ]
  })

/**
 * Heading, one line for each run, and what the checks found. `worlds` are those of the runs in the envelope, in their
 * order. No line is longer than 80 columns; what there is no room for goes on in the next one.
 */
export const renderTable = (envelope: Envelope, worlds: ReadonlyArray<ResolvedScenario>, next: string): string => {
  const { runs } = envelope
  const widths = {
    name: Math.min(NAME_COLUMNS, Math.max(8, ...runs.map(({ name }) => name.length))),
    goodput: Math.max(9, ...runs.map((run) => goodput(run).length)),
    cpu: Math.max(3, ...runs.map(({ cpu }) => percent(cpu.utilization).length))
  }
  const about = [
    envelope.scenario,
    shared("platform", worlds, ({ profile }) => profile),
    shared("traffic", worlds, trafficInWords),
    shared("seed", worlds, ({ seed }) => `seed ${seed}`)
  ]
  const heads = ["goodput".padStart(widths.goodput), "wire", "maps/frame", "hcalls/frame", "CPU".padStart(widths.cpu)]
  const heading = runs.every(({ name, strategy }) => name === strategy) ? "strategy" : "run"
  const sum = (part: keyof RunResult["checks"]): number => runs.reduce((total, { checks }) => total + checks[part], 0)
  const lines = [
    about.join("  "),
    [heading.padEnd(widths.name), ...heads, "limited by"].join("  "),
    ...runs.flatMap((run, index) => row(run, widths, worlds[index]!.link.rateBitsPerSecond / 1e9)),
    ...losses(runs),
    ...imbalances(runs),
    `${sum("corruptFrames")} corrupt, ${sum("leakedMappings")} leaked, ${sum("faults")} faults.   ` +
      `Next: ${next}`.replaceAll(" ", FIXED_SPACE)
  ]
  return lines.map((line) => wrapped(line, COLUMNS, INDENT)).join("\n")
}
