/** The two operations that are measured, through the DMA API or by the translation table alone. */
import type { DmaDevice, DmaTable } from "@vnic/dma-api"
import type * as Context from "effect/Context"

export type Device = DmaDevice["core"]
export type Table = Context.Service.Shape<typeof DmaTable>
export type Direction = Parameters<Device["mapSingle"]>[3]

/** A map and an unmap of a buffer, as parts of CPU programs. */
export interface Mapper {
  /** mapped[cpu]: the bus address of the CPU's last map, negative when it failed. */
  readonly mapped: Float64Array
  beginMap(cpu: number, phys: number, then: number): number
  beginUnmap(cpu: number, phys: number, busAddr: number, then: number): number
}

/** Of buffers of one size, through the DMA API. */
export const deviceMapper = (device: Device, sizeBytes: number, direction: Direction): Mapper => ({
  mapped: device.mapped,
  beginMap: (cpu, phys, then) => device.beginMapSingle(cpu, phys, sizeBytes, direction, then),
  beginUnmap: (cpu, _phys, busAddr, then) => device.beginUnmapSingle(cpu, busAddr, sizeBytes, direction, then)
})

/** Of buffers of one size, in the table alone: each at the page that has its physical address. */
export const tableMapper = (table: Table, cpuCount: number, sizeBytes: number, direction: Direction): Mapper => {
  const mapped = new Float64Array(cpuCount)
  const pageCount = sizeBytes / 2 ** table.pageShift
  const { invalidation } = table
  return {
    mapped,
    beginMap: (cpu, phys, then) => {
      mapped[cpu] = table.insert(cpu, phys >> table.pageShift, pageCount, phys, direction) === 0 ? phys : -1
      return then
    },
    beginUnmap: (cpu, phys, _busAddr, then) => {
      const page = phys >> table.pageShift
      table.remove(cpu, page, pageCount)
      return invalidation === undefined ? then : invalidation.beginPages(cpu, page, pageCount, then)
    }
  }
}
