/** Goal: masks and limits are taken, refused and applied as the kernel does. */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import {
  ALLOCATOR_NAMES,
  ATTR_SKIP_CPU_SYNC,
  DMA_MAPPING_ERROR,
  EIO,
  FROM_DEVICE,
  makeScatterList,
  MAP_INVALID,
  MAP_MASK_TOO_NARROW,
  MAP_OK,
  MAP_OUT_OF_MEMORY,
  TO_DEVICE,
  type AllocatorName,
  type BackendName,
  type DmaApiOptions,
  type Table
} from "@vnic/dma-api/core"
import { makePageAllocator } from "@vnic/sim/core"
import { BACKENDS, MASK_32, MEMORY_BYTES, PAGE_BYTES, setUp } from "./support/setup.ts"

describe("masks", () => {
  it("direct: any of 32 bits, a narrower one if it reaches the DMA zone or all memory", () => {
    const { dma } = setUp("direct")
    const device = dma.attach("nic0", MASK_32)
    expect(device.dmaGetRequiredMask()).toBe(MEMORY_BYTES - 1)
    expect(device.dmaSetMask(2 ** 64 - 1)).toBe(0)
    expect(device.dmaSetMask(2 ** 24 - 1)).toBe(0)
    expect(device.dmaSetMask(MEMORY_BYTES - 1)).toBe(0)
    expect(device.dmaSetMask(MEMORY_BYTES / 2 - 1)).toBe(-EIO)
    expect(device.limits).toMatchObject({ mask: MEMORY_BYTES - 1, coherentMask: MASK_32 })
    const large = setUp("direct", { bytes: new Uint8Array(2 ** 25) }).dma.attach("nic0", MASK_32)
    expect([large.dmaSetMask(2 ** 24 - 1), large.dmaSetMask(2 ** 23 - 1)]).toEqual([0, -EIO])
  })

  it("iommu: any, and what lies above is found at the map", () => {
    const { dma } = setUp("iommu", {}, { windowStart: 0x10_0000, pageCount: 256 })
    const device = dma.attach("nic0", MASK_32)
    expect(device.dmaGetRequiredMask()).toBe(0x1f_ffff)
    expect(device.dmaSetMask(0xffff)).toBe(0)
    expect(device.mappingError(device.mapSingle(0, 0, 64, TO_DEVICE))).toBe(true)
    expect(device.failure[0]).toBe(MAP_MASK_TOO_NARROW)
  })

  it("coherent memory lies below 4 GiB until its mask is set, however wide the device's is", () => {
    const { dma } = setUp("iommu", {}, { windowStart: 2 ** 36 })
    expect(dma.attach("old0", 2 ** 24 - 1).limits).toMatchObject({ mask: 2 ** 24 - 1, coherentMask: 2 ** 24 - 1 })
    const device = dma.attach("nic0", 2 ** 40 - 1)
    expect(device.limits).toMatchObject({ mask: 2 ** 40 - 1, coherentMask: MASK_32 })
    expect(device.mappingError(device.mapSingle(0, 0x5000, 64, TO_DEVICE))).toBe(false)
    expect(device.allocCoherent(0, PAGE_BYTES)).toBeUndefined()
    expect(device.failure[0]).toBe(MAP_MASK_TOO_NARROW)
    expect(device.dmaSetCoherentMask(2 ** 40 - 1)).toBe(0)
    expect(device.allocCoherent(0, PAGE_BYTES)?.busAddr).toBeGreaterThanOrEqual(2 ** 36)
  })

  it.each(BACKENDS)("%s: streaming and coherent masks are two", (backend) => {
    const { dma } = setUp(backend, {}, { windowStart: 0x10_0000 })
    const device = dma.attach("nic0", MASK_32)
    expect(device.dmaSetCoherentMask(2 ** 24 - 1)).toBe(0)
    device.limits.coherentMask = PAGE_BYTES / 2
    device.dmaSetMinAlignMask(0)
    expect(device.allocCoherent(0, 3 * PAGE_BYTES)).toBeUndefined()
    expect(device.failure[0]).toBe(MAP_MASK_TOO_NARROW)
    expect(device.mappingError(device.mapSingle(0, 0x5000, 64, TO_DEVICE))).toBe(false)
  })
})

describe("coherent memory below a narrow mask", () => {
  const ZONE_BYTES = 2 ** 24
  const BLOCK_PAGES = 1024

  /** 64 MiB of which one block below 16 MiB is free and one above, which is handed out first. */
  const zones = (backend: BackendName, changes: Partial<DmaApiOptions>) => {
    const pages = makePageAllocator(4 * ZONE_BYTES, PAGE_BYTES)
    const blocks = Array.from({ length: 16 }, () => pages.allocate(10))
    pages.free(blocks[2]!)
    pages.free(blocks[15]!)
    const bytes = new Uint8Array(4 * ZONE_BYTES).fill(0xa5, blocks[2]!, ZONE_BYTES)
    const { dma } = setUp(backend, { pages, bytes, ...changes }, { pageCount: 2 ** 14 })
    const device = dma.attach("old0", MASK_32)
    expect(device.dmaSetCoherentMask(ZONE_BYTES - 1)).toBe(0)
    return { bytes, device, pages }
  }

  const backends: ReadonlyArray<readonly [BackendName, Partial<DmaApiOptions>]> = [
    ["direct", {}],
    ["bounce", { bounce: { isForced: false, slotCount: 256 } }],
    ["iommu", { allocator: "identity" }]
  ]

  it.each(backends)("%s: is had as long as any is free there, and nothing else is kept", (backend, changes) => {
    const { bytes, device, pages } = zones(backend, changes)
    const taken = pages.pagesUsed
    for (let page = 1; page <= BLOCK_PAGES; page++) {
      const { busAddr, phys, sizeBytes } = device.allocCoherent(0, PAGE_BYTES)!
      expect([busAddr, pages.pagesUsed]).toEqual([phys, taken + page])
      expect(busAddr + sizeBytes).toBeLessThanOrEqual(ZONE_BYTES)
      expect([bytes[phys], bytes[phys + sizeBytes - 1]]).toEqual([0, 0])
    }
    expect(device.counters.failures.some((count) => count > 0)).toBe(false)
    // None is free there, but was and may be again: the mask is wide enough.
    expect(device.allocCoherent(0, PAGE_BYTES)).toBeUndefined()
    expect([device.failure[0], pages.pagesUsed]).toEqual([MAP_OUT_OF_MEMORY, taken + BLOCK_PAGES])
    // What lies above was not lost.
    while (pages.pagesUsed < pages.pageCount) expect(pages.allocate(0)).toBeGreaterThanOrEqual(ZONE_BYTES)
    expect(device.allocCoherent(0, PAGE_BYTES)).toBeUndefined()
    expect(device.failure[0]).toBe(MAP_OUT_OF_MEMORY)
  })

  it("window: is looked for on the bus", () => {
    const windowStart = 0x10_0000
    const { dma, pages } = setUp("window", {}, { windowStart })
    const device = dma.attach("old0", MASK_32)
    const high = pages.allocate(5)
    pages.free(high)
    device.limits.coherentMask = windowStart + PAGE_BYTES - 1
    expect(device.allocCoherent(0, PAGE_BYTES)).toMatchObject({ busAddr: windowStart, phys: 0 })
    expect(device.allocCoherent(0, PAGE_BYTES)).toBeUndefined()
    expect([device.failure[0], pages.pagesUsed]).toEqual([MAP_OUT_OF_MEMORY, 1])
    device.limits.coherentMask = windowStart + PAGE_BYTES - 2
    expect(device.allocCoherent(0, PAGE_BYTES)).toBeUndefined()
    expect(device.failure[0]).toBe(MAP_MASK_TOO_NARROW)
  })

  it("identity: is looked for where the window reserves nothing, and no block lies across the boundary", () => {
    const reserved = [{ firstPage: 2, pageCount: 30 }]
    const { dma, pages } = setUp("iommu", { allocator: "identity" }, { reserved, pageCount: 40 })
    const device = dma.attach("nic0", MASK_32)
    const physOf = (pageCount: number) => device.allocCoherent(0, pageCount * PAGE_BYTES)?.phys
    const failureOf = (pageCount: number) => [physOf(pageCount), device.failure[0]]
    // Page 0 has bus address 0.
    expect([physOf(1), physOf(4), physOf(1)]).toEqual([1, 32, 36].map((page) => page * PAGE_BYTES))
    expect(failureOf(4)).toEqual([undefined, MAP_OUT_OF_MEMORY])
    expect(failureOf(16)).toEqual([undefined, MAP_MASK_TOO_NARROW])
    device.dmaSetSegBoundary(4 * PAGE_BYTES - 1)
    expect([physOf(2), pages.pagesUsed]).toEqual([38 * PAGE_BYTES, 8])
    const wide = setUp("iommu", { allocator: "identity" }).dma.attach("nic0", MASK_32)
    wide.dmaSetSegBoundary(4 * PAGE_BYTES - 1)
    expect([wide.allocCoherent(0, 5 * PAGE_BYTES), wide.failure[0]]).toEqual([undefined, MAP_INVALID])
  })

  it.each([
    [0, "more pages"],
    [PAGE_BYTES, "more pages"],
    [-PAGE_BYTES, "no memory"]
  ])("pages of one's own that are handed out without end are found: each %i bytes behind the last", (step, message) => {
    let next = 2 ** 24
    const pages = { pageSizeBytes: PAGE_BYTES, orderFor: () => 0, allocate: () => (next += step), free: () => {} }
    const device = setUp("direct", { pages }).dma.attach("old0", step < 0 ? MASK_32 : 0xffff)
    expect(() => device.allocCoherent(0, PAGE_BYTES)).toThrow(message)
  })
})

describe("limits", () => {
  it("an alignment that the IOMMU's pages cannot keep fails every map, with its reason", () => {
    const { dma } = setUp("iommu")
    const device = dma.attach("nic0", MASK_32)
    device.dmaSetMinAlignMask(PAGE_BYTES - 1)
    const busAddr = device.mapSingle(0, 0x5000, 64, TO_DEVICE)
    expect(device.mappingError(busAddr)).toBe(false)
    device.unmapSingle(0, busAddr, 64, TO_DEVICE)
    device.dmaSetMinAlignMask(2 * PAGE_BYTES - 1)
    expect(device.mappingError(device.mapSingle(0, 0x5000, 64, TO_DEVICE))).toBe(true)
    expect(device.failure[0]).toBe(MAP_INVALID)
  })

  it.each(ALLOCATOR_NAMES)("%s: no mapping crosses the segment boundary", (allocator) => {
    const { dma } = setUp("iommu", { allocator }, { windowStart: 0x2_0000, pageCount: 512 })
    const device = dma.attach("nic0", MASK_32)
    device.dmaSetSegBoundary(4 * PAGE_BYTES - 1)
    let mapped = 0
    for (let index = 0; index < 60; index++) {
      const sizeBytes = (1 + (index % 4)) * PAGE_BYTES
      const busAddr = device.mapSingle(0, 0x4_0000 + (index % 8) * PAGE_BYTES, sizeBytes, TO_DEVICE)
      if (device.mappingError(busAddr)) continue
      mapped++
      expect((busAddr % (4 * PAGE_BYTES)) + sizeBytes).toBeLessThanOrEqual(4 * PAGE_BYTES)
    }
    // Memory at its own address lies across it or not.
    expect(mapped < 60).toBe(allocator === "identity")
    expect(mapped).toBeGreaterThan(0)
  })

  it.each(ALLOCATOR_NAMES.filter((name) => name !== "identity"))(
    "%s: alignment and boundary are those of the bus, wherever the window begins",
    (allocator) => {
      for (const windowStart of [0x1_0000, 0x7_b000, 2 ** 33 - 0x3000]) {
        const { dma, table } = setUp("iommu", { allocator }, { windowStart, pageCount: 1000 })
        const device = dma.attach("nic0", 2 ** 40 - 1)
        device.dmaSetCoherentMask(2 ** 40 - 1)
        const block = device.allocCoherent(0, 32 * PAGE_BYTES)!
        expect(block.busAddr % (32 * PAGE_BYTES)).toBe(0)
        expect(table.translate(block.busAddr + 5)).toBe(block.phys + 5)
        device.dmaSetSegBoundary(32 * PAGE_BYTES - 1)
        device.dmaSetMaxSegSize(2 ** 20)
        for (let index = 0; index < 4; index++) {
          const list = makeScatterList(2)
          list.setBuffer(0, 0x4_0000, 15 * PAGE_BYTES)
          list.setBuffer(1, 0x4_f000, 15 * PAGE_BYTES)
          expect(device.mapSg(0, list, 2, TO_DEVICE)).toBeGreaterThan(0)
          for (let segment = 0; segment < list.segmentCount; segment++) {
            const busAddr = list.busAddrOf(segment)
            expect(busAddr).toBeGreaterThanOrEqual(windowStart)
            expect((busAddr % (32 * PAGE_BYTES)) + list.busSizeBytesOf(segment)).toBeLessThanOrEqual(32 * PAGE_BYTES)
          }
        }
        device.freeCoherent(0, block)
      }
    }
  )

  it("a buffer longer than the boundary fails for ever, and one without a boundary in its window does not look", () => {
    const { dma } = setUp("iommu")
    const device = dma.attach("nic0", MASK_32)
    device.dmaSetSegBoundary(PAGE_BYTES / 2 - 1)
    expect(device.mappingError(device.mapSingle(0, 0x5000, PAGE_BYTES, TO_DEVICE))).toBe(false)
    expect(device.mappingError(device.mapSingle(0, 0x5800, PAGE_BYTES, TO_DEVICE))).toBe(true)
    expect(device.failure[0]).toBe(MAP_INVALID)
    device.dmaSetSegBoundary(MASK_32)
    expect(device.mappingError(device.mapSingle(0, 0x5800, PAGE_BYTES, TO_DEVICE))).toBe(false)
  })

  it("memory at its own address that lies across the boundary fails for ever, and not for want of a wider mask", () => {
    const { dma } = setUp("iommu", { allocator: "identity" })
    const device = dma.attach("nic0", 0x1f_ffff)
    device.dmaSetSegBoundary(0xffff)
    const failureOf = (phys: number, sizeBytes: number) => {
      device.mapSingle(0, phys, sizeBytes, TO_DEVICE)
      return device.failure[0]
    }
    expect([failureOf(0xe000, 0x2000), failureOf(0xf000, 0x2000)]).toEqual([MAP_OK, MAP_INVALID])
    expect([failureOf(0x1_0000, 0x1_0000), failureOf(0x2_0000, 0x1_1000)]).toEqual([MAP_OK, MAP_INVALID])
    expect([failureOf(0x20_0000, 64), failureOf(0x4_0000_0000, 64)]).toEqual([MAP_MASK_TOO_NARROW, MAP_MASK_TOO_NARROW])
  })

  test.prop([fc.constantFrom(...ALLOCATOR_NAMES), fc.nat({ max: 200 }), fc.integer({ min: 64, max: 150 })], {
    numRuns: 60
  })(
    "what the table reserves is handed out to nobody, wherever its window begins",
    (allocator, startPage, pageCount) => {
      const reserved = [{ firstPage: 5, pageCount: 40 }]
      const window = { windowStart: startPage * PAGE_BYTES, pageCount, reserved }
      const { dma, table } = setUp("iommu", { allocator }, window)
      const device = dma.attach("nic0", MASK_32)
      // The table throws where something else is asked of it.
      for (let page = 0; page < 255; page++) device.mapSingle(0, page * PAGE_BYTES, 64, TO_DEVICE)
      const pages = [...table.entries.keys()]
      expect(pages.length).toBeGreaterThan(0)
      expect(pages.filter((page) => page >= 5 && page < 45)).toEqual([])
    }
  )

  it("sizes and boundaries that a driver may ask for", () => {
    const direct = setUp("direct").dma.attach("nic0", MASK_32)
    expect([direct.dmaMaxMappingSize(), direct.dmaOptMappingSize()]).toEqual([2 ** 31 - 1, 2 ** 31 - 1])
    expect([direct.dmaGetMergeBoundary(), direct.dmaNeedSync(0)]).toEqual([0, false])
    const cached = setUp("iommu", { allocator: "rbtree-rcache" }).dma.attach("nic0", MASK_32)
    expect([cached.dmaOptMappingSize(), cached.dmaGetMergeBoundary()]).toEqual([128 * 1024, PAGE_BYTES - 1])
    expect(setUp("iommu").dma.attach("nic0", MASK_32).dmaOptMappingSize()).toBe(2 ** 31 - 1)
    expect(setUp("iommu", { allocator: "identity" }).dma.attach("nic0", MASK_32).dmaGetMergeBoundary()).toBe(0)
  })

  const ways: ReadonlyArray<readonly [name: string, backend: BackendName, allocator: AllocatorName]> = [
    ["direct", "direct", "bitmap"],
    ["bounce", "bounce", "bitmap"],
    ...ALLOCATOR_NAMES.map((allocator) => [allocator, "iommu", allocator] as const)
  ]

  it.each(ways)("%s: the longest buffer of one map is mapped, and a longer one is not", (_, backend, allocator) => {
    const table: Table = { pageShift: 12, windowStart: 0, pageCount: 2 ** 22, insert: () => 0, remove: () => {} }
    const { dma } = setUp(backend, { debug: false, table, allocator })
    const device = dma.attach("nic0", 2 ** 40 - 1)
    const longest = device.dmaMaxMappingSize()
    for (const phys of [PAGE_BYTES, PAGE_BYTES + 2047]) {
      const busAddr = device.mapSingle(0, phys, longest, TO_DEVICE)
      expect(device.failure[0]).toBe(MAP_OK)
      device.unmapSingle(0, busAddr, longest, TO_DEVICE)
    }
    if (backend === "bounce") expect(device.mapSingle(0, 0, longest + 1, TO_DEVICE)).toBe(DMA_MAPPING_ERROR)
    else expect(() => device.mapSingle(0, 0, longest + 1, TO_DEVICE)).toThrow("2 GiB")
    expect(dma.snapshot()).toMatchObject({ live: 0, iovaPagesUsed: 0 })
  })

  it.each(BACKENDS)("%s: attributes are taken at map and unmap", (backend) => {
    const { dma } = setUp(backend, { pages: makePageAllocator(MEMORY_BYTES, PAGE_BYTES) })
    const device = dma.attach("nic0", MASK_32)
    const busAddr = device.mapPage(0, 0x5000, 0, 64, FROM_DEVICE, ATTR_SKIP_CPU_SYNC)
    expect(device.mappingError(busAddr)).toBe(false)
    device.unmapSingle(0, busAddr, 64, FROM_DEVICE, ATTR_SKIP_CPU_SYNC)
    expect(dma.snapshot()).toMatchObject({ live: 0, findings: 0 })
  })
})
