/** DMA debug over the bounce buffer and the window: what backends do with a mistake hides none and makes no other. */
import { fc, test } from "@fast-check/vitest"
import { describe, expect } from "vitest"
import { FINDING_KINDS, watchPages, type FindingKind } from "@vnic/dma-api/core"
import { debugOptionsFor, runMisbehavingDriver } from "@vnic/dma-api/testing"
import { memoryWorld } from "./support/memory.ts"
import { MEMORY_BYTES } from "./support/setup.ts"

describe.each(["bounce", "window"] as const)("on the %s backend", (backend) => {
  const run = (seed: number, mistake?: FindingKind) => {
    const options = { debugOptions: debugOptionsFor(mistake), bounce: { slotCount: 256, setSlots: 16 } }
    const { device, dma, pages: plain } = memoryWorld(backend, options, MEMORY_BYTES)
    const pagesBefore = plain.pagesUsed
    const pages = watchPages(plain, (phys, sizeBytes) => dma.debug!.pageFreed(phys, sizeBytes))
    runMisbehavingDriver({ device, pages, seed, ...(mistake === undefined ? {} : { mistake }) })
    return { dma, pagesLeft: plain.pagesUsed - pagesBefore }
  }

  test.prop([fc.integer()], { numRuns: 25 })("a driver that does everything right is never accused", (seed) => {
    const { dma, pagesLeft } = run(seed)
    expect(dma.findings()).toEqual([])
    expect([dma.liveCount(), dma.snapshot().bounce.slotsUsed, pagesLeft]).toEqual([0, 0, 0])
  })

  // The bounce buffer has no room across a boundary: such a list is not mapped at all.
  const kinds = FINDING_KINDS.filter((kind) => backend !== "bounce" || kind !== "segmentAcrossBoundary")

  describe.each(kinds)("a driver with one mistake: %s", (mistake) => {
    test.prop([fc.integer()], { numRuns: 4 })("has that finding and no other", (seed) => {
      const { dma, pagesLeft } = run(seed, mistake)
      expect(dma.findings().map(({ kind }) => kind)).toEqual([mistake])
      const leaked = mistake === "leak" ? 1 : 0
      expect([dma.liveCount(), pagesLeft]).toEqual([leaked, leaked])
    })
  })
})
