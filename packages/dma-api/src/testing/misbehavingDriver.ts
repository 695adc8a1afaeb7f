/**
 * A driver that does everything right for a while, one thing wrong, and everything right again. Whatever
 * checks drivers must find that one thing and nothing else.
 */
import { fail, makePrng, type Prng } from "@vnic/sim/core"
import type { FindingKind } from "../core/debug.ts"
import type { Coherent, Device } from "../core/device.ts"
import { FROM_DEVICE, TO_DEVICE, type Direction, type Pages, type PhysAddr } from "../core/types.ts"

export interface MisbehavingDriverOptions {
  readonly device: Device
  /** Where its buffers come from. */
  readonly pages: Pages
  /** The one thing that it does wrong; nothing when left out. */
  readonly mistake?: FindingKind
  readonly seed: number
  /** The CPU that it runs on; 0 when left out. */
  readonly cpu?: number
}

interface Buffer {
  readonly phys: PhysAddr
  readonly busAddr: number
  readonly sizeBytes: number
  readonly direction: Direction
}

const OPERATIONS = 100
const BUFFERS_MAX = 24
const BLOCKS_MAX = 3

class Driver {
  readonly device: Device
  readonly cpu: number
  private readonly pages: Pages
  private readonly prng: Prng
  private readonly buffers: Array<Buffer> = []
  private readonly blocks: Array<Coherent> = []

  constructor(options: MisbehavingDriverOptions) {
    this.device = options.device
    this.pages = options.pages
    this.cpu = options.cpu ?? 0
    this.prng = makePrng(options.seed)
  }

  /** Maps, unmaps, syncs and lets the device access, all of it as it should be. */
  behave(): void {
    for (let count = 0; count < OPERATIONS; count++) {
      const choice = this.prng.below(7)
      if (choice < 3) this.fill()
      else if (choice === 3) this.unmap(this.buffers.splice(this.prng.below(this.buffers.length), 1)[0])
      else if (choice === 4) this.use(this.buffers[this.prng.below(this.buffers.length)])
      else if (choice === 5) this.allocate()
      else this.giveBack(this.blocks.shift())
    }
  }

  private fill(): void {
    if (this.buffers.length < BUFFERS_MAX) this.buffers.push(this.map(this.prng.below(3) as Direction))
  }

  private allocate(): void {
    if (this.blocks.length < BLOCKS_MAX) this.blocks.push(this.block())
  }

  /** A buffer of up to a page that was just mapped. */
  map(direction: Direction): Buffer {
    const phys = this.pages.allocate(0)
    const sizeBytes = 64 + this.prng.below(this.pages.pageSizeBytes - 64)
    const busAddr = phys < 0 ? phys : this.device.mapSingle(this.cpu, phys, sizeBytes, direction)
    if (this.device.mappingError(busAddr)) fail("a misbehaving driver needs room for its buffers")
    return { phys, busAddr, sizeBytes, direction }
  }

  /** Coherent memory that was just allocated. */
  block(): Coherent {
    const block = this.device.allocCoherent(this.cpu, 1 + this.prng.below(2 * this.pages.pageSizeBytes))
    return block ?? fail("a misbehaving driver needs room for coherent memory")
  }

  unmap(buffer: Buffer | undefined): void {
    if (buffer === undefined) return
    this.device.unmapSingle(this.cpu, buffer.busAddr, buffer.sizeBytes, buffer.direction)
    this.pages.free(buffer.phys)
  }

  private giveBack(block: Coherent | undefined): void {
    if (block !== undefined) this.device.freeCoherent(this.cpu, block)
  }

  /** The device accesses part of the buffer, then the CPU does. */
  private use(buffer: Buffer | undefined): void {
    if (buffer === undefined) return
    const { device } = this
    const offset = this.prng.below(buffer.sizeBytes)
    const sizeBytes = 1 + this.prng.below(buffer.sizeBytes - offset)
    device.accessed(buffer.busAddr + offset, sizeBytes, buffer.direction, 0)
    device.syncSingleForCpu(this.cpu, buffer.busAddr + offset, sizeBytes, buffer.direction)
    device.syncSingleForDevice(this.cpu, buffer.busAddr + offset, sizeBytes, buffer.direction)
  }

  /** Gives everything back, the device last. */
  finish(): void {
    for (const buffer of this.buffers.splice(0)) this.unmap(buffer)
    for (const block of this.blocks.splice(0)) this.giveBack(block)
    this.device.release()
  }
}

/** Each mistake, on a buffer of its own. */
const MISTAKES: Readonly<Record<FindingKind, (driver: Driver) => void>> = {
  leak: (driver) => {
    driver.map(FROM_DEVICE)
  },
  unmapOfNothing: (driver) => {
    const { busAddr, direction, sizeBytes, ...rest } = driver.map(FROM_DEVICE)
    driver.device.unmapSingle(driver.cpu, busAddr, sizeBytes, direction)
    driver.unmap({ busAddr, direction, sizeBytes, ...rest })
  },
  wrongSize: (driver) => {
    const buffer = driver.map(FROM_DEVICE)
    driver.unmap({ ...buffer, sizeBytes: buffer.sizeBytes + 4096 })
  },
  wrongDirection: (driver) => {
    driver.unmap({ ...driver.map(FROM_DEVICE), direction: TO_DEVICE })
  },
  wrongKind: (driver) => {
    const block = driver.block()
    driver.device.unmapSingle(driver.cpu, block.busAddr, block.sizeBytes, 0)
  },
  syncOutsideMapping: (driver) => {
    const buffer = driver.map(FROM_DEVICE)
    driver.device.syncSingleForCpu(driver.cpu, buffer.busAddr + 1, buffer.sizeBytes, FROM_DEVICE)
    driver.unmap(buffer)
  },
  syncWrongDirection: (driver) => {
    const buffer = driver.map(FROM_DEVICE)
    driver.device.syncSingleForDevice(driver.cpu, buffer.busAddr, buffer.sizeBytes, TO_DEVICE)
    driver.unmap(buffer)
  },
  accessOutsideMapping: (driver) => {
    const buffer = driver.map(FROM_DEVICE)
    driver.unmap(buffer)
    driver.device.accessed(buffer.busAddr, buffer.sizeBytes, FROM_DEVICE, 0)
  }
}

/** Runs the driver from its first map to the device's release. */
export function runMisbehavingDriver(options: MisbehavingDriverOptions): void {
  const driver = new Driver(options)
  driver.behave()
  if (options.mistake !== undefined) MISTAKES[options.mistake](driver)
  driver.behave()
  driver.finish()
}
