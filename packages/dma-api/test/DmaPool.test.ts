/**
 * DMA pools.
 *
 * Goal: blocks are where they must be, never two in one place, and what is done wrong with them is found. Method:
 * random histories against a list that is handed out from its end; each mistake once; everything on each backend
 * that coherent memory is mapped by.
 */
import { describe, expect, it } from "@effect/vitest"
import { fc, test } from "@fast-check/vitest"
import { Dma, DmaHost, makeDmaPool } from "@vnic/dma-api"
import * as Effect from "effect/Effect"
import {
  MAP_OUT_OF_MEMORY,
  POOL_NONE,
  POOL_POISON_ALLOCATED,
  TO_DEVICE,
  type DmaPool,
  type DmaPoolOptions
} from "@vnic/dma-api/core"
import { CachingTable, findOverlap } from "@vnic/dma-api/testing"
import { ACCOUNT_BENCHMARK, ACCOUNT_LOCK_WAIT, makeCpus, makeTimeline } from "@vnic/sim/core"
import { memoryWorld } from "./support/memory.ts"
import { MASK_32, PAGE_BYTES } from "./support/setup.ts"

function poolOf(options: Partial<DmaPoolOptions> = {}, changes: Parameters<typeof memoryWorld>[1] = {}) {
  const world = memoryWorld("iommu", changes)
  const pool = world.dma.dmaPoolCreate(world.device, { name: "commands", sizeBytes: 64, ...options })
  if (pool === undefined) throw new Error("no pool")
  return { ...world, pool }
}

/** Some CPUs, and a way to let all of them do something at once, to its end. */
function worldOfCpus(cpuCount: number) {
  const timeline = makeTimeline()
  const cpus = makeCpus(timeline, {
    cpuCount,
    threadsPerCore: 1,
    speedShares: [1],
    lockAcquirePs: 40_000,
    lockHandOffPs: 10_000,
    lockHandOffPerWaiterPs: 0
  })
  const run = (begin: (cpu: number, then: number) => number): void => {
    const asleep = cpus.define("asleep", (cpu) => cpus.sleep(cpu))
    const start = cpus.define("start", (cpu) => begin(cpu, asleep))
    for (let cpu = 0; cpu < cpuCount; cpu++) cpus.wake(cpu, start)
    timeline.runUntil(Number.MAX_SAFE_INTEGER, 1_000_000)
  }
  return { cpus, timeline, run }
}

/** Allocates a block; both of its addresses. */
const alloc = (pool: DmaPool) => ({ phys: pool.dmaPoolAlloc(0), busAddr: pool.busAddrs[0]! })

describe("a pool", () => {
  const refused: ReadonlyArray<Partial<DmaPoolOptions>> = [
    { sizeBytes: 0 },
    { sizeBytes: NaN },
    { sizeBytes: 100.5 },
    { alignBytes: 2 ** 33 },
    { alignBytes: 2 ** 32 + 64 },
    { alignBytes: -64 },
    { boundaryBytes: 3 * 2 ** 32 },
    { alignBytes: NaN },
    { boundaryBytes: NaN },
    { boundaryBytes: -4096 },
    { boundaryBytes: Infinity },
    { sizeBytes: 2 ** 31 },
    { alignBytes: 48 },
    { sizeBytes: 100, boundaryBytes: 64 },
    { sizeBytes: 100, boundaryBytes: 300 },
    { sizeBytes: 5000, alignBytes: 4096, boundaryBytes: 4096 },
    { sizeBytes: 5000, boundaryBytes: 5000 }
  ]

  it.each(refused)("cannot be had with %o", (options) => {
    const { device, dma } = memoryWorld("iommu")
    expect(dma.dmaPoolCreate(device, { name: "none", sizeBytes: 64, ...options })).toBeUndefined()
  })

  it("has blocks of 16 bytes at least, rounded to the alignment, in chunks of a page at least", () => {
    expect(poolOf({ sizeBytes: 1 }).pool).toMatchObject({ blockBytes: 16, chunkBytes: PAGE_BYTES })
    expect(poolOf({ sizeBytes: 40, alignBytes: 32 }).pool).toMatchObject({ blockBytes: 64, boundaryBytes: PAGE_BYTES })
    expect(poolOf({ boundaryBytes: 2 ** 33 }).pool).toMatchObject({ blockBytes: 64, boundaryBytes: PAGE_BYTES })
    expect(poolOf({ sizeBytes: 5000 }).pool).toMatchObject({ blockBytes: 5000, chunkBytes: 5000, boundaryBytes: 5000 })
  })

  it("is as if nobody had asked with an alignment and a boundary of 0", () => {
    const { blockBytes, boundaryBytes, chunkBytes } = poolOf({ sizeBytes: 5000 }).pool
    const asked = poolOf({ sizeBytes: 5000, alignBytes: 0, boundaryBytes: 0 }).pool
    expect(asked).toMatchObject({ blockBytes, boundaryBytes, chunkBytes })
    // Blocks lie end to end, also across what would be a boundary.
    const { pool } = poolOf({ sizeBytes: 1000, alignBytes: 0, boundaryBytes: 0 })
    const first = alloc(pool).busAddr
    expect([1, 2, 3].map(() => alloc(pool).busAddr - first)).toEqual([1000, 2000, 3000])
  })

  const options = fc.record({
    sizeBytes: fc.integer({ min: 1, max: 1500 }),
    alignBytes: fc.constantFrom(1, 8, 64, 256),
    boundaryBytes: fc.constantFrom(2048, 4096, 65_536)
  })
  const steps = fc.array(fc.option(fc.nat(100), { nil: undefined }), { maxLength: 60 })

  test.prop([options, steps], { numRuns: 80 })(
    "hands out what was freed last, aligned, across no boundary, and no block twice",
    (given, history) => {
      const { dma, pool, pages, table } = poolOf(given)
      const live: Array<ReturnType<typeof alloc>> = []
      const freed: Array<number> = []
      for (const step of history) {
        if (step === undefined || live.length === 0) {
          const block = alloc(pool)
          const expected = freed.pop()
          if (expected !== undefined) expect(block.phys).toBe(expected)
          expect(block.busAddr % given.alignBytes).toBe(0)
          const last = block.busAddr + pool.blockBytes - 1
          expect(Math.floor(block.busAddr / given.boundaryBytes)).toBe(Math.floor(last / given.boundaryBytes))
          expect(table.translate(block.busAddr)).toBe(block.phys)
          live.push(block)
        } else {
          const [block] = live.splice(step % live.length, 1)
          pool.dmaPoolFree(0, block!.phys, block!.busAddr)
          freed.push(block!.phys)
        }
        const ranges = live.map(({ busAddr }) => ({ busAddr, sizeBytes: pool.blockBytes }))
        expect(findOverlap(ranges, 1)).toBeUndefined()
        expect(pool.liveBlocks).toBe(live.length)
      }
      for (const { busAddr, phys } of live) pool.dmaPoolFree(0, phys, busAddr)
      // Chunks stay until the end.
      expect(pages.pagesUsed).toBe(pool.chunks.length)
      pool.dmaPoolDestroy(0)
      expect([dma.liveCount(), pages.pagesUsed, table.entries.size, dma.snapshot().findings]).toEqual([0, 0, 0, 0])
    }
  )

  it("zeroes what is asked to be zero, and nothing else", () => {
    const { bytes, pool } = poolOf()
    const phys = pool.dmaPoolZalloc(0)
    expect(bytes.subarray(phys, phys + 64).every((byte) => byte === 0)).toBe(true)
    const other = pool.dmaPoolAlloc(0)
    expect(bytes.subarray(other, other + 64).every((byte) => byte === POOL_POISON_ALLOCATED)).toBe(true)
  })

  it("without memory for a chunk has no block, and works on", () => {
    const { pages, pool } = poolOf()
    pages.failAt = 1
    expect(pool.dmaPoolAlloc(0)).toBe(POOL_NONE)
    expect(pool.dmaPoolAlloc(0)).not.toBe(POOL_NONE)
    expect(pool.liveBlocks).toBe(1)
  })

  it("is one for all CPUs, who wait for its lock, and may grow it at once", () => {
    const { cpus, timeline } = worldOfCpus(4)
    const { pages, pool } = poolOf({ sizeBytes: 2048 }, { host: cpus, costs: { constantPs: 5000 } })
    const live: Array<number> = []
    const left = new Int32Array(4).fill(20)
    const next = cpus.define("next", (cpu) =>
      left[cpu]! < 0 ? cpus.sleep(cpu) : pool.beginDmaPoolAlloc(cpu, allocated)
    )
    const freed = cpus.define("freed", (cpu) => {
      live.splice(live.indexOf(pool.allocated[cpu]!), 1)
      return next
    })
    const allocated = cpus.define("allocated", (cpu) => {
      const phys = pool.allocated[cpu]!
      expect(live).not.toContain(phys)
      live.push(phys)
      left[cpu]! -= 1
      return left[cpu]! % 3 === 0 ? next : pool.beginDmaPoolFree(cpu, phys, pool.busAddrs[cpu]!, freed)
    })
    for (let cpu = 0; cpu < 4; cpu++) cpus.wake(cpu, next)
    timeline.runUntil(Number.MAX_SAFE_INTEGER, 100_000)
    expect(pool.liveBlocks).toBe(live.length)
    expect(pool.findings).toEqual([])
    expect(pages.pagesUsed).toBe(pool.chunks.length)
    const accounts = cpus.ledger.length / 4
    expect(cpus.ledger[accounts + ACCOUNT_LOCK_WAIT]).toBeGreaterThan(0)
    // No block was lost: all chunks' blocks can be had without another chunk.
    const chunks = pool.chunks.length
    while (pool.liveBlocks < (chunks * PAGE_BYTES) / 2048) expect(live).not.toContain(pool.dmaPoolAlloc(0))
    expect(pool.chunks).toHaveLength(chunks)
  })
})

describe("a pool in a program", () => {
  /** CPU 0 maps and unmaps, holding the allocator's lock while it waits for the invalidation; CPU 1 does `begin`. */
  const besideMaps = (begin: (pool: DmaPool, cpu: number, then: number) => number, rounds: number) => {
    const { cpus, run } = worldOfCpus(2)
    const table = new CachingTable({ host: cpus, invalidatePs: 1000 })
    const { device, dma, pages, pool } = poolOf({ sizeBytes: 4096 }, { host: cpus, table })
    const left = [rounds, rounds]
    const goOn = (cpu: number, next: () => number): number => (--left[cpu]! < 0 ? thens[cpu]! : next())
    const thens = [0, 0]
    const unmap = cpus.define("unmap", (cpu) => {
      expect(device.mappingError(device.mapped[cpu]!)).toBe(false)
      return device.beginUnmapSingle(cpu, device.mapped[cpu]!, 64, TO_DEVICE, mapAgain)
    })
    const mapAgain = cpus.define("map", (cpu) =>
      goOn(cpu, () => device.beginMapSingle(cpu, 0x8_0000, 64, TO_DEVICE, unmap))
    )
    const again = cpus.define("again", (cpu) => {
      cpus.spend(cpu, ACCOUNT_BENCHMARK, 7770)
      return goOn(cpu, () => begin(pool, cpu, again))
    })
    run((cpu, then) => {
      thens[cpu] = then
      return cpu === 0 ? mapAgain : again
    })
    return { cpus, dma, pages, pool, table }
  }

  it("grows while another CPU holds the lock of the bus addresses, and waits for it", () => {
    const { cpus, dma, pages, pool } = besideMaps((one, cpu, then) => one.beginDmaPoolAlloc(cpu, then), 50)
    expect([pool.liveBlocks, pool.chunks.length, pages.pagesUsed]).toEqual([50, 50, 50])
    expect(new Set(pool.chunks.map(({ busAddr }) => busAddr)).size).toBe(50)
    expect(cpus.lockCounts().find(({ name }) => name === "IOVA table lock")!.contended).toBeGreaterThan(10)
    expect(dma.snapshot()).toMatchObject({ live: 50, findings: 0 })
  })

  it("has no block where there is no memory", () => {
    const { pool } = besideMaps((one, cpu, then) => one.beginDmaPoolAlloc(cpu, then), 129)
    expect([pool.allocated[1], pool.liveBlocks, pool.chunks.length]).toEqual([POOL_NONE, 128, 128])
    expect(pool.device.failure[1]).toBe(MAP_OUT_OF_MEMORY)
  })

  it("is destroyed while another CPU holds that lock: every chunk goes back behind its flush", () => {
    let count = 0
    const begin = (pool: DmaPool, cpu: number, then: number): number => {
      if (count++ < 4) return pool.beginDmaPoolAlloc(cpu, then)
      const chunk = pool.chunks[8 - count]
      if (chunk !== undefined && count <= 8) return pool.beginDmaPoolFree(cpu, chunk.phys, chunk.busAddr, then)
      return count === 9 ? pool.beginDmaPoolDestroy(cpu, then) : then
    }
    const { dma, pages, pool, table } = besideMaps(begin, 20)
    expect([pool.isDestroyed, pool.chunks.length, pages.pagesUsed]).toEqual([true, 0, 0])
    expect([dma.liveCount(), table.entries.size, table.unflushed.size, pool.findings]).toEqual([0, 0, 0, []])
  })
})

describe("a mistake with a pool", () => {
  const kinds = (pool: DmaPool): ReadonlyArray<string> => pool.findings.map(({ kind }) => kind)

  it("a write to a free block is found when it is handed out", () => {
    const { bytes, dma, pool } = poolOf()
    const { busAddr, phys } = alloc(pool)
    pool.dmaPoolFree(0, phys, busAddr)
    bytes[phys + 63] = 1
    expect(pool.dmaPoolAlloc(0)).toBe(phys)
    expect(dma.poolFindings()).toEqual([
      { kind: "poolCorrupted", pool: "commands", device: "disk0", phys, busAddr, cpu: 0, atPs: 0 }
    ])
    expect(dma.snapshot().findings).toBe(1)
  })

  it("a block that is freed twice stays free once", () => {
    const { pool } = poolOf()
    const { busAddr, phys } = alloc(pool)
    pool.dmaPoolFree(0, phys, busAddr)
    pool.dmaPoolFree(0, phys, busAddr)
    expect(kinds(pool)).toEqual(["poolDoubleFree"])
    expect([alloc(pool).phys, pool.liveBlocks]).toEqual([phys, 1])
    expect(alloc(pool).phys).not.toBe(phys)
  })

  it("an address that is no block's, or not this block's, frees nothing", () => {
    const { pool } = poolOf()
    const { busAddr, phys } = alloc(pool)
    pool.dmaPoolFree(0, phys + 8, busAddr + 8)
    pool.dmaPoolFree(0, phys, busAddr + 64)
    pool.dmaPoolFree(0, phys + 0x4_0000, busAddr)
    expect(kinds(pool)).toEqual(["poolBadAddress", "poolBadAddress", "poolBadAddress"])
    expect(pool.liveBlocks).toBe(1)
  })

  it("a pool that is destroyed with live blocks keeps its memory for good: a leak of its device", () => {
    const { device, dma, pages, pool } = poolOf()
    const { busAddr, phys } = alloc(pool)
    pool.dmaPoolDestroy(0)
    expect(pool.findings).toMatchObject([{ kind: "poolBusy", phys, busAddr }])
    expect([dma.liveCount(), pages.pagesUsed]).toEqual([1, 1])
    device.release()
    expect(dma.findings().map(({ kind }) => kind)).toEqual(["leak"])
    expect(() => pool.dmaPoolAlloc(0)).toThrow("destroyed")
    expect(() => pool.dmaPoolDestroy(0)).toThrow("destroyed twice")
  })

  it("without debug is a defect, and nothing is done", () => {
    const { pool } = poolOf({}, { debug: false })
    const { busAddr, phys } = alloc(pool)
    pool.dmaPoolFree(0, phys, busAddr)
    expect(() => pool.dmaPoolFree(0, phys, busAddr)).toThrow("not a live one")
    expect(() => pool.beginDmaPoolFree(0, phys + 8, busAddr, 0)).toThrow("not a live one")
    expect([alloc(pool), alloc(pool).phys, pool.liveBlocks]).toEqual([{ phys, busAddr }, phys + 64, 2])
  })

  it("a block that two CPUs free at once is freed once", () => {
    const { cpus, run } = worldOfCpus(2)
    const { pool } = poolOf({}, { host: cpus })
    const { busAddr, phys } = alloc(pool)
    run((cpu, then) => pool.beginDmaPoolFree(cpu, phys, busAddr, then))
    expect([kinds(pool), pool.liveBlocks]).toEqual([["poolDoubleFree"], 0])
    expect([alloc(pool).phys, alloc(pool).phys]).toEqual([phys, phys + 64])
  })
})

describe("as an Effect", () => {
  const options = { name: "commands", sizeBytes: 64, boundaryBytes: 1024 }

  it.effect("pool and blocks are resources: nothing is left of them", () =>
    Effect.gen(function* () {
      const dma = yield* Dma
      yield* Effect.scoped(
        Effect.gen(function* () {
          const device = yield* dma.attach({ name: "disk0", dmaMask: MASK_32 })
          const pool = yield* makeDmaPool(device, options)
          const { bytes } = yield* DmaHost
          const block = yield* Effect.scoped(pool.alloc)
          const again = yield* pool.alloc
          expect(again).toEqual(block)
          expect(bytes.subarray(again.phys, again.phys + 64).every((byte) => byte === 0)).toBe(true)
          expect(pool.core.liveBlocks).toBe(1)
        })
      )
      expect(dma.core.liveCount()).toBe(0)
      expect([yield* dma.findings, dma.core.poolFindings()]).toEqual([[], []])
    }).pipe(Effect.provide(Dma.layerTest))
  )

  it.effect("a pool that outlives its device is a leak", () =>
    Effect.gen(function* () {
      const dma = yield* Dma
      yield* Effect.scoped(
        Effect.gen(function* () {
          const device = yield* dma.attach({ name: "disk0", dmaMask: MASK_32 })
          yield* (yield* makeDmaPool(device, options)).alloc
          device.core.release()
        })
      )
      expect(yield* dma.findings).toMatchObject([{ kind: "leak", mapSite: "allocCoherent" }])
      expect(dma.core.liveCount()).toBe(1)
    }).pipe(Effect.provide(Dma.layerTest))
  )

  it.effect("what cannot be is an error that says why", () =>
    Effect.gen(function* () {
      const device = yield* (yield* Dma).attach({ name: "disk0", dmaMask: MASK_32 })
      const error = yield* Effect.flip(makeDmaPool(device, { ...options, boundaryBytes: 32 }))
      expect(error._tag).toBe("DmaPoolError")
      expect(error.message).toContain("boundary 32")
      for (const sizeBytes of [NaN, 100.5]) {
        expect(yield* Effect.flip(makeDmaPool(device, { name: "none", sizeBytes }))).toMatchObject({ sizeBytes })
      }
      for (const none of [{ boundaryBytes: 0 }, { alignBytes: 0 }]) {
        expect((yield* makeDmaPool(device, { ...options, ...none })).core.blockBytes).toBe(64)
      }
      const { pages } = yield* DmaHost
      const pool = yield* makeDmaPool(device, options)
      while (pages.allocate(0) >= 0);
      const short = yield* Effect.flip(pool.alloc)
      expect(short).toMatchObject({ _tag: "DmaMappingError", reason: "OutOfMemory", mapSite: "pool commands" })
    }).pipe(Effect.scoped, Effect.provide(Dma.layerTest))
  )
})
