/**
 * The driver of one device: it allocates the rings, brings the device up, serves it, and takes everything
 * back at the end. The work of a frame is in napi.ts, transmit.ts and the strategies.
 */
import type { Coherent } from "@vnic/dma-api/core"
import { DESCRIPTOR_BYTES, EICS } from "@vnic/nic-device/registers"
import { Blocks } from "./blocks.ts"
import {
  maskInterrupts,
  resetDevice,
  setUpInterrupts,
  setUpReceive,
  setUpTransmit,
  startDevice,
  startQueue,
  stopDevice,
  type BringUpFailure
} from "./bringUp.ts"
import { Napi } from "./napi.ts"
import type { DriverWorld } from "./ports.ts"
import { RxRing } from "./rxRing.ts"
import { makeStrategy, type StrategyName } from "./strategies/index.ts"
import { ReceiveContext, type ReceiveStrategy } from "./strategy.ts"
import { Transmit, type SmallFrames } from "./transmit.ts"
import { COPY_SLOT_BYTES, TxRing } from "./txRing.ts"

export interface NetDriverOptions {
  readonly strategy: StrategyName
  readonly queues: number
  readonly rxDescriptors: number
  readonly txDescriptors: number
  /** Most frames that one poll takes. */
  readonly budget: number
  readonly small: SmallFrames
  readonly dropEnable: boolean
  readonly promiscuous: boolean
  readonly macAddress: ReadonlyArray<number>
  readonly interruptIntervalPs: number
  /** The CPU that serves each queue; queue n is served by CPU n, modulo their number, where this is left out. */
  readonly queueCpus?: ReadonlyArray<number>
}

/** What the driver has counted since the beginning. */
export interface DriverStatistics {
  readonly interrupts: number
  readonly polls: number
  readonly framesReceived: number
  /** Frames given up because no replacement buffers could be had. */
  readonly framesDroppedNoBuffer: number
  /** Frames in which the device found an error. */
  readonly framesDroppedError: number
  /** Frames of more than one descriptor, each counted once. */
  readonly framesDroppedSplit: number
  readonly framesTransmitted: number
  readonly framesDroppedTransmit: number
  /** Rings without a descriptor now, for want of memory or of bus addresses: the driver asks again and again. */
  readonly rxRingsEmpty: number
  /** Receive maps made for frames to come, and unmaps that frames received still lack: see `ReceiveStrategy`. */
  readonly rxMapsAhead: number
  readonly rxUnmapsBehind: number
  /** The most that one receive map is of. */
  readonly rxMapBytesMax: number
}

/** No memory for a ring, or it could not be mapped. */
export interface NoRingMemory {
  readonly step: "ring memory"
  /** Of the block that could not be had. */
  readonly sizeBytes: number
}

export type DriverFailure = BringUpFailure | NoRingMemory

const BOOT_CPU = 0
/** A poll of 64 frames takes less than this or not much more; a CPU that is still busy after all waits is let be. */
const QUIESCE_PS = 100_000_000
const QUIESCE_WAITS_MAX = 1000

export class NetDriver {
  declare readonly napi: Napi
  declare readonly rxRings: ReadonlyArray<RxRing>
  declare readonly txRings: ReadonlyArray<TxRing>
  declare readonly strategy: ReceiveStrategy
  declare private readonly world: DriverWorld
  declare private readonly options: NetDriverOptions
  declare private readonly transmit: Transmit
  declare private readonly coherent: ReadonlyArray<Coherent>

  constructor(world: DriverWorld, options: NetDriverOptions, rx: ReadonlyArray<RxRing>, tx: ReadonlyArray<TxRing>) {
    this.world = world
    this.options = options
    this.rxRings = rx
    this.txRings = tx
    this.coherent = [...rx.map((ring) => ring.block), ...tx.flatMap((ring) => [ring.block, ring.copyBlock])]
    const context = new ReceiveContext(world.cpus.count, rx[0]!)
    const blocks = new Blocks(world.cpus, world.pages, world.costs.pageAllocationPs)
    this.strategy = makeStrategy(options.strategy, world, context, blocks, options.queues)
    this.transmit = new Transmit(world, tx[0]!, options.small)
    this.napi = new Napi(world, {
      budget: options.budget,
      queueCpus: options.queueCpus ?? rx.map((_, queue) => queue % world.cpus.count),
      rxRings: rx,
      txRings: tx,
      strategy: this.strategy,
      context,
      transmit: this.transmit
    })
  }

  /** Brings the device up and posts all receive buffers. */
  bringUp(): BringUpFailure | undefined {
    const { registers } = this.world
    const { options } = this
    const failure = resetDevice(registers)
    if (failure !== undefined) return failure
    setUpReceive(registers, options, this.rxRings)
    setUpTransmit(registers, this.txRings)
    setUpInterrupts(registers, options)
    for (let queue = 0; queue < options.queues; queue++) {
      const tail = this.napi.fillAlone(BOOT_CPU, queue)
      const stuck = startQueue(registers, queue, tail)
      if (stuck !== undefined) return stuck
    }
    const down = startDevice(registers, options.queues)
    // A ring for which there was no memory yet is filled by a poll, and only an interrupt starts one.
    for (const ring of this.rxRings) if (ring.posted === 0) registers.write(EICS, 1 << ring.queue)
    return down
  }

  /**
   * Stops the device, lets the CPUs finish, and gives back every buffer, mapping and ring. Afterwards nothing
   * of this driver is mapped; what is, is a leak.
   */
  shutdown(): BringUpFailure | undefined {
    const failure = stopDevice(this.world.registers, this.options.queues)
    this.quiesce()
    for (const ring of this.rxRings) {
      for (let index = 0; index < ring.count; index++) {
        const slot = this.slotInOrder(ring, index)
        if (ring.filled[slot] === 1) this.strategy.discard(BOOT_CPU, ring, slot)
      }
      ring.filled.fill(0)
      ring.nextToClean = ring.nextToUse
      this.strategy.finish(BOOT_CPU, ring.queue)
    }
    for (const ring of this.txRings) this.transmit.discard(BOOT_CPU, ring)
    for (const block of this.coherent) this.world.device.freeCoherent(BOOT_CPU, block)
    return failure
  }

  /**
   * Lets polls that are under way come to their end. A poll's end unmasks its interrupt: masked again, twice
   * in a row with every CPU idle, no message can be under way any more.
   */
  private quiesce(): void {
    const { registers } = this.world
    for (let wait = 0; wait < QUIESCE_WAITS_MAX; wait++) {
      const wasIdle = this.isIdle()
      maskInterrupts(registers)
      registers.delay(QUIESCE_PS)
      if (wasIdle && this.isIdle()) return
    }
  }

  private isIdle(): boolean {
    const { cpus } = this.world
    for (let cpu = 0; cpu < cpus.count; cpu++) if (cpus.isAwake(cpu)) return false
    return true
  }

  /** Slots from the oldest on: chunks are released in the order in which they were handed out. */
  private slotInOrder(ring: RxRing, index: number): number {
    return (ring.nextToClean + index) % ring.count
  }

  statistics(): DriverStatistics {
    const { napi, rxRings, strategy, transmit } = this
    return {
      interrupts: napi.interrupts,
      polls: napi.polls,
      framesReceived: napi.framesTaken.reduce((sum, count) => sum + count, 0),
      framesDroppedNoBuffer: napi.framesDropped,
      framesDroppedError: napi.framesWithError,
      framesDroppedSplit: napi.framesSplit,
      framesTransmitted: transmit.frames,
      framesDroppedTransmit: transmit.dropped,
      rxRingsEmpty: rxRings.reduce((count, ring) => (ring.posted === 0 ? count + 1 : count), 0),
      rxMapsAhead: rxRings.reduce((sum, ring) => sum + strategy.mapsAhead(ring), 0),
      rxUnmapsBehind: rxRings.reduce((sum, ring) => sum + strategy.unmapsBehind(ring), 0),
      rxMapBytesMax: strategy.mapBytesMax
    }
  }
}

/** Allocates the rings and makes the driver; it does not touch the device yet. */
export function makeNetDriver(world: DriverWorld, options: NetDriverOptions): NetDriver | NoRingMemory {
  const rx: Array<RxRing> = []
  const tx: Array<TxRing> = []
  const taken: Array<Coherent> = []
  let missingBytes = 0
  const allocate = (sizeBytes: number): Coherent | undefined => {
    if (missingBytes > 0) return undefined
    const block = world.device.allocCoherent(BOOT_CPU, sizeBytes)
    if (block === undefined) missingBytes = sizeBytes
    else taken.push(block)
    return block
  }
  for (let queue = 0; queue < options.queues; queue++) {
    const rxBlock = allocate(options.rxDescriptors * DESCRIPTOR_BYTES)
    const txBlock = allocate(options.txDescriptors * DESCRIPTOR_BYTES)
    const copyBlock = allocate(options.txDescriptors * COPY_SLOT_BYTES)
    if (rxBlock === undefined || txBlock === undefined || copyBlock === undefined) {
      for (const block of taken) world.device.freeCoherent(BOOT_CPU, block)
      return { step: "ring memory", sizeBytes: missingBytes }
    }
    rx.push(new RxRing(world.memory, queue, options.rxDescriptors, rxBlock))
    tx.push(new TxRing(world.memory, queue, options.txDescriptors, txBlock, copyBlock))
  }
  return new NetDriver(world, options, rx, tx)
}
