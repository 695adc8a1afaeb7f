import { describe, expect, it } from "vitest"
import { makeMemory } from "@vnic/sim/core"
import { byteSwap, makeTceTable, pciLiobn, tceTableBytes } from "@vnic/iommu/core"

const table = (changes: { windowStart?: number; windowBytes?: number; pageShift?: number } = {}) => {
  const memory = makeMemory(65536, 0)
  memory.bytes.fill(0xee)
  const made = makeTceTable({
    memory,
    tableOffset: 4096,
    liobn: pciLiobn(0, 0),
    windowStart: 0,
    windowBytes: 8 * 4096,
    pageShift: 12,
    ...changes
  })
  return { memory, made, bytesAt: (index: number) => [...memory.bytes.subarray(4096 + index * 8, 4104 + index * 8)] }
}

describe("a TCE table", () => {
  it("lies in memory as big-endian 64-bit entries", () => {
    const { bytesAt, made } = table()
    made.set(2, 0, 0x0123_4003)
    made.set(3, 0x8070_6050, 0xfedc_b9a0 | 0)
    expect(bytesAt(2)).toEqual([0, 0, 0, 0, 0x01, 0x23, 0x40, 0x03])
    expect(bytesAt(3)).toEqual([0x80, 0x70, 0x60, 0x50, 0xfe, 0xdc, 0xb9, 0xa0])
    expect([made.high(2), made.low(2)]).toEqual([0, 0x0123_4003])
    expect([made.high(3) >>> 0, made.low(3) >>> 0]).toEqual([0x8070_6050, 0xfedc_b9a0])
  })

  it("reads what a big-endian writer left there", () => {
    const { made, memory } = table()
    new DataView(memory.bytes.buffer).setBigUint64(4096 + 5 * 8, 0x0000_0000_0765_4002n, false)
    expect([made.high(5), made.low(5)]).toEqual([0, 0x0765_4002])
  })

  it("begins with entries that map nothing, and touches nothing else", () => {
    const { memory } = table()
    expect([...memory.bytes.subarray(4096, 4160)].every((byte) => byte === 0)).toBe(true)
    expect([memory.bytes[4095], memory.bytes[4160]]).toEqual([0xee, 0xee])
  })

  it("takes 2 MiB for a window of 1 GiB of 4 KiB pages", () => {
    expect(tceTableBytes(2 ** 30, 12)).toBe(2 * 1024 * 1024)
  })

  it("finds the entry of a bus address, and none outside the window", () => {
    const { made } = table({ windowStart: 0x8000_0000 })
    expect(made.indexOf(0x8000_0000)).toBe(0)
    expect(made.indexOf(0x8000_7fff)).toBe(7)
    for (const busAddr of [0, 0x7fff_ffff, 0x8000_8000, 0xffff_ffff, 2 ** 32, 2 ** 32 + 0x8000_0000, -1, -(2 ** 31)]) {
      expect([busAddr, made.indexOf(busAddr)]).toEqual([busAddr, -1])
    }
  })

  it("covers all of the 32-bit bus when the window does", () => {
    const memory = makeMemory(8 * 1024 * 1024, 0)
    const made = makeTceTable({ memory, tableOffset: 0, liobn: 1, windowStart: 0, windowBytes: 2 ** 32, pageShift: 12 })
    expect(made.indexOf(0xffff_ffff)).toBe(2 ** 20 - 1)
    expect(made.indexOf(2 ** 32)).toBe(-1)
  })

  it("has entries of 64 KiB pages where the page shift says so", () => {
    const { made } = table({ windowBytes: 4 * 65536, pageShift: 16 })
    expect([made.pageCount, made.indexOf(0x1_ffff), made.indexOf(0x4_0000)]).toEqual([4, 1, -1])
  })

  it("refuses a window that is not whole pages, not aligned, or above 4 GiB", () => {
    expect(() => table({ windowBytes: 6000 })).toThrow("whole IOMMU pages")
    expect(() => table({ windowStart: 100 })).toThrow("start at an IOMMU page")
    expect(() => table({ windowStart: 2 ** 32 - 4096 })).toThrow("above 4 GiB")
    expect(() => table({ windowBytes: 2 ** 30 })).toThrow("outside the memory")
  })

  it("names PCI windows as QEMU does", () => {
    expect(pciLiobn(3, 1) >>> 0).toBe(0x8000_0301)
    expect(byteSwap(0x0102_0304)).toBe(0x0403_0201)
  })
})
