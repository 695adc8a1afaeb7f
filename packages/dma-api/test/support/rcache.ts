/** What the magazines are tested with: CPUs, plain calls, and magazines that are lists. */
import { makeCpus, makeTimeline, type Cpus, type Timeline } from "@vnic/sim/core"
import type { Host, IovaWindow } from "@vnic/dma-api/core"
import { IOVA_NONE } from "../../src/core/iova/allocator.ts"
import { AnchoredTree } from "../../src/core/iova/anchoredTree.ts"
import { MAGAZINE_RANGES, ORDER_COUNT } from "../../src/core/iova/magazines.ts"
import { makeRcacheAllocator, type RcacheAllocator, type RcacheOptions } from "../../src/core/iova/rcache.ts"
import { roundUp } from "./trees.ts"

/** Plain calls of an allocator: each is a whole operation of a CPU. */
export class Caller {
  readonly allocator: RcacheAllocator
  readonly host: Host
  private pages = 0
  private alignment = 1
  private reach = 0
  private first = 0
  private readonly allocateStep: number
  private readonly freeStep: number

  constructor(window: IovaWindow, options: RcacheOptions) {
    const { host } = window
    const allocator = makeRcacheAllocator(window, options)
    const done = host.define("done", (cpu) => host.leave(cpu))
    this.allocator = allocator
    this.host = host
    this.allocateStep = host.define("allocate", (cpu) =>
      allocator.beginAllocate(cpu, this.pages, this.alignment, this.reach, -1, done)
    )
    this.freeStep = host.define("free", (cpu) => allocator.beginFree(cpu, this.first, this.pages, done))
  }

  allocate(cpu: number, pages: number, reach: number, alignment = 1): number {
    this.pages = pages
    this.alignment = alignment
    this.reach = reach
    this.host.runAlone(cpu, this.allocateStep)
    return this.allocator.firsts[cpu]!
  }

  free(cpu: number, first: number, pages: number): void {
    this.first = first
    this.pages = pages
    this.host.runAlone(cpu, this.freeStep)
  }
}

/** CPUs with locks that cost something, and their world. */
export const cpusOf = (cpuCount: number): { readonly timeline: Timeline; readonly cpus: Cpus } => {
  const timeline = makeTimeline()
  const cpus = makeCpus(timeline, {
    cpuCount,
    threadsPerCore: 1,
    speedShares: [1],
    lockAcquirePs: 20_000,
    lockHandOffPs: 50_000,
    lockHandOffPerWaiterPs: 10_000
  })
  return { timeline, cpus }
}

/** The caches as lists of lists; the tree is the real one, which has an oracle of its own. */
export class NaiveRcache {
  readonly tree: AnchoredTree
  private isLowFirst = true
  private readonly slots: ReadonlyArray<ReadonlyArray<{ loaded: Array<number>; previous: Array<number> }>>
  private readonly depots: ReadonlyArray<Array<Array<number>>>
  private readonly limit32: number
  private readonly depotMax: number

  constructor(window: IovaWindow, depotMax: number) {
    const orders = Array.from({ length: ORDER_COUNT }, (_, order) => order)
    this.tree = new AnchoredTree(window)
    this.limit32 = window.pagesBelow4GiB
    this.depotMax = depotMax
    this.slots = Array.from({ length: window.host.count }, () => orders.map(() => ({ loaded: [], previous: [] })))
    this.depots = orders.map(() => [])
  }

  allocate(cpu: number, pages: number, reach: number): number {
    const size = pages < 32 ? roundUp(pages) : pages
    const search = (limit: number): number => {
      const cached = pages > 32 ? undefined : this.cached(cpu, Math.log2(size), limit - size)
      return cached ?? this.tree.allocate(size, roundUp(pages), limit)
    }
    if (this.isLowFirst && reach > this.limit32) {
      const page = search(this.limit32)
      if (page !== IOVA_NONE) return page
      this.isLowFirst = false
    }
    const page = search(reach)
    if (page !== IOVA_NONE) return page
    this.drain()
    return this.tree.allocate(size, roundUp(pages), reach)
  }

  private cached(cpu: number, order: number, last: number): number | undefined {
    const slot = this.slots[cpu]![order]!
    if (slot.loaded.length === 0) [slot.loaded, slot.previous] = [slot.previous, slot.loaded]
    if (slot.loaded.length === 0) slot.loaded = this.depots[order]!.pop() ?? []
    const index = slot.loaded.findLastIndex((page) => page <= last)
    if (index < 0) return undefined
    const page = slot.loaded[index]!
    const newest = slot.loaded.pop()!
    if (index < slot.loaded.length) slot.loaded[index] = newest
    return page
  }

  private drain(): void {
    for (const slot of this.slots.flat()) {
      for (const page of [...slot.loaded, ...slot.previous]) this.tree.free(page)
      slot.loaded = []
      slot.previous = []
    }
    for (const depot of this.depots) for (const page of depot.splice(0).toReversed().flat()) this.tree.free(page)
  }

  free(cpu: number, first: number, pages: number): void {
    if (pages > 32) {
      this.tree.free(first)
      return
    }
    const order = Math.log2(roundUp(pages))
    const slot = this.slots[cpu]![order]!
    const isSwapped = slot.loaded.length === MAGAZINE_RANGES && slot.previous.length < MAGAZINE_RANGES
    if (isSwapped) [slot.loaded, slot.previous] = [slot.previous, slot.loaded]
    if (slot.loaded.length === MAGAZINE_RANGES) {
      if (this.depots[order]!.length < this.depotMax) this.depots[order]!.push(slot.loaded)
      else for (const page of slot.loaded) this.tree.free(page)
      slot.loaded = []
    }
    slot.loaded.push(first)
  }
}
