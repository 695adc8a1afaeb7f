/**
 * Goal: bytes are stale that were mapped and are not flushed, and no others, whatever a call was about.
 *
 * Method: a table that knows which entries were cleared and not flushed; single mappings, lists with padding and ranges
 * with gaps, some of which the table refuses halfway.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import {
  ALLOCATOR_NAMES,
  FLUSHES,
  makeDmaApi,
  makeIovaRange,
  makePlainHost,
  makeScatterList,
  TO_DEVICE,
  type AllocatorName,
  type Device,
  type FlushName
} from "@vnic/dma-api/core"
import { CachingTable } from "@vnic/dma-api/testing"
import { makePageAllocator } from "@vnic/sim/core"
import { MASK_32, MEMORY_BYTES, PAGE_BYTES } from "./support/setup.ts"

const MS = 1_000_000_000

class WatchedTable extends CachingTable {
  /** Pages that were cleared and not flushed, at most. */
  unflushedMax = 0

  override remove(cpu: number, iovaPage: number, pageCount: number): void {
    super.remove(cpu, iovaPage, pageCount)
    this.unflushedMax = Math.max(this.unflushedMax, this.unflushed.size)
  }
}

function makeWorld(flush: FlushName, allocator: AllocatorName) {
  const host = makePlainHost()
  const table = new WatchedTable({ host, isIdentity: allocator === "identity", pageCount: 4096 })
  const pages = makePageAllocator(MEMORY_BYTES, PAGE_BYTES)
  const bytes = new Uint8Array(MEMORY_BYTES)
  const dma = makeDmaApi({ backend: "iommu", allocator, flush, host, pages, bytes, table })
  return { device: dma.attach("nvme0", MASK_32), dma, host, table }
}

interface Sizes {
  readonly phys: number
  readonly pages: number
  /** Of a second buffer, or a second link behind a gap. */
  readonly morePages: number
}

/** Each maps and gives back what unmaps; nothing when the table refused. */
const mapSingle = (device: Device, { pages, phys }: Sizes) => {
  const busAddr = device.mapSingle(0, phys, pages * PAGE_BYTES, TO_DEVICE)
  return device.mappingError(busAddr) ? undefined : () => device.unmapSingle(0, busAddr, pages * PAGE_BYTES, TO_DEVICE)
}

const mapList = (device: Device, { morePages, pages, phys }: Sizes) => {
  const list = makeScatterList(2)
  list.setBuffer(0, phys, pages * PAGE_BYTES)
  list.setBuffer(1, phys, morePages * PAGE_BYTES)
  return device.mapSg(0, list, 2, TO_DEVICE) === 0 ? undefined : () => device.unmapSg(0, list, 2, TO_DEVICE)
}

/** The first link is unlinked by itself. */
const mapRange = (device: Device, { morePages, pages, phys }: Sizes) => {
  const range = makeIovaRange()
  const [first, second] = [pages * PAGE_BYTES, morePages * PAGE_BYTES]
  const gapEnd = 2 * first
  if (!device.dmaIovaTryAlloc(0, range, 0, gapEnd + second)) return undefined
  device.dmaIovaLink(0, range, phys, 0, first, TO_DEVICE)
  device.dmaIovaLink(0, range, phys, gapEnd, second, TO_DEVICE)
  let isWhole = true
  return () => {
    if (isWhole) device.dmaIovaUnlink(0, range, 0, gapEnd, TO_DEVICE)
    else device.dmaIovaDestroy(0, range, range.sizeBytes, TO_DEVICE)
    isWhole = !isWhole
    return !isWhole
  }
}

const WAYS = [mapSingle, mapList, mapRange]

describe.each(FLUSHES)("%s", (flush) => {
  const operation = fc.record({
    refuseAt: fc.nat({ max: 6 }),
    way: fc.nat({ max: WAYS.length }),
    choice: fc.nat({ max: 99 }),
    pages: fc.integer({ min: 1, max: 6 }),
    morePages: fc.integer({ min: 1, max: 6 })
  })
  test.prop([fc.constantFrom(...ALLOCATOR_NAMES), fc.boolean(), fc.array(operation, { maxLength: 80 })], {
    numRuns: 50
  })("what is stale is what the table has cleared and not flushed", (allocator, isBounded, operations) => {
    const { device, dma, host, table } = makeWorld(flush, allocator)
    if (isBounded && allocator !== "identity") device.dmaSetSegBoundary(8 * PAGE_BYTES - 1)
    const live: Array<() => unknown> = []
    for (const { choice, morePages, pages, refuseAt, way } of operations) {
      table.refuseAt = refuseAt
      if (way === WAYS.length && live.length > 0) {
        const [unmap] = live.splice(choice % live.length, 1)
        if (unmap!() === true) live.push(unmap!)
      } else if (way < WAYS.length) {
        const unmap = WAYS[way]!(device, { phys: PAGE_BYTES * (1 + choice), pages, morePages })
        if (unmap !== undefined) live.push(unmap)
      }
      const { flush: counts, iovaPagesQueued, iovaPagesUsed } = dma.snapshot()
      // Pages of identity may be mapped again before their flush.
      const stalePages = [...table.unflushed].filter((page) => !table.entries.has(page)).length
      expect(counts.staleBytes).toBe(stalePages * PAGE_BYTES)
      if (flush === "strict") expect(counts.staleBytesMax).toBe(table.unflushedMax * PAGE_BYTES)
      if (allocator !== "identity") expect(iovaPagesQueued).toBeLessThanOrEqual(iovaPagesUsed)
    }
    table.refuseAt = 0
    for (const unmap of live) while (unmap() === true);
    host.idleUntil(host.localPs[0]! + 50 * MS)
    expect(dma.snapshot()).toMatchObject({ live: 0, iovaPagesUsed: 0, iovaPagesQueued: 0, flush: { staleBytes: 0 } })
  })

  it("an unlink of nothing flushes nothing", () => {
    const { device, dma, table } = makeWorld(flush, "rbtree")
    const range = makeIovaRange()
    device.dmaIovaTryAlloc(0, range, 0, 0x1_0000)
    device.dmaIovaUnlink(0, range, 0, 0x1_0000, TO_DEVICE)
    expect([table.flushes, dma.snapshot().flush.staleBytesMax]).toEqual([[], 0])
  })
})

describe("pages of identity that wait for a lazy flush", () => {
  it.each(["lazy-global", "lazy-per-cpu"] as const)("%s: are those that no mapping uses", (flush) => {
    const { device, dma } = makeWorld(flush, "identity")
    device.mapSingle(0, 0x4000, 4 * PAGE_BYTES, TO_DEVICE)
    device.mapSingle(0, 0x5000, 3 * PAGE_BYTES, TO_DEVICE)
    device.unmapSingle(0, 0x4000, 4 * PAGE_BYTES, TO_DEVICE)
    expect(dma.snapshot()).toMatchObject({ iovaPagesUsed: 3, iovaPagesQueued: 1, flush: { staleBytes: PAGE_BYTES } })
  })
})
