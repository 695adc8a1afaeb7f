import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import {
  BIDIRECTIONAL,
  CPU_NONE,
  FINDING_KINDS,
  FINDINGS_KEPT_MAX,
  FROM_DEVICE,
  makeDmaDebug,
  tagOf,
  TO_DEVICE,
  type Direction
} from "@vnic/dma-api/core"
import { NaiveTracker, runMisbehavingDriver } from "@vnic/dma-api/testing"
import { BACKENDS, MASK_32, setUp } from "./support/setup.ts"

const counts = (found: ReadonlyArray<string>) =>
  Object.fromEntries(FINDING_KINDS.map((kind) => [kind, found.filter((one) => one === kind).length]))

describe.each(BACKENDS)("on the %s backend", (backend) => {
  test.prop([fc.integer()])("a driver that does everything right is never accused", (seed) => {
    const { dma, pages } = setUp(backend)
    runMisbehavingDriver({ device: dma.attach("nic0", MASK_32), pages, seed })
    expect(dma.findings()).toEqual([])
    expect(dma.liveCount()).toBe(0)
    expect(pages.pagesUsed).toBe(0)
  })

  describe.each(FINDING_KINDS)("a driver with one mistake: %s", (mistake) => {
    test.prop([fc.integer()], { numRuns: 30 })("has that finding and no other", (seed) => {
      const { dma, pages } = setUp(backend)
      runMisbehavingDriver({ device: dma.attach("nic0", MASK_32), pages, mistake, seed })
      expect(dma.findings().map((finding) => finding.kind)).toEqual([mistake])
      expect(dma.debug!.counts).toEqual(counts([mistake]))
      expect(dma.liveCount()).toBe(mistake === "leak" ? 1 : 0)
      expect(dma.snapshot().findings).toBe(1)
    })
  })
})

describe("a finding tells what happened", () => {
  it("with the mapping that it concerns", () => {
    const { dma } = setUp("iommu")
    const device = dma.attach("nic0", MASK_32)
    const busAddr = device.mapSingle(0, 0x2000, 100, FROM_DEVICE)
    device.unmapSingle(0, busAddr, 90, FROM_DEVICE)
    const mapping = { device: "nic0", kind: "single", busAddr, phys: 0x2000, sizeBytes: 100, direction: FROM_DEVICE }
    expect(dma.findings()).toMatchObject([
      { kind: "wrongSize", device: "nic0", busAddr, sizeBytes: 90, cpu: 0, mapping }
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
    const busAddr = device.mapSingle(0, 0x2000, 100, TO_DEVICE)
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

  it("an unmap of what a failed map returned is an unmap of nothing", () => {
    const { dma } = setUp("iommu")
    const device = dma.attach("nic0", MASK_32)
    device.unmapSingle(0, -1, 64, TO_DEVICE)
    expect(dma.findings()).toMatchObject([{ kind: "unmapOfNothing", busAddr: -1 }])
  })
})

describe("several live mappings at one bus address, as direct mapping has them", () => {
  it("an unmap takes the one that it fits", () => {
    const { dma } = setUp("direct")
    const device = dma.attach("nic0", MASK_32)
    device.mapSingle(0, 0x1000, 64, TO_DEVICE)
    device.mapSingle(0, 0x1000, 256, TO_DEVICE)
    device.mapSingle(0, 0x1000, 256, FROM_DEVICE)
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
    device.mapSingle(0, 0x1000, 64, TO_DEVICE)
    device.mapSingle(0, 0x1000, 100_000, FROM_DEVICE)
    device.unmapSingle(0, 0x1000, 100_000, BIDIRECTIONAL)
    expect(dma.findings()).toMatchObject([{ kind: "wrongDirection", mapping: { sizeBytes: 100_000 } }])
    expect(dma.liveMappings()).toMatchObject([{ sizeBytes: 64 }])
  })

  it("size counts for more than direction, and of equals the smallest goes", () => {
    const { dma } = setUp("direct")
    const device = dma.attach("nic0", MASK_32)
    device.mapSingle(0, 0x1000, 64, TO_DEVICE)
    device.mapSingle(0, 0x1000, 90, FROM_DEVICE)
    device.mapSingle(0, 0x1000, 100, FROM_DEVICE)
    device.unmapSingle(0, 0x1000, 64, FROM_DEVICE)
    device.unmapSingle(0, 0x1000, 80, FROM_DEVICE)
    expect(dma.findings()).toMatchObject([
      { kind: "wrongDirection", mapping: { sizeBytes: 64 } },
      { kind: "wrongSize", mapping: { sizeBytes: 90 } }
    ])
    expect(dma.liveMappings()).toMatchObject([{ sizeBytes: 100 }])
  })

  it("a sync is right when one of the mappings around it allows its direction", () => {
    const { dma } = setUp("direct")
    const device = dma.attach("nic0", MASK_32)
    device.mapSingle(0, 0x1000, 4096, FROM_DEVICE)
    device.mapSingle(0, 0x1400, 512, TO_DEVICE)
    device.syncSingleForDevice(0, 0x1440, 64, TO_DEVICE)
    device.syncSingleForCpu(0, 0x1440, 64, FROM_DEVICE)
    expect(dma.findings()).toEqual([])
    device.syncSingleForDevice(0, 0x1000, 64, TO_DEVICE)
    expect(dma.findings()).toMatchObject([{ kind: "syncWrongDirection" }])
  })
})

describe("against a list that is searched from end to end", () => {
  const direction = fc.constantFrom<Direction>(BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE)
  // Few addresses and sizes, so that mappings meet; around powers of two, and on both sides of 4 GiB.
  const address = fc
    .tuple(
      fc.constantFrom(0, 0x1_0000, 2 ** 32 - 4096, 2 ** 32, 2 ** 40),
      fc.constantFrom(0, 1, 64, 1000, 4095, 4096, 60_000)
    )
    .map(([base, offset]) => base + offset)
  const size = fc.constantFrom(1, 64, 65, 512, 4096, 4097, 65_536, 1_000_000, 2 ** 31 - 1)
  const operation = fc.record({
    name: fc.constantFrom("map", "map", "map", "unmap", "unmapLive", "sync", "access"),
    device: fc.nat({ max: 2 }),
    isCoherent: fc.boolean(),
    address,
    size,
    direction,
    pick: fc.nat()
  })

  test.prop([fc.array(operation, { maxLength: 60 })], { numRuns: 300 })(
    "the same findings and the same live mappings",
    (operations) => {
      const real = makeDmaDebug(new Float64Array(1))
      const naive = new NaiveTracker()
      const names = ["nic0", "nic1", "nic2"]
      for (const name of names) real.addDevice(name)
      for (const { address: busAddr, device, direction: way, isCoherent, name, pick, size: sizeBytes } of operations) {
        const mapping = {
          device: names[device]!,
          kind: isCoherent ? "coherent" : "single",
          busAddr,
          sizeBytes,
          direction: way
        } as const
        const tag = tagOf(isCoherent ? 1 : 0, way)
        const old = naive.live[pick % naive.live.length]
        if (name === "map") {
          real.mapped(device, 0, busAddr, 7, sizeBytes, tag)
          naive.mapped(mapping)
        } else if (name === "unmap") {
          real.unmapped(device, 0, busAddr, sizeBytes, tag)
          naive.unmapped(mapping)
        } else if (name === "unmapLive" && old !== undefined) {
          real.unmapped(
            names.indexOf(old.device),
            0,
            old.busAddr,
            old.sizeBytes,
            tagOf(old.kind === "single" ? 0 : 1, old.direction)
          )
          naive.unmapped(old)
        } else if (name === "sync") {
          real.synced(device, 0, busAddr, sizeBytes, way)
          naive.synced(mapping.device, busAddr, sizeBytes, way)
        } else if (name === "access") {
          real.accessed(device, busAddr, sizeBytes, way, 0)
          naive.accessed(mapping.device, busAddr, sizeBytes, way)
        }
      }
      real.released(1)
      naive.released("nic1")
      expect(real.counts).toEqual(counts(naive.found))
      expect(real.liveCount).toBe(naive.live.length)
      const plain = (mappings: ReadonlyArray<object>) =>
        mappings
          .map((mapping) =>
            JSON.stringify({ ...mapping, phys: 0, cpu: 0, mappedAtPs: 0 }, [
              "device",
              "kind",
              "busAddr",
              "sizeBytes",
              "direction"
            ])
          )
          .sort()
      expect(plain(real.live())).toEqual(plain(naive.live))
      expect(real.live(2)).toHaveLength(naive.live.filter((mapping) => mapping.device === "nic2").length)
    }
  )

  it("holds more mappings than it has room for at first", () => {
    const debug = makeDmaDebug(new Float64Array(1))
    const device = debug.addDevice("nic0")
    for (let count = 0; count < 10_000; count++) debug.mapped(device, 0, count * 512, count, 512, 2)
    expect(debug.liveCount).toBe(10_000)
    for (let count = 0; count < 10_000; count++) expect(debug.unmapped(device, 0, count * 512, 512, 2)).toBe(true)
    expect(debug.findingCount).toBe(0)
  })
})
