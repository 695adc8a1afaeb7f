/**
 * The memory that live mappings lie in: for each page how many touch it, for each cache line whether one that the
 * device may write does. Both are answered without a look at the mappings, so that the common answer, none, is quick.
 */
import { fail } from "@vnic/sim/core"
import type { PhysAddr } from "./types.ts"

/** Memory is described in chunks of 2 MiB, made when the first mapping touches one. */
const CHUNK_SHIFT = 21
const CHUNK_BYTES = 2 ** CHUNK_SHIFT
/** Pages as they are counted here, whatever the host's are. */
const PAGE_SHIFT = 12
const PAGES_PER_CHUNK = 1 << (CHUNK_SHIFT - PAGE_SHIFT)
/** Lines in a word. */
const WORD_SHIFT = 5

export class Footprint {
  /** chunks[n]: counts of its pages, then its lines. */
  private readonly chunks: Array<Int32Array | undefined> = []
  declare private readonly lineShift: number
  declare private readonly chunkWords: number

  constructor(lineBytes: number) {
    this.lineShift = 31 - Math.clz32(lineBytes)
    if (2 ** this.lineShift !== lineBytes || lineBytes > 2 ** PAGE_SHIFT) fail("a cache line is no power of two")
    this.chunkWords = PAGES_PER_CHUNK + 2 ** (CHUNK_SHIFT - this.lineShift - WORD_SHIFT)
  }

  // The two hot ones are flat and without loops for a buffer that lies in one page.

  /** Counts a range in; with `hasLines` its lines too: was one of them taken already? */
  readonly add = (phys: PhysAddr, sizeBytes: number, hasLines: boolean): boolean => {
    const index = Math.floor(phys / CHUNK_BYTES)
    const first = phys - index * CHUNK_BYTES
    const last = first + sizeBytes - 1
    const chunk = this.chunks[index]
    if (chunk === undefined || last >> PAGE_SHIFT !== first >> PAGE_SHIFT) {
      return this.forChunks(phys, sizeBytes, hasLines ? addLines : addPages, this.lineShift)
    }
    chunk[first >> PAGE_SHIFT]! += 1
    if (!hasLines) return false
    const line = first >> this.lineShift
    const lastLine = last >> this.lineShift
    const word = PAGES_PER_CHUNK + (line >> WORD_SHIFT)
    if (line >> WORD_SHIFT !== lastLine >> WORD_SHIFT) return setLines(chunk, line, lastLine)
    const mask = (-1 >>> (31 - (lastLine - line))) << (line & 31)
    const before = chunk[word]!
    chunk[word] = before | mask
    return (before & mask) !== 0
  }

  /** Counts it out; other mappings of its lines must be marked again. */
  readonly remove = (phys: PhysAddr, sizeBytes: number, hasLines: boolean): void => {
    const index = Math.floor(phys / CHUNK_BYTES)
    const first = phys - index * CHUNK_BYTES
    const last = first + sizeBytes - 1
    const chunk = this.chunks[index]
    if (chunk === undefined || last >> PAGE_SHIFT !== first >> PAGE_SHIFT) {
      this.forChunks(phys, sizeBytes, hasLines ? removeLines : removePages, this.lineShift)
      return
    }
    chunk[first >> PAGE_SHIFT]! -= 1
    if (!hasLines) return
    const line = first >> this.lineShift
    const lastLine = last >> this.lineShift
    if (line >> WORD_SHIFT !== lastLine >> WORD_SHIFT) {
      clearLines(chunk, line, lastLine)
      return
    }
    chunk[PAGES_PER_CHUNK + (line >> WORD_SHIFT)]! &= ~((-1 >>> (31 - (lastLine - line))) << (line & 31))
  }

  /** Marks the lines of a range that was counted in before. */
  mark(phys: PhysAddr, sizeBytes: number): void {
    this.forChunks(phys, sizeBytes, markLines, this.lineShift)
  }

  /** May a mapping lie in this range? False is certain, true is to the page. */
  isTouched(phys: PhysAddr, sizeBytes: number): boolean {
    return this.forChunks(phys, sizeBytes, arePagesTouched, this.lineShift)
  }

  /** Number of the line that an address lies in. */
  lineOf(phys: PhysAddr): number {
    return Math.floor(phys / 2 ** this.lineShift)
  }

  /** Does the work on the part of the range that lies in each chunk: was it true of one of them? */
  private forChunks(phys: PhysAddr, sizeBytes: number, work: ChunkWork, lineShift: number): boolean {
    const end = phys + sizeBytes
    let isTrue = false
    let index = Math.floor(phys / CHUNK_BYTES)
    for (; index * CHUNK_BYTES < end; index++) {
      const chunk = (this.chunks[index] ??= new Int32Array(this.chunkWords))
      const first = Math.max(phys - index * CHUNK_BYTES, 0)
      const last = Math.min(end - index * CHUNK_BYTES, CHUNK_BYTES) - 1
      if (work(chunk, first, last, lineShift)) isTrue = true
    }
    return isTrue
  }
}

/** Something done with the bytes of a chunk from `first` to `last`. */
type ChunkWork = (chunk: Int32Array, first: number, last: number, lineShift: number) => boolean

const addPages: ChunkWork = (chunk, first, last) => {
  for (let page = first >> PAGE_SHIFT; page <= last >> PAGE_SHIFT; page++) chunk[page]! += 1
  return false
}

const addLines: ChunkWork = (chunk, first, last, lineShift) => {
  addPages(chunk, first, last, lineShift)
  return markLines(chunk, first, last, lineShift)
}

const removePages: ChunkWork = (chunk, first, last) => {
  for (let page = first >> PAGE_SHIFT; page <= last >> PAGE_SHIFT; page++) chunk[page]! -= 1
  return false
}

const removeLines: ChunkWork = (chunk, first, last, lineShift) => {
  removePages(chunk, first, last, lineShift)
  clearLines(chunk, first >> lineShift, last >> lineShift)
  return false
}

const markLines: ChunkWork = (chunk, first, last, lineShift) => setLines(chunk, first >> lineShift, last >> lineShift)

const arePagesTouched: ChunkWork = (chunk, first, last) => {
  for (let page = first >> PAGE_SHIFT; page <= last >> PAGE_SHIFT; page++) if (chunk[page]! > 0) return true
  return false
}

/** Marks lines of a chunk: was one of them marked before? */
function setLines(chunk: Int32Array, line: number, lastLine: number): boolean {
  const lastWord = lastLine >> WORD_SHIFT
  let taken = 0
  let mask = -1 << (line & 31)
  for (let word = line >> WORD_SHIFT; word <= lastWord; word++) {
    if (word === lastWord) mask &= -1 >>> (31 - (lastLine & 31))
    taken |= chunk[PAGES_PER_CHUNK + word]! & mask
    chunk[PAGES_PER_CHUNK + word]! |= mask
    mask = -1
  }
  return taken !== 0
}

function clearLines(chunk: Int32Array, line: number, lastLine: number): void {
  const lastWord = lastLine >> WORD_SHIFT
  let mask = -1 << (line & 31)
  for (let word = line >> WORD_SHIFT; word <= lastWord; word++) {
    if (word === lastWord) mask &= -1 >>> (31 - (lastLine & 31))
    chunk[PAGES_PER_CHUNK + word]! &= ~mask
    mask = -1
  }
}
