/** The least memory and the least windows that the parts of a world always have room in. */
import { allocatorTraits, bounceBufferBytes, SLOT_BYTES, windowPagesFor } from "@vnic/dma-api"
import { footprintOf, type Footprint } from "@vnic/driver"
import { DEFAULT_PAGE_SHIFT, tablesMemoryBytes } from "@vnic/iommu"
import { TRANSMIT_BUFFER_BYTES } from "@vnic/net-stack"
import { findProfile } from "@vnic/sim"
import type { ResolvedScenario } from "./Scenario.ts"

/** Windows are given in steps of this. */
const WINDOW_STEP_BYTES = 64 * 1024
const TABLE_PAGE_BYTES = 2 ** DEFAULT_PAGE_SHIFT

const roundUp = (bytes: number, step: number): number => Math.ceil(bytes / step) * step
const powerOfTwo = (count: number): number => 2 ** Math.ceil(Math.log2(count))

export const systemPageBytesOf = ({ profile }: Pick<ResolvedScenario, "profile">): number =>
  findProfile(profile)!.constants.systemPageBytes.value

const footprint = (scenario: ResolvedScenario): Footprint => {
  const { driver, nic } = scenario
  return footprintOf(
    {
      strategy: driver.strategy,
      queues: nic.queues,
      rxDescriptors: nic.rx.descriptors,
      txDescriptors: nic.tx.descriptors,
      budget: driver.budget,
      small: driver.tx.small
    },
    systemPageBytesOf(scenario)
  )
}

/** Only segments are answered. */
const isAnswered = ({ traffic }: ResolvedScenario): boolean => traffic.kind === "closed-loop"

/** The least window of TCEs, in whole steps. Where memory lies at its own address, or behind it, all of it must fit. */
export const windowNeedBytes = (scenario: ResolvedScenario): number => {
  const { dma, host } = scenario
  if (dma.backend === "window" || !allocatorTraits[dma.allocator].hasChoice) return host.memoryBytes
  const { coherentBytes, rxMappingBytes, rxMappings, txMappings } = footprint(scenario)
  const systemPageBytes = systemPageBytesOf(scenario)
  const need = {
    lasting: coherentBytes.map((bytes) => roundUp(bytes, systemPageBytes) / TABLE_PAGE_BYTES),
    ranges: rxMappings,
    rangePages: Math.ceil(rxMappingBytes / TABLE_PAGE_BYTES),
    singles: isAnswered(scenario) ? txMappings : 0,
    cpus: host.cpus
  }
  const step = WINDOW_STEP_BYTES / TABLE_PAGE_BYTES
  return windowPagesFor(dma.allocator, need, DEFAULT_PAGE_SHIFT, step) * TABLE_PAGE_BYTES
}

/** What all buffers take of a bounce buffer. One of a single slot may keep one of more from its place. */
export const bounceNeedBytes = (scenario: ResolvedScenario): number => {
  if (scenario.dma.backend !== "bounce") return 0
  const { rxMappingBytes, rxMappings, txMappings } = footprint(scenario)
  const mappings = rxMappings + (isAnswered(scenario) ? txMappings : 0)
  return mappings * roundUp(rxMappingBytes, SLOT_BYTES)
}

/** The parts of the least memory, in whole pages. */
export interface MemoryNeed {
  /** Translation tables. */
  readonly tablesBytes: number
  /** A bounce buffer that holds what it must, in memory of that size; 0 where there is none or none is large enough. */
  readonly bounceBytes: number
  readonly totalBytes: number
}

export const memoryNeed = (scenario: ResolvedScenario): MemoryNeed => {
  const { dma, host, iommu } = scenario
  const { blockBytes, blocks, coherentBytes, txFrames } = footprint(scenario)
  const systemPageBytes = systemPageBytesOf(scenario)
  const coherent = coherentBytes.map((bytes) => powerOfTwo(Math.ceil(bytes / systemPageBytes)) * systemPageBytes)
  const answers = isAnswered(scenario) ? roundUp(txFrames * TRANSMIT_BUFFER_BYTES, systemPageBytes) : 0
  const tablesBytes = tablesMemoryBytes(iommu, host.cpus, systemPageBytes)
  const ownBytes = coherent.reduce((sum, bytes) => sum + bytes, blocks * blockBytes + answers) + tablesBytes
  if (dma.backend === "iommu" && !allocatorTraits[dma.allocator].hasChoice) {
    // Nobody is given bus address 0. In memory of a power of two the page there goes to the tables, built first.
    return { tablesBytes, bounceBytes: 0, totalBytes: powerOfTwo(ownBytes) }
  }
  if (dma.backend !== "bounce") return { tablesBytes, bounceBytes: 0, totalBytes: ownBytes }
  // The bounce buffer is a part of memory that grows with it in steps.
  const bounceNeed = bounceNeedBytes(scenario)
  let totalBytes = ownBytes
  while (totalBytes < ownBytes + bounceBufferBytes(totalBytes) || bounceBufferBytes(totalBytes) < bounceNeed) {
    if (bounceBufferBytes(Infinity) < bounceNeed) return { tablesBytes, bounceBytes: 0, totalBytes: ownBytes }
    totalBytes += systemPageBytes
  }
  return { tablesBytes, bounceBytes: bounceBufferBytes(totalBytes), totalBytes }
}
