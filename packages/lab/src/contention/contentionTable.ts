/** The table of a study on a terminal of 80 columns. */
import { RUN_SECONDS_MAX } from "@vnic/sim"
import { COLUMNS, wrapped } from "../Lines.ts"
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

/** In thousands, of which there is room for all digits. */
const thousands = (value: number): string => (value < 9999.5e3 ? short(value / 1000) : (value / 1000).toFixed(0))

const number = (text: string): string => text.padStart(NUMBER_COLUMNS)

const seconds = (point: Point): string => (point.isSettled ? "" : "~") + short(point.seconds)

/** A row for each line, a column for each number of threads: seconds. */
const matrix = ({ points, refused, settings }: ContentionEnvelope): ReadonlyArray<string> => {
  const cell = (line: string, threads: number): string => {
    const point = points.find((one) => one.line === line && one.threads === threads)
    if (point !== undefined) return seconds(point)
    return refused.some((one) => one.line === line && one.threads === threads) ? ">9k" : ""
  }
  const columnsMax = Math.floor((COLUMNS - NAME_COLUMNS) / NUMBER_COLUMNS)
  const rows: Array<string> = []
  for (let from = 0; from < settings.threads.length; from += columnsMax) {
    const threads = settings.threads.slice(from, from + columnsMax)
    rows.push(["seconds, threads".padEnd(NAME_COLUMNS), ...threads.map((count) => number(String(count)))].join(""))
    for (const { name } of settings.lines) {
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
    seconds(point).padStart(8),
    thousands(point.opsPerSecond).padStart(9),
    `${us(point.mapNs.p50).padStart(6)} ${us(point.mapNs.p99).padStart(5)}`,
    `${us(point.unmapNs.p50).padStart(8)} ${us(point.unmapNs.p99).padStart(5)}`,
    `${Math.round(wait * 100)}%`.padStart(7),
    short(point.perMap.nodes).padStart(9),
    short(point.hypercallsPerPair).padStart(6)
  ].join(" ")
}

const DETAIL_HEAD = "threads  seconds k pairs/s  map us   p99 unmap us   p99 waiting nodes/map hcalls"

/** One line: a row for each point, with what is behind it. */
const details = ({ points, refused }: ContentionEnvelope): ReadonlyArray<string> => {
  const rows = [
    ...points.map((point) => ({ threads: point.threads, text: detail(point) })),
    ...refused.map(({ threads }) => ({ threads, text: `${String(threads).padStart(7)} ${">9k".padStart(8)}` }))
  ]
  return [DETAIL_HEAD, ...rows.toSorted((left, right) => left.threads - right.threads).map(({ text }) => text)]
}

const LEAST_PERCENT = 0.01

/** The widest interval of points, rounded up: none is nothing wide. */
const widest = (points: ReadonlyArray<Point>): string => {
  const share = Math.max(...points.map((point) => point.secondsCi95 / point.seconds))
  const percent = Math.max(1, Math.ceil((share * 100) / LEAST_PERCENT)) * LEAST_PERCENT
  return `${percent < 10 ? percent.toFixed(2) : Math.ceil(percent)} %`
}

const sampledInWords = (points: ReadonlyArray<Point>): string => {
  const sampled = points.filter(({ isSampled, isSettled }) => isSampled && isSettled)
  return (
    `${sampled.length} of ${points.length} points sampled` +
    (sampled.length === 0 ? "" : `, 95 % interval within ${widest(sampled)}`)
  )
}

const guessesInWords = ({ length }: ReadonlyArray<Point>): string => {
  const guesses = length === 1 ? "1 guess, of a sample that does" : `${length} guesses, of samples that do`
  return `~ ${guesses} not stand for the whole run`
}

const refusedInWords = ({ length }: { readonly length: number }): string =>
  `> ${length === 1 ? "1 point" : `${length} points`} would pass ${RUN_SECONDS_MAX.toLocaleString("en")} ` +
  `simulated seconds and ${length === 1 ? "was" : "were"} refused`

/** Heading, the points, and how they were come by; no line is longer than 80 columns. */
export const renderContention = (envelope: ContentionEnvelope): string => {
  const { points, refused, settings } = envelope
  const guesses = points.filter(({ isSettled }) => !isSettled)
  const profiles = [...new Set(settings.lines.map(({ profile }) => profile))]
  const heading = settings.lines.length === 1 ? settings.lines[0]!.name : "contention"
  const lines = [
    `${heading}  ${profiles.join(", ")}  ${settings.pattern}, ${settings.ops.toLocaleString("en")} pairs a thread`,
    ...(settings.lines.length === 1 ? details(envelope) : matrix(envelope)),
    sampledInWords(points),
    ...(guesses.length === 0 ? [] : [guessesInWords(guesses)]),
    ...(refused.length === 0 ? [] : [refusedInWords(refused)])
  ]
  return lines.map((line) => wrapped(line, COLUMNS, "  ")).join("\n")
}
