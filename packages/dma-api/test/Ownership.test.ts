/**
 * What CPU and device see of a buffer at each step, on bytes, for every backend.
 *
 * Goal: the ownership table of the DMA API holds. Method: a table of what each event moves where memory is not shared
 * (the bounce buffer), put to real bytes row by row; then random histories against two arrays, the CPU's bytes and
 * the device's, which are one and the same on every other backend.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import {
  ATTR_SKIP_CPU_SYNC,
  BACKENDS,
  BIDIRECTIONAL,
  FROM_DEVICE,
  makeScatterList,
  TO_DEVICE,
  type BackendName,
  type Direction
} from "@vnic/dma-api/core"
import { memoryWorld } from "./support/memory.ts"

const PHYS = 0xa_0e40
const SIZE = 3000
const DIRECTIONS = [TO_DEVICE, FROM_DEVICE, BIDIRECTIONAL] as const
const EVENTS = ["map", "sync for CPU", "sync for device", "unmap", "unmap without sync"] as const
type Event = (typeof EVENTS)[number]

/** What an event moves between a buffer and its copy in the bounce buffer. */
const MOVES: Readonly<Record<Event, Readonly<Record<Direction, "in" | "out" | "nothing">>>> = {
  map: { [TO_DEVICE]: "in", [FROM_DEVICE]: "in", [BIDIRECTIONAL]: "in" },
  "sync for CPU": { [TO_DEVICE]: "nothing", [FROM_DEVICE]: "out", [BIDIRECTIONAL]: "out" },
  "sync for device": { [TO_DEVICE]: "in", [FROM_DEVICE]: "nothing", [BIDIRECTIONAL]: "in" },
  unmap: { [TO_DEVICE]: "nothing", [FROM_DEVICE]: "out", [BIDIRECTIONAL]: "out" },
  "unmap without sync": { [TO_DEVICE]: "nothing", [FROM_DEVICE]: "nothing", [BIDIRECTIONAL]: "nothing" }
}

const filled = (value: number): ReadonlyArray<number> => new Array<number>(SIZE).fill(value)
/** Quicker than an expectation of each byte. */
const isSame = (left: ArrayLike<number>, right: ArrayLike<number>): boolean =>
  Buffer.compare(Uint8Array.from(left), Uint8Array.from(right)) === 0

describe.each(BACKENDS)("on the %s backend", (backend) => {
  const isShared = backend !== "bounce"
  const rows = DIRECTIONS.flatMap((direction) => EVENTS.map((event) => ({ direction, event })))

  it.each(rows)("$event in direction $direction moves what it must, and nothing else", ({ direction, event }) => {
    const { bytes, device, read, write } = memoryWorld(backend)
    const seenByCpu = (): ReadonlyArray<number> => [...bytes.subarray(PHYS, PHYS + SIZE)]
    bytes.fill(1, PHYS, PHYS + SIZE)
    const busAddr = device.mapSingle(0, PHYS, SIZE, direction)
    expect(device.mappingError(busAddr)).toBe(false)
    expect(read(busAddr, SIZE)).toEqual(filled(1))
    expect(device.dmaNeedSync(busAddr)).toBe(!isShared)
    if (event === "map") return
    // Both write, which a good driver never lets happen: only so is it seen what is moved.
    write(busAddr, filled(2))
    bytes.fill(3, PHYS, PHYS + SIZE)
    if (event === "sync for CPU") device.syncSingleForCpu(0, busAddr, SIZE, direction)
    if (event === "sync for device") device.syncSingleForDevice(0, busAddr, SIZE, direction)
    if (event === "unmap") device.unmapSingle(0, busAddr, SIZE, direction)
    if (event === "unmap without sync") device.unmapSingle(0, busAddr, SIZE, direction, ATTR_SKIP_CPU_SYNC)
    const move = MOVES[event][direction]
    expect(seenByCpu()).toEqual(filled(!isShared && move === "out" ? 2 : 3))
    if (event.startsWith("sync")) {
      expect(read(busAddr, SIZE)).toEqual(filled(isShared || move === "in" ? 3 : 2))
    }
    expect([bytes[PHYS - 1], bytes[PHYS + SIZE]]).toEqual([0xa5, 0xa5])
  })

  it("a device that writes part of its buffer leaves the rest as the CPU had it", () => {
    for (const direction of [FROM_DEVICE, BIDIRECTIONAL] as const) {
      const { bytes, device, write } = memoryWorld(backend)
      for (let index = 0; index < SIZE; index++) bytes[PHYS + index] = index & 0x7f
      const before = bytes.slice(PHYS - 10, PHYS + SIZE + 10)
      const busAddr = device.mapSingle(0, PHYS, SIZE, direction)
      write(busAddr + 2040, [0xff, 0xfe, 0xfd])
      device.unmapSingle(0, busAddr, SIZE, direction)
      before.set([0xff, 0xfe, 0xfd], 10 + 2040)
      expect(bytes.slice(PHYS - 10, PHYS + SIZE + 10)).toEqual(before)
    }
  })

  it("coherent memory needs no sync", () => {
    const { bytes, device, read, write } = memoryWorld(backend)
    const block = device.allocCoherent(0, 6000)!
    expect(read(block.busAddr, 6000).every((byte) => byte === 0)).toBe(true)
    bytes[block.phys + 5000] = 7
    write(block.busAddr, [9])
    expect([read(block.busAddr + 5000, 1), bytes[block.phys]]).toEqual([[7], 9])
    device.freeCoherent(0, block)
  })

  const range = fc.tuple(fc.nat(SIZE - 1), fc.integer({ min: 1, max: SIZE })).map(([from, count]) => ({
    from,
    count: Math.min(count, SIZE - from)
  }))
  const step = fc.record({
    kind: fc.constantFrom("cpu writes", "device writes", "sync for CPU", "sync for device"),
    range,
    value: fc.integer({ min: 1, max: 255 })
  })

  test.prop([fc.constantFrom(...DIRECTIONS), fc.nat(4095), fc.array(step, { maxLength: 20 }), fc.boolean()], {
    numRuns: 60
  })("random histories are those of two arrays, or of one", (direction, offset, steps, isSynced) => {
    const phys = 0xa_0000 + offset
    const { bytes, device, dma, read, write } = memoryWorld(backend)
    const cpu = new Uint8Array(SIZE).fill(0xa5)
    const busAddr = device.mapSingle(0, phys, SIZE, direction)
    device.mappingError(busAddr)
    // Where memory is shared they are one array.
    const own = isShared ? cpu : cpu.slice()
    for (const {
      kind,
      range: { count, from },
      value
    } of steps) {
      const to = from + count
      if (kind === "cpu writes") {
        bytes.fill(value, phys + from, phys + to)
        cpu.fill(value, from, to)
      } else if (kind === "device writes") {
        write(busAddr + from, new Array<number>(count).fill(value))
        own.fill(value, from, to)
      } else if (kind === "sync for CPU") {
        device.syncSingleForCpu(0, busAddr + from, count, direction)
        if (direction !== TO_DEVICE) cpu.set(own.subarray(from, to), from)
      } else {
        device.syncSingleForDevice(0, busAddr + from, count, direction)
        if (direction !== FROM_DEVICE) own.set(cpu.subarray(from, to), from)
      }
      expect([kind, isSame(read(busAddr, SIZE), own)]).toEqual([kind, true])
      expect([kind, isSame(bytes.subarray(phys, phys + SIZE), cpu)]).toEqual([kind, true])
    }
    device.unmapSingle(0, busAddr, SIZE, direction, isSynced ? 0 : ATTR_SKIP_CPU_SYNC)
    if (isSynced && direction !== TO_DEVICE) cpu.set(own)
    expect(isSame(bytes.subarray(phys, phys + SIZE), cpu)).toBe(true)
    for (const around of [bytes.subarray(phys - 64, phys), bytes.subarray(phys + SIZE, phys + SIZE + 64)]) {
      expect(isSame(around, new Uint8Array(64).fill(0xa5))).toBe(true)
    }
    expect(dma.findings()).toEqual([])
    expect(dma.snapshot().bounce.slotsUsed).toBe(0)
  })
})

describe.each(BACKENDS)("a scatter list on the %s backend", (backend: BackendName) => {
  const buffers = fc.uniqueArray(
    fc.record({ place: fc.nat(15), offset: fc.nat(4095), size: fc.integer({ min: 1, max: 9000 }) }),
    {
      minLength: 1,
      maxLength: 6,
      selector: ({ place }) => place
    }
  )

  test.prop([buffers, fc.constantFrom(...DIRECTIONS)], { numRuns: 60 })(
    "shows the device the buffers' bytes, in their order, whatever they are merged to",
    (pieces, direction) => {
      const { bytes, device, dma, read, write } = memoryWorld(backend)
      const places = pieces.map(({ offset, place, size }) => [0x8_0000 + place * 0x4000 + offset, size] as const)
      const list = makeScatterList(places.length + 2)
      places.forEach(([phys, size], entry) => {
        list.setBuffer(entry, phys, size)
        for (let index = 0; index < size; index++) bytes[phys + index] = (entry * 37 + index) & 0xff
      })
      const count = device.mapSg(0, list, places.length, direction)
      const sizes = Array.from({ length: count }, (_, segment) => list.busSizeBytesOf(segment))
      const total = places.reduce((sum, [, size]) => sum + size, 0)
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(total)
      if (backend !== "iommu") expect(sizes).toEqual(places.map(([, size]) => size))
      const seen = sizes.flatMap((size, segment) => read(list.busAddrOf(segment), size))
      const written = places.flatMap(([phys, size]) => [...bytes.subarray(phys, phys + size)])
      expect([seen.length, isSame(seen, written)]).toEqual([total, true])

      for (let segment = 0; segment < count; segment++) write(list.busAddrOf(segment), [200 + segment])
      device.syncSgForCpu(0, list, places.length, direction)
      const first = bytes[places[0]![0]]
      if (backend === "bounce") expect(first).toBe(direction === TO_DEVICE ? 0 : 200)
      else expect(first).toBe(200)
      bytes[places[0]![0]] = 77
      device.syncSgForDevice(0, list, places.length, direction)
      const isSeen = backend !== "bounce" || direction !== FROM_DEVICE
      expect(read(list.busAddrOf(0), 1)).toEqual([isSeen ? 77 : 200])
      device.unmapSg(0, list, places.length, direction)
      expect([dma.liveCount(), dma.findings(), dma.snapshot().bounce.slotsUsed]).toEqual([0, [], 0])
    }
  )
})
