import { fc, test } from "@fast-check/vitest"
import {
  ACCESS_READ,
  ACCESS_WRITE,
  assembleIommu,
  makeSecondStage,
  PHYS_NONE,
  type FaultRecord
} from "@vnic/iommu/core"
import { makeHostileDevice, makeNaiveDoor, type SoloVtd, soloVtd } from "@vnic/iommu/testing"
import { findProfile, profileValues } from "@vnic/sim/core"
import { soloWorld } from "@vnic/sim/testing"
import { describe, expect, it } from "vitest"

const PAGE = 4096
const BOTH_WAYS = 0
const TO_DEVICE = 1
const FROM_DEVICE = 2
const CPU = 0
const SOURCE_WORDS = 4

const read = ({ device, iommu }: SoloVtd, busAddr: number): number =>
  iommu.translate(device, busAddr, 4, ACCESS_READ, -1)
const write = ({ device, iommu }: SoloVtd, busAddr: number): number =>
  iommu.translate(device, busAddr, 4, ACCESS_WRITE, -1)

/** Runs an invalidation to its end, alone, and lets the world catch up. */
function invalidate({ sim, table }: SoloVtd, page?: number, count = 1): void {
  const { cpus, timeline } = sim
  const done = cpus.define("done", (cpu) => cpus.leave(cpu))
  const program = cpus.define("program", (cpu) =>
    page === undefined ? table.invalidation.beginAll(cpu, done) : table.invalidation.beginPages(cpu, page, count, done)
  )
  cpus.runAlone(CPU, program)
  timeline.runUntil(cpus.localPs[CPU]!, Infinity)
}

const lastFault = ({ iommu }: SoloVtd): FaultRecord => iommu.faults.at(-1)!

describe("a device behind VT-d", () => {
  it("reads what is mapped to it and writes what is mapped from it", () => {
    const world = soloVtd()
    const { buffer, table } = world
    expect(table.insert(CPU, 3, 1, buffer, TO_DEVICE)).toBe(0)
    table.insert(CPU, 4, 1, buffer + PAGE, FROM_DEVICE)
    table.insert(CPU, 5, 1, buffer + 2 * PAGE, BOTH_WAYS)
    expect([3, 4, 5].map((page) => read(world, page * PAGE + 8))).toEqual([
      buffer + 8,
      PHYS_NONE,
      buffer + 2 * PAGE + 8
    ])
    expect([3, 4, 5].map((page) => write(world, page * PAGE))).toEqual([PHYS_NONE, buffer + PAGE, buffer + 2 * PAGE])
  })

  it("uses a copy of what was unmapped until it is invalidated, and never after", () => {
    const world = soloVtd()
    const { buffer, iotlb, sim, table } = world
    table.insert(CPU, 3, 1, buffer, BOTH_WAYS)
    table.insert(CPU, 4, 1, buffer, BOTH_WAYS)
    expect(write(world, 3 * PAGE)).toBe(buffer)
    table.remove(CPU, 3, 1)
    table.remove(CPU, 4, 1)
    // Never used, so never copied.
    expect(write(world, 4 * PAGE)).toBe(PHYS_NONE)
    sim.timeline.runUntil(sim.cpus.localPs[CPU]! + 1000, Infinity)
    expect(write(world, 3 * PAGE + 16)).toBe(buffer + 16)
    expect(iotlb.stale).toMatchObject({ hits: 1, bytes: 4, windows: 0 })
    expect(iotlb.stale.latestUsePs).toBeGreaterThanOrEqual(1000)
    invalidate(world, 3)
    expect(write(world, 3 * PAGE)).toBe(PHYS_NONE)
    expect(iotlb.stale).toMatchObject({ hits: 1, windows: 1 })
    expect(iotlb.stale.windowPsMax).toBeGreaterThan(iotlb.stale.latestUsePs)
    expect(lastFault(world)).toMatchObject({ reason: "notMapped", code: 5, mappedByCpu: 0, unmappedByCpu: 0 })
  })

  it("uses no copy that is stale where its page is mapped just so again, or still", () => {
    const world = soloVtd({ world: { hostMemoryBytes: 8 << 20 } })
    const { iotlb, sim, table } = world
    const [large, stale] = [512, (): number => iotlb.stale.hits]
    table.insert(CPU, large, large, large * PAGE, BOTH_WAYS)
    expect(read(world, (large + 5) * PAGE)).toBe((large + 5) * PAGE)
    table.remove(CPU, large, 5)
    sim.timeline.runUntil(sim.cpus.localPs[CPU]! + 1000, Infinity)
    expect([read(world, (large + 5) * PAGE), stale()]).toEqual([(large + 5) * PAGE, 0])
    expect([read(world, (large + 4) * PAGE), stale()]).toEqual([(large + 4) * PAGE, 1])
    table.insert(CPU, large, 5, large * PAGE, BOTH_WAYS)
    expect([read(world, (large + 4) * PAGE), stale()]).toEqual([(large + 4) * PAGE, 1])
    table.remove(CPU, large, 1)
    table.insert(CPU, large, 1, 0, BOTH_WAYS)
    expect([read(world, large * PAGE), stale()]).toEqual([large * PAGE, 2])
  })

  it("uses it while the invalidation is under way, too, and the CPU waits for its end", () => {
    const world = soloVtd()
    const { buffer, sim, table } = world
    const { cpus, profile, timeline } = sim
    table.insert(CPU, 3, 1, buffer, BOTH_WAYS)
    write(world, 3 * PAGE)
    table.remove(CPU, 3, 1)
    const beganPs = cpus.localPs[CPU]!
    const sleep = cpus.define("sleep", (cpu) => cpus.sleep(cpu))
    cpus.wake(
      CPU,
      cpus.define("flush", (cpu) => table.invalidation.beginPages(cpu, 3, 1, sleep))
    )
    const donePs = beganPs + profile.lockAcquire + profile.invalidation
    timeline.runUntil(donePs - 1, Infinity)
    expect(cpus.isAwake(CPU)).toBe(true)
    expect(write(world, 3 * PAGE)).toBe(buffer)
    timeline.runUntil(donePs, Infinity)
    expect(write(world, 3 * PAGE)).toBe(PHYS_NONE)
    expect(world.iotlb.stale).toMatchObject({ windows: 1, windowPsMax: donePs - beganPs })
    timeline.runUntil(2 * donePs, Infinity)
    expect(cpus.isAwake(CPU)).toBe(false)
    expect(cpus.localPs[CPU]).toBeGreaterThanOrEqual(donePs)
  })

  it("keeps a new map's page apart from the old one's copy until the invalidation", () => {
    const world = soloVtd()
    const { buffer, table } = world
    table.insert(CPU, 3, 1, buffer, BOTH_WAYS)
    read(world, 3 * PAGE)
    table.remove(CPU, 3, 1)
    table.insert(CPU, 3, 1, buffer + PAGE, BOTH_WAYS)
    expect(read(world, 3 * PAGE)).toBe(buffer)
    invalidate(world)
    expect(read(world, 3 * PAGE)).toBe(buffer + PAGE)
    expect(world.queue.invalidations).toEqual({ global: 0, domain: 1, page: 0, context: 0 })
  })

  it("loses its neighbours' copies with a block that holds them, and no others", () => {
    const world = soloVtd({ vtd: { iotlbSets: 16 } })
    const { buffer, iotlb, table } = world
    table.insert(CPU, 0, 16, buffer, BOTH_WAYS)
    for (let page = 0; page < 16; page++) read(world, page * PAGE)
    const missesBefore = iotlb.misses
    // Pages 3 and 4 lie in no block smaller than pages 0 to 7.
    invalidate(world, 3, 2)
    for (let page = 0; page < 16; page++) read(world, page * PAGE)
    expect(iotlb.misses - missesBefore).toBe(8)
  })

  it("invalidates a range that no block holds with its whole domain", () => {
    const world = soloVtd()
    invalidate(world, 2 ** 19 - 1, 2)
    expect(world.queue.invalidations).toMatchObject({ domain: 1, page: 0 })
  })

  it("looks a copy up again that lacks the permission", () => {
    const world = soloVtd()
    const { buffer, table } = world
    table.insert(CPU, 3, 1, buffer, TO_DEVICE)
    read(world, 3 * PAGE)
    table.remove(CPU, 3, 1)
    table.insert(CPU, 3, 1, buffer + PAGE, BOTH_WAYS)
    expect(write(world, 3 * PAGE)).toBe(buffer + PAGE)
    expect(read(world, 3 * PAGE)).toBe(buffer + PAGE)
  })

  it("goes through leaves of 2 MiB", () => {
    const world = soloVtd({ world: { hostMemoryBytes: 8 << 20 } })
    const { iotlb, table } = world
    table.insert(CPU, 1024, 512, 4 << 20, BOTH_WAYS)
    for (const page of [1024, 1100, 1535])
      expect(read(world, page * PAGE + 4)).toBe((4 << 20) + (page - 1024) * PAGE + 4)
    expect([iotlb.misses, iotlb.hits]).toEqual([1, 2])
    table.remove(CPU, 1024, 512)
    expect(read(world, 1300 * PAGE)).toBe((4 << 20) + 276 * PAGE)
    invalidate(world, 1024, 512)
    expect(read(world, 1300 * PAGE)).toBe(PHYS_NONE)
  })
})

describe("against the oracle of the door", () => {
  const page = fc.nat(40)
  const operation = fc.oneof(
    fc.record({ kind: fc.constant("insert" as const), page, count: fc.integer({ min: 1, max: 5 }), to: fc.nat(60) }),
    fc.record({ kind: fc.constant("remove" as const), page, count: fc.integer({ min: 1, max: 5 }), to: fc.nat(60) })
  )

  test.prop([fc.array(operation, { maxLength: 40 })], { numRuns: 40 })(
    "each page translates as mapped once what was removed is invalidated",
    (operations) => {
      const world = soloVtd()
      const naive = makeNaiveDoor(64, PAGE)
      for (const { count, kind, page: first, to } of operations) {
        if (kind === "insert") {
          const isFree = Array.from({ length: count }, (_, index) => naive.at(first + index)).every((one) => !one)
          const code = world.table.insert(CPU, first, count, world.buffer + to * PAGE, to % 2)
          expect(code === 0).toBe(isFree)
          if (isFree) naive.insert(first, count, world.buffer + to * PAGE, to % 2)
        } else {
          world.table.remove(CPU, first, count)
          naive.remove(first, count)
          invalidate(world, first, count)
        }
        let wrong = 0
        for (let at = 12; at < 46 * PAGE; at += PAGE) {
          if (read(world, at) !== naive.translate(at, false)) wrong++
          if (write(world, at) !== naive.translate(at, true)) wrong++
        }
        expect(wrong).toBe(0)
      }
    }
  )

  it("holds a hostile device to the pages that are mapped for it", () => {
    const world = soloVtd()
    const { buffer, sim, table } = world
    table.insert(CPU, 1, 8, buffer, BOTH_WAYS)
    const before = sim.memory.words.slice(0, sim.memory.hostSizeBytes / 4)
    const hostile = makeHostileDevice(world.port, sim.frames, sim.prng(7))
    for (let count = 0; count < 2000; count++) hostile.strike(16 * PAGE)
    expect(hostile.passed).toBeGreaterThan(100)
    expect(hostile.faulted).toBeGreaterThan(100)
    const isMapped = (word: number): boolean => word >= buffer / 4 && word < (buffer + 8 * PAGE) / 4
    const changed = before.filter((value, word) => value !== sim.memory.words[word] && !isMapped(word))
    expect(changed.length).toBe(0)
  })
})

describe("domains", () => {
  it("keep two devices out of each other's memory, and pass one through", () => {
    const world = soloVtd()
    const { buffer, iommu, remapping, sim, table } = world
    const second = iommu.attach("second")
    const other = makeSecondStage(sim.memory, sim.pages, 3)!
    remapping.contextTables.set(remapping.sourceId(second), { domain: 2, top: other.top, levels: 3 })
    table.insert(CPU, 3, 1, buffer, BOTH_WAYS)
    other.map(3, 1, buffer + PAGE, 3)
    expect(read(world, 3 * PAGE)).toBe(buffer)
    expect(iommu.translate(second, 3 * PAGE, 4, ACCESS_READ, -1)).toBe(buffer + PAGE)
    invalidate(world)
    other.unmap(3, 1)
    // The first domain was invalidated, not the second one.
    expect(iommu.translate(second, 3 * PAGE, 4, ACCESS_READ, -1)).toBe(buffer + PAGE)
    remapping.contextTables.set(remapping.sourceId(second), { domain: 3, isPassThrough: true, levels: 4 })
    expect(iommu.translate(second, 3 * PAGE, 4, ACCESS_READ, -1)).toBe(buffer + PAGE)
    remapping.forgetContexts()
    expect(iommu.translate(second, buffer, 4, ACCESS_READ, -1)).toBe(buffer)
    expect(iommu.translate(second, sim.memory.hostSizeBytes, 4, ACCESS_READ, -1)).toBe(PHYS_NONE)
    iommu.detach(second)
    expect(iommu.translate(second, buffer, 4, ACCESS_READ, -1)).toBe(PHYS_NONE)
    expect(lastFault(world).reason).toBe("deviceDetached")
  })
})

describe("fault codes", () => {
  /** Words of the structures of page 3: root, context, then the entries from the top level down. */
  const structures = (world: SoloVtd) => {
    const { words } = world.sim.memory
    const root = (world.remapping.contextTables.root >> 2) + SOURCE_WORDS
    const context = (words[root]! & ~0xfff) >> 2
    const entries = [world.stage.top >> 2]
    for (let level = 4; level > 2; level--) entries.push((words[entries.at(-1)!]! & ~0xfff) >> 2)
    entries.push(((words[entries.at(-1)!]! & ~0xfff) >> 2) + 3 * 2)
    return { words, root, context, entries }
  }
  type Structures = ReturnType<typeof structures>

  const cases: ReadonlyArray<
    readonly [what: string, spoil: (at: Structures) => void, code: number | undefined, reason: string]
  > = [
    ["a root entry that is not present", ({ root, words }) => (words[root] = 0), 1, "rootNotPresent"],
    ["a context entry that is not present", ({ context, words }) => (words[context] = 0), 2, "contextNotPresent"],
    ["a translation type that is none", ({ context, words }) => (words[context]! |= 3 << 2), 3, "contextInvalid"],
    ["seven levels", ({ context, words }) => (words[context + 2]! |= 7), 3, "contextInvalid"],
    ["a table outside of memory", ({ entries, words }) => (words[entries[1]! + 1] = 1), 7, "tablePointerInvalid"],
    ["a top table outside of memory", ({ context, words }) => (words[context + 1] = 1), 7, "tablePointerInvalid"],
    ["contexts outside of memory", ({ root, words }) => (words[root + 1] = 1), 9, "contextPointerInvalid"],
    ["reserved bits of a root entry", ({ root, words }) => (words[root]! |= 0x10), 0xa, "rootReserved"],
    ["reserved bits of a context entry", ({ context, words }) => (words[context + 3] = 1), 0xb, "contextReserved"],
    ["a large leaf of 512 GiB", ({ entries, words }) => (words[entries[0]!]! |= 0x80), 0xc, "entryReserved"],
    ["a large leaf that is not aligned", ({ entries, words }) => (words[entries[2]!] = 0x1083), 0xc, "entryReserved"],
    ["a leaf that is not present", ({ entries, words }) => (words[entries[3]!] = 0), 5, "notMapped"],
    ["a leaf to be read only", ({ entries, words }) => (words[entries[3]!]! &= ~2), 5, "noWritePermission"],
    ["a table to be read only", ({ entries, words }) => (words[entries[2]!]! &= ~2), 5, "noWritePermission"],
    ["a page where no memory is", ({ entries, words }) => (words[entries[3]! + 1] = 1), undefined, "outsideMemory"]
  ]

  it.each(cases)("%s", (_, spoil, code, reason) => {
    const world = soloVtd()
    world.table.insert(CPU, 3, 1, world.buffer, BOTH_WAYS)
    spoil(structures(world))
    expect(write(world, 3 * PAGE)).toBe(PHYS_NONE)
    const fault = lastFault(world)
    expect([fault.code, fault.reason]).toEqual([code, reason])
    expect(world.iotlb.misses - world.iommu.faultCount).toBeLessThanOrEqual(0)
  })

  it("a write through a copy whose table may only be read", () => {
    const world = soloVtd()
    world.table.insert(CPU, 3, 1, world.buffer, BOTH_WAYS)
    const { entries, words } = structures(world)
    words[entries[2]!]! &= ~2
    expect(read(world, 3 * PAGE)).toBe(world.buffer)
    expect(write(world, 3 * PAGE)).toBe(PHYS_NONE)
    expect(lastFault(world)).toMatchObject({ code: 5, reason: "noWritePermission" })
  })

  it("a read of what may only be written, and of nothing", () => {
    const world = soloVtd()
    world.table.insert(CPU, 3, 1, world.buffer, FROM_DEVICE)
    read(world, 3 * PAGE)
    expect(lastFault(world)).toMatchObject({ code: 6, reason: "noReadPermission", access: "read" })
    read(world, 9 * PAGE)
    expect(lastFault(world)).toMatchObject({ code: 6, reason: "notMapped", mappedByCpu: null })
  })

  it.each([-PAGE, 2 ** 48, 2 ** 52])("an address beyond the width: %i", (busAddr) => {
    const world = soloVtd()
    read(world, busAddr)
    expect(lastFault(world)).toMatchObject({ code: 4, reason: "outsideWindow" })
  })
})

describe("the addresses of interrupt messages", () => {
  const FIRST = 0xfee0_0000
  const LAST = 0xfeef_fffc

  it("are reserved in the table", () => {
    const { table } = soloVtd()
    expect(table.reserved).toEqual([{ firstPage: FIRST / PAGE, pageCount: 256 }])
  })

  it("lead a device nowhere, whatever is mapped there, and leave a fault with its code", () => {
    const world = soloVtd()
    world.table.insert(CPU, FIRST / PAGE - 1, 258, world.buffer, BOTH_WAYS)
    const around = [FIRST - 4, LAST + 4]
    expect(around.map((busAddr) => write(world, busAddr) === PHYS_NONE)).toEqual([false, false])
    for (const busAddr of [FIRST, FIRST + 0x8_0010, LAST]) {
      expect([read(world, busAddr), write(world, busAddr)]).toEqual([PHYS_NONE, PHYS_NONE])
      expect(lastFault(world)).toMatchObject({ busAddr, access: "write", code: 0xe, reason: "interruptAddress" })
    }
    expect(world.iommu.faultCount).toBe(6)
    // The same address 4 GiB higher is another one.
    read(world, 2 ** 32 + FIRST)
    expect(lastFault(world)).toMatchObject({ code: 6, reason: "notMapped" })
  })

  it("are refused to a device that is passed through, too", () => {
    const world = soloVtd()
    const { device, remapping } = world
    remapping.contextTables.set(remapping.sourceId(device), { domain: 3, isPassThrough: true, levels: 4 })
    write(world, FIRST)
    expect(lastFault(world)).toMatchObject({ code: 0xe, reason: "interruptAddress" })
  })

  it("are no place that a translation may lead to", () => {
    const world = soloVtd()
    const { stage } = world
    stage.map(3, 1, LAST - (LAST % PAGE), 3)
    stage.map(512, 512, 0xfee0_0000, 3)
    write(world, 3 * PAGE)
    expect(lastFault(world)).toMatchObject({ code: 0xe, reason: "interruptAddress" })
    write(world, (512 + 0xff) * PAGE)
    expect(lastFault(world)).toMatchObject({ code: 0xe, reason: "interruptAddress" })
    write(world, (512 + 0x100) * PAGE)
    expect(lastFault(world)).toMatchObject({ reason: "outsideMemory" })
  })
})

it("is not built, and takes nothing, when memory has no room for it", () => {
  for (let failAt = 1; failAt <= 5; failAt++) {
    const { cpus, memory, pages, timeline } = soloWorld({ profile: profileValues(findProfile("x86-sandybridge")!) })
    pages.failAt = failAt
    const costs = { insertPs: 0, removePs: 0, entryPs: 0, pageAllocationPs: 0 }
    const parts = assembleIommu(
      { memory, pages, cpus, clock: timeline.clock },
      {
        kind: "vtd",
        windowBytes: PAGE,
        levels: 4,
        iotlbSets: 1,
        iotlbWays: 1,
        invalidationPs: 0,
        invalidationPollPs: 0,
        costs
      }
    )
    expect([parts, pages.pagesUsed]).toEqual([undefined, 0])
  }
})
