/**
 * What the contention study can be asked for.
 *
 * Goal: whatever cannot be run is refused with words that help, before anything runs. Method: tables of command
 * lines and of what is said about them.
 */
import { profileSummaries } from "@vnic/sim"
import { describe, expect, it } from "vitest"
import { LINES } from "../src/contention/lines.ts"
import { checkRoom } from "../src/contention/room.ts"
import { settingsOf, type Written } from "../src/contention/settings.ts"

const refusal = (written: Written): string | undefined => {
  try {
    checkRoom(settingsOf(written))
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

describe("settings", () => {
  it("have the defaults of the talk", () => {
    const settings = settingsOf({})
    expect(settings.lines.map(({ name }) => name)).toEqual(LINES.map(({ name }) => name))
    expect(settings.threads).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024])
    expect(settings).toMatchObject({ ops: 1_000_000, granulePages: 1, maskBits: 32, delayPs: 0, seed: 1 })
    expect(refusal({})).toBeUndefined()
  })

  it("choose lines and threads in the order of the charts, each once", () => {
    const settings = settingsOf({ line: "ring, direct,ring", threads: "8,1, 8" })
    expect(settings.lines.map(({ name }) => name)).toEqual(["direct", "ring"])
    expect(settings.threads).toEqual([1, 8])
  })

  it("move lines to another platform, and leave out those that mean theirs", () => {
    const on = (profile: string, line?: string) =>
      settingsOf({ profile, line }).lines.map((one) => [one.name, one.profile])
    expect(on("x86-sandybridge", "maple")).toEqual([["maple", "x86-sandybridge"]])
    expect(on("power7-pseries").map(([name]) => name)).not.toContain("rbtree-x86")
    expect(new Set(on("x86-sandybridge").map(([, profile]) => profile))).toEqual(new Set(["x86-sandybridge"]))
  })

  it("change the flush where there is one", () => {
    const settings = settingsOf({ line: "direct,rbtree,rbtree-x86", flush: "lazy-per-cpu" })
    expect(settings.lines.map(({ flush }) => flush)).toEqual(["strict", "strict", "lazy-per-cpu"])
  })

  it("take strict for TCE tables, which have nothing else", () => {
    expect(settingsOf({ line: "bitmap", flush: "strict" }).lines.map(({ flush }) => flush)).toEqual(["strict"])
  })

  it("have no line twice under two names", () => {
    const names = (written: Written) => settingsOf(written).lines.map(({ name }) => name)
    expect(names({ line: "rbtree-x86,rbtree-x86-lazy", flush: "strict" })).toEqual(["rbtree-x86"])
    expect(names({ line: "rbtree,rbtree-x86", profile: "x86-sandybridge" })).toEqual(["rbtree"])
    expect(names({ line: "bitmap,bitmap-outside", profile: "x86-sandybridge" })).toHaveLength(2)
  })

  it("know their platforms", () => {
    const known = profileSummaries.map(({ name }) => name)
    for (const { profile } of LINES) expect(known).toContain(profile)
  })
})

describe("refused", () => {
  const cases: ReadonlyArray<readonly [written: Written, message: string]> = [
    [{ line: "bitmp" }, "--line: bitmp is unknown; did you mean bitmap?"],
    [{ line: "bitmap,," }, "--line: "],
    [{ threads: "0" }, "--threads: 0 is not a whole number from 1 to 1024"],
    [{ threads: "2048" }, "--threads: 2048 is not a whole number from 1 to 1024"],
    [{ threads: "many" }, "--threads: many is not a number of threads, as in 1,2,4"],
    [{ threads: "1,,2" }, "--threads: nothing is not a number of threads"],
    [{ threads: "1e2" }, "--threads: 1e2 is not a number"],
    [{ ops: 0 }, "--ops: 0 is not a whole number"],
    [{ pattern: "twice" }, "--pattern: twice is no pattern; "],
    [{ pattern: "two-ring" }, "--pattern: two-ring is no pattern; did you mean two-rings?"],
    [{ granule: 1025 }, "--granule: 1025 is not a whole number from 1 to 1024"],
    [{ direction: "to-devise" }, "--direction: to-devise is unknown; did you mean to-device?"],
    [{ maskBits: 19 }, "--mask-bits: 19 is not a whole number from 20 to 32"],
    [{ maskBits: 33 }, "from 20 to 32; the bus addresses of every platform here end at 4 GiB"],
    [{ delay: "5" }, "--delay: 5 has no unit"],
    [{ delay: "11 ms" }, "--delay: 11 ms is not between 0 and 10 ms"],
    [{ delay: "-1 us" }, "--delay: -1 us is not between"],
    [{ flush: "lazy" }, "--flush: lazy is unknown; did you mean lazy-"],
    [{ line: "" }, "--line: needs a value"],
    [{ threads: "" }, "--threads: needs a value"],
    [{ pattern: "" }, "--pattern: needs one of once, fifo:N, two-rings:N or random:N"],
    [{ delay: " " }, "--delay: needs a value"],
    [{ flush: "lazy-global", line: "bitmap" }, "--flush: TCE tables need no flush"],
    [
      { flush: "lazy-global", line: "iommu-only", profile: "x86-sandybridge" },
      "--flush: iommu-only goes past the DMA API, which has the flush policies; use another line"
    ],
    [{ ops: "many" }, "--ops: many is not a whole number from 1 to 1000000000000"],
    [{ seed: "18446744073709551616" }, "--seed: 18446744073709551616 is not a whole number from 0 to 4294967295"],
    [{ profile: "power7" }, "--profile: power7 is unknown; did you mean power7-pseries?"],
    [{ profile: "power7-pseries", line: "rbtree-x86" }, "--profile: rbtree-x86 is a line of x86-sandybridge"],
    [{ seed: -1 }, "--seed: -1 is not a whole number"]
  ]
  it.each(cases)("%j", (written, message) => expect(refusal(written)).toContain(message))
})

describe("room", () => {
  const fifo = (depth: number, more: Written): Written => ({ pattern: `fifo:${depth}`, ...more })

  it("is for all threads' live mappings, by what the allocator has", () => {
    expect(refusal(fifo(512, { line: "bitmap", threads: "511" }))).toBeUndefined()
    expect(refusal(fifo(512, { line: "bitmap", threads: "512" }))).toContain("511 threads fit")
    // Pools have three quarters of the window.
    expect(refusal(fifo(512, { line: "bitmap-pool", threads: "383" }))).toBeUndefined()
    expect(refusal(fifo(512, { line: "bitmap-pool", threads: "384" }))).toContain("383 threads fit")
    expect(refusal(fifo(100_000, { line: "direct", threads: "1024" }))).toContain("--pattern")
    expect(refusal(fifo(512, { line: "direct", threads: "1024" }))).toBeUndefined()
  })

  it("counts what trees align", () => {
    expect(refusal(fifo(64, { line: "bitmap", threads: "1024", granule: 3 }))).toBeUndefined()
    expect(refusal(fifo(64, { line: "rbtree", threads: "1024", granule: 3 }))).toContain("1023 threads fit")
  })

  it("knows how bitmaps fill up", () => {
    // Large requests begin in the large pool and go on in the others.
    expect(refusal(fifo(512, { line: "bitmap-pool", threads: "16", granule: 16 }))).toBeUndefined()
    // Below the middle of the window, which is what a narrow mask reaches, small ones begin blocks.
    const narrow: Written = { line: "bitmap", threads: "1", granule: 3, maskBits: 20 }
    expect([refusal(fifo(80, narrow)), refusal(fifo(81, narrow))]).toEqual([undefined, expect.stringContaining("80")])
    // Of each block of 16 pages one range of 15 is all there is room for.
    expect(refusal(fifo(512, { line: "bitmap-pool", threads: "25", granule: 15 }))).toContain("24 threads fit")
  })

  it("ends at the mask", () => {
    expect(refusal(fifo(16, { line: "ring", threads: "16", maskBits: 20 }))).toContain("15 threads fit")
    expect(refusal(fifo(512, { line: "ring", threads: "1", maskBits: 20 }))).toContain("a wider mask")
    expect(refusal(fifo(512, { line: "rbtree-x86", threads: "1024" }))).toBeUndefined()
  })

  it("is refused by a flag that was given", () => {
    const narrow: Written = { line: "rbtree-x86", threads: "1", maskBits: 20 }
    expect(refusal({ ...narrow, granule: 128 })).toBeUndefined()
    expect(refusal({ ...narrow, granule: 1024 })).toBe(
      "--granule 1024: rbtree-x86 has no room for one mapping of 1,024 pages below 2^20"
    )
    expect(refusal({ ...narrow, granule: 64, threads: "4" })).toMatch(/^--granule 64: .*room for 3; 3 threads fit$/u)
    expect(refusal({ ...narrow, threads: "512" })).toMatch(/^--mask-bits 20: .*room for 255; 255 threads fit$/u)
    expect(refusal({ line: "ring", granule: 1024 })).toMatch(/^--granule 1024: .*255 threads fit$/u)
    // Not a single page: the buffers lie higher than the device reaches, and their addresses are the bus addresses.
    expect(refusal({ line: "identity", threads: "1", maskBits: 24, granule: 16 })).toBe(
      "--mask-bits 24: identity has no room for one mapping of 16 pages below 2^24"
    )
    expect(refusal({ line: "identity", threads: "1", maskBits: 24, pattern: "fifo:4" })).toContain("1 page below 2^24")
  })

  it("ends at what the platform hands out, however wide the mask", () => {
    for (const line of ["ring", "maple"]) {
      const vtd = { line, profile: "x86-sandybridge" }
      expect(refusal(fifo(65_536, { ...vtd, threads: "15" }))).toBeUndefined()
      // 2^20 pages, of which the first and those of interrupts are left alone.
      expect(refusal(fifo(65_519, { ...vtd, threads: "16" }))).toBeUndefined()
      expect(refusal(fifo(65_520, { ...vtd, threads: "16" }))).toContain("15 threads fit")
      expect(refusal(fifo(65_536, { ...vtd, threads: "32" }))).toContain("room for 1,048,319; 15 threads fit")
    }
  })
})
