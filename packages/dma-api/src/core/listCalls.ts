/**
 * The calls of a device about scatter lists. A backend that can gives a list one range; for the others each entry
 * is mapped by itself here, none merged, and when one fails those before it are unmapped again.
 * [Linux 6.12 kernel/dma/mapping.c __dma_map_sg_attrs, direct.c dma_direct_map_sg]
 */
import { fail } from "@vnic/sim/core"
import { checkCall } from "./backend.ts"
import { checkMap } from "./device.ts"
import type { DeviceFront } from "./deviceFront.ts"
import { KIND_SG, tagOf } from "./mappings.ts"
import type { ScatterList } from "./scatterList.ts"
import { ATTR_SKIP_CPU_SYNC, EINVAL, EIO, ENOMEM, MAP_INVALID, MAP_OK, type BusAddr, type Direction } from "./types.ts"

/**
 * What dma_map_sgtable returns, by the reason of a failure. Behind an IOMMU whatever is not to be had is memory, bus
 * addresses below the mask too. [Linux 6.12 drivers/iommu/dma-iommu.c, kernel/dma/direct.c]
 */
const errorOf = (reason: number, isTable: boolean): number => {
  if (reason === MAP_INVALID) return -EINVAL
  return isTable ? -ENOMEM : -EIO
}

export class ListCalls {
  declare private readonly front: DeviceFront
  /** The entry that each CPU is at, and why its map failed (MAP_OK while it goes on). */
  declare private readonly at: Int32Array
  declare private readonly reasons: Int8Array
  /** Where a list's unmap goes on when its entries are unmapped one by one. */
  declare private readonly thens: Int32Array
  declare private readonly mapStep: number
  declare private readonly mapNext: number
  declare private readonly unmapStep: number
  declare private readonly unmapNext: number

  constructor(front: DeviceFront) {
    const { host } = front
    this.front = front
    this.at = new Int32Array(host.count)
    this.reasons = new Int8Array(host.count)
    this.thens = new Int32Array(host.count)
    this.mapStep = host.define("dma map list", (cpu) => this.map(cpu))
    this.mapNext = host.define("dma map list, next", (cpu) => this.mapEntry(cpu))
    this.unmapStep = host.define("dma unmap list", (cpu) => this.unmap(cpu))
    this.unmapNext = host.define("dma unmap list, next", (cpu) => this.unmapEntry(cpu))
  }

  readonly beginMapSg = (
    cpu: number,
    list: ScatterList,
    entryCount: number,
    direction: Direction,
    then: number,
    attributes = 0
  ): number => {
    this.setMap(cpu, list, entryCount, direction, attributes)
    this.front.calls.thens[cpu] = then
    return this.map(cpu)
  }

  readonly mapSg = (
    cpu: number,
    list: ScatterList,
    entryCount: number,
    direction: Direction,
    attributes = 0
  ): number => {
    const { calls, host, leaveStep } = this.front
    this.setMap(cpu, list, entryCount, direction, attributes)
    calls.thens[cpu] = leaveStep
    host.runAlone(cpu, this.mapStep)
    return list.segmentCount
  }

  readonly mapSgtable = (
    cpu: number,
    list: ScatterList,
    entryCount: number,
    direction: Direction,
    attributes = 0
  ): number => {
    if (this.mapSg(cpu, list, entryCount, direction, attributes) > 0) return 0
    return errorOf(this.front.failure[cpu]!, this.front.backend.isTable)
  }

  private readonly setMap = (
    cpu: number,
    list: ScatterList,
    entryCount: number,
    direction: Direction,
    attributes: number
  ): void => {
    const { calls } = this.front
    checkCall(calls, cpu)
    if ((entryCount | 0) !== entryCount || entryCount < 1 || entryCount > list.capacity)
      fail("a scatter list has no such entries")
    if (list.isMapped) fail("a scatter list was mapped twice")
    for (let entry = 0; entry < entryCount; entry++) checkMap(list.physOf(entry), list.sizeBytesOf(entry), direction)
    calls.lists[cpu] = list
    calls.entryCounts[cpu] = entryCount
    calls.tags[cpu] = tagOf(KIND_SG, direction)
    calls.attributes[cpu] = attributes
    list.entryCount = entryCount
    list.segmentCount = 0
    list.direction = direction
  }

  private readonly map = (cpu: number): number => {
    const { lists } = this.front.backend
    if (lists !== undefined) return lists.beginMapList(cpu)
    this.at[cpu] = 0
    this.reasons[cpu] = MAP_OK
    return this.mapEntry(cpu)
  }

  private readonly mapEntry = (cpu: number): number => {
    const { backend, calls } = this.front
    const list = calls.lists[cpu]!
    const entry = this.at[cpu]!
    if (entry === calls.entryCounts[cpu]!) {
      list.segmentCount = entry
      return this.front.listDone(cpu)
    }
    calls.phys[cpu] = list.physOf(entry)
    calls.sizes[cpu] = list.sizeBytesOf(entry)
    return backend.beginMap(cpu)
  }

  /** The backend has mapped an entry. */
  readonly entryMapped = (cpu: number, busAddr: BusAddr): number => {
    const entry = this.at[cpu]!
    this.front.calls.lists[cpu]!.setSegment(entry, busAddr, this.front.calls.sizes[cpu]!)
    this.at[cpu] = entry + 1
    return this.mapNext
  }

  /** It could not: the entries before are unmapped, without a copy of what the device never wrote. */
  readonly entryFailed = (cpu: number, reason: number): number => {
    const { calls } = this.front
    this.reasons[cpu] = reason
    this.thens[cpu] = calls.thens[cpu]!
    calls.attributes[cpu]! |= ATTR_SKIP_CPU_SYNC
    return this.unmapEntry(cpu)
  }

  readonly beginUnmapSg = (
    cpu: number,
    list: ScatterList,
    entryCount: number,
    direction: Direction,
    then: number,
    attributes = 0
  ): number => {
    if (!this.setUnmap(cpu, list, entryCount, direction, attributes)) return then
    this.front.calls.thens[cpu] = then
    return this.unmap(cpu)
  }

  readonly unmapSg = (
    cpu: number,
    list: ScatterList,
    entryCount: number,
    direction: Direction,
    attributes = 0
  ): void => {
    const { calls, host, leaveStep } = this.front
    if (!this.setUnmap(cpu, list, entryCount, direction, attributes)) return
    calls.thens[cpu] = leaveStep
    host.runAlone(cpu, this.unmapStep)
  }

  /** Says what is unmapped: the list as it was mapped, whatever the caller says now; false when it is not. */
  private readonly setUnmap = (
    cpu: number,
    list: ScatterList,
    entryCount: number,
    direction: Direction,
    attributes: number
  ): boolean => {
    const { calls, debug, debugId } = this.front
    const said = tagOf(KIND_SG, direction)
    checkCall(calls, cpu)
    calls.lists[cpu] = list
    const segments = debug?.unmappedList(debugId, cpu, list, entryCount, said) ?? list.segmentCount
    if (segments === 0) return false
    calls.entryCounts[cpu] = list.entryCount
    calls.tags[cpu] = tagOf(KIND_SG, list.direction)
    calls.attributes[cpu] = attributes
    this.front.countUnmap(list.direction)
    return true
  }

  private readonly unmap = (cpu: number): number => {
    const { backend, calls } = this.front
    if (backend.lists !== undefined) return backend.lists.beginUnmapList(cpu)
    this.at[cpu] = calls.entryCounts[cpu]!
    this.reasons[cpu] = MAP_OK
    this.thens[cpu] = calls.thens[cpu]!
    return this.unmapEntry(cpu)
  }

  /** Unmaps the entry before the one that the CPU is at. */
  private readonly unmapEntry = (cpu: number): number => {
    const { backend, calls } = this.front
    const list = calls.lists[cpu]!
    const entry = this.at[cpu]! - 1
    if (entry < 0) {
      calls.thens[cpu] = this.thens[cpu]!
      if (this.reasons[cpu] !== MAP_OK) return this.front.listFailed(cpu, this.reasons[cpu]!)
      list.clear()
      return calls.thens[cpu]!
    }
    this.at[cpu] = entry
    calls.bus[cpu] = list.busAddrOf(entry)
    calls.sizes[cpu] = list.busSizeBytesOf(entry)
    calls.thens[cpu] = this.unmapNext
    return backend.beginUnmap(cpu)
  }

  readonly syncSgForCpu = (cpu: number, list: ScatterList, entryCount: number, direction: Direction): void => {
    const { backend, calls, debug, debugId } = this.front
    checkCall(calls, cpu)
    debug?.syncedList(debugId, cpu, list, entryCount, direction, true)
    if (!backend.isSynced) return
    for (let segment = 0; segment < list.segmentCount; segment++) {
      backend.syncForCpu(cpu, list.busAddrOf(segment), list.busSizeBytesOf(segment), direction)
    }
  }

  readonly syncSgForDevice = (cpu: number, list: ScatterList, entryCount: number, direction: Direction): void => {
    const { backend, calls, debug, debugId } = this.front
    checkCall(calls, cpu)
    debug?.syncedList(debugId, cpu, list, entryCount, direction, false)
    if (!backend.isSynced) return
    for (let segment = 0; segment < list.segmentCount; segment++) {
      backend.syncForDevice(cpu, list.busAddrOf(segment), list.busSizeBytesOf(segment), direction)
    }
  }
}
