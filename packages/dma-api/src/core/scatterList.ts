/**
 * A list of buffers that is mapped as one. One array has two sides, as the kernel's has: entry n says where the
 * n-th buffer lies, and where the n-th *segment* of what the device sees begins. There are as many segments as
 * entries or, where neighbours were merged, fewer; who unmaps or syncs gives the number of entries all the same.
 * [Linux 6.12 include/linux/scatterlist.h, drivers/iommu/dma-iommu.c]
 */
import { assert } from "@vnic/sim/core"
import { BIDIRECTIONAL, type BusAddr, type Direction, type PhysAddr } from "./types.ts"

/** Numbers of an entry. */
const STRIDE = 6
const PHYS = 0
const SIZE = 1
const BUS = 2
const BUS_SIZE = 3
/** Bytes of bus addresses of its pages, and of the padding behind them. */
const PAGES = 4
const PADDING = 5

export class ScatterList {
  /** Most entries. */
  declare readonly capacity: number
  /** Entries as they were mapped last, and segments that came of them; 0 when the list is not mapped. */
  entryCount = 0
  segmentCount = 0
  /** Which way it was mapped last. */
  direction: Direction = BIDIRECTIONAL
  /** A buffer was named anew while the list is mapped: what is mapped is the one before. */
  isChanged = false
  declare private readonly numbers: Float64Array

  constructor(capacity: number) {
    assert(capacity >= 1, "a scatter list without entries")
    this.capacity = capacity
    this.numbers = new Float64Array(capacity * STRIDE)
  }

  get isMapped(): boolean {
    return this.entryCount > 0
  }

  /** For backends: it is not mapped any more. */
  readonly clear = (): void => {
    this.entryCount = 0
    this.segmentCount = 0
    this.isChanged = false
  }

  /** Names the buffer of an entry; not while the list is mapped. */
  readonly setBuffer = (entry: number, phys: PhysAddr, sizeBytes: number): void => {
    if (entry < this.entryCount && (phys !== this.physOf(entry) || sizeBytes !== this.sizeBytesOf(entry))) {
      this.isChanged = true
    }
    this.numbers[entry * STRIDE + PHYS] = phys
    this.numbers[entry * STRIDE + SIZE] = sizeBytes
  }

  readonly physOf = (entry: number): PhysAddr => {
    return this.numbers[entry * STRIDE + PHYS]!
  }

  readonly sizeBytesOf = (entry: number): number => {
    return this.numbers[entry * STRIDE + SIZE]!
  }

  /** sg_dma_address of a segment, and sg_dma_len. */
  readonly busAddrOf = (segment: number): BusAddr => {
    return this.numbers[segment * STRIDE + BUS]!
  }

  readonly busSizeBytesOf = (segment: number): number => {
    return this.numbers[segment * STRIDE + BUS_SIZE]!
  }

  /** For backends: where a segment is. */
  readonly setSegment = (segment: number, busAddr: BusAddr, sizeBytes: number): void => {
    this.numbers[segment * STRIDE + BUS] = busAddr
    this.numbers[segment * STRIDE + BUS_SIZE] = sizeBytes
  }

  /** For backends that give the list one range: what an entry takes of it, pages and padding behind them. */
  readonly setPages = (entry: number, pagesBytes: number): void => {
    this.numbers[entry * STRIDE + PAGES] = pagesBytes
    this.numbers[entry * STRIDE + PADDING] = 0
  }

  readonly setPadding = (entry: number, paddingBytes: number): void => {
    this.numbers[entry * STRIDE + PADDING] = paddingBytes
  }

  readonly pagesBytesOf = (entry: number): number => {
    return this.numbers[entry * STRIDE + PAGES]!
  }

  readonly paddingBytesOf = (entry: number): number => {
    return this.numbers[entry * STRIDE + PADDING]!
  }
}

/** A list with room for so many entries, all of them unset. */
export const makeScatterList = (capacity: number): ScatterList => new ScatterList(capacity)
