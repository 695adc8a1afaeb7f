/** Settings that are good one by one and impossible together. */
import { formatQuantity, profileSummaries, rateQuantity, sizeQuantity } from "@vnic/sim"
import type { FieldProblem } from "./Problems.ts"
import type { ResolvedScenario } from "./Scenario.ts"

/** An impossible combination: the field to report, and all fields that it follows from. */
export interface Conflict extends FieldProblem {
  readonly involves: ReadonlyArray<string>
}

const IOMMU_PAGE_BYTES = 4096
const TABLE_ENTRY_BYTES = 8
const BLOCK_BYTES = 64 * 1024
const DESCRIPTOR_BYTES = 16
/** The two buffers of a frame: its beginning and its rest. */
const BUFFER_SIZES_BYTES = [512, 1024] as const
const ETHERNET_BYTES = 14 + 4
const HEADERS_BYTES = 20 + 20
const TIMESTAMP_OPTION_BYTES = 12
/** The device takes no frame above 1518 bytes with check sequence while HLREG0.JUMBOEN is 0. See HLREG0 and MAXFRS. */
const MTU_BYTES_MAX = 1518 - ETHERNET_BYTES

const size = (bytes: number): string => formatQuantity(sizeQuantity, bytes)

const conflict = (path: string, message: string, ...others: ReadonlyArray<string>): Conflict => ({
  path: path.split("."),
  part: "value",
  message,
  involves: [path, ...others]
})

const roundUp = (bytes: number, step: number): number => Math.ceil(bytes / step) * step

/** Least memory of the receive buffers that all rings post: whole blocks for each size of buffer. */
const bufferMemoryBytes = ({ nic }: ResolvedScenario): number =>
  nic.queues *
  BUFFER_SIZES_BYTES.reduce((sum, bytes) => sum + roundUp((nic.rx.descriptors - 1) * bytes, BLOCK_BYTES), 0)

/** Least bus address space of those buffers: whole blocks, or a page for each buffer that is mapped by itself. */
const bufferWindowBytes = (scenario: ResolvedScenario): number =>
  scenario.driver.strategy === "page-chunk"
    ? bufferMemoryBytes(scenario)
    : scenario.nic.queues * (scenario.nic.rx.descriptors - 1) * BUFFER_SIZES_BYTES.length * IOMMU_PAGE_BYTES

/** Address space or memory of the descriptor rings, in whole pages. */
const ringBytes = ({ nic }: ResolvedScenario): number =>
  nic.queues *
  (roundUp(nic.rx.descriptors * DESCRIPTOR_BYTES, IOMMU_PAGE_BYTES) +
    roundUp(nic.tx.descriptors * DESCRIPTOR_BYTES, IOMMU_PAGE_BYTES))

const translationConflicts = ({ dma, driver, iommu }: ResolvedScenario): ReadonlyArray<Conflict> => {
  if (dma.backend === "iommu" && iommu.kind === "none") {
    const message = "iommu needs an IOMMU, and iommu.kind is none; set dma.backend: direct, or iommu.kind: tce"
    return [conflict("dma.backend", message, "iommu.kind")]
  }
  if (dma.backend === "direct" && iommu.kind !== "none") {
    const message =
      `direct hands physical addresses to a device behind an IOMMU (iommu.kind is ${iommu.kind}); ` +
      `set dma.backend: iommu, or iommu.kind: none`
    return [conflict("dma.backend", message, "iommu.kind")]
  }
  if (driver.strategy === "direct" && iommu.kind !== "none") {
    const message =
      `direct works without an IOMMU, and iommu.kind is ${iommu.kind}; ` +
      `set iommu.kind: none and dma.backend: direct`
    return [conflict("driver.strategy", message, "iommu.kind")]
  }
  return []
}

const roomConflicts = (scenario: ResolvedScenario): ReadonlyArray<Conflict> => {
  const { host, iommu } = scenario
  const conflicts: Array<Conflict> = []
  const rings = "nic.queues, nic.rx.descriptors and nic.tx.descriptors"
  const windowNeed = roundUp(bufferWindowBytes(scenario) + ringBytes(scenario), BLOCK_BYTES)
  if (iommu.kind !== "none" && iommu.windowBytes < windowNeed) {
    const message =
      `${size(iommu.windowBytes)} is smaller than the buffers and rings of ${rings}; ` +
      `at least ${size(windowNeed)} with ${scenario.driver.strategy}, or shorter rings`
    conflicts.push(conflict("iommu.window", message, "nic.queues", "nic.rx", "nic.tx", "driver.strategy", "iommu.kind"))
  }
  const tableBytes = iommu.kind === "none" ? 0 : (iommu.windowBytes / IOMMU_PAGE_BYTES) * TABLE_ENTRY_BYTES
  const memoryNeed = roundUp(bufferMemoryBytes(scenario) + ringBytes(scenario) + tableBytes, BLOCK_BYTES)
  if (host.memoryBytes < memoryNeed) {
    const table = tableBytes === 0 ? "" : ` and a translation table of ${size(tableBytes)}`
    const message =
      `${size(host.memoryBytes)} does not hold the buffers and rings of ${rings}${table}; ` +
      `at least ${size(memoryNeed)}`
    conflicts.push(conflict("host.memory", message, "nic.queues", "nic.rx", "nic.tx", "iommu.window", "iommu.kind"))
  }
  return conflicts
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

const frameConflicts = ({ link, traffic }: ResolvedScenario): ReadonlyArray<Conflict> => {
  const conflicts: Array<Conflict> = []
  const add = (...args: Parameters<typeof conflict>): void => void conflicts.push(conflict(...args))
  if (link.mtuBytes > MTU_BYTES_MAX) {
    add(
      "link.mtu",
      `${size(link.mtuBytes)} makes jumbo frames, which the device is not set up for; at most ${size(MTU_BYTES_MAX)}`
    )
  }
  const longest = link.mtuBytes + ETHERNET_BYTES
  const longestReason = `the longest frame at link.mtu ${size(link.mtuBytes)}`
  if (traffic.kind === "closed-loop") {
    const optionBytes = traffic.timestamps ? TIMESTAMP_OPTION_BYTES : 0
    const frame = traffic.frameBytes ?? longest
    const payload = frame - ETHERNET_BYTES - HEADERS_BYTES - optionBytes
    if (frame > longest)
      add("traffic.frame", `${size(frame)} is more than ${size(longest)}, ${longestReason}`, "link.mtu")
    if (payload < 1) {
      const least = size(frame - payload + 1)
      if (traffic.frameBytes === undefined) add("link.mtu", `${size(link.mtuBytes)} leaves no room for payload`)
      else add("traffic.frame", `${size(frame)} leaves no room for payload; at least ${least}`, "traffic.timestamps")
    } else if (traffic.windowBytes < payload) {
      const message = `${size(traffic.windowBytes)} is smaller than one segment of ${size(payload)}`
      add("traffic.window", message, "link.mtu", "traffic.frame", "traffic.timestamps")
    }
  }
  if (traffic.kind === "open-loop") {
    const frame = traffic.frameBytes === "imix" ? 1518 : traffic.frameBytes
    const written = traffic.frameBytes === "imix" ? "imix has frames of 1518 B, which" : size(frame)
    if (frame > longest) add("traffic.sizes", `${written} is more than ${size(longest)}, ${longestReason}`, "link.mtu")
  }
  if (traffic.kind !== "closed-loop" && typeof traffic.rateBitsPerSecond === "number") {
    const [rate, most] = [traffic.rateBitsPerSecond, link.rateBitsPerSecond]
    const limit = formatQuantity(rateQuantity, most)
    if (rate > most) {
      add("traffic.rate", `${formatQuantity(rateQuantity, rate)} is more than the link's ${limit}`, "link.rate")
    }
  }
  return conflicts
}

/** Every impossible combination in a scenario whose fields are good one by one. */
export const conflictsIn = (scenario: ResolvedScenario): ReadonlyArray<Conflict> => [
  ...translationConflicts(scenario),
  ...roomConflicts(scenario),
  ...processorConflicts(scenario),
  ...frameConflicts(scenario)
]
