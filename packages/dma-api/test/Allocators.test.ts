/**
 * Goal: what any IOVA allocator hands out is free, within reach and aligned; nothing is lost; and it succeeds when its
 * policy says so. Method: all allocators run the same histories, random ones and every short one, beside one oracle
 * that looks at each page.
 *
 * Who must agree with the oracle on success and failure, and who may not; test/support/allocators.ts is the table:
 *
 * - ring, maple and augmented-rbtree find a place whenever there is one, the trees the highest. The trees take
 *   more than is asked for: maple the alignment, augmented-rbtree all of the block.
 * - bitmap and bitmap-pool do so within what they search: not across the middle or from pool to pool, where a request
 *   is confined to them, and without the last entry of each.
 * - rbtree does so but for requests with exactly the 32-bit limit, which begin at the cached range and do not
 *   see room above it.
 * - rbtree-rcache does so once it has emptied its magazines.
 * - identity hands out what it is told; it is told a free place of the oracle's, and none when there is none.
 *
 * No range lies in what is reserved, and none crosses the boundary that is asked for: the trees do not look at it, but
 * what they align to its size cannot cross it, as long as it is not longer; that they hand out across it.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { IOVA_NONE } from "../src/core/iova/allocator.ts"
import { NaiveWindow, type RangeRequest } from "@vnic/dma-api/testing"
import {
  Caller,
  limitOf,
  makeSerialHost,
  type Region,
  type Subject,
  SUBJECTS,
  windowOf,
  type WindowShape
} from "./support/allocators.ts"

const CPUS = 3

interface Live {
  readonly first: number
  readonly pages: number
  readonly taken: number
}

const isWithin = (regions: ReadonlyArray<Region>, first: number, pages: number): boolean =>
  regions.some(([from, to]) => first >= from && first + pages <= to)

const naiveOf = (shape: WindowShape): NaiveWindow => new NaiveWindow(shape.pageCount, shape.isFirstPageReserved, shape)

/** An allocator beside the oracle. */
class Trial {
  readonly subject: Subject
  readonly shape: WindowShape
  readonly live: Array<Live> = []
  private readonly caller: Caller
  private readonly naive: NaiveWindow

  constructor(subject: Subject, shape: WindowShape) {
    const host = makeSerialHost(CPUS)
    this.subject = subject
    this.shape = shape
    this.caller = new Caller(host, subject.make(windowOf(shape, host)))
    this.naive = naiveOf(shape)
  }

  /** Allocates, and judges the answer; `pick` chooses the place where the allocator has no choice. */
  allocate(cpu: number, request: RangeRequest, pick: number): number {
    const { shape, subject } = this
    const taken = subject.taken(request)
    const places = this.naive.places(taken)
    const first = this.caller.allocate(cpu, request, places[pick % places.length] ?? -1)
    const said = (what: string): string => `${subject.name} gave ${first} for ${JSON.stringify(request)}: ${what}`
    const searched = subject.searched(request, shape)
    if (first === IOVA_NONE) {
      const missed = places.find((place) => isWithin(searched, place, taken.pages))
      if (missed !== undefined && this.mustFind(request)) throw new Error(said(`${missed} is free`))
      return first
    }
    const problem = this.naive.take(first, taken)
    if (problem !== "") throw new Error(said(problem))
    const reached = subject.reached?.(request, shape) ?? searched
    if (!isWithin(reached, first, taken.pages)) throw new Error(said("its policy does not look there"))
    if (subject.isHighest(limitOf(request, shape), shape)) {
      const low = places.filter((place) => place + taken.pages <= shape.pagesBelow4GiB)
      const highest = low.at(-1) ?? places.at(-1)
      if (first !== highest) throw new Error(said(`${highest} was due`))
    }
    this.live.push({ first, pages: request.pages, taken: taken.pages })
    return first
  }

  private mustFind(request: RangeRequest): boolean {
    const { shape, subject } = this
    return subject.isComplete(limitOf(request, shape), shape)
  }

  free(cpu: number, pick: number): void {
    const { first, pages, taken } = this.live.splice(pick % this.live.length, 1)[0]!
    const { firsts } = this.caller.allocator
    const before = firsts[cpu]
    this.caller.free(cpu, first, pages)
    if (firsts[cpu] !== before) throw new Error("a free changed what the CPU's last allocation was given")
    this.naive.give(first, taken)
  }

  /** Pages are counted right, and the tree is what is live and what is cached. */
  check(): void {
    const { allocator } = this.caller
    const used = this.live.reduce((sum, { pages }) => sum + pages, 0)
    if (allocator.pagesUsed !== used) throw new Error(`${allocator.pagesUsed} pages used, not ${used}`)
    const treePages = this.subject.treePages?.(allocator, this.shape)
    const taken = this.live.reduce((sum, one) => sum + one.taken, this.subject.cachedPages?.(allocator) ?? 0)
    if (treePages !== undefined && treePages !== taken) throw new Error(`${treePages} pages in the tree, not ${taken}`)
  }

  /** Frees everything; then every page that the policy knows can be handed out again. */
  end(): void {
    while (this.live.length > 0) this.free(this.live.length % CPUS, this.live.length * 7)
    this.check()
    const { isFirstPageReserved, pageCount, reserved = [] } = this.shape
    const isReserved = (page: number): boolean =>
      reserved.some((range) => page >= range.firstPage && page < range.firstPage + range.pageCount)
    const request = { pages: 1, alignment: 1, reach: pageCount }
    const handedOut = new Set<number>()
    let first = this.allocate(0, request, 0)
    while (first !== IOVA_NONE) {
      handedOut.add(first)
      first = this.allocate(0, request, 0)
    }
    for (const [from, to] of this.subject.searched(request, this.shape)) {
      for (let page = Math.max(from, isFirstPageReserved ? 1 : 0); page < to; page++) {
        if (!handedOut.has(page) && !isReserved(page)) throw new Error(`${this.subject.name} lost page ${page}`)
      }
    }
    this.check()
  }
}

/** Small windows, and how long the histories are that are tried in them. */
interface Scope extends WindowShape {
  readonly depth: number
  readonly boundary?: number
}

/**
 * Everything below 4 GiB; four pools, and as much above as below; one pool, of a window that begins at a multiple of
 * nothing; one with pages that are reserved, and a boundary that the longest requests are longer than.
 */
const SCOPES: ReadonlyArray<Scope> = [
  { pageCount: 8, isFirstPageReserved: false, pagesBelow4GiB: 8, pageShift: 30, depth: 6 },
  { pageCount: 16, isFirstPageReserved: true, pagesBelow4GiB: 8, pageShift: 30, depth: 5 },
  { pageCount: 8, isFirstPageReserved: false, pagesBelow4GiB: 64, startPage: 2 ** 33 + 5, depth: 5 },
  {
    pageCount: 16,
    isFirstPageReserved: true,
    pagesBelow4GiB: 16,
    reserved: [{ firstPage: 9, pageCount: 3 }],
    boundary: 2,
    depth: 5
  }
]

/** Runs every history of so many operations: each allocates 1 to 3 pages or frees one of what is live. */
function everyHistory(subject: Subject, shape: Scope): number {
  let histories = 0
  const operations: Array<number> = []
  const replay = (): Trial => {
    const trial = new Trial(subject, shape)
    for (const [index, operation] of operations.entries()) {
      const cpu = index % CPUS
      const { boundary = 0, pageCount: reach } = shape
      if (operation < 3) trial.allocate(cpu, { pages: operation + 1, alignment: 1, reach, boundary }, index)
      else trial.free(cpu, operation - 3)
    }
    return trial
  }
  const extend = (): void => {
    const trial = replay()
    const choices = 3 + trial.live.length
    if (operations.length === shape.depth) {
      trial.check()
      trial.end()
      histories++
      return
    }
    for (let operation = 0; operation < choices; operation++) {
      operations.push(operation)
      extend()
      operations.pop()
    }
  }
  try {
    extend()
  } catch (error) {
    throw new Error(`${subject.name} after ${operations.join(" ")}`, { cause: error })
  }
  return histories
}

type Model = Record<string, never>

class Allocate implements fc.Command<Model, Trial> {
  readonly cpu: number
  readonly request: RangeRequest
  readonly pick: number

  constructor(cpu: number, request: RangeRequest, pick: number) {
    this.cpu = cpu
    this.request = request
    this.pick = pick
  }

  check(): boolean {
    return true
  }

  run(_model: Model, trial: Trial): void {
    trial.allocate(this.cpu, this.request, this.pick)
    trial.check()
  }

  toString(): string {
    return `allocate(${this.cpu}, ${JSON.stringify(this.request)}, ${this.pick})`
  }
}

class Free implements fc.Command<Model, Trial> {
  readonly cpu: number
  readonly pick: number

  constructor(cpu: number, pick: number) {
    this.cpu = cpu
    this.pick = pick
  }

  check(): boolean {
    return true
  }

  run(_model: Model, trial: Trial): void {
    if (trial.live.length > 0) trial.free(this.cpu, this.pick)
    trial.check()
  }

  toString(): string {
    return `free(${this.cpu}, ${this.pick})`
  }
}

/** Commands on a window of so many pages; in mixed histories devices reach differently far and align. */
function commandsOf(pageCount: number, isUniform: boolean) {
  const cpu = fc.nat({ max: CPUS - 1 })
  const pick = fc.nat({ max: 999 })
  const pages = fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 40 }))
  const wide = fc.constant(pageCount)
  const request = fc.record({
    pages,
    alignment: isUniform ? fc.constant(1) : fc.constantFrom(1, 1, 2, 4, 16),
    reach: isUniform ? wide : fc.oneof(wide, fc.constant(pageCount >> 1), fc.nat({ max: pageCount + 3 })),
    boundary: fc.constantFrom(0, 0, 4, 16, 64)
  })
  return fc.commands(
    [
      fc.tuple(cpu, request, pick).map((drawn) => new Allocate(...drawn)),
      fc.tuple(cpu, pick).map((drawn) => new Free(...drawn))
    ],
    { maxCommands: 150, size: "max" }
  )
}

const LARGER: ReadonlyArray<WindowShape> = [
  { pageCount: 200, isFirstPageReserved: true, pagesBelow4GiB: 200, pageShift: 30 },
  { pageCount: 200, isFirstPageReserved: false, pagesBelow4GiB: 128, pageShift: 30 },
  { pageCount: 130, isFirstPageReserved: true, pagesBelow4GiB: 4096 },
  {
    pageCount: 200,
    isFirstPageReserved: false,
    pagesBelow4GiB: 128,
    pageShift: 30,
    startPage: 3 * 64 + 43,
    reserved: [
      { firstPage: 60, pageCount: 10 },
      { firstPage: 187, pageCount: 13 }
    ]
  }
]

/** Every request that a small window can get, and some that no window has room for. */
function requestsOf({ pageCount }: WindowShape): ReadonlyArray<Required<RangeRequest>> {
  const upTo = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index)
  return upTo(1, pageCount + 1).flatMap((pages) =>
    upTo(0, pageCount + 1).flatMap((reach) =>
      [1, 2, 4, 8, 16].flatMap((alignment) => [0, 1, 2, 8].map((boundary) => ({ pages, alignment, reach, boundary })))
    )
  )
}

describe.each(SUBJECTS)("$name", (subject) => {
  it.each(SCOPES)("every history of $depth operations on $pageCount pages, $pagesBelow4GiB below 4 GiB", (scope) => {
    // With two choices at least, one of them to free.
    expect(everyHistory(subject, scope)).toBeGreaterThan(2 ** scope.depth)
  })

  for (const isUniform of [true, false]) {
    const kind = isUniform ? "of one kind of device" : "of devices that reach differently far and align"
    const scenario = fc
      .constantFrom(...LARGER)
      .chain((shape) => fc.tuple(fc.constant(shape), commandsOf(shape.pageCount, isUniform)))
    test.prop([scenario], { numRuns: 60 })(`random histories ${kind}`, ([shape, commands]) => {
      const trial = new Trial(subject, shape)
      fc.modelRun(() => ({ model: {}, real: trial }), commands)
      trial.end()
    })
  }

  it.each(SCOPES)("says of every request whether $pageCount unused pages have room for it", (scope) => {
    for (const request of requestsOf(scope)) {
      const host = makeSerialHost(1)
      const allocator = subject.make(windowOf(scope, host))
      const place = naiveOf(scope).places(request)[0] ?? -1
      const isFound = new Caller(host, allocator).allocate(0, request, place) !== IOVA_NONE
      const { alignment, boundary, pages, reach } = request
      const fits = allocator.canEverFit(pages, alignment, reach, boundary, place)
      if (fits !== isFound) throw new Error(JSON.stringify(request))
    }
  })
})
