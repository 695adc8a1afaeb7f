/**
 * In which order a benchmark thread maps and unmaps. A thread has slots, each for one live mapping, and between
 * two pairs exactly one slot of each ring is free: a pair maps into it and unmaps another, which is free then.
 *
 *     once        one slot: what was mapped is unmapped at once, as the kernel's map_benchmark does
 *     fifo:N      a ring of N: the oldest is unmapped
 *     two-rings   a receive ring of N and an acknowledgement ring of N/4, two receive pairs for each of the other
 *     random      N slots: any of them is unmapped, so that lifetimes are geometric
 */
import { alternatives, suggestion } from "../Names.ts"

/** One way of mapping and unmapping. */
export interface Pattern {
  /** As it is written. */
  readonly name: string
  readonly kind: "fifo" | "two-rings" | "random"
  /** Slots of a thread's first ring, and of its second. */
  readonly depths: readonly [first: number, second: number]
}

/** What `--pattern` takes. */
const PATTERN_FORMS = ["once", "fifo:N", "two-rings:N", "random:N"] as const

/** 1,024 threads of these fit into a window of 1 GiB. */
const DEPTH_DEFAULT = 128
const DEPTH_MAX = 65_536
/** Receive slots for each slot of the acknowledgement ring. */
const RECEIVE_PER_ACK = 4
/** Pairs of a cycle of two rings, the last of which is an acknowledgement: one for every other segment. */
const CYCLE_PAIRS = 3

/** The pattern that a text means, under its full name, or what is wrong with it. */
export const parsePattern = (text: string): Pattern | { readonly problem: string } => {
  const [kind = "", written, ...rest] = text.split(":")
  const known = PATTERN_FORMS.map((form) => form.replace(":N", ""))
  if (kind === "") return { problem: `needs one of ${alternatives(PATTERN_FORMS)}` }
  if (!known.includes(kind)) return { problem: `${text} is no pattern; ${suggestion(kind, known)}` }
  if (kind === "once" && written === undefined) return { name: text, kind: "fifo", depths: [1, 0] }
  const isDepth = written !== undefined && /^\d+$/u.test(written)
  const isAbsent = written === undefined && kind !== "fifo"
  const depth = isDepth ? Number(written) : isAbsent ? DEPTH_DEFAULT : Number.NaN
  const least = kind === "two-rings" ? RECEIVE_PER_ACK : 1
  if (kind === "once" || rest.length > 0 || !(depth >= least && depth <= DEPTH_MAX)) {
    return { problem: `${text}: use ${alternatives(PATTERN_FORMS)} with N from ${least} to ${DEPTH_MAX}` }
  }
  const name = `${kind}:${depth}`
  if (kind === "two-rings") return { name, kind, depths: [depth, Math.floor(depth / RECEIVE_PER_ACK)] }
  return { name, kind: kind === "fifo" ? "fifo" : "random", depths: [depth, 0] }
}

/** Mappings of one thread that live at once, at most. */
export const slotsOf = ({ depths }: Pattern): number => depths[0] + depths[1]

/** Which slots the threads of a run map and unmap. */
export class Slots {
  readonly perThread: number
  /** Slots that are mapped before the first pair. */
  readonly fillCount: number
  private readonly kind: Pattern["kind"]
  private readonly depths: readonly [number, number]
  /** free[thread * 2 + ring]: the slot of the ring that is free. */
  private readonly free: Int32Array
  private readonly turns: Int32Array
  private readonly below: (bound: number) => number

  /** `below` draws a number from 0 to a bound. */
  constructor(pattern: Pattern, threads: number, below: (bound: number) => number) {
    const [first, second] = pattern.depths
    this.kind = pattern.kind
    this.depths = pattern.depths
    this.below = below
    this.perThread = first + second
    this.fillCount = first - 1 + Math.max(0, second - 1)
    this.free = new Int32Array(threads * 2)
    this.turns = new Int32Array(threads)
    for (let thread = 0; thread < threads; thread++) {
      this.free[thread * 2] = first - 1
      this.free[thread * 2 + 1] = first + second - 1
    }
  }

  /** The slot that is mapped as the n-th before the first pair: all but the last of each ring. */
  fillSlot(n: number): number {
    const first = this.depths[0]
    return n < first - 1 ? n : n + 1
  }

  /** The slot that the thread's next pair maps. */
  mapSlot(thread: number): number {
    return this.free[thread * 2 + this.ringOf(thread)]!
  }

  /** The slot that the same pair unmaps; the pair is over. */
  unmapSlot(thread: number): number {
    const ring = this.ringOf(thread)
    const at = thread * 2 + ring
    const base = ring === 0 ? 0 : this.depths[0]
    const depth = this.depths[ring]!
    const chosen = this.kind === "random" ? this.below(depth) : (this.free[at]! - base + 1) % depth
    this.free[at] = base + chosen
    const turn = this.turns[thread]! + 1
    this.turns[thread] = turn === CYCLE_PAIRS ? 0 : turn
    return base + chosen
  }

  private ringOf(thread: number): 0 | 1 {
    return this.kind === "two-rings" && this.turns[thread] === CYCLE_PAIRS - 1 ? 1 : 0
  }
}
