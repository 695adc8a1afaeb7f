/** The bounce backend: what is bounced, where it goes, what it costs, and what happens when there is no room. */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import {
  ATTR_MMIO,
  ATTR_SKIP_CPU_SYNC,
  BIDIRECTIONAL,
  EIO,
  FROM_DEVICE,
  makePlainHost,
  makeScatterList,
  MAP_BOUNCE_FULL,
  MAP_INVALID,
  MAP_MASK_TOO_NARROW,
  MAP_OK,
  SLOT_BYTES,
  TO_DEVICE,
  type BounceSettings
} from "@vnic/dma-api/core"
import { findOverlap } from "@vnic/dma-api/testing"
import { ACCOUNT_COPY, ACCOUNT_DMA_API, ACCOUNT_LOCK_WAIT, makeCpus, makeTimeline } from "@vnic/sim/core"
import { memoryWorld } from "./support/memory.ts"
import { MEMORY_BYTES, PAGE_BYTES } from "./support/setup.ts"

const BUFFER = 0xc_0000
/** One area of 16 slots in sets of 8. */
const SMALL: BounceSettings = { slotCount: 16, areaCount: 1, setSlots: 8 }

const bounceWorld = (bounce: BounceSettings = {}, changes: Parameters<typeof memoryWorld>[1] = {}) =>
  memoryWorld("bounce", { bounce, ...changes })

/** A plain host that lets programs be run as if on several CPUs, one after the other. */
const hostOf = (count: number) => ({ ...makePlainHost(), count })

describe("the pool", () => {
  it("is no more than a quarter of memory, in whole sets below the limit", () => {
    const { dma, pages } = bounceWorld()
    expect(dma.snapshot().bounce.slots).toBe(MEMORY_BYTES / 4 / SLOT_BYTES)
    expect(pages.pagesUsed).toBe(MEMORY_BYTES / 4 / PAGE_BYTES)
  })

  it("is halved until it fits, and what was tried above the limit is given back", () => {
    const { device, dma, pages } = bounceWorld({ slotCount: 256, setSlots: 16, addressMax: 5 * 16 * SLOT_BYTES - 1 })
    expect(dma.snapshot().bounce.slots).toBe(64)
    expect(pages.pagesUsed).toBe((64 * SLOT_BYTES) / PAGE_BYTES)
    const busAddr = device.mapSingle(0, BUFFER, 16 * SLOT_BYTES, TO_DEVICE)
    expect(busAddr + 16 * SLOT_BYTES).toBeLessThanOrEqual(5 * 16 * SLOT_BYTES)
  })

  it("without any memory below the limit there can be none", () => {
    expect(() => bounceWorld({ addressMax: 100 })).toThrow("no memory for a bounce buffer")
  })
})

describe("a buffer", () => {
  test.prop(
    [
      fc.array(fc.tuple(fc.nat(0xfff), fc.integer({ min: 1, max: 9000 })), { minLength: 1, maxLength: 8 }),
      fc.constantFrom(0, 0xff, 0x7ff, 0xfff, 0x3fff)
    ],
    { numRuns: 100 }
  )("keeps the bits that the device asks for, shares no slot, and a page or more begins at a page", (buffers, mask) => {
    const { device, dma } = bounceWorld()
    device.dmaSetMinAlignMask(mask)
    const mapped = buffers.map(([offset, sizeBytes], index) => {
      const phys = BUFFER + index * 0x4000 + offset
      const busAddr = device.mapSingle(0, phys, sizeBytes, FROM_DEVICE)
      expect(busAddr & mask).toBe(phys & mask)
      if (mask === 0) expect(busAddr % (sizeBytes >= PAGE_BYTES ? PAGE_BYTES : SLOT_BYTES)).toBe(0)
      expect(device.mappingError(busAddr)).toBe(false)
      return { busAddr, sizeBytes }
    })
    expect(findOverlap(mapped, SLOT_BYTES)).toBeUndefined()
    for (const { busAddr, sizeBytes } of mapped) device.unmapSingle(0, busAddr, sizeBytes, FROM_DEVICE)
    expect(dma.snapshot()).toMatchObject({ live: 0, findings: 0, bounce: { slotsUsed: 0, full: 0, clamped: 0 } })
  })

  it("crosses no segment boundary", () => {
    const { device } = bounceWorld()
    device.dmaSetSegBoundary(0x1fff)
    for (let index = 0; index < 10; index++) {
      const busAddr = device.mapSingle(0, BUFFER + index * 0x2000, 3 * SLOT_BYTES, FROM_DEVICE)
      expect(Math.floor(busAddr / 0x2000)).toBe(Math.floor((busAddr + 3 * SLOT_BYTES - 1) / 0x2000))
    }
  })

  it("of 256 KiB is the longest, less what must be aligned", () => {
    const { device } = bounceWorld()
    const longest = 256 * 1024
    expect([device.dmaMaxMappingSize(), device.dmaOptMappingSize()]).toEqual([longest, longest])
    expect(device.mapSingle(0, BUFFER, longest, TO_DEVICE)).toBeGreaterThanOrEqual(0)
    device.dmaSetMinAlignMask(0xfff)
    expect(device.dmaMaxMappingSize()).toBe(longest - 4096)
    device.dmaSetMinAlignMask(0xff)
    expect(device.dmaMaxMappingSize()).toBe(longest - 2048)
    // Bits that say where in a set a buffer ends up: at worst it is at its end.
    for (const mask of [longest - 1, 2 ** 20 - 1, 2 ** 32 - 1]) {
      device.dmaSetMinAlignMask(mask)
      expect([device.dmaMaxMappingSize(), device.dmaOptMappingSize()]).toEqual([0, 0])
    }
  })

  it("longer than a slot set is refused even by an empty pool", () => {
    const { device } = bounceWorld(SMALL)
    expect(device.mappingError(device.mapSingle(0, BUFFER, 8 * SLOT_BYTES + 1, TO_DEVICE))).toBe(true)
    // No unmap will help, so the pool is not said to be full.
    expect(device.failure[0]).toBe(MAP_INVALID)
    expect(device.mappingError(device.mapSingle(0, BUFFER, 8 * SLOT_BYTES, TO_DEVICE))).toBe(false)
    device.dmaSetSegBoundary(4 * SLOT_BYTES - 1)
    expect(device.mappingError(device.mapSingle(0, BUFFER + 0x8000, 5 * SLOT_BYTES, TO_DEVICE))).toBe(true)
    expect(device.failure[0]).toBe(MAP_INVALID)
    device.dmaSetSegBoundary(0xff)
    expect(device.mappingError(device.mapSingle(0, BUFFER + 0x8000, SLOT_BYTES, TO_DEVICE))).toBe(false)
  })
})

describe("an unmap in a wrong direction", () => {
  it.each([true, false])("loses nothing of what the device wrote to a list, debug %s", (debug) => {
    const { bytes, device, dma, write } = bounceWorld({}, { debug })
    const list = makeScatterList(2)
    list.setBuffer(0, BUFFER, 100)
    list.setBuffer(1, BUFFER + 0x2000, 100)
    device.mapSg(0, list, 2, FROM_DEVICE)
    for (const segment of [0, 1]) write(list.busAddrOf(segment), [1, 2, 3])
    device.unmapSg(0, list, 2, TO_DEVICE)
    for (const phys of [BUFFER, BUFFER + 0x2000]) expect([...bytes.subarray(phys, phys + 4)]).toEqual([1, 2, 3, 0xa5])
    expect(dma.findings().map(({ kind }) => kind)).toEqual(debug ? ["wrongDirection"] : [])
  })
})

describe("a pool that is full", () => {
  it("is a mapping error with its own reason, until something is unmapped", () => {
    const { device, dma } = bounceWorld(SMALL)
    const mapped = Array.from({ length: 5 }, (_, index) =>
      device.mapSingle(0, BUFFER + index * 0x4000, 4 * SLOT_BYTES, FROM_DEVICE)
    )
    expect(mapped.map((busAddr) => device.mappingError(busAddr))).toEqual([false, false, false, false, true])
    expect([device.failure[0], device.counters.failures[MAP_BOUNCE_FULL]]).toEqual([MAP_BOUNCE_FULL, 1])
    expect(dma.snapshot().bounce).toMatchObject({ slots: 16, slotsUsed: 16, slotsUsedMax: 16, full: 1 })
    device.unmapSingle(0, mapped[1]!, 4 * SLOT_BYTES, FROM_DEVICE)
    expect(device.mapSingle(0, BUFFER, 4 * SLOT_BYTES, FROM_DEVICE)).toBe(mapped[1])
  })

  test.prop(
    [
      fc.constantFrom(0, 511, 0x7ff, 0xfff, 0x1fff, 0xffff),
      fc.constantFrom(511, 0x7ff, 0xfff, 0x1fff, 0xffff, Number.MAX_SAFE_INTEGER),
      fc.nat(0x4fff),
      fc.oneof(fc.constantFrom(100, 4096, 8 * SLOT_BYTES), fc.integer({ min: 1, max: 9 * SLOT_BYTES }))
    ],
    { numRuns: 200 }
  )("is said to be so where an unmap would help, and nowhere else", (minAlignMask, segBoundaryMask, at, sizeBytes) => {
    const failureOf = (isFull: boolean) => {
      const { device } = bounceWorld(SMALL)
      while (isFull && device.mapSingle(0, BUFFER, 1, FROM_DEVICE) >= 0);
      device.dmaSetMinAlignMask(minAlignMask)
      device.dmaSetSegBoundary(segBoundaryMask)
      device.mapSingle(0, BUFFER + at, sizeBytes, FROM_DEVICE)
      return device.failure[0]
    }
    const empty = failureOf(false)
    expect([MAP_OK, MAP_INVALID]).toContain(empty)
    expect(failureOf(true)).toBe(empty === MAP_OK ? MAP_BOUNCE_FULL : MAP_INVALID)
  })

  it("fails a list as a whole, and copies nothing back", () => {
    const { bytes, device, dma, write } = bounceWorld(SMALL)
    const list = makeScatterList(5)
    for (let entry = 0; entry < 5; entry++) list.setBuffer(entry, BUFFER + entry * 0x4000, 4 * SLOT_BYTES)
    const blocker = device.mapSingle(0, BUFFER + 0x2_0000, 10, BIDIRECTIONAL)
    write(blocker, [1, 2, 3])
    expect(device.mapSgtable(0, list, 5, FROM_DEVICE)).toBe(-EIO)
    expect([device.failure[0], list.segmentCount, list.isMapped]).toEqual([MAP_BOUNCE_FULL, 0, false])
    expect(dma.snapshot()).toMatchObject({ live: 1, bounce: { slotsUsed: 1, bytesOut: 0 } })
    expect(bytes.subarray(BUFFER, BUFFER + 0x1_4000).every((byte) => byte === 0xa5)).toBe(true)
    expect(device.mapSgtable(0, list, 3, FROM_DEVICE)).toBe(0)
  })
})

describe("areas", () => {
  it("each CPU begins with its own and goes on to the next ones; full is when all are", () => {
    const { device } = bounceWorld({ slotCount: 32, areaCount: 4, setSlots: 8 }, { host: hostOf(8) })
    const areas: Array<number> = []
    const areaOf = (busAddr: number): number => Math.floor(busAddr / (8 * SLOT_BYTES))
    for (const cpu of [0, 1, 2, 3, 5]) {
      areas.push(areaOf(device.mapSingle(cpu, BUFFER + cpu * 0x4000, 4 * SLOT_BYTES, TO_DEVICE)))
    }
    expect(areas).toEqual([0, 1, 2, 3, 1])
    // Area 1 is full: CPU 1 takes from 2, then from 3, then from 0.
    const further = [0, 1, 2, 3].map(() => device.mapSingle(1, BUFFER, 4 * SLOT_BYTES, TO_DEVICE))
    expect(further.slice(0, 3).map(areaOf)).toEqual([2, 3, 0])
    expect(device.mappingError(further[3]!)).toBe(true)
  })

  it("there is one for each CPU, as a power of two, but none without a set of its own", () => {
    const locksOf = (cpus: number, slotCount: number): number => {
      const host = hostOf(cpus)
      let locks = 0
      const counting = { ...host, makeLock: (name: string) => (locks++, host.makeLock(name)) }
      bounceWorld({ slotCount, setSlots: 8 }, { host: counting })
      return locks
    }
    expect([locksOf(1, 64), locksOf(3, 64), locksOf(8, 64), locksOf(9, 64)]).toEqual([1, 4, 8, 8])
  })

  it("CPUs wait for each other in one area, and not in areas of their own", () => {
    const waitPs = (areaCount: number): number => {
      const timeline = makeTimeline()
      const cpus = makeCpus(timeline, {
        cpuCount: 4,
        threadsPerCore: 1,
        speedShares: [1],
        lockAcquirePs: 1000,
        lockHandOffPs: 1000,
        lockHandOffPerWaiterPs: 0
      })
      const costs = { bitmapSearchPs: 50_000, bitmapWordPs: 1000, copyCallPs: 100 }
      const world = bounceWorld({ slotCount: 64, areaCount, setSlots: 8 }, { host: cpus, costs })
      const { device } = world
      const left = new Int32Array(4).fill(50)
      const unmapped = cpus.define("unmapped", (cpu) => {
        left[cpu]! -= 1
        return left[cpu] === 0
          ? cpus.sleep(cpu)
          : device.beginMapSingle(cpu, BUFFER + cpu * 0x4000, 3000, FROM_DEVICE, mapped)
      })
      const mapped = cpus.define("mapped", (cpu) => {
        const busAddr = device.mapped[cpu]!
        expect(device.mappingError(busAddr)).toBe(false)
        return device.beginUnmapSingle(cpu, busAddr, 3000, FROM_DEVICE, unmapped)
      })
      for (let cpu = 0; cpu < 4; cpu++) cpus.wake(cpu, unmapped)
      timeline.runUntil(Number.MAX_SAFE_INTEGER, 100_000)
      expect([...left]).toEqual([0, 0, 0, 0])
      expect(world.dma.snapshot()).toMatchObject({ live: 0, findings: 0, bounce: { slotsUsed: 0 } })
      const accounts = cpus.ledger.length / 4
      return [0, 1, 2, 3].reduce((sum, cpu) => sum + cpus.ledger[cpu * accounts + ACCOUNT_LOCK_WAIT]!, 0)
    }
    expect(waitPs(1)).toBeGreaterThan(1_000_000)
    expect(waitPs(4)).toBe(0)
  })
})

describe("costs", () => {
  const COSTS = {
    directMapPairPs: 30,
    bitmapSearchPs: 1000,
    bitmapWordPs: 10,
    copyCallPs: 20_000,
    copyKiBPs: 100_000
  }

  it("are a copy at map, a copy back where the device wrote, and the slots that are gone through", () => {
    const host = makePlainHost()
    const { device } = bounceWorld(SMALL, { host, costs: COSTS })
    const spent = (): ReadonlyArray<number> => [host.ledger[ACCOUNT_COPY]!, host.ledger[ACCOUNT_DMA_API]!]
    const busAddr = device.mapSingle(0, BUFFER, 3072, FROM_DEVICE)
    // One slot looked at, two written.
    expect(spent()).toEqual([320_000, 15 + 1000 + 3 * 10])
    device.syncSingleForCpu(0, busAddr, 512, FROM_DEVICE)
    expect(spent()[0]).toBe(320_000 + 70_000)
    device.syncSingleForDevice(0, busAddr, 512, FROM_DEVICE)
    device.unmapSingle(0, busAddr, 3072, FROM_DEVICE)
    // Two slots written.
    expect(spent()).toEqual([320_000 + 70_000 + 320_000, 30 + 2 * 1000 + 5 * 10])
  })

  it("of a large copy are right beyond 2^31", () => {
    const host = makePlainHost()
    bounceWorld({}, { host, costs: { copyKiBPs: 100_000_000 } }).device.mapSingle(0, BUFFER, 256 * 1024, TO_DEVICE)
    expect(host.ledger[ACCOUNT_COPY]).toBe(256 * 100_000_000)
  })
})

describe("who is bounced", () => {
  const reaching = (mask: number) => {
    const world = bounceWorld({ ...SMALL, isForced: false })
    const device = world.dma.attach("old0", mask)
    return { ...world, device }
  }

  it("when not forced, only what lies above the mask", () => {
    const { device, dma } = reaching(0xb_ffff)
    expect(device.dmaMaxMappingSize()).toBe(8 * SLOT_BYTES)
    const low = device.mapSingle(0, 0xb_fff0, 16, TO_DEVICE)
    const high = device.mapSingle(0, 0xb_fff0, 17, TO_DEVICE)
    expect(low).toBe(0xb_fff0)
    expect(high).toBeLessThan(0x1_0000)
    expect([device.dmaNeedSync(low), device.dmaNeedSync(high)]).toEqual([false, true])
    expect(dma.devices[0]!.dmaMaxMappingSize()).toBe(2 ** 31 - 1)
    expect(dma.devices[0]!.mapSingle(0, 0xf_0000, 17, TO_DEVICE)).toBe(0xf_0000)
    expect(dma.snapshot().bounce.slotsUsed).toBe(1)
  })

  it("a device that does not reach the pool either gets an error, and the slots are free again", () => {
    const { device, dma } = reaching(0xff)
    expect(device.mapSingle(0, BUFFER, 512, TO_DEVICE)).toBe(-1)
    expect(device.failure[0]).toBe(MAP_MASK_TOO_NARROW)
    expect(dma.snapshot()).toMatchObject({ live: 0, bounce: { slotsUsed: 0 } })
  })

  it("never another device's registers: the address goes out as it is", () => {
    const { device, dma } = bounceWorld(SMALL)
    const busAddr = device.mapSingle(0, 0x8000_0000, 4096, BIDIRECTIONAL, ATTR_MMIO)
    expect([busAddr, device.dmaNeedSync(busAddr)]).toEqual([0x8000_0000, false])
    device.mappingError(busAddr)
    device.unmapSingle(0, busAddr, 4096, BIDIRECTIONAL, ATTR_MMIO)
    expect(dma.snapshot()).toMatchObject({ findings: 0, bounce: { bytesIn: 0, bytesOut: 0 } })
  })

  it("a map copies even when its syncs are skipped: the device must not find what was there before", () => {
    const { device, read } = bounceWorld(SMALL)
    const busAddr = device.mapSingle(0, BUFFER, 4, TO_DEVICE, ATTR_SKIP_CPU_SYNC)
    expect(read(busAddr, 4)).toEqual([0xa5, 0xa5, 0xa5, 0xa5])
  })
})

describe("a sync that is too long", () => {
  it("is cut short and counted, and touches no memory behind the buffer", () => {
    const { bytes, device, dma, read, write } = bounceWorld(SMALL)
    const busAddr = device.mapSingle(0, BUFFER, 3000, BIDIRECTIONAL)
    write(busAddr, new Array<number>(4096).fill(7))
    device.syncSingleForCpu(0, busAddr + 2500, 1000, BIDIRECTIONAL)
    expect([bytes[BUFFER + 2499], bytes[BUFFER + 2500], bytes[BUFFER + 2999], bytes[BUFFER + 3000]]).toEqual([
      0xa5, 7, 7, 0xa5
    ])
    device.syncSingleForDevice(0, busAddr, 5000, BIDIRECTIONAL)
    expect([read(busAddr, 1), read(busAddr + 3000, 1)]).toEqual([[0xa5], [7]])
    expect(dma.snapshot()).toMatchObject({ findings: 2, bounce: { clamped: 2, bytesOut: 500, bytesIn: 6000 } })
  })

  it("or comes after the unmap, moves nothing", () => {
    const { bytes, device, write } = bounceWorld(SMALL)
    const busAddr = device.mapSingle(0, BUFFER, 3000, BIDIRECTIONAL)
    device.unmapSingle(0, busAddr, 3000, BIDIRECTIONAL)
    write(busAddr, new Array<number>(3000).fill(7))
    device.syncSingleForCpu(0, busAddr, 3000, BIDIRECTIONAL)
    expect(bytes.subarray(BUFFER, BUFFER + 3000).every((byte) => byte === 0xa5)).toBe(true)
  })
})
