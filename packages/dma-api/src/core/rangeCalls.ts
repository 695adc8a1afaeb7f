/** The calls of a device about ranges of bus addresses (dma_iova_…): arguments, debug and counters. */
import { assert, fail } from "@vnic/sim/core"
import { checkCall } from "./backend.ts"
import { checkMap, type Device } from "./device.ts"
import type { DeviceFront } from "./deviceFront.ts"
import type { IovaRange } from "./iovaRange.ts"
import { KIND_LINK, tagOf } from "./mappings.ts"
import {
  BIDIRECTIONAL,
  EIO,
  ENOMEM,
  MAP_INVALID,
  MAP_OK,
  type BusAddr,
  type Direction,
  type PhysAddr
} from "./types.ts"

export class RangeCalls {
  declare private readonly front: DeviceFront
  /** What the last link of each CPU came to, a MAP number. */
  declare private readonly linkReasons: Int8Array
  /** What goes on when the CPU's range is allocated and debug knows it. */
  declare private readonly thens: Int32Array
  declare private readonly allocateStep: number
  declare private readonly allocated: number
  declare private readonly linkStep: number
  declare private readonly unlinkStep: number
  declare private readonly destroyStep: number

  constructor(front: DeviceFront) {
    const { host } = front
    this.front = front
    this.linkReasons = new Int8Array(host.count)
    this.thens = new Int32Array(host.count)
    this.allocated = host.define("dma range: known", (cpu) => this.tellAllocated(cpu))
    this.allocateStep = host.define("dma range: allocate", (cpu) => front.backend.ranges!.beginAllocate(cpu))
    this.linkStep = host.define("dma range: link", (cpu) => {
      this.linkReasons[cpu] = front.backend.ranges!.link(cpu)
      return host.leave(cpu)
    })
    this.unlinkStep = host.define("dma range: unlink", (cpu) => front.backend.ranges!.beginUnlink(cpu))
    this.destroyStep = host.define("dma range: destroy", (cpu) => front.backend.ranges!.beginDestroy(cpu))
  }

  readonly dmaIovaTryAlloc: Device["dmaIovaTryAlloc"] = (cpu, range, phys, sizeBytes) => {
    const { host, leaveStep } = this.front
    if (!this.setAllocate(cpu, range, phys, sizeBytes, leaveStep)) return false
    host.runAlone(cpu, this.allocateStep)
    return range.sizeBytes > 0
  }

  readonly beginDmaIovaTryAlloc: Device["beginDmaIovaTryAlloc"] = (cpu, range, phys, sizeBytes, then) => {
    if (!this.setAllocate(cpu, range, phys, sizeBytes, then)) return then
    return this.front.backend.ranges!.beginAllocate(cpu)
  }

  /** False when the backend has no ranges: the caller maps piece by piece then. */
  private readonly setAllocate = (
    cpu: number,
    range: IovaRange,
    phys: PhysAddr,
    sizeBytes: number,
    then: number
  ): boolean => {
    const { backend, calls } = this.front
    checkCall(calls, cpu)
    assert(range.sizeBytes === 0, "a range of bus addresses was allocated twice")
    checkMap(phys, sizeBytes, BIDIRECTIONAL)
    if (backend.ranges === undefined) {
      this.front.failure[cpu] = MAP_OK
      return false
    }
    this.front.setMap(cpu, phys, sizeBytes, tagOf(KIND_LINK, BIDIRECTIONAL), 0)
    calls.ranges[cpu] = range
    calls.thens[cpu] = this.allocated
    this.thens[cpu] = then
    return true
  }

  private readonly tellAllocated = (cpu: number): number => {
    const { calls, debug, debugId } = this.front
    const range = calls.ranges[cpu]!
    if (range.sizeBytes > 0) {
      range.device = this.front
      this.front.noteMapped(cpu, range.busAddr)
      debug?.rangeAllocated(debugId, cpu, range)
    }
    return this.thens[cpu]!
  }

  readonly dmaIovaLink: Device["dmaIovaLink"] = (
    cpu,
    range,
    phys,
    offsetBytes,
    sizeBytes,
    direction,
    attributes = 0
  ) => {
    const { debug, debugId } = this.front
    const busAddr = range.busAddr + offsetBytes
    const tag = tagOf(KIND_LINK, direction)
    checkMap(phys, sizeBytes, direction)
    this.front.setMap(cpu, phys, sizeBytes, tag, attributes)
    this.checkOwn(range)
    const reason = range.hasRoom(offsetBytes, sizeBytes) ? this.link(cpu, range, busAddr) : MAP_INVALID
    if (reason !== MAP_OK) {
      this.front.noteFailure(cpu, reason)
      return reason === MAP_INVALID ? -EIO : -ENOMEM
    }
    range.linkOffsets.push(offsetBytes)
    range.linkSizes.push(sizeBytes)
    range.linkDirections.push(direction)
    this.front.noteMapped(cpu, busAddr)
    this.front.countMap(direction)
    debug?.mapped(debugId, cpu, busAddr, phys, sizeBytes, tag, attributes)
    return 0
  }

  /** Links what the CPU's call says; MAP_OK or why not. */
  private readonly link = (cpu: number, range: IovaRange, busAddr: BusAddr): number => {
    const { calls, host } = this.front
    calls.ranges[cpu] = range
    calls.bus[cpu] = busAddr
    host.runAlone(cpu, this.linkStep)
    return this.linkReasons[cpu]!
  }

  /** One that is allocated is of use to its own device alone. */
  private readonly checkOwn = (range: IovaRange): void => {
    if (range.sizeBytes > 0 && range.device !== this.front) fail("a range of bus addresses is another device's")
  }

  readonly dmaIovaSync: Device["dmaIovaSync"] = () => {
    return 0
  }

  readonly dmaIovaUnlink: Device["dmaIovaUnlink"] = (cpu, range, offsetBytes, sizeBytes, direction) => {
    const { host, leaveStep } = this.front
    this.setUnlink(cpu, range, offsetBytes, sizeBytes, direction, leaveStep)
    host.runAlone(cpu, this.unlinkStep)
  }

  readonly beginDmaIovaUnlink: Device["beginDmaIovaUnlink"] = (cpu, range, offsetBytes, sizeBytes, direction, then) => {
    this.setUnlink(cpu, range, offsetBytes, sizeBytes, direction, then)
    return this.front.backend.ranges!.beginUnlink(cpu)
  }

  private readonly setUnlink = (
    cpu: number,
    range: IovaRange,
    offsetBytes: number,
    sizeBytes: number,
    direction: Direction,
    then: number
  ): void => {
    const { calls } = this.front
    checkCall(calls, cpu)
    this.checkOwn(range)
    assert(range.sizeBytes > 0, "memory was unlinked from a range of bus addresses that is not allocated")
    assert(range.holds(offsetBytes, sizeBytes), "memory was unlinked from outside of a range of bus addresses")
    assert(!range.isCut(offsetBytes, sizeBytes), "an unlink that does not end where a link does")
    calls.ranges[cpu] = range
    calls.bus[cpu] = range.busAddr + offsetBytes
    calls.sizes[cpu] = sizeBytes
    calls.thens[cpu] = then
    this.tellUnlinked(cpu, range, offsetBytes, sizeBytes, direction)
  }

  readonly dmaIovaFree: Device["dmaIovaFree"] = (cpu, range) => {
    const { host, leaveStep } = this.front
    this.setFree(cpu, range, leaveStep)
    host.runAlone(cpu, this.destroyStep)
  }

  readonly beginDmaIovaFree: Device["beginDmaIovaFree"] = (cpu, range, then) => {
    this.setFree(cpu, range, then)
    return this.front.backend.ranges!.beginDestroy(cpu)
  }

  private readonly setFree = (cpu: number, range: IovaRange, then: number): void => {
    checkCall(this.front.calls, cpu)
    this.checkOwn(range)
    assert(range.sizeBytes > 0, "a range of bus addresses was freed that was not allocated")
    assert(range.linkOffsets.length === 0, "a range of bus addresses was freed with memory linked to it")
    this.setGone(cpu, range, then)
  }

  readonly dmaIovaDestroy: Device["dmaIovaDestroy"] = (cpu, range, mappedBytes, direction) => {
    const { host, leaveStep } = this.front
    this.setDestroy(cpu, range, mappedBytes, direction)
    this.setGone(cpu, range, leaveStep)
    host.runAlone(cpu, this.destroyStep)
  }

  readonly beginDmaIovaDestroy: Device["beginDmaIovaDestroy"] = (cpu, range, mappedBytes, direction, then) => {
    this.setDestroy(cpu, range, mappedBytes, direction)
    this.setGone(cpu, range, then)
    return this.front.backend.ranges!.beginDestroy(cpu)
  }

  private readonly setGone = (cpu: number, range: IovaRange, then: number): void => {
    const { calls, debug, debugId } = this.front
    calls.ranges[cpu] = range
    calls.thens[cpu] = then
    debug?.rangeFreed(debugId, range)
  }

  private readonly setDestroy = (cpu: number, range: IovaRange, mappedBytes: number, direction: Direction): void => {
    checkCall(this.front.calls, cpu)
    this.checkOwn(range)
    assert(range.sizeBytes > 0, "a range of bus addresses was freed that was not allocated")
    assert(range.holds(0, mappedBytes), "more of a range of bus addresses was destroyed than there is")
    const { linkOffsets, linkSizes } = range
    for (let link = 0; link < linkOffsets.length; link++) {
      if (linkOffsets[link]! + linkSizes[link]! > mappedBytes) assert(false, "a range was destroyed with links left")
    }
    this.tellUnlinked(cpu, range, 0, mappedBytes, direction)
  }

  /** Tells debug of every link that lies in these bytes, or that none does, and counts them out as they were made. */
  private readonly tellUnlinked = (
    cpu: number,
    range: IovaRange,
    offsetBytes: number,
    sizeBytes: number,
    direction: Direction
  ): void => {
    const { debug, debugId } = this.front
    const { busAddr, linkDirections, linkOffsets, linkSizes } = range
    const end = offsetBytes + sizeBytes
    const said = tagOf(KIND_LINK, direction)
    let isAny = false
    for (let link = 0; link < linkOffsets.length; link++) {
      const at = linkOffsets[link]!
      const linkBytes = linkSizes[link]!
      if (at + linkBytes <= offsetBytes || at >= end) continue
      this.front.countUnmap(linkDirections[link]!)
      debug?.unmapped(debugId, cpu, busAddr + at, linkBytes, said)
      isAny = true
    }
    if (!isAny && sizeBytes > 0) debug?.unmapped(debugId, cpu, busAddr + offsetBytes, sizeBytes, said)
  }
}
