import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { NaiveRanges } from "@vnic/dma-api/testing"
import { IOVA_NONE } from "../src/core/iova/allocator.ts"
import { makeBitmap, type Bitmap } from "../src/core/iova/bitmap.ts"

const bitmapOf = (pageCount: number, isFirstPageReserved: boolean, startPage = 0): Bitmap =>
  makeBitmap({ pageCount, isFirstPageReserved, startPage, reserved: [] })

interface Pair {
  readonly real: Bitmap
  readonly naive: NaiveRanges
  readonly live: Array<readonly [entry: number, pages: number]>
}

const makePair = (pageCount: number, isEntryZeroReserved: boolean, startPage = 0): Pair => ({
  real: bitmapOf(pageCount, isEntryZeroReserved, startPage),
  naive: new NaiveRanges(pageCount, isEntryZeroReserved, startPage),
  live: []
})

/** Allocates in both, with the same result and the same work. */
function allocate(pair: Pair, pages: number, alignment = 1, reach = pair.real.pageCount, boundary = 0): number {
  const { live, naive, real } = pair
  const entry = real.allocate(pages, alignment, reach, boundary)
  expect(entry).toBe(naive.allocate(pages, alignment, reach, boundary))
  expect(real.wordsScanned).toBe(naive.wordsScanned)
  if (entry !== IOVA_NONE) live.push([entry, pages])
  return entry
}

function free({ real, naive, live }: Pair, index: number): void {
  const [entry, pages] = live.splice(index, 1)[0]!
  real.free(entry, pages)
  naive.free(entry, pages)
}

/** The bitmap is what is live, and what is reserved; nothing else. */
function check({ real, naive, live }: Pair): void {
  const used = Array.from({ length: real.pageCount }, (_, entry) => real.isUsed(entry))
  expect(used).toEqual(naive.used)
  expect(real.pagesUsed).toBe(live.reduce((sum, [, pages]) => sum + pages, 0))
}

/** Every history of so many operations: each allocates 1 to 3 pages or frees one of what is live. */
function everyHistory(length: number, run: (operations: ReadonlyArray<number>) => void): void {
  const operations: Array<number> = []
  const extend = (): void => {
    run(operations)
    if (operations.length === length) return
    for (let operation = 0; operation < 6; operation++) {
      operations.push(operation)
      extend()
      operations.pop()
    }
  }
  extend()
}

describe("against an array of booleans", () => {
  for (const isEntryZeroReserved of [false, true]) {
    it(`every history of six operations on 8 pages, entry 0 ${isEntryZeroReserved ? "reserved" : "free"}`, () => {
      let histories = 0
      everyHistory(6, (operations) => {
        const real = bitmapOf(8, isEntryZeroReserved)
        const naive = new NaiveRanges(8, isEntryZeroReserved)
        const live: Array<readonly [number, number]> = []
        let isSame = true
        for (const operation of operations) {
          if (operation < 3) {
            const pages = operation + 1
            const entry = real.allocate(pages, 1)
            isSame &&= entry === naive.allocate(pages) && real.wordsScanned === naive.wordsScanned
            if (entry !== IOVA_NONE) live.push([entry, pages])
          } else if (operation - 3 < live.length) {
            const [entry, pages] = live.splice(operation - 3, 1)[0]!
            real.free(entry, pages)
            naive.free(entry, pages)
          }
        }
        for (let entry = 0; entry < 8; entry++) isSame &&= real.isUsed(entry) === naive.used[entry]
        if (!isSame) expect.fail(`differs after ${operations.join(" ")}`)
        histories++
      })
      expect(histories).toBe((6 ** 7 - 1) / 5)
    })
  }

  const operation = fc.record({
    isFree: fc.boolean(),
    pages: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 70 })),
    alignmentLog: fc.oneof(fc.constant(0), fc.nat({ max: 5 })),
    boundary: fc.constantFrom(0, 0, 1, 4, 16, 64, 256),
    pick: fc.nat()
  })
  test.prop([
    fc.integer({ min: 8, max: 700 }),
    fc.boolean(),
    fc.option(fc.nat({ max: 800 }), { nil: undefined }),
    fc.constantFrom(0, 1, 77, 2 ** 33 + 3),
    fc.array(operation, { maxLength: 120 })
  ])("random histories on larger windows, wherever they lie", (pageCount, isReserved, reach, startPage, operations) => {
    const pair = makePair(pageCount, isReserved, startPage)
    const reaches = [pageCount, Math.min(reach ?? pageCount, pageCount)]
    for (const { alignmentLog, boundary, isFree, pages, pick } of operations) {
      if (isFree && pair.live.length > 0) free(pair, pick % pair.live.length)
      else allocate(pair, pages, 1 << alignmentLog, reaches[pick % 2]!, boundary)
    }
    check(pair)
    while (pair.live.length > 0) free(pair, 0)
    check(pair)
    expect(pair.real.pagesUsed).toBe(0)
  })

  test.prop([fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 200 })])(
    "a window filled to the brim, emptied, and filled again",
    (sizes) => {
      const pair = makePair(256, true)
      for (let round = 0; round < 2; round++) {
        for (const pages of sizes) allocate(pair, pages)
        check(pair)
        while (pair.live.length > 0) free(pair, pair.live.length - 1)
      }
    }
  )
})

describe("the policy", () => {
  it("small requests use every 16th entry until the half is through, then fill in behind", () => {
    const bitmap = bitmapOf(128, true)
    const next = () => bitmap.allocate(1, 1)
    expect([next(), next(), next(), next()]).toEqual([1, 16, 32, 48])
    expect([next(), next(), next()]).toEqual([2, 17, 33])
  })

  it("goes on behind a boundary that a run would cross, and gives up when it is longer than that", () => {
    const bitmap = bitmapOf(128, true, 6)
    // On the bus the window begins at page 6, so entries 2 and 10 lie behind a multiple of 8.
    expect([bitmap.allocate(2, 1, 128, 8), bitmap.allocate(8, 1, 128, 8)]).toEqual([2, 18])
    expect(bitmap.allocate(9, 1, 128, 8)).toBe(IOVA_NONE)
    expect([bitmap.canEverFit(8, 1, 128, 8), bitmap.canEverFit(9, 1, 128, 8)]).toEqual([true, false])
    // So do those that are aligned.
    expect([bitmap.allocate(8, 8, 128, 8), bitmap.canEverFit(8, 8, 128, 8)]).toEqual([34, true])
  })

  it("never hands out what is reserved, and takes nothing of it back", () => {
    const reserved = [
      { firstPage: 5, pageCount: 4 },
      { firstPage: 7, pageCount: 3 },
      { firstPage: 60, pageCount: 100 }
    ]
    const bitmap = makeBitmap({ pageCount: 64, startPage: 0, isFirstPageReserved: true, reserved })
    const entries = new Set<number>()
    for (let entry = bitmap.allocate(1, 1); entry !== IOVA_NONE; entry = bitmap.allocate(1, 1)) entries.add(entry)
    const missing = Array.from({ length: 64 }, (_, entry) => entry).filter((entry) => !entries.has(entry))
    expect(missing).toEqual([0, 5, 6, 7, 8, 9, 31, 60, 61, 62, 63])
    expect(bitmap.pagesUsed).toBe(64 - 11)
    expect(() => bitmap.free(9, 2)).toThrow("outside the window")
  })

  it("reuses what was freed only when the hint comes round", () => {
    const bitmap = bitmapOf(128, false)
    const first = bitmap.allocate(1, 1)
    bitmap.free(first, 1)
    expect(bitmap.allocate(1, 1)).toBe(16)
  })

  it("large requests lie in the upper half, one right behind the other", () => {
    const bitmap = bitmapOf(256, true)
    expect([bitmap.allocate(16, 1), bitmap.allocate(17, 1), bitmap.allocate(15, 1)]).toEqual([128, 144, 1])
  })

  it("never hands out the last entry of a half, nor of the window, nor entry 0 when it is reserved", () => {
    const bitmap = bitmapOf(64, true)
    const entries = new Set<number>()
    for (let entry = bitmap.allocate(1, 1); entry !== IOVA_NONE; entry = bitmap.allocate(1, 1)) entries.add(entry)
    const missing = Array.from({ length: 64 }, (_, entry) => entry).filter((entry) => !entries.has(entry))
    expect(missing).toEqual([0, 31, 63])
  })

  it("a small request that finds its half full goes to the other half", () => {
    const bitmap = bitmapOf(64, false)
    for (let count = 0; count < 31; count++) expect(bitmap.allocate(1, 1)).toBeLessThan(32)
    expect(bitmap.allocate(1, 1)).toBe(32)
  })

  it("a large request that finds its half full takes room anywhere, across the middle too", () => {
    const bitmap = bitmapOf(64, false)
    expect(bitmap.allocate(31, 1)).toBe(32)
    bitmap.free(32, 31)
    expect(bitmap.allocate(40, 1)).toBe(0)
    expect(bitmap.isUsed(39)).toBe(true)
  })

  it("a device with a narrow mask finds room however far the hint has gone", () => {
    const bitmap = bitmapOf(1024, true)
    for (let count = 0; count < 20; count++) bitmap.allocate(1, 1)
    for (let count = 0; count < 40; count++) {
      const entry = bitmap.allocate(1, 1, 64)
      expect(entry).toBeGreaterThan(0)
      expect(entry).toBeLessThan(63)
    }
    expect(bitmap.canEverFit(62, 1, 64)).toBe(true)
    expect(bitmap.canEverFit(63, 1, 64)).toBe(false)
    expect(bitmap.allocate(1, 1, 0)).toBe(IOVA_NONE)
  })

  it("work is the words that were looked at, in all searches of a request", () => {
    const bitmap = bitmapOf(512, false)
    for (let count = 0; count < 16; count++) {
      bitmap.allocate(15, 1)
      expect(bitmap.wordsScanned).toBe(1)
    }
    // Nothing behind the hint; the four words of the lower half, one free entry in 16; one word of the upper half.
    expect(bitmap.allocate(15, 1)).toBe(256)
    expect(bitmap.wordsScanned).toBe(5)
    bitmap.free(256, 15)
    expect(bitmap.wordsScanned).toBe(1)
  })

  it("a freed range that is not allocated is a broken invariant", () => {
    const bitmap = bitmapOf(64, true)
    const entry = bitmap.allocate(4, 1)
    bitmap.free(entry, 4)
    expect(() => bitmap.free(entry, 4)).toThrow("not allocated")
    expect(() => bitmap.free(0, 1)).toThrow("outside the window")
    expect(() => bitmap.free(60, 5)).toThrow("outside the window")
  })
})
