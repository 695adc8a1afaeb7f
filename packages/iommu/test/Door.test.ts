import { fc, test } from "@fast-check/vitest"
import {
  ACCESS_READ,
  ACCESS_WRITE,
  DEVICES_MAX,
  entryTag,
  FAULT_RECORDS_MAX,
  makeIommu,
  PHYS_NONE,
  tagEntry
} from "@vnic/iommu/core"
import { makeNaiveDoor, type SoloIommu, soloIommu } from "@vnic/iommu/testing"
import { soloWorld } from "@vnic/sim/testing"
import { describe, expect, it } from "vitest"

const WINDOW_PAGES = 8
const PAGE = 4096
/** Patience with a busy machine; nothing is measured. */
const LONG_MS = 120_000

/** Compares every page of a small window, and what is pinned, with the oracle. */
function differences(world: SoloIommu, naive: ReturnType<typeof makeNaiveDoor>): number {
  const { device, hypervisor, iommu } = world
  let count = hypervisor.pins.pinnedPages === naive.pinnedPages ? 0 : 1
  for (let page = 0; page < WINDOW_PAGES; page++) {
    const busAddr = page * PAGE + 8
    if (iommu.translate(device, busAddr, 4, ACCESS_READ, 0) !== naive.translate(busAddr, false)) count++
    if (iommu.translate(device, busAddr, 4, ACCESS_WRITE, 0) !== naive.translate(busAddr, true)) count++
  }
  return count
}

describe("the door against the oracle, exhaustively", () => {
  it(
    "agrees after every history of up to five one-page inserts and removes in a window of 8",
    () => {
      const world = soloIommu({ windowPages: WINDOW_PAGES })
      const { buffer, device, hypervisor, iommu, pvdma } = world
      // state[page]: -1 unmapped, else the mapped page of the buffer; odd pages map to the device only.
      const state = new Int32Array(WINDOW_PAGES).fill(-1)
      let histories = 0
      let wrong = 0
      const check = () => {
        histories++
        let pinned = 0
        for (let mapped = 0; mapped < WINDOW_PAGES; mapped++) if (state.includes(mapped)) pinned++
        if (hypervisor.pins.pinnedPages !== pinned) wrong++
        for (let page = 0; page < WINDOW_PAGES; page++) {
          const mapped = state[page]!
          const expected = mapped < 0 ? PHYS_NONE : buffer + mapped * PAGE
          if (iommu.translate(device, page * PAGE, 4, ACCESS_READ, 0) !== expected) wrong++
          const writable = page % 2 === 1 ? PHYS_NONE : expected
          if (iommu.translate(device, page * PAGE, 4, ACCESS_WRITE, 0) !== writable) wrong++
        }
      }
      const change = (page: number, mapped: number) => {
        if (mapped < 0) pvdma.remove(0, page, 1)
        else pvdma.insert(0, page, 1, buffer + mapped * PAGE, page % 2)
        state[page] = mapped
      }
      const explore = (depth: number) => {
        check()
        if (depth === 5) return
        for (let page = 0; page < WINDOW_PAGES; page++) {
          const before = state[page]!
          // Two pages share each page of the buffer, and a page is mapped anew at each depth of the same parity.
          for (const mapped of [-1, (page >> 1) + 4 * (depth & 1)]) {
            change(page, mapped)
            explore(depth + 1)
            change(page, before)
          }
        }
      }
      explore(0)
      expect(histories).toBe(1 + 16 + 16 ** 2 + 16 ** 3 + 16 ** 4 + 16 ** 5)
      expect(wrong).toBe(0)
    },
    LONG_MS
  )

  it.each([true, false])(
    "agrees after every pair of changes of any range (multi-TCE %s)",
    (multiTce) => {
      const changes: Array<readonly [page: number, count: number, direction: number]> = []
      for (let page = 0; page < WINDOW_PAGES; page++) {
        for (let count = 1; page + count <= WINDOW_PAGES; count++) {
          for (const direction of [-1, 0, 1, 2]) changes.push([page, count, direction])
        }
      }
      const world = soloIommu({ windowPages: WINDOW_PAGES, multiTce })
      const { buffer, pvdma } = world
      let wrong = 0
      for (const first of changes) {
        for (const second of changes) {
          const naive = makeNaiveDoor(WINDOW_PAGES)
          pvdma.remove(0, 0, WINDOW_PAGES)
          for (const [page, count, direction] of [first, second]) {
            const phys = buffer + count * PAGE
            if (direction < 0) {
              pvdma.remove(0, page, count)
              naive.remove(page, count)
            } else {
              pvdma.insert(0, page, count, phys, direction)
              naive.insert(page, count, phys, direction)
            }
          }
          wrong += differences(world, naive)
        }
      }
      expect(wrong).toBe(0)
    },
    LONG_MS
  )
})

const step = fc.record({
  isInsert: fc.boolean(),
  page: fc.nat(WINDOW_PAGES - 1),
  count: fc.integer({ min: 1, max: WINDOW_PAGES }),
  from: fc.nat(15),
  direction: fc.nat(2)
})

describe("the door", () => {
  test.prop([fc.array(step, { maxLength: 60 }), fc.boolean()])(
    "agrees with the oracle after any history, and ends with nothing pinned",
    (steps, multiTce) => {
      const world = soloIommu({ windowPages: WINDOW_PAGES, multiTce })
      const naive = makeNaiveDoor(WINDOW_PAGES)
      for (const { isInsert, page, from, direction, ...rest } of steps) {
        const count = Math.min(rest.count, WINDOW_PAGES - page)
        const phys = world.buffer + from * PAGE
        if (isInsert) {
          world.pvdma.insert(0, page, count, phys, direction)
          naive.insert(page, count, phys, direction)
        } else {
          world.pvdma.remove(0, page, count)
          naive.remove(page, count)
        }
        expect(differences(world, naive)).toBe(0)
      }
      world.pvdma.remove(0, 0, WINDOW_PAGES)
      expect(world.hypervisor.pins.pinnedPages).toBe(0)
      expect(world.hypervisor.pins.useCounts.every((uses) => uses <= 0)).toBe(true)
    },
    LONG_MS
  )

  it("costs the fetch of one entry, and nothing when it is off", () => {
    const { iommu, sim } = soloIommu()
    expect(iommu.latencyPs[0]).toBe(sim.profile.tceFetch)
    expect(makeIommu({ kind: "none", memory: sim.memory, clock: sim.timeline.clock }).latencyPs[0]).toBe(0)
  })

  it("gives the same addresses off as through a table that maps each page to itself", () => {
    const { buffer, device, iommu, pvdma, sim } = soloIommu({ windowPages: 1024 })
    const off = makeIommu({ kind: "none", memory: sim.memory, clock: sim.timeline.clock })
    const offDevice = off.attach("nic")
    for (let page = 0; page < 256; page++) pvdma.insert(0, (buffer >> 12) + page, 1, buffer + page * PAGE, 0)
    for (let at = buffer; at < buffer + 256 * PAGE; at += 1000) {
      const sizeBytes = Math.min(64, PAGE - (at % PAGE))
      for (const access of [ACCESS_READ, ACCESS_WRITE]) {
        expect(off.translate(offDevice, at, sizeBytes, access, 0)).toBe(
          iommu.translate(device, at, sizeBytes, access, 0)
        )
      }
    }
    expect([off.faultCount, iommu.faultCount]).toEqual([0, 0])
  })

  it("lets nothing through past the memory when it is off", () => {
    const { memory, timeline } = soloWorld()
    const off = makeIommu({ kind: "none", memory, clock: timeline.clock })
    const device = off.attach("nic")
    const end = memory.hostSizeBytes
    expect(off.translate(device, end - 4, 4, ACCESS_WRITE, 0)).toBe(end - 4)
    for (const busAddr of [end - 3, end, 2 ** 31, 2 ** 32, 2 ** 32 + 8, 2 ** 52, -4]) {
      expect([busAddr, off.translate(device, busAddr, 4, ACCESS_WRITE, 0)]).toEqual([busAddr, PHYS_NONE])
    }
    expect(off.faults.map(({ reason }) => reason)).toEqual(Array(7).fill("outsideMemory"))
  })

  it("does not trust a table that was scribbled on", () => {
    const { device, iommu, sim, table } = soloIommu()
    table.set(0, 1, 0x3)
    table.set(1, 0, sim.memory.hostSizeBytes | 3)
    table.set(2, 0, 0x8000_0003 | 0)
    for (const page of [0, 1, 2]) expect(iommu.translate(device, page * PAGE, 4, ACCESS_READ, 0)).toBe(PHYS_NONE)
    expect(iommu.faults.map(({ reason }) => reason)).toEqual(Array(3).fill("outsideMemory"))
  })

  it("breaks on an access that crosses a page", () => {
    const { device, iommu } = soloIommu()
    expect(() => iommu.translate(device, PAGE - 2, 4, ACCESS_READ, 0)).toThrow("crosses an IOMMU page")
  })
})

describe("faults", () => {
  it("say who wanted what, why not, for which entry, and who had it mapped", () => {
    const { buffer, device, iommu, pvdma, sim } = soloIommu({ world: { cpuCount: 4 } })
    const callPs = sim.profile.hypercall
    sim.timeline.runUntil(500, 1)
    pvdma.insert(2, 3, 1, buffer, 2)
    expect(iommu.translate(device, 3 * PAGE + 100, 64, ACCESS_WRITE, entryTag(false, 5, 77))).toBe(buffer + 100)
    sim.cpus.localPs[1] = 5_000_000
    pvdma.remove(1, 3, 1)
    sim.timeline.runUntil(6_000_000, 1)
    expect(iommu.translate(device, 3 * PAGE + 100, 64, ACCESS_WRITE, entryTag(true, 5, 77))).toBe(PHYS_NONE)
    expect(iommu.faults).toEqual([
      {
        device: "nic",
        busAddr: 3 * PAGE + 100,
        sizeBytes: 64,
        access: "write",
        reason: "notMapped",
        timePs: 6_000_000,
        entry: { isTx: true, queue: 5, descriptor: 77 },
        mappedByCpu: 2,
        mappedAtPs: callPs,
        unmappedByCpu: 1,
        unmappedAtPs: 5_000_000 + callPs
      }
    ])
  })

  it("name every reason", () => {
    const { buffer, device, iommu, pvdma, table } = soloIommu()
    pvdma.insert(0, 0, 1, buffer, 1)
    table.set(1, 0, buffer | 2)
    iommu.translate(device, 0, 4, ACCESS_WRITE, 0)
    iommu.translate(device, PAGE, 4, ACCESS_READ, 0)
    iommu.translate(device, 2 * PAGE, 4, ACCESS_READ, -1)
    iommu.translate(device, 8 * PAGE, 4, ACCESS_READ, 0)
    iommu.translate(device, 2 ** 40, 4, ACCESS_WRITE, 0)
    iommu.detach(device)
    iommu.translate(device, 0, 4, ACCESS_READ, 0)
    iommu.translate(40, 0, 4, ACCESS_READ, 0)
    expect(iommu.faults.map(({ device: name, access, reason }) => [name, access, reason])).toEqual([
      ["nic", "write", "noWritePermission"],
      ["nic", "read", "noReadPermission"],
      ["nic", "read", "notMapped"],
      ["nic", "read", "outsideWindow"],
      ["nic", "write", "outsideWindow"],
      ["nic", "read", "deviceDetached"],
      ["device 40", "read", "deviceDetached"]
    ])
    expect(iommu.faults[2]).toMatchObject({ entry: null, mappedByCpu: null, mappedAtPs: null, unmappedByCpu: null })
    expect(iommu.faults[3]).toMatchObject({ busAddr: 8 * PAGE, mappedByCpu: null, unmappedAtPs: null })
  })

  it("are all counted, and recorded up to a limit", () => {
    const { device, iommu } = soloIommu()
    for (let index = 0; index < FAULT_RECORDS_MAX + 10; index++) iommu.translate(device, 0, 4, ACCESS_READ, index)
    expect([iommu.faultCount, iommu.faultsUnrecorded, iommu.faults.length]).toEqual([FAULT_RECORDS_MAX + 10, 10, 256])
    expect(iommu.faults.at(-1)?.entry?.descriptor).toBe(255)
  })

  test.prop([fc.boolean(), fc.nat(127), fc.nat(4095)])(
    "tags name the entry they were made of",
    (isTx, queue, descriptor) => {
      expect(tagEntry(entryTag(isTx, queue, descriptor))).toEqual({ isTx, queue, descriptor })
    }
  )
})

describe("attached devices", () => {
  it("are shut out by detaching, each on its own", () => {
    const { buffer, device, iommu, pvdma } = soloIommu()
    const other = iommu.attach("other")
    pvdma.insert(0, 0, 1, buffer, 0)
    iommu.detach(device)
    expect(iommu.translate(device, 0, 4, ACCESS_READ, 0)).toBe(PHYS_NONE)
    expect(iommu.translate(other, 0, 4, ACCESS_READ, 0)).toBe(buffer)
    expect(() => iommu.detach(device)).toThrow("not attached")
  })

  it("have a named limit", () => {
    const { iommu } = soloIommu()
    for (let index = 1; index < DEVICES_MAX; index++) iommu.attach(`device ${index}`)
    expect(() => iommu.attach("one more")).toThrow("too many devices")
  })
})
