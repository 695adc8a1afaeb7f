/**
 * Page chunks, as mlx4 after July 2012: the same two buffers a frame, but a block is mapped once, whole,
 * its chunks are handed out, and it is unmapped when its last chunk is released. Chunks are released in the
 * order in which they were handed out, so when the last one is, the device has no use for any other.
 *
 * A slot is filled all or nothing: both cutters have a chunk before either is cut from. When no block can
 * be had the ring stays short and is filled up by a later poll.
 * [Linux commit 4cce66cdd14a; 3.10 en_rx.c]
 */
import { FROM_DEVICE } from "@vnic/dma-api/core"
import type { PhysAddr, StepId } from "@vnic/sim/core"
import { ChunkCutter, NO_CHUNK, type Blocks } from "../blocks.ts"
import type { DriverWorld } from "../ports.ts"
import type { RxRing } from "../rxRing.ts"
import { BODY_BUFFER_BYTES, HEAD_BUFFER_BYTES, type ReceiveContext, type ReceiveStrategy } from "../strategy.ts"

export class PageChunk implements ReceiveStrategy {
  static readonly mapsWholeBlocks = true
  declare readonly name: string
  declare private readonly world: DriverWorld
  declare private readonly context: ReceiveContext
  declare private readonly blocks: Blocks
  declare private readonly heads: Array<ChunkCutter>
  declare private readonly bodies: Array<ChunkCutter>
  /** The block that each CPU is mapping or unmapping. */
  declare private readonly block: Int32Array
  declare private readonly headBlockMapped: number
  declare private readonly bodyBlockMapped: number
  declare private readonly headBlockUnmapped: number
  declare private readonly bodyBlockUnmapped: number

  constructor(name: string, world: DriverWorld, context: ReceiveContext, blocks: Blocks, queueCount: number) {
    this.name = name
    this.world = world
    this.context = context
    this.blocks = blocks
    this.heads = Array.from({ length: queueCount }, () => new ChunkCutter(blocks, HEAD_BUFFER_BYTES))
    this.bodies = Array.from({ length: queueCount }, () => new ChunkCutter(blocks, BODY_BUFFER_BYTES))
    const { cpus } = world
    this.block = new Int32Array(cpus.count).fill(NO_CHUNK)
    this.headBlockUnmapped = cpus.define("release: head block unmapped", (cpu) => this.releaseBody(cpu))
    this.bodyBlockUnmapped = cpus.define("release: body block unmapped", (cpu) => this.released(cpu))
    this.headBlockMapped = cpus.define("fill: head block mapped", (cpu) => this.haveHead(cpu))
    this.bodyBlockMapped = cpus.define("fill: body block mapped", (cpu) => this.haveBody(cpu))
  }

  readonly take = (cpu: number, then: StepId): StepId => {
    const { context, world } = this
    const ring = context.rings[cpu]!
    const slot = ring.nextToClean
    const bodyBytes = context.bodyBytes[cpu]!
    world.device.syncSingleForCpu(cpu, ring.headBus[slot]!, context.headBytes[cpu]!, FROM_DEVICE)
    if (bodyBytes > 0) world.device.syncSingleForCpu(cpu, ring.bodyBus[slot]!, bodyBytes, FROM_DEVICE)
    context.headPhys[cpu] = ring.headPhys[slot]!
    context.bodyPhys[cpu] = ring.bodyPhys[slot]!
    context.isTaken[cpu] = 1
    ring.filled[slot] = 0
    return then
  }

  readonly release = (cpu: number, then: StepId): StepId => {
    const head = this.context.headPhys[cpu]!
    const body = this.context.bodyPhys[cpu]!
    if (this.heads[0]!.isLast(head) || this.bodies[0]!.isLast(body)) {
      this.world.cpus.enter(cpu, then)
      return this.releaseLast(cpu)
    }
    this.blocks.put(head)
    this.blocks.put(body)
    return then
  }

  private readonly releaseLast = (cpu: number): StepId => {
    const phys = this.context.headPhys[cpu]!
    if (!this.heads[0]!.isLast(phys)) {
      this.blocks.put(phys)
      return this.releaseBody(cpu)
    }
    return this.unmapBlock(cpu, phys, this.headBlockUnmapped)
  }

  private readonly unmapBlock = (cpu: number, lastChunk: PhysAddr, then: number): number => {
    const { blocks } = this
    const bus = blocks.bus[blocks.indexOf(lastChunk)]!
    this.block[cpu] = lastChunk
    return this.world.device.beginUnmapSingle(cpu, bus, blocks.blockBytes, FROM_DEVICE, then)
  }

  /** Goes on with the body; a head block that was unmapped is given back first. */
  private readonly releaseBody = (cpu: number): number => {
    if (this.block[cpu] !== NO_CHUNK) this.putUnmapped(cpu)
    const phys = this.context.bodyPhys[cpu]!
    if (!this.bodies[0]!.isLast(phys)) {
      this.blocks.put(phys)
      return this.world.cpus.leave(cpu)
    }
    return this.unmapBlock(cpu, phys, this.bodyBlockUnmapped)
  }

  private readonly released = (cpu: number): number => {
    this.putUnmapped(cpu)
    return this.world.cpus.leave(cpu)
  }

  private readonly putUnmapped = (cpu: number): void => {
    this.blocks.put(this.block[cpu]!)
    this.block[cpu] = NO_CHUNK
  }

  readonly fill = (cpu: number, then: StepId): StepId => {
    const { queue } = this.context.rings[cpu]!
    if (this.heads[queue]!.hasChunk && this.bodies[queue]!.hasChunk) {
      this.cutBoth(cpu)
      return then
    }
    this.world.cpus.enter(cpu, then)
    return this.needHead(cpu)
  }

  private readonly needHead = (cpu: number): number => {
    const cutter = this.heads[this.context.rings[cpu]!.queue]!
    return cutter.hasChunk ? this.needBody(cpu) : this.mapBlock(cpu, this.headBlockMapped)
  }

  private readonly mapBlock = (cpu: number, then: number): number => {
    const block = this.blocks.allocate(cpu)
    if (block === NO_CHUNK) return this.world.cpus.leave(cpu)
    this.block[cpu] = block
    return this.world.device.beginMapSingle(cpu, block, this.blocks.blockBytes, FROM_DEVICE, then)
  }

  /** The block's map is done: true when the cutter can go on with it. */
  private readonly startBlock = (cpu: number, cutter: ChunkCutter): boolean => {
    const { blocks, world } = this
    const block = this.block[cpu]!
    const bus = world.device.mapped[cpu]!
    this.block[cpu] = NO_CHUNK
    if (world.device.mappingError(bus)) {
      blocks.put(block)
      return false
    }
    blocks.bus[blocks.indexOf(block)] = bus
    cutter.startBlock(block)
    return true
  }

  private readonly haveHead = (cpu: number): number => {
    const cutter = this.heads[this.context.rings[cpu]!.queue]!
    return this.startBlock(cpu, cutter) ? this.needBody(cpu) : this.world.cpus.leave(cpu)
  }

  private readonly needBody = (cpu: number): number => {
    const cutter = this.bodies[this.context.rings[cpu]!.queue]!
    return cutter.hasChunk ? this.filled(cpu) : this.mapBlock(cpu, this.bodyBlockMapped)
  }

  private readonly haveBody = (cpu: number): number => {
    const cutter = this.bodies[this.context.rings[cpu]!.queue]!
    return this.startBlock(cpu, cutter) ? this.filled(cpu) : this.world.cpus.leave(cpu)
  }

  private readonly filled = (cpu: number): StepId => {
    this.cutBoth(cpu)
    return this.world.cpus.leave(cpu)
  }

  private readonly cutBoth = (cpu: number): void => {
    const { blocks } = this
    const ring = this.context.rings[cpu]!
    const slot = ring.nextToUse
    const head = this.heads[ring.queue]!.cut()
    const body = this.bodies[ring.queue]!.cut()
    ring.headBus[slot] = blocks.bus[blocks.indexOf(head)]! + (head % blocks.blockBytes)
    ring.bodyBus[slot] = blocks.bus[blocks.indexOf(body)]! + (body % blocks.blockBytes)
    ring.fill(slot, head, body)
  }

  get mapBytesMax(): number {
    return this.blocks.blockBytes
  }

  readonly mapsAhead = ({ filledCount, queue }: RxRing): number => {
    const heads = this.heads[queue]!
    const bodies = this.bodies[queue]!
    return filledCount * (heads.chunkShare + bodies.chunkShare) + heads.uncutShare + bodies.uncutShare
  }

  readonly unmapsBehind = (ring: RxRing): number => {
    const heads = this.heads[ring.queue]!
    const bodies = this.bodies[ring.queue]!
    const slot = ring.nextToClean
    // Without a posted slot all that was cut has been given back.
    if (ring.posted === 0) return heads.cutShare + bodies.cutShare
    return heads.shareBefore(ring.headPhys[slot]!) + bodies.shareBefore(ring.bodyPhys[slot]!)
  }

  readonly discard = (cpu: number, ring: RxRing, slot: number): void => {
    this.giveBack(cpu, ring.headPhys[slot]!, this.heads[0]!)
    this.giveBack(cpu, ring.bodyPhys[slot]!, this.bodies[0]!)
  }

  private readonly giveBack = (cpu: number, phys: PhysAddr, cutter: ChunkCutter): void => {
    if (cutter.isLast(phys)) this.unmapBlockNow(cpu, phys)
    this.blocks.put(phys)
  }

  private readonly unmapBlockNow = (cpu: number, phys: PhysAddr): void => {
    const { blocks } = this
    this.world.device.unmapSingle(cpu, blocks.bus[blocks.indexOf(phys)]!, blocks.blockBytes, FROM_DEVICE)
  }

  readonly finish = (cpu: number, queue: number): void => {
    for (const cutter of [this.heads[queue]!, this.bodies[queue]!]) {
      if (!cutter.hasChunk) continue
      this.unmapBlockNow(cpu, cutter.block)
      this.blocks.put(cutter.block)
      cutter.block = NO_CHUNK
    }
  }
}
