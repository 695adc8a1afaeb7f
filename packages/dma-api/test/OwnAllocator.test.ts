/**
 * Goal: an allocator of the caller's own that breaks a promise is told so before the device or the table is given what
 * it handed out, whichever call asked for it; and one that makes do with what it is told works with every flush.
 */
import { describe, expect, it } from "vitest"
import {
  makeIovaRange,
  makeOneLockAllocator,
  makePlainHost,
  makeScatterList,
  TO_DEVICE,
  type Device,
  type MakeAllocator
} from "@vnic/dma-api/core"
import { CachingTable, type FlatTableOptions } from "@vnic/dma-api/testing"
import { makeBitmap } from "../src/core/iova/bitmap.ts"
import { makeIdentityAllocator } from "../src/core/iova/identity.ts"
import { MASK_32, PAGE_BYTES, setUp } from "./support/setup.ts"

const STEP_COSTS = { allocatePs: 0, freePs: 0, nodePs: 0, wordPs: 0 }

/** Hands out the same page, whatever is asked. */
const careless =
  (page: number): MakeAllocator =>
  (window) => {
    const structure = {
      steps: new Float64Array(4),
      pagesUsed: 0,
      allocate: () => page,
      free: () => {},
      canEverFit: () => true
    }
    return makeOneLockAllocator(window, structure, {
      lockName: "none",
      lockAcrossTableWrite: "none",
      stepCosts: STEP_COSTS
    })
  }

const attach = (page: number, window: FlatTableOptions = {}, mask = MASK_32) => {
  const { dma, table } = setUp("iommu", { allocator: careless(page) }, window)
  return { device: dma.attach("disk0", mask), table }
}

/** Every call that asks for bus addresses, three pages of them. */
const CALLS: Record<string, (device: Device) => void> = {
  mapSingle: (device) => void device.mapSingle(0, 0x2000, 3 * PAGE_BYTES, TO_DEVICE),
  allocCoherent: (device) => void device.allocCoherent(0, 3 * PAGE_BYTES),
  mapSg: (device) => {
    const list = makeScatterList(1)
    list.setBuffer(0, 0x2000, 3 * PAGE_BYTES)
    device.mapSg(0, list, 1, TO_DEVICE)
  },
  dmaIovaTryAlloc: (device) => void device.dmaIovaTryAlloc(0, makeIovaRange(), 0, 3 * PAGE_BYTES)
}

describe.each(Object.entries(CALLS))("%s", (_, call) => {
  it.each([
    [0, { windowStart: 0 }],
    [4, { reserved: [{ firstPage: 6, pageCount: 9 }] }],
    [14, { windowStart: 2 ** 31, pageCount: 16 }]
  ] as const)("throws when it is given page %i of what the window has not, or reserves", (page, window) => {
    const { device, table } = attach(page, window)
    expect(() => call(device)).toThrow("reserves")
    expect(table.entries.size).toBe(0)
  })

  it("throws when it is given pages above the device's mask", () => {
    const { device, table } = attach(255, {}, 0xf_ffff)
    expect(() => call(device)).toThrow("does not reach")
    expect(table.entries.size).toBe(0)
    call(attach(252, {}, 0xf_ffff).device)
  })
})

describe("a range", () => {
  it("that is not aligned on the bus throws", () => {
    const window = { windowStart: 3 * PAGE_BYTES }
    expect(() => attach(4, window).device.allocCoherent(0, 4 * PAGE_BYTES)).toThrow("aligned")
    expect(attach(5, window).device.allocCoherent(0, 4 * PAGE_BYTES)?.busAddr).toBe(8 * PAGE_BYTES)
  })

  it("that lies across the boundary throws, but for one that is longer", () => {
    const map = (page: number, pages: number) => {
      const { device } = attach(page, { windowStart: 2 * PAGE_BYTES })
      device.dmaSetSegBoundary(4 * PAGE_BYTES - 1)
      return device.mapSingle(0, 0x2000, pages * PAGE_BYTES, TO_DEVICE)
    }
    expect(() => map(1, 2)).toThrow("boundary")
    expect([map(2, 2), map(1, 5)]).toEqual([4 * PAGE_BYTES, 3 * PAGE_BYTES])
  })
})

it.each(["strict", "lazy-global", "lazy-per-cpu"] as const)(
  "one that would hold its lock across the table write lets go of it where the flush is %s",
  (flush) => {
    const allocator: MakeAllocator = (window) =>
      makeOneLockAllocator(window, makeBitmap(window), {
        lockName: "own",
        lockAcrossTableWrite: "both",
        stepCosts: STEP_COSTS
      })
    const host = makePlainHost()
    const { dma } = setUp("iommu", { allocator, flush, host, table: new CachingTable({ host }) })
    const device = dma.attach("disk0", MASK_32)
    for (let round = 0; round < 600; round++) {
      const busAddr = device.mapSingle(0, 0x2000, 64, TO_DEVICE)
      expect(device.mappingError(busAddr)).toBe(false)
      device.unmapSingle(0, busAddr, 64, TO_DEVICE)
    }
    expect(dma.snapshot()).toMatchObject({ maps: 600, unmaps: 600, live: 0 })
  }
)

it("one that shares pages is asked which of them suit it", () => {
  const { dma } = setUp("iommu", { allocator: makeIdentityAllocator })
  const device = dma.attach("disk0", 2 ** 19 - 1)
  const block = device.allocCoherent(0, PAGE_BYTES)!
  expect(block.busAddr).toBe(block.phys)
  expect(block.phys).toBeGreaterThan(0)
})
