/** What a driver takes of memory and of bus addresses at most, without want of either, known before there is one. */
import { DESCRIPTOR_BYTES } from "@vnic/nic-device/registers"
import { BLOCK_BYTES_MIN } from "./blocks.ts"
import { BACKLOG_MAX } from "./napi.ts"
import type { NetDriverOptions } from "./netDriver.ts"
import { mapsWholeBlocks } from "./strategies/index.ts"
import { BODY_BUFFER_BYTES, HEAD_BUFFER_BYTES } from "./strategy.ts"
import { COPY_SLOT_BYTES } from "./txRing.ts"

/** Everything that may be held at once, of all queues together. */
export interface Footprint {
  /** Sizes of the blocks of coherent memory: descriptor rings and copy slots. */
  readonly coherentBytes: ReadonlyArray<number>
  /** Blocks that receive buffers are cut from, and the size of each. */
  readonly blocks: number
  readonly blockBytes: number
  /** Mappings of receive buffers: of whole blocks, or of buffers, no one of which lies across a page. */
  readonly rxMappings: number
  readonly rxMappingBytes: number
  /** Mappings of frames to transmit. */
  readonly txMappings: number
  /** Frames to transmit that are the stack's, mapped or waiting: one in hand and a full backlog of each queue's CPU. */
  readonly txFrames: number
}

export type FootprintOptions = Pick<
  NetDriverOptions,
  "strategy" | "queues" | "rxDescriptors" | "txDescriptors" | "budget" | "small"
>

/** Blocks that `chunks` chunks in a row lie in at most, wherever the row begins. */
const blocksAround = (chunks: number, perBlock: number): number => Math.ceil((chunks - 1) / perBlock) + 1

/**
 * The footprint of a driver with these options, where memory is allocated by pages of this size.
 *
 * With whole blocks mapped, a ring's buffers are those that are posted: a frame's go back before the next is taken,
 * and new ones come when the poll is over. With a map for each buffer every slot has a pair, the one that is not posted
 * too, and a frame's pair goes back after its replacement was made: one pair more than slots. Buffers go back in the
 * order in which they were cut, but for the pair of the slot that was filled last, after the first poll: while that
 * one's place in its block is empty the others reach one buffer further.
 *
 * A queue has frames to transmit mapped of two polls at most: each begins with giving back what the device reports.
 */
export function footprintOf(options: FootprintOptions, systemPageBytes: number): Footprint {
  const { budget, queues, rxDescriptors, small, strategy, txDescriptors } = options
  const ofQueue = [rxDescriptors * DESCRIPTOR_BYTES, txDescriptors * DESCRIPTOR_BYTES, txDescriptors * COPY_SLOT_BYTES]
  const isWhole = mapsWholeBlocks(strategy)
  const blockBytes = Math.max(BLOCK_BYTES_MIN, systemPageBytes)
  const reach = isWhole ? rxDescriptors - 1 : rxDescriptors + 2
  const blocksOfQueue = [HEAD_BUFFER_BYTES, BODY_BUFFER_BYTES].reduce(
    (sum, bufferBytes) => sum + blocksAround(reach, blockBytes / bufferBytes),
    0
  )
  const txMappings = small === "map" ? queues * Math.min(txDescriptors - 1, 2 * budget) : 0
  return {
    coherentBytes: Array.from({ length: queues }, () => ofQueue).flat(),
    blocks: queues * blocksOfQueue,
    blockBytes,
    rxMappings: queues * (isWhole ? blocksOfQueue : 2 * (rxDescriptors + 1)),
    rxMappingBytes: isWhole ? blockBytes : BODY_BUFFER_BYTES,
    txMappings,
    txFrames: txMappings + queues * (1 + BACKLOG_MAX)
  }
}
