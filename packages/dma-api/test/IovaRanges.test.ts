/**
 * Goal: a range is allocated once, linked piece by piece, flushed once and given back, and nothing is left however
 * it ends.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import {
  ALLOCATOR_NAMES,
  ATTR_MMIO,
  BIDIRECTIONAL,
  DMA_MAPPING_ERROR,
  EIO,
  ENOMEM,
  FLUSHES,
  FROM_DEVICE,
  makeDmaApi,
  makeIovaRange,
  makePlainHost,
  MAP_ADDRESS_SPACE_FULL,
  MAP_INVALID,
  MAP_MASK_TOO_NARROW,
  MAP_OK,
  MAP_TABLE_REFUSED,
  TO_DEVICE,
  type FlushName
} from "@vnic/dma-api/core"
import { CachingTable } from "@vnic/dma-api/testing"
import { ACCOUNT_DMA_API, makePageAllocator } from "@vnic/sim/core"
import { leftovers, MASK_32, MEMORY_BYTES, NOTHING_LEFT, PAGE_BYTES, setUp } from "./support/setup.ts"

function makeCached(flush: FlushName) {
  const host = makePlainHost()
  const table = new CachingTable({ host })
  const pages = makePageAllocator(MEMORY_BYTES, PAGE_BYTES)
  const bytes = new Uint8Array(MEMORY_BYTES)
  const dma = makeDmaApi({ backend: "iommu", flush, allocator: "rbtree", host, pages, bytes, table })
  return { device: dma.attach("nvme0", MASK_32), dma, host, table }
}

describe("a range of bus addresses", () => {
  it("takes links one behind the other, the first and the last within their pages", () => {
    const setup = setUp("iommu")
    const device = setup.dma.attach("nvme0", MASK_32)
    const range = makeIovaRange()
    expect(device.dmaIovaTryAlloc(0, range, 0x1_0a00, 0x600 + 0x2000 + 0x300)).toBe(true)
    expect(range.busAddr % PAGE_BYTES).toBe(0xa00)
    expect(setup.table.calls).toEqual([])
    expect(device.dmaIovaLink(0, range, 0x1_0a00, 0, 0x600, FROM_DEVICE)).toBe(0)
    expect(device.dmaIovaLink(0, range, 0x5_0000, 0x600, 0x2000, FROM_DEVICE)).toBe(0)
    expect(device.dmaIovaLink(0, range, 0x3_0000, 0x2600, 0x300, FROM_DEVICE)).toBe(0)
    expect(device.dmaIovaSync(0, range, 0, range.sizeBytes)).toBe(0)
    const at = (offset: number) => setup.table.translate(range.busAddr + offset)
    expect([at(0), at(0x5ff), at(0x600), at(0x25ff), at(0x2600), at(0x28ff)]).toEqual([
      0x1_0a00, 0x1_0fff, 0x5_0000, 0x5_1fff, 0x3_0000, 0x3_02ff
    ])
    expect(setup.dma.liveMappings().map(({ kind }) => kind)).toEqual(["link", "link", "link"])
    device.accessed(range.busAddr + 0x600, 0x2000, FROM_DEVICE, 0)
    device.dmaIovaDestroy(0, range, 0x2900, FROM_DEVICE)
    expect(range.sizeBytes).toBe(0)
    expect(setup.table.calls.at(-1)).toMatchObject({ name: "remove", pageCount: 4 })
    expect(leftovers(setup)).toEqual(NOTHING_LEFT)
  })

  it("refuses links that no table could hold, and outside of the range", () => {
    const setup = setUp("iommu")
    const device = setup.dma.attach("nvme0", MASK_32)
    const range = makeIovaRange()
    device.dmaIovaTryAlloc(0, range, 0x1_0000, 0x3000)
    expect(device.dmaIovaLink(0, range, 0x1_0800, 0, 0x800, TO_DEVICE)).toBe(-EIO)
    expect(device.dmaIovaLink(0, range, 0x1_0800, 0x800, 0x800, TO_DEVICE)).toBe(-EIO)
    expect(device.dmaIovaLink(0, range, 0x1_0000, 0x2000, 0x2000, TO_DEVICE)).toBe(-EIO)
    setup.table.refuseAt = 1
    expect(device.dmaIovaLink(0, range, 0x1_0000, 0, 0x1000, TO_DEVICE)).toBe(-ENOMEM)
    expect(range.linkedBytes).toBe(0)
    device.dmaIovaFree(0, range)
    expect(leftovers(setup)).toEqual(NOTHING_LEFT)
  })

  it("refuses a link that meets another one, whatever the table would do", () => {
    for (const backend of ["flat", "cached"] as const) {
      const setup = backend === "flat" ? setUp("iommu") : makeCached("strict")
      const device = setup.dma.attach("nvme1", MASK_32)
      const range = makeIovaRange()
      device.dmaIovaTryAlloc(0, range, 0x800, 0x3800)
      const link = (offset: number, sizeBytes: number) =>
        device.dmaIovaLink(0, range, 0x4_0000 + ((0x800 + offset) % 0x1000), offset, sizeBytes, TO_DEVICE)
      expect(link(0, 0x400)).toBe(0)
      expect([link(0, 0x400), link(0, 0x1000), link(0x200, 0x10)]).toEqual([-EIO, -EIO, -EIO])
      // The rest of the page is nobody's.
      expect(link(0x400, 0x400)).toBe(-EIO)
      expect(link(0x1800, 0x1800)).toBe(0)
      expect([link(0x800, 0x1001), link(0x1800, 1), link(0x2800, 0x800)]).toEqual([-EIO, -EIO, -EIO])
      expect(link(0x800, 0x1000)).toBe(0)
      for (const offset of [NaN, 0.5, -1]) {
        expect(device.dmaIovaLink(0, range, 0x4_0000, offset, 0x10, TO_DEVICE)).toBe(-EIO)
      }
      expect([setup.dma.liveCount(), setup.table.translate(range.busAddr)]).toEqual([3, 0x4_0800])
      device.dmaIovaDestroy(0, range, 0x3800, TO_DEVICE)
      expect(setup.dma.snapshot()).toMatchObject({ live: 0, iovaPagesUsed: 0, findings: 0 })
    }
  })

  it("is not to be had without an IOMMU, for addresses that are not allocated, or where nothing is free", () => {
    const range = makeIovaRange()
    const tryAlloc = (setup: ReturnType<typeof setUp>) =>
      setup.dma.attach("nvme0", MASK_32).dmaIovaTryAlloc(0, range, 0x1000, 0x10_0000)
    expect(tryAlloc(setUp("direct"))).toBe(false)
    expect(tryAlloc(setUp("iommu", { allocator: "identity" }))).toBe(false)
    expect(tryAlloc(setUp("iommu", {}, { pageCount: 64 }))).toBe(false)
    expect(tryAlloc(setUp("iommu"))).toBe(true)
  })

  it.each(ALLOCATOR_NAMES.filter((name) => name !== "identity"))(
    "%s: crosses no segment boundary; a longer one begins behind one",
    (allocator) => {
      for (const windowStart of [0, 0x7_3000]) {
        const device = setUp("iommu", { allocator }, { windowStart }).dma.attach("nvme0", MASK_32)
        const pagesOf = (sizeBytes: number) => {
          const range = makeIovaRange()
          expect(device.dmaIovaTryAlloc(0, range, 0xa00, sizeBytes)).toBe(true)
          const end = range.busAddr + sizeBytes - 1
          return [Math.floor(range.busAddr / 0x4000), Math.floor(end / 0x4000), range.busAddr % 0x4000]
        }
        device.mapSingle(0, 0, 64, TO_DEVICE)
        device.dmaSetSegBoundary(0x3fff)
        for (let count = 0; count < 20; count++) {
          const [first, last] = pagesOf(0x1000 + 0x800 * (count % 5))
          expect(last).toBe(first)
          expect(pagesOf(0x7000)[2]).toBe(0xa00)
        }
      }
    }
  )

  it("says why it was not to be had, as a map does; and so does a link", () => {
    const setup = setUp("iommu", {}, { pageCount: 64 })
    const device = setup.dma.attach("nvme0", MASK_32)
    const [range, small] = [makeIovaRange(), makeIovaRange()]
    const results = () => [device.failure[0], device.mapped[0]]
    const tryAlloc = (pages: number) => [device.dmaIovaTryAlloc(0, small, 0, pages * PAGE_BYTES), ...results()]
    expect(device.dmaIovaTryAlloc(0, range, 0x800, 0x8000)).toBe(true)
    expect(results()).toEqual([MAP_OK, range.busAddr])
    expect(tryAlloc(64)).toEqual([false, MAP_MASK_TOO_NARROW, DMA_MAPPING_ERROR])
    expect(tryAlloc(60)).toEqual([false, MAP_ADDRESS_SPACE_FULL, DMA_MAPPING_ERROR])
    const link = (phys: number, offset: number) => [
      device.dmaIovaLink(0, range, phys, offset, 0x800, TO_DEVICE),
      ...results()
    ]
    expect(link(0x1_0800, 0)).toEqual([0, MAP_OK, range.busAddr])
    expect(link(0x1_0800, 0)).toEqual([-EIO, MAP_INVALID, DMA_MAPPING_ERROR])
    expect(link(0x1_1000, 0x800)).toEqual([0, MAP_OK, range.busAddr + 0x800])
    expect(link(0x1_2800, 0x1800)).toEqual([-EIO, MAP_INVALID, DMA_MAPPING_ERROR])
    setup.table.refuseAt = 1
    expect(link(0x1_2000, 0x1800)).toEqual([-ENOMEM, MAP_TABLE_REFUSED, DMA_MAPPING_ERROR])
    device.dmaSetMinAlignMask(2 * PAGE_BYTES - 1)
    expect(tryAlloc(1)).toEqual([false, MAP_INVALID, DMA_MAPPING_ERROR])
    expect(setup.dma.snapshot()).toMatchObject({ failures: 6, live: 2 })
    const direct = setUp("direct")
    const other = direct.dma.attach("nvme1", MASK_32)
    other.mapSingle(0, MEMORY_BYTES * 2 ** 12, 64, TO_DEVICE)
    expect(other.failure[0]).toBe(MAP_MASK_TOO_NARROW)
    // That there are no ranges is no failure.
    expect([other.dmaIovaTryAlloc(0, small, 0, PAGE_BYTES), other.failure[0]]).toEqual([false, MAP_OK])
    expect(direct.dma.snapshot().failures).toBe(1)
  })

  it.each([true, false])("is of no use to another device, whatever it asks (debug: %s)", (debug) => {
    const setup = setUp("iommu", { debug })
    const device = setup.dma.attach("nvme0", MASK_32)
    const other = setup.dma.attach("nvme1", MASK_32)
    const range = makeIovaRange()
    device.dmaIovaTryAlloc(0, range, 0, 0x2000)
    const uses = () => [
      () => other.dmaIovaTryAlloc(0, range, 0, 0x1000),
      () => other.dmaIovaLink(0, range, 0x4000, 0x1000, 0x1000, TO_DEVICE),
      () => other.dmaIovaUnlink(0, range, 0, 0x1000, TO_DEVICE),
      () => other.beginDmaIovaUnlink(0, range, 0, 0x1000, TO_DEVICE, 0),
      () => other.dmaIovaFree(0, range),
      () => other.beginDmaIovaFree(0, range, 0),
      () => other.dmaIovaDestroy(0, range, 0x2000, TO_DEVICE),
      () => other.beginDmaIovaDestroy(0, range, 0x2000, TO_DEVICE, 0)
    ]
    for (const linked of [false, true]) {
      if (linked) device.dmaIovaLink(0, range, 0x5000, 0, 0x1000, TO_DEVICE)
      const before = [leftovers(setup), setup.dma.snapshot()]
      for (const use of uses()) expect(use).toThrow(/another device's|allocated twice/)
      expect([leftovers(setup), setup.dma.snapshot()]).toEqual(before)
    }
    device.dmaIovaDestroy(0, range, 0x2000, TO_DEVICE)
    expect(leftovers(setup)).toEqual(NOTHING_LEFT)
    // Given back, it is anybody's.
    expect(other.dmaIovaTryAlloc(0, range, 0, 0x1000)).toBe(true)
    other.dmaIovaFree(0, range)
  })

  it("is linked to another device's registers where the attributes say so", () => {
    const { dma, table } = setUp("iommu")
    const device = dma.attach("nvme0", MASK_32)
    const range = makeIovaRange()
    device.dmaIovaTryAlloc(0, range, 0, 0x2000)
    expect(device.dmaIovaLink(0, range, 2 ** 33, 0, 0x1000, TO_DEVICE, ATTR_MMIO)).toBe(0)
    expect(table.translate(range.busAddr)).toBe(2 ** 33)
    expect(dma.findings()).toEqual([])
    device.dmaIovaLink(0, range, 2 ** 33, 0x1000, 0x1000, TO_DEVICE)
    expect(dma.findings()).toMatchObject([{ kind: "invalidMemory" }])
  })

  it("costs what a call costs when it is allocated and when it is destroyed", () => {
    const host = makePlainHost()
    const { dma } = setUp("iommu", { host, costs: { mapOtherPs: 1000, unmapOtherPs: 300 } })
    const device = dma.attach("nvme0", MASK_32)
    const range = makeIovaRange()
    device.dmaIovaTryAlloc(0, range, 0, 0x2000)
    expect(host.ledger[ACCOUNT_DMA_API]).toBe(1000)
    device.dmaIovaLink(0, range, 0x4000, 0, 0x2000, TO_DEVICE)
    expect(host.ledger[ACCOUNT_DMA_API]).toBe(1000)
    device.dmaIovaDestroy(0, range, 0x2000, TO_DEVICE)
    expect(host.ledger[ACCOUNT_DMA_API]).toBe(1300)
  })

  it("links are counted out in the direction that they were linked in, those behind a gap too", () => {
    const { dma } = setUp("iommu")
    const device = dma.attach("nvme0", MASK_32)
    const range = makeIovaRange()
    device.dmaIovaTryAlloc(0, range, 0, 0x3000)
    const directions = [TO_DEVICE, FROM_DEVICE, BIDIRECTIONAL] as const
    directions.forEach((direction, link) => {
      device.dmaIovaLink(0, range, 0x4000 + 0x2000 * link, 0x1000 * link, 0x1000, direction)
    })
    device.dmaIovaUnlink(0, range, 0, 0x1000, FROM_DEVICE)
    expect(device.counters.unmaps).toEqual(Float64Array.of(0, 1, 0))
    device.dmaIovaDestroy(0, range, 0x3000, BIDIRECTIONAL)
    expect(device.counters.unmaps).toEqual(device.counters.maps)
    expect(dma.findings().map(({ kind }) => kind)).toEqual(["wrongDirection", "wrongDirection"])
  })

  it("an unlink where nothing is linked is a finding, and nothing more", () => {
    const setup = setUp("iommu")
    const device = setup.dma.attach("nvme0", MASK_32)
    const range = makeIovaRange()
    device.dmaIovaTryAlloc(0, range, 0, 0x3000)
    device.dmaIovaLink(0, range, 0x4000, 0x1000, 0x1000, TO_DEVICE)
    device.dmaIovaUnlink(0, range, 0, 0x1000, TO_DEVICE)
    device.dmaIovaUnlink(0, range, 0x2000, 0x1000, TO_DEVICE)
    device.dmaIovaUnlink(0, range, 0x1000, 0, TO_DEVICE)
    expect(setup.dma.findings()).toMatchObject([
      { kind: "unmapOfNothing", busAddr: range.busAddr, sizeBytes: 0x1000 },
      { kind: "unmapOfNothing", busAddr: range.busAddr + 0x2000 }
    ])
    expect(range.linkedBytes).toBe(0x1000)
    device.dmaIovaDestroy(0, range, 0x2000, TO_DEVICE)
    expect(leftovers(setup)).toEqual({ ...NOTHING_LEFT, findings: 2 })
  })

  it("that its device leaves allocated is a leak; one that was freed, either way, is not", () => {
    const { dma } = setUp("iommu")
    const device = dma.attach("nvme0", MASK_32)
    const [kept, freed, destroyed] = [makeIovaRange(), makeIovaRange(), makeIovaRange()]
    for (const range of [kept, freed, destroyed]) device.dmaIovaTryAlloc(0, range, 0, 0x2000)
    device.dmaIovaFree(0, freed)
    device.dmaIovaDestroy(0, destroyed, 0, TO_DEVICE)
    dma.attach("other", MASK_32).release()
    expect(dma.findings()).toEqual([])
    device.release()
    expect(dma.findings()).toMatchObject([
      { kind: "leak", device: "nvme0", busAddr: kept.busAddr, sizeBytes: 0x2000, mapping: undefined }
    ])
  })

  it("misuse breaks loudly", () => {
    const { dma } = setUp("iommu")
    const device = dma.attach("nvme0", MASK_32)
    const range = makeIovaRange()
    expect(() => device.dmaIovaFree(0, range)).toThrow("not allocated")
    expect(() => device.dmaIovaUnlink(0, range, 0, 64, TO_DEVICE)).toThrow("not allocated")
    const direct = setUp("direct").dma.attach("nvme1", MASK_32)
    expect(() => direct.dmaIovaUnlink(0, range, 0, 64, TO_DEVICE)).toThrow("not allocated")
    expect(direct.dmaIovaLink(0, range, 0, 0, 64, TO_DEVICE)).toBe(-EIO)
    device.dmaIovaTryAlloc(0, range, 0, 0x2000)
    expect(() => device.dmaIovaTryAlloc(0, range, 0, 0x2000)).toThrow("allocated twice")
    device.dmaIovaLink(0, range, 0x1000, 0, 0x2000, TO_DEVICE)
    expect(() => device.dmaIovaFree(0, range)).toThrow("memory linked")
    expect(() => device.dmaIovaUnlink(0, range, 0, 0x1000, TO_DEVICE)).toThrow("where a link does")
    for (const [offset, sizeBytes] of [
      [NaN, 0x1000],
      [0, NaN],
      [0, -1],
      [0, 2 ** 30],
      [0x1000, 0x1001]
    ] as const) {
      expect(() => device.dmaIovaUnlink(0, range, offset, sizeBytes, TO_DEVICE)).toThrow("outside of a range")
    }
    for (const sizeBytes of [NaN, 0x2001]) {
      expect(() => device.dmaIovaDestroy(0, range, sizeBytes, TO_DEVICE)).toThrow("than there is")
    }
    expect(() => device.dmaIovaDestroy(0, range, 0, TO_DEVICE)).toThrow("links left")
    expect(() => device.dmaIovaDestroy(0, range, 0x1000, TO_DEVICE)).toThrow("links left")
    // All of that was seen before anything was done.
    expect([dma.liveCount(), dma.liveMappings().length, dma.findings()]).toEqual([1, 1, []])
    device.dmaIovaDestroy(0, range, 0x2000, TO_DEVICE)
    expect([dma.liveCount(), dma.liveMappings().length, dma.findings()]).toEqual([0, 0, []])
  })

  it.each(FLUSHES)(
    "%s: an unlink is flushed when it returns; a destroy is one flush, when the policy says",
    (flush) => {
      const { device, dma, host, table } = makeCached(flush)
      const range = makeIovaRange()
      device.dmaIovaTryAlloc(0, range, 0, 0x8000)
      for (let link = 0; link < 8; link++) device.dmaIovaLink(0, range, 0x2000 * link, 0x1000 * link, 0x1000, TO_DEVICE)
      expect(table.translate(range.busAddr + 0x2000)).toBe(0x4000)
      device.dmaIovaUnlink(0, range, 0x2000, 0x3000, TO_DEVICE)
      expect(table.flushes).toMatchObject([{ iovaPage: range.busAddr / PAGE_BYTES + 2, pageCount: 3 }])
      expect(table.translate(range.busAddr + 0x2000)).toBeUndefined()
      expect(table.translate(range.busAddr + 0x5000)).toBe(0xa000)
      expect(range.linkedBytes).toBe(0x5000)
      const removes = table.calls.length
      device.dmaIovaDestroy(0, range, 0x8000, TO_DEVICE)
      expect(table.calls.slice(removes)).toMatchObject([{ pageCount: 2 }, { pageCount: 3 }])
      expect(table.flushes).toHaveLength(flush === "strict" ? 2 : 1)
      host.idleUntil(20_000_000_000)
      expect(table.flushes).toHaveLength(2)
      expect(dma.snapshot()).toMatchObject({ live: 0, iovaPagesUsed: 0, findings: 0, flush: { staleBytes: 0 } })
    }
  )

  test.prop([
    fc.constantFrom(...ALLOCATOR_NAMES.filter((name) => name !== "identity")),
    fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 20 }),
    fc.nat({ max: 20 }),
    fc.boolean()
  ])("in a program: whatever was linked when it ends, nothing is left", (allocator, sizes, linkCount, isInSteps) => {
    const host = makePlainHost()
    const setup = setUp("iommu", { allocator, host })
    const device = setup.dma.attach("nvme0", MASK_32)
    const range = makeIovaRange()
    const pages = sizes.reduce((sum, size) => sum + size, 0)
    const destroyed = host.define("destroyed", (cpu) => host.leave(cpu))
    const unlinked = host.define("unlinked", (cpu) => {
      expect(setup.table.entries.size).toBe(0)
      return device.beginDmaIovaFree(cpu, range, destroyed)
    })
    const allocated = host.define("allocated", (cpu) => {
      let offset = 0
      for (const size of sizes.slice(0, linkCount)) {
        expect(device.dmaIovaLink(cpu, range, offset * 2, offset, size * PAGE_BYTES, TO_DEVICE)).toBe(0)
        expect(setup.table.translate(range.busAddr + offset)).toBe(offset * 2)
        offset += size * PAGE_BYTES
      }
      return isInSteps
        ? device.beginDmaIovaUnlink(cpu, range, 0, offset, TO_DEVICE, unlinked)
        : device.beginDmaIovaDestroy(cpu, range, offset, TO_DEVICE, destroyed)
    })
    host.runAlone(
      0,
      host.define("start", (cpu) => device.beginDmaIovaTryAlloc(cpu, range, 0, pages * PAGE_BYTES, allocated))
    )
    expect(leftovers(setup)).toEqual(NOTHING_LEFT)
  })
})
