import { fc, test as property } from "@fast-check/vitest"
import { type CaptureFrames, readCapture, writeCapture } from "@vnic/traffic/core"
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"

interface Variant {
  readonly isNanosecond: boolean
  readonly isLittleEndian: boolean
}
const VARIANTS: ReadonlyArray<Variant> = [true, false].flatMap((isNanosecond) =>
  [true, false].map((isLittleEndian) => ({ isNanosecond, isLittleEndian }))
)

interface Written {
  readonly seconds: number
  readonly fraction: number
  readonly bytes: Uint8Array
  readonly length: number
}

/** A file of any of the four kinds, written without the code under test. */
const fileOf = (variant: Variant, records: ReadonlyArray<Written>, snapLength = 65_535, link = 1) => {
  const { isLittleEndian, isNanosecond } = variant
  const size = records.reduce((sum, record) => sum + 16 + record.bytes.length, 24)
  const view = new DataView(new ArrayBuffer(size))
  view.setUint32(0, isNanosecond ? 0xa1b23c4d : 0xa1b2c3d4, isLittleEndian)
  view.setUint16(4, 2, isLittleEndian)
  view.setUint16(6, 4, isLittleEndian)
  view.setUint32(16, snapLength, isLittleEndian)
  view.setUint32(20, link, isLittleEndian)
  let at = 24
  for (const { bytes, fraction, length, seconds } of records) {
    view.setUint32(at, seconds, isLittleEndian)
    view.setUint32(at + 4, fraction, isLittleEndian)
    view.setUint32(at + 8, bytes.length, isLittleEndian)
    view.setUint32(at + 12, length, isLittleEndian)
    new Uint8Array(view.buffer).set(bytes, at + 16)
    at += 16 + bytes.length
  }
  return new Uint8Array(view.buffer)
}

const record = (length: number, kept = length, fraction = 5): Written => ({
  seconds: 1_700_000_000,
  fraction,
  bytes: Uint8Array.from({ length: kept }, (_, index) => index),
  length
})

const problemOf = (bytes: Uint8Array) => {
  const result = readCapture(bytes)
  return "problem" in result ? result.problem : undefined
}

const captureOf = (bytes: Uint8Array) => {
  const result = readCapture(bytes)
  if ("problem" in result) throw new Error(`${result.problem.found}; expected ${result.problem.expected}`)
  return result.capture
}

const framesArbitrary = fc.array(
  fc.record({
    gapNs: fc.integer({ min: 0, max: 3_000_000_000 }),
    bytes: fc.uint8Array({ minLength: 14, maxLength: 300 })
  }),
  { minLength: 1, maxLength: 20 }
)

const capturedFrames = (frames: ReadonlyArray<{ gapNs: number; bytes: Uint8Array }>): CaptureFrames => {
  let stampPs = 0
  let offset = 0
  const stamps: Array<number> = []
  const offsets: Array<number> = []
  for (const frame of frames) {
    stamps.push(stampPs)
    offsets.push(offset)
    stampPs += frame.gapNs * 1000
    offset += frame.bytes.length
  }
  const bytes = new Uint8Array(offset)
  frames.forEach((frame, index) => bytes.set(frame.bytes, offsets[index]))
  return {
    frameCount: frames.length,
    origin: { seconds: 1_364_000_000, nanoseconds: 999_999_999 },
    stampsPs: Float64Array.from(stamps),
    offsets,
    lengthBytes: frames.map((frame) => frame.bytes.length),
    bytes
  }
}

describe("a written capture", () => {
  property.prop([framesArbitrary])("is read back as it was", (drawn) => {
    const frames = capturedFrames(drawn)
    const capture = captureOf(writeCapture(frames))
    expect(capture).toMatchObject({
      frameCount: drawn.length,
      isNanosecond: true,
      isLittleEndian: true,
      stampsFalling: 0
    })
    expect(capture.origin).toEqual(frames.origin)
    expect([...capture.stampsPs]).toEqual([...frames.stampsPs])
    drawn.forEach(({ bytes }, index) => {
      const at = capture.offsets[index]!
      expect(capture.bytes.subarray(at, at + capture.keptBytes[index]!)).toEqual(bytes)
      expect(capture.lengthBytes[index]).toBe(bytes.length)
    })
  })

  property.prop([framesArbitrary, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })])(
    "cut anywhere but between records is a problem that says where",
    (drawn, share) => {
      const file = writeCapture(capturedFrames(drawn))
      const size = Math.floor(share * file.length)
      const ends = drawn.reduce<Array<number>>((all, { bytes }) => [...all, all.at(-1)! + 16 + bytes.length], [24])
      const result = readCapture(file.subarray(0, size))
      if (ends.includes(size) && size > 24) expect(result).toHaveProperty("capture.frameCount", ends.indexOf(size))
      else expect(result).toHaveProperty("problem")
    }
  )

  property.prop([fc.uint8Array({ maxLength: 200 })])("need not be one: bytes never make it throw", (bytes) => {
    expect("problem" in readCapture(bytes)).toBe(true)
  })

  property.prop([framesArbitrary, fc.nat(), fc.nat({ max: 255 })])(
    "with any byte changed never makes it throw",
    (drawn, at, byte) => {
      const file = writeCapture(capturedFrames(drawn))
      file[at % file.length] = byte
      expect(readCapture(file)).toBeDefined()
    }
  )
})

describe("a capture", () => {
  it.each(VARIANTS)("with $isNanosecond nanoseconds, $isLittleEndian little-endian", (variant) => {
    const file = fileOf(variant, [record(1514, 96, 1), record(60, 60, 7), record(70, 0, 9)])
    const capture = captureOf(file)
    expect(capture).toMatchObject(variant)
    expect([...capture.lengthBytes]).toEqual([1514, 60, 70])
    expect([...capture.keptBytes]).toEqual([96, 60, 0])
    expect([...capture.stampsPs]).toEqual([0, 6, 8].map((units) => units * (variant.isNanosecond ? 1e3 : 1e6)))
  })

  it("whose stamps fall keeps the latest", () => {
    const capture = captureOf(fileOf(VARIANTS[0]!, [record(60, 60, 900), record(60, 60, 100), record(60, 60, 950)]))
    expect([...capture.stampsPs]).toEqual([0, 0, 50_000])
    expect(capture.stampsFalling).toBe(1)
  })

  it.each(["iperf3-16-streams-mtu1500-part", "web-and-udp-mix-part"])("from a real network, %s", (name) => {
    const bytes = new Uint8Array(readFileSync(new URL(`fixtures/${name}.pcap`, import.meta.url)))
    const capture = captureOf(bytes)
    expect(capture.frameCount).toBeGreaterThan(300)
    expect(Math.max(...capture.keptBytes)).toBe(96)
    expect(Math.max(...capture.lengthBytes)).toBe(1514)
  })
})

describe("what is wrong with a file", () => {
  const good = fileOf(VARIANTS[0]!, [record(60), record(1514, 96)])
  const changed = (at: number, ...bytes: ReadonlyArray<number>) => {
    const file = good.slice()
    file.set(bytes, at)
    return file
  }
  const second = 24 + 16 + 60

  it.each([
    ["an empty file", new Uint8Array(0), { reason: "TooShort", offset: 0, record: 0 }],
    ["a short one", good.subarray(0, 20), { reason: "TooShort", offset: 20, record: 0 }],
    [
      "a text",
      new TextEncoder().encode("name: cascardo-2013\nseed: 1\n"),
      { reason: "NotPcap", found: "magic number 6e616d65" }
    ],
    [
      "pcapng",
      changed(0, 0x0a, 0x0d, 0x0d, 0x0a),
      { reason: "PcapNg", expected: "classic pcap; convert with editcap -F pcap" }
    ],
    ["gzip", changed(0, 0x1f, 0x8b, 8, 0), { reason: "Compressed" }],
    ["another version", changed(4, 3, 0), { reason: "Version", offset: 4 }],
    ["a loop-back capture", changed(20, 0), { reason: "NotEthernet", offset: 20, found: "link type 0" }],
    ["check sequences", changed(20, 1, 0, 0, 0x24), { reason: "HasCheckSequences", offset: 20 }],
    ["half a record header", good.subarray(0, second + 9), { reason: "Truncated", offset: second, record: 2 }],
    ["half a record", good.subarray(0, second + 20), { reason: "Truncated", offset: second + 16, record: 2 }],
    ["a fraction that is none", changed(24 + 4, 0xff, 0xff, 0xff, 0xff), { reason: "BadStamp", offset: 28, record: 1 }],
    ["a record beyond the snap length", changed(16, 40, 0, 0, 0), { reason: "RecordTooLong", offset: 32, record: 1 }],
    ["more kept than there was", changed(24 + 12, 50, 0), { reason: "RecordTooLong", offset: 32, record: 1 }],
    [
      "a frame that may have its check sequence",
      changed(second + 12, 0xee, 0x05),
      { expected: "at most 1514, or 1518 with a VLAN tag; if it has its check sequence, strip that with editcap -C -4" }
    ],
    [
      "a frame of several segments",
      changed(second + 12, 0xef, 0x05),
      { expected: "at most 1514, or 1518 with a VLAN tag; capture with segmentation offloads off" }
    ],
    [
      "a frame that is too long",
      changed(second + 12, 0xeb, 0x05),
      { reason: "FrameTooLong", offset: second + 12, record: 2 }
    ],
    [
      "a frame that is too short",
      fileOf(VARIANTS[0]!, [record(13)]),
      { reason: "FrameTooShort", offset: 36, record: 1 }
    ],
    [
      "a day",
      fileOf(VARIANTS[0]!, [record(60), { ...record(60), seconds: 1_700_086_400 }]),
      { reason: "TooLongSpan", record: 2 }
    ],
    ["no frame", good.subarray(0, 24), { reason: "Empty", record: 0 }]
  ])("%s", (_, file, expected) => {
    expect(problemOf(file)).toMatchObject(expected)
  })

  it("is nothing in a frame with a VLAN tag", () => {
    const tagged = record(1518, 96)
    tagged.bytes.set([0x81, 0], 12)
    expect(captureOf(fileOf(VARIANTS[0]!, [tagged])).lengthBytes[0]).toBe(1518)
  })
})
