/** The table of a study on a terminal of 80 columns. */
import { COLUMNS, cut } from "../Table.ts"
import type { ContentionEnvelope, Point } from "./contentionResult.ts"

/** Four characters, and a space or a sign before them. */
const NUMBER_COLUMNS = 5
const NAME_COLUMNS = 16
const PS_PER_US = 1000

/** Up to three digits in four characters. */
export const short = (value: number): string => {
  if (value === 0) return "0"
  if (value < 0.0095) return value.toExponential(0)
  if (value < 0.9995) return value.toFixed(3).slice(1)
  if (value < 9.995) return value.toFixed(2)
  if (value < 99.95) return value.toFixed(1)
  if (value < 9999.5) return value.toFixed(0)
  return `${Math.min(999, Math.round(value / 1000))}k`
}

const number = (text: string): string => text.padStart(NUMBER_COLUMNS)

/** A row for each line, a column for each number of threads: seconds. */
const matrix = ({ points, refused, settings, unsettled }: ContentionEnvelope): ReadonlyArray<string> => {
  const cell = (line: string, threads: number): string => {
    const point = points.find((one) => one.line === line && one.threads === threads)
    if (point !== undefined) return short(point.seconds)
    const guess = unsettled.find((one) => one.line === line && one.threads === threads)
    if (guess !== undefined) return `~${short(guess.seconds)}`
    return refused.some((one) => one.line === line && one.threads === threads) ? ">9k" : ""
  }
  const columnsMax = Math.floor((COLUMNS - NAME_COLUMNS) / NUMBER_COLUMNS)
  const rows: Array<string> = []
  for (let from = 0; from < settings.threads.length; from += columnsMax) {
    const threads = settings.threads.slice(from, from + columnsMax)
    rows.push(["seconds, threads".padEnd(NAME_COLUMNS), ...threads.map((count) => number(String(count)))].join(""))
    for (const name of settings.lines) {
      rows.push([name.padEnd(NAME_COLUMNS), ...threads.map((count) => number(cell(name, count)))].join(""))
    }
  }
  return rows
}

const us = (ns: number): string => short(ns / PS_PER_US)

const detail = (point: Point): string => {
  const wait = point.lockWait.reduce((sum, { share }) => sum + share, 0)
  return [
    String(point.threads).padStart(7),
    short(point.seconds).padStart(8),
    short(point.opsPerSecond / 1000).padStart(9),
    `${us(point.mapNs.p50).padStart(6)} ${us(point.mapNs.p99).padStart(5)}`,
    `${us(point.unmapNs.p50).padStart(8)} ${us(point.unmapNs.p99).padStart(5)}`,
    `${Math.round(wait * 100)}%`.padStart(7),
    short(point.perMap.nodes).padStart(9),
    short(point.hypercallsPerPair).padStart(6)
  ].join(" ")
}

const DETAIL_HEAD = "threads  seconds k pairs/s  map us   p99 unmap us   p99 waiting nodes/map hcalls"

/** One line: a row for each point, with what is behind it. */
const details = ({ points, unsettled }: ContentionEnvelope): ReadonlyArray<string> => [
  DETAIL_HEAD,
  ...[...points, ...unsettled].toSorted((left, right) => left.threads - right.threads).map(detail)
]

const unsettledInWords = (unsettled: ReadonlyArray<Point>): string => {
  const widest = Math.max(...unsettled.map(({ seconds, secondsCi95 }) => secondsCi95 / seconds))
  const samples =
    unsettled.length === 1
      ? "1 guess, of a sample that was uneven or did not settle"
      : `${unsettled.length} guesses, of samples that were uneven or did not settle`
  return `~ ${samples} (${(widest * 100).toPrecision(2)} %)`
}

const refusedInWords = ({ length }: { readonly length: number }): string =>
  `> ${length === 1 ? "1 point" : `${length} points`} would pass 9,007 simulated seconds and ` +
  `${length === 1 ? "was" : "were"} refused`

/** Heading, the points, and how they were come by; no line is longer than 80 columns. */
export const renderContention = (envelope: ContentionEnvelope): string => {
  const { points, refused, settings, unsettled } = envelope
  const profiles = [...new Set(points.map(({ profile }) => profile))]
  const sampled = points.filter(({ isSampled }) => isSampled).length
  const ci = Math.max(0, ...points.map(({ seconds, secondsCi95 }) => secondsCi95 / seconds))
  const heading = settings.lines.length === 1 ? settings.lines[0]! : "contention"
  const lines = [
    `${heading}  ${profiles.join(", ")}  ${settings.pattern}, ${settings.ops.toLocaleString("en")} pairs a thread`,
    ...(settings.lines.length === 1 ? details(envelope) : matrix(envelope)),
    `${sampled} of ${points.length} points sampled, 95 % interval within ${(ci * 100).toFixed(2)} %`,
    ...(unsettled.length === 0 ? [] : [unsettledInWords(unsettled)]),
    ...(refused.length === 0 ? [] : [refusedInWords(refused)])
  ]
  return lines.map((line) => cut(line.trimEnd(), COLUMNS)).join("\n")
}
