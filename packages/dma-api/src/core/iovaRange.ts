/**
 * A range of bus addresses that is allocated once and linked to memory piece by piece, for buffers whose pieces
 * are known one after the other: one allocation, many table writes, one flush.
 * [Linux 6.19 drivers/iommu/dma-iommu.c dma_iova_try_alloc, dma_iova_link, dma_iova_unlink, dma_iova_destroy]
 */
import type { Device } from "./device.ts"
import { DMA_MAPPING_ERROR, type BusAddr, type Direction } from "./types.ts"

export class IovaRange {
  busAddr: BusAddr = DMA_MAPPING_ERROR
  /** 0 when there is no range (dma_use_iova). */
  sizeBytes = 0
  /** Whose it is: it is of no use to another one. */
  device: Device | undefined = undefined
  /** What is linked: where in the range, and how long, bytes; and which way. */
  readonly linkOffsets: Array<number> = []
  readonly linkSizes: Array<number> = []
  readonly linkDirections: Array<Direction> = []

  /** A new range, with nothing linked. */
  set(busAddr: BusAddr, sizeBytes: number): void {
    this.busAddr = busAddr
    this.sizeBytes = sizeBytes
    this.device = undefined
    this.linkOffsets.length = 0
    this.linkSizes.length = 0
    this.linkDirections.length = 0
  }

  /** Do these bytes lie within the range? */
  holds(offsetBytes: number, sizeBytes: number): boolean {
    const end = offsetBytes + sizeBytes
    const isWhole = (offsetBytes | 0) === offsetBytes && (sizeBytes | 0) === sizeBytes
    return isWhole && offsetBytes >= 0 && sizeBytes >= 0 && end <= this.sizeBytes
  }

  /** Would they, and meet no link? */
  hasRoom(offsetBytes: number, sizeBytes: number): boolean {
    const end = offsetBytes + sizeBytes
    if (!this.holds(offsetBytes, sizeBytes)) return false
    for (let link = 0; link < this.linkOffsets.length; link++) {
      const at = this.linkOffsets[link]!
      if (at < end && offsetBytes < at + this.linkSizes[link]!) return false
    }
    return true
  }

  /** Do these bytes hold part of a link, and not all of it? */
  isCut(offsetBytes: number, sizeBytes: number): boolean {
    const end = offsetBytes + sizeBytes
    for (let link = 0; link < this.linkOffsets.length; link++) {
      const at = this.linkOffsets[link]!
      const linkEnd = at + this.linkSizes[link]!
      const isOutside = linkEnd <= offsetBytes || at >= end
      const isInside = at >= offsetBytes && linkEnd <= end
      if (!isOutside && !isInside) return true
    }
    return false
  }

  /** Bytes that are linked. */
  get linkedBytes(): number {
    return this.linkSizes.reduce((sum, sizeBytes) => sum + sizeBytes, 0)
  }
}

/** No range yet. */
export const makeIovaRange = (): IovaRange => new IovaRange()
