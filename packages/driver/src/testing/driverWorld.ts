/** A small world around a driver: CPUs, memory and the DMA API are real, the device and the stack are doubles. */
import {
  makeDmaApi,
  type BackendName,
  type Device,
  type DmaApi,
  type Finding,
  type LockAcrossTableWrite
} from "@vnic/dma-api/core"
import { FlatTable } from "@vnic/dma-api/testing"
import { fail, makeSimulation, NEVER_PS, PROFILES, profileValues, type SimulationCore } from "@vnic/sim/core"
import { makeNetDriver, type NetDriver, type NetDriverOptions } from "../core/netDriver.ts"
import { driverCostsOf, type DriverWorld } from "../core/ports.ts"
import { RecordingStack } from "./recordingStack.ts"
import { ScriptedDevice } from "./scriptedDevice.ts"

/** What a test may change; the driver's own options are among it. */
export interface TestWorldOptions extends Partial<NetDriverOptions> {
  /** `iommu` when left out, with a table that is a Map. */
  readonly backend?: BackendName
  readonly lockAcrossTableWrite?: LockAcrossTableWrite
  readonly cpuCount?: number
  /** 64 KiB when left out. */
  readonly systemPageBytes?: number
  readonly hostMemoryBytes?: number
  /** A world that exists already; the three options before are its own then. */
  readonly simulation?: SimulationCore
}

/** A driver for one queue of 8 receive and 8 transmit descriptors. */
export const TEST_DRIVER_OPTIONS: NetDriverOptions = {
  strategy: "map-per-packet",
  queues: 1,
  rxDescriptors: 8,
  txDescriptors: 8,
  budget: 64,
  small: "copy",
  dropEnable: true,
  promiscuous: false,
  macAddress: [2, 0, 0, 0x82, 0x59, 0x90],
  interruptIntervalPs: 0
}

const MIB = 1024 * 1024
const DMA_MASK = 2 ** 32 - 1
const TABLE_ENTRIES = 16384
/** Far more than a test of a driver needs. */
const EVENTS_MAX = 10_000_000

/** What a driver that has shut down, or was never up, must leave behind: nothing. */
export const NOTHING_LEFT = { mappings: 0, tableEntries: 0, pages: 0, lentFrames: 0, findings: 0, faults: 0 }

export class TestWorld {
  readonly simulation: SimulationCore
  readonly dma: DmaApi
  readonly dmaDevice: Device
  readonly table: FlatTable
  readonly device: ScriptedDevice
  readonly stack: RecordingStack
  /** What the driver is made from. */
  readonly driverWorld: DriverWorld
  readonly driverOptions: NetDriverOptions
  private driver: NetDriver | undefined

  constructor(options: TestWorldOptions) {
    const { backend = "iommu", lockAcrossTableWrite = "both" } = options
    const isTranslated = backend === "iommu" || backend === "window"
    this.simulation = options.simulation ?? simulationOf(options)
    const { cpus, memory, pages, profile, timeline } = this.simulation
    this.driverOptions = { ...TEST_DRIVER_OPTIONS, ...options }
    this.table = new FlatTable({ pageCount: TABLE_ENTRIES })
    this.dma = makeDmaApi({
      backend,
      lockAcrossTableWrite,
      host: cpus,
      pages,
      bytes: memory.bytes,
      table: this.table
    })
    this.dmaDevice = this.dma.attach("nic0", DMA_MASK)
    pages.freed = (phys, sizeBytes) => this.dma.debug?.pageFreed(phys, sizeBytes)
    this.device = new ScriptedDevice({
      timeline,
      cpus,
      memory,
      translate: (busAddr) => (isTranslated ? this.table.translate(busAddr) : busAddr),
      accessed: (busAddr, sizeBytes, direction, atPs) => {
        if (sizeBytes > 0) this.dmaDevice.accessed(busAddr, sizeBytes, direction, atPs)
      },
      mmioLatencyPs: profile.mmioLatency,
      interruptLatencyPs: profile.interruptLatency
    })
    this.stack = new RecordingStack({ cpus, memory, pages, framePs: profile.stackFrame })
    const { dmaDevice, stack } = this
    const costs = driverCostsOf(profile)
    this.driverWorld = { cpus, memory, pages, device: dmaDevice, registers: this.device, stack, costs }
    this.device.onInterrupt = (queue) => this.driver!.napi.interrupt(queue)
  }

  /** Makes the driver and brings the device up. Throws when either fails. */
  start(): NetDriver {
    const made = this.make()
    if ("step" in made) return fail("no memory for the rings")
    if (made.bringUp() !== undefined) fail("the device did not come up")
    return made
  }

  /** Makes the driver; it has not touched the device yet. */
  make(): ReturnType<typeof makeNetDriver> {
    const made = makeNetDriver(this.driverWorld, this.driverOptions)
    if (!("step" in made)) this.driver = made
    return made
  }

  /** Lets the world run on until nothing is left to do: all CPUs sleep. */
  settle(): void {
    const { timeline } = this.simulation
    if (timeline.runUntil(NEVER_PS, EVENTS_MAX) === EVENTS_MAX) fail("the world does not come to rest")
  }

  /** Findings of DMA debug. */
  findings(): ReadonlyArray<Finding> {
    return this.dma.findings()
  }

  /** What is mapped, allocated, lent or was found wrong now; compare with NOTHING_LEFT. */
  leftovers(): typeof NOTHING_LEFT {
    return {
      mappings: this.dma.liveCount(),
      tableEntries: this.table.entries.size,
      pages: this.simulation.pages.pagesUsed - this.stack.ownPages,
      lentFrames: this.stack.lent.size,
      findings: this.dma.findings().length,
      faults: this.device.memory.faults.length
    }
  }
}

const simulationOf = (options: TestWorldOptions): SimulationCore =>
  makeSimulation({
    profile: profileValues(PROFILES[0]!, { systemPageBytes: options.systemPageBytes ?? 65536 }),
    seed: 1,
    hostMemoryBytes: options.hostMemoryBytes ?? 8 * MIB,
    outsideBytes: 4096,
    frameCapacity: 1,
    cpuCount: options.cpuCount ?? 1,
    threadsPerCore: 1
  })

/** A world without a driver in it yet: `start` brings one up. */
export const makeDriverWorld = (options: TestWorldOptions = {}): TestWorld => new TestWorld(options)

/** A frame's bytes: each depends on its place, on the frame's number, and on the one before. */
export function frameOf(sizeBytes: number, number = 0): Uint8Array {
  let state = (number * 2654435761 + sizeBytes) >>> 0
  return Uint8Array.from({ length: sizeBytes }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  })
}
