/**
 * The live mappings of all devices: flat arrays, found by bus address. A mapping hangs in the chain of the
 * granule that it starts in, and its granule is the power of two that holds it, so that chains are short
 * however a block is cut. Whoever looks for the mapping around an address visits two chains for each granule
 * size that was ever in use.
 */
import { directionOfTag, kindOfTag, MAPPING_KINDS, type Mapping } from "./mapping.ts"
import type { BusAddr, Direction, PhysAddr } from "./types.ts"

export * from "./mapping.ts"

/** No such mapping. */
export const MAPPING_NONE = -1

/** Live mappings that can be tracked when nothing else is said: more than any address space here holds. */
export const ENTRIES_MAX = 1 << 21
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
/** site << 3 | marks */
const MARKS = 3
const BUS = 0
const PHYS = 1
const AT_PS = 2
const LIST_ENTRIES = 3

/** Devices that can be told apart. */
export const DEVICES_MAX = 1 << 15

/** The driver still owes a look at whether the map failed. */
export const MARK_UNCHECKED = 1
/** It shared a cache line with others when it was made. */
export const MARK_OVERLAPS = 2
const MARK_LIVE = 4
const OWES_CHECK = MARK_LIVE | MARK_UNCHECKED
/** The number of the place in the driver stands above the marks. */
export const SITE_SHIFT = 3
/** What mappings are called that were made at no place with a name: by their call. */
const CALLS = ["mapSingle", "allocCoherent", "mapSg", "dmaIovaLink"] as const

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
  /** The entry that was added last. */
  private newest = 0
  declare private readonly clocks: Float64Array
  declare private readonly entriesMax: number

  /** Times are read from the CPUs' local clocks. */
  constructor(localPs: Float64Array, entriesMax: number) {
    this.clocks = localPs
    this.entriesMax = entriesMax
  }

  // The two hot ones, flat on purpose: each call that the engine does not inline costs as much as their work.

  /** The new entry, or MAPPING_NONE when there is no room for one. */
  readonly add = (
    device: number,
    cpu: number,
    busAddr: BusAddr,
    phys: PhysAddr,
    sizeBytes: number,
    tag: number,
    marks: number
  ): number => {
    const size = classOf(sizeBytes)
    const bucket = bucketOf(device, (busAddr | 0) >>> size, size)
    const recycled = this.freeHead
    const entry = recycled === MAPPING_NONE ? this.newEntry() : recycled
    if (entry === MAPPING_NONE) return entry
    const at = entry << SHIFT
    const { buckets, doubles, ints } = this
    if (recycled !== MAPPING_NONE) this.freeHead = ints[at + NEXT]!
    doubles[at + BUS] = busAddr
    doubles[at + PHYS] = phys
    doubles[at + AT_PS] = this.clocks[cpu]!
    doubles[at + LIST_ENTRIES] = 0
    ints[at + NEXT] = buckets[bucket]!
    ints[at + SIZE] = sizeBytes
    ints[at + OWNER] = (device << 16) | (cpu << 4) | tag
    ints[at + MARKS] = marks | MARK_LIVE
    buckets[bucket] = entry
    this.classesSeen |= 1 << size
    this.newest = entry
    this.liveCount++
    return entry
  }

  /**
   * Takes out a mapping that is just so, the latest of several; MAPPING_NONE when there is none. What is known
   * of it can be read until the next one is added. `listEntries` is 0 but for segments of lists.
   */
  readonly take = (device: number, busAddr: BusAddr, sizeBytes: number, tag: number, listEntries: number): number => {
    const { buckets, doubles, ints } = this
    const size = classOf(sizeBytes)
    const bucket = bucketOf(device, (busAddr | 0) >>> size, size)
    let before = MAPPING_NONE
    for (let entry = buckets[bucket]!; entry !== MAPPING_NONE; entry = ints[(entry << SHIFT) + NEXT]!) {
      const at = entry << SHIFT
      const other = (ints[at + SIZE]! ^ sizeBytes) | ((ints[at + OWNER]! ^ ((device << 16) | tag)) & OWNER_BUT_CPU)
      if (other === 0 && doubles[at + BUS] === busAddr && doubles[at + LIST_ENTRIES] === listEntries) {
        this.unlink(entry, before, bucket)
        return entry
      }
      before = entry
    }
    return MAPPING_NONE
  }

  /**
   * The mark of whoever asked whether a map failed goes: of the newest mapping if that starts here, else of the
   * smallest, then latest, that has it.
   */
  readonly check = (device: number, busAddr: BusAddr): void => {
    const at = this.newest << SHIFT
    const { ints } = this
    const marks = ints[at + MARKS]!
    const isIt = (marks & OWES_CHECK) === OWES_CHECK && ints[at + OWNER]! >> 16 === device
    if (isIt && this.doubles[at + BUS] === busAddr) ints[at + MARKS] = marks & ~MARK_UNCHECKED
    else this.checkOlder(device, busAddr)
  }

  private readonly checkOlder = (device: number, busAddr: BusAddr): void => {
    let found = MAPPING_NONE
    for (let classes = this.classesSeen; classes !== 0; classes &= classes - 1) {
      const size = 31 - Math.clz32(classes & -classes)
      let entry = this.buckets[bucketOf(device, granuleOf(busAddr, size), size)]!
      for (; entry !== MAPPING_NONE; entry = this.ints[(entry << SHIFT) + NEXT]!) {
        if (this.busAddrOf(entry) !== busAddr || this.deviceOf(entry) !== device) continue
        if (classOf(this.sizeBytesOf(entry)) !== size || !this.hasMark(entry, MARK_UNCHECKED)) continue
        if (found === MAPPING_NONE || this.sizeBytesOf(entry) < this.sizeBytesOf(found)) found = entry
      }
    }
    if (found !== MAPPING_NONE) this.ints[(found << SHIFT) + MARKS]! &= ~MARK_UNCHECKED
  }

  /**
   * Of the mappings that start at this address the one that fits best: in kind, then size, then direction; among
   * those that fit equally well the smallest, then the latest.
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
    const sizeFit = this.sizeBytesOf(entry) === sizeBytes ? 2 : 0
    return (difference >> 2 === 0 ? 4 : 0) + sizeFit + ((difference & 3) === 0 ? 1 : 0)
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

  /**
   * A mapping that holds the whole range, or MAPPING_NONE: one that fits in direction and in the entries of its
   * list (0: whatever they are) if there is one, else one that fits in direction; among those that fit equally
   * well the smallest, then the one whose kind and direction are the lower numbers.
   */
  readonly around = (
    device: number,
    busAddr: BusAddr,
    sizeBytes: number,
    direction: Direction,
    listEntries: number
  ): number => {
    let found = MAPPING_NONE
    for (let classes = this.classesSeen; classes !== 0; classes &= classes - 1) {
      const size = 31 - Math.clz32(classes & -classes)
      let granule = granuleOf(busAddr, size)
      for (let visit = 0; visit < 2; visit++) {
        const first = this.buckets[bucketOf(device, granule, size)]!
        granule = granuleBefore(granule, size)
        const entry = this.firstAround(first, device, busAddr, sizeBytes, direction, listEntries)
        if (entry === MAPPING_NONE) continue
        if (this.fits(entry, direction, listEntries)) return entry
        found = this.betterAround(found, entry, direction)
      }
    }
    return found
  }

  private readonly firstAround = (
    first: number,
    device: number,
    busAddr: BusAddr,
    sizeBytes: number,
    direction: Direction,
    listEntries: number
  ): number => {
    const { doubles, ints } = this
    let found = MAPPING_NONE
    for (let entry = first; entry !== MAPPING_NONE; entry = ints[(entry << SHIFT) + NEXT]!) {
      const at = entry << SHIFT
      const start = doubles[at + BUS]!
      if (start > busAddr || ints[at + OWNER]! >> 16 !== device) continue
      if (busAddr + sizeBytes > start + ints[at + SIZE]!) continue
      if (this.fits(entry, direction, listEntries)) return entry
      found = this.betterAround(found, entry, direction)
    }
    return found
  }

  private readonly fits = (entry: number, direction: Direction, listEntries: number): boolean => {
    return this.allows(entry, direction) && (listEntries === 0 || this.listEntriesOf(entry) === listEntries)
  }

  /** Of two that do not fit in all. */
  private readonly betterAround = (one: number, other: number, direction: Direction): number => {
    if (one === MAPPING_NONE) return other
    const way = Number(this.allows(other, direction)) - Number(this.allows(one, direction))
    const size = this.sizeBytesOf(one) - this.sizeBytesOf(other)
    const tag = this.tagOf(one) - this.tagOf(other)
    return (way || size || tag) > 0 ? other : one
  }

  /** A bidirectional mapping (0) allows every direction, another one its own. */
  readonly allows = (entry: number, direction: Direction): boolean => {
    const mapped = this.tagOf(entry) & 3
    return mapped === 0 || mapped === direction
  }

  /** Live mappings of all devices in no order; a walk through all that ever were at once. */
  readonly forEach = (visit: (entry: number) => void): void => {
    for (let entry = 0; entry < this.used; entry++) {
      if ((this.ints[(entry << SHIFT) + MARKS]! & MARK_LIVE) !== 0) visit(entry)
    }
  }

  /** Mappings of a device, or of all, by bus address. */
  readonly entries = (device?: number): Array<number> => {
    const entries: Array<number> = []
    this.forEach((entry) => {
      if (device === undefined || this.deviceOf(entry) === device) entries.push(entry)
    })
    return entries.sort(
      (left, right) => this.busAddrOf(left) - this.busAddrOf(right) || this.sizeBytesOf(left) - this.sizeBytesOf(right)
    )
  }

  /** The mapping as data, with the names of devices and of sites. */
  readonly describe = (entry: number, devices: ReadonlyArray<string>, sites: ReadonlyArray<string>): Mapping => {
    const tag = this.tagOf(entry)
    return {
      device: devices[this.deviceOf(entry)]!,
      kind: MAPPING_KINDS[kindOfTag(tag)]!,
      busAddr: this.busAddrOf(entry),
      phys: this.physOf(entry),
      sizeBytes: this.sizeBytesOf(entry),
      direction: directionOfTag(tag),
      listEntries: this.listEntriesOf(entry),
      site: sites[this.ints[(entry << SHIFT) + MARKS]! >> SITE_SHIFT] || CALLS[kindOfTag(tag)]!,
      cpu: this.cpuOf(entry),
      mappedAtPs: this.doubles[(entry << SHIFT) + AT_PS]!
    }
  }

  readonly busAddrOf = (entry: number): BusAddr => {
    return this.doubles[(entry << SHIFT) + BUS]!
  }

  readonly physOf = (entry: number): PhysAddr => {
    return this.doubles[(entry << SHIFT) + PHYS]!
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

  readonly deviceOf = (entry: number): number => {
    return this.ints[(entry << SHIFT) + OWNER]! >> 16
  }

  readonly hasMark = (entry: number, mark: number): boolean => {
    return (this.ints[(entry << SHIFT) + MARKS]! & mark) !== 0
  }

  readonly mark = (entry: number, mark: number): void => {
    this.ints[(entry << SHIFT) + MARKS]! |= mark
  }

  /** Entries of the scatter list that a segment is of; 0 otherwise. */
  readonly listEntriesOf = (entry: number): number => {
    return this.doubles[(entry << SHIFT) + LIST_ENTRIES]!
  }

  readonly setListEntries = (entry: number, listEntries: number): void => {
    this.doubles[(entry << SHIFT) + LIST_ENTRIES] = listEntries
  }

  private readonly unlink = (entry: number, before: number, bucket: number): void => {
    const ints = this.ints
    const next = ints[(entry << SHIFT) + NEXT]!
    if (before === MAPPING_NONE) this.buckets[bucket] = next
    else ints[(before << SHIFT) + NEXT] = next
    ints[(entry << SHIFT) + NEXT] = this.freeHead
    ints[(entry << SHIFT) + MARKS]! &= ~MARK_LIVE
    this.freeHead = entry
    this.liveCount--
  }

  private readonly newEntry = (): number => {
    if (this.used >= this.entriesMax) return MAPPING_NONE
    if (this.used << SHIFT === this.ints.length) this.grow()
    return this.used++
  }

  /** Forgets all of them. */
  clear(): void {
    this.buckets.fill(MAPPING_NONE)
    this.newest = 0
    this.ints.fill(0)
    this.freeHead = MAPPING_NONE
    this.used = 0
    this.liveCount = 0
  }

  private readonly grow = (): void => {
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
