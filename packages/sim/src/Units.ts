/**
 * Quantities as people write them: `64 KiB`, `5 us`, `10 Gb/s`.
 *
 * Each codec decodes such a string to a whole number of its smallest unit (bytes, picoseconds, bits per second) without
 * rounding, and encodes a number back to the shortest exact string. A bare number is a count and never a quantity.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"

/** One kind of quantity: its name in messages, and its units from the smallest to the largest. */
export interface Quantity {
  readonly noun: string
  readonly example: string
  /** Name of the smallest unit in words, for values that are not a whole number of it. */
  readonly wholeOf: string
  readonly units: ReadonlyArray<readonly [name: string, factor: bigint]>
  /** Other spellings that are accepted. */
  readonly aliases: ReadonlyMap<string, string>
  /** Lower-case spellings that are refused with the unit that was probably meant. */
  readonly nearMisses: ReadonlyMap<string, string>
}

/** Sizes in bytes. Binary prefixes only, since `kB` means two things to two readers. */
export const sizeQuantity: Quantity = {
  noun: "size",
  example: "64 KiB",
  wholeOf: "bytes",
  units: [
    ["B", 1n],
    ["KiB", 1n << 10n],
    ["MiB", 1n << 20n],
    ["GiB", 1n << 30n],
    ["TiB", 1n << 40n]
  ],
  aliases: new Map(),
  nearMisses: new Map([
    ["byte", "B"],
    ["bytes", "B"],
    ["k", "KiB"],
    ["kb", "KiB"],
    ["m", "MiB"],
    ["mb", "MiB"],
    ["g", "GiB"],
    ["gb", "GiB"]
  ])
}

/** Times in picoseconds. */
export const timeQuantity: Quantity = {
  noun: "time",
  example: "5 us",
  wholeOf: "picoseconds",
  units: [
    ["ps", 1n],
    ["ns", 1_000n],
    ["us", 1_000_000n],
    ["ms", 1_000_000_000n],
    ["s", 1_000_000_000_000n]
  ],
  aliases: new Map([
    ["µs", "us"],
    ["μs", "us"]
  ]),
  nearMisses: new Map([
    ["sec", "s"],
    ["msec", "ms"],
    ["usec", "us"],
    ["nsec", "ns"]
  ])
}

/** Rates in bits per second, with the decimal prefixes of networking. */
export const rateQuantity: Quantity = {
  noun: "rate",
  example: "10 Gb/s",
  wholeOf: "bits per second",
  units: [
    ["b/s", 1n],
    ["kb/s", 1_000n],
    ["Mb/s", 1_000_000n],
    ["Gb/s", 1_000_000_000n],
    ["Tb/s", 1_000_000_000_000n]
  ],
  aliases: new Map([
    ["bit/s", "b/s"],
    ["kbit/s", "kb/s"],
    ["Mbit/s", "Mb/s"],
    ["Gbit/s", "Gb/s"],
    ["Tbit/s", "Tb/s"]
  ]),
  nearMisses: new Map([
    ["bps", "b/s"],
    ["kbps", "kb/s"],
    ["mbps", "Mb/s"],
    ["gbps", "Gb/s"],
    ["kbs", "kb/s"],
    ["mbs", "Mb/s"],
    ["gbs", "Gb/s"],
    ["kb", "kb/s"],
    ["mb", "Mb/s"],
    ["gb", "Gb/s"]
  ])
}

/** The units that a quantity accepts, as a message lists them: `B, KiB, MiB, GiB or TiB`. */
export const unitNames = (quantity: Quantity): string => {
  const names = quantity.units.map(([name]) => name)
  return `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`
}

/** What is said about a value without a unit. */
export const unitMissing = (quantity: Quantity): string =>
  `has no unit; a ${quantity.noun} needs ${unitNames(quantity)}, as in ${quantity.example}`

const LONGEST_TEXT = 40
const WRITTEN = /^(-?)(\d+)(?:\.(\d+))?\s*(\S.*)?$/u

/** Either the exact value in the smallest unit, or what is wrong with the text. */
export type QuantityResult = { readonly value: number } | { readonly problem: string }

/** Reads a quantity exactly: `1.5 KiB` is 1536, and `0.3 B` is refused rather than rounded. */
export const parseQuantity = (quantity: Quantity, text: string): QuantityResult => {
  const written = text.trim()
  if (written.length > LONGEST_TEXT) return { problem: `is too long for a ${quantity.noun}; write ${quantity.example}` }
  const match = WRITTEN.exec(written)
  if (match === null) {
    const remedy = `write a number and its unit, as in ${quantity.example}`
    return { problem: `${JSON.stringify(text)} is not a ${quantity.noun}; ${remedy}` }
  }
  const [, sign, whole = "0", fraction = "", unit] = match
  if (unit === undefined) return { problem: `${written} ${unitMissing(quantity)}` }
  const factor = factorOf(quantity, unit)
  if (factor === undefined) return { problem: `${written}: ${unitUnknown(quantity, unit)}` }
  const scaled = BigInt(whole + fraction) * factor
  const divisor = 10n ** BigInt(fraction.length)
  if (scaled % divisor !== 0n) return { problem: `${written} is not a whole number of ${quantity.wholeOf}` }
  const value = scaled / divisor
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    return { problem: `${written} is too large to be counted in ${quantity.wholeOf}` }
  }
  return { value: sign === "-" && value !== 0n ? -Number(value) : Number(value) }
}

const factorOf = (quantity: Quantity, unit: string): bigint | undefined => {
  const name = quantity.aliases.get(unit) ?? unit
  return quantity.units.find(([known]) => known === name)?.[1]
}

const unitUnknown = (quantity: Quantity, unit: string): string => {
  const folded = unit.toLowerCase()
  const near = quantity.nearMisses.get(folded) ?? quantity.units.find(([name]) => name.toLowerCase() === folded)?.[0]
  // A capital B means bytes: guessing bits for `GB/s` would be wrong by a factor of eight.
  const meansBytes = quantity === rateQuantity && unit.includes("B")
  return near === undefined || meansBytes
    ? `${unit} is not a unit of ${quantity.noun}; use ${unitNames(quantity)}`
    : `${unit} is not a unit of ${quantity.noun}; did you mean ${near}?`
}

/** The shortest exact way to write a value: in the largest unit that it is a whole multiple of. */
export const formatQuantity = (quantity: Quantity, value: number): string => {
  const exact = BigInt(value)
  const [name, factor] =
    (exact === 0n ? undefined : quantity.units.findLast(([, unitFactor]) => exact % unitFactor === 0n)) ??
    quantity.units[0]!
  return `${exact / factor} ${name}`
}

const invalid = (message: string) => new SchemaIssue.InvalidValue({ message })

/** How a quantity that is not negative is written, for the JSON Schema; what it is worth is checked on decoding. */
const patternOf = (quantity: Quantity): string => {
  const units = [...quantity.units.map(([name]) => name), ...quantity.aliases.keys()]
  return `\\s*\\d+(\\.\\d+)?\\s*(${units.join("|")})\\s*`
}

const withPattern = (pattern: string) =>
  Schema.makeFilter<string>(() => undefined, { toJsonSchema: () => ({ pattern: `^(${pattern})$` }) })

const quantityCodec = (quantity: Quantity) =>
  Schema.String.annotate({
    description: `A ${quantity.noun} with its unit (${unitNames(quantity)}), as in ${quantity.example}`,
    message: unitMissing(quantity)
  }).pipe(
    Schema.check(withPattern(patternOf(quantity))),
    Schema.decodeTo(
      Schema.Int,
      SchemaTransformation.transformEffect({
        decode: (text: string) => {
          const result = parseQuantity(quantity, text)
          return "value" in result ? Effect.succeed(result.value) : Effect.fail(invalid(result.problem))
        },
        encode: (value: number) => Effect.succeed(formatQuantity(quantity, value))
      })
    )
  )

/** `64 KiB`, decoded to bytes. */
export const Size = quantityCodec(sizeQuantity)

/** `5 us`, decoded to picoseconds. */
export const Time = quantityCodec(timeQuantity)

/** `10 Gb/s`, decoded to bits per second. */
export const Rate = quantityCodec(rateQuantity)

/** A quantity within limits, or one of a few words that stand for one: `10 Gb/s`, or `line`. */
export const quantityOrWord = <const Words extends ReadonlyArray<string>>(
  quantity: Quantity,
  words: Words,
  limits: readonly [minimum: number, maximum: number]
) => {
  const isWord = (value: unknown): value is Words[number] => words.includes(value as string)
  const choice = `${words.join(", ")} or a ${quantity.noun} as in ${quantity.example}`
  return Schema.String.annotate({
    description: `${choice} (${unitNames(quantity)})`,
    message: `has no unit; write ${choice}`
  }).pipe(
    Schema.check(withPattern([...words, patternOf(quantity)].join("|"))),
    Schema.decodeTo(
      Schema.Union([Schema.Int, Schema.Literals(words)]),
      SchemaTransformation.transformEffect<number | Words[number], string>({
        decode: (text) => {
          if (isWord(text)) return Effect.succeed(text)
          if (text.length > LONGEST_TEXT) return Effect.fail(invalid(`is too long; write ${choice}`))
          // Text that does not even begin like a number is a misspelt word.
          if (!/^[-\d]/u.test(text.trim())) return Effect.fail(invalid(`${text} is not ${choice}`))
          const result = parseQuantity(quantity, text)
          if ("problem" in result) return Effect.fail(invalid(result.problem))
          const problem = outsideOf(quantity, limits, result.value)
          return problem === undefined ? Effect.succeed(result.value) : Effect.fail(invalid(problem))
        },
        encode: (value) => Effect.succeed(typeof value === "number" ? formatQuantity(quantity, value) : value)
      })
    )
  )
}

/** A check with a message made from the value; undefined means that the value is good. */
export const mustBe = (problemOf: (value: number) => string | undefined) => Schema.makeFilter<number>(problemOf)

const outsideOf = (
  quantity: Quantity,
  [minimum, maximum]: readonly [minimum: number, maximum: number],
  value: number
): string | undefined => {
  const written = formatQuantity(quantity, value)
  if (value < minimum) return `${written} is too small; at least ${formatQuantity(quantity, minimum)}`
  if (value > maximum) return `${written} is too large; at most ${formatQuantity(quantity, maximum)}`
  return undefined
}

/** Limits of a quantity, both included, named in the units that a person would write. */
export const within = (quantity: Quantity, minimum: number, maximum: number) =>
  mustBe((value) => outsideOf(quantity, [minimum, maximum], value))

/** A multiple of a step in a quantity's unit; the message names the nearest good values. */
export const steps = (quantity: Quantity, step: number) =>
  mustBe((value) => {
    if (value % step === 0) return undefined
    const below = value - (value % step)
    const good = `${formatQuantity(quantity, below)} or ${formatQuantity(quantity, below + step)}`
    return `${formatQuantity(quantity, value)} is not a multiple of ${formatQuantity(quantity, step)}; ${good} would do`
  })

/** A whole count within limits, both included, and a multiple of a step. */
export const count = (minimum: number, maximum: number, step = 1) =>
  Schema.Finite.annotate({
    message: `is not a count; write a whole number from ${minimum} to ${maximum}`
  }).check(
    Schema.makeFilter((value) => countProblem(value, minimum, maximum, step), {
      toJsonSchema: () => ({
        type: "integer",
        minimum,
        maximum,
        ...(step > 1 ? { multipleOf: step } : {})
      })
    })
  )

const countProblem = (value: number, minimum: number, maximum: number, step: number): string | undefined => {
  if (!Number.isInteger(value)) return `${value} is not a whole number`
  if (value < minimum) return `${value} is too small; at least ${minimum}`
  if (value > maximum) return `${value} is too large; at most ${maximum}`
  if (value % step === 0) return undefined
  const below = value - (value % step)
  const good = [below, below + step].filter((near) => near >= minimum && near <= maximum)
  return `${value} is not a multiple of ${step}; ${good.join(" or ")} would do`
}

type Renamed<Fields extends Schema.Struct.Fields, Names extends { readonly [K in keyof Fields]?: string }> = {
  readonly [K in keyof Fields as K extends keyof Names ? (Names[K] extends string ? Names[K] : K) : K]: Schema.toType<
    Fields[K]
  >
}

/**
 * A struct whose written keys decode to keys that carry their unit: `memory: 256 MiB` becomes `memoryBytes`.
 *
 * Values are checked under their written names, so that every problem is found at once and under the name that the
 * reader knows.
 */
export const withUnitKeys = <
  const Fields extends Schema.Struct.Fields,
  const Names extends { readonly [K in keyof Fields]?: string }
>(
  fields: Fields,
  names: Names
) => {
  const written = Schema.Struct(fields)
  const decodedName = (key: string): string => (names as Record<string, string | undefined>)[key] ?? key
  const decodedFields = Object.fromEntries(
    Object.entries(fields).map(([key, field]) => [decodedName(key), Schema.toType(field)])
  ) as Renamed<Fields, Names>
  const writtenName = new Map(Object.keys(fields).map((key) => [decodedName(key), key]))
  const rename = (from: object, nameOf: (key: string) => string) =>
    Object.fromEntries(Object.entries(from).map(([key, value]) => [nameOf(key), value]))
  return written.pipe(
    Schema.decodeTo(
      Schema.Struct(decodedFields),
      // The compiler cannot follow the renaming; `Renamed` states it and the tests check it.
      SchemaTransformation.transform<any, any>({
        decode: (from) => rename(from, decodedName),
        encode: (to) => rename(to, (key) => writtenName.get(key) ?? key)
      })
    )
  )
}
