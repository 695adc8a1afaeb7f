/** A study's chart: time against threads, both on logarithmic axes, as a Vega-Lite specification. */
import { RUN_SECONDS_MAX } from "@vnic/sim"
import type { TopLevelSpec } from "vega-lite"
import type { ContentionEnvelope } from "./contentionResult.ts"
import { LINES } from "./lines.ts"

/** A colour and a mark for each line, so that either tells it apart. */
const COLOURS = [
  "#7f7f7f",
  "#000000",
  "#1f77b4",
  "#d62728",
  "#ff7f0e",
  "#bcbd22",
  "#2ca02c",
  "#17becf",
  "#9467bd",
  "#8c564b",
  "#e377c2",
  "#005f27",
  "#6b8f00"
]
const MARKS = [
  "circle",
  "square",
  "diamond",
  "triangle-up",
  "triangle-down",
  "cross",
  "triangle-right",
  "triangle-left",
  // A diagonal cross, a star, an hourglass, the same lying, and a bar.
  "M0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0L-1,-.6L-.6,-1Z",
  "M0,-1.1L.26,-.36L1.05,-.34L.43,.14L.65,.89L0,.45L-.65,.89L-.43,.14L-1.05,-.34L-.26,-.36Z",
  "M-.9,-.9L.9,-.9L-.9,.9L.9,.9Z",
  "M-.9,-.9L-.9,.9L.9,-.9L.9,.9Z",
  "M-1.1,-.4L1.1,-.4L1.1,.4L-1.1,.4Z"
]
const FONT = "DejaVu Sans, Liberation Sans, Arial, sans-serif"

/** Guesses with an interval wider than this are drawn apart from their line. */
const JOINED_SHARE = 0.1

const GRID = { gridColor: "#e4e4e4" } as const

/** Powers of ten from the one below to the one above. */
const powersOfTen = (low: number, high: number): Array<number> => {
  const first = Math.floor(Math.log10(low))
  const last = Math.ceil(Math.log10(high))
  return Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index))
}

/** Lines of a subtitle, about as wide as the chart. */
const SUBTITLE_CHARACTERS = 100

/** What there is no time for, by line: said, as it cannot be drawn. */
const refusedInWords = ({ refused }: ContentionEnvelope): ReadonlyArray<string> => {
  if (refused.length === 0) return []
  const threadsOf = (name: string): string =>
    refused.flatMap((one) => (one.line === name ? [one.threads] : [])).join(", ")
  const rows: Array<string> = []
  let row = `not drawn, would pass ${RUN_SECONDS_MAX.toLocaleString("en")} simulated seconds (threads):`
  for (const name of names.filter((one) => refused.some(({ line }) => line === one))) {
    const next = ` ${name} (${threadsOf(name)})`
    if (row.length + next.length > SUBTITLE_CHARACTERS) {
      rows.push(row)
      row = "   "
    }
    row += next
  }
  return [...rows, row]
}

const names = LINES.map(({ name }) => name)

/** The chart of these points. */
export const plotSpec = (envelope: ContentionEnvelope): TopLevelSpec => {
  const { points, seed, settings, version } = envelope
  const hasGuesses = points.some(({ isSettled }) => !isSettled)
  const shown = names.filter((name) => points.some(({ line }) => line === name))
  const style = <Style>(styles: ReadonlyArray<Style>): Array<Style> =>
    shown.map((name) => styles[names.indexOf(name) % styles.length]!)
  const profiles = [...new Set(points.map(({ profile }) => profile))]
  const { threads } = settings
  const seconds = points.map((point) => point.seconds)
  const legend = { title: null, orient: "right", symbolSize: 70, rowPadding: 4 } as const
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: {
      text: `Time for ${settings.ops.toLocaleString("en")} map and unmap pairs a thread, ${settings.pattern}`,
      subtitle: [
        `${profiles.join(", ")} · vnic ${version}, seed ${seed}`,
        ...(hasGuesses ? ["hollow: a guess, whose sample does not stand for the whole run"] : []),
        ...refusedInWords(envelope)
      ],
      anchor: "start"
    },
    width: 620,
    height: 460,
    background: "white",
    config: { font: FONT, title: { font: FONT, subtitleFont: FONT } },
    data: {
      values: points.map((point) => ({
        line: point.line,
        seconds: point.seconds,
        threads: point.threads,
        isGuess: !point.isSettled,
        isJoined: point.isSettled || point.secondsCi95 <= JOINED_SHARE * point.seconds
      }))
    },
    layer: [
      { transform: [{ filter: "datum.isJoined" }], mark: { type: "line", strokeWidth: 1.6 } },
      { mark: { type: "point", filled: true, size: 55, opacity: 1 } },
      {
        transform: [{ filter: "datum.isGuess" }],
        mark: { type: "point", filled: true, size: 16, opacity: 1 },
        encoding: { color: { value: "white" } }
      }
    ],
    encoding: {
      x: {
        field: "threads",
        type: "quantitative",
        title: "threads",
        scale: { type: "log", base: 2, nice: false, domain: [threads[0]!, threads.at(-1)!] },
        axis: { ...GRID, values: [...threads], format: "d", labelOverlap: true }
      },
      y: {
        field: "seconds",
        type: "quantitative",
        title: "time (s)",
        scale: { type: "log", nice: true },
        axis: { ...GRID, values: powersOfTen(Math.min(...seconds), Math.max(...seconds)), format: "~g" }
      },
      color: { field: "line", type: "nominal", scale: { domain: shown, range: style(COLOURS) }, legend },
      shape: { field: "line", type: "nominal", scale: { domain: shown, range: style(MARKS) }, legend }
    }
  }
}
