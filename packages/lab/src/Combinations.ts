/** Settings that are good one by one and impossible together. */
import { allocatorTraits, bounceBufferBytes } from "@vnic/dma-api"
import { ETHERNET_HEADER_SIZE_BYTES, FRAME_CHECK_SIZE_BYTES } from "@vnic/net-stack"
import { FRAME_MAX_BYTES } from "@vnic/nic-device"
import { formatQuantity, profileSummaries, rateQuantity, sizeQuantity } from "@vnic/sim"
import { IMIX_FRAME_BYTES, windowBytesMaxOf } from "@vnic/traffic"
import { segmentBytesOf } from "./Frames.ts"
import type { FieldProblem } from "./Problems.ts"
import { bounceNeedBytes, memoryNeed, systemPageBytesOf, windowNeedBytes } from "./Room.ts"
import type { ResolvedScenario } from "./Scenario.ts"
import { hasTableLock } from "./TableLock.ts"

/** An impossible combination: the field to report, and all fields that it follows from. */
export interface Conflict extends FieldProblem {
  readonly involves: ReadonlyArray<string>
}

/** What a frame has around an IP datagram. */
const FRAMING_BYTES = ETHERNET_HEADER_SIZE_BYTES + FRAME_CHECK_SIZE_BYTES
/** The device takes no longer frames while HLREG0.JUMBOEN is 0. */
const MTU_BYTES_MAX = FRAME_MAX_BYTES - FRAMING_BYTES

const size = (bytes: number): string => formatQuantity(sizeQuantity, bytes)

const conflict = (path: string, message: string, ...others: ReadonlyArray<string>): Conflict => ({
  path: path.split("."),
  part: "value",
  message,
  involves: [path, ...others]
})

/** About as many bytes, and no more, in a number that can be read. */
const readable = (bytes: number): string => {
  const unit = [2 ** 20, 2 ** 10].find((one) => bytes >= one) ?? 1
  return size(bytes - (bytes % unit))
}

const translationConflicts = ({ dma, driver, iommu, profile }: ResolvedScenario): ReadonlyArray<Conflict> => {
  const ofPlatform = profileSummaries.find(({ name }) => name === profile)?.iommu ?? "tce"
  if (iommu.kind !== "none" && iommu.kind !== ofPlatform) {
    const message = `${iommu.kind} is not what ${profile} has; set iommu.kind: ${ofPlatform}, or another profile`
    return [conflict("iommu.kind", message, "profile")]
  }
  const isTranslated = dma.backend === "iommu" || dma.backend === "window"
  if (isTranslated && iommu.kind === "none") {
    const remedy = `set dma.backend: direct, or iommu.kind: ${ofPlatform}`
    return [conflict("dma.backend", `${dma.backend} needs an IOMMU, and iommu.kind is none; ${remedy}`, "iommu.kind")]
  }
  if (!isTranslated && iommu.kind !== "none") {
    const message =
      `${dma.backend} hands physical addresses to a device behind an IOMMU (iommu.kind is ${iommu.kind}); ` +
      `set dma.backend: iommu, or iommu.kind: none`
    return [conflict("dma.backend", message, "iommu.kind")]
  }
  if (dma.backend === "iommu" && iommu.kind === "tce" && dma.flush !== "strict") {
    const message =
      `${dma.flush} waits with flushes, and a table of TCEs needs none: an entry that is cleared is gone; ` +
      `set dma.flush: strict, or a profile with iommu.kind: vtd`
    return [conflict("dma.flush", message, "iommu.kind")]
  }
  if (dma.backend === "iommu" && dma.lockAcrossTableWrite !== "none" && !hasTableLock(dma)) {
    const other = dma.allocator === "bitmap" ? `dma.flush is ${dma.flush}` : `dma.allocator is ${dma.allocator}`
    const message =
      `${dma.lockAcrossTableWrite} needs the bitmap with a strict flush, and ${other}; ` +
      `set dma.lockAcrossTableWrite: none, or leave it out`
    return [conflict("dma.lockAcrossTableWrite", message, "dma.allocator", "dma.flush")]
  }
  if (driver.strategy === "direct" && iommu.kind !== "none") {
    const message =
      `direct works without an IOMMU, and iommu.kind is ${iommu.kind}; ` +
      `set iommu.kind: none and dma.backend: direct`
    return [conflict("driver.strategy", message, "iommu.kind")]
  }
  return []
}

const RINGS = "nic.queues, nic.rx.descriptors and nic.tx.descriptors"
/** What the room that is needed follows from, beside the IOMMU and what is asked for. */
const ROOM_SETTINGS = ["nic.queues", "nic.rx", "nic.tx", "driver", "dma", "iommu.kind", "traffic.kind"] as const

/** A bounce buffer that does not hold all buffers would drop nearly all frames: none is given up unreplaced. */
const bounceConflicts = (scenario: ResolvedScenario): ReadonlyArray<Conflict> => {
  const { driver, host } = scenario
  const needBytes = bounceNeedBytes(scenario)
  const poolBytes = bounceBufferBytes(host.memoryBytes)
  if (poolBytes >= needBytes) return []
  const { bounceBytes, totalBytes } = memoryNeed(scenario)
  const remedy = bounceBytes === 0 ? "shorter rings" : `${size(totalBytes)} of memory would do, or shorter rings`
  const message =
    `bounce has a buffer of ${size(poolBytes)} (a quarter of host.memory, 64 MiB at most), which does not hold the ` +
    `buffers of nic.queues and nic.rx.descriptors, ${size(needBytes)} with ${driver.strategy}; ${remedy}`
  return [conflict("dma.backend", message, "host.memory", ...ROOM_SETTINGS)]
}

const windowRoomConflicts = (scenario: ResolvedScenario): ReadonlyArray<Conflict> => {
  const { dma, driver, iommu } = scenario
  if (iommu.kind !== "tce") return []
  const needBytes = windowNeedBytes(scenario)
  if (iommu.windowBytes >= needBytes) return []
  if (dma.backend === "window" || !allocatorTraits[dma.allocator].hasChoice) {
    const message = `${size(iommu.windowBytes)} does not hold all of memory; at least ${size(needBytes)}`
    return [conflict("iommu.window", message, "host.memory", "dma.backend", "dma.allocator", "iommu.kind")]
  }
  const message =
    `${size(iommu.windowBytes)} is smaller than the buffers and rings of ${RINGS}; ` +
    `at least ${size(needBytes)} with ${driver.strategy} and ${dma.allocator}, or shorter rings`
  return [conflict("iommu.window", message, ...ROOM_SETTINGS)]
}

const memoryConflicts = (scenario: ResolvedScenario): ReadonlyArray<Conflict> => {
  const { host, profile } = scenario
  const { bounceBytes, tablesBytes, totalBytes } = memoryNeed(scenario)
  if (host.memoryBytes < totalBytes) {
    // With too small a bounce buffer that is what is wrong, and more memory is what is advised there.
    if (bounceBufferBytes(host.memoryBytes) < bounceNeedBytes(scenario)) return []
    const tables = tablesBytes === 0 ? "" : ` and translation tables of ${size(tablesBytes)}`
    const bounce = bounceBytes === 0 ? "" : ` and a bounce buffer of ${size(bounceBytes)}`
    const message =
      `${size(host.memoryBytes)} does not hold the buffers and rings of ${RINGS}${tables}${bounce}; ` +
      `at least ${size(totalBytes)}`
    return [conflict("host.memory", message, "iommu.window", "host.cpus", ...ROOM_SETTINGS)]
  }
  const pageBytes = systemPageBytesOf(scenario)
  const below = host.memoryBytes - (host.memoryBytes % pageBytes)
  if (below === host.memoryBytes) return []
  const message =
    `${size(host.memoryBytes)} is not a multiple of ${size(pageBytes)}, a page of ${profile}; ` +
    `${size(below)} or ${size(below + pageBytes)} would do`
  return [conflict("host.memory", message, "profile")]
}

const processorConflicts = ({ host, nic, profile }: ResolvedScenario): ReadonlyArray<Conflict> => {
  const conflicts: Array<Conflict> = []
  const threads = profileSummaries.find(({ name }) => name === profile)?.hardwareThreads ?? host.cpus
  if (host.cpus > threads) {
    const message = `${host.cpus} is more than the ${threads} hardware threads of ${profile}`
    conflicts.push(conflict("host.cpus", message, "profile"))
  }
  if (nic.queues > host.cpus) {
    const message = `${nic.queues} queues need a CPU each, and host.cpus is ${host.cpus}; at most ${host.cpus}`
    conflicts.push(conflict("nic.queues", message, "host.cpus"))
  }
  return conflicts
}

/** What a stream's window can be beside the length of its segments and the number of streams. */
const windowConflicts = (scenario: ResolvedScenario): ReadonlyArray<Conflict> => {
  const { traffic } = scenario
  const payload = segmentBytesOf(scenario)
  if (traffic.kind !== "closed-loop" || payload < 1) return []
  const most = windowBytesMaxOf(traffic.streams, payload)
  const sizeOfSegment = ["link.mtu", "traffic.frame", "traffic.timestamps"]
  if (traffic.windowBytes < payload) {
    const message = `${size(traffic.windowBytes)} is smaller than one segment of ${size(payload)}`
    return [conflict("traffic.window", message, ...sizeOfSegment)]
  }
  if (traffic.windowBytes <= most) return []
  const streams = traffic.streams === 1 ? "1 stream" : `${traffic.streams} streams`
  const message = `${size(traffic.windowBytes)} is too large for ${streams}; ${readable(most)} would do`
  return [conflict("traffic.window", message, "traffic.streams", ...sizeOfSegment)]
}

const frameConflicts = (scenario: ResolvedScenario): ReadonlyArray<Conflict> => {
  const { link, traffic } = scenario
  const conflicts: Array<Conflict> = []
  const add = (...args: Parameters<typeof conflict>): void => void conflicts.push(conflict(...args))
  if (link.mtuBytes > MTU_BYTES_MAX) {
    add(
      "link.mtu",
      `${size(link.mtuBytes)} makes jumbo frames, which the device is not set up for; at most ${size(MTU_BYTES_MAX)}`
    )
  }
  const longest = link.mtuBytes + FRAMING_BYTES
  const limit = `at most ${size(longest)}, the longest at link.mtu ${size(link.mtuBytes)}`
  if (traffic.kind === "closed-loop") {
    const frame = traffic.frameBytes ?? longest
    const payload = segmentBytesOf(scenario)
    if (frame > longest) add("traffic.frame", `${size(frame)} is too large; ${limit}`, "link.mtu")
    if (payload < 1) {
      const least = size(frame - payload + 1)
      if (traffic.frameBytes === undefined) add("link.mtu", `${size(link.mtuBytes)} leaves no room for payload`)
      else add("traffic.frame", `${size(frame)} leaves no room for payload; at least ${least}`, "traffic.timestamps")
    }
  }
  if (traffic.kind === "open-loop") {
    const frame = traffic.frameBytes === "imix" ? IMIX_FRAME_BYTES.at(-1)! : traffic.frameBytes
    const written = traffic.frameBytes === "imix" ? `imix, with frames of ${size(frame)},` : size(frame)
    if (frame > longest) add("traffic.sizes", `${written} is too large; ${limit}`, "link.mtu")
  }
  if (traffic.kind !== "closed-loop" && typeof traffic.rateBitsPerSecond === "number") {
    const [rate, most] = [traffic.rateBitsPerSecond, link.rateBitsPerSecond]
    if (rate > most) {
      const message = `${formatQuantity(rateQuantity, rate)} is more than the link's `
      add("traffic.rate", message + formatQuantity(rateQuantity, most), "link.rate")
    }
  }
  return conflicts
}

/** Every impossible combination in a scenario whose fields are good one by one. */
export const conflictsIn = (scenario: ResolvedScenario): ReadonlyArray<Conflict> => [
  ...translationConflicts(scenario),
  ...windowRoomConflicts(scenario),
  ...memoryConflicts(scenario),
  ...bounceConflicts(scenario),
  ...processorConflicts(scenario),
  ...frameConflicts(scenario),
  ...windowConflicts(scenario)
]
