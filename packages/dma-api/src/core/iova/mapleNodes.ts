/**
 * Nodes of the maple tree, in one flat array. A node has up to ten slots; slot by slot it holds a pivot (the
 * page behind what the slot covers), a gap (the largest hole in that) and a value: of an inner node the child,
 * of a leaf the first page of the range. A node is named by the place where it begins in the array.
 *
 * There is room for an eleventh slot, which a node has only until it is levelled out with a sibling or split.
 * Slots that are not in use have no gap, so that a node's largest is looked for without asking how many it has.
 */

/** Slots of a node in the form that tracks gaps [Linux 6.12 include/linux/maple_tree.h MAPLE_ARANGE64_SLOTS]. */
export const SLOTS_MAX = 10
/** A node with fewer slots is merged with a sibling or filled up from it; the root may have any number. */
export const SLOTS_MIN = 4

/** Words of a slot; from the slot's place on. */
export const PIVOT = 0
export const GAP = 1
export const VALUE = 2
const SLOT_WORDS = 3
const SLOTS_END = 1 + SLOT_WORDS * SLOTS_MAX
const NODE_WORDS = 1 + SLOT_WORDS * (SLOTS_MAX + 1)
const NONE = -1

/** Where nodes come from. `words` is another array after a node was made. */
export class MapleNodes {
  /** Of a node first the number of its slots, then the slots; of a released one the next released one. */
  words = new Int32Array(NODE_WORDS * 64)
  /** Nodes in the tree. */
  count = 0
  private end = 0
  private released = NONE

  /** A node without slots. MODEL: the kernel's may find no memory for one, and then the allocation fails. */
  readonly make = (): number => {
    this.count++
    let node = this.released
    if (node === NONE) {
      node = this.end
      this.end += NODE_WORDS
      if (this.end > this.words.length) this.grow()
    } else {
      this.released = this.words[node]!
    }
    this.words.fill(0, node, node + NODE_WORDS)
    return node
  }

  private readonly grow = (): void => {
    const words = new Int32Array(this.words.length * 2)
    words.set(this.words)
    this.words = words
  }

  readonly release = (node: number): void => {
    this.count--
    this.words[node] = this.released
    this.released = node
  }
}

/** Number of a node's slots. */
export const slotCountOf = (words: Int32Array, node: number): number => words[node]!

/** Where the words of a slot are. */
export const placeOf = (node: number, slot: number): number => node + 1 + SLOT_WORDS * slot

/** The largest hole in a node. */
export const largestGap = (words: Int32Array, node: number): number => {
  const end = node + SLOTS_END
  let largest = 0
  for (let place = node + 1; place < end; place += SLOT_WORDS) {
    const gap = words[place + GAP]!
    if (gap > largest) largest = gap
  }
  return largest
}

/** The slot of a node that covers a page. */
export const slotOfPage = (words: Int32Array, node: number, page: number): number => {
  let slot = 0
  let place = node + 1 + PIVOT
  while (words[place]! <= page) {
    place += SLOT_WORDS
    slot++
  }
  return slot
}

/** Puts a slot before slot number `slot`. */
export const putSlot = (
  words: Int32Array,
  node: number,
  slot: number,
  pivot: number,
  gap: number,
  value: number
): void => {
  const place = node + 1 + SLOT_WORDS * slot
  for (let word = node + SLOT_WORDS * words[node]!; word >= place; word--) words[word + SLOT_WORDS] = words[word]!
  words[place + PIVOT] = pivot
  words[place + GAP] = gap
  words[place + VALUE] = value
  words[node]!++
}

export const dropSlot = (words: Int32Array, node: number, slot: number): void => {
  const end = node + 1 + SLOT_WORDS * --words[node]!
  for (let word = node + 1 + SLOT_WORDS * slot; word < end; word++) words[word] = words[word + SLOT_WORDS]!
  words[end + GAP] = 0
}

/** Moves slots between neighbours so that the left one has `leftCount`; what both have together stays. */
export const divideSlots = (words: Int32Array, left: number, right: number, leftCount: number): void => {
  const excess = words[left]! - leftCount
  const leftEnd = left + 1 + SLOT_WORDS * words[left]!
  const rightEnd = right + 1 + SLOT_WORDS * words[right]!
  if (excess > 0) {
    const length = SLOT_WORDS * excess
    words.copyWithin(right + 1 + length, right + 1, rightEnd)
    words.copyWithin(right + 1, leftEnd - length, leftEnd)
    words.fill(0, leftEnd - length, leftEnd)
  } else {
    const length = -SLOT_WORDS * excess
    words.copyWithin(leftEnd, right + 1, right + 1 + length)
    words.copyWithin(right + 1, right + 1 + length, rightEnd)
    words.fill(0, rightEnd - length, rightEnd)
  }
  words[left] = leftCount
  words[right]! += excess
}

/** Lets a slot of a parent say what its child covers; false when it said so already. */
export const describeChild = (words: Int32Array, parent: number, slot: number): boolean => {
  const place = placeOf(parent, slot)
  const child = words[place + VALUE]!
  const pivot = words[placeOf(child, words[child]! - 1) + PIVOT]!
  const gap = largestGap(words, child)
  if (words[place + PIVOT] === pivot && words[place + GAP] === gap) return false
  words[place + PIVOT] = pivot
  words[place + GAP] = gap
  return true
}
