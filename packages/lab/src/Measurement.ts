/** What a world has counted up to an instant. What a window saw is the difference of two such readings. */
import { allocatorTraits, Dma, type DmaOptions } from "@vnic/dma-api"
import { NicDriver, type DriverStatistics } from "@vnic/driver"
import { Iommu } from "@vnic/iommu"
import { NicDevice } from "@vnic/nic-device"
import { ACCOUNT_COUNT, ACCOUNTS, Simulation, type LedgerEdge } from "@vnic/sim"
import * as Effect from "effect/Effect"
import type { WindowUse } from "./Limit.ts"
import type { IotlbResult, LockResult, RunResult } from "./Result.ts"

const PS_PER_NS = 1000
const PS_PER_SECOND = 1e12
const LOCK_WAIT = ACCOUNTS.indexOf("lockWait")

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

/**
 * How busy each CPU was between two edges, and by account what that was spent on, for each of the frames that it has
 * handed up. The two are counted apart, and add up.
 */
export function cpuResult(edges: CpuEdges): RunResult["cpu"] {
  const { cpuCount, from, to } = edges
  const durationPs = to.timePs - from.timePs
  const byAccount = new Float64Array(ACCOUNT_COUNT)
  let frames = 0
  const perCpu = Array.from({ length: cpuCount }, (_, cpu) => {
    for (let account = 0; account < ACCOUNT_COUNT; account++) byAccount[account]! += spentPs(edges, cpu, account)
    frames += to.count(cpu) - from.count(cpu)
    return (to.busyPs(cpu) - from.busyPs(cpu)) / durationPs
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
 * Hypercalls that one map of receive buffers makes, and its unmap too. 0 where buffers share entries, so that it is one
 * map of several that makes one.
 */
export const hypercallsPerMap = Effect.fnUntraced(function* (allocator: DmaOptions["allocator"]) {
  const pvdma = (yield* Iommu).core.paravirtual?.pvdma
  const { rxMapBytesMax } = yield* (yield* NicDriver).statistics
  if (pvdma === undefined) return 0
  const pages = rxMapBytesMax / 2 ** pvdma.pageShift
  return pages < 1 && !allocatorTraits[allocator].hasChoice ? 0 : pvdma.hypercallsFor(Math.ceil(pages))
})

/**
 * Mappings between two readings, for each frame of their direction. Receive maps, unmaps and the hypercalls that they
 * make count with the frames that come into their buffers, those of a block that serves many frames in parts: so the
 * rates of a short window are not those of rings that fill, of blocks that begin, of frames that are under way.
 */
export function dmaResult(
  from: Reading,
  to: Reading,
  { callsPerMap, pinnedPagesMax }: { readonly callsPerMap: number; readonly pinnedPagesMax: number }
): RunResult["dma"] {
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
  const hypercalls = to.hypercalls - from.hypercalls
  const rxMaps = difference(maps, FROM_DEVICE) - mapsAhead
  const rxUnmaps = difference(unmaps, FROM_DEVICE) + unmapsBehind
  return {
    maps: difference(maps, BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE),
    unmaps: difference(unmaps, BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE),
    hypercalls,
    hypercallsPerFrame: per(hypercalls + callsPerMap * (unmapsBehind - mapsAhead), rxFrames),
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

/** Use of every serial resource between two readings. */
export function windowUse(from: Reading, to: Reading, edges: CpuEdges, wires: Wires): WindowUse {
  const durationPs = to.timePs - from.timePs
  const { framesPerSecond, perCpu } = cpuResult(edges)
  return {
    wires: { inbound: wires.inbound.busyShare, outbound: wires.outbound.busyShare },
    bus: {
      up: share(to.busUpBusyPs - from.busUpBusyPs, durationPs),
      down: share(to.busDownBusyPs - from.busDownBusyPs, durationPs)
    },
    locks: lockResults(from, to).map(({ name, utilization }) => [name, utilization] as const),
    cpus: perCpu.map((busyShare, cpu) => ({
      busyShare,
      workShare: busyShare - spentPs(edges, cpu, LOCK_WAIT) / (edges.to.timePs - edges.from.timePs)
    })),
    frames: {
      passed: wires.inbound.frames,
      delivered: (wires.framesPerSecond * durationPs) / PS_PER_SECOND,
      taken: (framesPerSecond * durationPs) / PS_PER_SECOND
    }
  }
}

/** The mean over so many, or null: a mean of nothing is not 0. */
function per(sum: number, count: number): number | null {
  return count > 0 ? sum / count : null
}

/** A lock or the bus may be booked a little beyond the window's end: what has begun is booked whole. */
function share(busyPs: number, durationPs: number): number {
  return durationPs > 0 ? Math.min(1, busyPs / durationPs) : 0
}
