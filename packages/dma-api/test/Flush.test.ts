/**
 * Goal: an address is never handed out again before the flush that covers it; a stale translation is usable until
 * then and never after; and both are measured right.
 *
 * Method: a table double that caches what a device used, and insists on the first; naive sums over its journal.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import {
  ALLOCATOR_NAMES,
  DMA_MAPPING_ERROR,
  FLUSHES,
  FROM_DEVICE,
  makeDmaApi,
  makePlainHost,
  makeScatterList,
  TO_DEVICE,
  type DmaApiOptions,
  type FlushName,
  type Host
} from "@vnic/dma-api/core"
import { CachingTable, FlatTable, findOverlap } from "@vnic/dma-api/testing"
import { ACCOUNT_BENCHMARK, ACCOUNT_DMA_API, makeCpus, makePageAllocator, makePrng, makeTimeline } from "@vnic/sim/core"
import { MASK_32, MEMORY_BYTES, PAGE_BYTES } from "./support/setup.ts"

const MS = 1_000_000_000
const INVALIDATE_PS = 700_000

function makeWorld(flush: FlushName, changes: Partial<DmaApiOptions> = {}, host: Host = makePlainHost()) {
  const isIdentity = changes.allocator === "identity"
  const table = new CachingTable({ host, invalidatePs: INVALIDATE_PS, isIdentity, pageCount: 4096 })
  const dma = makeDmaApi({
    backend: "iommu",
    allocator: "rbtree",
    flush,
    debug: false,
    host,
    pages: makePageAllocator(MEMORY_BYTES, PAGE_BYTES),
    bytes: new Uint8Array(MEMORY_BYTES),
    table,
    ...changes
  })
  return { dma, device: dma.attach("nic0", MASK_32), table }
}

/** Maps and unmaps once. */
const pair = (device: ReturnType<typeof makeWorld>["device"]) => {
  const busAddr = device.mapSingle(0, 0x1000, 64, FROM_DEVICE)
  device.unmapSingle(0, busAddr, 64, FROM_DEVICE)
  return busAddr
}

describe("strict flushing", () => {
  it("invalidates the pages of each unmap, or the whole domain", () => {
    const selective = makeWorld("strict")
    const busAddr = selective.device.mapSingle(0, 0x1800, PAGE_BYTES, FROM_DEVICE)
    selective.device.unmapSingle(0, busAddr, PAGE_BYTES, FROM_DEVICE)
    const iovaPage = Math.floor(busAddr / PAGE_BYTES)
    expect(selective.table.flushes).toEqual([{ iovaPage, pageCount: 2, atPs: INVALIDATE_PS }])
    const whole = makeWorld("strict", { flushGranularity: "domain" })
    pair(whole.device)
    expect(whole.table.flushes).toEqual([{ iovaPage: 0, pageCount: Infinity, atPs: INVALIDATE_PS }])
    expect(selective.dma.snapshot().flush).toEqual({
      flushes: 1,
      unmapsFlushed: 1,
      windowSumPs: INVALIDATE_PS,
      windowMaxPs: INVALIDATE_PS,
      staleBytes: 0,
      staleBytesMax: 2 * PAGE_BYTES,
      staleBytePs: 2 * PAGE_BYTES * INVALIDATE_PS
    })
  })

  it("leaves nothing within reach when the unmap returns", () => {
    const { device, table } = makeWorld("strict")
    const busAddr = device.mapSingle(0, 0x1000, 64, FROM_DEVICE)
    expect(table.translate(busAddr)).toBe(0x1000)
    device.unmapSingle(0, busAddr, 64, FROM_DEVICE)
    expect(table.translate(busAddr)).toBeUndefined()
  })

  it("holds a bitmap's lock across the invalidation when it is held across the table write", () => {
    for (const lockAcrossTableWrite of ["both", "none"] as const) {
      const { device, dma } = makeWorld("strict", { allocator: "bitmap", lockAcrossTableWrite })
      for (let count = 0; count < 3; count++) pair(device)
      expect(dma.snapshot()).toMatchObject({ iovaPagesUsed: 0, flush: { flushes: 3 } })
    }
  })
})

describe.each([
  ["lazy-global", 250],
  ["lazy-per-cpu", 255]
] as const)("%s flushing", (flush, entries) => {
  it(`flushes everything when ${entries} unmaps wait and another one comes`, () => {
    const { device, dma, table } = makeWorld(flush)
    for (let count = 0; count < entries; count++) pair(device)
    expect(table.flushes).toEqual([])
    expect(dma.snapshot()).toMatchObject({ live: 0, iovaPagesUsed: entries, iovaPagesQueued: entries })
    pair(device)
    expect(table.flushes).toEqual([{ iovaPage: 0, pageCount: Infinity, atPs: INVALIDATE_PS }])
    expect(dma.snapshot()).toMatchObject({
      iovaPagesUsed: 1,
      iovaPagesQueued: 1,
      flush: { unmapsFlushed: entries + 1 }
    })
  })

  it("flushes 10 ms after the first unmap, not after later ones, and sets a timer again only for another", () => {
    const host = makePlainHost()
    const { device, dma, table } = makeWorld(flush, {}, host)
    host.idleUntil(3 * MS)
    pair(device)
    host.idleUntil(9 * MS)
    pair(device)
    host.idleUntil(12.99 * MS)
    expect(table.flushes).toEqual([])
    host.idleUntil(14 * MS)
    expect(table.flushes).toEqual([{ iovaPage: 0, pageCount: Infinity, atPs: 13 * MS + INVALIDATE_PS }])
    expect(dma.snapshot()).toMatchObject({
      iovaPagesUsed: 0,
      iovaPagesQueued: 0,
      flush: { windowMaxPs: 10 * MS + INVALIDATE_PS, windowSumPs: 14 * MS + 2 * INVALIDATE_PS, staleBytes: 0 }
    })
    host.idleUntil(60 * MS)
    expect(table.flushes).toHaveLength(1)
    pair(device)
    host.idleUntil(80 * MS)
    expect(table.flushes).toHaveLength(2)
  })

  it("a stale translation is usable until its flush and never after", () => {
    const host = makePlainHost()
    const { device, table } = makeWorld(flush, {}, host)
    const used = device.mapSingle(0, 0x1000, 64, FROM_DEVICE)
    const unused = device.mapSingle(0, 0x2000, 64, FROM_DEVICE)
    expect(table.translate(used)).toBe(0x1000)
    device.unmapSingle(0, used, 64, FROM_DEVICE)
    device.unmapSingle(0, unused, 64, FROM_DEVICE)
    host.idleUntil(9 * MS)
    expect([table.translate(used), table.translate(unused)]).toEqual([0x1000, undefined])
    host.idleUntil(11 * MS)
    expect([table.translate(used), table.translate(unused)]).toEqual([undefined, undefined])
  })

  it("is refused for a table that needs no flush", () => {
    expect(() => makeWorld(flush, { table: new FlatTable() })).toThrow("cannot be flushed lazily")
  })
})

/** What the gauge should say, from the journal: each unmap is open until the first whole flush behind it. */
function naive(unmaps: ReadonlyArray<{ atPs: number; bytes: number }>, flushesPs: ReadonlyArray<number>) {
  let windowSumPs = 0
  let windowMaxPs = 0
  let staleBytePs = 0
  for (const { atPs, bytes } of unmaps) {
    const windowPs = flushesPs.find((flushPs) => flushPs > atPs)! - atPs
    windowSumPs += windowPs
    windowMaxPs = Math.max(windowMaxPs, windowPs)
    staleBytePs += windowPs * bytes
  }
  return { unmapsFlushed: unmaps.length, windowSumPs, windowMaxPs, staleBytePs, staleBytes: 0 }
}

describe.each(FLUSHES)("random histories, %s", (flush) => {
  test.prop([fc.constantFrom(...ALLOCATOR_NAMES), fc.array(fc.nat({ max: 9999 }), { maxLength: 700 })], {
    numRuns: 25
  })("nothing is handed out unflushed, nothing lost, and the gauge is right", (allocator, choices) => {
    const host = makePlainHost()
    const { device, dma, table } = makeWorld(flush, { allocator }, host)
    const live: Array<{ busAddr: number; sizeBytes: number }> = []
    const unmaps: Array<{ atPs: number; bytes: number }> = []
    const unmap = (index: number) => {
      const { busAddr, sizeBytes } = live.splice(index, 1)[0]!
      const bytes = Math.ceil(((busAddr % PAGE_BYTES) + sizeBytes) / PAGE_BYTES) * PAGE_BYTES
      unmaps.push({ atPs: host.localPs[0]!, bytes })
      device.unmapSingle(0, busAddr, sizeBytes, TO_DEVICE)
    }
    for (const choice of choices) {
      const sizeBytes = 1 + (choice % 3) * 3000
      if (choice % 97 === 0) host.idleUntil(host.localPs[0]! + (choice % 12) * MS)
      else if (live.length > 0 && choice % 9 > 3) unmap(choice % live.length)
      else {
        // Buffers of their own, so that none shares a page with another where addresses are not allocated.
        const phys = 0x4000 * (1 + unmaps.length + live.length)
        const busAddr = device.mapSingle(0, phys % 0x10_0000, sizeBytes, TO_DEVICE)
        if (!device.mappingError(busAddr)) live.push({ busAddr, sizeBytes })
      }
      host.localPs[0]! += 1000
    }
    if (allocator !== "identity") expect(findOverlap(live, PAGE_BYTES)).toBeUndefined()
    while (live.length > 0) unmap(0)
    host.idleUntil(host.localPs[0]! + 50 * MS)
    expect([table.entries.size, table.unflushed.size]).toEqual([0, 0])
    const { flush: counts, ...rest } = dma.snapshot()
    expect(rest).toMatchObject({ live: 0, iovaPagesUsed: 0, iovaPagesQueued: 0 })
    expect(counts.flushes).toBe(table.flushes.length)
    if (flush === "strict" || allocator === "identity") return
    expect(counts).toMatchObject(
      naive(
        unmaps,
        table.flushes.map(({ atPs }) => atPs)
      )
    )
  })
})

describe("pages that mappings share", () => {
  const staleOf = ({ dma }: ReturnType<typeof makeWorld>) => dma.snapshot().flush

  it.each(["lazy-global", "lazy-per-cpu"] as const)("%s: are stale from their last unmap to the next map", (flush) => {
    const host = makePlainHost()
    const world = makeWorld(flush, { allocator: "identity" }, host)
    const { device } = world
    const other = world.dma.attach("nic1", MASK_32)
    const [two, one] = [2 * PAGE_BYTES, PAGE_BYTES]
    device.mapSingle(0, 0x4000, two, TO_DEVICE)
    device.mapSingle(0, 0x5000, one, TO_DEVICE)
    device.unmapSingle(0, 0x4000, two, TO_DEVICE)
    // The second page is in use.
    expect(staleOf(world)).toMatchObject({ staleBytes: one, staleBytesMax: one })
    host.localPs[0]! += MS
    device.unmapSingle(0, 0x5000, one, TO_DEVICE)
    expect(staleOf(world)).toMatchObject({ staleBytes: two, staleBytesMax: two, staleBytePs: 0 })
    host.localPs[0]! += MS
    other.mapSingle(0, 0x4000, one, TO_DEVICE)
    expect(staleOf(world)).toMatchObject({ staleBytes: one, staleBytePs: 2 * MS * one })
    host.idleUntil(host.localPs[0]! + 50 * MS)
    // The flush comes 10 ms after the first unmap; the other page was cleared a millisecond later.
    const untilFlushed = (9 * MS + INVALIDATE_PS) * one
    expect(staleOf(world)).toMatchObject({ staleBytes: 0, staleBytePs: 2 * MS * one + untilFlushed, unmapsFlushed: 2 })
    other.unmapSingle(0, 0x4000, one, TO_DEVICE)
    other.mapSingle(0, 0x4000, one, TO_DEVICE)
    expect(staleOf(world)).toMatchObject({ staleBytes: 0, staleBytesMax: two })
  })

  it("strict: are stale while they are flushed, those that are not in use", () => {
    const world = makeWorld("strict", { allocator: "identity" })
    const { device } = world
    device.mapSingle(0, 0x4000, 2 * PAGE_BYTES, TO_DEVICE)
    device.mapSingle(0, 0x5000, PAGE_BYTES, TO_DEVICE)
    device.unmapSingle(0, 0x4000, 2 * PAGE_BYTES, TO_DEVICE)
    const staleBytePs = PAGE_BYTES * INVALIDATE_PS
    expect(staleOf(world)).toMatchObject({ staleBytes: 0, staleBytesMax: PAGE_BYTES, staleBytePs })
  })
})

/** Three buffers of the same page, which lie side by side on the bus and nowhere else. */
const scattered = (phys: number) => {
  const list = makeScatterList(3)
  for (let entry = 0; entry < 3; entry++) list.setBuffer(entry, phys, PAGE_BYTES)
  return list
}

describe.each(FLUSHES)("tables that refuse a part of a map, %s", (flush) => {
  const operation = fc.record({
    refuseAt: fc.nat({ max: 4 }),
    choice: fc.nat({ max: 99 }),
    pages: fc.integer({ min: 1, max: 6 })
  })
  test.prop([fc.constantFrom(...ALLOCATOR_NAMES), fc.array(operation, { maxLength: 100 })], { numRuns: 40 })(
    "what they had taken is flushed before it is handed out again",
    (allocator, operations) => {
      const host = makePlainHost()
      const { device, dma, table } = makeWorld(flush, { allocator }, host)
      const live: Array<() => void> = []
      for (const { choice, pages, refuseAt } of operations) {
        const phys = PAGE_BYTES * (1 + (choice % 20))
        table.refuseAt = refuseAt
        if (choice % 3 === 0 && live.length > 0) live.splice(choice % live.length, 1)[0]!()
        else if (choice % 2 === 0 && allocator !== "identity") {
          const list = scattered(phys)
          const mapped = device.mapSg(0, list, 3, TO_DEVICE)
          if (mapped > 0) live.push(() => device.unmapSg(0, list, 3, TO_DEVICE))
        } else {
          const busAddr = device.mapSingle(0, phys, pages * PAGE_BYTES, TO_DEVICE)
          const isMapped = !device.mappingError(busAddr)
          if (isMapped) live.push(() => device.unmapSingle(0, busAddr, pages * PAGE_BYTES, TO_DEVICE))
        }
        if (flush === "strict") expect(table.unflushed.size).toBe(0)
      }
      table.refuseAt = 0
      for (const unmap of live) unmap()
      host.idleUntil(host.localPs[0]! + 50 * MS)
      expect([table.entries.size, table.unflushed.size]).toEqual([0, 0])
      expect(dma.snapshot()).toMatchObject({ iovaPagesUsed: 0, iovaPagesQueued: 0, flush: { staleBytes: 0 } })
    }
  )

  it("of shared pages, too", () => {
    const host = makePlainHost()
    const { device, table } = makeWorld(flush, { allocator: "identity" }, host)
    const middle = device.mapSingle(0, 3 * PAGE_BYTES, 64, TO_DEVICE)
    table.refuseAt = 2
    // Page 2 is set, page 3 is, page 4 is refused.
    expect(device.mapSingle(0, 2 * PAGE_BYTES, 3 * PAGE_BYTES, TO_DEVICE)).toBe(DMA_MAPPING_ERROR)
    expect([...table.entries.keys()]).toEqual([3])
    expect(table.flushes.length).toBe(flush === "strict" ? 1 : 0)
    device.unmapSingle(0, middle, 64, TO_DEVICE)
    host.idleUntil(host.localPs[0]! + 50 * MS)
    expect([table.entries.size, table.unflushed.size]).toEqual([0, 0])
  })
})

describe("an unmap that is queued", () => {
  it.each(["lazy-global", "lazy-per-cpu"] as const)("%s: costs what queuing does, and no invalidation", (flush) => {
    const host = makePlainHost()
    const { device } = makeWorld(flush, { costs: { flushQueuePs: 700, unmapOtherPs: 30, constantPs: 5 } }, host)
    pair(device)
    expect(host.ledger[ACCOUNT_DMA_API]).toBe(730)
  })

  it("strict: there is no queue", () => {
    const host = makePlainHost()
    const { device } = makeWorld("strict", { costs: { flushQueuePs: 700, unmapOtherPs: 30 } }, host)
    pair(device)
    expect(host.ledger[ACCOUNT_DMA_API]).toBe(30)
  })
})

describe.each(FLUSHES)("several CPUs, %s", (flush) => {
  it.each(ALLOCATOR_NAMES)(
    "%s: no address twice, no unflushed one, nothing lost, every picosecond booked",
    (allocator) => {
      const timeline = makeTimeline()
      const cpuCount = 5
      const cpus = makeCpus(timeline, {
        cpuCount,
        threadsPerCore: 1,
        speedShares: [1],
        lockAcquirePs: 40_000,
        lockHandOffPs: 10_000,
        lockHandOffPerWaiterPs: 1000
      })
      const costs = { treeSearchPs: 30_000, treeVisitPs: 10_000, magazinePs: 20_000, constantPs: 10_000 }
      const { device, dma, table } = makeWorld(flush, { allocator, costs: { ...costs, bitmapSearchPs: 50_000 } }, cpus)
      const prng = makePrng(7)
      const live = Array.from({ length: cpuCount }, () => [] as Array<{ busAddr: number; sizeBytes: number }>)
      const left = new Int32Array(cpuCount).fill(400)
      const physOf = (cpu: number) => 0x1_0000 + cpu * 0x2_0000 + (left[cpu]! % 16) * 0x2000
      const next = cpus.define("next", (cpu) => {
        left[cpu]! -= 1
        cpus.spend(cpu, ACCOUNT_BENCHMARK, 50_000 + prng.below(400_000))
        const isFull = live[cpu]!.length > 6
        if (left[cpu]! < 0 && live[cpu]!.length === 0) return cpus.sleep(cpu)
        if (left[cpu]! < 0 || isFull) return unmap(cpu, prng.below(live[cpu]!.length))
        return device.beginMapSingle(cpu, physOf(cpu), 64 + prng.below(5000), TO_DEVICE, mapped)
      })
      const sizes = new Int32Array(cpuCount)
      const mapped = cpus.define("mapped", (cpu) => {
        const busAddr = device.mapped[cpu]!
        expect(device.mappingError(busAddr)).toBe(false)
        live[cpu]!.push({ busAddr, sizeBytes: sizes[cpu]! })
        return next
      })
      const unmap = (cpu: number, index: number): number => {
        const { busAddr, sizeBytes } = live[cpu]!.splice(index, 1)[0]!
        return device.beginUnmapSingle(cpu, busAddr, sizeBytes, TO_DEVICE, next)
      }
      // Sizes are remembered by the map's own arguments.
      const begin = device.beginMapSingle
      device.beginMapSingle = (cpu, phys, sizeBytes, direction, then) => {
        sizes[cpu] = sizeBytes
        return begin(cpu, phys, sizeBytes, direction, then)
      }
      for (let cpu = 0; cpu < cpuCount; cpu++) cpus.wake(cpu, next)
      timeline.runUntil(1000 * MS, 10_000_000)
      expect(table.entries.size).toBe(0)
      expect(table.unflushed.size).toBe(0)
      expect(dma.snapshot()).toMatchObject({ live: 0, iovaPagesUsed: 0, iovaPagesQueued: 0, flush: { staleBytes: 0 } })
      const { unmapsFlushed } = dma.snapshot().flush
      if (allocator !== "identity") expect(unmapsFlushed).toBe(dma.snapshot().unmaps)
      for (let cpu = 0; cpu < cpuCount; cpu++) expect(cpus.bookedPs(cpu)).toBe(cpus.busyPs(cpu))
    }
  )
})
