/** DMA debug against a list that is searched from end to end: the same findings, the same live mappings. */
import { fc, test } from "@fast-check/vitest"
import { describe, expect } from "vitest"
import {
  ATTR_SKIP_CPU_SYNC,
  BIDIRECTIONAL,
  FINDING_KINDS,
  FROM_DEVICE,
  KIND_SG,
  makeDmaDebug,
  makeScatterList,
  tagOf,
  TO_DEVICE,
  type Direction,
  type DmaDebug,
  type ScatterList
} from "@vnic/dma-api/core"
import { NaiveTracker, type NaiveMapping } from "@vnic/dma-api/testing"

const DEVICES = ["nic0", "nic1", "nic2"]
const KINDS = ["single", "coherent", "sg", "link"] as const

const direction = fc.constantFrom<Direction>(BIDIRECTIONAL, TO_DEVICE, FROM_DEVICE)
// Few addresses and sizes, so that mappings meet; around powers of two, and on both sides of 4 GiB.
const busAddr = fc
  .tuple(
    fc.constantFrom(0, 0x1_0000, 2 ** 32 - 4096, 2 ** 32, 2 ** 40),
    fc.constantFrom(0, 1, 64, 1000, 4095, 4096, 60_000)
  )
  .map(([base, offset]) => base + offset)
const phys = fc
  .tuple(fc.constantFrom(0, 2 ** 21 - 4096, 2 ** 33), fc.constantFrom(0, 1, 127, 128, 1000, 4095, 4096, 8192))
  .map(([base, offset]) => base + offset)
const size = fc.constantFrom(1, 64, 65, 128, 512, 4096, 4097, 65_536)

const OPERATIONS = `map map map mapHuge mapList mapList unmap unmapLive unmapLive unmapList check checkLive
  sync syncLive syncList access accessLive freePages`.split(/\s+/u)

const operation = fc.record({
  name: fc.constantFrom(...OPERATIONS),
  device: fc.nat({ max: 2 }),
  kind: fc.constantFrom(0, 0, 1, 3),
  busAddr,
  phys,
  size,
  direction,
  isSkipped: fc.boolean(),
  isForCpu: fc.boolean(),
  /** Sizes of a list's entries, and which of them are merged into the segment before. */
  entries: fc.array(fc.tuple(phys, fc.constantFrom(1, 100, 128, 4096), fc.boolean()), { minLength: 1, maxLength: 4 }),
  pick: fc.nat(),
  offBy: fc.constantFrom(0, 0, 0, 1)
})
type Operation = typeof operation extends fc.Arbitrary<infer A> ? A : never

/** A list as a backend leaves it, and its segments as the oracle knows them. */
interface MappedList {
  readonly list: ScatterList
  readonly segments: ReadonlyArray<NaiveMapping>
}

function makeList(one: Operation): MappedList {
  const list = makeScatterList(4)
  const segments: Array<NaiveMapping> = []
  let next = one.busAddr
  for (const [entry, [start, sizeBytes, isMerged]] of one.entries.entries()) {
    list.setBuffer(entry, start, sizeBytes)
    const before = isMerged ? segments.pop() : undefined
    segments.push({
      device: DEVICES[one.device]!,
      kind: "sg",
      busAddr: before?.busAddr ?? next,
      sizeBytes: (before?.sizeBytes ?? 0) + sizeBytes,
      direction: one.direction,
      listEntries: one.entries.length,
      pieces: [...(before?.pieces ?? []), [start, sizeBytes]]
    })
    next += sizeBytes
  }
  list.entryCount = one.entries.length
  list.direction = one.direction
  list.segmentCount = segments.length
  for (const [index, segment] of segments.entries()) list.setSegment(index, segment.busAddr, segment.sizeBytes)
  return { list, segments }
}

/** Both are told the same. */
class Pair {
  readonly real: DmaDebug = makeDmaDebug(new Float64Array(1))
  readonly naive = new NaiveTracker()
  private readonly lists: Array<MappedList> = []

  constructor() {
    for (const name of DEVICES) this.real.addDevice(name)
  }

  private map(one: Operation, sizeBytes: number, way: Direction): void {
    const { busAddr: bus, device, isSkipped, kind } = one
    const attributes = isSkipped ? ATTR_SKIP_CPU_SYNC : 0
    this.real.mapped(device, 0, bus, one.phys, sizeBytes, tagOf(kind, way), attributes)
    const mapping = { device: DEVICES[device]!, kind: KINDS[kind]!, busAddr: bus, sizeBytes, direction: way }
    this.naive.mapped({ ...mapping, listEntries: 0, pieces: [[one.phys, sizeBytes]] }, isSkipped)
  }

  private unmap(mapping: Omit<NaiveMapping, "pieces">): void {
    const tag = tagOf(KINDS.indexOf(mapping.kind), mapping.direction)
    this.real.unmapped(DEVICES.indexOf(mapping.device), 0, mapping.busAddr, mapping.sizeBytes, tag)
    this.naive.unmapped(mapping)
  }

  private mapList(one: Operation): void {
    const mapped = makeList(one)
    const attributes = one.isSkipped ? ATTR_SKIP_CPU_SYNC : 0
    this.real.mappedList(one.device, 0, mapped.list, tagOf(KIND_SG, one.direction), attributes)
    for (const segment of mapped.segments) this.naive.mapped(segment, one.isSkipped)
    this.lists.push(mapped)
  }

  private unmapList({ list, segments }: MappedList, listEntries: number, way: Direction): void {
    const device = DEVICES.indexOf(segments[0]!.device)
    const before = this.naive.live.length
    const undone = this.real.unmappedList(device, 0, list, listEntries, tagOf(KIND_SG, way))
    this.naive.unmappedList(segments, listEntries, way)
    expect(undone).toBe(before - this.naive.live.length)
  }

  private sync(name: string, one: Operation, bus: number, sizeBytes: number): void {
    const { device, direction: way } = one
    if (one.isForCpu) this.real.syncedForCpu(device, 0, bus, sizeBytes, way)
    else this.real.syncedForDevice(device, 0, bus, sizeBytes, way)
    this.naive.synced(name, bus, sizeBytes, way, 0, one.isForCpu)
  }

  private onList(one: Operation, mapped: MappedList): void {
    const listEntries = mapped.list.entryCount + one.offBy
    const way = one.isSkipped ? one.direction : mapped.segments[0]!.direction
    if (one.name === "unmapList") return this.unmapList(mapped, listEntries, way)
    const device = DEVICES.indexOf(mapped.segments[0]!.device)
    this.real.syncedList(device, 0, mapped.list, listEntries, way, one.isForCpu)
    this.naive.syncedList(mapped.segments, listEntries, way, one.isForCpu)
  }

  /** Operations on a mapping that is live. */
  private onLive(one: Operation, old: NaiveMapping): void {
    const { busAddr: bus, sizeBytes } = old
    const device = DEVICES.indexOf(old.device)
    const inside = bus + (one.pick % sizeBytes)
    // A segment can only be unmapped so by mistake.
    if (one.name === "unmapLive") this.unmap(old.kind === "sg" ? { ...old, kind: "single", listEntries: 0 } : old)
    else if (one.name === "checkLive") {
      this.real.mappingErrorChecked(device, bus)
      this.naive.mappingErrorChecked(old.device, bus)
    } else if (one.name === "syncLive") this.sync(old.device, { ...one, device }, inside, 1 + one.offBy)
    else if (one.name === "accessLive") {
      this.real.accessed(device, inside, 1 + one.offBy, one.direction, 0)
      this.naive.accessed(old.device, inside, 1 + one.offBy, one.direction)
    }
  }

  run(one: Operation): void {
    const name = DEVICES[one.device]!
    const old = this.naive.live[one.pick % this.naive.live.length]
    const mapped = this.lists[one.pick % this.lists.length]
    if (one.name === "map") this.map(one, one.size, one.direction)
    else if (one.name === "mapHuge") this.map(one, 2 ** 31 - 1, TO_DEVICE)
    else if (one.name === "mapList") this.mapList(one)
    else if (one.name === "unmap") {
      const { busAddr: bus, direction: way, kind, size: sizeBytes } = one
      this.unmap({ device: name, kind: KINDS[kind]!, busAddr: bus, sizeBytes, direction: way, listEntries: 0 })
    } else if (one.name === "check") {
      this.real.mappingErrorChecked(one.device, one.busAddr)
      this.naive.mappingErrorChecked(name, one.busAddr)
    } else if (one.name === "sync") this.sync(name, one, one.busAddr, one.size)
    else if (one.name === "access") {
      this.real.accessed(one.device, one.busAddr, one.size, one.direction, 0)
      this.naive.accessed(name, one.busAddr, one.size, one.direction)
    } else if (one.name === "freePages") {
      this.real.pageFreed(one.phys, one.size)
      this.naive.pageFreed(one.phys, one.size)
    } else if (one.name.endsWith("List") && mapped !== undefined) this.onList(one, mapped)
    else if (old !== undefined) this.onLive(one, old)
  }
}

const counts = (found: ReadonlyArray<string>) =>
  Object.fromEntries(FINDING_KINDS.map((kind) => [kind, found.filter((one) => one === kind).length]))

const plain = (mappings: ReadonlyArray<Omit<NaiveMapping, "pieces">>) =>
  mappings
    .map(({ busAddr: bus, device, direction: way, kind, listEntries, sizeBytes }) =>
      [device, kind, bus, sizeBytes, way, listEntries].join(" ")
    )
    .toSorted()

describe("DMA debug against a list of mappings", () => {
  test.prop([fc.array(operation, { maxLength: 60 })], { numRuns: 300 })("after every operation", (operations) => {
    const pair = new Pair()
    for (const one of operations) {
      pair.run(one)
      expect([one.name, counts(pair.naive.found)]).toEqual([one.name, pair.real.counts])
    }
    pair.real.released(1)
    pair.naive.released("nic1")
    expect(pair.real.counts).toEqual(counts(pair.naive.found))
    expect(pair.real.liveCount).toBe(pair.naive.live.length)
    expect(plain(pair.real.live())).toEqual(plain(pair.naive.live))
    expect(pair.real.live(2)).toHaveLength(pair.naive.live.filter((mapping) => mapping.device === "nic2").length)
  })
})
