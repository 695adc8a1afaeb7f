/** What each field of the results means, in a line; the reference of the results shows it. */

/**
 * What a figure is taken of: the measured window (of a replay: from the capture's first frame to its last), the run
 * from the first register that the driver writes to the end of its shutdown, or nothing in simulated time.
 */
export type Span = "window" | "whole run" | ""

export interface ResultMeaning {
  readonly meaning: string
  /** Empty for what is no quantity. */
  readonly unit: string
  readonly span: Span
}

type Meanings = Readonly<Record<string, ResultMeaning>>
type Entry = readonly [field: string, unit: string, meaning: string]

const of = (span: Span, entries: ReadonlyArray<Entry>): Meanings =>
  Object.fromEntries(entries.map(([field, unit, meaning]) => [field, { unit, span, meaning }]))

const GBPS = "Gb/s"
const SHARE = "0 to 1"
const FRAMES = "frames"
const NS = "ns"

const envelope = of("", [
  ["schemaVersion", "", "Version of this shape; it changes when a reader of results would have to"],
  ["kind", "", "`run`; results of `vnic contention` have `contention` and another shape"],
  ["scenario", "", "Name of the scenario: of a file, its name without the ending"],
  ["version", "", "Version of the packages"],
  ["seed", "", "Seed of the scenario, or that of `--seed`"],
  [
    "settings",
    "",
    "The whole resolved scenario, keys with their unit; `runs` in it has what each run changes, as written"
  ],
  ["failed[].name", "", "A run that ended without a result"],
  ["failed[].reason", "", "Why it did"],
  ["wall.seconds", "s", "Wall-clock time of all runs together; left out by `--reproducible`, as is the next"],
  ["wall.framesPerSecond", "frames/s", "Simulated frames delivered by all runs in a second of it"],
  ["runs[].name", "", "Name of the run"],
  ["runs[].seed", "", "Its seed: its own where it sets one"],
  ["runs[].profile", "", "Platform"],
  ["runs[].strategy", "", "How receive buffers are mapped"],
  ["runs[].allocator", "", "Who chooses bus addresses; `none` where nobody has to"],
  ["runs[].flush", "", "When an unmap invalidates; `none` likewise"]
])

const rates = of("window", [
  [
    "goodputGbps",
    GBPS,
    "Payload of frames whose last bit passed the wire in the window and that were delivered, then or later: of TCP " +
      "streams in order and once, in a replay that of TCP and UDP"
  ],
  ["goodputGbpsCi95", GBPS, "Half-width of its 95 % confidence interval, of 20 equal parts of the window"],
  ["wireGbps", GBPS, "Rate of the link times the part of the window in which the way to the NIC was taken"],
  ["framesPerSecond", "frames/s", "Delivered frames whose last bit passed the wire in the window"],
  [
    "limit.resource",
    "",
    "`busiest` where it was busy 97 % of a window of 34 frames or more, `CPUs` where several were; `too few " +
      "frames` in a smaller window; else `waits for locks`, `dropped frames`, `senders' windows` or `offered load`"
  ],
  ["limit.busiest", "", "The serial resource (wire, bus, lock, CPU) that limits; where none does, the busiest"],
  ["limit.busyShare", SHARE, "Its busy share; a CPU that waits for a lock does not count as busy here"]
])

const frames = of("whole run", [
  ["frames.offered", FRAMES, "All that were sent toward the NIC, and those that a sender had no room for"],
  ["frames.delivered", FRAMES, "Those that came to the sink; with the dropped ones they are all that were offered"],
  ["frames.padded", FRAMES, "Frames of a capture shorter than 60 bytes, which went out with zeros behind them"],
  ["frames.dropped.linkDown", FRAMES, "Dropped: the device's link was down"],
  ["frames.dropped.receiverDisabled", FRAMES, "Dropped: its receiver was off"],
  ["frames.dropped.undersize", FRAMES, "Dropped: shorter than the device takes"],
  ["frames.dropped.oversize", FRAMES, "Dropped: longer than it takes"],
  ["frames.dropped.filtered", FRAMES, "Dropped: to another address"],
  ["frames.dropped.packetBufferFull", FRAMES, "Dropped: no room in the device's packet buffer (RXMPC)"],
  ["frames.dropped.queueDisabled", FRAMES, "Dropped: the receive queue was off"],
  ["frames.dropped.noDescriptor", FRAMES, "Dropped: the ring was empty, with `nic.rx.dropEnable` (QPRDC)"],
  ["frames.dropped.fault", FRAMES, "Dropped: the IOMMU refused the device's access"],
  ["frames.dropped.reset", FRAMES, "Dropped: in the device when it was reset"],
  ["frames.dropped.noReceiveBuffer", FRAMES, "Dropped by the driver: no buffers to replace the frame's"],
  ["frames.dropped.receiveError", FRAMES, "Dropped by the driver: the device found an error in it"],
  ["frames.dropped.severalDescriptors", FRAMES, "Dropped by the driver: it came in several descriptors"],
  ["frames.dropped.senderBacklog", FRAMES, "Dropped by an open-loop sender whose backlog was full"],
  ["frames.answersDropped", FRAMES, "Answers of the host that never left it: no memory, mapping or room in its ring"],
  ["retransmissions.segments", "segments", "Segments that senders of a closed loop sent again"],
  ["retransmissions.fast", "times", "Fast retransmits: after three duplicate acknowledgements"],
  ["retransmissions.timeouts", "times", "Time-outs of senders"]
])

const cpu = of("window", [
  ["cpu.utilization", SHARE, "Busy time of all CPUs, waiting for locks included, over CPUs and window"],
  ["cpu.perCpu[]", SHARE, "The same of each CPU"],
  ["cpu.framesPerSecond", "frames/s", "Frames that the CPUs handed up in the window, wherever they then were"],
  ["cpu.nsPerFrame.stack", NS, "Time for each of these frames: the network stack"],
  ["cpu.nsPerFrame.driver", NS, "The same: polls and descriptors"],
  ["cpu.nsPerFrame.interrupt", NS, "The same: entries of interrupts"],
  ["cpu.nsPerFrame.mmio", NS, "The same: writes of registers"],
  ["cpu.nsPerFrame.copy", NS, "The same: small frames to transmit, and bounced buffers, copied"],
  ["cpu.nsPerFrame.pageAlloc", NS, "The same: pages allocated"],
  ["cpu.nsPerFrame.dmaApi", NS, "The same: the DMA API but for what follows"],
  ["cpu.nsPerFrame.iova", NS, "The same: the allocator of bus addresses"],
  ["cpu.nsPerFrame.pageTable", NS, "The same: tables that the kernel writes itself (VT-d)"],
  ["cpu.nsPerFrame.hypercall", NS, "The same: hypercalls (TCE)"],
  ["cpu.nsPerFrame.invalidate", NS, "The same: invalidations made and waited for (VT-d)"],
  ["cpu.nsPerFrame.lockHandOff", NS, "The same: locks taken and handed on"],
  ["cpu.nsPerFrame.lockWait", NS, "The same: locks waited for"],
  ["cpu.nsPerFrame.benchmark", NS, "The same: threads of `vnic contention`; 0 in runs"]
])

const dma = of("window", [
  ["dma.maps", "mappings", "Maps in any direction that go through a table of the IOMMU; that of a block counts whole"],
  ["dma.unmaps", "mappings", "The same of unmaps, which count when they begin"],
  ["dma.hypercalls", "calls", "Hypercalls of any kind"],
  [
    "dma.hypercallsPerFrame",
    "calls/frame",
    "The same for each frame that the driver received; those of receive maps and unmaps count as these do below"
  ],
  [
    "dma.rx.mapsPerFrame",
    "mappings/frame",
    "Maps of receive buffers for each frame received: a map counts when a frame has come into its buffer, that of a " +
      "block in parts"
  ],
  [
    "dma.rx.unmapsPerFrame",
    "mappings/frame",
    "Unmaps of receive buffers likewise; that of a block counts in parts, as its buffers are given back"
  ],
  ["dma.tx.mapsPerFrame", "mappings/frame", "Maps of frames to transmit, for each frame transmitted"],
  ["dma.tx.unmapsPerFrame", "mappings/frame", "Unmaps of frames to transmit likewise"]
])

const iommu = of("whole run", [
  ["dma.pinnedPagesMax", "4 KiB pages", "Most memory of the guest that the hypervisor held in place at once (TCE)"],
  ["iotlb.hits", "lookups", "Accesses of the device that found a copy of their entry; `iotlb` is there on VT-d only"],
  ["iotlb.misses", "lookups", "Those that walked the tables"],
  ["iotlb.invalidations.page", "requests", "Invalidations of pages, those of bring-up and shutdown among them"],
  ["iotlb.invalidations.domain", "requests", "Invalidations of the whole domain"],
  ["iotlb.stale.accesses", "accesses", "Accesses by a copy whose page had been unmapped"],
  ["iotlb.stale.bytes", "bytes", "What these accesses reached"],
  ["iotlb.stale.latestUseNs", NS, "Longest time from an unmap to such an access"],
  ["iotlb.stale.copies", "copies", "Copies that outlived their page's unmap"],
  ["iotlb.stale.usableNsMean", NS, "How long these could be used, on average"],
  ["iotlb.stale.usableNsMax", NS, "The same at most"]
])

const waits = of("window", [
  ["locks[].name", "", "A lock"],
  ["locks[].utilization", SHARE, "Part of the window in which it was held, its hand-offs included"],
  ["locks[].meanWaitNs", NS, "Mean time of waiting for it, of all who took it"],
  ["locks[].contendedShare", SHARE, "Those of them who had to wait"],
  [
    "latencyNs.p50",
    NS,
    "Median time to the sink from the first bit on the wire, of the first transmission where a segment was sent " +
      "again (open loop, replay: from the time due)"
  ],
  ["latencyNs.p99", NS, "99 % of the frames took no longer"],
  ["latencyNs.p999", NS, "99.9 % of the frames took no longer"]
])

const checks = of("whole run", [
  ["checks.corruptFrames", FRAMES, "Delivered frames that are not what was sent"],
  ["checks.leakedMappings", "mappings", "Mappings left after the driver's shutdown"],
  ["checks.debugFindings", "findings", "What DMA debug found wrong, with `dma.debug`"],
  ["checks.faults", "accesses", "Accesses of the device that the IOMMU refused"],
  ["checks.unsettled", "0 or 1", "1: frames were under way five simulated seconds after the sources had stopped"]
])

const ofRuns = { ...rates, ...frames, ...cpu, ...dma, ...iommu, ...waits, ...checks }

/** By path; `[]` stands for each entry of a list. */
export const resultMeanings: Meanings = {
  ...envelope,
  ...Object.fromEntries(Object.entries(ofRuns).map(([field, meaning]) => [`runs[].${field}`, meaning]))
}
