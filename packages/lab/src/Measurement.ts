/** What a world has counted up to an instant. What a window saw is the difference of two such readings. */
import { Dma } from "@vnic/dma-api"
import { NicDriver, type DriverStatistics } from "@vnic/driver"
import { Iommu } from "@vnic/iommu"
import { NicDevice } from "@vnic/nic-device"
import { ACCOUNT_COUNT, ACCOUNTS, Simulation, type LedgerEdge } from "@vnic/sim"
import * as Effect from "effect/Effect"
import type { IotlbResult, LimitResult, LockResult, RunResult } from "./Result.ts"

const PS_PER_NS = 1000
const PS_PER_SECOND = 1e12
const LOCK_WAIT = ACCOUNTS.indexOf("lockWait")
/** From this busy share on a resource is what limits the run. */
const LIMIT_SHARE = 0.97
/** A wire that loses more than this to what is behind it is not what limits. */
const LOST_SHARE_MAX = 0.01
/** Shares as near as this are the same. */
const SAME_SHARE = 1e-4
/** In a window of fewer frames, one frame more or less moves a share by more than is missing to 1 here. */
const LIMIT_FRAMES_MIN = Math.ceil(1 / (1 - LIMIT_SHARE))

/** Directions of a DMA mapping, as dma-api counts them. */
const BIDIRECTIONAL = 0
const TO_DEVICE = 1
const FROM_DEVICE = 2

export interface Reading {
  readonly timePs: number
  readonly locks: ReadonlyArray<{
    readonly name: string
    readonly busyPs: number
    readonly waitPs: number
    readonly grants: number
    readonly contended: number
  }>
  readonly busUpBusyPs: number
  readonly busDownBusyPs: number
  readonly maps: Float64Array
  readonly unmaps: Float64Array
  readonly hypercalls: number
  readonly driver: DriverStatistics
}

/** Reads every counter now. */
export const read = Effect.gen(function* () {
  const { cpus, timeline } = (yield* Simulation).core
  const { bus } = yield* (yield* NicDevice).counters
  const counts = yield* (yield* Iommu).hypercalls
  const maps = new Float64Array(3)
  const unmaps = new Float64Array(3)
  for (const { counters } of (yield* Dma).core.devices) {
    for (let direction = 0; direction < 3; direction++) {
      maps[direction]! += counters.maps[direction]!
      unmaps[direction]! += counters.unmaps[direction]!
    }
  }
  const reading: Reading = {
    timePs: timeline.nowPs,
    locks: cpus.lockCounts(),
    busUpBusyPs: bus.upBusyPs,
    busDownBusyPs: bus.downBusyPs,
    maps,
    unmaps,
    hypercalls: counts.putTce + counts.putTceIndirect + counts.stuffTce + counts.getTce,
    driver: yield* (yield* NicDriver).statistics
  }
  return reading
})

/** What the CPUs had done at the two edges of a window, each in its own time. */
export interface CpuEdges {
  readonly from: LedgerEdge
  readonly to: LedgerEdge
  readonly cpuCount: number
}

const spentPs = ({ from, to }: CpuEdges, cpu: number, account: number): number =>
  to.spentPs(cpu, account) - from.spentPs(cpu, account)

/** CPU time by CPU and by account between two edges, whose counts are frames that a CPU has handed up. */
export function cpuResult(edges: CpuEdges): RunResult["cpu"] {
  const { cpuCount, from, to } = edges
  const durationPs = to.timePs - from.timePs
  const byAccount = new Float64Array(ACCOUNT_COUNT)
  let frames = 0
  const perCpu = Array.from({ length: cpuCount }, (_, cpu) => {
    let busyPs = 0
    for (let account = 0; account < ACCOUNT_COUNT; account++) {
      busyPs += spentPs(edges, cpu, account)
      byAccount[account]! += spentPs(edges, cpu, account)
    }
    frames += to.count(cpu) - from.count(cpu)
    return busyPs / durationPs
  })
  const nsPerFrame = Object.fromEntries(
    ACCOUNTS.map((name, account) => [name, per(byAccount[account]! / PS_PER_NS, frames)])
  )
  return {
    utilization: perCpu.reduce((sum, one) => sum + one, 0) / cpuCount,
    perCpu,
    framesPerSecond: (frames * PS_PER_SECOND) / durationPs,
    nsPerFrame
  }
}

/** Use of the locks between two readings. */
export function lockResults(from: Reading, to: Reading): ReadonlyArray<LockResult> {
  const durationPs = to.timePs - from.timePs
  return to.locks.map((lock, index) => {
    const before = from.locks[index]!
    const grants = lock.grants - before.grants
    return {
      name: lock.name,
      utilization: share(lock.busyPs - before.busyPs, durationPs),
      meanWaitNs: per((lock.waitPs - before.waitPs) / PS_PER_NS, grants),
      contendedShare: per(lock.contended - before.contended, grants)
    }
  })
}

/**
 * Mappings between two readings, for each frame of their direction. The map of a block that serves many frames counts
 * for each of them in part, so that the rates of a short window are not those of whole blocks.
 */
export function dmaResult(from: Reading, to: Reading, pinnedPagesMax: number): RunResult["dma"] {
  const difference = (pick: (reading: Reading) => Float64Array, ...directions: ReadonlyArray<number>): number =>
    directions.reduce((sum, direction) => sum + pick(to)[direction]! - pick(from)[direction]!, 0)
  const maps = (reading: Reading) => reading.maps
  const unmaps = (reading: Reading) => reading.unmaps
  const rxFrames = to.driver.framesReceived - from.driver.framesReceived
  const txFrames = to.driver.framesTransmitted - from.driver.framesTransmitted
  // Where maps reach no table there is nothing to count in parts.
  const isTableUsed = to.maps[FROM_DEVICE]! > 0
  const mapsAhead = isTableUsed ? to.driver.rxMapsAhead - from.driver.rxMapsAhead : 0
  const unmapsBehind = isTableUsed ? to.driver.rxUnmapsBehind - from.driver.rxUnmapsBehind : 0
  const rxMaps = difference(maps, FROM_DEVICE) - mapsAhead
  const rxUnmaps = difference(unmaps, FROM_DEVICE) + unmapsBehind
  return {
    maps: difference(maps, BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE),
    unmaps: difference(unmaps, BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE),
    hypercalls: to.hypercalls - from.hypercalls,
    hypercallsPerFrame: per(to.hypercalls - from.hypercalls, rxFrames),
    rx: {
      mapsPerFrame: per(rxMaps, rxFrames),
      unmapsPerFrame: per(rxUnmaps, rxFrames)
    },
    tx: {
      mapsPerFrame: per(difference(maps, TO_DEVICE), txFrames),
      unmapsPerFrame: per(difference(unmaps, TO_DEVICE), txFrames)
    },
    pinnedPagesMax
  }
}

/** One direction of the link between two readings. */
interface Wire {
  readonly frames: number
  readonly busyShare: number
}

/** Both directions, and how many of the inbound frames came to the sink, a second. */
interface Wires {
  readonly inbound: Wire
  readonly outbound: Wire
  readonly framesPerSecond: number
}

/** The IOTLB since the beginning. */
export const iotlbResult = Effect.gen(function* () {
  const iommu = yield* Iommu
  const { hits, misses, stale } = yield* iommu.iotlb
  const { domain, page } = yield* iommu.invalidations
  const result: IotlbResult = {
    hits,
    misses,
    invalidations: { page, domain },
    stale: {
      accesses: stale.hits,
      bytes: stale.bytes,
      latestUseNs: stale.latestUsePs / PS_PER_NS,
      copies: stale.windows,
      usableNsMean: stale.windows > 0 ? stale.windowPsMean / PS_PER_NS : null,
      usableNsMax: stale.windowPsMax / PS_PER_NS
    }
  }
  return result
})

/**
 * The serial resource with the highest busy share, if it is one that limits, in a window long enough to tell. Of
 * several that are full it is the one farthest along a frame's way: what is before it passes on more than it takes. A
 * wire whose frames are dropped behind it is out of the question. A CPU that waits for a lock is not busy here, the
 * lock is.
 */
export function limitOf(from: Reading, to: Reading, edges: CpuEdges, wires: Wires, otherwise: string): LimitResult {
  const durationPs = to.timePs - from.timePs
  const sunk = (wires.framesPerSecond * durationPs) / PS_PER_SECOND
  const stages: ReadonlyArray<ReadonlyArray<Use>> = [
    sunk < (1 - LOST_SHARE_MAX) * wires.inbound.frames ? [] : [["wire", wires.inbound.busyShare]],
    [["outbound wire", wires.outbound.busyShare]],
    [["bus to host", share(to.busUpBusyPs - from.busUpBusyPs, durationPs)]],
    [["bus to device", share(to.busDownBusyPs - from.busDownBusyPs, durationPs)]],
    lockResults(from, to).map(({ name, utilization }) => [name, utilization]),
    workShares(edges).map((busyShare, cpu) => [`CPU ${cpu}`, busyShare])
  ]
  const busiestOfStages = stages.filter((stage) => stage.length > 0).map(busiestOf)
  const [, most] = busiestOf(busiestOfStages)
  const isOneFull = most >= LIMIT_SHARE
  const [busiest, busyShare] = isOneFull
    ? busiestOfStages.findLast(([, one]) => one > most - SAME_SHARE)!
    : busiestOf(busiestOfStages)
  const isLimit = isOneFull && wires.inbound.frames >= LIMIT_FRAMES_MIN
  return { resource: isLimit ? busiest : otherwise, busyShare, busiest }
}

/** A resource and its busy share. */
type Use = readonly [resource: string, busyShare: number]

/** The first of those that are busiest. */
const busiestOf = (uses: ReadonlyArray<Use>): Use => uses.reduce((best, one) => (one[1] > best[1] ? one : best))

function workShares(edges: CpuEdges): ReadonlyArray<number> {
  const durationPs = edges.to.timePs - edges.from.timePs
  return Array.from({ length: edges.cpuCount }, (_, cpu) => {
    let workPs = 0
    for (let account = 0; account < ACCOUNT_COUNT; account++) {
      if (account !== LOCK_WAIT) workPs += spentPs(edges, cpu, account)
    }
    return workPs / durationPs
  })
}

/** The mean over so many, or null: a mean of nothing is not 0. */
function per(sum: number, count: number): number | null {
  return count > 0 ? sum / count : null
}

/** A lock or the bus may be booked a little beyond the window's end: what has begun is booked whole. */
function share(busyPs: number, durationPs: number): number {
  return durationPs > 0 ? Math.min(1, busyPs / durationPs) : 0
}
