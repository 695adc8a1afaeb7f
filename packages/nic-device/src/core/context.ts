/** What the engines of one device share. */
import type { FramePool, Memory, Timeline } from "@vnic/sim/core"
import type { Bus } from "./bus.ts"
import type { InterruptBlock } from "./interrupts.ts"
import type { BusMaster, Phy } from "./ports.ts"
import type { RegisterFile } from "./registerFile.ts"
import type { Statistics } from "./statistics.ts"

export interface DeviceContext {
  readonly timeline: Timeline
  readonly memory: Memory
  readonly frames: FramePool
  readonly file: RegisterFile
  readonly bus: Bus
  readonly busMaster: BusMaster
  readonly phy: Phy
  readonly interrupts: InterruptBlock
  /** Keeps posted writes of both directions in order. */
  readonly postedOrder: Float64Array
  readonly statistics: Statistics
}
