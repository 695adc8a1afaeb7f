import {
  FRAME_SLOT_BYTES,
  type FramePool,
  makeFramePool,
  makeMemory,
  makeTimeline,
  type Memory,
  type Timeline
} from "@vnic/sim/core"
import { type BusConstants, LINK_UP_PS, makeNicDevice, type NicDevice } from "../core/index.ts"
import { type FlatBusMaster, flatBusMaster } from "./flatBusMaster.ts"
import { type RecordingInterrupts, recordingInterrupts, type RecordingPhy, recordingPhy } from "./recordingPhy.ts"
import { makeScriptedDriver, type ScriptedDriver } from "./scriptedDriver.ts"

/** PCIe gen2 x8 and a memory 600 ns away. */
export const BENCH_BUS: BusConstants = {
  busRate: 32_000_000_000,
  busPayloadMax: 256,
  busReadRequestMax: 512,
  busWriteHeader: 24,
  busReadHeader: 24,
  busCompletionHeader: 20,
  dmaReadLatency: 600_000,
  dmaWriteLatency: 300_000
}

/** What a bench may be built differently with. */
export interface DeviceBenchOptions {
  readonly hostSizeBytes?: number
  readonly bus?: BusConstants
  /** Frames alive at once. A device can hold up to PACKET_BUFFER_FRAMES_MAX of them, and as many again to send. */
  readonly frameCount?: number
}

/** Storage outside the host's memory for whoever drives the bench. */
const OUTSIDE_BYTES = 65536

/** A device on flat memory with doubles all around it. */
export interface DeviceBench {
  readonly timeline: Timeline
  readonly memory: Memory
  readonly frames: FramePool
  readonly busMaster: FlatBusMaster
  readonly phy: RecordingPhy
  readonly interrupts: RecordingInterrupts
  readonly device: NicDevice
  readonly driver: ScriptedDriver
  /** Lets the world run on for a while. */
  readonly run: (durationPs: number) => void
  /** A frame of these bytes in the pool. */
  readonly frame: (bytes: ArrayLike<number>) => number
}

/** Builds a device, and a driver that has done nothing yet. */
export function makeDeviceBench(settings: DeviceBenchOptions = {}): DeviceBench {
  const { bus = BENCH_BUS, frameCount = 256, hostSizeBytes = 1 << 23 } = settings
  const timeline = makeTimeline()
  const memory = makeMemory(hostSizeBytes, frameCount * FRAME_SLOT_BYTES + OUTSIDE_BYTES)
  const frames = makeFramePool(memory, frameCount)
  const busMaster = flatBusMaster(memory, frames)
  const phy = recordingPhy(timeline, frames)
  const interrupts = recordingInterrupts(timeline)
  const options = { timeline, memory, frames, bus, rateBitsPerSecond: 10e9 }
  const device = makeNicDevice(options, { busMaster, interrupts, phy })
  const run = (durationPs: number): void => {
    timeline.runUntil(timeline.nowPs + durationPs, Infinity)
  }
  const port = {
    read: (offset: number) => device.readRegister(offset),
    write: (offset: number, value: number) => device.writeRegister(offset, value),
    delay: run
  }
  const frame = (bytes: ArrayLike<number>): number => {
    const handle = frames.allocate()
    memory.bytes.set(bytes, frames.headOffset(handle))
    frames.headBytes[handle] = bytes.length
    return handle
  }
  const driver = makeScriptedDriver(port, memory)
  return { timeline, memory, frames, busMaster, phy, interrupts, device, driver, run, frame }
}

/** Brings the bench's device up, link included. */
export function bringUp(bench: DeviceBench): void {
  bench.driver.bringUp()
  bench.run(LINK_UP_PS)
  bench.driver.awaitLink()
}
