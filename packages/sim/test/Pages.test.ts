import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { makePageAllocator, PAGE_NONE, PAGE_ORDER_MAX, type PageAllocator } from "@vnic/sim/core"

const PAGE_BYTES = 4096

/** Largest free aligned block, by looking at every page. */
function naiveCanAllocate(used: ReadonlySet<number>, pageCount: number, order: number): boolean {
  const pages = 2 ** order
  for (let first = 0; first + pages <= pageCount; first += pages) {
    let isFree = true
    for (let page = first; page < first + pages && isFree; page++) isFree = !used.has(page)
    if (isFree) return true
  }
  return false
}

/** Blocks of every order that can be had one after the other, from the largest down: the shape of free memory. */
function drain(pages: PageAllocator): ReadonlyArray<readonly [order: number, phys: number]> {
  const blocks: Array<readonly [number, number]> = []
  for (let order = PAGE_ORDER_MAX; order >= 0; order--) {
    for (let phys = pages.allocate(order); phys !== PAGE_NONE; phys = pages.allocate(order)) blocks.push([order, phys])
  }
  return blocks
}

const operations = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("allocate" as const), order: fc.nat({ max: 5 }) }),
    fc.record({ kind: fc.constant("free" as const), which: fc.nat() })
  ),
  { maxLength: 120 }
)

describe("page allocator", () => {
  test.prop([fc.integer({ min: 1, max: 100 }), operations], { numRuns: 300 })(
    "never overlaps, aligns, fails only when it must, and coalesces back to where it began",
    (pageCount, operations) => {
      const pages = makePageAllocator(pageCount * PAGE_BYTES, PAGE_BYTES)
      const used = new Set<number>()
      const live: Array<{ readonly phys: number; readonly order: number }> = []
      const release = (index: number): void => {
        const [block] = live.splice(index, 1)
        pages.free(block!.phys)
        for (let page = 0; page < 2 ** block!.order; page++) used.delete(block!.phys / PAGE_BYTES + page)
      }
      let usedMax = 0
      for (const operation of operations) {
        if (operation.kind === "free") {
          if (live.length > 0) release(operation.which % live.length)
        } else {
          const { order } = operation
          const phys = pages.allocate(order)
          // A buddy allocator that coalesces at once has a block exactly when an aligned range is free.
          expect(phys !== PAGE_NONE).toBe(naiveCanAllocate(used, pageCount, order))
          if (phys !== PAGE_NONE) {
            expect(phys % (PAGE_BYTES * 2 ** order)).toBe(0)
            for (let page = 0; page < 2 ** order; page++) {
              expect(used.has(phys / PAGE_BYTES + page)).toBe(false)
              used.add(phys / PAGE_BYTES + page)
            }
            expect(Math.max(...used)).toBeLessThan(pageCount)
            live.push({ phys, order })
          }
        }
        usedMax = Math.max(usedMax, used.size)
        expect([pages.pagesUsed, pages.pagesUsedMax]).toEqual([used.size, usedMax])
      }
      while (live.length > 0) release(live.length >> 1)
      expect(pages.pagesUsed).toBe(0)
      const sorted = drain(pages).toSorted((left, right) => left[1] - right[1])
      expect(sorted).toEqual(
        drain(makePageAllocator(pageCount * PAGE_BYTES, PAGE_BYTES)).toSorted((a, b) => a[1] - b[1])
      )
    }
  )

  it("hands out the lowest address first", () => {
    const pages = makePageAllocator(4 * PAGE_BYTES, PAGE_BYTES)
    expect([0, 0, 1].map((order) => pages.allocate(order))).toEqual([0, PAGE_BYTES, 2 * PAGE_BYTES])
  })

  it("can be told to fail at the n-th call, once", () => {
    for (let failAt = 1; failAt <= 4; failAt++) {
      const pages = makePageAllocator(8 * PAGE_BYTES, PAGE_BYTES)
      pages.failAt = failAt
      const results = [1, 2, 3, 4].map(() => pages.allocate(0))
      expect(results.map((phys) => phys === PAGE_NONE)).toEqual([1, 2, 3, 4].map((call) => call === failAt))
      expect([pages.allocations, pages.failures, pages.pagesUsed]).toEqual([4, 1, 3])
    }
  })

  it("knows the order that holds a size", () => {
    const pages = makePageAllocator(65536 * 16, 65536)
    expect([1, 65536, 65537, 131072, 262145].map((size) => pages.orderFor(size))).toEqual([0, 0, 1, 1, 3])
    expect(pages.orderFor(2 ** 31)).toBe(15)
  })

  it("refuses to free what is not the start of an allocated block", () => {
    const pages = makePageAllocator(8 * PAGE_BYTES, PAGE_BYTES)
    const phys = pages.allocate(1)
    expect(() => pages.free(phys + PAGE_BYTES)).toThrow("not allocated")
    expect(() => pages.free(phys + 1)).toThrow("not allocated")
    expect(() => pages.free(8 * PAGE_BYTES)).toThrow("not allocated")
    expect(() => pages.free(PAGE_NONE)).toThrow("not allocated")
    pages.free(phys)
    expect(() => pages.free(phys)).toThrow("not allocated")
    expect(() => makePageAllocator(5000, PAGE_BYTES)).toThrow("whole pages")
  })
})
