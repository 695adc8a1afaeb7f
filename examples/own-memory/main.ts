/** dma-api on memory, pages and a translation table of one's own: no simulator, no emulated IOMMU. */
import { Dma, DmaHost, DmaTable } from "@vnic/dma-api"
import { DMA_API_DEFAULTS, FROM_DEVICE, makePlainHost } from "@vnic/dma-api/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const PAGE = 4096
const bytes = new Uint8Array(64 * PAGE)
const free = Array.from({ length: 32 }, (_, index) => (63 - index) * PAGE)
export const pages = {
  pageSizeBytes: PAGE,
  orderFor: (sizeBytes: number) => Math.ceil(Math.log2(Math.max(1, sizeBytes / PAGE))),
  allocate: (order: number) => (order === 0 ? (free.pop() ?? -1) : -1), // single pages, no larger blocks
  free: (phys: number) => void free.push(phys)
}
const translations = new Map<number, number>()
const table = {
  pageShift: 12,
  windowStart: 0x1_0000,
  pageCount: 256,
  insert: (_cpu: number, page: number, count: number, phys: number) => {
    for (let at = 0; at < count; at++) translations.set(page + at, phys + at * PAGE)
    return 0
  },
  remove: (_cpu: number, page: number, count: number) => {
    for (let at = 0; at < count; at++) translations.delete(page + at)
  }
}
const host = Layer.succeed(DmaHost, { host: makePlainHost(), pages, bytes })
const ports = Layer.merge(host, Layer.succeed(DmaTable, table))
export const program = Effect.gen(function* () {
  const disk = yield* (yield* Dma).attach({ name: "disk0", dmaMask: 2 ** 32 - 1 })
  const { busAddr } = yield* disk.mapSingle(0x2040, 512, FROM_DEVICE)
  const phys = translations.get(((busAddr - table.windowStart) / PAGE) | 0)! + (busAddr % PAGE)
  bytes.fill(0xa5, phys, phys + 512) // what the device would do
  return { busAddr, arrived: bytes[0x2040 + 511], live: translations.size }
}).pipe(Effect.scoped, Effect.provide(Layer.provide(Dma.layer({ backend: "iommu", ...DMA_API_DEFAULTS }), ports)))

console.log(await Effect.runPromise(program), translations.size) // { busAddr: 65600, arrived: 165, live: 1 } 0
