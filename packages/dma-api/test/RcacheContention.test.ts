/**
 * Several CPUs at one address space with magazines.
 *
 * Goal: whatever they do while others wait for a lock, no page is handed out twice and none is lost. Method: CPUs of
 * the simulator that allocate, free and drain at random, and a note of whose each page is.
 */
import { describe, expect, it } from "vitest"
import { ACCOUNT_DMA_API, makePrng } from "@vnic/sim/core"
import { IOVA_NONE } from "../src/core/iova/allocator.ts"
import { makeRcacheAllocator } from "../src/core/iova/rcache.ts"
import { cpusOf } from "./support/rcache.ts"
import { windowOf } from "./support/trees.ts"

/** CPUs that each keep a few ranges and take turns at allocating and freeing them, at random, at the same time. */
function contend(options: {
  readonly cpuCount: number
  readonly pageCount: number
  readonly depot: "bounded" | "trimmed"
  /** Allocations of each CPU. */
  readonly count: number
  /** About as many are live at a time. */
  readonly depth: number
  /** Of every fourth request; the others are for one page. */
  readonly pagesMax: number
}) {
  const { count, cpuCount, depot, depth, pageCount, pagesMax } = options
  const { cpus, timeline } = cpusOf(cpuCount)
  const allocator = makeRcacheAllocator(windowOf(pageCount, Math.floor(pageCount / 2), cpus), { depot })
  const prng = makePrng(7)
  const owners = new Int32Array(pageCount).fill(-1)
  const live: ReadonlyArray<Array<readonly [first: number, pages: number]>> = Array.from({ length: cpuCount }, () => [])
  const left = new Int32Array(cpuCount).fill(count)
  const asked = new Int32Array(cpuCount)
  let failures = 0
  const next = cpus.define("next", (cpu) => {
    const ranges = live[cpu]!
    const isLast = left[cpu] === 0
    if (isLast && ranges.length === 0) return cpus.sleep(cpu)
    if (isLast || ranges.length > prng.below(2 * depth)) {
      const [[first, pages]] = ranges.splice(prng.below(ranges.length), 1) as [readonly [number, number]]
      owners.fill(-1, first, first + pages)
      return allocator.beginFree(cpu, first, pages, again)
    }
    left[cpu]! -= 1
    asked[cpu] = prng.below(4) === 0 ? 1 + prng.below(pagesMax) : 1
    return allocator.beginAllocate(cpu, asked[cpu]!, 1, pageCount, -1, allocated)
  })
  const again = cpus.define("again", (cpu) => cpus.lookAgain(cpu, next))
  const allocated = cpus.define("allocated", (cpu) => {
    const first = allocator.firsts[cpu]!
    if (first === IOVA_NONE) {
      failures++
      return cpus.lookAgain(cpu, next)
    }
    for (let page = first; page < first + asked[cpu]!; page++) {
      if (owners[page] !== -1) expect.fail(`page ${page} was handed out twice`)
      owners[page] = cpu
    }
    live[cpu]!.push([first, asked[cpu]!])
    return cpus.lookAgain(cpu, next)
  })
  for (let cpu = 0; cpu < cpuCount; cpu++) cpus.wake(cpu, next)
  timeline.runUntil(1e12, Infinity)
  return { allocator, cpus, failures, isDone: left.every((count) => count === 0) }
}

describe("several CPUs at once", () => {
  it.each([
    ["bounded", 2],
    ["trimmed", 2],
    ["bounded", 8],
    ["trimmed", 8]
  ] as const)("no page is handed out twice, none is lost: %s, %i CPUs", (depot, cpuCount) => {
    // The window is too small for what they ask, so that caches are drained under way.
    const { allocator, cpus, failures, isDone } = contend({
      cpuCount,
      pageCount: 1500 * cpuCount,
      depot,
      count: 3000,
      depth: 300,
      pagesMax: 40
    })
    expect([isDone, allocator.pagesUsed]).toEqual([true, 0])
    expect(allocator.treePages).toBe(allocator.cachedPages)
    expect(failures).toBeGreaterThan(0)
    const tree = cpus.lockCounts().find(({ name }) => name === "iova tree")!
    expect(tree.contended).toBeGreaterThan(0)
  })

  it("that drain take also what a CPU ahead of them frees only later", () => {
    const { cpus, timeline } = cpusOf(2)
    const pageCount = 8
    const allocator = makeRcacheAllocator(windowOf(pageCount, pageCount, cpus), { depot: "trimmed" })
    let freedPs = 0
    let takenPs = 0
    // One page after the other until none is left; then, long after and without a wait between, the last one goes.
    let last = IOVA_NONE
    const fill = cpus.define("fill", (cpu) => allocator.beginAllocate(cpu, 1, 1, pageCount, -1, filled))
    const filled = cpus.define("filled", (cpu) => {
      const first = allocator.firsts[cpu]!
      if (first !== IOVA_NONE) {
        last = first
        return fill
      }
      cpus.wake(1, take)
      return cpus.lookAgain(cpu, free)
    })
    const free = cpus.define("free", (cpu) => {
      cpus.spend(cpu, ACCOUNT_DMA_API, 10_000_000)
      freedPs = cpus.localPs[cpu]!
      return allocator.beginFree(cpu, last, 1, asleep)
    })
    const asleep = cpus.define("asleep", (cpu) => cpus.sleep(cpu))
    const take = cpus.define("take", (cpu) => allocator.beginAllocate(cpu, 1, 1, pageCount, -1, taken))
    const taken = cpus.define("taken", (cpu) => {
      expect(allocator.firsts[cpu]).toBe(last)
      takenPs = cpus.localPs[cpu]!
      return cpus.sleep(cpu)
    })
    cpus.wake(0, fill)
    timeline.runUntil(1e12, Infinity)
    expect(takenPs).toBeGreaterThan(0)
    expect(takenPs).toBeLessThan(freedPs)
  })

  it("whose ranges come back to them hardly ever meet at the tree", () => {
    const { allocator, cpus } = contend({
      cpuCount: 8,
      pageCount: 1 << 18,
      depot: "trimmed",
      count: 2000,
      depth: 4,
      pagesMax: 32
    })
    const tree = cpus.lockCounts().find(({ name }) => name === "iova tree")!
    expect(tree.grants / (8 * 2000)).toBeLessThan(0.03)
    expect(allocator.treePages).toBe(allocator.cachedPages)
  })
})
