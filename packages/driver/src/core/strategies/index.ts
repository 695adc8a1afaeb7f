/** The receive-buffer strategies by name. */
import type { Blocks } from "../blocks.ts"
import type { DriverWorld } from "../ports.ts"
import type { ReceiveContext, ReceiveStrategy } from "../strategy.ts"
import { MapPerPacket } from "./mapPerPacket.ts"
import { PageChunk } from "./pageChunk.ts"

interface StrategyClass {
  new (name: string, world: DriverWorld, context: ReceiveContext, blocks: Blocks, queueCount: number): ReceiveStrategy
  /** Is a block mapped as a whole, or each buffer by itself? */
  readonly mapsWholeBlocks: boolean
}

/**
 * `direct` is the baseline: the buffers of map-per-packet on a device without an IOMMU, whose maps do nothing.
 */
const STRATEGIES = {
  "map-per-packet": MapPerPacket,
  "page-chunk": PageChunk,
  direct: MapPerPacket
} as const satisfies Record<string, StrategyClass>

export type StrategyName = keyof typeof STRATEGIES

/** Does the strategy of this name map a block as a whole, or each buffer by itself? */
export const mapsWholeBlocks = (name: StrategyName): boolean => STRATEGIES[name].mapsWholeBlocks

/** The strategy of this name for a driver with `queueCount` queues. */
export const makeStrategy = (
  name: StrategyName,
  world: DriverWorld,
  context: ReceiveContext,
  blocks: Blocks,
  queueCount: number
): ReceiveStrategy => new STRATEGIES[name](name, world, context, blocks, queueCount)
