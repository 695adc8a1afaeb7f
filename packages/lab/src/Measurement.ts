/** What a world has counted up to an instant. What a window saw is the difference of two such readings. */
import { Dma } from "@vnic/dma-api"
import { NicDriver, type DriverStatistics } from "@vnic/driver"
import { Iommu } from "@vnic/iommu"
import { NicDevice } from "@vnic/nic-device"
import { ACCOUNT_COUNT, ACCOUNTS, Simulation } from "@vnic/sim"
import * as Effect from "effect/Effect"
import type { IotlbResult, LimitResult, LockResult, RunResult } from "./Result.ts"

const PS_PER_NS = 1000
const LOCK_WAIT = ACCOUNTS.indexOf("lockWait")
/** From this busy share on a resource is what limits the run. */
const LIMIT_SHARE = 0.97
/** In a window of fewer frames, one frame more or less moves a share by more than is missing to 1 here. */
const LIMIT_FRAMES_MIN = Math.ceil(1 / (1 - LIMIT_SHARE))

/** Directions of a DMA mapping, as dma-api counts them. */
const BIDIRECTIONAL = 0
const TO_DEVICE = 1
const FROM_DEVICE = 2

export interface Reading {
  readonly timePs: number
  readonly ledger: Float64Array
  readonly cpuCount: number
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
    ledger: cpus.ledger.slice(),
    cpuCount: cpus.count,
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

/** CPU time by CPU and by account between two readings. */
export function cpuResult(from: Reading, to: Reading, frames: number): RunResult["cpu"] {
  const durationPs = to.timePs - from.timePs
  const perCpu: Array<number> = []
  const byAccount = new Float64Array(ACCOUNT_COUNT)
  for (let cpu = 0; cpu < to.cpuCount; cpu++) {
    let busyPs = 0
    for (let account = 0; account < ACCOUNT_COUNT; account++) {
      const spentPs = to.ledger[cpu * ACCOUNT_COUNT + account]! - from.ledger[cpu * ACCOUNT_COUNT + account]!
      busyPs += spentPs
      byAccount[account]! += spentPs
    }
    perCpu.push(share(busyPs, durationPs))
  }
  const nsPerFrame = Object.fromEntries(
    ACCOUNTS.map((name, account) => [name, per(byAccount[account]! / PS_PER_NS, frames)])
  )
  return { utilization: perCpu.reduce((sum, one) => sum + one, 0) / perCpu.length, perCpu, nsPerFrame }
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
 * The serial resource with the highest busy share, if it is one that limits, in a window long enough to tell. A CPU
 * that waits for a lock is not busy here: the lock is.
 */
export function limitOf(
  from: Reading,
  to: Reading,
  wires: { readonly inbound: Wire; readonly outbound: Wire },
  otherwise: string
): LimitResult {
  const durationPs = to.timePs - from.timePs
  const shares: Array<readonly [resource: string, busyShare: number]> = [
    ["wire", wires.inbound.busyShare],
    ["outbound wire", wires.outbound.busyShare],
    ["bus to host", share(to.busUpBusyPs - from.busUpBusyPs, durationPs)],
    ["bus to device", share(to.busDownBusyPs - from.busDownBusyPs, durationPs)],
    ...lockResults(from, to).map(({ name, utilization }) => [name, utilization] as const),
    ...workShares(from, to).map((busyShare, cpu) => [`CPU ${cpu}`, busyShare] as const)
  ]
  const [busiest, busyShare] = shares.reduce((best, one) => (one[1] > best[1] ? one : best))
  const isLimit = busyShare >= LIMIT_SHARE && wires.inbound.frames >= LIMIT_FRAMES_MIN
  return { resource: isLimit ? busiest : otherwise, busyShare, busiest }
}

function workShares(from: Reading, to: Reading): ReadonlyArray<number> {
  const durationPs = to.timePs - from.timePs
  return Array.from({ length: to.cpuCount }, (_, cpu) => {
    let workPs = 0
    for (let account = 0; account < ACCOUNT_COUNT; account++) {
      if (account === LOCK_WAIT) continue
      workPs += to.ledger[cpu * ACCOUNT_COUNT + account]! - from.ledger[cpu * ACCOUNT_COUNT + account]!
    }
    return share(workPs, durationPs)
  })
}

/** The mean over so many, or null: a mean of nothing is not 0. */
function per(sum: number, count: number): number | null {
  return count > 0 ? sum / count : null
}

/** A CPU or lock may be booked a little beyond the window's end: programs run ahead to their next wait. */
function share(busyPs: number, durationPs: number): number {
  return durationPs > 0 ? Math.min(1, busyPs / durationPs) : 0
}
