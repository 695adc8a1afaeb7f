/**
 * A red-black tree of ranges of pages on one flat array, as drivers/iommu/iova.c keeps one of what is allocated:
 * gaps between neighbours are what is free. A node is the offset of its fields; NIL is one too, black and without room.
 *
 * Neighbours are linked, so that a walk in order follows one link a node, where Linux follows the tree's own: the
 * same nodes in the same order, found faster.
 *
 * Each node may have a room, any number that its owner sets, and the tree then keeps the largest room of every
 * subtree through all that linking, erasing and rebalancing do (an augmented tree). Without augmentation rooms
 * are never looked at.
 *
 * Nodes are counted as cache lines when they are linked, relinked or looked at to rebalance; what a search looks
 * at is counted by whoever searches. [Linux lib/rbtree.c; the cases are those of the textbook]
 */
import { fail } from "@vnic/sim/core"
import type { PageRange } from "./allocator.ts"

/** No node. */
export const NIL = 0

/** Fields of a node, those that a search for a page looks at first: they share a cache line more often so. */
export const LEFT = 0
export const RIGHT = 1
/** First page of the range. */
export const FIRST = 2
/** The page behind its last. */
export const END = 3
export const PARENT = 4
export const COLOUR = 5
/** The node next below, and next above. */
export const PREVIOUS = 6
export const NEXT = 7
/** What the owner says about the node; NO_ROOM until then. */
export const ROOM = 8
/** The largest room of the node and of all that hang below it. */
export const MOST_ROOM = 9
const NODE_FIELDS = 10

/** The least room. */
export const NO_ROOM = -1

const BLACK = 0
/** The colour of which no path has two in a row. */
export const RED = 1

const FIRST_CAPACITY = 64

export class RedBlack {
  /** All nodes' fields. Taking a node may replace the array. */
  nodes: Int32Array = new Int32Array(FIRST_CAPACITY * NODE_FIELDS)
  root: number = NIL
  /** Nodes in the tree. */
  count = 0
  /** Nodes visited, and nodes linked, relinked or rebalanced; set to 0 by whoever reads them. */
  visits = 0
  relinked = 0
  declare readonly isAugmented: boolean
  /** The first of the nodes given back, linked by their parents. */
  private unused: number = NIL
  /** Where nodes begin that were never taken. */
  private fresh: number = NODE_FIELDS

  constructor(isAugmented: boolean) {
    this.isAugmented = isAugmented
    this.nodes[NIL + ROOM] = NO_ROOM
    this.nodes[NIL + MOST_ROOM] = NO_ROOM
  }

  /** A node for the pages [first, end), not yet in the tree. */
  readonly take = (first: number, end: number): number => {
    let node = this.unused
    if (node !== NIL) this.unused = this.nodes[node + PARENT]!
    else {
      node = this.fresh
      if (node === this.nodes.length) this.grow()
      this.fresh = node + NODE_FIELDS
    }
    const nodes = this.nodes
    nodes[node + FIRST] = first
    nodes[node + END] = end
    nodes[node + ROOM] = NO_ROOM
    return node
  }

  private readonly grow = (): void => {
    const nodes = new Int32Array(this.nodes.length * 2)
    nodes.set(this.nodes)
    this.nodes = nodes
  }

  /** The node that a page lies in, or NIL. */
  readonly find = (page: number): number => {
    const nodes = this.nodes
    let node = this.root
    let visits = 0
    while (node !== NIL) {
      visits++
      const above = page - nodes[node + FIRST]!
      if ((above | (nodes[node + END]! - 1 - page)) >= 0) break
      // Which way is a coin's toss, and a branch that is guessed wrong costs more than to fetch both.
      const right = nodes[node + RIGHT]!
      node = right ^ ((right ^ nodes[node + LEFT]!) & (above >> 31))
    }
    this.visits += visits
    return node
  }

  /** The first node that ends behind a page, or NIL. */
  readonly behind = (page: number): number => {
    const nodes = this.nodes
    let node = this.root
    let found = NIL
    while (node !== NIL) {
      this.visits++
      if (nodes[node + END]! > page) {
        found = node
        node = nodes[node + LEFT]!
      } else node = nodes[node + RIGHT]!
    }
    return found
  }

  /** The node with the highest pages, or NIL. */
  get last(): number {
    return this.nodes[NIL + PREVIOUS]!
  }

  /** Puts ranges that nobody is to have into an empty tree, in their order. */
  readonly reserve = (ranges: ReadonlyArray<PageRange>): void => {
    for (const { firstPage, pageCount } of ranges) {
      this.insertBetween(this.take(firstPage, firstPage + pageCount), this.last, NIL)
    }
  }

  /** Puts a node that was taken between two neighbours, NIL where there is none. The room above may have changed. */
  readonly insertBetween = (node: number, below: number, above: number): void => {
    const nodes = this.nodes
    const isLeft = above !== NIL && nodes[above + LEFT] === NIL
    const parent = isLeft ? above : below
    nodes[node + LEFT] = NIL
    nodes[node + RIGHT] = NIL
    nodes[node + PARENT] = parent
    nodes[node + COLOUR] = parent === NIL ? BLACK : RED
    linkNeighbours(nodes, below, node)
    linkNeighbours(nodes, node, above)
    if (parent === NIL) this.root = node
    else nodes[parent + (isLeft ? LEFT : RIGHT)] = node
    this.count++
    this.relinked += parent === NIL ? 1 : 2
    if (this.isAugmented) {
      const room = nodes[node + ROOM]!
      nodes[node + MOST_ROOM] = room
      // The new node first: what it has of the room above it is no news there, and what is lost of that may be none.
      raiseRooms(nodes, parent, room)
      updateRooms(nodes, above)
    }
    if (nodes[parent + COLOUR] === RED) this.rebalanceInserted(node)
  }

  /** A red node has got a red parent, perhaps: pushes that up to where a rotation or the root ends it. */
  private readonly rebalanceInserted = (inserted: number): void => {
    const nodes = this.nodes
    let node = inserted
    let parent = nodes[node + PARENT]!
    while (nodes[parent + COLOUR] === RED) {
      const top = nodes[parent + PARENT]!
      const side = nodes[top + LEFT] === parent ? LEFT : RIGHT
      const uncle = nodes[top + 1 - side]!
      this.relinked += 2
      nodes[top + COLOUR] = RED
      if (nodes[uncle + COLOUR] === RED) {
        nodes[parent + COLOUR] = BLACK
        nodes[uncle + COLOUR] = BLACK
        node = top
      } else {
        if (nodes[parent + 1 - side] === node) {
          this.rotate(parent, side)
          parent = node
        }
        nodes[parent + COLOUR] = BLACK
        this.rotate(top, 1 - side)
        break
      }
      parent = nodes[node + PARENT]!
    }
    nodes[this.root + COLOUR] = BLACK
  }

  /** A node goes down on a side; its child of the other side takes its place. */
  private readonly rotate = (node: number, side: number): void => {
    const nodes = this.nodes
    const riser = nodes[node + 1 - side]!
    const middle = nodes[riser + side]!
    nodes[node + 1 - side] = middle
    if (middle !== NIL) nodes[middle + PARENT] = node
    this.replace(node, riser)
    nodes[riser + side] = node
    nodes[node + PARENT] = riser
    if (!this.isAugmented) return
    nodes[riser + MOST_ROOM] = nodes[node + MOST_ROOM]!
    nodes[node + MOST_ROOM] = mostRoom(nodes, node)
  }

  /** Puts `other`, which may be NIL, where `node` hangs. */
  private readonly replace = (node: number, other: number): void => {
    const nodes = this.nodes
    const parent = nodes[node + PARENT]!
    nodes[other + PARENT] = parent
    if (parent === NIL) this.root = other
    else nodes[parent + (nodes[parent + LEFT] === node ? LEFT : RIGHT)] = other
  }

  /** Takes a node out of the tree, and back. The room above may have changed too. */
  readonly erase = (node: number): void => {
    if (node === NIL) fail("a node that is not in the tree was erased")
    const nodes = this.nodes
    const left = nodes[node + LEFT]!
    const right = nodes[node + RIGHT]!
    const heir = left === NIL || right === NIL ? NIL : nodes[node + NEXT]!
    let colour = nodes[node + COLOUR]!
    /** What hangs where a node is missing; NIL has its parent noted too. */
    let orphan = left === NIL ? right : left
    if (heir === NIL) this.replace(node, orphan)
    else {
      orphan = nodes[heir + RIGHT]!
      colour = nodes[heir + COLOUR]!
      this.succeed(node, heir)
    }
    const above = nodes[node + NEXT]!
    linkNeighbours(nodes, nodes[node + PREVIOUS]!, above)
    this.count--
    this.relinked += 3
    if (this.isAugmented) {
      updateRooms(nodes, nodes[orphan + PARENT]!)
      updateRooms(nodes, above)
    }
    if (colour === BLACK) this.rebalanceErased(orphan)
    nodes[node + PARENT] = this.unused
    this.unused = node
  }

  /** The node next above takes the place of a node with two children, and its colour. */
  private readonly succeed = (node: number, heir: number): void => {
    const nodes = this.nodes
    const left = nodes[node + LEFT]!
    const right = nodes[node + RIGHT]!
    const orphan = nodes[heir + RIGHT]!
    if (heir === right) nodes[orphan + PARENT] = heir
    else {
      this.replace(heir, orphan)
      nodes[heir + RIGHT] = right
      nodes[right + PARENT] = heir
    }
    this.replace(node, heir)
    nodes[heir + LEFT] = left
    nodes[left + PARENT] = heir
    nodes[heir + COLOUR] = nodes[node + COLOUR]!
    nodes[heir + MOST_ROOM] = nodes[node + MOST_ROOM]!
  }

  /** Paths through `orphan` have one black node too few: mends that, or pushes it up. */
  private readonly rebalanceErased = (orphan: number): void => {
    const nodes = this.nodes
    let node = orphan
    while (node !== this.root && nodes[node + COLOUR] === BLACK) {
      const parent = nodes[node + PARENT]!
      const side = nodes[parent + LEFT] === node ? LEFT : RIGHT
      let sibling = nodes[parent + 1 - side]!
      this.relinked += 2
      if (nodes[sibling + COLOUR] === RED) {
        nodes[sibling + COLOUR] = BLACK
        nodes[parent + COLOUR] = RED
        this.rotate(parent, side)
        sibling = nodes[parent + 1 - side]!
      }
      const near = nodes[sibling + side]!
      if (nodes[near + COLOUR] === BLACK && nodes[nodes[sibling + 1 - side]! + COLOUR] === BLACK) {
        nodes[sibling + COLOUR] = RED
        node = parent
        continue
      }
      if (nodes[nodes[sibling + 1 - side]! + COLOUR] === BLACK) {
        nodes[near + COLOUR] = BLACK
        nodes[sibling + COLOUR] = RED
        this.rotate(sibling, 1 - side)
        sibling = near
      }
      nodes[sibling + COLOUR] = nodes[parent + COLOUR]!
      nodes[parent + COLOUR] = BLACK
      nodes[nodes[sibling + 1 - side]! + COLOUR] = BLACK
      this.rotate(parent, side)
      node = this.root
    }
    nodes[node + COLOUR] = BLACK
  }
}

/** NIL is both ends of the list. */
const linkNeighbours = (nodes: Int32Array, below: number, above: number): void => {
  nodes[below + NEXT] = above
  nodes[above + PREVIOUS] = below
}

/** Works out the largest rooms anew from a node whose room may have changed, up to where that makes no difference. */
const updateRooms = (nodes: Int32Array, from: number): void => {
  let node = from
  while (node !== NIL) {
    const before = nodes[node + MOST_ROOM]!
    const most = mostRoom(nodes, node)
    if (most === before) return
    nodes[node + MOST_ROOM] = most
    node = nodes[node + PARENT]!
    if (most > before) return raiseRooms(nodes, node, most)
    // What there is less of below was not the most here.
    if (nodes[node + MOST_ROOM]! > before) return
  }
}

/** There is this much room below a node, or in it; there may have been less. */
const raiseRooms = (nodes: Int32Array, from: number, room: number): void => {
  let node = from
  while (node !== NIL && nodes[node + MOST_ROOM]! < room) {
    nodes[node + MOST_ROOM] = room
    node = nodes[node + PARENT]!
  }
}

const mostRoom = (nodes: Int32Array, node: number): number => {
  const left = nodes[nodes[node + LEFT]! + MOST_ROOM]!
  const right = nodes[nodes[node + RIGHT]! + MOST_ROOM]!
  let most = nodes[node + ROOM]!
  if (left > most) most = left
  if (right > most) most = right
  return most
}
