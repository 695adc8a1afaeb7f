/**
 * The maple allocator: ranges in a B-tree with wide nodes that know their largest holes, as proposed for the
 * kernel's IOVA code in 2026 in place of the red-black tree (iommu mailing list, third version, June 2026;
 * the tree itself: Linux 6.12 lib/maple_tree.c, nodes of 256 bytes that track gaps).
 *
 * A range has a slot of a leaf, and with it goes the hole below it; an anchor without pages closes the window, so
 * that every hole lies below something. A search goes down from the right and enters only what has a hole that is
 * large enough and lies within reach: it finds the highest place that fits in O(log n), and comes back up
 * only where alignment or the device's reach make a hole smaller than it looks. A full node is levelled out with
 * a sibling that has room, or split; one that runs low is levelled out or merged.
 *
 * A range takes the pages that are asked for and begins at a multiple of their number, rounded up to a power of two.
 * As with the trees of 2013 it lies below 4 GiB when there is room.
 *
 * MODEL: leaves have ten slots with gaps like inner nodes; the kernel's have 16, a hole has a slot of its own there,
 * and a leaf's holes are found by scanning it. Leaves hold a little more when scattered, and less when dense.
 * MODEL: a node that is visited counts as its four cache lines of 64 bytes, though a search that ends early
 * may leave one of them alone; it costs what a binary tree's node does, as its lines are fetched together.
 */
import { assert, fail } from "@vnic/sim/core"
import {
  IOVA_NONE as iovaNone,
  WORK_CACHE_LINES as workCacheLines,
  WORK_NAMES,
  WORK_NODES as workNodes,
  type IovaWindow
} from "./allocator.ts"
import {
  describeChild,
  divideSlots,
  dropSlot,
  GAP as gap,
  largestGap,
  MapleNodes,
  PIVOT as pivot,
  placeOf,
  putSlot,
  slotCountOf,
  slotOfPage,
  SLOTS_MAX as slotsMax,
  SLOTS_MIN as slotsMin,
  VALUE as value
} from "./mapleNodes.ts"
import { makeOneLockAllocator, treeStepCosts, type OneLockAllocator, type RangeStructure } from "./oneLock.ts"
import { alignDown as alignDownFrom, alignedPageOf, powerOfTwoFrom } from "./powersOfTwo.ts"
import { UsablePages } from "./usable.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const IOVA_NONE = iovaNone
const WORK_NODES = workNodes
const WORK_CACHE_LINES = workCacheLines
const PIVOT = pivot
const GAP = gap
const VALUE = value
const SLOTS_MAX = slotsMax
const SLOTS_MIN = slotsMin
const alignDown = alignDownFrom

/** Cache lines of 64 bytes in a node of the kernel's, 256 bytes. */
const LINES_PER_NODE = 4
/** Levels, more than any window needs: two slots in the root, four in each other node, 2^30 pages. */
const LEVELS_MAX = 17

export class MapleRanges implements RangeStructure {
  pagesUsed = 0
  readonly steps = new Float64Array(WORK_NAMES.length)
  readonly nodes = new MapleNodes()
  declare root: number
  /** Levels of nodes; the last one is that of the leaves. */
  levelCount = 1
  declare private readonly pageCount: number
  declare private readonly usable: UsablePages
  /** Alignments count from here. */
  declare private readonly origin: number
  /** The limit that is tried first. */
  declare private readonly limit32: number
  /** From the root to a leaf: the nodes, and which slot of each leads on. */
  private readonly path = new Int32Array(LEVELS_MAX)
  private readonly slots = new Int32Array(LEVELS_MAX)
  private visited = 0

  constructor(window: IovaWindow) {
    const { pageCount } = window
    assert(pageCount >= 2 && pageCount <= 2 ** 30, "window size out of range")
    this.pageCount = pageCount
    this.usable = new UsablePages(window)
    this.origin = alignedPageOf(window.startPage)
    this.limit32 = Math.min(pageCount, window.pagesBelow4GiB)
    this.root = this.nodes.make()
    putSlot(this.nodes.words, this.root, 0, pageCount, pageCount - this.usable.lowest, pageCount)
    for (const hole of this.usable.holes) {
      this.find(hole.firstPage)
      this.insert(hole.firstPage, hole.pageCount)
    }
  }

  readonly canEverFit = (pages: number, alignment: number, reach: number): boolean => {
    if (pages > this.pageCount) return false
    const step = Math.max(alignment, powerOfTwoFrom(pages))
    return this.usable.hasPlace(0, reach, pages, step)
  }

  readonly allocate = (pages: number, alignment: number, reach: number): number => {
    const { limit32, pageCount } = this
    this.visited = 0
    let first: number = IOVA_NONE
    // Beyond the window places would leave the range of 32-bit integers.
    if (pages <= pageCount) {
      const natural = powerOfTwoFrom(pages)
      const step = alignment > natural ? alignment : natural
      const limit = reach < pageCount ? reach : pageCount
      if (limit > limit32) first = this.search(pages, step, limit32)
      if (first === IOVA_NONE) first = this.search(pages, step, limit)
    }
    if (first !== IOVA_NONE) {
      this.insert(first, pages)
      this.pagesUsed += pages
    }
    this.countSteps()
    return first
  }

  readonly free = (first: number, pages: number): void => {
    if (!this.usable.has(first, 1)) fail("an IOVA outside the window was freed")
    this.visited = 0
    this.find(first)
    const { words } = this.nodes
    const level = this.levelCount - 1
    const leaf = this.path[level]!
    const slot = this.slots[level]!
    const place = placeOf(leaf, slot)
    if (words[place + VALUE] !== first || words[place + PIVOT] !== first + pages || pages === 0) {
      fail("an IOVA range that is not allocated was freed")
    }
    const hole = words[place + GAP]! + pages
    const isLast = slot + 1 === slotCountOf(words, leaf)
    if (isLast) this.widenNext(hole)
    dropSlot(words, leaf, slot)
    // What was the next slot is in its place now.
    if (!isLast) this.raiseGaps(level, (words[place + GAP]! += hole))
    if (isLast || slotCountOf(words, leaf) < SLOTS_MIN) this.mergeUp(level)
    this.pagesUsed -= pages
    this.countSteps()
  }

  private readonly countSteps = (): void => {
    this.steps[WORK_NODES] = this.visited
    this.steps[WORK_CACHE_LINES] = this.visited * LINES_PER_NODE
  }

  /** The highest place that fits, with the path to the slot whose hole it lies in; or IOVA_NONE. */
  private readonly search = (pages: number, alignment: number, reach: number): number => {
    const { origin, path, slots } = this
    const { words } = this.nodes
    const leafLevel = this.levelCount - 1
    const last = reach - pages
    let level = 0
    let node = this.root
    let slot = highestSlot(words, node, last)
    this.visited++
    while (true) {
      while (slot >= 0 && words[placeOf(node, slot) + GAP]! < pages) slot--
      if (slot < 0) {
        if (level === 0) return IOVA_NONE
        level--
        node = path[level]!
        slot = slots[level]! - 1
        continue
      }
      path[level] = node
      slots[level] = slot
      const place = placeOf(node, slot)
      if (level < leafLevel) {
        level++
        node = words[place + VALUE]!
        slot = highestSlot(words, node, last)
        this.visited++
        continue
      }
      const holeEnd = words[place + VALUE]!
      const first = alignDown((holeEnd < reach ? holeEnd : reach) - pages, alignment, origin)
      if (first >= holeEnd - words[place + GAP]!) return first
      slot--
    }
  }

  /** The path to the slot that covers a page. */
  private readonly find = (page: number): void => {
    const { levelCount, path, slots } = this
    const { words } = this.nodes
    let node = this.root
    for (let level = 0; level < levelCount; level++) {
      const slot = slotOfPage(words, node, page)
      path[level] = node
      slots[level] = slot
      node = words[placeOf(node, slot) + VALUE]!
    }
    this.visited += levelCount
  }

  /** Puts a range into the hole of the slot that the path leads to. */
  private readonly insert = (first: number, pages: number): void => {
    const { words } = this.nodes
    const level = this.levelCount - 1
    const leaf = this.path[level]!
    const slot = this.slots[level]!
    const place = placeOf(leaf, slot)
    const hole = words[place + GAP]!
    const holeEnd = words[place + VALUE]!
    words[place + GAP] = holeEnd - first - pages
    putSlot(words, leaf, slot, first + pages, first - holeEnd + hole, first)
    if (slotCountOf(words, leaf) > SLOTS_MAX) this.splitUp(level)
    else this.lowerGaps(level, hole)
  }

  /** Tells the parents of a node on the path, where a hole grew to `hole` pages. */
  private readonly raiseGaps = (from: number, hole: number): void => {
    const { path, slots } = this
    const { words } = this.nodes
    for (let level = from - 1; level >= 0; level--) {
      const place = placeOf(path[level]!, slots[level]!)
      if (words[place + GAP]! >= hole) return
      words[place + GAP] = hole
    }
  }

  /** Tells the parents of a node on the path, where a hole of `hole` pages shrank. */
  private readonly lowerGaps = (from: number, hole: number): void => {
    const { path, slots } = this
    const { words } = this.nodes
    for (let level = from - 1; level >= 0; level--) {
      const place = placeOf(path[level]!, slots[level]!)
      if (words[place + GAP] !== hole) return
      const largest = largestGap(words, words[place + VALUE]!)
      if (largest === hole) return
      words[place + GAP] = largest
    }
  }

  /** Tells the parents of a node on the path what it covers now, as far up as that is news. */
  private readonly describeUp = (from: number): void => {
    const { path, slots } = this
    let level = from
    while (level > 0 && describeChild(this.nodes.words, path[level - 1]!, slots[level - 1]!)) level--
  }

  /** Makes room in nodes that have one slot too many, from a level of the path on upwards. */
  private readonly splitUp = (from: number): void => {
    const { nodes, path, slots } = this
    let level = from
    while (slotCountOf(nodes.words, path[level]!) > SLOTS_MAX) {
      if (level === 0) {
        this.raiseRoot()
        level = 1
      }
      level--
      const parent = path[level]!
      const slot = slots[level]!
      if (this.hasRoom(parent, slot + 1)) {
        this.levelOut(parent, slot)
        break
      }
      if (this.hasRoom(parent, slot - 1)) {
        this.levelOut(parent, slot - 1)
        break
      }
      const sibling = nodes.make()
      this.visited++
      putSlot(nodes.words, parent, slot + 1, 0, 0, sibling)
      this.levelOut(parent, slot)
    }
    this.describeUp(level)
  }

  /** Is there such a child, and has it a slot to spare? */
  private readonly hasRoom = (parent: number, slot: number): boolean => {
    const { words } = this.nodes
    if (slot < 0 || slot >= slotCountOf(words, parent)) return false
    this.visited++
    return slotCountOf(words, words[placeOf(parent, slot) + VALUE]!) < SLOTS_MAX
  }

  /** A root above the root, which becomes its only child. */
  private readonly raiseRoot = (): void => {
    const { nodes, path, slots } = this
    const root = nodes.make()
    putSlot(nodes.words, root, 0, 0, 0, this.root)
    path.copyWithin(1, 0, this.levelCount)
    slots.copyWithin(1, 0, this.levelCount)
    path[0] = root
    slots[0] = 0
    this.root = root
    this.levelCount++
    this.visited++
  }

  /** Shares the slots of a parent's child and the next one between them. */
  private readonly levelOut = (parent: number, slot: number): void => {
    const { words } = this.nodes
    const left = words[placeOf(parent, slot) + VALUE]!
    const right = words[placeOf(parent, slot + 1) + VALUE]!
    divideSlots(words, left, right, (slotCountOf(words, left) + slotCountOf(words, right) + 1) >> 1)
    describeChild(words, parent, slot)
    describeChild(words, parent, slot + 1)
  }

  /** Fills or merges nodes that have too few slots, from a level of the path on upwards. */
  private readonly mergeUp = (from: number): void => {
    const { nodes, path, slots } = this
    const { words } = nodes
    let level = from
    while (level > 0 && slotCountOf(words, path[level]!) < SLOTS_MIN) {
      level--
      const parent = path[level]!
      const leftSlot = slots[level]! + 1 < slotCountOf(words, parent) ? slots[level]! : slots[level]! - 1
      const left = words[placeOf(parent, leftSlot) + VALUE]!
      const right = words[placeOf(parent, leftSlot + 1) + VALUE]!
      const slotCount = slotCountOf(words, left) + slotCountOf(words, right)
      this.visited++
      if (slotCount > SLOTS_MAX) {
        this.levelOut(parent, leftSlot)
        break
      }
      divideSlots(words, left, right, slotCount)
      nodes.release(right)
      dropSlot(words, parent, leftSlot + 1)
      describeChild(words, parent, leftSlot)
    }
    this.describeUp(level)
    while (this.levelCount > 1 && slotCountOf(words, this.root) === 1) {
      const root = this.root
      this.root = words[placeOf(root, 0) + VALUE]!
      nodes.release(root)
      this.levelCount--
    }
  }

  /** Adds a hole to the one of the range behind the path's leaf. There is one: the anchor is never freed. */
  private readonly widenNext = (hole: number): void => {
    const { levelCount, path, slots } = this
    const { words } = this.nodes
    let fork = levelCount - 2
    while (slots[fork]! + 1 === slotCountOf(words, path[fork]!)) fork--
    // Below the fork the next leaf is the leftmost one. From the fork on upwards the path is ours: this leaf's end is
    // about to move, and telling that its parents tells them of the hole too.
    const next = placeOf(path[fork]!, slots[fork]! + 1)
    let place = next
    for (let level = fork + 1; level < levelCount; level++) place = placeOf(words[place + VALUE]!, 0)
    this.visited += levelCount - fork - 1
    const widened = (words[place + GAP]! += hole)
    place = next
    for (let level = fork + 1; level < levelCount; level++) {
      if (words[place + GAP]! < widened) words[place + GAP] = widened
      place = placeOf(words[place + VALUE]!, 0)
    }
  }
}

/** The rightmost slot of a node in which a range may begin at or below page `last`. */
const highestSlot = (words: Int32Array, node: number, last: number): number => {
  let slot = slotCountOf(words, node) - 1
  while (slot > 0 && words[placeOf(node, slot - 1) + PIVOT]! > last) slot--
  return slot
}

/** The maple tree under its one lock, which is not held across the table write. */
export const makeMapleAllocator = (window: IovaWindow): OneLockAllocator =>
  makeOneLockAllocator(window, new MapleRanges(window), {
    lockName: "iova tree",
    lockAcrossTableWrite: "none",
    stepCosts: treeStepCosts(window.costs)
  })
