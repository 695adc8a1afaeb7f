/** What a driver takes of memory and of bus addresses when all its rings are full, known before there is one. */
import { DESCRIPTOR_BYTES } from "@vnic/nic-device/registers"
import { BLOCK_BYTES_MIN } from "./blocks.ts"
import type { NetDriverOptions } from "./netDriver.ts"
import { mapsWholeBlocks } from "./strategies/index.ts"
import { BODY_BUFFER_BYTES, HEAD_BUFFER_BYTES } from "./strategy.ts"
import { COPY_SLOT_BYTES } from "./txRing.ts"

export interface Footprint {
  /** Memory of the descriptor rings, the copy slots and the receive buffers, in whole pages and blocks. */
  readonly memoryBytes: number
  /** Bus addresses that they are mapped at, all at once. */
  readonly busBytes: number
}

const roundUp = (bytes: number, step: number): number => Math.ceil(bytes / step) * step
/** The least power of two that is not below. */
const powerOfTwo = (bytes: number): number => 2 ** (32 - Math.clz32(bytes - 1))

/**
 * The footprint of a driver with these options. System pages are what memory is allocated by, table pages what bus
 * addresses are handed out by. The least there must be: frames to transmit that are mapped one by one come on top.
 */
export function footprintOf(
  options: Pick<NetDriverOptions, "strategy" | "queues" | "rxDescriptors" | "txDescriptors">,
  systemPageBytes: number,
  tablePageBytes: number
): Footprint {
  const { queues, rxDescriptors, strategy, txDescriptors } = options
  const coherent = [rxDescriptors, txDescriptors]
    .map((count) => count * DESCRIPTOR_BYTES)
    .concat(txDescriptors * COPY_SLOT_BYTES)
    .map((bytes) => roundUp(bytes, systemPageBytes))
  const blockBytes = Math.max(BLOCK_BYTES_MIN, systemPageBytes)
  const posted = rxDescriptors - 1
  let memoryBytes = coherent.reduce((sum, bytes) => sum + powerOfTwo(bytes), 0)
  let busBytes = coherent.reduce((sum, bytes) => sum + bytes, 0)
  for (const bufferBytes of [HEAD_BUFFER_BYTES, BODY_BUFFER_BYTES]) {
    const inBlocks = roundUp(posted * bufferBytes, blockBytes)
    memoryBytes += inBlocks
    busBytes += mapsWholeBlocks(strategy) ? inBlocks : posted * roundUp(bufferBytes, tablePageBytes)
  }
  return { memoryBytes: queues * memoryBytes, busBytes: queues * busBytes }
}
