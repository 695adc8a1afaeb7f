/**
 * Goal: what is said of allocators by name is what they do. Method: each fills a window with requests of one length;
 * how many ranges it was given, and where, tells. (`maySlowDown` is left to the contention study.)
 */
import { describe, expect, it } from "vitest"
import { allocatorTraits } from "@vnic/dma-api"
import {
  ALLOCATOR_NAMES,
  ALLOCATORS,
  IOVA_NONE,
  rangesThatFit,
  type AllocatorName,
  type WindowRoom
} from "@vnic/dma-api/core"
import { Caller, makeSerialHost, windowOf } from "./support/allocators.ts"

/** With pages of 2^30 bytes a window is large enough for four pools, with 2^12 it has one. */
const PAGE_SHIFTS = [12, 30]
const WINDOWS = [256, 1000, 1024, 4096]
/** At the bus's beginning, at a multiple of all lengths, and at none of any. */
const START_PAGES = [0, 2 ** 20, 1023, 2 ** 35 + 777]
const LENGTHS = [1, 2, 3, 5, 7, 8, 9, 12, 15, 16, 17, 31, 33, 64, 100]

/** First pages of all the ranges that fit; the memory of each lies behind that of the one before. */
function filled(name: AllocatorName, room: WindowRoom, pages: number, firstPage?: number) {
  const { pageCount, reach = pageCount, startPage = 0 } = room
  const memoryPage = firstPage ?? (startPage === 0 ? 1 : 0)
  const host = makeSerialHost(1)
  const window = windowOf({ ...room, isFirstPageReserved: startPage === 0, pagesBelow4GiB: pageCount }, host)
  const caller = new Caller(host, ALLOCATORS[name](window))
  const firsts: Array<number> = []
  const request = { pages, alignment: 1, reach }
  const next = (): number => caller.allocate(0, request, memoryPage + firsts.length * pages)
  for (let first = next(); first !== IOVA_NONE; first = next()) firsts.push(first)
  return firsts
}

const isExact = (name: AllocatorName, room: WindowRoom, pages: number): boolean => {
  const { pageCount, pageShift, reach, reserved, startPage = 0 } = room
  const isWhole = reach === undefined && reserved === undefined && startPage % pageCount === 0
  return (
    name !== "ring" &&
    [1024, 4096].includes(pageCount) &&
    isWhole &&
    !(name === "bitmap-pool" && pageShift === 30 && pages < 16)
  )
}

/** Every window wherever it begins, whole, up to some of its pages, and with holes. */
const rooms = (): ReadonlyArray<WindowRoom> =>
  START_PAGES.flatMap((startPage) =>
    PAGE_SHIFTS.flatMap((pageShift) => WINDOWS.flatMap((pageCount) => partsOf({ startPage, pageShift, pageCount })))
  )

const partsOf = (window: WindowRoom): ReadonlyArray<WindowRoom> => {
  const { pageCount } = window
  return [
    window,
    ...[16, 64, 240, 512, 768, 2048].filter((reach) => reach < pageCount).map((reach) => ({ ...window, reach })),
    { ...window, reserved: [{ firstPage: pageCount - 20, pageCount: 16 }] },
    {
      ...window,
      reserved: [
        { firstPage: 48, pageCount: 32 },
        { firstPage: pageCount >> 1, pageCount: 64 }
      ]
    },
    { ...window, reach: 160, reserved: [{ firstPage: 96, pageCount: 16 }] }
  ]
}

describe.each(ALLOCATOR_NAMES)("%s", (name) => {
  it.each(LENGTHS)("holds as many ranges of %i pages as is said", (pages) => {
    const wrong: Array<string> = []
    for (const room of rooms()) {
      // Memory that lies in a hole, or higher than the device reaches, is not the allocator's to refuse.
      if (name === "identity" && room.reserved !== undefined) continue
      const count = filled(name, room, pages).length
      const said = rangesThatFit(name, room, pages)
      const isTrue = name === "ring" ? count <= said : count >= said
      const isExactly = count === said || !isExact(name, room, pages)
      if (!isTrue || !isExactly) wrong.push(`${JSON.stringify(room)}: ${count}, not ${said}`)
    }
    expect(wrong).toEqual([])
  })

  it("chooses addresses, or takes the memory's", () => {
    expect(filled(name, { pageCount: 1024, pageShift: 12 }, 1, 300)[0] === 300).toBe(!allocatorTraits[name].hasChoice)
  })
})
