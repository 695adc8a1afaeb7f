import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { HostOptions, MeasureOptions, ProfileName, profileSummaries } from "../src/Options.ts"
import {
  count,
  quantityOrWord,
  Rate,
  rateQuantity,
  Size,
  sizeQuantity,
  steps,
  Time,
  within,
  withUnitKeys
} from "../src/Units.ts"

const options = { errors: "all", onExcessProperty: "error" } as const
const decode = <S extends Schema.ConstraintDecoder<unknown>>(schema: S, input: unknown): S["Type"] =>
  Result.getOrThrow(Schema.decodeUnknownResult(schema, options)(input))
const problem = (schema: Schema.ConstraintDecoder<unknown>, input: unknown): string => {
  const result = Schema.decodeUnknownResult(schema, options)(input)
  return Result.isFailure(result) ? String(result.failure.message) : "no problem"
}

describe("decoding", () => {
  it.each([
    ["64 KiB", 65_536],
    ["1500 B", 1500],
    ["1500B", 1500],
    [" 2 GiB ", 2 ** 31],
    ["1.5 KiB", 1536],
    ["0 B", 0],
    ["-1 KiB", -1024]
  ])("reads the size %s", (text, bytes) => expect(decode(Size, text)).toBe(bytes))

  it.each([
    ["5 us", 5e6],
    ["5 µs", 5e6],
    ["5 μs", 5e6],
    ["16.5 ns", 16_500],
    ["50 ms", 50e9],
    ["9007 s", 9007e12],
    ["800 ps", 800]
  ])("reads the time %s", (text, picoseconds) => expect(decode(Time, text)).toBe(picoseconds))

  it.each([
    ["10 Gb/s", 10e9],
    ["2.5 Gbit/s", 2.5e9],
    ["1 b/s", 1]
  ])("reads the rate %s", (text, bits) => expect(decode(Rate, text)).toBe(bits))
})

describe("refusing", () => {
  it.each([
    [Size, 1500, "has no unit; a size needs B, KiB, MiB, GiB or TiB, as in 64 KiB"],
    [Size, "1500", "1500 has no unit; a size needs B, KiB, MiB, GiB or TiB, as in 64 KiB"],
    [Size, "64 KB", "64 KB: KB is not a unit of size; did you mean KiB?"],
    [Size, "64 kib", "64 kib: kib is not a unit of size; did you mean KiB?"],
    [Size, "5 us", "5 us: us is not a unit of size; use B, KiB, MiB, GiB or TiB"],
    [Size, "lots", '"lots" is not a size; write a number and its unit, as in 64 KiB'],
    [Size, "+1500 B", '"+1500 B" is not a size; write a number and its unit, as in 64 KiB'],
    [Size, "0.3 B", "0.3 B is not a whole number of bytes"],
    [Size, "9000 TiB", "9000 TiB is too large to be counted in bytes"],
    [Size, "9".repeat(1000), "is too long for a size; write 64 KiB"],
    [Time, "0.1 ps", "0.1 ps is not a whole number of picoseconds"],
    [Time, "5 usec", "5 usec: usec is not a unit of time; did you mean us?"],
    [Rate, "10 Gbps", "10 Gbps: Gbps is not a unit of rate; did you mean Gb/s?"],
    [Rate, "10 gb/s", "10 gb/s: gb/s is not a unit of rate; did you mean Gb/s?"],
    [Rate, "10 GB/s", "10 GB/s: GB/s is not a unit of rate; use b/s, kb/s, Mb/s, Gb/s or Tb/s"]
  ])("says what is wrong", (schema, input, message) => expect(problem(schema, input)).toBe(message))
})

describe("encoding", () => {
  const encode = <S extends Schema.ConstraintEncoder<unknown>>(schema: S, value: unknown): unknown =>
    Schema.encodeUnknownSync(schema)(value)

  it("writes the largest unit that is exact", () => {
    expect([0, 1, 1500, 65_536, 2 ** 31, 1536].map((bytes) => encode(Size, bytes))).toEqual([
      "0 B",
      "1 B",
      "1500 B",
      "64 KiB",
      "2 GiB",
      "1536 B"
    ])
    expect(encode(Time, 16e6)).toBe("16 us")
    expect(encode(Rate, 2.5e9)).toBe("2500 Mb/s")
  })

  it.each([
    ["size", Size],
    ["time", Time],
    ["rate", Rate]
  ])("of any %s reads back as the same number", (_, schema) =>
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        expect(decode(schema, encode(schema, value))).toBe(value)
      })
    )
  )
})

describe("checks", () => {
  const size = Size.check(within(sizeQuantity, 1024, 4096), steps(sizeQuantity, 512))
  const ring = count(8, 8192, 8)
  const rate = quantityOrWord(rateQuantity, ["as-captured", "line"], [1, 1e10])

  it("name the limits and the nearest good values", () => {
    expect(problem(size, "512 B")).toBe("512 B is too small; at least 1 KiB")
    expect(problem(size, "5 KiB")).toBe("5 KiB is too large; at most 4 KiB")
    expect(problem(size, "1100 B")).toBe("1100 B is not a multiple of 512 B; 1 KiB or 1536 B would do")
    expect(problem(ring, 100)).toBe("100 is not a multiple of 8; 96 or 104 would do")
    expect(problem(ring, 8190.5)).toBe("8190.5 is not a whole number")
    expect(problem(ring, "many")).toBe("Expected number")
    expect(problem(ring, 0)).toBe("0 is too small; at least 8")
  })

  it("accept a word for a quantity", () => {
    expect(decode(rate, "line")).toBe("line")
    expect(decode(rate, "1 Gb/s")).toBe(1e9)
    expect(problem(rate, "lin")).toBe("lin is not as-captured, line or a rate as in 10 Gb/s")
    expect(problem(rate, "20 Gb/s")).toBe("20 Gb/s is too large; at most 10 Gb/s")
    expect(problem(rate, 3)).toBe("has no unit; write as-captured, line or a rate as in 10 Gb/s")
    expect(Schema.encodeUnknownSync(rate)(1e9)).toBe("1 Gb/s")
    expect(Schema.encodeUnknownSync(rate)("line")).toBe("line")
  })
})

describe("sections", () => {
  it("decode to keys that carry their unit, with defaults, and encode back", () => {
    expect(decode(HostOptions, {})).toEqual({ memoryBytes: 2 ** 28, cpus: 8 })
    expect(decode(MeasureOptions, { duration: "4 ms" })).toEqual({
      warmUpPs: 5e9,
      durationPs: 4e9
    })
    expect(Schema.encodeUnknownSync(HostOptions)({ memoryBytes: 2 ** 20, cpus: 1 })).toEqual({
      memory: "1 MiB",
      cpus: 1
    })
  })

  it("leave out what is optional and not given", () => {
    const section = withUnitKeys({ frame: Schema.optionalKey(Size) }, { frame: "frameBytes" })
    expect(decode(section, {})).toEqual({})
    expect(decode(section, { frame: "64 B" })).toEqual({ frameBytes: 64 })
  })

  it("report every problem under the written name", () => {
    const result = Effect.runSync(
      Effect.flip(Schema.decodeUnknownEffect(HostOptions, options)({ memory: 3, cpus: 0, cpu: 1 }))
    )
    expect(String(result.message)).toContain('["memory"]')
    expect(String(result.message)).toContain('["cpus"]')
    expect(String(result.message)).toContain('["cpu"]')
  })

  it("know the built-in profiles", () => {
    expect(profileSummaries.map(({ name }) => decode(ProfileName, name))).toContain("power7-pseries")
    expect(profileSummaries.every(({ hardwareThreads }) => hardwareThreads >= 1)).toBe(true)
  })
})
