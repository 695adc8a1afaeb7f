/** Goal: masks and limits are taken, refused and applied as the kernel does. */
import { describe, expect, it } from "vitest"
import { ATTR_SKIP_CPU_SYNC, EIO, FROM_DEVICE, MAP_INVALID, MAP_MASK_TOO_NARROW, TO_DEVICE } from "@vnic/dma-api/core"
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

  it("sizes and boundaries that a driver may ask for", () => {
    const direct = setUp("direct").dma.attach("nic0", MASK_32)
    expect([direct.dmaMaxMappingSize(), direct.dmaOptMappingSize()]).toEqual(
      Array.from({ length: 2 }, () => Number.MAX_SAFE_INTEGER)
    )
    expect([direct.dmaGetMergeBoundary(), direct.dmaNeedSync(0)]).toEqual([0, false])
    const cached = setUp("iommu", { allocator: "rbtree-rcache" }).dma.attach("nic0", MASK_32)
    expect([cached.dmaOptMappingSize(), cached.dmaGetMergeBoundary()]).toEqual([128 * 1024, PAGE_BYTES - 1])
    expect(setUp("iommu").dma.attach("nic0", MASK_32).dmaOptMappingSize()).toBe(Number.MAX_SAFE_INTEGER)
    expect(setUp("iommu", { allocator: "identity" }).dma.attach("nic0", MASK_32).dmaGetMergeBoundary()).toBe(0)
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
