/**
 * Scatter lists behind an IOMMU: one range of bus addresses for the whole list, each entry padded to IOMMU pages.
 * Neighbours become one segment when the second begins where the first one's page ends and the device's limits
 * allow. [Linux 6.12 drivers/iommu/dma-iommu.c iommu_dma_map_sg, __finalise_sg]
 *
 * MODEL: a list is one range behind every table. Behind a TCE table the kernel allocates for each entry by itself, and
 * makes one segment of two that happen to lie side by side on the bus.
 * [Linux 6.12 arch/powerpc/kernel/iommu.c ppc_iommu_map_sg]
 */
import { ACCOUNT_DMA_API } from "@vnic/sim/core"
import type { ListBackend } from "./backend.ts"
import type { IommuBackend } from "./iommuBackend.ts"
import { IOVA_NONE } from "./iova/allocator.ts"
import { directionOfTag } from "./mappings.ts"
import type { ScatterList } from "./scatterList.ts"
import { MAP_INVALID, MAP_TABLE_REFUSED, type BusAddr, type Direction } from "./types.ts"

export class IommuLists implements ListBackend {
  declare private readonly backend: IommuBackend
  declare private readonly pageMask: number
  /** The range of each CPU's list, IOMMU pages; and what it is aligned to. */
  declare private readonly firstPages: Int32Array
  declare private readonly pageCounts: Int32Array
  declare private readonly alignments: Int32Array
  declare private readonly allocated: number
  declare private readonly givenUp: number
  declare private readonly removable: number

  constructor(backend: IommuBackend) {
    const { ends } = backend.context
    const { host } = backend
    this.backend = backend
    this.pageMask = backend.pageBytes - 1
    this.firstPages = new Int32Array(host.count)
    this.pageCounts = new Int32Array(host.count)
    this.alignments = new Int32Array(host.count)
    this.allocated = host.define("dma map list: allocated", (cpu) => this.insert(cpu))
    this.givenUp = host.define("dma map list: given up", (cpu) => ends.listFailed(cpu, MAP_TABLE_REFUSED))
    this.removable = host.define("dma unmap list: remove", (cpu) => this.remove(cpu))
  }

  readonly beginMapList = (cpu: number): number => {
    const { context, host, isRefusing, mapOtherPs, pageBytes, reach, space } = this.backend
    if (isRefusing) return context.ends.listFailed(cpu, MAP_INVALID)
    const { segBoundaryMask } = context.limits
    const pages = this.layOut(context.calls.lists[cpu]!, segBoundaryMask) / pageBytes
    if (mapOtherPs > 0) host.spend(cpu, ACCOUNT_DMA_API, mapOtherPs)
    this.pageCounts[cpu] = pages
    this.alignments[cpu] = this.backend.alignmentFor(pages)
    return space.allocator.beginAllocate(cpu, pages, this.alignments[cpu]!, reach, -1, this.allocated)
  }

  /** Bytes of bus addresses that an entry's buffer needs: the pages that it touches. */
  private readonly bytesOf = (list: ScatterList, entry: number): number => {
    const end = (list.physOf(entry) & this.pageMask) + list.sizeBytesOf(entry) + this.pageMask
    return end - (end & this.pageMask)
  }

  /**
   * Sets what the entries take: their pages and, where the next one would cross the boundary, padding. It stays as it
   * is until the unmap, whatever becomes of the buffers. Bytes in all.
   */
  private readonly layOut = (list: ScatterList, boundaryMask: number): number => {
    let total = 0
    for (let entry = 0; entry < list.entryCount; entry++) {
      const bytes = this.bytesOf(list, entry)
      const room = boundaryMask - (total % (boundaryMask + 1)) + 1
      if (entry > 0 && room < bytes && total % (boundaryMask + 1) !== 0) {
        list.setPadding(entry - 1, room)
        total += room
      }
      list.setPages(entry, bytes)
      total += bytes
    }
    return total
  }

  private readonly insert = (cpu: number): number => {
    const { context, reach, space } = this.backend
    const { allocator } = space
    const { calls, ends } = context
    const list = calls.lists[cpu]!
    const first = allocator.firsts[cpu]!
    const pages = this.pageCounts[cpu]!
    if (first === IOVA_NONE) {
      return ends.listFailed(cpu, this.backend.reasonFor(pages, this.alignments[cpu]!, reach))
    }
    const inserted = this.insertEntries(cpu, list, first, directionOfTag(calls.tags[cpu]!))
    if (inserted < list.entryCount) {
      if (inserted === 0) return allocator.beginFree(cpu, first, pages, this.givenUp)
      const cleared = this.removeEntries(cpu, list, first, inserted)
      return space.policy.beginRelease(cpu, first, pages, this.givenUp, cleared)
    }
    allocator.endAllocate(cpu)
    this.setSegments(list, this.backend.busAddrOf(first))
    return ends.listDone(cpu)
  }

  /** One insert for all neighbours that lie side by side in memory too; the entries before the refused one. */
  private readonly insertEntries = (cpu: number, list: ScatterList, first: number, direction: Direction): number => {
    const { pageBytes, space } = this.backend
    const { entryCount } = list
    let page = first
    let entry = 0
    while (entry < entryCount) {
      const start = entry
      const phys = list.physOf(start) - (list.physOf(start) & this.pageMask)
      let bytes = list.pagesBytesOf(entry)
      let padding = list.paddingBytesOf(entry)
      entry++
      while (padding === 0 && entry < entryCount && list.physOf(entry) === phys + bytes) {
        bytes += list.pagesBytesOf(entry)
        padding = list.paddingBytesOf(entry)
        entry++
      }
      if (space.table.insert(cpu, page, bytes / pageBytes, phys, direction) !== 0) return start
      page += (bytes + padding) / pageBytes
    }
    return entryCount
  }

  /** Clears the entries of the list's first buffers, in one go up to each padding; how many pages. */
  private readonly removeEntries = (cpu: number, list: ScatterList, first: number, entryCount: number): number => {
    const { pageBytes, space } = this.backend
    let page = first
    let bytes = 0
    let cleared = 0
    for (let entry = 0; entry < entryCount; entry++) {
      const padding = list.paddingBytesOf(entry)
      bytes += list.pagesBytesOf(entry)
      if (padding === 0 && entry + 1 < entryCount) continue
      space.table.remove(cpu, page, bytes / pageBytes)
      cleared += bytes / pageBytes
      page += (bytes + padding) / pageBytes
      bytes = 0
    }
    return cleared
  }

  private readonly setSegments = (list: ScatterList, start: BusAddr): void => {
    const { maxSegSizeBytes, segBoundaryMask } = this.backend.context.limits
    let at = start
    let segment = -1
    /** Bytes of the segment so far; 0 when nothing may follow. */
    let bytes = 0
    for (let entry = 0; entry < list.entryCount; entry++) {
      const offset = list.physOf(entry) & this.pageMask
      const sizeBytes = list.sizeBytesOf(entry)
      const isAtBoundary = at % (segBoundaryMask + 1) === 0
      if (bytes > 0 && offset === 0 && !isAtBoundary && bytes + sizeBytes <= maxSegSizeBytes) {
        bytes += sizeBytes
        list.setSegment(segment, list.busAddrOf(segment), bytes)
      } else {
        segment++
        bytes = sizeBytes
        list.setSegment(segment, at + offset, bytes)
      }
      const spanBytes = list.pagesBytesOf(entry) + list.paddingBytesOf(entry)
      at += spanBytes
      if (offset + sizeBytes < spanBytes) bytes = 0
    }
    list.segmentCount = segment + 1
  }

  readonly beginUnmapList = (cpu: number): number => {
    const { context, host, pageBytes, space, unmapOtherPs } = this.backend
    const list = context.calls.lists[cpu]!
    let bytes = 0
    for (let entry = 0; entry < list.entryCount; entry++) bytes += list.pagesBytesOf(entry) + list.paddingBytesOf(entry)
    if (unmapOtherPs > 0) host.spend(cpu, ACCOUNT_DMA_API, unmapOtherPs)
    this.firstPages[cpu] = this.backend.pageOf(list.busAddrOf(0))
    this.pageCounts[cpu] = bytes / pageBytes
    return space.allocator.beginRemove(cpu, this.removable)
  }

  private readonly remove = (cpu: number): number => {
    const { context, space } = this.backend
    const list = context.calls.lists[cpu]!
    const first = this.firstPages[cpu]!
    const cleared = this.removeEntries(cpu, list, first, list.entryCount)
    list.clear()
    return space.policy.beginRelease(cpu, first, this.pageCounts[cpu]!, context.calls.thens[cpu]!, cleared)
  }
}
