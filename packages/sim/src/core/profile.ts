/**
 * Platform profiles: what one unit of each kind of work costs on a machine. A profile is data. Every
 * constant carries its unit, where it comes from, and a tag that says how far to trust it:
 * V read at its source, D digitised from a chart, A from an abstract, R recalled and arithmetically
 * consistent, X derived from the others, E an assumption within a range, F fitted to a published row.
 */
import { assert } from "./assert.ts"

export type Tag = "V" | "D" | "A" | "R" | "X" | "E" | "F"

export type Unit = "ps" | "ps/word" | "ps/KiB" | "ps/waiter" | "bytes" | "count" | "share" | "bit/s"

/** One constant of a profile. */
export interface Constant {
  readonly value: number
  readonly unit: Unit
  readonly tag: Tag
  readonly source: string
  /** Where the truth may lie, for tag E. */
  readonly range?: readonly [low: number, high: number]
}

/** The names that every profile gives a value to. */
export const CONSTANT_NAMES = [
  "coreCount",
  "threadsPerCore",
  "speedWithTwoThreads",
  "speedWithFourThreads",
  "timeSlice",
  "contextSwitch",
  "benchmarkLoop",
  "systemPageBytes",
  "cacheLineBytes",
  "stackFrame",
  "stackJitter",
  "interruptEntry",
  "pollEntry",
  "descriptorWork",
  "pageAllocation",
  "mmioWrite",
  "copyKiB",
  "copyCall",
  "lockAcquire",
  "lockHandOff",
  "lockHandOffPerWaiter",
  "bitmapSearch",
  "bitmapWord",
  "treeSearch",
  "treeVisit",
  "magazineOperation",
  "constantAllocation",
  "directMapPair",
  "mapOther",
  "unmapOther",
  "flushQueue",
  "pageTableInsert",
  "pageTableRemove",
  "pageTableEntry",
  "invalidation",
  "invalidationPoll",
  "iotlbSets",
  "iotlbWays",
  "hypercall",
  "hypercallPerTce",
  "tceFetch",
  "dmaReadLatency",
  "dmaWriteLatency",
  "interruptLatency",
  "mmioLatency",
  "busRate",
  "busPayloadMax",
  "busReadRequestMax",
  "busWriteHeader",
  "busReadHeader",
  "busCompletionHeader"
] as const

export type ConstantName = (typeof CONSTANT_NAMES)[number]

export interface Profile {
  readonly name: string
  readonly about: string
  /** The kind of IOMMU that the platform has, where it has one. */
  readonly iommu: "tce" | "vtd"
  readonly constants: Readonly<Record<ConstantName, Constant>>
}

/** The bare values of a profile, each in the unit of its constant. */
export type ProfileValues = Readonly<Record<ConstantName, number>>

/** Checks a profile (integers where they must be, values inside their ranges, sources given) and returns it. */
export function checkProfile(profile: Profile): Profile {
  for (const name of CONSTANT_NAMES) {
    const constant = profile.constants[name]
    assert(constant.source.length > 0, `${profile.name}.${name} has no source`)
    assert(constant.value >= 0 && Number.isFinite(constant.value), `${profile.name}.${name} is no quantity`)
    assert(constant.unit === "share" || Number.isInteger(constant.value), `${profile.name}.${name} is no integer`)
    if (constant.tag === "E") assert(constant.range !== undefined, `${profile.name}.${name} is E without a range`)
    if (constant.range !== undefined) {
      const [low, high] = constant.range
      assert(low <= constant.value && constant.value <= high, `${profile.name}.${name} is outside its range`)
    }
  }
  return profile
}

/** The profile's values, some of them replaced. */
export function profileValues(profile: Profile, changes: Partial<ProfileValues> = {}): ProfileValues {
  const values: Partial<Record<ConstantName, number>> = {}
  for (const name of CONSTANT_NAMES) values[name] = changes[name] ?? profile.constants[name].value
  return values as ProfileValues
}
