/**
 * What DMA debug looks for, as data: the 25 checks of the kernel by their numbers in this project, and two more.
 * [Linux 6.12 kernel/dma/debug.c; the 26th: commit 466ae6978a5b, IOMMU_DEBUG_PAGEALLOC]
 */

/** One check. */
export interface DebugCheck {
  readonly number: number
  /** The finding that it makes. */
  readonly kind: string
  /** The calls that it watches. */
  readonly when: string
  /** What is found. */
  readonly condition: string
  /** Where it differs from the kernel's. */
  readonly difference?: string
}

/**
 * MODEL: where the kernel's checks miss something by construction, these do not; each difference stands with its
 * check.
 */
export const DEBUG_CHECKS = [
  {
    number: 1,
    kind: "invalidMemory",
    when: "map",
    condition: "the buffer is not memory that a device may be given at all",
    difference: "pages and scatter lists are held to it as well, and to the last byte"
  },
  {
    number: 2,
    kind: "vmallocMemory",
    when: "map",
    condition: "the buffer lies in the vmalloc area",
    difference: "areas are ranges of physical memory, for pages and scatter lists too"
  },
  {
    number: 3,
    kind: "stackMemory",
    when: "map",
    condition: "the buffer lies on a stack",
    difference: "on any task's, and to the last byte"
  },
  {
    number: 4,
    kind: "kernelMemory",
    when: "map",
    condition: "the buffer meets the kernel's text or its read-only data",
    difference: "high memory is no exception"
  },
  {
    number: 5,
    kind: "overlappingMappings",
    when: "map, unless to the device",
    condition:
      "a cache line of the buffer belongs to another live mapping of any device, and CPU syncs are not skipped",
    difference: "every line of both counts, not the first alone; of a list's merged buffers too, once a segment"
  },
  {
    number: 6,
    kind: "tooManyOverlaps",
    when: "map, unless to the device",
    condition: "a cache line has more than 7 mappings besides its first",
    difference: "every map that makes it so is found, not the first one since boot"
  },
  {
    number: 7,
    kind: "segmentTooLong",
    when: "map of a scatter list",
    condition: "an entry is longer than the device takes",
    difference: "entries that were merged into others count too"
  },
  {
    number: 8,
    kind: "segmentAcrossBoundary",
    when: "map of a scatter list",
    condition: "a segment crosses the boundary that the device told of"
  },
  {
    number: 9,
    kind: "unmapOfError",
    when: "unmap, free",
    condition: "the address is what a failed map returns, and nothing is mapped there"
  },
  {
    number: 10,
    kind: "unmapOfNothing",
    when: "unmap, free, unlink",
    condition: "nothing of this device is mapped there, or not any more",
    difference: "several mappings at one address of which none fits are told apart: the one that fits best is undone"
  },
  { number: 11, kind: "wrongSize", when: "unmap, free", condition: "another size was mapped" },
  {
    number: 12,
    kind: "wrongKind",
    when: "unmap, free",
    condition: "it was mapped by another function",
    difference: "a segment and a link stay mapped"
  },
  {
    number: 13,
    kind: "wrongCpuAddress",
    when: "free, unmap of a scatter list",
    condition: "the block lies elsewhere in memory, or a buffer of the list was changed since it was mapped",
    difference: "of lists, too; once a call"
  },
  {
    number: 14,
    kind: "wrongEntryCount",
    when: "unmap of a scatter list",
    condition: "the list had another number of entries when it was mapped",
    difference: "found once a call, not once a segment"
  },
  { number: 15, kind: "wrongDirection", when: "unmap, free", condition: "it was mapped in another direction" },
  {
    number: 16,
    kind: "mappingErrorUnchecked",
    when: "unmap of a single buffer, a page or a resource",
    condition: "mappingError was never asked about it"
  },
  { number: 17, kind: "syncOutsideMapping", when: "sync", condition: "the range begins in no live mapping" },
  {
    number: 18,
    kind: "syncBeyondMapping",
    when: "sync",
    condition: "the range begins in a live mapping and ends behind it",
    difference: "found by its start; the kernel looks for a mapping of the whole range, and reports the 17th instead"
  },
  {
    number: 19,
    kind: "syncWrongDirection",
    when: "sync",
    condition: "it was mapped in another direction, and not in both",
    difference: "where 20 or 21 says more, it alone is found"
  },
  {
    number: 20,
    kind: "syncReadOnlyForCpu",
    when: "sync for the CPU",
    condition: "the device only reads the mapping, and the sync says otherwise"
  },
  {
    number: 21,
    kind: "syncWriteOnlyForDevice",
    when: "sync for the device",
    condition: "the device only writes the mapping, and the sync says otherwise"
  },
  {
    number: 22,
    kind: "syncWrongEntryCount",
    when: "sync of a scatter list",
    condition: "the list had another number of entries when it was mapped"
  },
  {
    number: 23,
    kind: "leak",
    when: "release of the device",
    condition: "a mapping is still live, or a range of bus addresses allocated",
    difference: "one finding for each; ranges too"
  },
  {
    number: 24,
    kind: "poolGrowth",
    when: "map",
    condition: "live mappings pass a multiple of `growthEvery` for the first time",
    difference: "off unless asked for: a number proves no leak, the 23rd does"
  },
  {
    number: 25,
    kind: "entriesExhausted",
    when: "map",
    condition: "there is no room for another mapping (`entriesMax`): debugging is off for good"
  },
  {
    number: 26,
    kind: "pageFreedWhileMapped",
    when: "free of pages",
    condition: "a live mapping, of any device, lies in them"
  },
  {
    number: 27,
    kind: "accessOutsideMapping",
    when: "access by the device",
    condition: "no live mapping of its own holds the whole range and allows the direction"
  }
] as const satisfies ReadonlyArray<DebugCheck>

/** What a finding is, by the check that made it. */
export type FindingKind = (typeof DEBUG_CHECKS)[number]["kind"]
export const FINDING_KINDS: ReadonlyArray<FindingKind> = DEBUG_CHECKS.map(({ kind }) => kind)
