/**
 * The live mappings of all devices: flat arrays, found by bus address. A mapping hangs in the chain of the
 * granule that it starts in, and its granule is the power of two that holds it, so that chains are short
 * however a block is cut. Whoever looks for the mapping around an address visits two chains for each granule
 * size that was ever in use.
 */
import { fail } from "@vnic/sim/core"
import type { BusAddr, Direction, PhysAddr } from "./types.ts"

/** How a mapping was made; unmapping must use the same way. */
export const KIND_SINGLE = 0
export const KIND_COHERENT = 1
export const MAPPING_KINDS = ["single", "coherent"] as const

/** Kind and direction of a mapping in one number. */
export const tagOf = (kind: number, direction: Direction): number => (kind << 2) | direction
export const directionOfTag = (tag: number): Direction => (tag & 3) as Direction
export const kindOfTag = (tag: number): number => (tag >> 2) & 3

/** One live mapping, as data. */
export interface Mapping {
  readonly device: string
  readonly kind: (typeof MAPPING_KINDS)[number]
  readonly busAddr: BusAddr
  readonly phys: PhysAddr
  readonly sizeBytes: number
  readonly direction: Direction
  /** Who mapped it, and when on its local time. */
  readonly cpu: number
  readonly mappedAtPs: number
}

/** No such mapping. */
export const MAPPING_NONE = -1

/** Live mappings that can be tracked: two million, more than any address space here holds. */
const ENTRIES_MAX = 1 << 21
const ENTRIES_AT_FIRST = 1 << 12
const BUCKET_BITS = 15
/** Granules are 2^class bytes, a cache line at least. */
const CLASS_MIN = 6
const CLASS_COUNT = 32

/** An entry is four numbers in each array. */
const SHIFT = 2
const NEXT = 0
const SIZE = 1
/** device << 16 | cpu << 4 | tag */
const OWNER = 2
const OWNER_BUT_CPU = ~0xfff0
const BUS = 0
const PHYS = 1
const AT_PS = 2

export class MappingTable {
  /** Live mappings now. */
  liveCount = 0
  private readonly buckets = new Int32Array(1 << BUCKET_BITS).fill(MAPPING_NONE)
  private ints = new Int32Array(ENTRIES_AT_FIRST << SHIFT)
  private doubles = new Float64Array(ENTRIES_AT_FIRST << SHIFT)
  /** Bit n is set when a mapping of class n was ever made. */
  private classesSeen = 0
  private freeHead = MAPPING_NONE
  private used = 0
  declare private readonly clocks: Float64Array

  /** Times are read from the CPUs' local clocks. */
  constructor(localPs: Float64Array) {
    this.clocks = localPs
  }

  // The two hot ones, flat on purpose: each call that the engine does not inline costs as much as their work.

  readonly add = (
    device: number,
    cpu: number,
    busAddr: BusAddr,
    phys: PhysAddr,
    sizeBytes: number,
    tag: number
  ): void => {
    const size = classOf(sizeBytes)
    const bucket = bucketOf(device, (busAddr | 0) >>> size, size)
    const recycled = this.freeHead
    const entry = recycled === MAPPING_NONE ? this.newEntry() : recycled
    const at = entry << SHIFT
    const { buckets, doubles, ints } = this
    if (recycled !== MAPPING_NONE) this.freeHead = ints[at + NEXT]!
    doubles[at + BUS] = busAddr
    doubles[at + PHYS] = phys
    doubles[at + AT_PS] = this.clocks[cpu]!
    ints[at + NEXT] = buckets[bucket]!
    ints[at + SIZE] = sizeBytes
    ints[at + OWNER] = (device << 16) | (cpu << 4) | tag
    buckets[bucket] = entry
    this.classesSeen |= 1 << size
    this.liveCount++
  }

  /** Takes out a mapping that is just so; false when there is none. */
  readonly take = (device: number, busAddr: BusAddr, sizeBytes: number, tag: number): boolean => {
    const { buckets, doubles, ints } = this
    const size = classOf(sizeBytes)
    const bucket = bucketOf(device, (busAddr | 0) >>> size, size)
    let before = MAPPING_NONE
    for (let entry = buckets[bucket]!; entry !== MAPPING_NONE; entry = ints[(entry << SHIFT) + NEXT]!) {
      const at = entry << SHIFT
      const other = (ints[at + SIZE]! ^ sizeBytes) | ((ints[at + OWNER]! ^ ((device << 16) | tag)) & OWNER_BUT_CPU)
      if (other === 0 && doubles[at + BUS] === busAddr) {
        this.unlink(entry, before, bucket)
        return true
      }
      before = entry
    }
    return false
  }

  /**
   * Of the mappings that start at this address the one that fits best: in size, then direction, then kind;
   * among those that fit equally well the smallest.
   */
  readonly bestAt = (device: number, busAddr: BusAddr, sizeBytes: number, tag: number): number => {
    let best = MAPPING_NONE
    let bestFit = -1
    for (let size = CLASS_MIN; size < CLASS_COUNT; size++) {
      let entry = this.buckets[bucketOf(device, granuleOf(busAddr, size), size)]!
      for (; entry !== MAPPING_NONE; entry = this.ints[(entry << SHIFT) + NEXT]!) {
        if (this.busAddrOf(entry) !== busAddr || this.deviceOf(entry) !== device) continue
        const fit = this.fitOf(entry, sizeBytes, tag)
        if (fit > bestFit || (fit === bestFit && this.sizeBytesOf(entry) < this.sizeBytesOf(best))) {
          best = entry
          bestFit = fit
        }
      }
    }
    return best
  }

  private readonly fitOf = (entry: number, sizeBytes: number, tag: number): number => {
    const difference = this.tagOf(entry) ^ tag
    const isSize = this.sizeBytesOf(entry) === sizeBytes
    return (isSize ? 4 : 0) + ((difference & 3) === 0 ? 2 : 0) + (difference >> 2 === 0 ? 1 : 0)
  }

  /** Takes this one out. */
  readonly remove = (entry: number): void => {
    const size = classOf(this.sizeBytesOf(entry))
    const bucket = bucketOf(this.deviceOf(entry), granuleOf(this.busAddrOf(entry), size), size)
    let before = MAPPING_NONE
    let seen = this.buckets[bucket]!
    while (seen !== entry) {
      before = seen
      seen = this.ints[(seen << SHIFT) + NEXT]!
    }
    this.unlink(entry, before, bucket)
  }

  /** A mapping that holds the whole range, one that fits the direction if there is one; or MAPPING_NONE. */
  readonly around = (device: number, busAddr: BusAddr, sizeBytes: number, direction: Direction): number => {
    let found = MAPPING_NONE
    for (let classes = this.classesSeen; classes !== 0; classes &= classes - 1) {
      const size = 31 - Math.clz32(classes & -classes)
      let granule = granuleOf(busAddr, size)
      for (let visit = 0; visit < 2; visit++) {
        const first = this.buckets[bucketOf(device, granule, size)]!
        granule = granuleBefore(granule, size)
        const entry = this.firstAround(first, device, busAddr, sizeBytes, direction)
        if (entry === MAPPING_NONE) continue
        if (this.allows(entry, direction)) return entry
        found = entry
      }
    }
    return found
  }

  private readonly firstAround = (
    first: number,
    device: number,
    busAddr: BusAddr,
    sizeBytes: number,
    direction: Direction
  ): number => {
    const { doubles, ints } = this
    let found = MAPPING_NONE
    for (let entry = first; entry !== MAPPING_NONE; entry = ints[(entry << SHIFT) + NEXT]!) {
      const at = entry << SHIFT
      const start = doubles[at + BUS]!
      if (start > busAddr || ints[at + OWNER]! >> 16 !== device) continue
      if (busAddr + sizeBytes > start + ints[at + SIZE]!) continue
      if (this.allows(entry, direction)) return entry
      found = entry
    }
    return found
  }

  /** A bidirectional mapping (0) allows every direction, another one its own. */
  readonly allows = (entry: number, direction: Direction): boolean => {
    const mapped = this.tagOf(entry) & 3
    return mapped === 0 || mapped === direction
  }

  /** Mappings of a device, or of all, by bus address. */
  readonly entries = (device?: number): Array<number> => {
    const entries: Array<number> = []
    for (const first of this.buckets) {
      for (let entry = first; entry !== MAPPING_NONE; entry = this.ints[(entry << SHIFT) + NEXT]!) {
        if (device === undefined || this.deviceOf(entry) === device) entries.push(entry)
      }
    }
    return entries.sort(
      (left, right) => this.busAddrOf(left) - this.busAddrOf(right) || this.sizeBytesOf(left) - this.sizeBytesOf(right)
    )
  }

  /** The mapping as data; `names` are those of the devices. */
  readonly describe = (entry: number, names: ReadonlyArray<string>): Mapping => {
    const tag = this.tagOf(entry)
    return {
      device: names[this.deviceOf(entry)]!,
      kind: MAPPING_KINDS[kindOfTag(tag)]!,
      busAddr: this.busAddrOf(entry),
      phys: this.doubles[(entry << SHIFT) + PHYS]!,
      sizeBytes: this.sizeBytesOf(entry),
      direction: directionOfTag(tag),
      cpu: this.cpuOf(entry),
      mappedAtPs: this.doubles[(entry << SHIFT) + AT_PS]!
    }
  }

  readonly busAddrOf = (entry: number): BusAddr => {
    return this.doubles[(entry << SHIFT) + BUS]!
  }

  readonly sizeBytesOf = (entry: number): number => {
    return this.ints[(entry << SHIFT) + SIZE]!
  }

  readonly tagOf = (entry: number): number => {
    return this.ints[(entry << SHIFT) + OWNER]! & 15
  }

  readonly cpuOf = (entry: number): number => {
    return (this.ints[(entry << SHIFT) + OWNER]! >> 4) & 0xfff
  }

  private readonly deviceOf = (entry: number): number => {
    return this.ints[(entry << SHIFT) + OWNER]! >> 16
  }

  private readonly unlink = (entry: number, before: number, bucket: number): void => {
    const ints = this.ints
    const next = ints[(entry << SHIFT) + NEXT]!
    if (before === MAPPING_NONE) this.buckets[bucket] = next
    else ints[(before << SHIFT) + NEXT] = next
    ints[(entry << SHIFT) + NEXT] = this.freeHead
    this.freeHead = entry
    this.liveCount--
  }

  private readonly newEntry = (): number => {
    if (this.used << SHIFT === this.ints.length) this.grow()
    return this.used++
  }

  private readonly grow = (): void => {
    if (this.used >= ENTRIES_MAX) fail("more live mappings than DMA debug can track")
    const ints = new Int32Array(this.ints.length * 2)
    const doubles = new Float64Array(this.doubles.length * 2)
    ints.set(this.ints)
    doubles.set(this.doubles)
    this.ints = ints
    this.doubles = doubles
  }
}

/** The size class: the smallest whose granule holds so many bytes. */
function classOf(sizeBytes: number): number {
  return sizeBytes <= 1 << CLASS_MIN ? CLASS_MIN : 32 - Math.clz32(sizeBytes - 1)
}

/** Number of the granule modulo 4 GiB: granules that differ only above share a chain. */
function granuleOf(busAddr: BusAddr, size: number): number {
  return (busAddr | 0) >>> size
}

/** The granule before this one. */
function granuleBefore(granule: number, size: number): number {
  return (granule - 1) & (-1 >>> size)
}

/** IOVAs come at regular distances: a multiplicative hash spreads them. */
function bucketOf(device: number, granule: number, size: number): number {
  return Math.imul(granule + (device << 5) + size, 0x9e37_79b1) >>> (32 - BUCKET_BITS)
}
