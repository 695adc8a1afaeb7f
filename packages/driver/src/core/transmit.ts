/**
 * Transmit: one descriptor a frame. Small frames are copied into a block that stays mapped, as the mlx4
 * of the time sent them inline; larger ones, or all where `small` is `map`, are mapped for their journey
 * and unmapped when the device has reported them.
 */
import {
  ACCOUNT_COPY as accountCopy,
  ACCOUNT_DRIVER as accountDriver,
  ACCOUNT_MMIO as accountMmio,
  type PhysAddr,
  type StepId
} from "@vnic/sim/core"
import { TO_DEVICE as toDevice } from "@vnic/dma-api/core"
import { TDT } from "@vnic/nic-device/registers"
import type { DriverWorld } from "./ports.ts"
import { COPY_SLOT_BYTES as copySlotBytes, type TxRing } from "./txRing.ts"

// Copies in this module: an imported binding costs a load and a check at each use.
const ACCOUNT_COPY = accountCopy
const ACCOUNT_DRIVER = accountDriver
const ACCOUNT_MMIO = accountMmio
const TO_DEVICE = toDevice
const COPY_SLOT_BYTES = copySlotBytes

/** Frames up to this long are small. [Linux 3.4 mlx4 MAX_INLINE] */
export const SMALL_FRAME_BYTES_MAX = 104

const KIB_SHIFT = 10

/** What becomes of small frames. */
export type SmallFrames = "copy" | "map"

export class Transmit {
  /** Frames given to the device, and frames dropped because the ring was full or could not be mapped. */
  frames = 0
  dropped = 0
  /** The ring that each CPU works on. */
  declare readonly rings: Array<TxRing>
  declare private readonly world: DriverWorld
  declare private readonly smallMax: number
  declare private readonly phys: Int32Array
  declare private readonly sizes: Int32Array
  declare private readonly mapped: number
  declare private readonly cleanMore: number
  declare private readonly makeRoom: number
  declare private readonly retry: number
  declare private readonly unmapped: number

  constructor(world: DriverWorld, first: TxRing, small: SmallFrames) {
    const { cpus } = world
    this.world = world
    this.smallMax = small === "copy" ? SMALL_FRAME_BYTES_MAX : 0
    this.rings = Array.from({ length: cpus.count }, () => first)
    this.phys = new Int32Array(cpus.count)
    this.sizes = new Int32Array(cpus.count)
    this.mapped = cpus.define("transmit: mapped", (cpu) => this.queueMapped(cpu))
    this.cleanMore = cpus.define("transmit: clean", (cpu) => this.cleanReported(cpu))
    this.makeRoom = cpus.define("transmit: make room", (cpu) => cpus.call(cpu, this.cleanMore, this.retry))
    this.retry = cpus.define("transmit: send again", (cpu) => this.sendAgain(cpu))
    this.unmapped = cpus.define("transmit: unmapped", (cpu) => this.cleanedOne(cpu))
  }

  /** Gives a frame to the device; goes on at `then` when it is queued, or dropped. */
  readonly send = (cpu: number, phys: PhysAddr, sizeBytes: number, then: StepId): StepId => {
    const { world } = this
    const ring = this.rings[cpu]!
    world.cpus.spend(cpu, ACCOUNT_DRIVER, world.costs.descriptorWorkPs)
    if (!ring.isFull && sizeBytes <= this.smallMax) {
      this.copyAndQueue(cpu, ring, phys, sizeBytes)
      return then
    }
    this.phys[cpu] = phys
    this.sizes[cpu] = sizeBytes
    world.cpus.enter(cpu, then)
    if (!ring.isFull) return world.device.beginMapSingle(cpu, phys, sizeBytes, TO_DEVICE, this.mapped)
    // The device may have sent some by this CPU's own time.
    return world.cpus.isAhead(cpu)
      ? world.cpus.lookAgain(cpu, this.makeRoom)
      : world.cpus.call(cpu, this.cleanMore, this.retry)
  }

  private readonly sendAgain = (cpu: number): StepId => {
    const { cpus, device } = this.world
    const ring = this.rings[cpu]!
    const sizeBytes = this.sizes[cpu]!
    if (ring.isFull) this.drop(this.phys[cpu]!)
    else if (sizeBytes <= this.smallMax) this.copyAndQueue(cpu, ring, this.phys[cpu]!, sizeBytes)
    else return device.beginMapSingle(cpu, this.phys[cpu]!, sizeBytes, TO_DEVICE, this.mapped)
    return cpus.leave(cpu)
  }

  private readonly copyAndQueue = (cpu: number, ring: TxRing, phys: PhysAddr, sizeBytes: number): void => {
    const { world } = this
    const { copyCallPs, copyKiBPs } = world.costs
    world.cpus.spend(cpu, ACCOUNT_COPY, copyCallPs + ((copyKiBPs * sizeBytes) >> KIB_SHIFT))
    const offset = ring.nextToUse * COPY_SLOT_BYTES
    world.memory.copy(phys, ring.copyBlock.phys + offset, sizeBytes)
    world.stack.transmitted(phys)
    this.frames++
    ring.enqueue(ring.copyBlock.busAddr + offset, sizeBytes)
    this.tell(cpu, ring)
  }

  private readonly drop = (phys: PhysAddr): void => {
    this.dropped++
    this.world.stack.transmitted(phys)
  }

  private readonly queueMapped = (cpu: number): number => {
    const { cpus, device } = this.world
    const bus = device.mapped[cpu]!
    if (device.mappingError(bus)) {
      this.drop(this.phys[cpu]!)
      return cpus.leave(cpu)
    }
    const ring = this.rings[cpu]!
    const slot = ring.nextToUse
    const sizeBytes = this.sizes[cpu]!
    ring.phys[slot] = this.phys[cpu]!
    ring.bus[slot] = bus
    ring.sizes[slot] = sizeBytes
    this.frames++
    ring.enqueue(bus, sizeBytes)
    this.tell(cpu, ring)
    return cpus.leave(cpu)
  }

  /** Tells the device of the frame, as drivers of the time did for each. From here on it owns the descriptor. */
  private readonly tell = (cpu: number, ring: TxRing): void => {
    const { costs, cpus, registers } = this.world
    cpus.spend(cpu, ACCOUNT_MMIO, costs.mmioWritePs)
    registers.post(cpu, TDT(ring.queue), ring.nextToUse)
    registers.ring(cpu)
  }

  /** Gives back what the device has reported; goes on at `then`. */
  readonly clean = (cpu: number, then: StepId): StepId => {
    if (!this.rings[cpu]!.isDone()) return then
    this.world.cpus.enter(cpu, then)
    return this.cleanReported(cpu)
  }

  /** Cleans frame after frame, in order, until one is not reported yet; leaves to wait for an unmap. */
  private readonly cleanReported = (cpu: number): StepId => {
    const { cpus, device } = this.world
    const ring = this.rings[cpu]!
    while (ring.isDone()) {
      const slot = ring.nextToClean
      const sizeBytes = ring.sizes[slot]!
      if (sizeBytes > 0) return device.beginUnmapSingle(cpu, ring.bus[slot]!, sizeBytes, TO_DEVICE, this.unmapped)
      ring.advance()
    }
    return cpus.leave(cpu)
  }

  private readonly cleanedOne = (cpu: number): StepId => {
    const ring = this.rings[cpu]!
    this.world.stack.transmitted(ring.phys[ring.nextToClean]!)
    ring.advance()
    return this.cleanReported(cpu)
  }

  /** At shutdown: gives back what the device never reported. */
  readonly discard = (cpu: number, ring: TxRing): void => {
    const { device, stack } = this.world
    while (ring.nextToClean !== ring.nextToUse) {
      const slot = ring.nextToClean
      const sizeBytes = ring.sizes[slot]!
      if (sizeBytes > 0) {
        device.unmapSingle(cpu, ring.bus[slot]!, sizeBytes, TO_DEVICE)
        stack.transmitted(ring.phys[slot]!)
      }
      ring.advance()
    }
  }
}
