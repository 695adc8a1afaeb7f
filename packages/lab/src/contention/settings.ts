/** What a study is asked for, checked before anything runs. */
import { type DmaOptions, flushDescriptions } from "@vnic/dma-api"
import { findProfile, PROFILES, parseQuantity, timeQuantity } from "@vnic/sim"
import { FlagInvalid } from "../Errors.ts"
import { suggestion } from "../Names.ts"
import { type Line, LINES } from "./lines.ts"
import { parsePattern, type Pattern } from "./patterns.ts"

/** The command line, as written; what is absent has its default. */
export interface Written {
  readonly line?: string | undefined
  readonly threads?: string | undefined
  readonly ops?: number | string | undefined
  readonly pattern?: string | undefined
  readonly granule?: number | string | undefined
  readonly direction?: string | undefined
  readonly maskBits?: number | string | undefined
  readonly delay?: string | undefined
  readonly flush?: string | undefined
  readonly profile?: string | undefined
  readonly seed?: number | string | undefined
  readonly exact?: boolean | undefined
}

/** Directions by the number that the DMA API gives them. */
export const DIRECTIONS = ["bidirectional", "to-device", "from-device"] as const

/** Everything that decides a study's results. */
export interface Settings {
  readonly lines: ReadonlyArray<Line>
  readonly threads: ReadonlyArray<number>
  /** Pairs of each thread. */
  readonly ops: number
  readonly pattern: Pattern
  /** IOMMU pages of 4 KiB that each call maps. */
  readonly granulePages: number
  readonly direction: (typeof DIRECTIONS)[number]
  readonly maskBits: number
  readonly delayPs: number
  readonly seed: number
  readonly isExact: boolean
}

const OPS_DEFAULT = 1_000_000
const OPS_MAX = 1e12
/** Limits of the kernel's map_benchmark. */
const THREADS_MAX = 1024
const GRANULE_PAGES_MAX = 1024
const DELAY_PS_MAX = 10e9
const MASK_BITS_MIN = 20
/** More bits reach nothing: no window lies higher. */
const MASK_BITS_MAX = 32
const SEED_MAX = 0xffff_ffff
const ALL = "all"

const invalid = (flag: string, reason: string): never => {
  throw new FlagInvalid({ flag, reason })
}

/** A flag's text, which may not be empty. */
const given = (flag: string, written: string): string =>
  written.trim() === "" ? invalid(flag, "needs a value, and has none") : written

const whole = (flag: string, written: number | string, low: number, high: number, why = ""): number => {
  const value = Number(given(flag, String(written)))
  return Number.isInteger(value) && value >= low && value <= high
    ? value
    : invalid(flag, `${written} is not a whole number from ${low} to ${high}${why}`)
}

const maskBitsOf = (written: number | string): number => {
  const why = "; the bus addresses of every platform here end at 4 GiB"
  return whole("--mask-bits", written, MASK_BITS_MIN, MASK_BITS_MAX, Number(written) > MASK_BITS_MAX ? why : "")
}

const word = <Word extends string>(flag: string, written: string, words: ReadonlyArray<Word>): Word =>
  words.find((known) => known === given(flag, written)) ??
  invalid(flag, `${written} is unknown; ${suggestion(written, words)}`)

const parts = (text: string): ReadonlyArray<string> => text.split(",").map((part) => part.trim())

const threadCounts = (text: string | undefined): ReadonlyArray<number> => {
  if (text === undefined) return Array.from({ length: 11 }, (_, power) => 2 ** power)
  const counts = parts(given("--threads", text)).map((part) =>
    /^\d+$/u.test(part)
      ? whole("--threads", Number(part), 1, THREADS_MAX)
      : invalid("--threads", `${part === "" ? "nothing" : part} is not a number of threads, as in 1,2,4`)
  )
  return [...new Set(counts)].toSorted((left, right) => left - right)
}

/** Of lines that another platform or flush makes the same, the first. */
const distinct = (lines: ReadonlyArray<Line>): ReadonlyArray<Line> => {
  const known = new Map<string, Line>()
  for (const line of lines) {
    const { allocator, flush, lockAcrossTableWrite, path, profile } = line
    const key = [path, profile, allocator, flush, lockAcrossTableWrite].join()
    if (!known.has(key)) known.set(key, line)
  }
  return [...known.values()]
}

const chosenLines = (text: string): ReadonlyArray<Line> => {
  if (text === ALL) return LINES
  const names = LINES.map(({ name }) => name)
  const chosen = parts(text).map((name) => word("--line", name, [...names, ALL]))
  return chosen.includes(ALL) ? LINES : LINES.filter(({ name }) => chosen.includes(name))
}

/** The lines on another platform. Those that mean theirs stay out, or cannot be asked for. */
const onProfile = (lines: ReadonlyArray<Line>, name: string, isAll: boolean): ReadonlyArray<Line> => {
  const profile = word(
    "--profile",
    name,
    PROFILES.map((known) => known.name)
  )
  const bound = lines.find((line) => line.isBound && line.profile !== profile)
  if (bound !== undefined && !isAll) invalid("--profile", `${bound.name} is a line of ${bound.profile}`)
  return lines
    .filter((line) => !line.isBound || line.profile === profile)
    .map((line) => (line.isBound ? line : { ...line, profile }))
}

/** The kind of IOMMU that a platform has. */
export const iommuKindOf = (profile: string): "tce" | "vtd" => findProfile(profile)!.iommu

const flushed = (lines: ReadonlyArray<Line>, written: string): ReadonlyArray<Line> => {
  const flush = word("--flush", written, Object.keys(flushDescriptions) as ReadonlyArray<DmaOptions["flush"]>)
  const has = (line: Line): boolean => line.path === "dma" && iommuKindOf(line.profile) === "vtd"
  if (lines.some(has)) return lines.map((line) => (has(line) ? { ...line, flush } : line))
  if (flush === "strict") return lines
  return lines.some(({ path }) => path === "dma")
    ? invalid("--flush", "TCE tables need no flush; use it with lines on x86-sandybridge")
    : invalid("--flush", `${lines[0]!.name} goes past the DMA API, which has the flush policies; use another line`)
}

const patternOf = (text: string): Pattern => {
  const parsed = parsePattern(text)
  return "problem" in parsed ? invalid("--pattern", parsed.problem) : parsed
}

const delayOf = (text: string): number => {
  given("--delay", text)
  const parsed = parseQuantity(timeQuantity, text)
  if ("problem" in parsed) return invalid("--delay", parsed.problem)
  if (!(parsed.value >= 0 && parsed.value <= DELAY_PS_MAX)) invalid("--delay", `${text} is not between 0 and 10 ms`)
  return parsed.value
}

/** A number of threads, in words. */
export const inThreads = (count: number): string => (count === 1 ? "1 thread" : `${count} threads`)

/** Settings for what was written; throws `FlagInvalid`. */
export const settingsOf = (written: Written): Settings => {
  const asked = written.line ?? ALL
  let lines = chosenLines(asked)
  if (written.profile !== undefined) lines = onProfile(lines, written.profile, asked === ALL)
  if (written.flush !== undefined) lines = flushed(lines, written.flush)
  return {
    lines: distinct(lines),
    threads: threadCounts(written.threads),
    ops: whole("--ops", written.ops ?? OPS_DEFAULT, 1, OPS_MAX),
    pattern: patternOf(written.pattern ?? "once"),
    granulePages: whole("--granule", written.granule ?? 1, 1, GRANULE_PAGES_MAX),
    direction: word("--direction", written.direction ?? DIRECTIONS[0], DIRECTIONS),
    maskBits: maskBitsOf(written.maskBits ?? MASK_BITS_MAX),
    delayPs: delayOf(written.delay ?? "0 us"),
    seed: whole("--seed", written.seed ?? 1, 0, SEED_MAX),
    isExact: written.exact ?? false
  }
}
