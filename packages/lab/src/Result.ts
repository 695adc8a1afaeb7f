/** Results as data: what `--json` writes. Tables and pages are views of it. Numbers carry their unit in the key. */
import { DROP_CAUSES as DEVICE_DROP_CAUSES } from "@vnic/nic-device"
import type { ResolvedScenario } from "./Scenario.ts"

/** Version of the shape below; it changes when a reader of results would have to. */
export const SCHEMA_VERSION = 1

/**
 * Causes of lost frames, each present at 0: the device's own, by its counters; a frame for which the driver
 * had no replacement buffers, in which the device found an error, or that it spread over several descriptors; and
 * one that an open-loop sender had no room for.
 */
export const DROP_CAUSES = [
  ...DEVICE_DROP_CAUSES,
  "noReceiveBuffer",
  "receiveError",
  "severalDescriptors",
  "senderBacklog"
] as const

export type DropCause = (typeof DROP_CAUSES)[number]

/** A mean or a percentile; null where there was nothing to take it of. Rates and shares of time are 0 then. */
export type Statistic = number | null

/** Use of one lock during the measured window. */
export interface LockResult {
  readonly name: string
  readonly utilization: number
  /** Of those who took it. */
  readonly meanWaitNs: Statistic
  readonly contendedShare: Statistic
}

/** What limits a run during the measured window. */
export interface LimitResult {
  /**
   * `busiest` when it limits, or `CPUs` when several do; `waits for locks`, none of which is full, where CPUs have no
   * time left; `dropped frames`; `too few frames` in a window too small to tell; else what is outside of the host: the
   * senders' windows or the offered load.
   */
  readonly resource: string
  /** How busy `busiest` was, from 0 to 1. */
  readonly busyShare: number
  /** The serial resource that limits; the one with the highest busy share where none does. */
  readonly busiest: string
}

/**
 * Mappings made for one direction inside the window, for each frame of that direction. The map and the unmap of a
 * block that serves many frames count for each of them in part, where `maps` and `unmaps` count them whole.
 */
export interface MappingRates {
  readonly mapsPerFrame: Statistic
  readonly unmapsPerFrame: Statistic
}

/** What an IOTLB did over the whole run, and what devices reached through it after its unmap. */
export interface IotlbResult {
  readonly hits: number
  readonly misses: number
  readonly invalidations: { readonly page: number; readonly domain: number }
  readonly stale: {
    readonly accesses: number
    readonly bytes: number
    /** The longest time from an unmap to such an access. */
    readonly latestUseNs: number
    /** Copies that outlived their page's unmap, and how long they could be used. */
    readonly copies: number
    readonly usableNsMean: Statistic
    readonly usableNsMax: number
  }
}

/** What one run measured. */
export interface RunResult {
  readonly name: string
  /** The run's own where it sets one, else the scenario's or the command's. */
  readonly seed: number
  readonly profile: string
  readonly strategy: string
  readonly allocator: string
  readonly flush: string
  /** TCP payload that passed the wire inside the window and was delivered, in order and once. */
  readonly goodputGbps: number
  /** Half-width of the 95 % confidence interval over equal windows. */
  readonly goodputGbpsCi95: number
  readonly wireGbps: number
  readonly framesPerSecond: number
  /**
   * The serial resource with the highest busy share from 97 % up, in a window of at least 34 frames; else what keeps
   * frames from coming faster.
   */
  readonly limit: LimitResult
  /** Frames of the whole run, drained: offered = delivered + dropped. */
  readonly frames: {
    readonly offered: number
    readonly delivered: number
    /** Frames of a capture that were shorter than 60 bytes and went out with zeros behind them. */
    readonly padded: number
    readonly dropped: Readonly<Record<DropCause, number>>
    /** Answers of the host that never left it: no room in the transmit ring, no memory, no mapping. */
    readonly answersDropped: number
  }
  /** Segments that the senders of a closed loop sent again, and why, over the whole run. */
  readonly retransmissions: { readonly segments: number; readonly fast: number; readonly timeouts: number }
  readonly cpu: {
    readonly utilization: number
    readonly perCpu: ReadonlyArray<number>
    /** Frames that the CPUs handed up inside the window, a second: those that `nsPerFrame` is of. */
    readonly framesPerSecond: number
    readonly nsPerFrame: Readonly<Record<string, Statistic>>
  }
  readonly dma: {
    readonly maps: number
    readonly unmaps: number
    readonly hypercalls: number
    /** Hypercalls for each frame that the driver received, both inside the window. */
    readonly hypercallsPerFrame: Statistic
    readonly rx: MappingRates
    readonly tx: MappingRates
    readonly pinnedPagesMax: number
  }
  /** Where the platform's IOMMU has one. */
  readonly iotlb?: IotlbResult
  readonly locks: ReadonlyArray<LockResult>
  /** From the first bit on the wire, of a segment's first transmission (open loop: from the schedule), to the sink. */
  readonly latencyNs: { readonly p50: Statistic; readonly p99: Statistic; readonly p999: Statistic }
  readonly checks: {
    readonly corruptFrames: number
    readonly leakedMappings: number
    /** What DMA debug found wrong: double unmaps, wrong sizes or directions, use outside a live mapping. */
    readonly debugFindings: number
    readonly faults: number
    /** 1 when frames were still under way long after the sources had stopped, so that the world was cut off. */
    readonly unsettled: number
  }
}

/** The whole resolved scenario, and what each run changes in it, as written. */
export type Settings = ResolvedScenario & {
  readonly runs: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

/** A run without a result. */
export interface Failure {
  readonly name: string
  readonly reason: string
}

/** Results of a scenario's runs. All but `wall` is a pure function of scenario, seed and version. */
export interface Envelope {
  readonly schemaVersion: number
  readonly kind: "run"
  readonly scenario: string
  readonly version: string
  readonly seed: number
  readonly settings: Settings
  /** Of those that ended. */
  readonly runs: ReadonlyArray<RunResult>
  /** Those that did not; empty when all went well. */
  readonly failed: ReadonlyArray<Failure>
  /** Wall-clock time of all runs together; left out where two results are to be compared byte by byte. */
  readonly wall?: { readonly seconds: number; readonly framesPerSecond: number }
}

/** What failed in the checks of these runs, one line for each finding. */
export const failedChecks = (runs: ReadonlyArray<RunResult>): ReadonlyArray<string> =>
  runs.flatMap(({ checks, name }) => [
    ...finding(name, checks.corruptFrames, "corrupt frame"),
    ...finding(name, checks.leakedMappings, "leaked mapping"),
    ...finding(name, checks.faults, "DMA fault"),
    ...finding(name, checks.unsettled, "world that did not come to rest"),
    ...finding(name, checks.debugFindings, "finding of DMA debug", "findings of DMA debug")
  ])

const finding = (run: string, count: number, noun: string, plural = `${noun}s`): ReadonlyArray<string> =>
  count === 0 ? [] : [`${run}: ${count} ${count === 1 ? noun : plural}`]
