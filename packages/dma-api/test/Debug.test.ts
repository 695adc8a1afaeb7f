/** What a finding tells, and single cases of what is found and what is not. */
import { describe, expect, it } from "vitest"
import {
  ATTR_MMIO,
  ATTR_SKIP_CPU_SYNC,
  BIDIRECTIONAL,
  CPU_NONE,
  FINDINGS_KEPT_MAX,
  FROM_DEVICE,
  KIND_COHERENT,
  KIND_SG,
  KIND_SINGLE,
  makeDmaDebug,
  makeIovaRange,
  makeMemoryMap,
  makeScatterList,
  tagOf,
  TO_DEVICE,
  type Device,
  type Direction,
  type DmaDebug
} from "@vnic/dma-api/core"
import { leftovers, MASK_32, MEMORY_BYTES, NOTHING_LEFT, setUp } from "./support/setup.ts"

/** A map whose driver looks whether it failed, and cares itself for lines that it shares. */
const mapAt = (
  device: Device,
  phys: number,
  sizeBytes: number,
  direction: Direction,
  attributes = ATTR_SKIP_CPU_SYNC
): number => {
  const busAddr = device.mapSingle(0, phys, sizeBytes, direction, attributes)
  expect(device.mappingError(busAddr)).toBe(false)
  return busAddr
}

const kindsOf = (debug: DmaDebug): ReadonlyArray<string> => debug.findings.map(({ kind }) => kind)

describe("a finding tells what happened", () => {
  it("with the mapping that it concerns", () => {
    const { dma } = setUp("iommu")
    const device = dma.attach("nic0", MASK_32)
    const busAddr = mapAt(device, 0x2000, 100, FROM_DEVICE)
    device.unmapSingle(0, busAddr, 90, FROM_DEVICE)
    const mapping = {
      device: "nic0",
      kind: "single",
      site: "mapSingle",
      listEntries: 0,
      busAddr,
      phys: 0x2000,
      sizeBytes: 100,
      direction: FROM_DEVICE
    }
    expect(dma.findings()).toMatchObject([
      { kind: "wrongSize", device: "nic0", busAddr, sizeBytes: 90, direction: FROM_DEVICE, cpu: 0, mapping }
    ])
  })

  it("an access by the device has its time and no CPU", () => {
    const { dma } = setUp("direct")
    dma.attach("nic0", MASK_32).accessed(0x3000, 16, TO_DEVICE, 12_345)
    expect(dma.findings()).toMatchObject([
      { kind: "accessOutsideMapping", cpu: CPU_NONE, atPs: 12_345, mapping: undefined }
    ])
  })

  it("a device that writes what it may only read is found, with the mapping", () => {
    const { dma } = setUp("direct")
    const device = dma.attach("nic0", MASK_32)
    const busAddr = mapAt(device, 0x2000, 100, TO_DEVICE)
    device.accessed(busAddr, 100, TO_DEVICE, 1)
    expect(dma.findings()).toEqual([])
    device.accessed(busAddr, 100, FROM_DEVICE, 2)
    expect(dma.findings()).toMatchObject([{ kind: "accessOutsideMapping", mapping: { busAddr, direction: TO_DEVICE } }])
  })

  it("only the first are kept, all are counted", () => {
    const { dma } = setUp("direct")
    const device = dma.attach("nic0", MASK_32)
    for (let count = 0; count < FINDINGS_KEPT_MAX + 10; count++) device.unmapSingle(0, count, 1, TO_DEVICE)
    expect(dma.findings()).toHaveLength(FINDINGS_KEPT_MAX)
    expect(dma.snapshot().findings).toBe(FINDINGS_KEPT_MAX + 10)
  })

  it("an unmap of what a failed map returned is told from one of nothing", () => {
    const { dma } = setUp("iommu")
    const device = dma.attach("nic0", MASK_32)
    device.unmapSingle(0, -1, 64, TO_DEVICE)
    expect(dma.findings()).toMatchObject([{ kind: "unmapOfError", busAddr: -1, mapSite: undefined }])
  })
})

describe("several live mappings at one bus address, as direct mapping has them", () => {
  it("an unmap takes the one that it fits", () => {
    const { dma } = setUp("direct")
    const device = dma.attach("nic0", MASK_32)
    mapAt(device, 0x1000, 64, TO_DEVICE)
    mapAt(device, 0x1000, 256, TO_DEVICE)
    mapAt(device, 0x1000, 256, FROM_DEVICE)
    device.unmapSingle(0, 0x1000, 256, TO_DEVICE)
    expect(dma.findings()).toEqual([])
    expect(dma.liveMappings()).toMatchObject([
      { sizeBytes: 64, direction: TO_DEVICE },
      { sizeBytes: 256, direction: FROM_DEVICE }
    ])
  })

  it("when it fits none in all, it takes the one that fits best", () => {
    const { dma } = setUp("direct")
    const device = dma.attach("nic0", MASK_32)
    mapAt(device, 0x1000, 64, TO_DEVICE)
    mapAt(device, 0x1000, 100_000, FROM_DEVICE)
    device.unmapSingle(0, 0x1000, 100_000, BIDIRECTIONAL)
    expect(dma.findings()).toMatchObject([{ kind: "wrongDirection", mapping: { sizeBytes: 100_000 } }])
    expect(dma.liveMappings()).toMatchObject([{ sizeBytes: 64 }])
  })

  it("size counts for more than direction, and of equals the smallest goes", () => {
    const { dma } = setUp("direct")
    const device = dma.attach("nic0", MASK_32)
    mapAt(device, 0x1000, 64, TO_DEVICE)
    mapAt(device, 0x1000, 90, FROM_DEVICE)
    mapAt(device, 0x1000, 100, FROM_DEVICE)
    device.unmapSingle(0, 0x1000, 64, FROM_DEVICE)
    device.unmapSingle(0, 0x1000, 80, FROM_DEVICE)
    expect(dma.findings()).toMatchObject([
      { kind: "wrongDirection", mapping: { sizeBytes: 64 } },
      { kind: "wrongSize", mapping: { sizeBytes: 90 } }
    ])
    expect(dma.liveMappings()).toMatchObject([{ sizeBytes: 100 }])
  })

  it("a list takes its own segments, whatever is said of it", () => {
    const { dma } = setUp("direct")
    const device = dma.attach("nic0", MASK_32)
    mapAt(device, 0x1000, 64, BIDIRECTIONAL)
    const lists = [1, 2].map((entryCount) => {
      const list = makeScatterList(entryCount)
      for (let entry = 0; entry < entryCount; entry++) list.setBuffer(entry, 0x1000 * (entry + 1), 64)
      expect(device.mapSg(0, list, entryCount, TO_DEVICE, ATTR_SKIP_CPU_SYNC)).toBe(entryCount)
      return list
    })
    device.unmapSg(0, lists[1]!, 1, BIDIRECTIONAL)
    expect(kindsOf(dma.debug!)).toEqual(["wrongEntryCount", "wrongDirection"])
    expect(dma.liveMappings()).toMatchObject([{ kind: "single" }, { kind: "sg", listEntries: 1 }])
    device.unmapSg(0, lists[0]!, 1, TO_DEVICE)
    device.unmapSingle(0, 0x1000, 64, BIDIRECTIONAL)
    expect([dma.findings().length, dma.liveMappings(), dma.liveCount()]).toEqual([2, [], 0])
  })

  it("another device's list takes nothing with it", () => {
    const { dma } = setUp("direct")
    const [device, other] = [dma.attach("nic0", MASK_32), dma.attach("nic1", MASK_32)]
    mapAt(other, 0x1000, 64, TO_DEVICE)
    const list = makeScatterList(1)
    list.setBuffer(0, 0x1000, 64)
    device.mapSg(0, list, 1, TO_DEVICE)
    other.unmapSg(0, list, 1, TO_DEVICE)
    expect(kindsOf(dma.debug!)).toEqual(["unmapOfNothing"])
    expect(dma.liveMappings()).toHaveLength(2)
  })

  it("a sync is right when one of the mappings around it allows its direction", () => {
    const { dma } = setUp("direct")
    const device = dma.attach("nic0", MASK_32)
    mapAt(device, 0x1000, 4096, FROM_DEVICE)
    mapAt(device, 0x1400, 512, TO_DEVICE)
    device.syncSingleForDevice(0, 0x1440, 64, TO_DEVICE)
    device.syncSingleForCpu(0, 0x1440, 64, FROM_DEVICE)
    expect(dma.findings()).toEqual([])
    device.syncSingleForDevice(0, 0x1000, 64, TO_DEVICE)
    expect(dma.findings()).toMatchObject([{ kind: "syncWriteOnlyForDevice" }])
  })
})

describe("where a buffer lies", () => {
  it("is told by the host's memory when there is no other map", () => {
    const { dma } = setUp("direct")
    const device = dma.attach("nic0", MASK_32)
    mapAt(device, MEMORY_BYTES - 64, 64, TO_DEVICE)
    expect(dma.findings()).toEqual([])
    mapAt(device, MEMORY_BYTES - 64, 65, TO_DEVICE)
    expect(dma.findings()).toMatchObject([{ kind: "invalidMemory", sizeBytes: 65, mapping: { sizeBytes: 65 } }])
    mapAt(device, MEMORY_BYTES, 4096, TO_DEVICE, ATTR_MMIO)
    expect(dma.snapshot().findings).toBe(1)
  })

  it("counts for every entry of a list, and not for what the DMA API allocated itself", () => {
    const debug = makeDmaDebug(new Float64Array(1), { memoryMap: makeMemoryMap(0x10_0000) })
    const device = debug.addDevice("nic0")
    debug.mapped(device, 0, 0, 0x20_0000, 64, tagOf(KIND_COHERENT, BIDIRECTIONAL))
    const list = makeScatterList(2)
    list.setBuffer(0, 0x1000, 4096)
    list.setBuffer(1, 0x20_0000, 4096)
    list.entryCount = 2
    list.segmentCount = 1
    list.setSegment(0, 0x8000, 8192)
    debug.mappedList(device, 0, list, tagOf(KIND_SG, TO_DEVICE))
    expect(kindsOf(debug)).toEqual(["invalidMemory"])
    debug.pageFreed(0x20_0fff, 1)
    expect(debug.findings[1]).toMatchObject({ kind: "pageFreedWhileMapped", mapping: { busAddr: 0x8000, kind: "sg" } })
  })

  it("a list's entry that went into another segment is as long as it is", () => {
    const debug = makeDmaDebug(new Float64Array(1))
    const device = debug.addDevice("nic0", { maxSegSizeBytes: 4096, segBoundaryMask: 0xffff })
    const list = makeScatterList(2)
    list.setBuffer(0, 0x1000, 4096)
    list.setBuffer(1, 0x2000, 4097)
    list.entryCount = 2
    list.segmentCount = 1
    list.setSegment(0, 0x1_0000 - 4096, 8193)
    debug.mappedList(device, 0, list, tagOf(KIND_SG, TO_DEVICE))
    expect(kindsOf(debug).toSorted()).toEqual(["segmentAcrossBoundary", "segmentTooLong"])
  })
})

describe("what is part of something larger", () => {
  it("a segment that is unmapped like a single buffer stays until its list goes", () => {
    const setup = setUp("iommu")
    const device = setup.dma.attach("nic0", MASK_32)
    const list = makeScatterList(1)
    list.setBuffer(0, 0x4000, 4096)
    for (let round = 1; round <= 2; round++) {
      expect(device.mapSg(0, list, 1, FROM_DEVICE)).toBe(1)
      device.unmapSingle(0, list.busAddrOf(0), 4096, FROM_DEVICE)
      expect(leftovers(setup)).toMatchObject({ live: 1, mappings: 1, iovaPages: 1, entries: 1, findings: round })
      device.unmapSg(0, list, 1, FROM_DEVICE)
      expect(leftovers(setup)).toEqual({ ...NOTHING_LEFT, findings: round })
    }
    expect(kindsOf(setup.dma.debug!)).toEqual(["wrongKind", "wrongKind"])
  })

  it("a link too, until it is unlinked", () => {
    const setup = setUp("iommu")
    const device = setup.dma.attach("nic0", MASK_32)
    const range = makeIovaRange()
    device.dmaIovaTryAlloc(0, range, 0, 4096)
    device.dmaIovaLink(0, range, 0x4000, 0, 4096, TO_DEVICE)
    device.unmapSingle(0, range.busAddr, 4096, TO_DEVICE)
    expect(setup.dma.liveMappings()).toMatchObject([{ kind: "link" }])
    device.dmaIovaDestroy(0, range, 4096, TO_DEVICE)
    expect(kindsOf(setup.dma.debug!)).toEqual(["wrongKind"])
    expect(leftovers(setup)).toEqual({ ...NOTHING_LEFT, findings: 1 })
  })
})

describe("lines of the cache", () => {
  const map = (debug: DmaDebug, device: number, phys: number, direction: Direction, sizeBytes = 64, attributes = 0) =>
    debug.mapped(device, 0, phys, phys, sizeBytes, tagOf(KIND_SINGLE, direction), attributes)

  it("are as long as is said, and are shared by mappings of all devices", () => {
    for (const cacheLineBytes of [32, 64, 128, 4096]) {
      const debug = makeDmaDebug(new Float64Array(1), { cacheLineBytes })
      const devices = [debug.addDevice("nic0"), debug.addDevice("nic1")]
      map(debug, devices[0]!, 0, FROM_DEVICE, cacheLineBytes)
      map(debug, devices[1]!, cacheLineBytes, FROM_DEVICE, 1)
      expect(debug.findingCount).toBe(0)
      map(debug, devices[1]!, 2 * cacheLineBytes - 1, BIDIRECTIONAL, 1)
      expect(debug.findings).toMatchObject([{ device: "nic1", mapping: { device: "nic1", sizeBytes: 1 } }])
    }
  })

  it("have 64 bytes when nothing is said", () => {
    const debug = makeDmaDebug(new Float64Array(1))
    const device = debug.addDevice("nic0")
    map(debug, device, 0x1000, FROM_DEVICE)
    map(debug, device, 0x1040, FROM_DEVICE)
    expect(debug.findingCount).toBe(0)
    map(debug, device, 0x107f, FROM_DEVICE, 1)
    expect(kindsOf(debug)).toEqual(["overlappingMappings"])
  })

  it("may be shared by what the device only reads", () => {
    const debug = makeDmaDebug(new Float64Array(1))
    const device = debug.addDevice("nic0")
    map(debug, device, 0, FROM_DEVICE)
    for (let count = 0; count < 20; count++) map(debug, device, 0, TO_DEVICE)
    expect(debug.findingCount).toBe(0)
  })

  it("are shared by buffers of one list, merged or not", () => {
    for (const backend of ["direct", "iommu"] as const) {
      const { dma } = setUp(backend)
      const device = dma.attach("nic0", MASK_32)
      const list = makeScatterList(9)
      for (let entry = 0; entry < 9; entry++) list.setBuffer(entry, 0x4000, 4096)
      for (const [entryCount, direction] of [
        [2, TO_DEVICE],
        [2, FROM_DEVICE],
        [9, FROM_DEVICE]
      ] as const) {
        expect(device.mapSg(0, list, entryCount, direction)).toBe(backend === "direct" ? entryCount : 1)
        device.unmapSg(0, list, entryCount, direction)
      }
      const { overlappingMappings, tooManyOverlaps } = dma.debug!.counts
      expect([backend, overlappingMappings, tooManyOverlaps]).toEqual(
        backend === "direct" ? ["direct", 1 + 8, 1] : ["iommu", 1 + 1, 1]
      )
      expect(dma.snapshot().findings).toBe(overlappingMappings + tooManyOverlaps)
      mapAt(device, 0x4000, 64, FROM_DEVICE, 0)
      expect(dma.debug!.counts.overlappingMappings).toBe(overlappingMappings)
    }
  })

  it("stay taken until the last mapping that holds them is gone", () => {
    const debug = makeDmaDebug(new Float64Array(1))
    const device = debug.addDevice("nic0")
    const unmap = (sizeBytes: number) => {
      debug.mappingErrorChecked(device, 0)
      debug.unmapped(device, 0, 0, sizeBytes, tagOf(KIND_SINGLE, FROM_DEVICE))
    }
    for (const sizeBytes of [64, 65, 66]) map(debug, device, 0, FROM_DEVICE, sizeBytes, ATTR_SKIP_CPU_SYNC)
    for (let count = 0; count < 3; count++) debug.mappingErrorChecked(device, 0)
    unmap(64)
    unmap(66)
    map(debug, device, 0, FROM_DEVICE, 32)
    expect(kindsOf(debug)).toEqual(["overlappingMappings"])
    unmap(32)
    unmap(65)
    map(debug, device, 0, FROM_DEVICE, 33)
    expect(debug.findingCount).toBe(1)
  })

  it("that thousands of mappings share take no more than a moment", () => {
    const debug = makeDmaDebug(new Float64Array(1))
    const device = debug.addDevice("nic0")
    for (let count = 0; count < 500; count++) map(debug, device, count, FROM_DEVICE, 512)
    expect(debug.counts).toMatchObject({ overlappingMappings: 499, tooManyOverlaps: 492 })
  })
})

describe("places in a driver", () => {
  it("have names in findings", () => {
    const { dma } = setUp("direct")
    const device = dma.attach("nic0", MASK_32)
    const refill = dma.debug!.nameSite("refill of ring 3")
    dma.debug!.atSite(0, refill)
    mapAt(device, 0x1000, 64, TO_DEVICE)
    dma.debug!.atSite(0, 0)
    device.allocCoherent(0, 64)
    device.release()
    expect(
      dma
        .findings()
        .map(({ mapSite }) => mapSite)
        .toSorted()
    ).toEqual(["allocCoherent", "refill of ring 3"])
  })
})

describe("room", () => {
  it("holds more mappings than it has room for at first", () => {
    const debug = makeDmaDebug(new Float64Array(1))
    const device = debug.addDevice("nic0")
    const tag = tagOf(KIND_SINGLE, FROM_DEVICE)
    for (let count = 0; count < 10_000; count++) {
      debug.mapped(device, 0, count * 512, count * 512, 512, tag)
      debug.mappingErrorChecked(device, count * 512)
    }
    expect(debug.liveCount).toBe(10_000)
    for (let count = 0; count < 10_000; count++) expect(debug.unmapped(device, 0, count * 512, 512, tag)).toBe(true)
    expect(debug.findingCount).toBe(0)
  })

  it("grows at each multiple, once", () => {
    const debug = makeDmaDebug(new Float64Array(1), { growthEvery: 3 })
    const device = debug.addDevice("nic0")
    for (let round = 0; round < 2; round++) {
      for (let count = 0; count < 8; count++) debug.mapped(device, 0, count, 0, 1, tagOf(KIND_COHERENT, TO_DEVICE))
      for (let count = 0; count < 8; count++) debug.unmapped(device, 0, count, 1, tagOf(KIND_COHERENT, TO_DEVICE))
    }
    expect(debug.findings).toMatchObject([
      { kind: "poolGrowth", busAddr: 3 },
      { kind: "poolGrowth", busAddr: 6 }
    ])
  })

  it("ends for good: nothing is tracked or found any more", () => {
    const debug = makeDmaDebug(new Float64Array(1), { entriesMax: 2 })
    const device = debug.addDevice("nic0")
    for (let count = 0; count < 4; count++) debug.mapped(device, 0, count * 512, 0, 1, tagOf(KIND_SINGLE, TO_DEVICE))
    expect(debug.unmapped(device, 0, 0x9999, 1, 0)).toBe(true)
    debug.syncedForCpu(device, 0, 0x9999, 1, TO_DEVICE)
    debug.accessed(device, 0x9999, 1, TO_DEVICE, 0)
    debug.pageFreed(0, 4096)
    debug.released(device)
    expect(debug.findings).toMatchObject([{ kind: "entriesExhausted", busAddr: 1024, mapping: undefined }])
    expect([debug.findingCount, debug.isDisabled, debug.live()]).toEqual([1, true, []])
  })
})
