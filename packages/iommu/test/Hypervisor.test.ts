import { describe, expect, it } from "vitest"
import {
  H_FUNCTION,
  H_HARDWARE,
  H_NOT_ENOUGH_RESOURCES,
  H_PARAMETER,
  H_SUCCESS,
  makeHypervisor,
  makeTceTable,
  TCE_READ,
  TCE_WRITE
} from "@vnic/iommu/core"
import { makeMemory } from "@vnic/sim/core"

const MEMORY_BYTES = 1 << 20
const TABLE = 0x8000
const LIST = 0x9000
const LIOBN = 0x8000_0000 | 0
const WINDOW_PAGES = 8
const BOTH = TCE_READ | TCE_WRITE

const world = (changes: { multiTce?: boolean; pinnedPagesLimit?: number; pageShift?: number } = {}) => {
  const { multiTce = true, pageShift = 12, ...limit } = changes
  const memory = makeMemory(MEMORY_BYTES, 0)
  const localPs = new Float64Array(2)
  const hypervisor = makeHypervisor({ memory, localPs, multiTce, ...limit })
  const table = makeTceTable({
    memory,
    tableOffset: TABLE,
    liobn: LIOBN,
    windowStart: 0,
    windowBytes: WINDOW_PAGES << pageShift,
    pageShift
  })
  hypervisor.addTable(table)
  const entries = () => Array.from({ length: WINDOW_PAGES }, (_, index) => table.low(index))
  const view = new DataView(memory.bytes.buffer)
  const writeList = (tces: ReadonlyArray<bigint>) =>
    tces.forEach((tce, index) => view.setBigUint64(LIST + index * 8, tce, false))
  const { pins } = hypervisor
  return { memory, localPs, hypervisor, table, entries, writeList, pins }
}

const page = (pfn: number, permission: number) => (pfn << 12) | permission

describe("H_PUT_TCE", () => {
  it("stores an entry, pins its page, and lets go of it when it is replaced", () => {
    const { entries, hypervisor, pins } = world()
    expect(hypervisor.hPutTce(0, LIOBN, 0x2000, page(0x20, BOTH))).toBe(H_SUCCESS)
    expect(entries()).toEqual([0, 0, 0x20003, 0, 0, 0, 0, 0])
    expect([pins.useCounts[0x20], pins.pinnedPages]).toEqual([1, 1])
    expect(hypervisor.hPutTce(0, LIOBN, 0x2000, page(0x21, TCE_READ))).toBe(H_SUCCESS)
    expect([pins.useCounts[0x20], pins.useCounts[0x21], pins.pinnedPages, pins.pinnedPagesMax]).toEqual([0, 1, 1, 2])
    expect(hypervisor.hPutTce(0, LIOBN, 0x2000, 0)).toBe(H_SUCCESS)
    expect([pins.useCounts[0x21], pins.pinnedPages]).toEqual([0, 0])
  })

  it("pins a page once however many entries map it", () => {
    const { hypervisor, pins } = world()
    for (const ioba of [0, 0x1000, 0x1000]) hypervisor.hPutTce(0, LIOBN, ioba, page(0x20, BOTH))
    expect([pins.useCounts[0x20], pins.pinnedPages]).toEqual([2, 1])
    hypervisor.hPutTce(0, LIOBN, 0, 0)
    expect([pins.useCounts[0x20], pins.pinnedPages]).toEqual([1, 1])
  })

  it.each([
    ["an unknown LIOBN", { liobn: 7 }],
    ["an address inside a page", { ioba: 0x1008 }],
    ["an address past the window", { ioba: 0x8000 }],
    ["an address above 4 GiB", { ioba: 2 ** 32 }],
    ["an address below 0", { ioba: -4096 }],
    ["bits between permission and page", { low: 0x20007 }],
    ["a page past the guest's memory", { low: MEMORY_BYTES | BOTH }],
    ["a page above 2 GiB", { low: 0x8000_0000 | BOTH }],
    ["a page above 4 GiB", { high: 1 }],
    ["the hypervisor's own page", { low: TABLE | BOTH }]
  ])("answers H_PARAMETER to %s", (_, changes) => {
    const { entries, hypervisor, pins } = world()
    const { high = 0, ioba = 0x1000, liobn = LIOBN, low = page(0x20, BOTH) }: Record<string, number> = changes
    expect(hypervisor.hPutTce(0, liobn, ioba, low, high)).toBe(H_PARAMETER)
    expect(entries()).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
    expect(pins.pinnedPages).toBe(0)
  })

  it("accepts any entry with neither permission bit", () => {
    const { hypervisor, pins, table } = world()
    expect(hypervisor.hPutTce(0, LIOBN, 0, 0xdead_bef0 | 0, 0xffff_ffff | 0)).toBe(H_SUCCESS)
    expect([table.high(0), table.low(0) >>> 0, pins.pinnedPages]).toEqual([-1, 0xdead_bef0, 0])
  })

  it("answers H_NOT_ENOUGH_RESOURCES when one more page would pass the limit, and changes nothing", () => {
    const { entries, hypervisor, pins } = world({ pinnedPagesLimit: 1 })
    expect(hypervisor.hPutTce(0, LIOBN, 0, page(0x20, BOTH))).toBe(H_SUCCESS)
    expect(hypervisor.hPutTce(0, LIOBN, 0x1000, page(0x20, BOTH))).toBe(H_SUCCESS)
    expect(hypervisor.hPutTce(0, LIOBN, 0x2000, page(0x21, BOTH))).toBe(H_NOT_ENOUGH_RESOURCES)
    expect(entries().slice(0, 3)).toEqual([0x20003, 0x20003, 0])
    expect([pins.pinnedPages, pins.useCounts[0x21]]).toEqual([1, 0])
  })
})

describe("H_PUT_TCE_INDIRECT", () => {
  it("stores the entries of a list for consecutive pages", () => {
    const { entries, hypervisor, pins, writeList } = world()
    writeList([0x20001n, 0x21003n, 0x22002n])
    expect(hypervisor.hPutTceIndirect(0, LIOBN, 0x3000, LIST, 3)).toBe(H_SUCCESS)
    expect(entries()).toEqual([0, 0, 0, 0x20001, 0x21003, 0x22002, 0, 0])
    expect(pins.pinnedPages).toBe(3)
  })

  it("checks all entries before it stores the first", () => {
    const { entries, hypervisor, pins, writeList } = world()
    for (const bad of [0x21007n, 0x1_0000_0003n, BigInt(MEMORY_BYTES) | 3n, BigInt(TABLE) | 1n]) {
      writeList([0x20003n, 0x21003n, bad])
      expect(hypervisor.hPutTceIndirect(0, LIOBN, 0, LIST, 3)).toBe(H_PARAMETER)
      expect([...entries(), pins.pinnedPages]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0])
    }
  })

  it("leaves what it stored before the limit was reached", () => {
    const { entries, hypervisor, pins, writeList } = world({ pinnedPagesLimit: 2 })
    writeList([0x20003n, 0x21003n, 0x22003n, 0x20003n])
    expect(hypervisor.hPutTceIndirect(0, LIOBN, 0, LIST, 4)).toBe(H_NOT_ENOUGH_RESOURCES)
    expect(entries().slice(0, 4)).toEqual([0x20003, 0x21003, 0, 0])
    expect(pins.pinnedPages).toBe(2)
  })

  it.each([
    ["an unknown LIOBN", { liobn: 7 }],
    ["more than 512 entries", { count: 513 }],
    ["fewer than none", { count: -1 }],
    ["a list that is not page aligned", { list: LIST + 8 }],
    ["a list outside the guest's memory", { list: MEMORY_BYTES }],
    ["a list above 2 GiB", { list: 2 ** 31 }],
    ["a list above 4 GiB", { list: 2 ** 32 }],
    ["a list in the hypervisor's own page", { list: TABLE }],
    ["an address inside a page", { ioba: 0x10 }],
    ["a range past the window", { ioba: 0x7000 }]
  ])("answers H_PARAMETER to %s", (_, changes) => {
    const { entries, hypervisor, writeList } = world()
    writeList([0x20003n, 0x21003n])
    const { count = 2, ioba = 0, liobn = LIOBN, list = LIST }: Record<string, number> = changes
    expect(hypervisor.hPutTceIndirect(0, liobn, ioba, list, count)).toBe(H_PARAMETER)
    expect(entries()).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
  })

  it("does nothing, successfully, for no entries", () => {
    const { hypervisor } = world()
    expect(hypervisor.hPutTceIndirect(0, LIOBN, 0x7000, LIST, 0)).toBe(H_SUCCESS)
  })
})

describe("H_STUFF_TCE", () => {
  it("stores one value in a range and lets go of what was mapped there", () => {
    const { entries, hypervisor, pins } = world()
    for (let index = 0; index < WINDOW_PAGES; index++) hypervisor.hPutTce(0, LIOBN, index << 12, page(32 + index, BOTH))
    expect(hypervisor.hStuffTce(0, LIOBN, 0x1000, 0, 3)).toBe(H_SUCCESS)
    expect(entries().slice(0, 5)).toEqual([0x20003, 0, 0, 0, 0x24003])
    expect(pins.pinnedPages).toBe(5)
    expect(hypervisor.hStuffTce(0, LIOBN, 0, 0x7f00, WINDOW_PAGES)).toBe(H_SUCCESS)
    expect(entries()).toEqual([0x7f00, 0x7f00, 0x7f00, 0x7f00, 0x7f00, 0x7f00, 0x7f00, 0x7f00])
    expect(pins.pinnedPages).toBe(0)
  })

  it.each([
    ["an unknown LIOBN", { liobn: 7 }],
    ["a value with a permission bit", { low: 1 }],
    ["a range past the window", { count: 8 }],
    ["fewer than none", { count: -1 }],
    ["an address inside a page", { ioba: 0x1004 }]
  ])("answers H_PARAMETER to %s", (_, changes) => {
    const { hypervisor, pins } = world()
    hypervisor.hPutTce(0, LIOBN, 0x1000, page(0x20, BOTH))
    const { count = 1, ioba = 0x1000, liobn = LIOBN, low = 0 }: Record<string, number> = changes
    expect(hypervisor.hStuffTce(0, liobn, ioba, low, count)).toBe(H_PARAMETER)
    expect(pins.pinnedPages).toBe(1)
  })
})

describe("H_GET_TCE", () => {
  it("reads both words back", () => {
    const { hypervisor } = world()
    hypervisor.hPutTce(0, LIOBN, 0x1000, 0x1230, 0x55)
    expect(hypervisor.hGetTce(LIOBN, 0x1000)).toBe(H_SUCCESS)
    expect([...hypervisor.entry]).toEqual([0x55, 0x1230])
    for (const [liobn, ioba] of [
      [7, 0x1000],
      [LIOBN, 0x1001],
      [LIOBN, 0x8000]
    ] as const) {
      expect(hypervisor.hGetTce(liobn, ioba)).toBe(H_PARAMETER)
    }
  })
})

describe("the hypervisor", () => {
  it("answers H_FUNCTION to the multi-TCE calls where the platform lacks them", () => {
    const { hypervisor } = world({ multiTce: false })
    expect(hypervisor.hPutTceIndirect(0, LIOBN, 0, LIST, 1)).toBe(H_FUNCTION)
    expect(hypervisor.hStuffTce(0, LIOBN, 0, 0, 1)).toBe(H_FUNCTION)
    expect(hypervisor.hPutTce(0, LIOBN, 0, page(0x20, BOTH))).toBe(H_SUCCESS)
  })

  it("refuses the call that it is told to refuse, once", () => {
    const { entries, hypervisor } = world()
    hypervisor.failAt = 2
    const codes = [0, 1, 2].map((index) => hypervisor.hPutTce(0, LIOBN, index << 12, page(0x20, BOTH)))
    expect(codes).toEqual([H_SUCCESS, H_HARDWARE, H_SUCCESS])
    expect(entries().slice(0, 3)).toEqual([0x20003, 0, 0x20003])
  })

  it("keeps tables with different LIOBNs apart, and takes no second one of the same", () => {
    const { hypervisor, memory, table } = world()
    const other = makeTceTable({
      memory,
      tableOffset: 0xa000,
      liobn: 5,
      windowStart: 0,
      windowBytes: 4096,
      pageShift: 12
    })
    hypervisor.addTable(other)
    expect(hypervisor.hPutTce(0, 5, 0, page(0x20, BOTH))).toBe(H_SUCCESS)
    expect([table.low(0), other.low(0)]).toEqual([0, 0x20003])
    expect(() => hypervisor.addTable(other)).toThrow("one LIOBN")
  })

  it("pins all the 4 KiB pages of a 64 KiB entry", () => {
    const { hypervisor, pins } = world({ pageShift: 16, pinnedPagesLimit: 40 })
    expect(hypervisor.hPutTce(0, LIOBN, 0, 0x2_0000 | BOTH)).toBe(H_SUCCESS)
    expect(pins.pinnedPages).toBe(16)
    expect(hypervisor.hPutTce(0, LIOBN, 0, 0x2_1000 | BOTH)).toBe(H_PARAMETER)
    expect(hypervisor.hPutTce(0, LIOBN, 0, BOTH)).toBe(H_PARAMETER)
    expect(hypervisor.hPutTce(0, LIOBN, 0x1_0000, 0x3_0000 | BOTH)).toBe(H_SUCCESS)
    expect(hypervisor.hPutTce(0, LIOBN, 0x2_0000, 0x4_0000 | BOTH)).toBe(H_NOT_ENOUGH_RESOURCES)
    expect([pins.pinnedPages, pins.useCounts[0x40]]).toEqual([32, 0])
    hypervisor.hStuffTce(0, LIOBN, 0, 0, WINDOW_PAGES)
    expect([pins.pinnedPages, pins.useCounts.filter((uses) => uses > 0).length]).toEqual([0, 0])
  })

  it("averages pinned pages over time, in whatever order the CPUs' times run", () => {
    const { hypervisor, localPs, pins } = world()
    const put = (cpu: number, atPs: number, index: number, low: number) => {
      localPs[cpu] = atPs
      expect(hypervisor.hPutTce(cpu, LIOBN, index << 12, low)).toBe(H_SUCCESS)
    }
    put(0, 1000, 0, page(0x20, BOTH))
    put(1, 400, 1, page(0x21, BOTH))
    put(0, 3000, 0, 0)
    put(1, 2400, 1, 0)
    expect(pins.pagePs(10_000)).toBe(2000 + 2000)
    put(0, 10_000, 2, page(0x22, BOTH))
    expect(pins.pagePs(11_000)).toBe(4000 + 1000)
  })
})
