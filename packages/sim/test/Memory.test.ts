import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { FRAME_SLOT_BYTES, makeFramePool, makeMemory, makePrng, type Memory } from "@vnic/sim/core"

const HOST_BYTES = 8192
const HALF = 4096

function filledMemory(seed: number): Memory {
  const memory = makeMemory(HOST_BYTES, 0)
  const random = makePrng(seed)
  for (let index = 0; index < memory.bytes.length; index++) memory.bytes[index] = random.next()
  return memory
}

const place = fc.nat({ max: HALF - 1 })
const size = fc.oneof(fc.nat({ max: 128 }), fc.nat({ max: 2000 }))

describe("memory", () => {
  test.prop([fc.nat(), place, place, size], { numRuns: 500 })(
    "copies what a byte loop copies, and nothing else",
    (seed, from, intoHalf, wanted) => {
      const to = HALF + intoHalf
      const sizeBytes = Math.min(wanted, HALF - from, HOST_BYTES - to)
      const memory = filledMemory(seed)
      const expected = memory.bytes.slice()
      for (let index = 0; index < sizeBytes; index++) expected[to + index] = expected[from + index]!
      memory.copy(from, to, sizeBytes)
      expect(memory.bytes).toEqual(expected)
      expect(memory.equals(from, to, sizeBytes)).toBe(true)
    }
  )

  test.prop([fc.nat(), place, place, size, fc.nat()], { numRuns: 500 })(
    "sees one changed byte inside a range, and none outside",
    (seed, from, intoHalf, wanted, where) => {
      const to = HALF + intoHalf
      const sizeBytes = Math.min(wanted, HALF - from, HOST_BYTES - to)
      const memory = filledMemory(seed)
      memory.copy(from, to, sizeBytes)
      if (to + sizeBytes < HOST_BYTES) memory.bytes[to + sizeBytes]! ^= 1
      if (to > HALF) memory.bytes[to - 1]! ^= 1
      expect(memory.equals(from, to, sizeBytes)).toBe(true)
      if (sizeBytes === 0) return
      memory.bytes[to + (where % sizeBytes)]! ^= 0x80
      expect(memory.equals(from, to, sizeBytes)).toBe(false)
      expect(memory.equals(to, from, sizeBytes)).toBe(false)
    }
  )

  test.prop([fc.nat({ max: 20 }), fc.nat({ max: 20 }), fc.nat({ max: 200 }), fc.nat({ max: 399 })], { numRuns: 1000 })(
    "finds every byte that differs, at any alignment, and no other",
    (left, right, sizeBytes, flipped) => {
      const memory = makeMemory(4096, 0)
      for (let index = 0; index < 256; index++) {
        memory.bytes[left + index] = index * 7
        memory.bytes[1024 + right + index] = index * 7
      }
      expect(memory.equals(left, 1024 + right, sizeBytes)).toBe(true)
      memory.bytes[1024 + right + flipped]! ^= 0x10
      expect(memory.equals(left, 1024 + right, sizeBytes)).toBe(flipped >= sizeBytes)
    }
  )

  it("shows its bytes as little-endian words", () => {
    const memory = makeMemory(4096, 0)
    memory.bytes.set([0x78, 0x56, 0x34, 0x12], 8)
    expect(memory.words[2]).toBe(0x12345678)
  })

  it("sets storage aside outside the host's part, by cache lines, until there is none", () => {
    const memory = makeMemory(4096, 4096)
    expect(memory.reserveOutside(65)).toBe(4096)
    expect(memory.reserveOutside(1)).toBe(4096 + 128)
    expect(memory.reserveOutside(4096 - 192)).toBe(4096 + 192)
    expect(() => memory.reserveOutside(1)).toThrow("no storage is left")
  })

  it("has a size that addresses can be small integers for", () => {
    expect(() => makeMemory(4095, 0)).toThrow("out of range")
    expect(() => makeMemory(2 ** 31, 0)).toThrow("out of range")
  })
})

describe("frames", () => {
  const headAndBody = fc.record({
    seed: fc.nat(),
    headBytes: fc.nat({ max: 200 }),
    bodyBytes: fc.nat({ max: 1500 }),
    bodyAt: fc.nat({ max: 300 }),
    from: fc.nat(),
    wanted: fc.nat(),
    to: fc.nat({ max: 500 })
  })

  test.prop([headAndBody], { numRuns: 500 })(
    "copies any part of a head and a body as if they were one",
    ({ seed, headBytes, bodyBytes, bodyAt, from, wanted, to }) => {
      const memory = makeMemory(HOST_BYTES, 4 * FRAME_SLOT_BYTES)
      const random = makePrng(seed)
      for (let index = 4096; index < HOST_BYTES; index++) memory.bytes[index] = random.next()
      const pool = makeFramePool(memory, 3)
      pool.allocate()
      const frame = pool.allocate()
      const split = headBytes >> 1
      pool.append(frame, 4096, split)
      pool.append(frame, 4096 + split, headBytes - split)
      pool.bodyOffset[frame] = 5000 + bodyAt
      pool.bodyBytes[frame] = bodyBytes
      const whole = [
        ...memory.bytes.subarray(4096, 4096 + headBytes),
        ...memory.bytes.subarray(5000 + bodyAt, 5000 + bodyAt + bodyBytes)
      ]
      expect(pool.lengthBytes(frame)).toBe(whole.length)
      expect(whole.map((_, index) => pool.byteAt(frame, index))).toEqual(whole)
      const first = from % (whole.length + 1)
      const sizeBytes = wanted % (whole.length - first + 1)
      pool.copyOut(frame, first, sizeBytes, to)
      const expected = new Uint8Array(4096)
      expected.set(whole.slice(first, first + sizeBytes), to)
      expect(memory.bytes.subarray(0, 4096)).toEqual(expected)
    }
  )

  it("come and go; a slot is given out again empty", () => {
    const pool = makeFramePool(makeMemory(4096, 8192), 2)
    const first = pool.allocate()
    const second = pool.allocate()
    expect([first, second, pool.inUse]).toEqual([0, 1, 2])
    pool.append(first, 0, 60)
    pool.bodyBytes[first] = 5
    expect(() => pool.allocate()).toThrow("empty")
    pool.free(first)
    expect(pool.inUse).toBe(1)
    expect(pool.allocate()).toBe(first)
    expect(pool.lengthBytes(first)).toBe(0)
  })

  it("keep copies inside the frame and its slot", () => {
    const pool = makeFramePool(makeMemory(4096, 4096), 1)
    const frame = pool.allocate()
    pool.append(frame, 0, 60)
    expect(() => pool.copyOut(frame, 1, 60, 0)).toThrow("passes the end")
    expect(() => pool.append(frame, 0, FRAME_SLOT_BYTES)).toThrow("longer than its slot")
  })

  it("cannot be given back more often than they were taken", () => {
    const pool = makeFramePool(makeMemory(4096, 4096), 2)
    pool.free(pool.allocate())
    expect(() => pool.free(0)).toThrow("given back")
  })
})
