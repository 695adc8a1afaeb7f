/**
 * Pools of small blocks of coherent memory, all of one size: for descriptors and commands, where a page each would be
 * a waste. Blocks are carved out of chunks of coherent memory and never cross a multiple of the boundary; the block
 * that was freed last is handed out first, under one lock for the pool. Chunks are kept until the pool is destroyed.
 *
 * With debug the free blocks are filled with a pattern, and what is done wrong is found. MODEL: the links between free
 * blocks do not lie in the blocks, so that a write to a free block cannot break the pool; the least size is that of
 * the links all the same.
 * [Linux 6.12 mm/dmapool.c]
 */
import { ACCOUNT_DMA_API, assert, fail } from "@vnic/sim/core"
import type { Coherent, Device } from "./device.ts"
import { isPowerOfTwo } from "./iova/powersOfTwo.ts"
import { USED_AFTER_RELEASE } from "./releasedDevice.ts"
import type { BusAddr, DmaCosts, Host, PhysAddr } from "./types.ts"

export interface DmaPoolOptions {
  readonly name: string
  readonly sizeBytes: number
  /** A power of two; 1 when left out or 0. */
  readonly alignBytes?: number
  /**
   * No block crosses a multiple of it, a power of two. When left out or 0 there is none: a block may lie anywhere in
   * its chunk.
   */
  readonly boundaryBytes?: number
}

/** How a pool divides its chunks, bytes. */
export interface DmaPoolShape {
  readonly name: string
  /** From one block to the next. */
  readonly blockBytes: number
  readonly boundaryBytes: number
  readonly chunkBytes: number
}

/** Something that a driver did wrong with a pool. */
export interface PoolFinding {
  /**
   * poolCorrupted: a free block was written. poolBadAddress: no block of the pool lies there, or its addresses do not
   * belong together. poolDoubleFree: the block is free already. poolBusy: the pool was destroyed with live blocks.
   */
  readonly kind: "poolCorrupted" | "poolBadAddress" | "poolDoubleFree" | "poolBusy"
  readonly pool: string
  readonly device: string
  /** The block; of a pool that is busy its first live one. */
  readonly phys: PhysAddr
  readonly busAddr: BusAddr
  readonly cpu: number
  readonly atPs: number
}

/** No block could be had. */
export const POOL_NONE: PhysAddr = -1

/** What free blocks, and blocks just handed out, are filled with when they are checked. */
export const POOL_POISON_FREE = 0xa7
export const POOL_POISON_ALLOCATED = 0xa9

const BLOCK_BYTES_MIN = 16
const SIZE_MAX = 0x7fff_ffff
const LIST_END = -1
const BLOCK_LIVE = -2
/** Freed, but its CPU has not got the lock yet. */
const BLOCK_LEAVING = -3

/** A power of two, or 0 for none. */
const isPowerOrZero = (count: number): boolean => count === 0 || isPowerOfTwo(count)

/** How a pool with these options is laid out; undefined when there cannot be one. */
export function poolShapeOf(options: DmaPoolOptions, pageBytes: number): DmaPoolShape | undefined {
  const { alignBytes = 0, boundaryBytes: widest = 0, name, sizeBytes } = options
  if (!isPowerOrZero(alignBytes) || !isPowerOrZero(widest)) return undefined
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) return undefined
  const unitBytes = Math.max(1, alignBytes)
  const blockBytes = Math.ceil(Math.max(sizeBytes, BLOCK_BYTES_MIN) / unitBytes) * unitBytes
  if (blockBytes > SIZE_MAX) return undefined
  const chunkBytes = Math.max(blockBytes, pageBytes)
  const boundaryBytes = widest === 0 ? chunkBytes : Math.min(widest, chunkBytes)
  if (boundaryBytes < blockBytes) return undefined
  return { name, blockBytes, boundaryBytes, chunkBytes }
}

export interface DmaPoolParts extends DmaPoolShape {
  readonly device: Device
  readonly host: Host
  readonly costs: Pick<DmaCosts, "constantPs">
  /** Host memory. */
  readonly bytes: Uint8Array
  readonly isChecked: boolean
}

export class DmaPool {
  declare readonly name: string
  declare readonly device: Device
  declare readonly blockBytes: number
  declare readonly boundaryBytes: number
  declare readonly chunkBytes: number
  /** allocated[cpu], busAddrs[cpu]: the block that the CPU was given last; POOL_NONE when it was given none. */
  declare readonly allocated: Float64Array
  declare readonly busAddrs: Float64Array
  readonly findings: Array<PoolFinding> = []
  readonly chunks: Array<Coherent> = []
  liveBlocks = 0
  isDestroyed = false
  /** Blocks by number: where they are, and the next free one, LIST_END, or what is no free block's. */
  private readonly blockPhys: Array<PhysAddr> = []
  private readonly blockBus: Array<BusAddr> = []
  private readonly nexts: Array<number> = []
  private readonly blockAt = new Map<PhysAddr, number>()
  private firstFree = LIST_END
  declare private readonly host: Host
  declare private readonly bytes: Uint8Array
  declare private readonly isChecked: boolean
  declare private readonly operationPs: number
  declare private readonly lock: number
  declare private readonly thens: Int32Array
  /** The block that each CPU frees. */
  declare private readonly freed: Int32Array
  declare private readonly leaveStep: number
  declare private readonly allocStep: number
  declare private readonly takeStep: number
  declare private readonly chunkStep: number
  declare private readonly growStep: number
  declare private readonly freeStep: number
  declare private readonly putStep: number
  declare private readonly destroyStep: number

  constructor(parts: DmaPoolParts) {
    const { host } = parts
    this.name = parts.name
    this.device = parts.device
    this.blockBytes = parts.blockBytes
    this.boundaryBytes = parts.boundaryBytes
    this.chunkBytes = parts.chunkBytes
    this.host = host
    this.bytes = parts.bytes
    this.isChecked = parts.isChecked
    this.operationPs = parts.costs.constantPs
    this.allocated = new Float64Array(host.count).fill(POOL_NONE)
    this.busAddrs = new Float64Array(host.count)
    this.thens = new Int32Array(host.count)
    this.freed = new Int32Array(host.count)
    this.lock = host.makeLock(`dma pool ${parts.name}`)
    this.leaveStep = host.define("dma pool: leave", (cpu) => host.leave(cpu))
    this.allocStep = host.define("dma pool: alloc", (cpu) => host.lock(cpu, this.lock, this.takeStep))
    this.takeStep = host.define("dma pool: take", (cpu) => this.take(cpu))
    this.chunkStep = host.define("dma pool: chunk", (cpu) => this.takeChunk(cpu))
    this.growStep = host.define("dma pool: grown", (cpu) => this.takeNew(cpu))
    this.freeStep = host.define("dma pool: free", (cpu) => host.lock(cpu, this.lock, this.putStep))
    this.putStep = host.define("dma pool: put", (cpu) => this.put(cpu))
    this.destroyStep = host.define("dma pool: destroy", (cpu) => this.giveChunks(cpu))
  }

  /** dma_pool_alloc: a block's address, as the CPU sees it; `busAddrs` has the device's. POOL_NONE without memory. */
  readonly dmaPoolAlloc = (cpu: number): PhysAddr => {
    this.setAlloc(cpu, this.leaveStep)
    this.host.runAlone(cpu, this.allocStep)
    return this.allocated[cpu]!
  }

  /** dma_pool_zalloc: the same, all zeros. */
  readonly dmaPoolZalloc = (cpu: number): PhysAddr => {
    const phys = this.dmaPoolAlloc(cpu)
    if (phys !== POOL_NONE) this.bytes.fill(0, phys, phys + this.blockBytes)
    return phys
  }

  /** The same as `dmaPoolAlloc` in a program: the block is in `allocated` and `busAddrs` when `then` runs. */
  readonly beginDmaPoolAlloc = (cpu: number, then: number): number => {
    this.setAlloc(cpu, then)
    return this.host.lock(cpu, this.lock, this.takeStep)
  }

  private readonly setAlloc = (cpu: number, then: number): void => {
    assert(!this.isDestroyed, "a block was asked of a pool that is destroyed")
    assert(!this.device.isReleased, USED_AFTER_RELEASE)
    this.thens[cpu] = then
  }

  private readonly take = (cpu: number): number => {
    const { host, lock } = this
    this.spend(cpu)
    if (this.firstFree !== LIST_END) {
      this.handOut(cpu)
      host.unlock(cpu, lock)
      return this.thens[cpu]!
    }
    // As in the kernel the lock is not held meanwhile: whoever finds the pool empty too makes it grow as well.
    host.unlock(cpu, lock)
    return this.device.beginAllocCoherent(cpu, this.chunkBytes, this.chunkStep)
  }

  private readonly takeChunk = (cpu: number): number => {
    if (this.device.coherent[cpu] !== undefined) return this.host.lock(cpu, this.lock, this.growStep)
    this.allocated[cpu] = POOL_NONE
    return this.thens[cpu]!
  }

  private readonly takeNew = (cpu: number): number => {
    this.carve(this.device.coherent[cpu]!)
    this.handOut(cpu)
    this.host.unlock(cpu, this.lock)
    return this.thens[cpu]!
  }

  /** Makes blocks of a new chunk, from its beginning on, ahead of those that are free. */
  private carve(chunk: Coherent): void {
    this.chunks.push(chunk)
    const first = this.nexts.length
    let boundary = this.boundaryBytes
    let offset = 0
    while (offset + this.blockBytes <= this.chunkBytes) {
      if (offset + this.blockBytes > boundary) {
        offset = boundary
        boundary += this.boundaryBytes
        continue
      }
      const block = this.nexts.push(this.nexts.length + 1) - 1
      this.blockPhys.push(chunk.phys + offset)
      this.blockBus.push(chunk.busAddr + offset)
      this.blockAt.set(chunk.phys + offset, block)
      offset += this.blockBytes
    }
    this.nexts[this.nexts.length - 1] = this.firstFree
    this.firstFree = first
    if (this.isChecked) this.bytes.fill(POOL_POISON_FREE, chunk.phys, chunk.phys + this.chunkBytes)
  }

  private handOut(cpu: number): void {
    const block = this.firstFree
    const phys = this.blockPhys[block]!
    this.firstFree = this.nexts[block]!
    this.nexts[block] = BLOCK_LIVE
    this.liveBlocks++
    this.allocated[cpu] = phys
    this.busAddrs[cpu] = this.blockBus[block]!
    if (!this.isChecked) return
    const content = this.bytes.subarray(phys, phys + this.blockBytes)
    if (content.some((byte) => byte !== POOL_POISON_FREE)) this.find("poolCorrupted", cpu, phys, this.busAddrs[cpu]!)
    content.fill(POOL_POISON_ALLOCATED)
  }

  /** dma_pool_free: gives a block back, by both of its addresses. */
  readonly dmaPoolFree = (cpu: number, phys: PhysAddr, busAddr: BusAddr): void => {
    if (this.setFree(cpu, phys, busAddr, this.leaveStep)) this.host.runAlone(cpu, this.freeStep)
  }

  readonly beginDmaPoolFree = (cpu: number, phys: PhysAddr, busAddr: BusAddr, then: number): number => {
    return this.setFree(cpu, phys, busAddr, then) ? this.host.lock(cpu, this.lock, this.putStep) : then
  }

  /** Says what the CPU frees. What is no live block is a finding, or without debug a defect, and then false. */
  private readonly setFree = (cpu: number, phys: PhysAddr, busAddr: BusAddr, then: number): boolean => {
    const block = this.blockAt.get(phys) ?? LIST_END
    const isBlock = !this.isDestroyed && this.blockBus[block] === busAddr
    if (!isBlock || this.nexts[block] !== BLOCK_LIVE) {
      if (!this.isChecked) fail("a block was freed that is not a live one of its pool")
      this.find(isBlock ? "poolDoubleFree" : "poolBadAddress", cpu, phys, busAddr)
      return false
    }
    this.nexts[block] = BLOCK_LEAVING
    this.freed[cpu] = block
    this.thens[cpu] = then
    return true
  }

  private readonly put = (cpu: number): number => {
    const block = this.freed[cpu]!
    const phys = this.blockPhys[block]!
    this.spend(cpu)
    if (this.isChecked) this.bytes.fill(POOL_POISON_FREE, phys, phys + this.blockBytes)
    this.nexts[block] = this.firstFree
    this.firstFree = block
    this.liveBlocks--
    this.host.unlock(cpu, this.lock)
    return this.thens[cpu]!
  }

  /** dma_pool_destroy: gives the chunks back; none of them, and that is a finding, if a block is live. */
  readonly dmaPoolDestroy = (cpu: number): void => {
    if (this.setDestroy(cpu, this.leaveStep)) this.host.runAlone(cpu, this.destroyStep)
  }

  readonly beginDmaPoolDestroy = (cpu: number, then: number): number => {
    return this.setDestroy(cpu, then) ? this.giveChunks(cpu) : then
  }

  /** False when a block is live. */
  private readonly setDestroy = (cpu: number, then: number): boolean => {
    assert(!this.isDestroyed, "a pool was destroyed twice")
    assert(!this.device.isReleased, USED_AFTER_RELEASE)
    this.isDestroyed = true
    this.thens[cpu] = then
    const live = this.nexts.findIndex((next) => next < LIST_END)
    if (live >= 0) this.find("poolBusy", cpu, this.blockPhys[live]!, this.blockBus[live]!)
    return live < 0
  }

  private readonly giveChunks = (cpu: number): number => {
    const chunk = this.chunks.shift()
    return chunk === undefined ? this.thens[cpu]! : this.device.beginFreeCoherent(cpu, chunk, this.destroyStep)
  }

  private find(kind: PoolFinding["kind"], cpu: number, phys: PhysAddr, busAddr: BusAddr): void {
    const atPs = this.host.localPs[cpu]!
    this.findings.push({ kind, pool: this.name, device: this.device.name, phys, busAddr, cpu, atPs })
  }

  /** MODEL: taking from a list and giving to it cost what an allocation without a search does. */
  private readonly spend = (cpu: number): void => {
    this.host.spend(cpu, ACCOUNT_DMA_API, this.operationPs)
  }
}
