/** Counts the steps of operations that consist of several sections, each CPU's apart, until they are done. */
import {
  makeWork,
  WORK_CACHE_LINES as workCacheLines,
  WORK_LOCKS as workLocks,
  WORK_NAMES,
  WORK_NODES as workNodes,
  WORK_WORDS as workWords,
  type Work
} from "./allocator.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const WORK_NODES = workNodes
const WORK_WORDS = workWords
const WORK_CACHE_LINES = workCacheLines
const WORK_LOCKS = workLocks
const KINDS = WORK_NAMES.length

export class Tally {
  readonly work: Work = makeWork()
  declare private readonly steps: Float64Array
  /** Has the CPU's operation had a section yet? */
  declare private readonly isOpen: Uint8Array

  constructor(cpuCount: number) {
    this.steps = new Float64Array(cpuCount * KINDS)
    this.isOpen = new Uint8Array(cpuCount)
  }

  /** Adds the steps of a section to the operation that the CPU is in. */
  readonly add = (cpu: number, nodes: number, words: number, lines: number, locks: number): void => {
    const { steps } = this
    const base = cpu * KINDS
    this.isOpen[cpu] = 1
    steps[base + WORK_NODES]! += nodes
    steps[base + WORK_WORDS]! += words
    steps[base + WORK_CACHE_LINES]! += lines
    steps[base + WORK_LOCKS]! += locks
  }

  /** The CPU's operation ends in its magazines, and belongs to these sums; most have no other section. */
  readonly closeMagazine = (cpu: number, sums: Float64Array, words: number, lines: number): void => {
    if (this.isOpen[cpu] === 1) {
      this.add(cpu, 0, words, lines, 1)
      this.close(cpu, sums)
      return
    }
    const { last } = this.work
    last[WORK_NODES] = 0
    last[WORK_WORDS] = words
    last[WORK_CACHE_LINES] = lines
    last[WORK_LOCKS] = 1
    sums[WORK_WORDS]! += words
    sums[WORK_CACHE_LINES]! += lines
    sums[WORK_LOCKS]! += 1
  }

  /** The CPU's operation is done and belongs to these sums. */
  readonly close = (cpu: number, sums: Float64Array): void => {
    const { steps } = this
    const { last } = this.work
    const base = cpu * KINDS
    this.isOpen[cpu] = 0
    for (let kind = 0; kind < KINDS; kind++) {
      const count = steps[base + kind]!
      last[kind] = count
      sums[kind]! += count
      steps[base + kind] = 0
    }
  }
}
