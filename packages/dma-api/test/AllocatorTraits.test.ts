/**
 * Goal: what is said of allocators by name is what they do. Method: each fills a window with requests of one length;
 * how many ranges it was given, and where, tells. (`maySlowDown` is left to the contention study.)
 */
import { describe, expect, it } from "vitest"
import { allocatorTraits } from "@vnic/dma-api"
import { ALLOCATOR_NAMES, ALLOCATORS, IOVA_NONE, rangesThatFit, type AllocatorName } from "@vnic/dma-api/core"
import { Caller, makeSerialHost, windowOf } from "./support/allocators.ts"

/** With pages of 2^30 bytes a window is large enough for four pools, with 2^12 it has one. */
const PAGE_SHIFTS = [12, 30]
const WINDOWS = [256, 1000, 1024, 4096]
const LENGTHS = [1, 2, 3, 5, 7, 8, 9, 12, 15, 16, 17, 31, 33, 64, 100]

/** First pages of all the ranges that fit; the memory of each lies behind that of the one before. */
function filled(name: AllocatorName, pageCount: number, pageShift: number, pages: number, memoryPage = 1) {
  const host = makeSerialHost(1)
  const window = windowOf({ pageCount, isFirstPageReserved: true, pagesBelow4GiB: pageCount, pageShift }, host)
  const caller = new Caller(host, ALLOCATORS[name](window, "none"))
  const firsts: Array<number> = []
  const request = { pages, alignment: 1, reach: pageCount }
  const next = (): number => caller.allocate(0, request, memoryPage + firsts.length * pages)
  for (let first = next(); first !== IOVA_NONE; first = next()) firsts.push(first)
  return firsts
}

const isExact = (name: AllocatorName, pageCount: number, pageShift: number, pages: number): boolean =>
  name !== "ring" && [1024, 4096].includes(pageCount) && !(name === "bitmap-pool" && pageShift === 30 && pages < 16)

describe.each(ALLOCATOR_NAMES)("%s", (name) => {
  it.each(LENGTHS)("holds as many ranges of %i pages as is said", (pages) => {
    const wrong: Array<string> = []
    for (const pageShift of PAGE_SHIFTS) {
      for (const pageCount of WINDOWS) {
        const count = filled(name, pageCount, pageShift, pages).length
        const said = rangesThatFit(name, pageCount, pageShift, pages)
        const isTrue = name === "ring" ? count <= said : count >= said
        const isExactly = count === said || !isExact(name, pageCount, pageShift, pages)
        if (!isTrue || !isExactly) wrong.push(`${pageCount} pages of 2^${pageShift} bytes: ${count}, not ${said}`)
      }
    }
    expect(wrong).toEqual([])
  })

  it("chooses addresses, or takes the memory's", () => {
    expect(filled(name, 1024, 12, 1, 300)[0] === 300).toBe(!allocatorTraits[name].hasChoice)
  })
})
