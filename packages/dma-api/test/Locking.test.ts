import { describe, expect, it } from "vitest"
import { TO_DEVICE, makeDmaApi, type LockAcrossTableWrite, type Table } from "@vnic/dma-api/core"
import { findOverlap, FlatTable, makeRecordingHost } from "@vnic/dma-api/testing"
import {
  ACCOUNT_BENCHMARK,
  ACCOUNT_HYPERCALL,
  ACCOUNT_IOVA,
  ACCOUNT_LOCK_WAIT,
  makePageAllocator,
  makeCpus,
  makeTimeline
} from "@vnic/sim/core"
import { MASK_32, MEMORY_BYTES, PAGE_BYTES } from "./support/setup.ts"

const pages = () => makePageAllocator(MEMORY_BYTES, PAGE_BYTES)
const bytes = new Uint8Array(MEMORY_BYTES)
const COSTS = { directMapPairPs: 10, bitmapSearchPs: 50_000, bitmapWordPs: 1000 }
const HYPERCALL_PS = 700_000

/** Writes what reaches a table into a journal. */
const journaled = (table: FlatTable, journal: Array<string>): Table => ({
  pageShift: table.pageShift,
  windowStart: table.windowStart,
  pageCount: table.pageCount,
  insert: (...args) => {
    const refusal = table.insert(...args)
    journal.push(refusal === 0 ? "insert" : "insert refused")
    return refusal
  },
  remove: (...args) => {
    journal.push("remove")
    table.remove(...args)
  }
})

describe("the order of lock, search, table write and unlock", () => {
  const orders: Record<LockAcrossTableWrite, { map: string; refused: string; unmap: string }> = {
    both: {
      map: "lock search insert unlock",
      refused: "lock search insert refused free unlock",
      unmap: "lock remove free unlock"
    },
    unmap: {
      map: "lock search unlock insert",
      refused: "lock search unlock insert refused lock free unlock",
      unmap: "lock remove free unlock"
    },
    none: {
      map: "lock search unlock insert",
      refused: "lock search unlock insert refused lock free unlock",
      unmap: "remove lock free unlock"
    }
  }

  it.each(["both", "unmap", "none"] as const)("lock across: %s", (lockAcrossTableWrite) => {
    const host = makeRecordingHost()
    const { journal } = host
    const table = new FlatTable()
    // The allocator's work shows as what is booked: a search costs more than the words of a free.
    const spending = {
      ...host,
      spend: (cpu: number, account: number, durationPs: number) => {
        if (account === ACCOUNT_IOVA) journal.push(durationPs >= COSTS.bitmapSearchPs ? "search" : "free")
        host.spend(cpu, account, durationPs)
      }
    }
    const dma = makeDmaApi({
      backend: "iommu",
      lockAcrossTableWrite,
      host: spending,
      pages: pages(),
      bytes,
      costs: COSTS,
      table: journaled(table, journal)
    })
    const device = dma.attach("nic0", MASK_32)
    const expected = orders[lockAcrossTableWrite]
    const busAddr = device.mapSingle(0, 0x1000, 64, TO_DEVICE)
    device.mappingError(busAddr)
    expect(journal.splice(0).join(" ")).toBe(expected.map)
    device.unmapSingle(0, busAddr, 64, TO_DEVICE)
    expect(journal.splice(0).join(" ")).toBe(expected.unmap)
    table.refuseAt = 1
    expect(device.mappingError(device.mapSingle(0, 0x1000, 64, TO_DEVICE))).toBe(true)
    expect(journal.splice(0).join(" ")).toBe(expected.refused)
    const ring = device.allocCoherent(0, 100)!
    expect(journal.splice(0).join(" ")).toBe(expected.map)
    device.freeCoherent(0, ring)
    expect(journal.splice(0).join(" ")).toBe(expected.unmap)
  })
})

/** Each CPU maps `rounds` buffers, keeps some, unmaps the oldest, and thinks in between. */
function contend(cpuCount: number, lockAcrossTableWrite: LockAcrossTableWrite, rounds: number, refuseEvery = 0) {
  const timeline = makeTimeline()
  const cpus = makeCpus(timeline, {
    cpuCount,
    threadsPerCore: 1,
    speedShares: [1],
    lockAcquirePs: 40_000,
    lockHandOffPs: 10_000,
    lockHandOffPerWaiterPs: 0
  })
  const table = new FlatTable({ pageCount: 512 })
  let inserts = 0
  const slow: Table = {
    pageShift: table.pageShift,
    windowStart: table.windowStart,
    pageCount: table.pageCount,
    insert: (cpu, ...rest) => {
      cpus.spend(cpu, ACCOUNT_HYPERCALL, HYPERCALL_PS)
      if (refuseEvery > 0 && ++inserts % refuseEvery === 0) table.refuseAt = 1
      return table.insert(cpu, ...rest)
    },
    remove: (cpu, ...rest) => {
      cpus.spend(cpu, ACCOUNT_HYPERCALL, HYPERCALL_PS)
      table.remove(cpu, ...rest)
    }
  }
  const dma = makeDmaApi({
    backend: "iommu",
    lockAcrossTableWrite,
    host: cpus,
    pages: pages(),
    bytes,
    costs: COSTS,
    table: slow
  })
  const device = dma.attach("nic0", MASK_32)
  const live: Array<Array<{ busAddr: number; sizeBytes: number }>> = Array.from({ length: cpuCount }, () => [])
  const left = new Int32Array(cpuCount).fill(rounds)
  let failures = 0
  const sizeOf = (cpu: number) => 64 + ((left[cpu]! * 37 + cpu * 11) % 4) * 3000
  const next = cpus.define("next", (cpu) => {
    if (left[cpu] === 0) return live[cpu]!.length > 0 ? unmapOldest(cpu) : cpus.sleep(cpu)
    cpus.spend(cpu, ACCOUNT_BENCHMARK, 200_000 + cpu * 7000)
    return device.beginMapSingle(cpu, cpu * 0x1_0000, sizeOf(cpu), TO_DEVICE, mapped)
  })
  const mapped = cpus.define("mapped", (cpu) => {
    const busAddr = device.mapped[cpu]!
    if (device.mappingError(busAddr)) failures++
    else live[cpu]!.push({ busAddr, sizeBytes: sizeOf(cpu) })
    left[cpu]! -= 1
    const overlap = findOverlap(live.flat(), PAGE_BYTES)
    if (overlap !== undefined) expect.fail(`two live mappings overlap: ${JSON.stringify(overlap)}`)
    return live[cpu]!.length > 5 ? unmapOldest(cpu) : next
  })
  const unmapOldest = (cpu: number): number => {
    const { busAddr, sizeBytes } = live[cpu]!.shift()!
    return device.beginUnmapSingle(cpu, busAddr, sizeBytes, TO_DEVICE, next)
  }
  for (let cpu = 0; cpu < cpuCount; cpu++) cpus.wake(cpu, next)
  timeline.runUntil(Number.MAX_SAFE_INTEGER, 1_000_000)
  device.release()
  const account = (index: number) =>
    Array.from({ length: cpuCount }, (_, cpu) => cpus.ledger[cpu * (cpus.ledger.length / cpuCount) + index]!).reduce(
      (sum, spentPs) => sum + spentPs,
      0
    )
  return { dma, device, cpus, table, failures, waitPs: account(ACCOUNT_LOCK_WAIT), lock: cpus.lockCounts()[0]! }
}

describe("several CPUs", () => {
  const settings = (["both", "unmap", "none"] as const).flatMap((across) =>
    [2, 3, 8].map((count) => [count, across] as const)
  )

  it.each(settings)("%i CPUs, lock across %s: contention, no overlap, nothing left", (cpuCount, across) => {
    const { cpus, device, dma, lock, table, waitPs } = contend(cpuCount, across, 60)
    expect(waitPs).toBeGreaterThan(0)
    expect(lock).toMatchObject({ name: "IOVA table lock", grants: cpuCount * 60 * 2 })
    expect([...device.counters.maps]).toEqual([0, cpuCount * 60, 0])
    expect([...device.counters.unmaps]).toEqual([0, cpuCount * 60, 0])
    expect(table.entries.size).toBe(0)
    expect(dma.snapshot()).toMatchObject({ live: 0, iovaPagesUsed: 0, findings: 0 })
    for (let cpu = 0; cpu < cpuCount; cpu++) expect(cpus.bookedPs(cpu)).toBe(cpus.busyPs(cpu))
  })

  it.each(["both", "unmap", "none"] as const)(
    "a refusing table under contention leaks nothing (lock across %s)",
    (across) => {
      const { device, dma, failures, table } = contend(4, across, 60, 7)
      expect(failures).toBeGreaterThan(10)
      expect(failures).toBe(device.counters.failures[3])
      expect(table.entries.size).toBe(0)
      expect(dma.snapshot()).toMatchObject({ live: 0, iovaPagesUsed: 0, findings: 0 })
    }
  )

  it("the lock held across hypercalls is busy with them; let go before, it is not", () => {
    const busyPs = (across: LockAcrossTableWrite) => contend(4, across, 60).lock.busyPs
    const calls = 4 * 60
    expect(busyPs("both") - busyPs("unmap")).toBeGreaterThan(calls * HYPERCALL_PS * 0.9)
    expect(busyPs("unmap") - busyPs("none")).toBeGreaterThan(calls * HYPERCALL_PS * 0.9)
    expect(busyPs("none")).toBeLessThan(2 * calls * 200_000)
  })

  it("calls at once run on one CPU while the others sleep", () => {
    const { cpus, dma, device } = contend(3, "both", 1)
    const before = cpus.localPs[2]!
    const busAddr = dma.attach("nic1", MASK_32).mapSingle(2, 0, 64, TO_DEVICE)
    expect(device.mappingError(busAddr)).toBe(false)
    expect(cpus.localPs[2]).toBeGreaterThan(before)
  })
})
