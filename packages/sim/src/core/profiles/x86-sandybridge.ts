/**
 * A Xeon of the Sandy Bridge to Haswell years at 3.1 GHz with VT-d, Linux of 2013, 4 KiB pages.
 *
 * Nothing is fitted. What the DMA API costs are mean cycles of one call as published for this class of machine;
 * where such a figure holds a lock's acquire as well, that is taken off, since locks are charged by themselves.
 */
import { checkProfile, type Constant } from "../profile.ts"

const NS = 1000
/** A cycle is 10,000 / 31 ps: 3.1 GHz. */
const cyclesPs = (cycles: number): number => Math.round((cycles * 10_000) / 31)

const assumed = (value: number, low: number, high: number, source: string): Constant => ({
  value,
  unit: "ps",
  tag: "E",
  source,
  range: [low, high]
})

/** Mean cycles of one part of a map or unmap call, measured with the strict mode of Linux. */
const measured = (cycles: number, what: string): Constant => ({
  value: cyclesPs(cycles),
  unit: "ps",
  tag: "R",
  source: `${cycles} cycles at 3.1 GHz: ${what}`
})

const derived = (valuePs: number, source: string): Constant => ({ value: valuePs, unit: "ps", tag: "X", source })

/** What this platform does not do. */
const absent = (why: string): Constant => ({ value: 0, unit: "ps", tag: "V", source: why })

const LOCK_ACQUIRE_PS = 15 * NS
const LOOK_PS = 97 * NS
const INVALIDATE_CYCLES = 2127

export const x86Sandybridge = checkProfile({
  name: "x86-sandybridge",
  about: "8-core Xeon at 3.1 GHz, VT-d second-stage tables and invalidation queue, 4 KiB pages",
  iommu: "vtd",
  constants: {
    coreCount: {
      value: 8,
      unit: "count",
      tag: "E",
      source: "the talk's x86 line goes to 8 threads; Sandy Bridge Xeons have 4 to 8 cores",
      range: [4, 16]
    },
    threadsPerCore: { value: 2, unit: "count", tag: "R", source: "Sandy Bridge has two threads a core" },
    speedWithTwoThreads: {
      value: 0.62,
      unit: "share",
      tag: "E",
      source: "speed of one of two busy threads of a core",
      range: [0.5, 0.75]
    },
    speedWithFourThreads: {
      value: 0.31,
      unit: "share",
      tag: "E",
      source: "never used, a core has two threads: half of what two give",
      range: [0.25, 0.375]
    },
    timeSlice: {
      value: 3_000_000 * NS,
      unit: "ps",
      tag: "R",
      source: "Linux 3.10 kernel/sched/fair.c: least granularity 0.75 ms, times 4 from 8 CPUs on"
    },
    contextSwitch: assumed(3000 * NS, 1000 * NS, 10000 * NS, "from one thread to the next on a CPU, with cold caches"),
    benchmarkLoop: assumed(50 * NS, 10 * NS, 200 * NS, "map_benchmark dirties its buffer and reads the clock 4 times"),
    systemPageBytes: { value: 4096, unit: "bytes", tag: "V", source: "x86 has 4 KiB pages" },
    cacheLineBytes: {
      value: 64,
      unit: "bytes",
      tag: "R",
      source: "Sandy Bridge has lines of 64 bytes in all its caches"
    },
    stackFrame: measured(1816, "network stack, a 1500-byte packet without IOMMU"),
    stackJitter: {
      value: 0.2,
      unit: "share",
      tag: "E",
      source: "half-width of the uniform spread of stackFrame",
      range: [0, 0.5]
    },
    interruptEntry: assumed(500 * NS, 300 * NS, 3000 * NS, "interrupt entry and exit with the soft interrupt"),
    pollEntry: assumed(100 * NS, 50 * NS, 500 * NS, "one call of a NAPI poll without frames"),
    descriptorWork: assumed(30 * NS, 10 * NS, 100 * NS, "driver work on one descriptor, without map and stack"),
    pageAllocation: assumed(150 * NS, 100 * NS, 1900 * NS, "page allocator; 0.14-0.17 us median on Ice Lake"),
    mmioWrite: assumed(100 * NS, 30 * NS, 300 * NS, "posted register write with its barrier, seen by the CPU"),
    copyKiB: { value: 100 * NS, unit: "ps/KiB", tag: "E", source: "warm copy, 10 GB/s", range: [50 * NS, 400 * NS] },
    copyCall: assumed(20 * NS, 5 * NS, 50 * NS, "start of a copy"),
    lockAcquire: assumed(
      LOCK_ACQUIRE_PS,
      5 * NS,
      25 * NS,
      "its share of 92 cycles for lock + constant-time allocation"
    ),
    lockHandOff: assumed(50 * NS, 0, 150 * NS, "a cache line moves from one core to another on the socket"),
    lockHandOffPerWaiter: {
      value: 18 * NS,
      unit: "ps/waiter",
      tag: "E",
      source: "ticket lock: each waiter reads the line again at every hand-off",
      range: [0, 60 * NS]
    },
    bitmapSearch: assumed(15 * NS, 5 * NS, 60 * NS, "start of a bitmap search; as treeSearch"),
    bitmapWord: {
      value: 1 * NS,
      unit: "ps/word",
      tag: "E",
      source: "one 64-bit word of the bitmap scanned, some 3 cycles from the cache",
      range: [300, 4 * NS]
    },
    treeSearch: derived(cyclesPs(90) - LOCK_ACQUIRE_PS, "90 cycles of a tree operation less the lock's acquire"),
    treeVisit: derived(cyclesPs(30), "30 cycles for each node of an RB-tree visited"),
    magazineOperation: measured(92, "allocation by a constant-time allocator, its lock included"),
    constantAllocation: derived(
      cyclesPs(92) - LOCK_ACQUIRE_PS,
      "92 cycles of a constant-time allocation less the lock's acquire"
    ),
    directMapPair: assumed(30 * NS, 14 * NS, 100 * NS, "direct map + unmap pair"),
    mapOther: measured(44, "a map call besides allocation and page table"),
    unmapOther: measured(26, "an unmap call besides find, free, page table and invalidation"),
    flushQueue: derived(
      cyclesPs(205 - 26) - LOCK_ACQUIRE_PS,
      "other of an unmap call: 205 cycles deferred, 26 strict, less the acquire of the queue's lock"
    ),
    pageTableInsert: measured(588, "page table of a map call"),
    pageTableRemove: measured(438, "page table of an unmap call"),
    pageTableEntry: assumed(5 * NS, 1 * NS, 60 * NS, "each further entry of a call; 60 with a cache-line flush each"),
    invalidation: derived(
      cyclesPs(INVALIDATE_CYCLES) - LOCK_ACQUIRE_PS - (LOOK_PS + LOCK_ACQUIRE_PS) / 2,
      "2,127 cycles of a page-selective IOTLB invalidation call, less the lock's acquire and half a look"
    ),
    invalidationPoll: assumed(
      LOOK_PS,
      50 * NS,
      300 * NS,
      "one look at the status word and, uncached, the fault register; with six of them a call is 2,127 cycles"
    ),
    iotlbSets: {
      value: 32,
      unit: "count",
      tag: "E",
      source: "with 4 ways 128 entries, the reach that pcie-bench saw on Broadwell (X); sets are unknown",
      range: [1, 128]
    },
    iotlbWays: {
      value: 4,
      unit: "count",
      tag: "E",
      source: "with 32 sets 128 entries, the reach that pcie-bench saw on Broadwell (X); ways are unknown",
      range: [1, 128]
    },
    hypercall: absent("no hypervisor: the kernel writes its tables itself"),
    hypercallPerTce: absent("no hypervisor: the kernel writes its tables itself"),
    tceFetch: absent("no translation control entries"),
    dmaReadLatency: assumed(552 * NS, 400 * NS, 1200 * NS, "DMA read of 64 B; mean on Broadwell (pcie-bench)"),
    dmaWriteLatency: assumed(300 * NS, 150 * NS, 600 * NS, "posted write until the CPU sees it"),
    interruptLatency: assumed(1000 * NS, 300 * NS, 3000 * NS, "message signalled interrupt until its handler runs"),
    mmioLatency: assumed(300 * NS, 150 * NS, 600 * NS, "posted register write until the device sees it"),
    busRate: { value: 32_000_000_000, unit: "bit/s", tag: "V", source: "PCIe gen2 x8, each direction" },
    busPayloadMax: { value: 256, unit: "bytes", tag: "V", source: "pcie-model: typical MPS" },
    busReadRequestMax: { value: 512, unit: "bytes", tag: "V", source: "pcie-model: MRRS" },
    busWriteHeader: { value: 24, unit: "bytes", tag: "V", source: "MWr with 64-bit address, framing and LCRC" },
    busReadHeader: { value: 24, unit: "bytes", tag: "V", source: "MRd with 64-bit address, framing and LCRC" },
    busCompletionHeader: { value: 20, unit: "bytes", tag: "V", source: "CplD, framing and LCRC" }
  }
})
