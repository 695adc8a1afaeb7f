/** Goal: what no call can do is refused before anything is done; what throws later leaves a host that says so. */
import { describe, expect, it } from "vitest"
import {
  DMA_MAPPING_ERROR,
  EIO,
  FROM_DEVICE,
  makeIovaRange,
  makePlainHost,
  makeScatterList,
  TO_DEVICE,
  type Direction
} from "@vnic/dma-api/core"
import type { FlatTableOptions } from "@vnic/dma-api/testing"
import { BACKENDS, leftovers, MASK_32, NOTHING_LEFT, setUp } from "./support/setup.ts"

describe.each(["iommu", "window"] as const)("the %s backend", (backend) => {
  const shapes: ReadonlyArray<readonly [FlatTableOptions, string]> = [
    [{ pageShift: 31 }, "a power of two"],
    [{ pageShift: 12.5 }, "a power of two"],
    [{ pageShift: -1 }, "a power of two"],
    [{ windowStart: 0x8000_0800 }, "does not begin at a page"],
    [{ windowStart: -4096 }, "does not begin at a page"],
    [{ windowStart: NaN }, "does not begin at a page"],
    [{ pageCount: 1023.5 }, "no such pages"],
    [{ pageCount: -1 }, "no such pages"],
    [{ windowStart: 2 ** 53 - 2 ** 20 }, "no such pages"],
    [{ reserved: [{ firstPage: 1.5, pageCount: 1 }] }, "parts of a page"],
    [{ reserved: [{ firstPage: 1, pageCount: NaN }] }, "parts of a page"],
    [{ pageCount: 0 }, "has none"]
  ]
  it.each(shapes)("takes no table with %o", (shape, message) => {
    expect(() => setUp(backend, {}, shape).dma.attach("nic0", MASK_32)).toThrow(message)
  })
})

it("the widest page of a table holds the longest buffer that there is, at any offset", () => {
  const { dma, table } = setUp("iommu", { allocator: "ring" }, { pageShift: 30, pageCount: 16 })
  const device = dma.attach("nic0", 2 ** 40 - 1)
  for (const phys of [0, 0x1000, 2 ** 30 - 1]) {
    const busAddr = device.mapSingle(0, phys, 2 ** 31 - 1, TO_DEVICE)
    expect([busAddr % 2 ** 30, table.entries.size]).toEqual([phys, phys === 0 ? 2 : 3])
    expect(table.translate(busAddr + 2 ** 31 - 2)).toBe(phys + 2 ** 31 - 2)
    device.unmapSingle(0, busAddr, 2 ** 31 - 1, TO_DEVICE)
  }
})

describe.each([...BACKENDS, "bounce"] as const)("a device of the %s backend", (backend) => {
  /** Pages are those of the bounce buffer. */
  const nothing = { ...NOTHING_LEFT, pages: leftovers(setUp(backend)).pages }

  it("takes no map of nothing and none in no direction, and is released once", () => {
    const setup = setUp(backend)
    const device = setup.dma.attach("nic0", MASK_32)
    expect(() => device.mapSingle(0, 0, 0, TO_DEVICE)).toThrow("no bytes")
    expect(() => device.mapSingle(0, 0, 64, 3 as Direction)).toThrow("no direction")
    expect(leftovers(setup)).toEqual(nothing)
    device.release()
    expect(() => device.release()).toThrow("released twice")
  })

  it.each([-1, NaN, Infinity, 4096.5, 2 ** 53])(
    "takes no map of physical address %d, however it is asked for",
    (phys) => {
      const setup = setUp(backend)
      const device = setup.dma.attach("nic0", MASK_32)
      const list = makeScatterList(2)
      list.setBuffer(0, 0x1000, 64)
      list.setBuffer(1, phys, 64)
      const range = makeIovaRange()
      const ways = [
        () => device.mapSingle(0, phys, 4, TO_DEVICE),
        () => device.mapPage(0, phys, 0, 4, TO_DEVICE),
        () => device.beginMapSingle(0, phys, 4, TO_DEVICE, 0),
        () => device.mapSg(0, list, 2, TO_DEVICE),
        () => device.dmaIovaLink(0, range, phys, 0, 4, TO_DEVICE)
      ]
      for (const way of ways) expect(way).toThrow("no physical address")
      expect(() => device.mapSg(0, list, 1.5, TO_DEVICE)).toThrow("no such entries")
      expect(list.isMapped).toBe(false)
      expect(device.mapSingle(0, 0x1000, 4, TO_DEVICE)).not.toBe(DMA_MAPPING_ERROR)
      expect(setup.dma.liveCount()).toBe(1)
    }
  )

  it.each([1, -1, 0.5, NaN])("has no CPU %d, whatever is called there", (cpu) => {
    const setup = setUp(backend)
    const device = setup.dma.attach("nic0", MASK_32)
    const [list, freeList] = [makeScatterList(1), makeScatterList(1)]
    list.setBuffer(0, 0x5000, 64)
    freeList.setBuffer(0, 0x6000, 64)
    const busAddr = device.mapSingle(0, 0x4000, 64, TO_DEVICE)
    device.mappingError(busAddr)
    device.mapSg(0, list, 1, TO_DEVICE)
    const range = makeIovaRange()
    const hasRange = device.dmaIovaTryAlloc(0, range, 0x7000, 64)
    const block = device.allocCoherent(0, 64)!
    if (hasRange) device.dmaIovaLink(0, range, 0x7000, 0, 64, TO_DEVICE)
    const before = [leftovers(setup), setup.dma.snapshot()]
    const uses = [
      () => device.mapSingle(cpu, 0x8000, 64, TO_DEVICE),
      () => device.unmapSingle(cpu, busAddr, 64, TO_DEVICE),
      () => device.mapSg(cpu, freeList, 1, TO_DEVICE),
      () => device.unmapSg(cpu, list, 1, TO_DEVICE),
      () => device.syncSingleForCpu(cpu, busAddr, 64, TO_DEVICE),
      () => device.syncSingleForDevice(cpu, busAddr, 64, TO_DEVICE),
      () => device.syncSgForCpu(cpu, list, 1, TO_DEVICE),
      () => device.syncSgForDevice(cpu, list, 1, TO_DEVICE),
      () => device.dmaIovaTryAlloc(cpu, makeIovaRange(), 0x7000, 64),
      () => device.dmaIovaLink(cpu, range, 0x7000, 0, 64, TO_DEVICE),
      () => device.dmaIovaUnlink(cpu, range, 0, 64, TO_DEVICE),
      () => device.dmaIovaFree(cpu, range),
      () => device.dmaIovaDestroy(cpu, range, 64, TO_DEVICE),
      () => device.allocCoherent(cpu, 64),
      () => device.freeCoherent(cpu, block)
    ]
    for (const use of uses) expect(use).toThrow("a CPU that the host does not have")
    expect([leftovers(setup), setup.dma.snapshot()]).toEqual(before)
    device.unmapSingle(0, busAddr, 64, TO_DEVICE)
    device.unmapSg(0, list, 1, TO_DEVICE)
    if (hasRange) device.dmaIovaDestroy(0, range, 64, TO_DEVICE)
    device.freeCoherent(0, block)
    expect(leftovers(setup)).toEqual(nothing)
  })

  it.each([NaN, -1, 0.5, Infinity, 2 ** 31])("takes no sync of %d bytes", (sizeBytes) => {
    const setup = setUp(backend)
    const device = setup.dma.attach("nic0", MASK_32)
    const busAddr = device.mapSingle(0, 0x4000, 64, FROM_DEVICE)
    device.mappingError(busAddr)
    const before = setup.dma.snapshot()
    expect(() => device.syncSingleForCpu(0, busAddr, sizeBytes, FROM_DEVICE)).toThrow("no number of bytes")
    expect(() => device.syncSingleForDevice(0, busAddr, sizeBytes, FROM_DEVICE)).toThrow("no number of bytes")
    expect(setup.dma.snapshot()).toEqual(before)
    device.unmapSingle(0, busAddr, 64, FROM_DEVICE)
    expect(leftovers(setup)).toEqual(nothing)
  })

  it("takes only whole numbers as masks and limits", () => {
    const { dma } = setUp(backend)
    const device = dma.attach("nic0", MASK_32)
    const before = { ...device.limits }
    for (const mask of [NaN, -1, 2 ** 31 + 0.5]) {
      expect([device.dmaSetMask(mask), device.dmaSetCoherentMask(mask)]).toEqual([-EIO, -EIO])
      expect(() => device.dmaSetMaxSegSize(mask)).toThrow("whole number")
      expect(() => dma.attach("nic1", mask)).toThrow("whole number")
    }
    for (const size of [NaN, -1, Infinity, 2 ** 31 + 0.5, 5000, 12_288, 65_536, 2 ** 20]) {
      expect(() => device.dmaSetSegBoundary(size)).toThrow("2^n - 1")
      expect(() => device.dmaSetMinAlignMask(size)).toThrow("2^n - 1")
    }
    expect(device.limits).toEqual(before)
    expect(dma.devices).toHaveLength(1)
    for (const mask of [0, 1, 2 ** 16 - 1, MASK_32, 2 ** 64 - 1]) device.dmaSetSegBoundary(mask)
    expect(device.limits.segBoundaryMask).toBe(2 ** 64 - 1)
  })
})

describe("an error in the middle of a call", () => {
  it("leaves a plain host that says so, whoever calls next", () => {
    const host = makePlainHost()
    const { dma } = setUp("iommu", { debug: false, host })
    const device = dma.attach("nic0", MASK_32)
    const busAddr = device.mapSingle(0, 0x4000, 64, TO_DEVICE)
    device.mapSingle(0, 0x5000, 64, TO_DEVICE)
    device.unmapSingle(0, busAddr, 64, TO_DEVICE)
    expect(() => device.unmapSingle(0, busAddr, 64, TO_DEVICE)).toThrow("an entry that is not set")
    expect(() => device.mapSingle(0, 0x6000, 64, TO_DEVICE)).toThrow("the host is broken")
    expect(() => device.allocCoherent(0, 64)).toThrow("the host is broken")
  })
})
