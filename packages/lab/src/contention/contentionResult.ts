/** Results of the study as data: what `--json` writes. Table and plot are views of it. */
import type { Line } from "./lines.ts"
import { iommuKindOf, type Settings } from "./settings.ts"

/** What a line is made of; null where it has none. */
export interface Parts {
  readonly profile: string
  readonly allocator: Line["allocator"] | null
  /** Of the bitmap: how far its lock reaches. */
  readonly lockAcrossTableWrite: Line["lockAcrossTableWrite"] | null
  /** TCE tables need none. */
  readonly flush: Line["flush"] | null
}

/** What a line is made of. */
export const partsOf = ({ allocator, flush, lockAcrossTableWrite, path, profile }: Line): Parts => ({
  profile,
  allocator: path === "dma" ? allocator : null,
  lockAcrossTableWrite: path === "dma" && allocator === "bitmap" ? lockAcrossTableWrite : null,
  flush: path === "direct" || iommuKindOf(profile) === "tce" ? null : flush
})

/** Times of one kind of call, nanoseconds. */
export interface CallTimes {
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

/** What an allocator did for one call, on average; of a sample as many digits as it tells. */
export interface Steps {
  readonly nodes: number
  readonly words: number
  readonly cacheLines: number
  readonly locks: number
}

/** One point of a line. */
export interface Point extends Parts {
  readonly line: string
  readonly pattern: string
  readonly threads: number
  /** Until every thread has done its pairs; a guess when the point is not settled. */
  readonly seconds: number
  /** Half-width of its 95 % confidence interval; 0 when all pairs were simulated. Of a guess, it is one too. */
  readonly secondsCi95: number
  /** Pairs a second, of all threads together. */
  readonly opsPerSecond: number
  readonly pairs: number
  /** Pairs from which the point was computed; all of them, or the sample. */
  readonly pairsSimulated: number
  readonly isSampled: boolean
  /** False when the sample does not stand for the whole run: `seconds` is a guess then. */
  readonly isSettled: boolean
  readonly mapNs: CallTimes
  readonly unmapNs: CallTimes
  /** What waiting for each lock took of the CPUs' busy time, the largest first. */
  readonly lockWait: ReadonlyArray<{ readonly lock: string; readonly share: number }>
  readonly perMap: Steps
  readonly perUnmap: Steps
  /** Of a sample as many digits as it tells. */
  readonly hypercallsPerPair: number
  readonly hypercalls: number
  /** Of the threads, or in a sample of more threads than there are CPUs, of the CPUs. */
  readonly fairness: { readonly jain: number; readonly minOverMax: number }
}

/** A point that would take more simulated time than there is. */
export interface Refusal {
  readonly line: string
  readonly threads: number
  readonly seconds: number
}

/** Settings of a study as they are written. */
export interface SettingsResult extends Omit<Settings, "lines" | "pattern"> {
  readonly lines: ReadonlyArray<{ readonly name: string } & Parts>
  readonly pattern: string
}

/** Settings as a result shows them. */
export const settingsResult = (settings: Settings): SettingsResult => ({
  ...settings,
  lines: settings.lines.map((line) => ({ name: line.name, ...partsOf(line) })),
  pattern: settings.pattern.name
})

/** Results of a study. All but `wall` is a pure function of settings and version. */
export interface ContentionEnvelope {
  readonly schemaVersion: number
  readonly kind: "contention"
  readonly version: string
  readonly seed: number
  readonly settings: SettingsResult
  readonly points: ReadonlyArray<Point>
  readonly refused: ReadonlyArray<Refusal>
  readonly wall?: { readonly seconds: number }
}
