/**
 * The DMA API over VT-d's page tables.
 *
 * Goal: whatever is mapped and unmapped beside it, a live mapping leads its device to its own memory, each byte of it,
 * and no access to it counts as one to something that is gone. Method: random histories of buffers from a byte to
 * several MiB, which may overlap, and after each step a read of every live one; page tables must hold large leaves too.
 */
import { fc, test } from "@fast-check/vitest"
import { ALLOCATOR_NAMES, FLUSHES, makeDmaApi, TO_DEVICE, type AllocatorName, type FlushName } from "@vnic/dma-api/core"
import { ACCESS_READ, PHYS_NONE } from "@vnic/iommu/core"
import { soloVtd } from "@vnic/iommu/testing"
import { describe, expect, it } from "vitest"

const CPU = 0
const MIB = 1 << 20
const LEAF_BYTES = 2 * MIB

const setUp = (allocator: AllocatorName, flush: FlushName) => {
  const world = soloVtd({ world: { hostMemoryBytes: 16 * MIB } })
  const { cpus, memory, pages } = world.sim
  const dma = makeDmaApi({
    backend: "iommu",
    host: cpus,
    pages,
    bytes: memory.bytes,
    table: world.table,
    allocator,
    flush
  })
  return { ...world, dma, driver: dma.attach("nic0", 2 ** 32 - 1) }
}

type World = ReturnType<typeof setUp>

interface Live {
  readonly busAddr: number
  readonly phys: number
  readonly sizeBytes: number
}

/** Where the device gets to with a read of a byte. */
const read = ({ device, iommu }: World, busAddr: number): number => iommu.translate(device, busAddr, 1, ACCESS_READ, -1)

/** The device reads the ends of each live mapping, and a byte between them. */
const readAll = (world: World, live: ReadonlyArray<Live>, pick: number): void => {
  const { sim } = world
  sim.timeline.runUntil(sim.cpus.localPs[CPU]! + 1000, Infinity)
  for (const { busAddr, phys, sizeBytes } of live) {
    for (const at of [0, pick % sizeBytes, sizeBytes - 1]) {
      const found = read(world, busAddr + at)
      if (found !== phys + at) expect.fail(`${found} at ${at} of ${sizeBytes} bytes at ${phys}, mapped at ${busAddr}`)
    }
  }
}

const LENGTH = { minLength: 20, maxLength: 40 }
const step = fc.record({
  isUnmap: fc.boolean(),
  // Every second one begins and ends with leaves.
  phys: fc.oneof(
    fc.nat({ max: 7 }).map((leaf) => leaf * LEAF_BYTES),
    fc.integer({ min: 4096, max: 10 * MIB })
  ),
  sizeBytes: fc.oneof(
    fc.constantFrom(LEAF_BYTES, 2 * LEAF_BYTES),
    fc.integer({ min: 1, max: 40_000 }),
    fc.integer({ min: 1, max: 5 * MIB })
  ),
  pick: fc.nat()
})

const run = (world: World, steps: ReadonlyArray<typeof step extends fc.Arbitrary<infer Step> ? Step : never>): void => {
  const { driver, dma, iotlb } = world
  const live: Array<Live> = []
  const unmap = (index: number): void => {
    const [{ busAddr, sizeBytes }] = live.splice(index, 1) as [Live]
    driver.unmapSingle(CPU, busAddr, sizeBytes, TO_DEVICE)
  }
  for (const { isUnmap, phys, pick, sizeBytes } of steps) {
    if (isUnmap && live.length > 0) unmap(pick % live.length)
    else if (phys + sizeBytes <= 16 * MIB) {
      const busAddr = driver.mapSingle(CPU, phys, sizeBytes, TO_DEVICE)
      if (!driver.mappingError(busAddr)) live.push({ busAddr, phys, sizeBytes })
    }
    readAll(world, live, pick)
  }
  expect(iotlb.stale.hits).toBe(0)
  while (live.length > 0) unmap(0)
  expect(dma.findings().filter(({ kind }) => kind !== "overlappingMappings")).toEqual([])
}

describe("live mappings are what the device reaches", () => {
  for (const flush of FLUSHES) {
    test.prop([fc.array(step, LENGTH)], { numRuns: 15 })(`of identity, flushed ${flush}`, (steps) => {
      run(setUp("identity", flush), steps)
    })
  }
  test.prop([fc.constantFrom(...ALLOCATOR_NAMES), fc.constantFrom(...FLUSHES), fc.array(step, LENGTH)], {
    numRuns: 15
  })("of any allocator, flushed in any way", (allocator, flush, steps) => run(setUp(allocator, flush), steps))

  it("a small buffer inside a large one stays mapped when the large one goes", () => {
    const world = setUp("identity", "strict")
    const { driver, stage } = world
    const large = driver.mapSingle(CPU, 2 * LEAF_BYTES, LEAF_BYTES, TO_DEVICE)
    expect(stage.leavesChanged).toBe(1)
    const phys = 2 * LEAF_BYTES + 5 * 4096
    const busAddr = driver.mapSingle(CPU, phys, 64, TO_DEVICE)
    driver.unmapSingle(CPU, large, LEAF_BYTES, TO_DEVICE)
    readAll(world, [{ busAddr, phys, sizeBytes: 64 }], 0)
    expect(read(world, phys + 4096)).toBe(PHYS_NONE)
    driver.unmapSingle(CPU, busAddr, 64, TO_DEVICE)
    expect(driver.mappingError(driver.mapSingle(CPU, 2 * LEAF_BYTES, LEAF_BYTES, TO_DEVICE))).toBe(false)
  })
})
