/** A device that reads and writes host memory by bus addresses, whatever the backend. */
import { makePageAllocator } from "@vnic/sim/core"
import {
  makeDmaApi,
  makePlainHost,
  type BackendName,
  type BusAddr,
  type Device,
  type DmaApi,
  type DmaApiOptions
} from "@vnic/dma-api/core"
import { FlatTable } from "@vnic/dma-api/testing"
import { MASK_32, MEMORY_BYTES, PAGE_BYTES } from "./setup.ts"

/** Where bus addresses begin behind a table, so that none is a physical one. */
export const WINDOW_START = 0x1000_0000

export interface MemoryWorld {
  readonly dma: DmaApi
  readonly device: Device
  readonly bytes: Uint8Array
  readonly table: FlatTable
  readonly pages: ReturnType<typeof makePageAllocator>
  readonly read: (busAddr: BusAddr, sizeBytes: number) => ReadonlyArray<number>
  readonly write: (busAddr: BusAddr, values: ReadonlyArray<number>) => void
}

/** A megabyte of memory, all 0xa5, whose lower half, or more of it, is the page allocator's. */
export function memoryWorld(
  backend: BackendName,
  changes: Partial<DmaApiOptions> = {},
  allocatorBytes = MEMORY_BYTES / 2
): MemoryWorld {
  const bytes = new Uint8Array(MEMORY_BYTES).fill(0xa5)
  const table = new FlatTable({ windowStart: WINDOW_START })
  const pages = makePageAllocator(allocatorBytes, PAGE_BYTES)
  const dma = makeDmaApi({ backend, host: makePlainHost(), pages, bytes, table, ...changes })
  const device = dma.attach("disk0", MASK_32)
  const isTranslated = backend === "iommu" || backend === "window"
  const at = (busAddr: BusAddr): number => (isTranslated ? table.translate(busAddr)! : busAddr)
  return {
    dma,
    device,
    bytes,
    table,
    pages,
    read: (busAddr, sizeBytes) => Array.from({ length: sizeBytes }, (_, index) => bytes[at(busAddr + index)]!),
    write: (busAddr, values) => values.forEach((value, index) => void (bytes[at(busAddr + index)] = value))
  }
}
