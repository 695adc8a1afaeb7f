/**
 * Goal: a list comes out as segments that hold its bytes in order, within the device's limits, merged where that is
 * allowed and not elsewhere; and leaves nothing behind, however it fails.
 *
 * Method: random lists against a walk over every page of every segment; the merging rule restated naively; the n-th
 * table write refused for every n.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import {
  ALLOCATOR_NAMES,
  EINVAL,
  EIO,
  ENOMEM,
  FROM_DEVICE,
  makeDmaApi,
  makePlainHost,
  makeScatterList,
  MAP_MASK_TOO_NARROW,
  MAP_TABLE_REFUSED,
  TO_DEVICE,
  type AllocatorName,
  type ScatterList
} from "@vnic/dma-api/core"
import { CachingTable } from "@vnic/dma-api/testing"
import { ACCOUNT_DMA_API, makePageAllocator } from "@vnic/sim/core"
import { leftovers, MASK_32, MEMORY_BYTES, NOTHING_LEFT, PAGE_BYTES, setUp } from "./support/setup.ts"

type Buffer = readonly [phys: number, sizeBytes: number]

function listOf(buffers: ReadonlyArray<Buffer>): ScatterList {
  const list = makeScatterList(buffers.length)
  buffers.forEach(([phys, sizeBytes], entry) => list.setBuffer(entry, phys, sizeBytes))
  return list
}

const segmentsOf = (list: ScatterList) =>
  Array.from({ length: list.segmentCount }, (_, segment) => ({
    busAddr: list.busAddrOf(segment),
    sizeBytes: list.busSizeBytesOf(segment)
  }))

const sumOf = (sizes: ReadonlyArray<number>) => sizes.reduce((sum, size) => sum + size, 0)

/** Entries that follow one another in one segment, by the rule's own words. */
function naiveGroups(buffers: ReadonlyArray<Buffer>, maxBytes: number): Array<number> {
  const groups: Array<number> = []
  let bytes = 0
  buffers.forEach(([phys, sizeBytes], entry) => {
    const before = entry === 0 ? undefined : buffers[entry - 1]
    const meets = before !== undefined && (before[0] + before[1]) % PAGE_BYTES === 0 && phys % PAGE_BYTES === 0
    if (meets && bytes + sizeBytes <= maxBytes) {
      bytes += sizeBytes
      groups[groups.length - 1]! += sizeBytes
    } else {
      bytes = sizeBytes
      groups.push(sizeBytes)
    }
  })
  return groups
}

const buffer = fc.oneof(
  fc.tuple(
    fc.integer({ min: 0, max: 100 }).map((page) => page * PAGE_BYTES),
    fc.integer({ min: 1, max: 4 }).map((pages) => pages * PAGE_BYTES)
  ),
  fc.tuple(fc.nat({ max: 400_000 }), fc.integer({ min: 1, max: 20_000 }))
)
const buffers = fc.array(buffer, { minLength: 1, maxLength: 12 })

describe("a scatter list behind an IOMMU", () => {
  it("is one range, merged where pages meet; entries that lie side by side in memory are one insert", () => {
    const setup = setUp("iommu", { debug: false })
    const device = setup.dma.attach("nic0", MASK_32)
    const list = listOf([
      [0x1_0800, 0x800],
      [0x2_0000, 0x1000],
      [0x2_1000, 0x1000],
      [0x5_0000, 0x400],
      [0x6_0000, 0x1000]
    ])
    expect(device.mapSg(0, list, 5, TO_DEVICE)).toBe(2)
    const [first, second] = segmentsOf(list)
    expect(first).toEqual({ busAddr: first!.busAddr, sizeBytes: 0x800 + 0x2000 + 0x400 })
    expect(second).toEqual({ busAddr: first!.busAddr - 0x800 + 0x4000, sizeBytes: 0x1000 })
    expect(setup.table.calls.map(({ pageCount }) => pageCount)).toEqual([1, 2, 1, 1])
    expect(device.counters).toMatchObject({ live: 1, maps: Float64Array.of(0, 1, 0) })
    device.unmapSg(0, list, 5, TO_DEVICE)
    expect(setup.table.calls.slice(4)).toMatchObject([{ name: "remove", pageCount: 5 }])
    expect([list.isMapped, list.segmentCount]).toEqual([false, 0])
    expect(leftovers(setup)).toEqual(NOTHING_LEFT)
  })

  test.prop([buffers, fc.constantFrom(PAGE_BYTES, 0x6000, 65_536, 1 << 20), fc.constantFrom(16, 17, 20, 52)])(
    "holds every byte in order, within the device's limits",
    (entries, maxBytes, boundaryBits) => {
      const setup = setUp("iommu", { debug: false, allocator: "rbtree" })
      const device = setup.dma.attach("nic0", MASK_32)
      device.mapSingle(0, 0, 0x3000, TO_DEVICE)
      const boundary = 2 ** boundaryBits
      device.dmaSetMaxSegSize(maxBytes)
      device.dmaSetSegBoundary(boundary - 1)
      const list = listOf(entries)
      const count = device.mapSg(0, list, entries.length, FROM_DEVICE)
      const segments = segmentsOf(list)
      expect(segments).toHaveLength(count)
      const groups = naiveGroups(entries, maxBytes)
      if (boundaryBits === 52) expect(segments.map(({ sizeBytes }) => sizeBytes)).toEqual(groups)
      const longest = Math.max(...entries.map(([, sizeBytes]) => sizeBytes))
      let entry = 0
      let offset = 0
      for (const { busAddr, sizeBytes } of segments) {
        expect(sizeBytes).toBeLessThanOrEqual(Math.max(maxBytes, longest))
        const crosses = Math.floor(busAddr / boundary) !== Math.floor((busAddr + sizeBytes - 1) / boundary)
        // Only an entry that no place could hold may.
        if (crosses) expect(entries.some(([phys, bytes]) => (phys % PAGE_BYTES) + bytes > boundary)).toBe(true)
        for (let at = 0; at < sizeBytes;) {
          const [phys, bytes] = entries[entry]!
          expect(setup.table.translate(busAddr + at)).toBe(phys + offset)
          const step = Math.min(bytes - offset, PAGE_BYTES - ((phys + offset) % PAGE_BYTES))
          at += step
          offset += step
          if (offset === bytes) {
            entry++
            offset = 0
          }
        }
      }
      expect(entry).toBe(entries.length)
      device.unmapSg(0, list, entries.length, FROM_DEVICE)
      expect(setup.dma.snapshot()).toMatchObject({ live: 1, iovaPagesUsed: expect.any(Number) })
      expect(setup.table.entries.size).toBe(3)
    }
  )

  it("refused at its n-th table write, for every n, it leaves nothing and can be mapped again", () => {
    for (let refuseAt = 1; refuseAt <= 5; refuseAt++) {
      const setup = setUp("iommu", { debug: false })
      const device = setup.dma.attach("nic0", MASK_32)
      const list = listOf([0, 1, 2, 3].map((index) => [0x1_0000 + index * 0x2000, 0x1000]))
      setup.table.refuseAt = refuseAt
      const isRefused = refuseAt <= 4
      expect(device.mapSgtable(0, list, 4, TO_DEVICE)).toBe(isRefused ? -ENOMEM : 0)
      expect(device.counters.failures[MAP_TABLE_REFUSED]).toBe(isRefused ? 1 : 0)
      if (isRefused) expect(leftovers(setup)).toEqual(NOTHING_LEFT)
      if (isRefused) {
        setup.table.refuseAt = 0
        expect(device.mapSg(0, list, 4, TO_DEVICE)).toBe(1)
      }
      device.unmapSg(0, list, 4, TO_DEVICE)
      expect(leftovers(setup)).toEqual(NOTHING_LEFT)
    }
  })

  it("says what the kernel says of each reason", () => {
    const setup = setUp("iommu", { debug: false }, { pageCount: 16 })
    const device = setup.dma.attach("nic0", MASK_32)
    const list = listOf([[0, 0x2_0000]])
    expect(device.mapSgtable(0, list, 1, TO_DEVICE)).toBe(-ENOMEM)
    device.dmaSetMinAlignMask(0x1fff)
    expect(device.mapSgtable(0, list, 1, TO_DEVICE)).toBe(-EINVAL)
    expect(setUp("direct").dma.attach("nic1", 0xffff).mapSgtable(0, list, 1, TO_DEVICE)).toBe(-EIO)
    const above = setUp("iommu", { debug: false }, { windowStart: 0x8000_0000 }).dma.attach("nic2", 0xffff)
    expect(above.mapSgtable(0, list, 1, TO_DEVICE)).toBe(-ENOMEM)
    expect(above.failure[0]).toBe(MAP_MASK_TOO_NARROW)
    expect(() => device.mapSg(0, list, 2, TO_DEVICE)).toThrow("no such entries")
  })

  it("costs what a call costs once, whatever its length", () => {
    const host = makePlainHost()
    const { dma } = setUp("iommu", { host, costs: { mapOtherPs: 1000, unmapOtherPs: 300 } })
    const device = dma.attach("nic0", MASK_32)
    const list = listOf([0, 1, 2, 3].map((index) => [0x1_0000 + index * 0x2000, 0x1000]))
    device.mapSg(0, list, 4, TO_DEVICE)
    expect(host.ledger[ACCOUNT_DMA_API]).toBe(1000)
    device.unmapSg(0, list, 4, TO_DEVICE)
    expect(host.ledger[ACCOUNT_DMA_API]).toBe(1300)
  })

  it.each(["direct", "iommu"] as const)("%s: is counted out in the direction that it was mapped in", (backend) => {
    const { dma } = setUp(backend)
    const device = dma.attach("nic0", MASK_32)
    const list = listOf([[0x1000, 512]])
    device.mapSg(0, list, 1, FROM_DEVICE)
    device.unmapSg(0, list, 1, TO_DEVICE)
    expect(device.counters.unmaps).toEqual(device.counters.maps)
    expect(dma.findings().map(({ kind }) => kind)).toEqual(["wrongDirection"])
  })

  test.prop([buffers, buffers, fc.constantFrom(0x3fff, 0xffff, Number.MAX_SAFE_INTEGER), fc.boolean()])(
    "is unmapped as it was mapped, whatever became of its buffers, and debug says that they changed",
    (entries, others, boundaryMask, debug) => {
      const { dma, table } = setUp("iommu", { debug })
      const device = dma.attach("nic0", MASK_32)
      device.dmaSetSegBoundary(boundaryMask)
      const list = listOf(entries)
      fc.pre(device.mapSg(0, list, entries.length, TO_DEVICE) > 0)
      const before = dma.snapshot().findings
      others.slice(0, entries.length).forEach(([phys, sizeBytes], entry) => list.setBuffer(entry, phys, sizeBytes))
      const isChanged = entries.some((entry, index) => String(others[index] ?? entry) !== String(entry))
      device.unmapSg(0, list, entries.length, TO_DEVICE)
      expect([table.entries.size, dma.snapshot().live, dma.snapshot().iovaPagesUsed]).toEqual([0, 0, 0])
      expect(dma.snapshot().findings - before).toBe(debug && isChanged ? 1 : 0)
      if (debug && isChanged) expect(dma.debug!.counts.wrongCpuAddress).toBe(1)
      // A list that is not mapped may be filled anew.
      list.setBuffer(0, 0x7000, 64)
      expect(device.mapSg(0, list, 1, TO_DEVICE)).toBe(1)
      device.unmapSg(0, list, 1, TO_DEVICE)
      expect(dma.snapshot().findings - before).toBe(debug && isChanged ? 1 : 0)
    }
  )

  it("is flushed once, whatever its length, and freed behind that", () => {
    const host = makePlainHost()
    const table = new CachingTable({ host })
    const pages = makePageAllocator(MEMORY_BYTES, PAGE_BYTES)
    const bytes = new Uint8Array(MEMORY_BYTES)
    const dma = makeDmaApi({ backend: "iommu", allocator: "rbtree", host, pages, bytes, table })
    const device = dma.attach("nic0", MASK_32)
    const list = listOf([0, 1, 2, 3].map((index) => [0x1_0000 + index * 0x2000, 0x1800]))
    device.mapSg(0, list, 4, TO_DEVICE)
    device.unmapSg(0, list, 4, TO_DEVICE)
    expect(table.flushes).toMatchObject([{ pageCount: 8 }])
    expect(dma.snapshot()).toMatchObject({ iovaPagesUsed: 0, findings: 0 })
  })
})

describe.each(["direct", ...ALLOCATOR_NAMES] as ReadonlyArray<"direct" | AllocatorName>)("lists of %s", (name) => {
  const world = () => (name === "direct" ? setUp("direct") : setUp("iommu", { allocator: name }))

  test.prop([buffers], { numRuns: 30 })("both forms do the same and leave nothing", (entries) => {
    const spread = entries.map(([phys, sizeBytes], index): Buffer => [
      (phys % 0x8000) + (index + 1) * 0x1_0000,
      sizeBytes
    ])
    const host = makePlainHost()
    const setup = name === "direct" ? setUp("direct", { host }) : setUp("iommu", { host, allocator: name })
    const device = setup.dma.attach("nic0", MASK_32)
    const plain = listOf(spread)
    const count = device.mapSg(0, plain, spread.length, TO_DEVICE)
    expect(count).toBeGreaterThan(0)
    if (name === "direct" || name === "identity") {
      expect(segmentsOf(plain)).toEqual(spread.map(([phys, sizeBytes]) => ({ busAddr: phys, sizeBytes })))
    }
    expect(sumOf(segmentsOf(plain).map(({ sizeBytes }) => sizeBytes))).toBe(sumOf(spread.map(([, size]) => size)))
    device.unmapSg(0, plain, spread.length, TO_DEVICE)
    const list = listOf(spread)
    const counts: Array<number> = []
    const unmapped = host.define("unmapped", (cpu) => host.leave(cpu))
    const mapped = host.define("mapped", (cpu) => {
      counts.push(list.segmentCount)
      return device.beginUnmapSg(cpu, list, spread.length, TO_DEVICE, unmapped)
    })
    host.runAlone(
      0,
      host.define("start", (cpu) => device.beginMapSg(cpu, list, spread.length, TO_DEVICE, mapped))
    )
    expect(counts).toEqual([count])
    expect(leftovers(setup)).toEqual(NOTHING_LEFT)
  })

  it("an entry out of reach undoes those before it", () => {
    const setup = world()
    const device = setup.dma.attach("nic0", name === "direct" || name === "identity" ? 0x2_ffff : 0xffff)
    const list = listOf([
      [0x1_0000, 0x1000],
      [0x2_0000, 0x1000],
      [0x3_0000, 0x10_0000]
    ])
    expect(device.mapSg(0, list, 3, TO_DEVICE)).toBe(0)
    expect(device.mappingError(device.mapped[0]!)).toBe(true)
    expect(list.isMapped).toBe(false)
    expect(leftovers(setup)).toEqual(NOTHING_LEFT)
  })
})
