import { fc, test } from "@fast-check/vitest"
import { IOTLB_MISS, makeIotlb } from "@vnic/iommu/core"
import { makeNaiveIotlb } from "@vnic/iommu/testing"
import { describe, expect, it } from "vitest"

const PAGE_BYTES = 4096
const SETS = 4
const WAYS = 2

const domain = fc.integer({ min: 0, max: 2 })
const page = fc.oneof(fc.nat(20), fc.constantFrom(511, 512, 513, 1024, 2 ** 18, 2 ** 18 + 512, 2 ** 35))
const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("lookup" as const), domain, page }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("insert" as const), domain, page, level: fc.integer({ min: 1, max: 3 }) })
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("pages" as const), domain, page, count: fc.constantFrom(1, 2, 600) })
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("domain" as const), domain }) }
)

describe("the IOTLB", () => {
  test.prop([fc.array(operation, { maxLength: 120 })], { numRuns: 300 })(
    "answers as lists of copies in the order of their use do",
    (operations) => {
      const iotlb = makeIotlb(SETS, WAYS)
      const naive = makeNaiveIotlb(SETS, WAYS)
      let lookups = 0
      for (const one of operations) {
        if (one.kind === "lookup") {
          const slot = iotlb.lookup(one.domain, one.page)
          const phys = slot === IOTLB_MISS ? -1 : iotlb.physOf(slot, one.page * PAGE_BYTES)
          expect(phys).toBe(naive.lookup(one.domain, one.page))
          lookups++
        } else if (one.kind === "insert") {
          const phys = (one.domain + 1) * 2 ** 20 + (one.page % 7) * PAGE_BYTES + one.level * 2 ** 24
          iotlb.insert(one.domain, one.level, one.page, phys, 3, 0)
          naive.insert(one.domain, one.level, one.page, phys)
        } else if (one.kind === "pages") {
          iotlb.invalidatePages(one.domain, one.page, one.count, 0)
          naive.invalidate(one.domain, one.page, one.count)
        } else {
          iotlb.invalidateDomain(one.domain, 0)
          naive.invalidate(one.domain)
        }
      }
      expect(iotlb.hits + iotlb.misses).toBe(lookups)
      iotlb.invalidateAll(0)
      for (const at of [0, 5, 512, 2 ** 18]) expect(iotlb.lookup(1, at)).toBe(IOTLB_MISS)
    }
  )

  it("counts uses of a copy from the removal of its page on, and how long it stayed", () => {
    const iotlb = makeIotlb(SETS, WAYS)
    const slot = iotlb.insert(1, 1, 7, 0, 3, 0)
    expect(iotlb.isStale(slot, 10)).toBe(false)
    iotlb.removed(1, 7, 1, 100)
    // A device that is behind the CPU uses it before the removal.
    expect([99, 100].map((timePs) => iotlb.isStale(slot, timePs))).toEqual([false, true])
    expect(iotlb.stale).toMatchObject({ hits: 0, bytes: 0, windows: 0 })
    iotlb.used(slot, 64, 130)
    iotlb.used(slot, 1000, 110)
    // Only the first removal counts.
    iotlb.removed(1, 0, 600, 500)
    iotlb.invalidatePages(1, 0, 16, 600)
    expect(iotlb.stale).toEqual({
      hits: 2,
      bytes: 1064,
      latestUsePs: 30,
      windows: 1,
      windowPsMean: 500,
      windowPsMax: 500
    })
    iotlb.insert(1, 1, 7, 0, 3, 700)
    iotlb.invalidateAll(800)
    expect(iotlb.stale.windows).toBe(1)
  })

  it("ends the time of a stale copy that makes room for another one", () => {
    const iotlb = makeIotlb(1, 1)
    iotlb.insert(1, 2, 512, 0, 3, 0)
    iotlb.removed(1, 700, 1, 50)
    iotlb.insert(1, 1, 3, 0, 3, 80)
    expect(iotlb.stale).toMatchObject({ windows: 1, windowPsMax: 30 })
  })

  it("refuses a number of sets that is no power of two", () => {
    expect(() => makeIotlb(3, 1)).toThrow("power of two")
    expect(() => makeIotlb(4, 0)).toThrow("no ways")
  })
})
