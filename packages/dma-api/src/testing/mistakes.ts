/** Each thing that a driver can do wrong, on buffers of its own, done once. */
import type { FindingKind } from "../core/debugChecks.ts"
import type { DmaDebugOptions } from "../core/debugMappings.ts"
import { AREA_KERNEL, AREA_STACK, AREA_VMALLOC, makeMemoryMap, type MemoryArea } from "../core/memoryMap.ts"
import {
  ATTR_SKIP_CPU_SYNC,
  BIDIRECTIONAL,
  DMA_MAPPING_ERROR,
  FROM_DEVICE,
  TO_DEVICE,
  type Direction,
  type PhysAddr
} from "../core/types.ts"
import type { Buffer, Driver } from "./misbehavingDriver.ts"

type Mistake = (driver: Driver) => void

/** Memory that no driver may map lies above 2 GiB, so that it is no host's own, with room between. */
const AREA_BYTES = 65_536
const VMALLOC: PhysAddr = 2 ** 31
const STACK: PhysAddr = VMALLOC + 2 * AREA_BYTES
const KERNEL: PhysAddr = STACK + 2 * AREA_BYTES
const INVALID: PhysAddr = KERNEL + 2 * AREA_BYTES

const AREAS: ReadonlyArray<MemoryArea> = [
  { phys: VMALLOC, sizeBytes: AREA_BYTES, area: AREA_VMALLOC },
  { phys: STACK, sizeBytes: AREA_BYTES, area: AREA_STACK },
  { phys: KERNEL, sizeBytes: AREA_BYTES, area: AREA_KERNEL }
]

/** Live mappings at which the pool grows, or at which it ends: more than the driver has when it behaves. */
const ENTRIES = 48
const OVERLAPS = 8

/**
 * What DMA debug must be set to so that the mistake is one: a map with forbidden memory in it, and for two of them
 * small limits. With these settings, too, a driver that does everything right is never accused.
 */
export const debugOptionsFor = (mistake: FindingKind | undefined): DmaDebugOptions => ({
  memoryMap: makeMemoryMap(INVALID, AREAS),
  ...(mistake === "poolGrowth" ? { growthEvery: ENTRIES } : {}),
  ...(mistake === "entriesExhausted" ? { entriesMax: ENTRIES } : {})
})

/** A buffer that ends one byte inside of forbidden memory. */
const mapInto = (phys: PhysAddr) => (driver: Driver) => {
  driver.undo(driver.mapAt(phys, phys - 255, 256, FROM_DEVICE))
}

/** More buffers than there are entries, all of them given back. */
const mapMany = (driver: Driver): void => {
  const buffers = Array.from({ length: ENTRIES + 1 }, () => driver.map(FROM_DEVICE))
  for (const buffer of buffers) driver.unmap(buffer)
}

/** A list of one entry of two pages, under limits for which that is too much. */
const mapLongEntry = (driver: Driver): void => {
  driver.unmapList(driver.mapList(FROM_DEVICE, 1, 2 * driver.pages.pageSizeBytes))
}

/** Two buffers that share nothing but the last line of the first. */
const mapOverlapping = (driver: Driver): void => {
  const block = driver.page()
  const first = driver.mapAt(block, block, 520, FROM_DEVICE)
  const second = driver.mapAt(block, block + 528, 64, FROM_DEVICE)
  driver.undo(second)
  driver.unmap(first)
}

/** The same bytes again and again, for which the driver cares itself. */
const mapTooOften = (driver: Driver): void => {
  const block = driver.page()
  const buffers = Array.from({ length: OVERLAPS + 1 }, () =>
    driver.mapAt(block, block, 512, FROM_DEVICE, ATTR_SKIP_CPU_SYNC)
  )
  for (const buffer of buffers) driver.undo(buffer)
  driver.pages.free(block)
}

/** Mistakes in a map; in an unmap or its absence; in what happens between them or after them. */
type MapMistake =
  | "invalidMemory"
  | "vmallocMemory"
  | "stackMemory"
  | "kernelMemory"
  | "overlappingMappings"
  | "tooManyOverlaps"
  | "segmentTooLong"
  | "segmentAcrossBoundary"
  | "poolGrowth"
  | "entriesExhausted"
type UseMistake = Extract<FindingKind, `sync${string}` | "accessOutsideMapping">
type UnmapMistake = Exclude<FindingKind, MapMistake | UseMistake>

const mapping: Readonly<Record<MapMistake, Mistake>> = {
  invalidMemory: mapInto(INVALID),
  vmallocMemory: mapInto(VMALLOC),
  stackMemory: mapInto(STACK),
  kernelMemory: mapInto(KERNEL),
  overlappingMappings: mapOverlapping,
  tooManyOverlaps: mapTooOften,
  segmentTooLong: (driver) => {
    driver.device.dmaSetMaxSegSize(driver.pages.pageSizeBytes)
    mapLongEntry(driver)
    driver.device.dmaSetMaxSegSize(65_536)
  },
  segmentAcrossBoundary: (driver) => {
    driver.device.dmaSetSegBoundary(driver.pages.pageSizeBytes - 1)
    mapLongEntry(driver)
    driver.device.dmaSetSegBoundary(Number.MAX_SAFE_INTEGER)
  },
  poolGrowth: mapMany,
  entriesExhausted: mapMany
}

const unmapping: Readonly<Record<UnmapMistake, Mistake>> = {
  unmapOfError: ({ cpu, device }) => device.unmapSingle(cpu, DMA_MAPPING_ERROR, 64, FROM_DEVICE),
  unmapOfNothing: (driver) => {
    const buffer = driver.map(FROM_DEVICE)
    driver.undo(buffer)
    driver.unmap(buffer)
  },
  wrongSize: (driver) => {
    const buffer = driver.map(FROM_DEVICE)
    driver.unmap({ ...buffer, sizeBytes: buffer.sizeBytes + 4096 })
  },
  wrongKind: (driver) => {
    const block = driver.block()
    driver.device.unmapSingle(driver.cpu, block.busAddr, block.sizeBytes, BIDIRECTIONAL)
    driver.pages.free(block.phys)
  },
  wrongCpuAddress: (driver) => {
    const block = driver.block()
    driver.device.freeCoherent(driver.cpu, { ...block, phys: block.phys + driver.pages.pageSizeBytes })
  },
  wrongEntryCount: (driver) => {
    const buffers = driver.mapList(TO_DEVICE)
    driver.unmapList(buffers, buffers.blocks.length - 1)
  },
  wrongDirection: (driver) => {
    driver.unmap({ ...driver.map(FROM_DEVICE), direction: TO_DEVICE })
  },
  mappingErrorUnchecked: (driver) => {
    const { cpu, device, pages } = driver
    const phys = driver.page()
    device.unmapSingle(cpu, device.mapSingle(cpu, phys, 512, TO_DEVICE), 512, TO_DEVICE)
    pages.free(phys)
  },
  leak: (driver) => {
    driver.map(FROM_DEVICE)
  },
  pageFreedWhileMapped: (driver) => {
    const buffer = driver.map(TO_DEVICE)
    driver.pages.free(buffer.block)
    driver.undo(buffer)
  }
}

/** Does something with a buffer that is mapped, and unmaps it. */
const onBuffer =
  (direction: Direction, wrong: (driver: Driver, buffer: Buffer) => void): Mistake =>
  (driver) => {
    const buffer = driver.map(direction)
    wrong(driver, buffer)
    driver.unmap(buffer)
  }

/** Does something with the address of a buffer that is not mapped any more. */
const afterUnmap =
  (wrong: (driver: Driver, buffer: Buffer) => void): Mistake =>
  (driver) => {
    const buffer = driver.map(FROM_DEVICE)
    driver.undo(buffer)
    wrong(driver, buffer)
    driver.pages.free(buffer.block)
  }

const using: Readonly<Record<UseMistake, Mistake>> = {
  syncOutsideMapping: afterUnmap(({ cpu, device }, { busAddr, sizeBytes }) =>
    device.syncSingleForCpu(cpu, busAddr, sizeBytes, FROM_DEVICE)
  ),
  syncBeyondMapping: onBuffer(FROM_DEVICE, ({ cpu, device }, { busAddr, sizeBytes }) =>
    device.syncSingleForCpu(cpu, busAddr + 1, sizeBytes, FROM_DEVICE)
  ),
  syncWrongDirection: onBuffer(FROM_DEVICE, ({ cpu, device }, { busAddr, sizeBytes }) =>
    device.syncSingleForCpu(cpu, busAddr, sizeBytes, TO_DEVICE)
  ),
  syncReadOnlyForCpu: onBuffer(TO_DEVICE, ({ cpu, device }, { busAddr, sizeBytes }) =>
    device.syncSingleForCpu(cpu, busAddr, sizeBytes, FROM_DEVICE)
  ),
  syncWriteOnlyForDevice: onBuffer(FROM_DEVICE, ({ cpu, device }, { busAddr, sizeBytes }) =>
    device.syncSingleForDevice(cpu, busAddr, sizeBytes, TO_DEVICE)
  ),
  syncWrongEntryCount: (driver) => {
    const buffers = driver.mapList(FROM_DEVICE)
    driver.device.syncSgForCpu(driver.cpu, buffers.list, buffers.blocks.length - 1, FROM_DEVICE)
    driver.unmapList(buffers)
  },
  accessOutsideMapping: afterUnmap(({ device }, { busAddr, sizeBytes }) =>
    device.accessed(busAddr, sizeBytes, FROM_DEVICE, 0)
  )
}

/** What each mistake does. */
export const MISTAKES: Readonly<Record<FindingKind, Mistake>> = { ...mapping, ...unmapping, ...using }
