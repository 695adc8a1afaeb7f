/** The window backend: memory is mapped once, whole, and maps are additions. */
import { describe, expect, it } from "vitest"
import {
  EIO,
  FROM_DEVICE,
  makePlainHost,
  MAP_MASK_TOO_NARROW,
  MAP_OUT_OF_MEMORY,
  MAP_TABLE_REFUSED,
  TO_DEVICE,
  type Table
} from "@vnic/dma-api/core"
import { FlatTable } from "@vnic/dma-api/testing"
import { ACCOUNT_DMA_API } from "@vnic/sim/core"
import { memoryWorld, WINDOW_START } from "./support/memory.ts"
import { MASK_32, MEMORY_BYTES, PAGE_BYTES } from "./support/setup.ts"

describe("the window backend", () => {
  it("maps all of memory when the first device is attached, and never writes an entry again", () => {
    const host = makePlainHost()
    const { device, dma, table } = memoryWorld("window", { host, costs: { directMapPairPs: 30_001 } })
    const entries = MEMORY_BYTES / PAGE_BYTES
    expect(table.calls).toMatchObject([{ name: "insert", iovaPage: 0, pageCount: entries, phys: 0, direction: 0 }])
    dma.attach("disk1", MASK_32)
    expect(device.mapSingle(0, 0, 64, TO_DEVICE)).toBe(WINDOW_START)
    const busAddr = device.mapSingle(0, MEMORY_BYTES - 64, 64, FROM_DEVICE)
    expect(busAddr).toBe(WINDOW_START + MEMORY_BYTES - 64)
    expect(device.mappingError(busAddr)).toBe(false)
    device.unmapSingle(0, busAddr, 64, FROM_DEVICE)
    expect(table.calls).toHaveLength(1)
    expect(host.ledger[ACCOUNT_DMA_API]).toBe(30_001 + 15_001)
    expect(dma.snapshot()).toMatchObject({ maps: 0, unmaps: 0, live: 1, findings: 0 })
  })

  it("needs a mask that reaches the window's end", () => {
    const { device, dma } = memoryWorld("window")
    expect(device.dmaGetRequiredMask()).toBe(2 * WINDOW_START - 1)
    for (const set of [device.dmaSetMask, device.dmaSetCoherentMask]) {
      expect([set(2 * WINDOW_START - 2), set(2 * WINDOW_START - 1), set(2 ** 40 - 1)]).toEqual([-EIO, 0, 0])
    }
    const above = memoryWorld("window", { table: new FlatTable({ windowStart: 2 ** 36 }) }).device
    expect([above.dmaSetMask(MASK_32), above.dmaSetMask(2 ** 37 - 1)]).toEqual([-EIO, 0])
    expect(above.mapSingle(0, 0x1000, 64, TO_DEVICE)).toBe(2 ** 36 + 0x1000)
    const narrow = dma.attach("old0", WINDOW_START + 0xffff)
    expect(narrow.mapSingle(0, 0xff00, 256, TO_DEVICE)).toBe(WINDOW_START + 0xff00)
    expect(narrow.mapSingle(0, 0xff00, 257, TO_DEVICE)).toBe(-1)
    expect(narrow.failure[0]).toBe(MAP_MASK_TOO_NARROW)
    expect(narrow.allocCoherent(0, 100)?.busAddr).toBe(WINDOW_START)
  })

  it("leaves out the memory that the table itself lies in; a map there fails", () => {
    const { table, changed } = withOwnMemory({ phys: 37 * PAGE_BYTES + 64, sizeBytes: PAGE_BYTES })
    const { device } = memoryWorld("window", { table: changed })
    expect(table.calls).toMatchObject([
      { iovaPage: 0, pageCount: 37, phys: 0 },
      { iovaPage: 39, pageCount: MEMORY_BYTES / PAGE_BYTES - 39, phys: 39 * PAGE_BYTES }
    ])
    const fails = (phys: number, sizeBytes: number): boolean => device.mapSingle(0, phys, sizeBytes, TO_DEVICE) < 0
    expect([36, 37, 38, 39].map((page) => fails(page * PAGE_BYTES, PAGE_BYTES))).toEqual([false, true, true, false])
    // No later try succeeds.
    expect(device.counters.failures[MAP_MASK_TOO_NARROW]).toBe(2)
    expect([fails(37 * PAGE_BYTES - 1, 1), fails(37 * PAGE_BYTES - 1, 2)]).toEqual([false, true])
  })

  it("leaves out what the table reserves, with the table's own memory or without", () => {
    const reserved = [
      { firstPage: 38, pageCount: 4 },
      { firstPage: 2, pageCount: 3 },
      { firstPage: 250, pageCount: 100 }
    ]
    const table = new FlatTable({ reserved })
    const { device } = memoryWorld("window", { table })
    const fails = (page: number): boolean => device.mapSingle(0, page * PAGE_BYTES, 64, TO_DEVICE) < 0
    const mapped = (): ReadonlyArray<number> => [...table.entries.keys()]
    const pages = Array.from({ length: MEMORY_BYTES / PAGE_BYTES }, (_, page) => page)
    expect(pages.filter(fails)).toEqual([2, 3, 4, 38, 39, 40, 41, 250, 251, 252, 253, 254, 255])
    expect(mapped()).toEqual(pages.filter((page) => !fails(page)))
    const own = withOwnMemory({ phys: 37 * PAGE_BYTES, sizeBytes: 2 * PAGE_BYTES }, reserved)
    memoryWorld("window", { table: own.changed })
    expect([...own.table.entries.keys()]).toEqual(mapped().filter((page) => page !== 37))
  })

  it.each([1, 2])(
    "of a table that refuses its insert %i fails every map until a device comes, and nothing is left",
    (refuseAt) => {
      const { table, changed } = withOwnMemory({ phys: PAGE_BYTES, sizeBytes: PAGE_BYTES })
      table.refuseAt = refuseAt
      const { device, dma, pages } = memoryWorld("window", { table: changed })
      expect(device.mapSingle(0, 0, 64, TO_DEVICE)).toBe(-1)
      expect(device.failure[0]).toBe(MAP_TABLE_REFUSED)
      expect(device.allocCoherent(0, 64)).toBeUndefined()
      expect([device.failure[0], pages.pagesUsed]).toEqual([MAP_TABLE_REFUSED, 0])
      expect(table.entries.size).toBe(0)
      const next = dma.attach("disk1", MASK_32)
      expect([device, next].map((one) => one.mapSingle(0, 64, 64, TO_DEVICE))).toEqual([64, 64])
      const inserts = table.calls.length
      dma.attach("disk2", MASK_32)
      expect(table.calls).toHaveLength(inserts)
    }
  )

  it("has coherent memory where the table reserves nothing", () => {
    const reserved = [
      { firstPage: 0, pageCount: 16 },
      { firstPage: 20, pageCount: 1000 }
    ]
    const { device, pages } = memoryWorld("window", { table: new FlatTable({ reserved }) })
    const blocks = [8, 4, 4].map((count) => device.allocCoherent(0, count * PAGE_BYTES)?.phys)
    expect(blocks).toEqual([undefined, 16 * PAGE_BYTES, undefined])
    const { failures } = device.counters
    expect([failures[MAP_MASK_TOO_NARROW], failures[MAP_OUT_OF_MEMORY], pages.pagesUsed]).toEqual([1, 1, 4])
  })

  it("of a table that is too short fails every map too", () => {
    const table = new FlatTable({ pageCount: MEMORY_BYTES / PAGE_BYTES - 1 })
    const { device, dma, pages } = memoryWorld("window", { table })
    expect(device.allocCoherent(0, 64)).toBeUndefined()
    expect(device.failure[0]).toBe(MAP_MASK_TOO_NARROW)
    expect([pages.pagesUsed, dma.liveCount(), table.calls]).toEqual([0, 0, []])
  })
})

/** A table that lies in memory itself. */
function withOwnMemory(
  ownMemory: { readonly phys: number; readonly sizeBytes: number },
  reserved: NonNullable<Table["reserved"]> = []
) {
  const table = new FlatTable({ reserved })
  const changed: Table = {
    pageShift: table.pageShift,
    windowStart: table.windowStart,
    pageCount: table.pageCount,
    reserved,
    ownMemory,
    insert: (...args) => table.insert(...args),
    remove: (...args) => table.remove(...args)
  }
  return { table, changed }
}
