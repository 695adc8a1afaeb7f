import {
  addBytes,
  checksumOf,
  fold,
  isSumValid,
  makePayloadSums,
  pseudoHeaderSum,
  swapSum,
  updateChecksum
} from "@vnic/net-stack/core"
import { fc, test as property } from "@fast-check/vitest"
import { describe, expect, test } from "vitest"

/** The definition, with unbounded integers: the sum of the words modulo 2^16 - 1, zero only for zero. */
const definition = (bytes: ArrayLike<number>): number => {
  let sum = 0n
  for (let index = 0; index < bytes.length; index += 2) {
    sum += BigInt(bytes[index]! * 256 + (bytes[index + 1] ?? 0))
  }
  return sum === 0n ? 0 : Number(((sum - 1n) % 65535n) + 1n)
}

describe("Internet checksum", () => {
  test("the numeric example of RFC 1071, section 3", () => {
    const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7)
    expect(addBytes(0, bytes, 0, 8)).toBe(0x2ddf0)
    expect(fold(0x2ddf0)).toBe(0xddf2)
    expect(checksumOf(0x2ddf0)).toBe(0x220d)
  })

  test("an IPv4 header summed by hand", () => {
    const header = Uint8Array.from([
      0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00,
      0xc7
    ])
    expect(isSumValid(addBytes(0, header, 0, 20))).toBe(true)
    header[10] = 0
    header[11] = 0
    expect(checksumOf(addBytes(0, header, 0, 20))).toBe(0xb861)
  })

  test("the pseudo header adds both addresses, the protocol and the length", () => {
    expect(pseudoHeaderSum(0xc0a80001 | 0, 0x0a000002, 6, 20)).toBe(0xc0a8 + 0x0001 + 0x0a00 + 0x0002 + 6 + 20)
  })

  test("the sum of the largest datagram and its pseudo header stays a small integer", () => {
    const bytes = new Uint8Array(65_515).fill(0xff)
    const sum = addBytes(pseudoHeaderSum(-1, -1, 6, bytes.length), bytes, 0, bytes.length)
    expect(sum).toBeLessThan(2 ** 31)
    expect(fold(sum)).toBe(definition([...new Array(8).fill(0xff), 0, 6, 0xff, 0xeb, ...bytes]))
  })

  property.prop([fc.uint8Array({ maxLength: 200 }), fc.nat(3)])("is its definition, at any offset", (data, shift) => {
    const bytes = new Uint8Array(data.length + shift)
    bytes.set(data, shift)
    expect(fold(addBytes(0, bytes, shift, data.length))).toBe(definition(data))
  })

  property.prop([fc.uint8Array({ maxLength: 99 }), fc.uint8Array({ maxLength: 99 })])(
    "parts add up, odd ones swapped",
    (left, right) => {
      const leftSum = addBytes(0, left, 0, left.length)
      const rightSum = addBytes(0, right, 0, right.length)
      const total = leftSum + (left.length % 2 === 0 ? rightSum : swapSum(rightSum))
      expect(fold(total)).toBe(definition([...left, ...right]))
    }
  )

  property.prop([fc.uint8Array({ minLength: 8, maxLength: 40 }), fc.nat(3), fc.nat(0xffff)])(
    "follows the change of one word",
    (bytes, word, after) => {
      const checksum = checksumOf(addBytes(0, bytes, 0, bytes.length))
      const before = bytes[2 * word]! * 256 + bytes[2 * word + 1]!
      bytes[2 * word] = after >> 8
      bytes[2 * word + 1] = after
      const updated = updateChecksum(checksum, before, after)
      expect(isSumValid(addBytes(updated, bytes, 0, bytes.length))).toBe(
        isSumValid(addBytes(checksumOf(addBytes(0, bytes, 0, bytes.length)), bytes, 0, bytes.length))
      )
    }
  )
})

describe("payload sums", () => {
  property.prop([
    fc.integer({ min: 1, max: 8 }).chain((bits) => fc.uint8Array({ minLength: 1 << bits, maxLength: 1 << bits })),
    fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    fc.nat(300)
  ])("are the sums of slices of the repeated pattern", (pattern, offset, sizeBytes) => {
    const sums = makePayloadSums(pattern, 300)
    const slice = Array.from({ length: sizeBytes }, (_, index) => pattern[(offset + index) & (pattern.length - 1)]!)
    expect(fold(sums.sum(offset, sizeBytes))).toBe(definition(slice))
  })

  test("a period that is not a power of two is refused", () => {
    expect(() => makePayloadSums(new Uint8Array(3), 10)).toThrow("power of two")
  })

  test("a slice longer than announced is refused", () => {
    expect(() => makePayloadSums(new Uint8Array(4), 10).sum(0, 11)).toThrow("longer than announced")
  })
})
