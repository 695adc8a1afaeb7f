/** What limits a run: the serial resource that is full, or what else keeps frames from coming faster. */
import type { LimitResult } from "./Result.ts"

/** From this busy share on a resource is full. */
const FULL_SHARE = 0.97
/** Where more than this is dropped behind the wire, the wire is not what limits. */
const LOST_SHARE_MAX = 0.01
/** Shares as near as this are the same. */
const SAME_SHARE = 1e-4
/** In a window of fewer frames, one frame more or less moves a share by more than is missing to 1 here. */
const FRAMES_MIN = Math.ceil(1 / (1 - FULL_SHARE))
/** Where CPUs take so much less than what passes, or more, rings fill or run empty: such rates do not last. */
const BALANCE_TOLERANCE = 0.05

/** A serial resource and its busy share, from 0 to 1. */
export type Use = readonly [resource: string, busyShare: number]

/** Use of every serial resource in a window, and what became of the frames that passed the wire in it. */
export interface WindowUse {
  readonly wires: { readonly inbound: number; readonly outbound: number }
  readonly bus: { readonly up: number; readonly down: number }
  readonly locks: ReadonlyArray<Use>
  /** Of each CPU: with and without the time for which it spun for locks. */
  readonly cpus: ReadonlyArray<{ readonly busyShare: number; readonly workShare: number }>
  /** Frames that passed the wire toward the NIC, those of them that were delivered, and those that CPUs took. */
  readonly frames: { readonly passed: number; readonly delivered: number; readonly taken: number }
}

/** Whether CPUs took what passed: -1 while rings fill, 1 while they run empty, else 0. */
export const ringBalance = (delivered: number, taken: number): -1 | 0 | 1 => {
  if (Math.abs(taken - delivered) <= BALANCE_TOLERANCE * delivered) return 0
  return taken < delivered ? -1 : 1
}

/** The first of those that are busiest. */
const busiestOf = (uses: ReadonlyArray<Use>): Use => uses.reduce((best, one) => (one[1] > best[1] ? one : best))

/**
 * The limit of a window long enough to tell, where `outside` is the word for what comes from outside of the host. It is
 * the serial resource with the highest busy share, if that is full; of several it is the one farthest along a frame's
 * way, since what is before it passes on more than it takes. A wire whose frames are dropped behind it is not what
 * limits, nor is one whose frames only fill rings before something that is full. A CPU that spins for a lock is not
 * busy here, the lock is; but when no lock is full and CPUs have no time left, they wait for several.
 */
export const limitOf = ({ bus, cpus, frames, locks, wires }: WindowUse, outside: string): LimitResult => {
  const wire: Use = ["wire", wires.inbound]
  const behind: ReadonlyArray<ReadonlyArray<Use>> = [
    [["outbound wire", wires.outbound]],
    [["bus to host", bus.up]],
    [["bus to device", bus.down]],
    locks,
    cpus.map(({ workShare }, cpu): Use => [`CPU ${cpu}`, workShare])
  ]
  const candidates = behind.filter((stage) => stage.length > 0).map(busiestOf)
  const busiestCpu = candidates.at(-1)
  const isLosing = frames.delivered < (1 - LOST_SHARE_MAX) * frames.passed
  const isFilling = ringBalance(frames.delivered, frames.taken) < 0 && busiestOf(candidates)[1] >= FULL_SHARE
  if (!isLosing && !isFilling) candidates.unshift(wire)
  const [, most] = busiestOf(candidates)
  if (most >= FULL_SHARE && frames.passed >= FRAMES_MIN) {
    const limiting = candidates.findLast(([, one]) => one > most - SAME_SHARE)!
    const [busiest, busyShare] = limiting
    const isOneOfSeveral = cpus.filter(({ workShare }) => workShare >= FULL_SHARE).length > 1
    return { resource: limiting === busiestCpu && isOneOfSeveral ? "CPUs" : busiest, busyShare, busiest }
  }
  const [busiest, busyShare] = busiestOf([wire, ...candidates])
  const resource = frames.passed < FRAMES_MIN ? "too few frames" : insteadOf(outside, isLosing, { cpus, locks })
  return { resource, busyShare, busiest }
}

/** What limits where no serial resource is full. */
const insteadOf = (outside: string, isLosing: boolean, { cpus, locks }: Pick<WindowUse, "cpus" | "locks">): string => {
  const isSpinning = cpus.some(
    ({ busyShare, workShare }) => busyShare >= FULL_SHARE && busyShare - workShare > 1 - FULL_SHARE
  )
  if (isSpinning) {
    const [one, ...others] = locks.filter(([, share]) => share > 0)
    return one !== undefined && others.length === 0 ? one[0] : "waits for locks"
  }
  return isLosing ? "dropped frames" : outside
}
