/**
 * An 8-core POWER7 with a paravirtual IOMMU (pseries), Linux before and after July 2012, 64 KiB pages.
 *
 * One constant is fitted: the hypercall, to the published 3 Gb/s of map-per-packet. No published value
 * exists for the constants tagged E; docs/sensitivity.md shows how much each of them matters.
 */
import { checkProfile, type Constant } from "../profile.ts"

const assumed = (value: number, low: number, high: number, source: string): Constant => ({
  value,
  unit: "ps",
  tag: "E",
  source,
  range: [low, high]
})

/** What this platform does not do. */
const absent = (why: string): Constant => ({
  value: 0,
  unit: "ps",
  tag: "V",
  source: `Linux 6.12 arch/powerpc/platforms/pseries/iommu.c: ${why}`
})

const NS = 1000

export const power7Pseries = checkProfile({
  name: "power7-pseries",
  about: "8-core POWER7, paravirtual TCE tables by hypercall, 64 KiB pages",
  iommu: "tce",
  constants: {
    coreCount: { value: 8, unit: "count", tag: "V", source: "Linux commit 4cce66cdd14a: 8-core Power7" },
    threadsPerCore: { value: 4, unit: "count", tag: "R", source: "POWER7 is SMT4" },
    speedWithTwoThreads: {
      value: 0.7,
      unit: "share",
      tag: "E",
      source: "speed of one of two busy threads of a core",
      range: [0.5, 0.9]
    },
    speedWithFourThreads: {
      value: 0.47,
      unit: "share",
      tag: "E",
      source: "speed of one of four busy threads of a core",
      range: [0.3, 0.6]
    },
    timeSlice: {
      value: 3_000_000 * NS,
      unit: "ps",
      tag: "R",
      source: "Linux 3.10 kernel/sched/fair.c: least granularity 0.75 ms, times 4 from 8 CPUs on"
    },
    contextSwitch: assumed(3000 * NS, 1000 * NS, 10000 * NS, "from one thread to the next on a CPU, with cold caches"),
    benchmarkLoop: assumed(50 * NS, 10 * NS, 200 * NS, "map_benchmark dirties its buffer and reads the clock 4 times"),
    systemPageBytes: { value: 65536, unit: "bytes", tag: "V", source: "64 KiB-page kernel; one page a block" },
    cacheLineBytes: { value: 128, unit: "bytes", tag: "R", source: "POWER7 has lines of 128 bytes in all its caches" },
    stackFrame: assumed(2500 * NS, 1000 * NS, 6000 * NS, "network stack, a 1500-byte frame with its share of ACKs"),
    stackJitter: {
      value: 0.2,
      unit: "share",
      tag: "E",
      source: "half-width of the uniform spread of stackFrame",
      range: [0, 0.5]
    },
    interruptEntry: assumed(1000 * NS, 300 * NS, 3000 * NS, "interrupt entry and exit with the soft interrupt"),
    pollEntry: assumed(200 * NS, 50 * NS, 500 * NS, "one call of a NAPI poll without frames"),
    descriptorWork: assumed(50 * NS, 20 * NS, 150 * NS, "driver work on one descriptor, without map and stack"),
    pageAllocation: assumed(300 * NS, 100 * NS, 1900 * NS, "page allocator; 0.14-0.17 us median on Ice Lake"),
    mmioWrite: assumed(100 * NS, 30 * NS, 300 * NS, "posted register write with its barrier, seen by the CPU"),
    copyKiB: { value: 100 * NS, unit: "ps/KiB", tag: "E", source: "warm copy, 10 GB/s", range: [50 * NS, 400 * NS] },
    copyCall: assumed(20 * NS, 5 * NS, 50 * NS, "start of a copy"),
    lockAcquire: assumed(40 * NS, 20 * NS, 80 * NS, "its share of lock + bitmap search, uncontended, 100 ns"),
    lockHandOff: assumed(0, 0, 100 * NS, "hand-off to a waiter beyond an acquire, whatever their number"),
    lockHandOffPerWaiter: {
      value: 18 * NS,
      unit: "ps/waiter",
      tag: "E",
      source: "lock hand-off, added per waiter",
      range: [0, 60 * NS]
    },
    bitmapSearch: assumed(56 * NS, 28 * NS, 112 * NS, "the rest of lock + bitmap search, less one word"),
    bitmapWord: {
      value: 4 * NS,
      unit: "ps/word",
      tag: "E",
      source: "one 64-bit word of the bitmap scanned",
      range: [2 * NS, 8 * NS]
    },
    treeSearch: assumed(50 * NS, 20 * NS, 110 * NS, "a tree operation's fixed part: as the bitmap's, none published"),
    treeVisit: assumed(10 * NS, 5 * NS, 30 * NS, "one node of an RB-tree visited"),
    magazineOperation: assumed(50 * NS, 20 * NS, 100 * NS, "lock of the CPU's own and a push or pop; x86: 92 cycles"),
    constantAllocation: assumed(10 * NS, 3 * NS, 30 * NS, "an address computed, no search; none published"),
    directMapPair: assumed(30 * NS, 14 * NS, 100 * NS, "direct map + unmap pair"),
    mapOther: assumed(0, 0, 50 * NS, "the map call's own code; within the fitted hypercall"),
    unmapOther: assumed(0, 0, 50 * NS, "the unmap call's own code; within the fitted hypercall"),
    flushQueue: absent("nothing is deferred: the hypervisor flushes within the hypercall"),
    pageTableInsert: absent("a guest writes no table entry: the hypervisor does, by hypercall"),
    pageTableRemove: absent("a guest writes no table entry: the hypervisor does, by hypercall"),
    pageTableEntry: absent("a guest writes no table entry: the hypervisor does, by hypercall"),
    invalidation: absent("a guest invalidates nothing: the hypervisor does, within the hypercall"),
    invalidationPoll: absent("a guest invalidates nothing: the hypervisor does, within the hypercall"),
    iotlbSets: { ...absent("the guest sees no IOTLB"), unit: "count" },
    iotlbWays: { ...absent("the guest sees no IOTLB"), unit: "count" },
    hypercall: {
      value: 790 * NS,
      unit: "ps",
      tag: "F",
      source: "fitted: map-per-packet = 3 Gb/s, 16 streams (Linux commit 4cce66cdd14a); see docs/sensitivity.md"
    },
    hypercallPerTce: assumed(20 * NS, 5 * NS, 60 * NS, "each further entry of H_PUT_TCE_INDIRECT and H_STUFF_TCE"),
    tceFetch: assumed(150 * NS, 0, 400 * NS, "the bridge's read of one TCE, latency only (walks are pipelined)"),
    dmaReadLatency: assumed(600 * NS, 400 * NS, 1200 * NS, "DMA read of 64 B; 552 ns on Broadwell (pcie-bench)"),
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
