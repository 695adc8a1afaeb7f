import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import {
  BIDIRECTIONAL,
  DMA_MAPPING_ERROR,
  FROM_DEVICE,
  MAP_ADDRESS_SPACE_FULL,
  MAP_MASK_TOO_NARROW,
  MAP_OK,
  MAP_OUT_OF_MEMORY,
  MAP_TABLE_REFUSED,
  makePlainHost,
  TO_DEVICE,
  type Direction
} from "@vnic/dma-api/core"
import { findOverlap } from "@vnic/dma-api/testing"
import { ACCOUNT_DMA_API, ACCOUNT_IOVA, makePageAllocator } from "@vnic/sim/core"
import { BACKENDS, leftovers, MASK_32, MEMORY_BYTES, NOTHING_LEFT, PAGE_BYTES, setUp } from "./support/setup.ts"

const direction = fc.constantFrom<Direction>(BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE)
const pageOf = (busAddr: number) => Math.floor(busAddr / PAGE_BYTES)

describe.each(BACKENDS)("a device of the %s backend", (backend) => {
  it("maps, tells where, unmaps, and leaves nothing behind", () => {
    const setup = setUp(backend)
    const device = setup.dma.attach("nic0", MASK_32)
    const busAddr = device.mapSingle(0, 0x5_0040, 1500, FROM_DEVICE)
    expect(device.mappingError(busAddr)).toBe(false)
    expect([device.mapped[0], device.failure[0]]).toEqual([busAddr, MAP_OK])
    expect(busAddr % PAGE_BYTES).toBe(0x40)
    expect(setup.dma.liveMappings()).toEqual([
      {
        device: "nic0",
        kind: "single",
        busAddr,
        phys: 0x5_0040,
        sizeBytes: 1500,
        direction: FROM_DEVICE,
        listEntries: 0,
        site: "mapSingle",
        cpu: 0,
        mappedAtPs: 0
      }
    ])
    device.syncSingleForCpu(0, busAddr + 100, 64, FROM_DEVICE)
    device.syncSingleForDevice(0, busAddr + 100, 64, FROM_DEVICE)
    device.unmapSingle(0, busAddr, 1500, FROM_DEVICE)
    device.release()
    expect(leftovers(setup)).toEqual(NOTHING_LEFT)
  })

  it("without debug an unmap too many breaks loudly, and is not counted", () => {
    const { dma } = setUp(backend, { debug: false, allocator: "rbtree-rcache" })
    const device = dma.attach("nic0", MASK_32)
    const busAddr = device.mapSingle(0, 0x5000, 4096, TO_DEVICE)
    device.unmapSingle(0, busAddr, 4096, TO_DEVICE)
    expect(() => device.unmapSingle(0, busAddr, 4096, TO_DEVICE)).toThrow("more was unmapped than is mapped")
    expect(dma.snapshot()).toMatchObject({ live: 0, iovaPagesUsed: 0, unmaps: dma.snapshot().maps })
  })

  it("mapPage is mapSingle at an offset", () => {
    const { dma } = setUp(backend)
    const device = dma.attach("nic0", MASK_32)
    const busAddr = device.mapPage(0, 0x3000, 0x800, 512, TO_DEVICE)
    expect(device.mappingError(busAddr)).toBe(false)
    expect(dma.liveMappings()[0]).toMatchObject({ phys: 0x3800, busAddr, sizeBytes: 512 })
  })

  it("the two forms of a call are the same steps", () => {
    const host = makePlainHost()
    const { dma } = setUp(backend, { host })
    const device = dma.attach("nic0", MASK_32)
    const order: Array<string> = []
    const unmapped = host.define("unmapped", (cpu) => {
      order.push("unmapped")
      return host.leave(cpu)
    })
    const mapped = host.define("mapped", (cpu) => {
      order.push("mapped")
      device.mappingError(device.mapped[cpu]!)
      return device.beginUnmapSingle(cpu, device.mapped[cpu]!, 64, TO_DEVICE, unmapped)
    })
    const start = host.define("start", (cpu) => device.beginMapSingle(cpu, 0x1000, 64, TO_DEVICE, mapped))
    host.runAlone(0, start)
    expect(order).toEqual(["mapped", "unmapped"])
    expect(dma.liveCount()).toBe(0)
  })

  it("coherent memory is zeroed, whole pages, naturally aligned on both sides", () => {
    const setup = setUp(backend)
    const device = setup.dma.attach("nic0", MASK_32)
    device.mapSingle(0, 0, 100, TO_DEVICE)
    const bytes = new Uint8Array(MEMORY_BYTES).fill(0xa5)
    const other = setUp(backend, { bytes })
    const block = other.dma.attach("nic1", MASK_32).allocCoherent(0, 3 * PAGE_BYTES - 5)!
    expect(block.phys % (4 * PAGE_BYTES)).toBe(0)
    expect(block.busAddr % (4 * PAGE_BYTES)).toBe(0)
    expect(bytes.subarray(block.phys, block.phys + 4 * PAGE_BYTES).every((byte) => byte === 0)).toBe(true)
    expect(bytes.subarray(block.phys + 4 * PAGE_BYTES).every((byte) => byte === 0xa5)).toBe(true)
    other.dma.devices[0]!.freeCoherent(0, block)
    expect(leftovers(other)).toEqual(NOTHING_LEFT)
  })

  it("a mask that is too narrow is an error with its reason, and leaves nothing behind", () => {
    const setup = setUp(backend, {}, { windowStart: 0x8_0000 })
    const device = setup.dma.attach("nic0", 0x7_ffff)
    const busAddr = device.mapSingle(0, 0x7_fff0, 64, TO_DEVICE)
    expect(busAddr).toBe(DMA_MAPPING_ERROR)
    expect(device.mappingError(busAddr)).toBe(true)
    expect(device.failure[0]).toBe(MAP_MASK_TOO_NARROW)
    expect(device.counters.failures[MAP_MASK_TOO_NARROW]).toBe(1)
    expect(leftovers(setup)).toEqual(NOTHING_LEFT)
  })

  it("coherent memory above the mask goes back to its pages", () => {
    const setup = setUp(backend)
    const device = setup.dma.attach("nic0", PAGE_BYTES - 1)
    expect(device.allocCoherent(0, 2 * PAGE_BYTES)).toBeUndefined()
    expect(device.failure[0]).toBe(MAP_MASK_TOO_NARROW)
    expect(leftovers(setup)).toEqual(NOTHING_LEFT)
  })

  it("coherent memory: no pages, and every n-th page allocation failing, leave nothing behind", () => {
    for (let failAt = 1; failAt <= 5; failAt++) {
      const setup = setUp(backend)
      const device = setup.dma.attach("nic0", MASK_32)
      setup.pages.failAt = failAt
      const blocks = [100, 4096, 5000, 70_000].map((sizeBytes) => device.allocCoherent(0, sizeBytes))
      expect(blocks.filter((block) => block === undefined)).toHaveLength(failAt <= 4 ? 1 : 0)
      expect(device.counters.failures[MAP_OUT_OF_MEMORY]).toBe(failAt <= 4 ? 1 : 0)
      for (const block of blocks) if (block !== undefined) device.freeCoherent(0, block)
      expect(leftovers(setup)).toEqual(NOTHING_LEFT)
    }
  })

  it("without debug nothing is tracked, and live mappings are counted all the same", () => {
    const { dma } = setUp(backend, { debug: false })
    const device = dma.attach("nic0", MASK_32)
    const busAddr = device.mapSingle(0, 0x1000, 64, TO_DEVICE)
    expect(device.mappingError(busAddr)).toBe(false)
    expect([dma.liveCount(), dma.liveMappings(), dma.findings()]).toEqual([1, [], []])
    device.unmapSingle(0, busAddr, 64, TO_DEVICE)
    expect(dma.liveCount()).toBe(0)
  })
})

describe("the direct backend", () => {
  it("gives the physical address, touches no table and books the pair's cost", () => {
    const host = makePlainHost()
    const costs = { directMapPairPs: 30_001, bitmapSearchPs: 7, bitmapWordPs: 7 }
    const { dma, table } = setUp("direct", { host, costs })
    const device = dma.attach("nic0", MASK_32)
    expect(device.mapSingle(0, 0, 64, TO_DEVICE)).toBe(0)
    device.unmapSingle(0, 0, 64, TO_DEVICE)
    expect(host.ledger[ACCOUNT_DMA_API]).toBe(30_001)
    expect(host.localPs[0]).toBe(30_001)
    expect(table.calls).toEqual([])
    expect([...device.counters.maps]).toEqual([0, 0, 0])
  })
})

describe("the iommu backend", () => {
  it("writes exactly the entries of the pages that a buffer touches", () => {
    const { dma, table } = setUp("iommu", {}, { windowStart: 0x1000_0000 })
    const device = dma.attach("nic0", MASK_32)
    const busAddr = device.mapSingle(0, 0x4_0ff0, PAGE_BYTES + 32, FROM_DEVICE)
    expect(device.mappingError(busAddr)).toBe(false)
    expect(table.calls).toMatchObject([{ name: "insert", pageCount: 3, phys: 0x4_0000, direction: FROM_DEVICE }])
    expect([busAddr, busAddr + 15, busAddr + PAGE_BYTES + 31].map((at) => table.translate(at))).toEqual([
      0x4_0ff0, 0x4_0fff, 0x4_200f
    ])
    expect([...device.counters.maps]).toEqual([0, 0, 1])
    device.unmapSingle(0, busAddr, PAGE_BYTES + 32, FROM_DEVICE)
    expect(table.entries.size).toBe(0)
    expect([...device.counters.unmaps]).toEqual([0, 0, 1])
  })

  it("books a search and its words, and the words that a free clears", () => {
    const host = makePlainHost()
    const costs = { directMapPairPs: 1, bitmapSearchPs: 1000, bitmapWordPs: 10 }
    const { dma } = setUp("iommu", { host, costs })
    const device = dma.attach("nic0", MASK_32)
    device.unmapSingle(0, device.mapSingle(0, 0, 64, TO_DEVICE), 64, TO_DEVICE)
    expect(host.ledger[ACCOUNT_IOVA]).toBe(1000 + 10 + 10)
  })

  it("aligns whole system pages to the system page, and maps whole pages of coherent memory", () => {
    const { dma, table } = setUp("iommu", {}, {}, 65_536)
    const device = dma.attach("nic0", MASK_32)
    device.mapSingle(0, 0x100, 64, TO_DEVICE)
    const block = device.mapSingle(0, 0x1_0000, 65_536, FROM_DEVICE)
    expect(device.mappingError(block)).toBe(false)
    expect(block % 65_536).toBe(0)
    expect(device.mapSingle(0, 0x1_1000, 65_536, FROM_DEVICE) % 65_536).not.toBe(1)
    table.calls.length = 0
    const ring = device.allocCoherent(0, 16_384)!
    expect(ring.busAddr % 65_536).toBe(0)
    expect(table.calls).toMatchObject([{ name: "insert", pageCount: 16 }])
    device.freeCoherent(0, ring)
    expect(table.calls[1]).toMatchObject({ name: "remove", pageCount: 16 })
  })

  it("works with IOMMU pages larger than system pages", () => {
    const setup = setUp("iommu", {}, { pageShift: 16, pageCount: 64 })
    const device = setup.dma.attach("nic0", MASK_32)
    const busAddr = device.mapSingle(0, 0x2_3000, PAGE_BYTES, TO_DEVICE)
    expect(device.mappingError(busAddr)).toBe(false)
    expect(setup.table.translate(busAddr)).toBe(0x2_3000)
    device.unmapSingle(0, busAddr, PAGE_BYTES, TO_DEVICE)
    expect(leftovers(setup)).toEqual(NOTHING_LEFT)
  })

  it("a full address space is an error with its reason; one unmap makes room again", () => {
    const setup = setUp("iommu", {}, { pageCount: 8 })
    const device = setup.dma.attach("nic0", MASK_32)
    const live: Array<number> = []
    for (let busAddr = 0; busAddr !== DMA_MAPPING_ERROR;) {
      busAddr = device.mapSingle(0, 0, 64, TO_DEVICE)
      if (!device.mappingError(busAddr)) live.push(busAddr)
    }
    // Entry 0 is reserved, the last one of each half is left alone.
    expect(live.map(pageOf)).toEqual([1, 2, 4, 5, 6])
    expect(device.failure[0]).toBe(MAP_ADDRESS_SPACE_FULL)
    device.unmapSingle(0, live[2]!, 64, TO_DEVICE)
    expect(device.mapSingle(0, 0, 64, TO_DEVICE)).toBe(live[2])
    expect(device.mappingError(live[2]!)).toBe(false)
    for (const busAddr of live) device.unmapSingle(0, busAddr, 64, TO_DEVICE)
    expect(leftovers(setup)).toEqual(NOTHING_LEFT)
  })

  it("a full space below the mask says that it is full, not that the mask is too narrow", () => {
    const { dma } = setUp("iommu")
    const device = dma.attach("nic0", 8 * PAGE_BYTES - 1)
    while (!device.mappingError(device.mapSingle(0, 0, 64, TO_DEVICE)));
    expect(device.failure[0]).toBe(MAP_ADDRESS_SPACE_FULL)
    expect(device.mapSingle(0, 0, 8 * PAGE_BYTES, TO_DEVICE)).toBe(DMA_MAPPING_ERROR)
    expect(device.failure[0]).toBe(MAP_MASK_TOO_NARROW)
  })

  it("a buffer longer than the window is not an address space that is full: no unmap would help", () => {
    const { dma } = setUp("iommu", {}, { pageCount: 8 })
    const device = dma.attach("nic0", MASK_32)
    expect(device.mapSingle(0, 0, 8 * PAGE_BYTES, TO_DEVICE)).toBe(DMA_MAPPING_ERROR)
    expect(device.failure[0]).toBe(MAP_MASK_TOO_NARROW)
    expect(device.mapSingle(0, 0, 2 * PAGE_BYTES, TO_DEVICE)).not.toBe(DMA_MAPPING_ERROR)
    expect(device.mapSingle(0, 0, 3 * PAGE_BYTES, TO_DEVICE)).not.toBe(DMA_MAPPING_ERROR)
  })

  it.each(["both", "unmap", "none"] as const)(
    "a table that refuses its n-th insert, for every n, leaves nothing behind (lock across: %s)",
    (lockAcrossTableWrite) => {
      for (let refuseAt = 1; refuseAt <= 6; refuseAt++) {
        const setup = setUp("iommu", { lockAcrossTableWrite })
        const device = setup.dma.attach("nic0", MASK_32)
        setup.table.refuseAt = refuseAt
        const singles = [64, 4096, 9000, 65_536].map((sizeBytes) => ({
          sizeBytes,
          busAddr: device.mapSingle(0, 0x800, sizeBytes, TO_DEVICE),
          failure: device.failure[0]
        }))
        const block = device.allocCoherent(0, 5000)
        const refused = singles.filter(({ failure }) => failure === MAP_TABLE_REFUSED).length
        expect(refused + (block === undefined ? 1 : 0)).toBe(refuseAt <= 5 ? 1 : 0)
        expect(device.counters.failures[MAP_TABLE_REFUSED]).toBe(refuseAt <= 5 ? 1 : 0)
        for (const { busAddr, sizeBytes } of singles) {
          if (!device.mappingError(busAddr)) device.unmapSingle(0, busAddr, sizeBytes, TO_DEVICE)
        }
        if (block !== undefined) device.freeCoherent(0, block)
        device.release()
        expect(leftovers(setup)).toEqual(NOTHING_LEFT)
      }
    }
  )

  test.prop([
    fc.integer({ min: 8, max: 300 }),
    fc.constantFrom(0, 0x10_0000, 2 ** 35),
    fc.integer({ min: 13, max: 50 }),
    fc.array(
      fc.record({
        phys: fc.nat({ max: 900_000 }),
        sizeBytes: fc.integer({ min: 1, max: 100_000 }),
        direction,
        pick: fc.nat()
      }),
      { maxLength: 80 }
    )
  ])(
    "live mappings never overlap, stay below the mask, keep their offset and lead to their memory",
    (pageCount, windowStart, maskBits, operations) => {
      const setup = setUp("iommu", {}, { pageCount, windowStart })
      const wide = setup.dma.attach("wide", 2 ** 53 - 1)
      const narrow = setup.dma.attach("narrow", 2 ** maskBits - 1)
      const live: Array<{
        device: typeof wide
        busAddr: number
        phys: number
        sizeBytes: number
        direction: Direction
      }> = []
      for (const { direction: way, phys, pick, sizeBytes } of operations) {
        const device = pick % 2 === 0 ? wide : narrow
        if (pick % 3 === 0 && live.length > 0) {
          const gone = live.splice(pick % live.length, 1)[0]!
          gone.device.unmapSingle(0, gone.busAddr, gone.sizeBytes, gone.direction)
          continue
        }
        const busAddr = device.mapSingle(0, phys, sizeBytes, way)
        if (device.mappingError(busAddr)) continue
        if (device === narrow) expect(busAddr + sizeBytes - 1).toBeLessThan(2 ** maskBits)
        expect(busAddr).toBeGreaterThanOrEqual(windowStart)
        expect(busAddr + sizeBytes).toBeLessThanOrEqual(windowStart + pageCount * PAGE_BYTES)
        live.push({ device, busAddr, phys, sizeBytes, direction: way })
      }
      expect(findOverlap(live, PAGE_BYTES)).toBeUndefined()
      for (const { busAddr, phys, sizeBytes } of live) {
        expect(setup.table.translate(busAddr)).toBe(phys)
        expect(setup.table.translate(busAddr + sizeBytes - 1)).toBe(phys + sizeBytes - 1)
      }
      expect(setup.dma.liveMappings()).toHaveLength(live.length)
      for (const { busAddr, device, direction: way, sizeBytes } of live) {
        device.unmapSingle(0, busAddr, sizeBytes, way)
      }
      // The buffers are drawn, and may overlap; nothing else is wrong with them.
      const { overlappingMappings, tooManyOverlaps } = setup.dma.debug!.counts
      const findings = setup.dma.snapshot().findings - overlappingMappings - tooManyOverlaps
      expect({ ...leftovers(setup), findings }).toEqual(NOTHING_LEFT)
    }
  )

  it("every map is one insert of all its pages and every unmap one remove: what hypercalls are counted from", () => {
    const { dma, table } = setUp("iommu", { pages: makePageAllocator(MEMORY_BYTES, PAGE_BYTES) })
    const device = dma.attach("nic0", MASK_32)
    for (const sizeBytes of [1, 4096, 4097, 65_536, 600_000]) {
      table.calls.length = 0
      device.unmapSingle(0, device.mapSingle(0, 0, sizeBytes, TO_DEVICE), sizeBytes, TO_DEVICE)
      const pageCount = Math.ceil(sizeBytes / PAGE_BYTES)
      expect(table.calls).toMatchObject([
        { name: "insert", pageCount },
        { name: "remove", pageCount }
      ])
    }
  })
})
