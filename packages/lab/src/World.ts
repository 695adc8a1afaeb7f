/** A world, built from the packages' layers: what stands on what. */
import { Dma } from "@vnic/dma-api"
import { NicDriver } from "@vnic/driver"
import { Iommu } from "@vnic/iommu"
import { HostStack } from "@vnic/net-stack"
import { NicDevice } from "@vnic/nic-device"
import { findProfile, profileValues, Simulation, spreadOverCores, type ProfileValues } from "@vnic/sim"
import { Traffic, trafficOutsideBytes, type Capture } from "@vnic/traffic"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { applicationOf, devicePorts, dmaPorts, driverPorts, Joints, wire } from "./Ports.ts"
import type { ResolvedScenario } from "./Scenario.ts"

/** What a world needs beside its scenario. */
export interface WorldOptions {
  readonly seed: number
  readonly payloadCheck: "all" | "line"
  /** The records of the capture that the scenario replays. */
  readonly capture?: Capture | undefined
  /** Keep delivered frames of a replay. */
  readonly keepFrames?: boolean
  /** Constants of the profile that are replaced, for studies of their influence. */
  readonly profileChanges?: Partial<ProfileValues> | undefined
}

/** Frames alive at once: packet buffer, descriptors under way, and what is on the wire. */
const FRAME_CAPACITY = 16384
/** The device's address, as in its EEPROM. */
const MAC_ADDRESS = [0x02, 0x00, 0x00, 0x82, 0x59, 0x90] as const

/** Time, memory and CPUs of a scenario's world, before anything is built on them. */
export const simulationLayer = (scenario: ResolvedScenario, options: WorldOptions) => {
  const profile = findProfile(scenario.profile)!
  const values = profileValues(profile, options.profileChanges)
  return Simulation.layer({
    profile: values,
    seed: options.seed,
    hostMemoryBytes: scenario.host.memoryBytes,
    outsideBytes: trafficOutsideBytes(options.capture),
    frameCapacity: FRAME_CAPACITY,
    cpuCount: scenario.host.cpus,
    threadsPerCore: values.threadsPerCore
  })
}

/** The DMA API, priced by the platform. */
export const dmaLayer = (scenario: Pick<ResolvedScenario, "dma">) =>
  Layer.unwrap(
    Effect.map(Simulation, ({ core: { profile } }) =>
      Dma.layer({
        ...scenario.dma,
        debugOptions: { cacheLineBytes: profile.cacheLineBytes },
        costs: {
          directMapPairPs: profile.directMapPair,
          bitmapSearchPs: profile.bitmapSearch,
          bitmapWordPs: profile.bitmapWord,
          treeSearchPs: profile.treeSearch,
          treeVisitPs: profile.treeVisit,
          magazinePs: profile.magazineOperation,
          constantPs: profile.constantAllocation,
          mapOtherPs: profile.mapOther,
          unmapOtherPs: profile.unmapOther,
          flushQueuePs: profile.flushQueue,
          copyCallPs: profile.copyCall,
          copyKiBPs: profile.copyKiB
        }
      })
    )
  )

const trafficLayer = (scenario: ResolvedScenario, options: WorldOptions) =>
  Traffic.layer({
    link: scenario.link,
    traffic: scenario.traffic,
    queueCount: scenario.nic.queues,
    framesHeldPerQueue: scenario.nic.rx.descriptors,
    receiverMac: MAC_ADDRESS,
    check: options.payloadCheck,
    keepFrames: options.keepFrames ?? false,
    ...(options.capture === undefined ? {} : { capture: options.capture })
  })

/** The CPU that serves each queue: queues share a core only where there are more of them than cores. */
const queueCpusOf = ({ host, nic, profile }: ResolvedScenario, changes: WorldOptions["profileChanges"]) => {
  const { coreCount } = profileValues(findProfile(profile)!, changes)
  const cpus = spreadOverCores(host.cpus, coreCount)
  return Array.from({ length: nic.queues }, (_, queue) => cpus[queue % cpus.length]!)
}

const driverLayer = (scenario: ResolvedScenario, options: WorldOptions) => {
  const { driver, nic, traffic } = scenario
  return NicDriver.layer({
    strategy: driver.strategy,
    queues: nic.queues,
    rxDescriptors: nic.rx.descriptors,
    txDescriptors: nic.tx.descriptors,
    budget: driver.budget,
    small: driver.tx.small,
    dropEnable: nic.rx.dropEnable,
    promiscuous: traffic.kind === "replay",
    macAddress: MAC_ADDRESS,
    interruptIntervalPs: nic.interruptIntervalPs,
    queueCpus: queueCpusOf(scenario, options.profileChanges)
  })
}

/** Names the link and the driver to the device, which was built before them, and lets the host listen. */
const joined = ({ traffic }: ResolvedScenario) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const joints = yield* Joints
      const { core } = yield* Traffic
      const { napi } = (joints.driver = (yield* NicDriver).core)
      joints.link = core.link
      const endpoints = core.streamEndpoints
      yield* (yield* HostStack).listen({
        application: applicationOf(core),
        send: (queue, phys, sizeBytes) => napi.send(queue, phys, sizeBytes),
        streams: traffic.kind === "closed-loop" && endpoints !== undefined ? { ...traffic, endpoints } : undefined
      })
    })
  )

/** Everything that stands on the simulation, up and idle; traffic has not begun. */
export const worldAbove = (scenario: ResolvedScenario, options: WorldOptions) =>
  joined(scenario).pipe(
    // The driver brings the device up before the traffic asks it which queue a flow takes.
    Layer.provideMerge(trafficLayer(scenario, options)),
    Layer.provide(wire),
    Layer.provideMerge(driverLayer(scenario, options)),
    Layer.provide(driverPorts),
    Layer.provideMerge(
      Layer.mergeAll(
        NicDevice.layer({ rateBitsPerSecond: scenario.link.rateBitsPerSecond, macAddress: MAC_ADDRESS }).pipe(
          Layer.provide(devicePorts(scenario.dma.debug))
        ),
        dmaLayer(scenario).pipe(Layer.provide(dmaPorts)),
        HostStack.layer
      )
    ),
    Layer.provideMerge(Joints.layer),
    Layer.provideMerge(Iommu.layer(scenario.iommu))
  )

/** The whole world of a scenario. */
export const worldLayer = (scenario: ResolvedScenario, options: WorldOptions) =>
  worldAbove(scenario, options).pipe(Layer.provideMerge(simulationLayer(scenario, options)))
