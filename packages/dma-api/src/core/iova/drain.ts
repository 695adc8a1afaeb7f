/**
 * The ways back from the magazines into the tree, parts of CPU programs: one magazine that no slot holds any more; all
 * that every CPU and the depots have, when a search has failed; and the depots' slow trimming, one magazine every
 * 100 ms while a depot holds more of them than there are CPUs.
 *
 * [Linux 6.12 drivers/iommu/iova.c iova_magazine_free_pfns, free_cpu_cached_iovas, free_global_cached_iovas,
 * iova_depot_work_func]
 * MODEL: a CPU's own lock is no lock of the host, since only a drain by another CPU ever meets it; such a drain
 * finds a CPU's magazines as they are at that CPU's local time, which may be ahead of the drain's. What that CPU frees
 * only later is then in the tree already, so a page may be handed out at a simulated time at which its last user has
 * it still: for so long the two overlap in time, though not in the order of the steps. `ring` keeps such pages back.
 * MODEL: a drain takes the tree's lock for magazines with ranges in them only.
 */
import { ACCOUNT_IOVA } from "@vnic/sim/core"
import type { AnchoredTree } from "./anchoredTree.ts"
import type { IovaCosts } from "./allocator.ts"
import { NO_MAGAZINE, ORDER_COUNT, type Magazines } from "./magazines.ts"
import type { Tally } from "./tally.ts"
import type { Host } from "../types.ts"

/** From a magazine's arrival in a depot, or from a trimming, to the next look at that depot. */
export const TRIM_DELAY_PS = 100_000_000_000

/** What the fast path and the drains share. */
export interface DrainParts {
  readonly host: Host
  readonly costs: IovaCosts
  readonly tree: AnchoredTree
  readonly treeLock: number
  readonly magazines: Magazines
  /** By order. */
  readonly depotLocks: ReadonlyArray<number>
  readonly tally: Tally
}

export class Drain {
  declare private readonly parts: DrainParts
  /** The magazine that each CPU gives back, its order, and what comes then. */
  declare private readonly emptied: Int32Array
  declare private readonly orders: Int32Array
  declare private readonly thens: Int32Array
  /** How far each CPU's drain of everything is, and what comes then. */
  declare private readonly cursors: Int32Array
  declare private readonly afters: Int32Array
  declare private readonly magazineLocked: number
  declare private readonly slotLocked: number
  declare private readonly depotLocked: number
  /** By order: the trimming, and whether one is due. */
  declare private readonly trims: ReadonlyArray<number>
  private readonly isTrimDue = new Uint8Array(ORDER_COUNT)

  constructor(parts: DrainParts) {
    const { host } = parts
    this.parts = parts
    this.emptied = new Int32Array(host.count)
    this.orders = new Int32Array(host.count)
    this.thens = new Int32Array(host.count)
    this.cursors = new Int32Array(host.count)
    this.afters = new Int32Array(host.count)
    this.magazineLocked = host.define("iova drain, a magazine", (cpu) => this.drainMagazine(cpu))
    this.slotLocked = host.define("iova drain, a CPU", (cpu) => this.drainSlot(cpu))
    this.depotLocked = host.define("iova drain, a depot", (cpu) => this.drainDepot(cpu))
    this.trims = Array.from({ length: ORDER_COUNT }, (_, order) => this.defineTrim(order))
  }

  /** Gives back the ranges of a magazine that no slot holds. */
  readonly beginMagazine = (cpu: number, order: number, magazine: number, then: number): number => {
    this.emptied[cpu] = magazine
    this.orders[cpu] = order
    this.thens[cpu] = then
    return this.parts.host.lock(cpu, this.parts.treeLock, this.magazineLocked)
  }

  private readonly drainMagazine = (cpu: number): number => {
    const { host, magazines, treeLock } = this.parts
    const magazine = this.emptied[cpu]!
    this.giveBack(cpu, this.orders[cpu]!, magazine)
    host.unlock(cpu, treeLock)
    magazines.discard(magazine)
    return this.thens[cpu]!
  }

  /** The tree's lock is held. */
  private readonly giveBack = (cpu: number, order: number, magazine: number): void => {
    const { costs, host, magazines, tally, tree } = this.parts
    const count = magazines.countOf(magazine)
    let visits = 0
    let lines = 0
    for (let index = 0; index < count; index++) {
      tree.free(magazines.rangeAt(magazine, index))
      visits += tree.visits
      lines += tree.lines
    }
    magazines.empty(order, magazine)
    tally.add(cpu, visits, count, lines, 1)
    host.spend(cpu, ACCOUNT_IOVA, count * costs.treeSearchPs + visits * costs.treeVisitPs)
  }

  /** Gives back all that is cached: CPU by CPU, then depot by depot. */
  readonly beginAll = (cpu: number, then: number): number => {
    this.afters[cpu] = then
    this.cursors[cpu] = 0
    return this.nextSlot(cpu)
  }

  /** Two magazines a slot: on to the next one with ranges in it. */
  private readonly nextSlot = (cpu: number): number => {
    const { costs, host, magazines, tally, treeLock } = this.parts
    const end = 2 * host.count * ORDER_COUNT
    let cursor = this.cursors[cpu]!
    let slots = 0
    while (cursor < end && magazines.countOf(this.magazineAt(cursor)) === 0) {
      if ((cursor & 1) === 0) slots++
      cursor++
    }
    if (cursor < end && (cursor & 1) === 0) slots++
    tally.add(cpu, 0, 0, slots, slots)
    host.spend(cpu, ACCOUNT_IOVA, slots * costs.magazinePs)
    if (cursor === end) {
      this.cursors[cpu] = 0
      return this.nextDepot(cpu)
    }
    this.cursors[cpu] = cursor
    return host.lock(cpu, treeLock, this.slotLocked)
  }

  private readonly magazineAt = (cursor: number): number => {
    const slot = cursor >> 1
    return (cursor & 1) === 0 ? this.parts.magazines.loadedOf(slot) : this.parts.magazines.previousOf(slot)
  }

  private readonly drainSlot = (cpu: number): number => {
    const { host, treeLock } = this.parts
    const cursor = this.cursors[cpu]!
    this.giveBack(cpu, (cursor >> 1) % ORDER_COUNT, this.magazineAt(cursor))
    host.unlock(cpu, treeLock)
    this.cursors[cpu] = cursor + 1
    return this.nextSlot(cpu)
  }

  private readonly nextDepot = (cpu: number): number => {
    const order = this.cursors[cpu]!
    if (order === ORDER_COUNT) return this.afters[cpu]!
    return this.parts.host.lock(cpu, this.parts.depotLocks[order]!, this.depotLocked)
  }

  /** The depot's lock is held until it is empty, and the tree's besides for each magazine. */
  private readonly drainDepot = (cpu: number): number => {
    const { depotLocks, host, magazines, tally } = this.parts
    const order = this.cursors[cpu]!
    const magazine = magazines.fetch(order)
    if (magazine !== NO_MAGAZINE) return this.beginMagazine(cpu, order, magazine, this.depotLocked)
    tally.add(cpu, 0, 0, 1, 1)
    host.unlock(cpu, depotLocks[order]!)
    this.cursors[cpu] = order + 1
    return this.nextDepot(cpu)
  }

  /** Has the depot of that order looked at in a while, by this CPU. */
  readonly trimLater = (cpu: number, order: number): void => {
    if (this.isTrimDue[order] === 1) return
    this.isTrimDue[order] = 1
    const { host } = this.parts
    host.later(cpu, host.localPs[cpu]! + TRIM_DELAY_PS, this.trims[order]!)
  }

  private readonly defineTrim = (order: number): number => {
    const { depotLocks, host, magazines, tally } = this.parts
    const lock = depotLocks[order]!
    const done = host.define("iova trim, done", (cpu) => {
      tally.close(cpu, tally.work.frees)
      this.trimLater(cpu, order)
      return host.leave(cpu)
    })
    const locked = host.define("iova trim, locked", (cpu) => {
      this.isTrimDue[order] = 0
      const magazine = magazines.depotCounts[order]! > host.count ? magazines.fetch(order) : NO_MAGAZINE
      host.unlock(cpu, lock)
      tally.add(cpu, 0, 0, 1, 1)
      if (magazine !== NO_MAGAZINE) return this.beginMagazine(cpu, order, magazine, done)
      tally.close(cpu, tally.work.frees)
      return host.leave(cpu)
    })
    return host.define("iova trim", (cpu) => host.lock(cpu, lock, locked))
  }
}
