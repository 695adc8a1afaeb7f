/**
 * Goal: no call of a device that was released is taken for good. Method: every kind of call, with what was mapped and
 * with what was not, on each backend; none may change anything, nor be a finding.
 */
import { describe, expect, it } from "vitest"
import { makeIovaRange, makeScatterList, TO_DEVICE, type Device, type DmaPool } from "@vnic/dma-api/core"
import { leftovers, MASK_32, setUp } from "./support/setup.ts"

/** Something of each kind that is mapped, and one of each that is not. */
function worldOf(device: Device) {
  const [list, freeList] = [makeScatterList(1), makeScatterList(1)]
  const [range, freeRange] = [makeIovaRange(), makeIovaRange()]
  list.setBuffer(0, 0x6000, 64)
  freeList.setBuffer(0, 0x7000, 64)
  const single = device.mapSingle(0, 0x5000, 64, TO_DEVICE)
  device.mappingError(single)
  device.mapSg(0, list, 1, TO_DEVICE)
  const hasRange = device.dmaIovaTryAlloc(0, range, 0x8000, 64)
  if (hasRange) device.dmaIovaLink(0, range, 0x8000, 0, 64, TO_DEVICE)
  return { single, block: device.allocCoherent(0, 100)!, list, freeList, range, freeRange, hasRange }
}

const usesOf = (device: Device, world: ReturnType<typeof worldOf>): ReadonlyArray<() => unknown> => {
  const { block, freeList, freeRange, hasRange, list, range, single } = world
  const ofRange = [
    () => device.dmaIovaLink(0, range, 0x8000, 0, 64, TO_DEVICE),
    () => device.dmaIovaDestroy(0, range, 64, TO_DEVICE),
    () => device.beginDmaIovaDestroy(0, range, 64, TO_DEVICE, 0),
    () => device.dmaIovaUnlink(0, range, 0, 64, TO_DEVICE),
    () => device.beginDmaIovaUnlink(0, range, 0, 64, TO_DEVICE, 0),
    () => device.dmaIovaFree(0, range),
    () => device.beginDmaIovaFree(0, range, 0)
  ]
  return [
    () => device.mapSingle(0, 0x5000, 64, TO_DEVICE),
    () => device.beginMapSingle(0, 0x5000, 64, TO_DEVICE, 0),
    () => device.mapPage(0, 0x5000, 0, 64, TO_DEVICE),
    () => device.unmapSingle(0, single, 64, TO_DEVICE),
    () => device.beginUnmapSingle(0, single, 64, TO_DEVICE, 0),
    () => device.mapSg(0, freeList, 1, TO_DEVICE),
    () => device.mapSgtable(0, freeList, 1, TO_DEVICE),
    () => device.beginMapSg(0, freeList, 1, TO_DEVICE, 0),
    () => device.unmapSg(0, list, 1, TO_DEVICE),
    () => device.beginUnmapSg(0, list, 1, TO_DEVICE, 0),
    () => device.syncSingleForCpu(0, single, 64, TO_DEVICE),
    () => device.syncSingleForDevice(0, single, 64, TO_DEVICE),
    () => device.syncSgForCpu(0, list, 1, TO_DEVICE),
    () => device.syncSgForDevice(0, list, 1, TO_DEVICE),
    () => device.allocCoherent(0, 100),
    () => device.freeCoherent(0, block),
    () => device.beginAllocCoherent(0, 100, 0),
    () => device.beginFreeCoherent(0, block, 0),
    () => device.dmaIovaTryAlloc(0, freeRange, 0x8000, 64),
    () => device.beginDmaIovaTryAlloc(0, freeRange, 0x8000, 64, 0),
    ...(hasRange ? ofRange : []),
    () => device.dmaSetMask(MASK_32),
    () => device.dmaSetCoherentMask(MASK_32),
    () => device.dmaSetSegBoundary(MASK_32),
    () => device.dmaSetMinAlignMask(0),
    () => device.dmaGetRequiredMask(),
    () => device.dmaMaxMappingSize(),
    () => device.dmaNeedSync(single)
  ]
}

/** What a pool of the device is asked for. */
const usesOfPool = (pool: DmaPool): ReadonlyArray<() => unknown> => [
  () => pool.dmaPoolAlloc(0),
  () => pool.dmaPoolZalloc(0),
  () => pool.beginDmaPoolAlloc(0, 0),
  () => pool.dmaPoolDestroy(0),
  () => pool.beginDmaPoolDestroy(0, 0)
]

describe.each([
  ["direct", true],
  ["direct", false],
  ["window", true],
  ["bounce", true],
  ["bounce", false],
  ["iommu", true],
  ["iommu", false]
] as const)("after its release a device of the %s backend (debug: %s)", (backend, debug) => {
  it("breaks whatever is asked of it, and nothing changes", () => {
    const setup = setUp(backend, { debug })
    const device = setup.dma.attach("nic0", MASK_32)
    const world = worldOf(device)
    expect(world.hasRange).toBe(backend === "iommu")
    const pools = [64, 64].map((sizeBytes) => setup.dma.dmaPoolCreate(device, { name: "pool", sizeBytes })!)
    pools[0]!.dmaPoolFree(0, pools[0]!.dmaPoolAlloc(0), pools[0]!.busAddrs[0]!)
    device.release()
    const before = [leftovers(setup), setup.dma.snapshot()]
    for (const use of [...usesOf(device, world), ...pools.flatMap(usesOfPool)]) {
      expect(use).toThrow("a device was used after its release")
    }
    expect([leftovers(setup), setup.dma.snapshot()]).toEqual(before)
    // The host is not broken.
    expect(setup.dma.attach("nic1", MASK_32).allocCoherent(0, 64)).toBeDefined()
  })

  it("may still touch memory, which is a finding, and leaves other devices alone", () => {
    const { dma } = setUp(backend, { debug })
    const [gone, other] = [dma.attach("nic0", MASK_32), dma.attach("nic1", MASK_32)]
    gone.release()
    gone.accessed(0x9000, 64, TO_DEVICE, 0)
    expect(dma.findings()).toHaveLength(debug ? 1 : 0)
    const { block, hasRange, list, range, single } = worldOf(other)
    other.unmapSingle(0, single, 64, TO_DEVICE)
    other.unmapSg(0, list, 1, TO_DEVICE)
    other.freeCoherent(0, block)
    if (hasRange) other.dmaIovaDestroy(0, range, 64, TO_DEVICE)
    expect(dma.liveCount()).toBe(0)
  })
})
