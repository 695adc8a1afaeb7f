/**
 * A driver that does everything right for a while, one thing wrong, and everything right again. Whatever
 * checks drivers must find that one thing and nothing else.
 */
import { fail, makePrng, type Prng } from "@vnic/sim/core"
import type { FindingKind } from "../core/debugChecks.ts"
import type { Coherent, Device } from "../core/device.ts"
import { makeScatterList, type ScatterList } from "../core/scatterList.ts"
import type { Direction, Pages, PhysAddr } from "../core/types.ts"
import { MISTAKES } from "./mistakes.ts"

export interface MisbehavingDriverOptions {
  readonly device: Device
  /** Where its buffers come from. */
  readonly pages: Pages
  /** The one thing that it does wrong; nothing when left out. Some need the settings of `debugOptionsFor`. */
  readonly mistake?: FindingKind
  readonly seed: number
  /** The CPU that it runs on; 0 when left out. */
  readonly cpu?: number
}

/** A buffer that is mapped, and the block of pages that it lies in. */
export interface Buffer {
  readonly block: PhysAddr
  readonly phys: PhysAddr
  readonly busAddr: number
  readonly sizeBytes: number
  readonly direction: Direction
}

/** A scatter list that is mapped: its entries are buffers of their own. */
export interface BufferList {
  readonly list: ScatterList
  readonly blocks: ReadonlyArray<PhysAddr>
  readonly direction: Direction
}

const OPERATIONS = 100
const BUFFERS_MAX = 20
const LISTS_MAX = 3
const LIST_ENTRIES_MAX = 4
const BLOCKS_MAX = 3
export class Driver {
  readonly device: Device
  readonly cpu: number
  readonly pages: Pages
  private readonly prng: Prng
  private readonly buffers: Array<Buffer> = []
  private readonly lists: Array<BufferList> = []
  private readonly blocks: Array<Coherent> = []

  constructor(options: MisbehavingDriverOptions) {
    this.device = options.device
    this.pages = options.pages
    this.cpu = options.cpu ?? 0
    this.prng = makePrng(options.seed)
  }

  /** Maps, unmaps, syncs and lets the device access, all of it as it should be. */
  behave(): void {
    const { blocks, buffers, lists, prng } = this
    for (let count = 0; count < OPERATIONS; count++) {
      const choice = prng.below(11)
      if (choice < 3 && buffers.length < BUFFERS_MAX) buffers.push(this.map(this.direction()))
      else if (choice === 3) this.unmap(buffers.splice(prng.below(buffers.length), 1)[0])
      else if (choice === 4) this.use(buffers[prng.below(buffers.length)])
      else if (choice === 5 && blocks.length < BLOCKS_MAX) blocks.push(this.block())
      else if (choice === 6) this.giveBack(blocks.shift())
      else if (choice < 9 && lists.length < LISTS_MAX) lists.push(this.mapList(this.direction()))
      else if (choice === 9) this.unmapList(lists.splice(prng.below(lists.length), 1)[0])
      else if (choice === 10) this.useList(lists[prng.below(lists.length)])
    }
  }

  private direction(): Direction {
    return this.prng.below(3) as Direction
  }

  /** A page for a buffer. */
  page(): PhysAddr {
    const phys = this.pages.allocate(0)
    return phys < 0 ? fail("a misbehaving driver needs room for its buffers") : phys
  }

  private size(): number {
    return 64 + this.prng.below(this.pages.pageSizeBytes - 64)
  }

  /** A buffer of up to a page that was just mapped. */
  map(direction: Direction): Buffer {
    const phys = this.page()
    return this.mapAt(phys, phys, this.size(), direction)
  }

  /** A buffer at this place in its block; whether the map failed is looked at unless said otherwise. */
  mapAt(block: PhysAddr, phys: PhysAddr, sizeBytes: number, direction: Direction, attributes = 0): Buffer {
    const busAddr = this.device.mapSingle(this.cpu, phys, sizeBytes, direction, attributes)
    if (this.device.mappingError(busAddr)) fail("a misbehaving driver needs room for its mappings")
    return { block, phys, busAddr, sizeBytes, direction }
  }

  /** Coherent memory that was just allocated. */
  block(): Coherent {
    const block = this.device.allocCoherent(this.cpu, 1 + this.prng.below(2 * this.pages.pageSizeBytes))
    return block ?? fail("a misbehaving driver needs room for coherent memory")
  }

  /** Undoes the map as it is said to have been made, and leaves the pages. */
  undo(buffer: Buffer): void {
    this.device.unmapSingle(this.cpu, buffer.busAddr, buffer.sizeBytes, buffer.direction)
  }

  unmap(buffer: Buffer | undefined): void {
    if (buffer === undefined) return
    this.undo(buffer)
    this.pages.free(buffer.block)
  }

  /** A list of two to four buffers, each in a page of its own; or one of so many bytes in so large a block. */
  mapList(direction: Direction, order = 0, sizeBytes = 0): BufferList {
    const list = makeScatterList(LIST_ENTRIES_MAX)
    const count = order > 0 ? 1 : 2 + this.prng.below(LIST_ENTRIES_MAX - 1)
    const blocks = Array.from({ length: count }, () => (order > 0 ? this.pages.allocate(order) : this.page()))
    for (const [entry, phys] of blocks.entries()) list.setBuffer(entry, phys, sizeBytes || this.size())
    if (this.device.mapSg(this.cpu, list, count, direction) === 0) fail("a misbehaving driver needs room for lists")
    return { list, blocks, direction }
  }

  /** Gives a list back, with the number of entries that it has or with another one. */
  unmapList(buffers: BufferList | undefined, entryCount = buffers?.blocks.length ?? 0): void {
    if (buffers === undefined) return
    this.device.unmapSg(this.cpu, buffers.list, entryCount, buffers.direction)
    for (const block of buffers.blocks) this.pages.free(block)
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

  /** The device accesses a segment, then the CPU the whole list. */
  private useList(buffers: BufferList | undefined): void {
    if (buffers === undefined) return
    const { blocks, direction, list } = buffers
    const segment = this.prng.below(list.segmentCount)
    this.device.accessed(list.busAddrOf(segment), list.busSizeBytesOf(segment), direction, 0)
    this.device.syncSgForCpu(this.cpu, list, blocks.length, direction)
    this.device.syncSgForDevice(this.cpu, list, blocks.length, direction)
  }

  /** Gives everything back, the device last. */
  finish(): void {
    for (const buffer of this.buffers.splice(0)) this.unmap(buffer)
    for (const buffers of this.lists.splice(0)) this.unmapList(buffers)
    for (const block of this.blocks.splice(0)) this.giveBack(block)
    this.device.release()
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
