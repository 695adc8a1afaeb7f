import { fc, test } from "@fast-check/vitest"
import { makeBusPort, makeIommu } from "@vnic/iommu/core"
import { makeFaultingPort, makeHostileDevice, soloIommu } from "@vnic/iommu/testing"
import { makePrng } from "@vnic/sim/core"
import { soloWorld } from "@vnic/sim/testing"
import { describe, expect, it } from "vitest"

const PAGE = 4096
/** Patience with a busy machine; nothing is measured. */
const LONG_MS = 120_000

/** Two neighbouring bus pages that lie apart in memory: 0 at the buffer's page 5, 1 at its page 2. */
const scattered = () => {
  const world = soloIommu()
  world.pvdma.insert(0, 0, 1, world.buffer + 5 * PAGE, 0)
  world.pvdma.insert(0, 1, 1, world.buffer + 2 * PAGE, 0)
  return world
}

const patternFrame = (world: ReturnType<typeof soloIommu>, headBytes: number, bodyBytes: number) => {
  const { frames, memory } = world.sim
  const frame = frames.allocate()
  const body = memory.reserveOutside(bodyBytes)
  for (let index = 0; index < headBytes; index++) memory.bytes[frames.headOffset(frame) + index] = (index * 7) & 0xff
  for (let index = 0; index < bodyBytes; index++) memory.bytes[body + index] = ((headBytes + index) * 7) & 0xff
  frames.headBytes[frame] = headBytes
  frames.bodyBytes[frame] = bodyBytes
  frames.bodyOffset[frame] = body
  return frame
}

describe("a bus port", () => {
  it("cuts an access of words at the page", () => {
    const { buffer, port, sim } = scattered()
    const words = Int32Array.of(9, 1, 2, 3, 4, 9)
    expect(port.writeWords(PAGE - 8, words, 1, 4, 0)).toBe(true)
    const at = (phys: number) => sim.memory.words[phys / 4]
    expect([at(buffer + 6 * PAGE - 8), at(buffer + 6 * PAGE - 4)]).toEqual([1, 2])
    expect([at(buffer + 2 * PAGE), at(buffer + 2 * PAGE + 4), at(buffer + 2 * PAGE + 8)]).toEqual([3, 4, 0])
    const back = new Int32Array(6)
    expect(port.readWords(PAGE - 8, back, 1, 4, 0)).toBe(true)
    expect([...back]).toEqual([0, 1, 2, 3, 4, 0])
    expect(port.latencyPs[0]).toBe(sim.profile.tceFetch)
  })

  test.prop([fc.nat(2 * PAGE - 1500), fc.integer({ min: 1, max: 1500 }), fc.nat(200)], { numRuns: 50 })(
    "writes a frame and reads it back wherever it lies",
    (busAddr, sizeBytes, from) => {
      const world = scattered()
      const { buffer, port, sim } = world
      const frame = patternFrame(world, 66, 1700)
      expect(port.writeFrame(busAddr, frame, from, sizeBytes, 0)).toBe(true)
      for (const index of [0, sizeBytes >> 1, sizeBytes - 1]) {
        const at = busAddr + index
        const phys = at < PAGE ? buffer + 5 * PAGE + at : buffer + 2 * PAGE + at - PAGE
        expect(sim.memory.bytes[phys]).toBe(((from + index) * 7) & 0xff)
      }
      const copy = sim.frames.allocate()
      expect(port.readFrame(busAddr, copy, sizeBytes, 0)).toBe(true)
      const bytes = Array.from({ length: sizeBytes }, (_, index) => sim.frames.byteAt(copy, index))
      expect(bytes).toEqual(Array.from({ length: sizeBytes }, (_, index) => ((from + index) * 7) & 0xff))
    },
    LONG_MS
  )

  it("has written the page before the one that faults, and nothing after it", () => {
    const world = scattered()
    const { buffer, iommu, port, pvdma, sim } = world
    pvdma.remove(0, 1, 1)
    const frame = patternFrame(world, 100, 0)
    expect(port.writeFrame(PAGE - 60, frame, 0, 100, 3)).toBe(false)
    expect(sim.memory.bytes[buffer + 6 * PAGE - 1]).toBe((59 * 7) & 0xff)
    expect(sim.memory.bytes[buffer + 2 * PAGE]).toBe(0)
    expect(iommu.faults).toMatchObject([{ busAddr: PAGE, sizeBytes: 40, access: "write", reason: "notMapped" }])
    expect(port.readFrame(PAGE, frame, 8, 3)).toBe(false)
    expect(port.readWords(PAGE, new Int32Array(4), 0, 4, 3)).toBe(false)
    expect(port.writeWords(PAGE, new Int32Array(4), 0, 4, 3)).toBe(false)
    expect(iommu.faultCount).toBe(4)
  })

  it("breaks on words that are not aligned", () => {
    const { port } = scattered()
    expect(() => port.readWords(2, new Int32Array(1), 0, 1, 0)).toThrow("not aligned")
    expect(() => port.writeWords(2, new Int32Array(1), 0, 1, 0)).toThrow("not aligned")
  })

  it("does the same without translation", () => {
    const sim = soloWorld()
    const iommu = makeIommu({ kind: "none", memory: sim.memory, clock: sim.timeline.clock })
    const port = makeBusPort(iommu, iommu.attach("nic"), sim.memory, sim.frames)
    const words = Int32Array.of(1, 2, 3, 4)
    expect(port.writeWords(PAGE - 8, words, 0, 4, 0)).toBe(true)
    expect([...sim.memory.words.subarray(PAGE / 4 - 2, PAGE / 4 + 2)]).toEqual([1, 2, 3, 4])
    expect(port.latencyPs[0]).toBe(0)
    const end = sim.memory.hostSizeBytes
    expect(port.writeWords(end - 8, words, 0, 4, 0)).toBe(false)
    expect(sim.memory.words[end / 4 - 1]).toBe(0)
    expect(iommu.faultCount).toBe(1)
  })

  test.prop([fc.nat()], { numRuns: 10 })(
    "holds a hostile device to the pages that are mapped for it",
    (seed) => {
      const { buffer, iommu, port, pvdma, sim } = soloIommu({ world: { hostMemoryBytes: 2 << 20 } })
      const { bytes, hostSizeBytes } = sim.memory
      pvdma.insert(0, 1, 1, buffer + 3 * PAGE, 2)
      pvdma.insert(0, 4, 1, buffer + 7 * PAGE, 1)
      const before = bytes.slice(0, hostSizeBytes)
      const device = makeHostileDevice(port, sim.frames, makePrng(seed))
      for (let strikes = 0; strikes < 300; strikes++) device.strike(10 * PAGE)
      expect(device.passed + device.faulted).toBe(300)
      expect(iommu.faultCount).toBe(device.faulted)
      // Only the page that it may write has changed.
      bytes.copyWithin(buffer + 3 * PAGE, buffer + 2 * PAGE, buffer + 3 * PAGE)
      expect(Buffer.compare(before, bytes.subarray(0, hostSizeBytes))).toBe(0)
      expect(sim.frames.inUse).toBe(0)
    },
    LONG_MS
  )

  it("has a double in which chosen accesses fault", () => {
    const { frames, memory } = soloWorld()
    const port = makeFaultingPort(memory, frames, (access, index) => access.kind === "readWords" && index === 1)
    const words = Int32Array.of(7)
    expect(port.writeWords(64, words, 0, 1, 5)).toBe(true)
    expect(port.readWords(64, words, 0, 1, 5)).toBe(false)
    expect(port.readWords(64, words, 0, 1, 5)).toBe(true)
    const frame = frames.allocate()
    expect(port.readFrame(64, frame, 4, 6)).toBe(true)
    expect(frames.byteAt(frame, 0)).toBe(7)
    expect(port.writeFrame(memory.hostSizeBytes, frame, 0, 4, 6)).toBe(false)
    expect(port.accesses.map(({ isFault }) => isFault)).toEqual([false, true, false, false, true])
  })
})
