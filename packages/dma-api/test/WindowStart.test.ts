/**
 * Goal: where a window begins on the bus changes what is aligned, and nothing else: neither the work of an allocator
 * nor how much it has room for.
 */
import { describe, expect, it } from "vitest"
import { ALLOCATOR_NAMES, rangesThatFit, TO_DEVICE, type AllocatorName } from "@vnic/dma-api/core"
import { PAGE_BYTES, setUp } from "./support/setup.ts"

/** Where windows below and above 4 GiB begin: at multiples of whatever is asked for, and at others. */
const STARTS = [
  { aligned: 0, others: [1, 1023, 2 ** 18] },
  { aligned: 2 ** 20, others: [3 * 2 ** 20 + 2 ** 18, 2 ** 33 - 5] }
]
const NAMES = ALLOCATOR_NAMES.filter((name) => name !== "identity")

/** A device before a window that begins at this page. */
const attach = (allocator: AllocatorName, startPage: number, pageCount: number) => {
  const { dma } = setUp("iommu", { allocator, debug: false }, { windowStart: startPage * PAGE_BYTES, pageCount })
  return { device: dma.attach("nic0", 2 ** 60), dma }
}

describe.each(NAMES)("%s", (allocator) => {
  it("3 GiB cost a map what they cost anywhere", () => {
    const workAt = (startPage: number) => {
      const { device, dma } = attach(allocator, startPage, 3 * 2 ** 18)
      for (let count = 0; count < 40; count++) {
        const busAddr = device.mapSingle(0, PAGE_BYTES, 64, TO_DEVICE)
        if (count % 2 === 0) device.unmapSingle(0, busAddr, 64, TO_DEVICE)
      }
      const { allocations, frees } = dma.snapshot()
      return { allocations, frees }
    }
    for (const { aligned, others } of STARTS) {
      const expected = workAt(aligned)
      for (const startPage of others) expect(workAt(startPage)).toEqual(expected)
    }
  })

  it("1,024 pages have room for what they have room for anywhere", () => {
    const countAt = (startPage: number) => {
      const { device } = attach(allocator, startPage, 1024)
      let count = 0
      while (!device.mappingError(device.mapSingle(0, PAGE_BYTES, PAGE_BYTES, TO_DEVICE))) count++
      return count
    }
    for (const startPage of STARTS.flatMap(({ aligned, others }) => [aligned, ...others])) {
      const said = rangesThatFit(allocator, { startPage, pageCount: 1024, pageShift: 12 }, 1)
      expect(countAt(startPage)).toBe(said)
    }
  })
})
