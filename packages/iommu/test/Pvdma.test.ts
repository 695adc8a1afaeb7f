import { fc, test } from "@fast-check/vitest"
import { ACCOUNT_COUNT, ACCOUNT_HYPERCALL } from "@vnic/sim/core"
import {
  DIRECTION_BIDIRECTIONAL,
  DIRECTION_FROM_DEVICE,
  DIRECTION_TO_DEVICE,
  H_HARDWARE,
  H_NOT_ENOUGH_RESOURCES,
  H_SUCCESS
} from "@vnic/iommu/core"
import { soloIommu } from "@vnic/iommu/testing"
import { describe, expect, it } from "vitest"

const WINDOW_PAGES = 2048
/** Patience with a busy machine; nothing is measured. */
const LONG_MS = 120_000

const lows = ({ table }: ReturnType<typeof soloIommu>, count: number) =>
  Array.from({ length: count }, (_, index) => table.low(index))

const isEmpty = (world: ReturnType<typeof soloIommu>) =>
  lows(world, world.table.pageCount).every((low) => low === 0) &&
  world.hypervisor.pins.pinnedPages === 0 &&
  world.hypervisor.pins.useCounts.every((uses) => uses <= 0)

describe("the guest's side", () => {
  it("lets the device read every mapping, and write all but those to the device", () => {
    const world = soloIommu()
    const { buffer, pvdma } = world
    pvdma.insert(0, 0, 1, buffer, DIRECTION_BIDIRECTIONAL)
    pvdma.insert(0, 1, 1, buffer, DIRECTION_TO_DEVICE)
    pvdma.insert(0, 2, 1, buffer, DIRECTION_FROM_DEVICE)
    pvdma.insert(0, 3, 3, buffer, DIRECTION_TO_DEVICE)
    expect(lows(world, 6).map((low) => low & 0xfff)).toEqual([3, 1, 3, 1, 1, 1])
    expect(lows(world, 6).map((low) => (low & ~0xfff) - buffer)).toEqual([0, 0, 0, 0, 0x1000, 0x2000])
    expect([3, 4, 5].map((page) => pvdma.read(0, page))).toEqual(lows(world, 6).slice(3))
    expect(pvdma.hypercallCounts).toEqual({ putTce: 3, putTceIndirect: 1, stuffTce: 0, getTce: 3 })
  })

  it("says how many pages of the guest the host pins", () => {
    const { buffer, pvdma } = soloIommu()
    pvdma.insert(0, 0, 3, buffer, DIRECTION_FROM_DEVICE)
    expect(pvdma.pinnedPages()).toBe(3)
    pvdma.remove(0, 1, 1)
    expect(pvdma.pinnedPages()).toBe(2)
  })

  it.each([1, 2, 16, 256])("makes one hypercall to map and one to unmap %i pages with multi-TCE", (count) => {
    const { buffer, pvdma } = soloIommu({ windowPages: WINDOW_PAGES })
    expect(pvdma.insert(0, 0, count, buffer, DIRECTION_FROM_DEVICE)).toBe(H_SUCCESS)
    expect(pvdma.hypercalls).toBe(1)
    pvdma.remove(0, 0, count)
    expect(pvdma.hypercalls).toBe(2)
    const isList = count > 1
    expect(pvdma.hypercallCounts).toEqual({
      putTce: isList ? 0 : 1,
      putTceIndirect: isList ? 1 : 0,
      stuffTce: 1,
      getTce: 0
    })
  })

  test.prop([fc.integer({ min: 1, max: 700 }), fc.boolean()], { numRuns: 60 })(
    "makes ceil(n / 512) hypercalls each way with multi-TCE, n each way without",
    (count, multiTce) => {
      const world = soloIommu({ windowPages: WINDOW_PAGES, multiTce })
      const { cpus, profile } = world.sim
      const { buffer, pvdma } = world
      expect(pvdma.insert(0, 5, count, buffer, DIRECTION_FROM_DEVICE)).toBe(H_SUCCESS)
      const calls = multiTce ? Math.ceil(count / 512) : count
      expect(pvdma.hypercalls).toBe(calls)
      expect(pvdma.hypercallsFor(count)).toBe(calls)
      const mapPs = calls * profile.hypercall + (count - calls) * profile.hypercallPerTce
      expect(cpus.ledger[ACCOUNT_HYPERCALL]).toBe(mapPs)
      expect(cpus.localPs[0]).toBe(mapPs)
      pvdma.remove(0, 5, count)
      expect(pvdma.hypercalls).toBe(2 * calls)
      expect(cpus.ledger.subarray(0, ACCOUNT_COUNT).reduce((sum, ps) => sum + ps)).toBe(2 * mapPs)
      expect(isEmpty(world)).toBe(true)
    },
    LONG_MS
  )

  it(
    "takes a failed map back whole, whichever page the host cannot pin",
    () => {
      for (const multiTce of [true, false]) {
        for (const count of [1, 2, 5, 250]) {
          for (let limit = 0; limit < count; limit += count > 10 ? 31 : 1) {
            const world = soloIommu({ windowPages: WINDOW_PAGES, multiTce, pinnedPagesLimit: limit })
            const { buffer, pvdma } = world
            expect(pvdma.insert(0, 3, count, buffer, DIRECTION_FROM_DEVICE)).toBe(H_NOT_ENOUGH_RESOURCES)
            expect([pvdma.refusals, pvdma.errors, isEmpty(world)]).toEqual([1, 0, true])
          }
        }
      }
    },
    LONG_MS
  )

  it("takes earlier lists back when a later one is refused", () => {
    const world = soloIommu({ windowPages: WINDOW_PAGES })
    const { buffer, hypervisor, pvdma } = world
    hypervisor.failAt = 2
    hypervisor.failCode = H_NOT_ENOUGH_RESOURCES
    // Lists of 512 and 88 pages, then the same to clear them.
    expect(pvdma.insert(0, 0, 600, buffer, DIRECTION_FROM_DEVICE)).toBe(H_NOT_ENOUGH_RESOURCES)
    expect(pvdma.hypercallCounts).toEqual({ putTce: 0, putTceIndirect: 2, stuffTce: 2, getTce: 0 })
    expect(isEmpty(world)).toBe(true)
  })

  it("goes on after any other error, notes it, and reports success", () => {
    const world = soloIommu({ multiTce: false })
    const { buffer, hypervisor, pvdma } = world
    hypervisor.failAt = 2
    hypervisor.failCode = H_HARDWARE
    expect(pvdma.insert(0, 0, 3, buffer, DIRECTION_FROM_DEVICE)).toBe(H_SUCCESS)
    expect([pvdma.errors, pvdma.refusals]).toEqual([1, 0])
    expect(lows(world, 3).map((low) => low & 3)).toEqual([3, 0, 3])
  })

  it("stops after a list with an error, and reports success", () => {
    const world = soloIommu({ windowPages: WINDOW_PAGES })
    const { buffer, hypervisor, pvdma } = world
    hypervisor.failAt = 1
    expect(pvdma.insert(0, 0, 600, buffer, DIRECTION_FROM_DEVICE)).toBe(H_SUCCESS)
    expect([pvdma.errors, pvdma.hypercalls, isEmpty(world)]).toEqual([1, 1, true])
  })

  it("notes an unmap that the host refuses: the device keeps its access", () => {
    const { buffer, device, hypervisor, iommu, pvdma } = soloIommu()
    pvdma.insert(0, 0, 1, buffer, DIRECTION_FROM_DEVICE)
    hypervisor.failAt = 1
    pvdma.remove(0, 0, 1)
    expect(pvdma.errors).toBe(1)
    expect(iommu.translate(device, 0, 4, 2, 0)).toBe(buffer)
  })

  it("never aliases pages past the window", () => {
    const { buffer, pvdma, table } = soloIommu()
    for (const page of [8, 2 ** 20, 2 ** 20 + 1]) pvdma.insert(0, page, 1, buffer, DIRECTION_FROM_DEVICE)
    pvdma.insert(0, 7, 2, buffer, DIRECTION_FROM_DEVICE)
    expect(pvdma.errors).toBe(4)
    expect(Array.from({ length: 8 }, (_, index) => table.low(index))).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
  })

  it("breaks on memory that is not page aligned", () => {
    const { buffer, pvdma } = soloIommu()
    expect(() => pvdma.insert(0, 0, 1, buffer + 8, DIRECTION_FROM_DEVICE)).toThrow("not IOMMU page aligned")
  })

  it("gives each CPU a list page of its own", () => {
    const { buffer, pvdma, sim, table } = soloIommu({ windowPages: 64, world: { cpuCount: 4 } })
    for (let cpu = 0; cpu < 4; cpu++) pvdma.insert(cpu, cpu * 4, 4, buffer + cpu * 0x4000, DIRECTION_TO_DEVICE)
    const expected = Array.from({ length: 16 }, (_, index) => (buffer + index * 4096) | 1)
    expect(Array.from({ length: 16 }, (_, index) => table.low(index))).toEqual(expected)
    expect([...sim.cpus.localPs].every((ps) => ps === sim.profile.hypercall + 3 * sim.profile.hypercallPerTce)).toBe(
      true
    )
  })
})
