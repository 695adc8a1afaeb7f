/**
 * Map per packet, as mlx4 did before July 2012: two buffers a frame, cut from two blocks, each mapped when
 * it is posted and unmapped when it is given up. The replacement is mapped before the old buffers are
 * unmapped; when there is none the frame is dropped and its buffers stay posted, so the ring never drains.
 *
 * With the direct backend it is the baseline: the same buffers, and maps that do nothing.
 * MODEL: the result of each map is checked, which the driver of the time did not do.
 * [Linux 3.4 drivers/net/ethernet/mellanox/mlx4/en_rx.c mlx4_en_complete_rx_desc]
 */
import { FROM_DEVICE } from "@vnic/dma-api/core"
import type { PhysAddr, StepId } from "@vnic/sim/core"
import { ChunkCutter, NO_CHUNK, type Blocks } from "../blocks.ts"
import type { DriverWorld } from "../ports.ts"
import type { RxRing } from "../rxRing.ts"
import { BODY_BUFFER_BYTES, HEAD_BUFFER_BYTES, type ReceiveContext, type ReceiveStrategy } from "../strategy.ts"

/** Head and body. */
const BUFFERS = 2

export class MapPerPacket implements ReceiveStrategy {
  static readonly mapsWholeBlocks = false
  declare readonly name: string
  declare private readonly world: DriverWorld
  declare private readonly context: ReceiveContext
  declare private readonly blocks: Blocks
  declare private readonly heads: Array<ChunkCutter>
  declare private readonly bodies: Array<ChunkCutter>
  /** The pair of buffers that each CPU is mapping. */
  declare private readonly newHead: Int32Array
  declare private readonly newBody: Int32Array
  declare private readonly newHeadBus: Float64Array
  declare private readonly isPairReady: Uint8Array
  /** Maps of that pair, and unmaps of the frame that it replaces, until it lies in a slot. */
  declare private readonly mapsMade: Uint8Array
  declare private readonly unmapsMade: Uint8Array
  declare private readonly pairHeadMapped: number
  declare private readonly pairBodyMapped: number
  declare private readonly pairGivenUp: number
  declare private readonly takeReplaced: number
  declare private readonly takeHeadUnmapped: number
  declare private readonly takeDone: number
  declare private readonly filled: number

  constructor(name: string, world: DriverWorld, context: ReceiveContext, blocks: Blocks, queueCount: number) {
    this.name = name
    this.world = world
    this.context = context
    this.blocks = blocks
    this.heads = Array.from({ length: queueCount }, () => new ChunkCutter(blocks, HEAD_BUFFER_BYTES))
    this.bodies = Array.from({ length: queueCount }, () => new ChunkCutter(blocks, BODY_BUFFER_BYTES))
    const { cpus } = world
    this.newHead = new Int32Array(cpus.count)
    this.newBody = new Int32Array(cpus.count)
    this.newHeadBus = new Float64Array(cpus.count)
    this.isPairReady = new Uint8Array(cpus.count)
    this.mapsMade = new Uint8Array(cpus.count)
    this.unmapsMade = new Uint8Array(cpus.count)
    this.pairHeadMapped = cpus.define("pair: head mapped", (cpu) => this.mapBody(cpu))
    this.pairBodyMapped = cpus.define("pair: body mapped", (cpu) => this.pairMapped(cpu))
    this.pairGivenUp = cpus.define("pair: given up", (cpu) => this.noPair(cpu))
    this.takeReplaced = cpus.define("take: replaced", (cpu) => this.unmapHead(cpu))
    this.takeHeadUnmapped = cpus.define("take: head unmapped", (cpu) => this.unmapBody(cpu))
    this.takeDone = cpus.define("take: done", (cpu) => this.handOver(cpu))
    this.filled = cpus.define("fill: done", (cpu) => this.fillSlot(cpu))
  }

  readonly take = (cpu: number, then: StepId): StepId => {
    const { cpus } = this.world
    cpus.enter(cpu, then)
    return this.makePair(cpu, this.takeReplaced)
  }

  readonly release = (cpu: number, then: StepId): StepId => {
    this.blocks.put(this.context.headPhys[cpu]!)
    this.blocks.put(this.context.bodyPhys[cpu]!)
    return then
  }

  readonly fill = (cpu: number, then: StepId): StepId => {
    this.world.cpus.enter(cpu, then)
    return this.makePair(cpu, this.filled)
  }

  private readonly cut = (cpu: number, cutter: ChunkCutter): PhysAddr => {
    if (!cutter.hasChunk) {
      const block = this.blocks.allocate(cpu)
      if (block === NO_CHUNK) return NO_CHUNK
      cutter.startBlock(block)
    }
    return cutter.cut()
  }

  /** Two chunks, then their maps: all or nothing. */
  private readonly makePair = (cpu: number, then: StepId): StepId => {
    const queue = this.context.rings[cpu]!.queue
    this.isPairReady[cpu] = 0
    const head = this.cut(cpu, this.heads[queue]!)
    if (head === NO_CHUNK) return then
    const body = this.cut(cpu, this.bodies[queue]!)
    if (body === NO_CHUNK) {
      this.blocks.put(head)
      return then
    }
    this.world.cpus.enter(cpu, then)
    this.newHead[cpu] = head
    this.newBody[cpu] = body
    return this.world.device.beginMapSingle(cpu, head, HEAD_BUFFER_BYTES, FROM_DEVICE, this.pairHeadMapped)
  }

  private readonly mapBody = (cpu: number): number => {
    const { device } = this.world
    const bus = device.mapped[cpu]!
    if (device.mappingError(bus)) return this.noPair(cpu)
    this.newHeadBus[cpu] = bus
    this.mapsMade[cpu] = 1
    return device.beginMapSingle(cpu, this.newBody[cpu]!, BODY_BUFFER_BYTES, FROM_DEVICE, this.pairBodyMapped)
  }

  private readonly pairMapped = (cpu: number): number => {
    const { cpus, device } = this.world
    if (device.mappingError(device.mapped[cpu]!)) {
      return device.beginUnmapSingle(cpu, this.newHeadBus[cpu]!, HEAD_BUFFER_BYTES, FROM_DEVICE, this.pairGivenUp)
    }
    this.isPairReady[cpu] = 1
    this.mapsMade[cpu] = 2
    return cpus.leave(cpu)
  }

  private readonly noPair = (cpu: number): number => {
    this.mapsMade[cpu] = 0
    this.blocks.put(this.newHead[cpu]!)
    this.blocks.put(this.newBody[cpu]!)
    return this.world.cpus.leave(cpu)
  }

  private readonly unmapHead = (cpu: number): number => {
    const { context, world } = this
    if (this.isPairReady[cpu] === 0) {
      context.isTaken[cpu] = 0
      return world.cpus.leave(cpu)
    }
    const ring = context.rings[cpu]!
    const headBus = ring.headBus[ring.nextToClean]!
    return world.device.beginUnmapSingle(cpu, headBus, HEAD_BUFFER_BYTES, FROM_DEVICE, this.takeHeadUnmapped)
  }

  private readonly unmapBody = (cpu: number): number => {
    this.unmapsMade[cpu] = 1
    const ring = this.context.rings[cpu]!
    const bodyBus = ring.bodyBus[ring.nextToClean]!
    return this.world.device.beginUnmapSingle(cpu, bodyBus, BODY_BUFFER_BYTES, FROM_DEVICE, this.takeDone)
  }

  private readonly handOver = (cpu: number): number => {
    const { context } = this
    const ring = context.rings[cpu]!
    const slot = ring.nextToClean
    context.headPhys[cpu] = ring.headPhys[slot]!
    context.bodyPhys[cpu] = ring.bodyPhys[slot]!
    context.isTaken[cpu] = 1
    this.putPair(cpu, ring, slot)
    return this.world.cpus.leave(cpu)
  }

  /** The pair goes into a slot; `mapped` still holds the body's address, the last that was mapped. */
  private readonly putPair = (cpu: number, ring: RxRing, slot: number): void => {
    ring.headBus[slot] = this.newHeadBus[cpu]!
    ring.bodyBus[slot] = this.world.device.mapped[cpu]!
    ring.fill(slot, this.newHead[cpu]!, this.newBody[cpu]!)
    this.mapsMade[cpu] = 0
    this.unmapsMade[cpu] = 0
  }

  private readonly fillSlot = (cpu: number): number => {
    if (this.isPairReady[cpu] === 1) {
      const ring = this.context.rings[cpu]!
      this.putPair(cpu, ring, ring.nextToUse)
    }
    return this.world.cpus.leave(cpu)
  }

  get mapBytesMax(): number {
    return BODY_BUFFER_BYTES
  }

  readonly mapsAhead = (ring: RxRing): number => {
    return BUFFERS * ring.filledCount + this.sumOf(this.mapsMade, ring)
  }

  readonly unmapsBehind = (ring: RxRing): number => {
    return -this.sumOf(this.unmapsMade, ring)
  }

  /** Over the CPUs that poll this ring, which is one at most. */
  private readonly sumOf = (made: Uint8Array, ring: RxRing): number => {
    return made.reduce((sum, count, cpu) => sum + (this.context.rings[cpu] === ring ? count : 0), 0)
  }

  readonly discard = (cpu: number, ring: RxRing, slot: number): void => {
    const { device } = this.world
    device.unmapSingle(cpu, ring.headBus[slot]!, HEAD_BUFFER_BYTES, FROM_DEVICE)
    device.unmapSingle(cpu, ring.bodyBus[slot]!, BODY_BUFFER_BYTES, FROM_DEVICE)
    this.blocks.put(ring.headPhys[slot]!)
    this.blocks.put(ring.bodyPhys[slot]!)
  }

  readonly finish = (_cpu: number, queue: number): void => {
    for (const cutter of [this.heads[queue]!, this.bodies[queue]!]) {
      if (cutter.hasChunk) this.blocks.put(cutter.block)
      cutter.block = NO_CHUNK
    }
  }
}
