/** A page allocator that tells of what it takes back: DMA debug then knows a page that is freed while it is mapped. */
import type { Pages, PhysAddr } from "./types.ts"

/** The same pages; `freed` is told of every block before it goes. */
export function watchPages(pages: Pages, freed: (phys: PhysAddr, sizeBytes: number) => void): Pages {
  const orders = new Map<PhysAddr, number>()
  return {
    pageSizeBytes: pages.pageSizeBytes,
    orderFor: (sizeBytes) => pages.orderFor(sizeBytes),
    allocate: (order) => {
      const phys = pages.allocate(order)
      if (phys >= 0) orders.set(phys, order)
      return phys
    },
    free: (phys) => {
      freed(phys, pages.pageSizeBytes * 2 ** (orders.get(phys) ?? 0))
      orders.delete(phys)
      pages.free(phys)
    }
  }
}
