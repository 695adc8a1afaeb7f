/**
 * What CPUs had booked up to an instant of their own times. A CPU runs ahead of the world to its next wait, or
 * stands behind while it waits, so at no moment do all ledgers say what was spent up to one instant: an edge
 * keeps each as its CPU passes, and splits the booking that crosses it.
 */
import { ACCOUNT_COUNT, type Account } from "./accounts.ts"
import { assert } from "./assert.ts"

/** What CPUs have counted up to now. */
export interface LiveCounts {
  /** ledger[cpu * ACCOUNT_COUNT + account], picoseconds. */
  readonly ledger: Float64Array
  /** Each CPU's busy time, from its wakings and fallings asleep: what its accounts must add up to. */
  readonly busyPs: (cpu: number) => number
}

/** The ledgers of all CPUs at one instant, picoseconds. */
export class LedgerEdge {
  declare readonly timePs: number
  declare private readonly live: LiveCounts
  declare private readonly liveCount: (cpu: number) => number
  declare private readonly kept: Float64Array
  declare private readonly keptBusyPs: Float64Array
  declare private readonly keptCounts: Float64Array
  declare private readonly isPassed: Uint8Array

  constructor(timePs: number, live: LiveCounts, countOf: (cpu: number) => number) {
    const cpuCount = live.ledger.length / ACCOUNT_COUNT
    this.timePs = timePs
    this.live = live
    this.liveCount = countOf
    this.kept = new Float64Array(live.ledger.length)
    this.keptBusyPs = new Float64Array(cpuCount)
    this.keptCounts = new Float64Array(cpuCount)
    this.isPassed = new Uint8Array(cpuCount)
  }

  /** What a CPU had spent on an account by this instant; what it has spent, as long as it has not passed it. */
  spentPs(cpu: number, account: Account): number {
    const ledger = this.isPassed[cpu] === 1 ? this.kept : this.live.ledger
    return ledger[cpu * ACCOUNT_COUNT + account]!
  }

  /** How long a CPU had been busy by this instant, whatever it booked; the same. */
  busyPs(cpu: number): number {
    return this.isPassed[cpu] === 1 ? this.keptBusyPs[cpu]! : this.live.busyPs(cpu)
  }

  /** What was counted of a CPU's work by this instant, whatever that is. */
  count(cpu: number): number {
    return this.isPassed[cpu] === 1 ? this.keptCounts[cpu]! : this.liveCount(cpu)
  }

  /** A CPU passes: `partPs` of what it books next, on `account`, is still before this instant. */
  pass(cpu: number, account: Account, partPs: number): void {
    const row = cpu * ACCOUNT_COUNT
    const { ledger, busyPs } = this.live
    for (let index = row; index < row + ACCOUNT_COUNT; index++) this.kept[index] = ledger[index]!
    this.kept[row + account]! += partPs
    this.keptBusyPs[cpu] = busyPs(cpu) + partPs
    this.keptCounts[cpu] = this.liveCount(cpu)
    this.isPassed[cpu] = 1
  }
}

/** The edges of one world, in the order of their times. */
export class LedgerEdges {
  /** When each CPU passes its next edge; Infinity when there is none. */
  declare readonly nextPs: Float64Array
  private readonly edges: Array<LedgerEdge> = []
  /** Index of each CPU's next edge. */
  declare private readonly next: Int32Array
  declare private readonly localPs: Float64Array
  declare private readonly live: LiveCounts

  constructor(localPs: Float64Array, live: LiveCounts) {
    this.localPs = localPs
    this.live = live
    this.nextPs = new Float64Array(localPs.length).fill(Infinity)
    this.next = new Int32Array(localPs.length)
  }

  /** An edge behind all others. A CPU that is past it already has its ledger kept as it is. */
  add(timePs: number, countOf: (cpu: number) => number): LedgerEdge {
    const last = this.edges.at(-1)
    assert(last === undefined || last.timePs < timePs, "an edge is not behind the one before")
    const edge = new LedgerEdge(timePs, this.live, countOf)
    this.edges.push(edge)
    for (let cpu = 0; cpu < this.localPs.length; cpu++) {
      if (this.nextPs[cpu] === Infinity) this.nextPs[cpu] = timePs
      if (this.localPs[cpu]! > this.nextPs[cpu]!) this.crossAt(cpu, this.localPs[cpu]!)
    }
    return edge
  }

  /** A CPU is about to book the time between these two on `account`, and an edge or more is before its end. */
  cross(cpu: number, account: Account, fromPs: number, toPs: number): void {
    while (toPs > this.nextPs[cpu]!) {
      const edge = this.edges[this.next[cpu]!]!
      edge.pass(cpu, account, Math.max(0, edge.timePs - fromPs))
      this.next[cpu]! += 1
      this.nextPs[cpu] = this.edges[this.next[cpu]!]?.timePs ?? Infinity
    }
  }

  /** A CPU is past an edge or more, or goes on there after it was idle: what it counts from now on is behind them. */
  crossAt(cpu: number, toPs: number): void {
    this.cross(cpu, 0, toPs, toPs)
  }
}
