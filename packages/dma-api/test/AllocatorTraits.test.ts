/**
 * Goal: what is said of allocators by name is what they do. Method: each fills a window with requests of one length;
 * how many ranges it was given, and where, tells. (`maySlowDown` is left to the contention study.)
 */
import { describe, expect, it } from "vitest"
import { allocatorTraits, POOLED_SHARE, SMALL_PAGES_MAX } from "@vnic/dma-api"
import { ALLOCATOR_NAMES, ALLOCATORS, IOVA_NONE, type AllocatorName } from "@vnic/dma-api/core"
import { Caller, makeSerialHost, windowOf } from "./support/allocators.ts"

const PAGES = 1024
const POOLED_PAGES = PAGES * POOLED_SHARE

/** First pages of all the ranges that fit; the memory of each lies behind that of the one before. */
function filled(name: AllocatorName, pages: number, memoryPage = 1): ReadonlyArray<number> {
  const host = makeSerialHost(1)
  const window = windowOf({ pageCount: PAGES, isFirstPageReserved: true, pagesBelow4GiB: PAGES }, host)
  const caller = new Caller(host, ALLOCATORS[name](window, "none"))
  const firsts: Array<number> = []
  const request = { pages, alignment: 1, reach: PAGES }
  const next = (): number => caller.allocate(0, request, memoryPage + firsts.length * pages)
  for (let first = next(); first !== IOVA_NONE; first = next()) firsts.push(first)
  return firsts
}

describe.each(ALLOCATOR_NAMES)("%s", (name) => {
  const { hasChoice, hasPools, isSizeAligned } = allocatorTraits[name]

  it("takes powers of two of pages, or what is asked for", () => {
    expect(filled(name, 5).length <= PAGES / 8).toBe(isSizeAligned)
  })

  it("keeps small requests in pools, and puts large ones behind them, or not", () => {
    expect(Math.max(...filled(name, SMALL_PAGES_MAX)) < POOLED_PAGES).toBe(hasPools)
    expect(filled(name, SMALL_PAGES_MAX + 1)[0] === POOLED_PAGES).toBe(hasPools)
  })

  it("chooses addresses, or takes the memory's", () => {
    expect(filled(name, 1, 300)[0] === 300).toBe(!hasChoice)
  })
})
