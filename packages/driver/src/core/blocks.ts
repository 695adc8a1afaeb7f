/**
 * Receive buffers are chunks cut from blocks of memory: one 64 KiB page on a 64 KiB-page kernel, 16 KiB on
 * one with 4 KiB pages. A block lives until it is no longer cut from and its last chunk is given back.
 * [Linux 3.4 drivers/net/ethernet/mellanox/mlx4/en_rx.c mlx4_en_alloc_frag]
 */
import { ACCOUNT_PAGE_ALLOC, PAGE_NONE, fail, type Cpus, type PageAllocator, type PhysAddr } from "@vnic/sim/core"

/** Smallest block. */
export const BLOCK_BYTES_MIN = 16384
/** No block could be had. */
export const NO_CHUNK: PhysAddr = PAGE_NONE

/** The blocks of one driver, counted by their users. */
export class Blocks {
  declare readonly blockBytes: number
  /** users[block]: chunks that are out, and 1 for a cutter that still cuts from it. */
  declare readonly users: Int32Array
  /** bus[block]: where the whole block is mapped, for strategies that map it whole. */
  declare readonly bus: Float64Array
  declare private readonly order: number
  declare private readonly pages: PageAllocator
  declare private readonly cpus: Cpus
  declare private readonly allocationPs: number

  constructor(cpus: Cpus, pages: PageAllocator, allocationPs: number) {
    this.cpus = cpus
    this.pages = pages
    this.allocationPs = allocationPs
    this.order = pages.orderFor(BLOCK_BYTES_MIN)
    this.blockBytes = pages.pageSizeBytes << this.order
    const blockCount = Math.ceil((pages.pageCount * pages.pageSizeBytes) / this.blockBytes)
    this.users = new Int32Array(blockCount)
    this.bus = new Float64Array(blockCount)
  }

  readonly indexOf = (phys: PhysAddr): number => {
    return Math.floor(phys / this.blockBytes)
  }

  /** A new block with one user, or NO_CHUNK. */
  readonly allocate = (cpu: number): PhysAddr => {
    this.cpus.spend(cpu, ACCOUNT_PAGE_ALLOC, this.allocationPs)
    const phys = this.pages.allocate(this.order)
    if (phys !== PAGE_NONE) this.users[this.indexOf(phys)] = 1
    return phys
  }

  /** One user less; the last one frees the block. */
  readonly put = (phys: PhysAddr): void => {
    const block = this.indexOf(phys)
    const users = this.users[block]! - 1
    if (users < 0) fail("a block was given back more often than it was taken")
    this.users[block] = users
    if (users === 0) this.pages.free(block * this.blockBytes)
  }
}

/** Cuts blocks into chunks of one size for one queue. */
export class ChunkCutter {
  declare readonly chunkBytes: number
  /** The block that chunks are cut from, or NO_CHUNK. */
  block: PhysAddr = NO_CHUNK
  private nextOffset = 0
  declare private readonly blocks: Blocks

  constructor(blocks: Blocks, chunkBytes: number) {
    this.blocks = blocks
    this.chunkBytes = chunkBytes
  }

  /** Is there a chunk left in the block? */
  get hasChunk(): boolean {
    return this.block !== NO_CHUNK
  }

  /** How much of a block one chunk is. */
  get chunkShare(): number {
    return 1 / Math.floor(this.blocks.blockBytes / this.chunkBytes)
  }

  /** How much of the block has been cut, 0 to 1; 0 without a block. */
  get cutShare(): number {
    return this.block === NO_CHUNK ? 0 : (this.nextOffset / this.chunkBytes) * this.chunkShare
  }

  /** How much of the block is still to be cut, 0 to 1; 0 without a block. */
  get uncutShare(): number {
    return this.block === NO_CHUNK ? 0 : 1 - this.cutShare
  }

  /** How much of its block is behind the beginning of this chunk, 0 to 1. */
  shareBefore(phys: PhysAddr): number {
    return ((phys % this.blocks.blockBytes) / this.chunkBytes) * this.chunkShare
  }

  /** Goes on with this block, whose first user the cutter is. */
  startBlock(phys: PhysAddr): void {
    this.block = phys
    this.nextOffset = 0
  }

  /** The next chunk of the block. With the block's last chunk the cutter is done with the block. */
  cut(): PhysAddr {
    if (this.block === NO_CHUNK) fail("a chunk was cut from no block")
    const phys = this.block + this.nextOffset
    this.nextOffset += this.chunkBytes
    // The cutter's own use passes to the last chunk.
    if (this.nextOffset + this.chunkBytes > this.blocks.blockBytes) this.block = NO_CHUNK
    else this.blocks.users[this.blocks.indexOf(phys)]! += 1
    return phys
  }

  /** Is this the last chunk of its block? */
  isLast(phys: PhysAddr): boolean {
    return (phys % this.blocks.blockBytes) + 2 * this.chunkBytes > this.blocks.blockBytes
  }
}
