/**
 * The only file in which packages are joined: each port that one declares is given here what another offers. The device
 * is built before the link and the driver that it calls, so those two are named to it afterwards, by `Joints`.
 */
import { Dma, type DmaDevice, DmaHost, DmaTable } from "@vnic/dma-api"
import { DmaPort, RegisterWindow, StackPort, type NicDriverShape } from "@vnic/driver"
import { Iommu } from "@vnic/iommu"
import { HostStack, type Application } from "@vnic/net-stack"
import { BusMaster, Interrupts, NicDevice, Phy } from "@vnic/nic-device"
import { Simulation, type SimulationCore } from "@vnic/sim"
import { Wire, type TrafficCore } from "@vnic/traffic"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { RegisterWrites } from "./RegisterWrites.ts"

/** The name of the one device in reports. */
const DEVICE_NAME = "nic0"
/** The 82599 addresses 64 bits; its driver asks for 32 here, the window that every pseries has. */
const DMA_MASK = 2 ** 32 - 1
/** Interrupt messages that can be under way at once. */
const MESSAGES_MAX = 4096
/** Groups of register writes that can be: more than one for each frame of the largest rings. */
const REGISTER_WRITES_MAX = 1 << 20
const BOOT_CPU = 0

type Driver = NicDriverShape["core"]

/** What the device calls and what is built after it. */
export class JointsState {
  link: TrafficCore["link"] | undefined
  driver: Driver | undefined
  dmaDevice: DmaDevice["core"] | undefined
}

export class Joints extends Context.Service<Joints, JointsState>()("@vnic/lab/Joints") {
  static readonly layer = Layer.sync(this, () => new JointsState())
}

/** dma-api: CPUs, pages and memory are the simulation's; the table is the CPUs' side of the IOMMU. */
const dmaHost = Layer.effect(
  DmaHost,
  Effect.map(Simulation, ({ core }) => ({
    host: core.cpus,
    pages: core.pages,
    // What lies behind is no memory of the host.
    bytes: core.memory.bytes.subarray(0, core.memory.hostSizeBytes)
  }))
)
const dmaTable = Layer.unwrap(
  Effect.map(Iommu, ({ core }) => (core.table === undefined ? DmaTable.layerNone : Layer.succeed(DmaTable, core.table)))
)

/** Directions of a mapping by what the device does, as dma-api numbers them. */
const READ_BY_DEVICE = 1
const WRITTEN_BY_DEVICE = 2

/** nic-device: memory through the IOMMU's door; with DMA debug every access must lie inside a live mapping. */
const busMaster = (isWatched: boolean) =>
  Layer.effect(
    BusMaster,
    Effect.gen(function* () {
      const iommu = yield* Iommu
      const { clock } = (yield* Simulation).core.timeline
      const joints = yield* Joints
      const port = (yield* iommu.attach(DEVICE_NAME)).core
      return isWatched ? watched(port, joints, clock) : port
    })
  )

type BusMasterPort = Context.Service.Shape<typeof BusMaster>

function watched(port: BusMasterPort, joints: JointsState, clock: Float64Array): BusMasterPort {
  const see = (busAddr: number, sizeBytes: number, direction: typeof READ_BY_DEVICE | typeof WRITTEN_BY_DEVICE): void =>
    joints.dmaDevice!.accessed(busAddr, sizeBytes, direction, clock[0]!)
  return {
    latencyPs: port.latencyPs,
    readWords: (busAddr, into, at, wordCount, tag) => {
      see(busAddr, wordCount * 4, READ_BY_DEVICE)
      return port.readWords(busAddr, into, at, wordCount, tag)
    },
    writeWords: (busAddr, from, at, wordCount, tag) => {
      see(busAddr, wordCount * 4, WRITTEN_BY_DEVICE)
      return port.writeWords(busAddr, from, at, wordCount, tag)
    },
    writeFrame: (busAddr, frame, from, sizeBytes, tag) => {
      see(busAddr, sizeBytes, WRITTEN_BY_DEVICE)
      return port.writeFrame(busAddr, frame, from, sizeBytes, tag)
    },
    readFrame: (busAddr, frame, sizeBytes, tag) => {
      see(busAddr, sizeBytes, READ_BY_DEVICE)
      return port.readFrame(busAddr, frame, sizeBytes, tag)
    }
  }
}

/** An interrupt message takes its time to the CPU. */
const interrupts = Layer.effect(
  Interrupts,
  Effect.gen(function* () {
    const { profile, timeline } = (yield* Simulation).core
    const joints = yield* Joints
    const latencyPs = profile.interruptLatency
    const lane = timeline.addLane("interrupt", (queue) => joints.driver!.napi.interrupt(queue), MESSAGES_MAX)
    return {
      raise: (vector: number) => {
        timeline.push(lane, timeline.clock[0]! + latencyPs, vector)
      }
    }
  })
)

const phy = Layer.effect(
  Phy,
  Effect.map(Joints, (joints) => {
    const departPs = new Float64Array(1)
    return {
      departPs,
      transmit: (frame: number) => {
        joints.link!.transmit(frame)
        departPs[0] = joints.link!.departPs[0]!
      }
    }
  })
)

/** Ports of the packages below the device. */
export const dmaPorts = Layer.mergeAll(dmaHost, dmaTable)
/** Ports of the device. */
export const devicePorts = (isWatched: boolean) => Layer.mergeAll(busMaster(isWatched), interrupts, phy)

/** traffic: frames reach the device, whose own hash says which queue they take. */
export const wire = Layer.effect(
  Wire,
  Effect.map(NicDevice, ({ core }) => ({
    deliver: (frame: number) => core.frameArrived(frame),
    receiveQueueOf: (sourceIp: number, destinationIp: number, sourcePort: number, destinationPort: number) =>
      core.receiveQueueOf(sourceIp, destinationIp, sourcePort, destinationPort),
    queueOfFrame: (frame: number) => core.queueOfFrame(frame)
  }))
)

/** net-stack: what arrives goes to the traffic's sink, which knows what was sent. */
export function applicationOf({ frameSink, streamSink }: TrafficCore): Application {
  const sink = streamSink ?? frameSink!
  return {
    nowPs: sink.nowPs,
    deliverStream: (stream, offset, payloadBytes, newBytes, phys0, bytes0, phys1, bytes1) =>
      streamSink!.deliverStream(stream, offset, payloadBytes, newBytes, phys0, bytes0, phys1, bytes1),
    deliverFrame: (queue, phys0, bytes0, phys1, bytes1) => frameSink!.deliverFrame(queue, phys0, bytes0, phys1, bytes1),
    deliverForeign: () => sink.deliverForeign()
  }
}

/** driver: registers by way of the bus. */
const registers = Layer.effect(
  RegisterWindow,
  Effect.gen(function* () {
    const { core } = yield* NicDevice
    return makeRegisterWindow((yield* Simulation).core, core)
  })
)

/**
 * MODEL: the register writes of one poll reach the device together, when the last of them does: they are
 * some hundred nanoseconds apart, and one event a poll is cheaper than one a write.
 */
function makeRegisterWindow(
  { cpus, profile, timeline }: SimulationCore,
  device: { readRegister(offset: number): number; writeRegister(offset: number, value: number): void }
) {
  const writes = Array.from({ length: cpus.count }, () => new RegisterWrites())
  const latencyPs = profile.mmioLatency
  const lane = timeline.addLane("register writes", (cpu) => writes[cpu]!.arrive(device), REGISTER_WRITES_MAX)
  const runTo = (timePs: number): void => {
    while (timeline.nowPs < timePs) timeline.runUntil(timePs, Infinity)
  }
  // The boot CPU's own time is ahead of the world's after it has worked alone.
  const catchUp = (): void => runTo(cpus.localPs[BOOT_CPU]!)
  return {
    read: (offset: number): number => {
      catchUp()
      return device.readRegister(offset)
    },
    write: (offset: number, value: number): void => {
      catchUp()
      device.writeRegister(offset, value)
    },
    post: (cpu: number, offset: number, value: number): void => writes[cpu]!.add(offset, value),
    ring: (cpu: number): void => {
      if (writes[cpu]!.endGroup()) timeline.push(lane, cpus.localPs[cpu]! + latencyPs, cpu)
    },
    delay: (durationPs: number): void => {
      catchUp()
      runTo(timeline.nowPs + durationPs)
    }
  }
}

const dmaDevice = Layer.effect(
  DmaPort,
  Effect.gen(function* () {
    const joints = yield* Joints
    const dma = yield* Dma
    const { debug } = dma.core
    const { pages } = (yield* Simulation).core
    const device = yield* dma.attach({ name: DEVICE_NAME, dmaMask: DMA_MASK })
    if (debug !== undefined) pages.freed = (phys, sizeBytes) => debug.pageFreed(phys, sizeBytes)
    joints.dmaDevice = device.core
    return device.core
  })
)

const stackPort = Layer.effect(
  StackPort,
  Effect.map(HostStack, ({ core }) => core)
)

/** Ports of the driver. */
export const driverPorts = Layer.mergeAll(registers, dmaDevice, stackPort)
