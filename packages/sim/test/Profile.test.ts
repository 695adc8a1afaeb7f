import { describe, expect, it } from "vitest"
import {
  checkProfile,
  type Constant,
  CONSTANT_NAMES,
  findProfile,
  type Profile,
  PROFILES,
  profileValues
} from "@vnic/sim/core"

const [profile] = PROFILES as readonly [Profile]

const broken = (change: Partial<Constant>): Profile => ({
  ...profile,
  constants: { ...profile.constants, hypercall: { ...profile.constants.hypercall, ...change } }
})

describe.each(PROFILES.map((profile) => [profile.name, profile] as const))("profile %s", (name, profile) => {
  it("is found by its name", () => expect(findProfile(name)).toBe(profile))

  it.each(CONSTANT_NAMES)("%s has unit, source and tag, and lies where it may", (constantName) => {
    const constant = profile.constants[constantName]
    expect(constant.unit).toMatch(/^(ps(\/(word|KiB|waiter))?|bytes|count|share|bit\/s)$/)
    expect(constant.source.trim().length).toBeGreaterThan(5)
    expect("VDARXEF").toContain(constant.tag)
    expect(constant.value).toBeGreaterThanOrEqual(0)
    if (constant.tag !== "E") return
    const [low, high] = constant.range!
    expect(low).toBeLessThan(high)
    expect(constant.value).toBeGreaterThanOrEqual(low)
    expect(constant.value).toBeLessThanOrEqual(high)
  })

  it("has no constant without a name", () => {
    expect(Object.keys(profile.constants).toSorted()).toEqual([...CONSTANT_NAMES].toSorted())
  })

  it("fits at most one constant", () => {
    expect(CONSTANT_NAMES.filter((name) => profile.constants[name].tag === "F").length).toBeLessThanOrEqual(1)
  })
})

describe("a profile", () => {
  it("is refused when a constant has no source, no sense, no range or lies outside it", () => {
    expect(checkProfile(profile)).toBe(profile)
    expect(() => checkProfile(broken({ source: "" }))).toThrow("no source")
    expect(() => checkProfile(broken({ value: -1 }))).toThrow("no quantity")
    expect(() => checkProfile(broken({ value: NaN }))).toThrow("no quantity")
    expect(() => checkProfile(broken({ value: Infinity }))).toThrow("no quantity")
    expect(() => checkProfile(broken({ value: 0.5 }))).toThrow("no integer")
    expect(() => checkProfile(broken({ tag: "E" }))).toThrow("without a range")
    expect(() => checkProfile(broken({ tag: "E", range: [0, 1] }))).toThrow("outside its range")
  })

  it("gives bare values, some of them replaced", () => {
    const values = profileValues(profile, { hypercall: 5 })
    expect(values.hypercall).toBe(5)
    expect(values.lockAcquire).toBe(profile.constants.lockAcquire.value)
    expect(profileValues(profile, { hypercall: 0 }).hypercall).toBe(0)
  })
})

it("an unknown profile is not found", () => expect(findProfile("z80")).toBeUndefined())
