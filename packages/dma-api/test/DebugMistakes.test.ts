/** A driver that does everything right is never accused; one that makes one mistake is accused of that one. */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { DEBUG_CHECKS, FINDING_KINDS, watchPages, type BackendName, type FindingKind } from "@vnic/dma-api/core"
import { debugOptionsFor, runMisbehavingDriver } from "@vnic/dma-api/testing"
import { BACKENDS, MASK_32, setUp } from "./support/setup.ts"

/** The driver, run over this backend with the settings that the mistake needs. */
function run(backend: BackendName, seed: number, mistake?: FindingKind, settings = mistake) {
  const { dma, pages: plain } = setUp(backend, { debugOptions: debugOptionsFor(settings) })
  const pages = watchPages(plain, (phys, sizeBytes) => dma.debug!.pageFreed(phys, sizeBytes))
  const device = dma.attach("nic0", MASK_32)
  runMisbehavingDriver({ device, pages, seed, ...(mistake === undefined ? {} : { mistake }) })
  return { dma, pages: plain }
}

describe.each(BACKENDS)("on the %s backend", (backend) => {
  test.prop([fc.integer(), fc.constantFrom(undefined, "poolGrowth" as const, "entriesExhausted" as const)], {
    numRuns: 50
  })("a driver that does everything right is never accused, whatever the settings", (seed, settings) => {
    const { dma, pages } = run(backend, seed, undefined, settings)
    expect(dma.findings()).toEqual([])
    expect([dma.liveCount(), dma.liveMappings(), pages.pagesUsed]).toEqual([0, [], 0])
  })

  describe.each(FINDING_KINDS)("a driver with one mistake: %s", (mistake) => {
    test.prop([fc.integer()], { numRuns: 10 })("has that finding and no other", (seed) => {
      const { dma, pages } = run(backend, seed, mistake)
      expect(dma.findings().map(({ device, kind }) => [device, kind])).toEqual([["nic0", mistake]])
      expect(dma.debug!.counts[mistake]).toBe(1)
      expect(dma.snapshot().findings).toBe(1)
      expect([dma.liveCount(), pages.pagesUsed]).toEqual(mistake === "leak" ? [1, 1] : [0, 0])
    })
  })
})

describe("the table of checks", () => {
  it("numbers them, the 25 of the kernel first, and names each once", () => {
    expect(DEBUG_CHECKS.map(({ number }) => number)).toEqual(DEBUG_CHECKS.map((_, index) => index + 1))
    expect(new Set(FINDING_KINDS).size).toBe(27)
    expect(FINDING_KINDS.slice(25)).toEqual(["pageFreedWhileMapped", "accessOutsideMapping"])
  })
})
