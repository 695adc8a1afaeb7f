/**
 * Receive-buffer strategies as values: what differs between them is in three named places of a frame's
 * journey, and the poll loop knows nothing else of them.
 *
 *     take      a descriptor is done: its bytes become the CPU's, or the frame is dropped
 *     release   the stack has let the bytes go
 *     fill      an empty slot of the ring gets buffers
 *
 * Each works on the CPU's current ring (see ReceiveContext) and gets the step to go on with. It returns that
 * step when it is done, or another one when the CPU must wait first; so what needs no lock costs no step.
 */
import type { StepId } from "@vnic/sim/core"
import type { RxRing } from "./rxRing.ts"

/** What a strategy tells the poll loop, and is told, per CPU. */
export class ReceiveContext {
  /** The ring that the CPU polls. */
  declare readonly rings: Array<RxRing>
  /** Set by `take`: the frame's pieces in host memory. */
  declare readonly headPhys: Int32Array
  declare readonly bodyPhys: Int32Array
  /** Set by the poll loop before `take`. */
  declare readonly headBytes: Int32Array
  declare readonly bodyBytes: Int32Array
  /** Set by `take`: 1 when the frame goes up, 0 when it is dropped and its buffers stay where they are. */
  declare readonly isTaken: Uint8Array

  constructor(cpuCount: number, first: RxRing) {
    this.rings = Array.from({ length: cpuCount }, () => first)
    this.headPhys = new Int32Array(cpuCount)
    this.bodyPhys = new Int32Array(cpuCount)
    this.headBytes = new Int32Array(cpuCount)
    this.bodyBytes = new Int32Array(cpuCount)
    this.isTaken = new Uint8Array(cpuCount)
  }
}

export interface ReceiveStrategy {
  readonly name: string
  /** The most that one map is of. */
  readonly mapBytesMax: number
  take(cpu: number, then: StepId): StepId
  release(cpu: number, then: StepId): StepId
  fill(cpu: number, then: StepId): StepId
  /**
   * Maps that were made for frames to come: of the buffers in filled slots and of those that no slot has got yet. That
   * of a block counts in parts, as many as it has buffers.
   */
  mapsAhead(ring: RxRing): number
  /**
   * Unmaps that frames received still lack: parts of blocks that will be unmapped with the rest of their block. Below 0
   * where a frame that is not received yet has had some of its unmaps.
   */
  unmapsBehind(ring: RxRing): number
  /** At shutdown, with no other CPU at work: gives a filled slot's buffers back. */
  discard(cpu: number, ring: RxRing, slot: number): void
  /** At shutdown, after every slot was discarded: gives back what is held for later frames. */
  finish(cpu: number, queue: number): void
}

/** Size of the buffer for a frame's first bytes, and of the one for the rest. [Linux 3.4 mlx4 FRAG_SZ0, FRAG_SZ1] */
export const HEAD_BUFFER_BYTES = 512
export const BODY_BUFFER_BYTES = 1024
