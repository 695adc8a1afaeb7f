/**
 * Ranges of bus addresses behind an IOMMU: allocated without memory, then linked to it piece by piece.
 * [Linux 6.19 drivers/iommu/dma-iommu.c dma_iova_try_alloc, dma_iova_link, dma_iova_unlink, dma_iova_destroy]
 */
import { ACCOUNT_DMA_API } from "@vnic/sim/core"
import type { RangeBackend } from "./backend.ts"
import type { IommuBackend } from "./iommuBackend.ts"
import { IOVA_NONE } from "./iova/allocator.ts"
import type { IovaRange } from "./iovaRange.ts"
import { directionOfTag } from "./mappings.ts"
import { MAP_INVALID, MAP_OK, MAP_TABLE_REFUSED } from "./types.ts"

export class IommuRanges implements RangeBackend {
  declare private readonly backend: IommuBackend
  declare private readonly pageMask: number
  declare private readonly allocated: number
  declare private readonly destroyable: number

  constructor(backend: IommuBackend) {
    const { host } = backend
    this.backend = backend
    this.pageMask = backend.pageBytes - 1
    this.allocated = host.define("dma range: allocated", (cpu) => this.set(cpu))
    this.destroyable = host.define("dma range: remove", (cpu) => this.destroy(cpu))
  }

  readonly beginAllocate = (cpu: number): number => {
    const { context, host, isRefusing, mapOtherPs, reach, space } = this.backend
    const { calls, ends } = context
    if (isRefusing) return ends.mapFailed(cpu, MAP_INVALID)
    if (mapOtherPs > 0) host.spend(cpu, ACCOUNT_DMA_API, mapOtherPs)
    const pages = this.pagesOf(calls.phys[cpu]!, calls.sizes[cpu]!)
    return space.allocator.beginAllocate(cpu, pages, this.backend.alignmentFor(pages), reach, -1, this.allocated)
  }

  private readonly pagesOf = (address: number, sizeBytes: number): number => {
    return ((address & this.pageMask) + sizeBytes + this.pageMask) >>> this.backend.pageShift
  }

  private readonly set = (cpu: number): number => {
    const { context, reach, space } = this.backend
    const { calls, ends } = context
    const phys = calls.phys[cpu]!
    const sizeBytes = calls.sizes[cpu]!
    const first = space.allocator.firsts[cpu]!
    if (first === IOVA_NONE) {
      const pages = this.pagesOf(phys, sizeBytes)
      return ends.mapFailed(cpu, this.backend.reasonFor(pages, this.backend.alignmentFor(pages), reach))
    }
    space.allocator.endAllocate(cpu)
    calls.ranges[cpu]!.set(this.backend.busAddrOf(first) + (phys & this.pageMask), sizeBytes)
    return calls.thens[cpu]!
  }

  readonly link = (cpu: number): number => {
    const { context, space } = this.backend
    const { calls } = context
    const phys = calls.phys[cpu]!
    const busAddr = calls.bus[cpu]!
    const offset = phys & this.pageMask
    const isFirst = busAddr === calls.ranges[cpu]!.busAddr
    if (offset !== (busAddr & this.pageMask) || (offset !== 0 && !isFirst)) return MAP_INVALID
    const pages = this.pagesOf(phys, calls.sizes[cpu]!)
    const direction = directionOfTag(calls.tags[cpu]!)
    const refusal = space.table.insert(cpu, this.backend.pageOf(busAddr), pages, phys - offset, direction)
    return refusal === 0 ? MAP_OK : MAP_TABLE_REFUSED
  }

  /** The range stays allocated: its allocator is not asked. */
  readonly beginUnlink = (cpu: number): number => {
    const { context, space } = this.backend
    const { calls } = context
    const range = calls.ranges[cpu]!
    const busAddr = calls.bus[cpu]!
    const sizeBytes = calls.sizes[cpu]!
    const then = calls.thens[cpu]!
    const cleared = this.removeLinks(cpu, range, busAddr - range.busAddr, sizeBytes)
    if (cleared === 0) return then
    return space.flushNow(cpu, this.backend.pageOf(busAddr), this.pagesOf(busAddr, sizeBytes), then, cleared)
  }

  readonly beginDestroy = (cpu: number): number => {
    const { host, space, unmapOtherPs } = this.backend
    if (unmapOtherPs > 0) host.spend(cpu, ACCOUNT_DMA_API, unmapOtherPs)
    return space.allocator.beginRemove(cpu, this.destroyable)
  }

  private readonly destroy = (cpu: number): number => {
    const { context, space } = this.backend
    const range = context.calls.ranges[cpu]!
    const first = this.backend.pageOf(range.busAddr)
    const pages = this.pagesOf(range.busAddr, range.sizeBytes)
    const cleared = this.removeLinks(cpu, range, 0, range.sizeBytes)
    range.set(-1, 0)
    const then = context.calls.thens[cpu]!
    if (cleared === 0) return space.allocator.beginFree(cpu, first, pages, then)
    return space.policy.beginRelease(cpu, first, pages, then, cleared)
  }

  /** Clears the entries of the links in a part of the range, neighbours together, and forgets them; how many pages. */
  private readonly removeLinks = (cpu: number, range: IovaRange, offsetBytes: number, sizeBytes: number): number => {
    const { linkDirections, linkOffsets, linkSizes } = range
    const { table } = this.backend.space
    let kept = 0
    let page = 0
    let pages = 0
    let cleared = 0
    for (let link = 0; link < linkOffsets.length; link++) {
      const at = linkOffsets[link]!
      const linkBytes = linkSizes[link]!
      if (at < offsetBytes || at >= offsetBytes + sizeBytes) {
        linkOffsets[kept] = at
        linkDirections[kept] = linkDirections[link]!
        linkSizes[kept++] = linkBytes
        continue
      }
      const from = this.backend.pageOf(range.busAddr + at)
      if (pages > 0 && from !== page + pages) {
        table.remove(cpu, page, pages)
        cleared += pages
        pages = 0
      }
      if (pages === 0) page = from
      pages += this.pagesOf(range.busAddr + at, linkBytes)
    }
    if (pages > 0) table.remove(cpu, page, pages)
    linkOffsets.length = kept
    linkSizes.length = kept
    linkDirections.length = kept
    return cleared + pages
  }
}
