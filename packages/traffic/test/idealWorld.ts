/** Traffic on a link to an ideal host: the smallest world in which all of it runs. */
import { makeFramePool, makeMemory, makeTimeline } from "@vnic/sim/core"
import { type Capture, makeTraffic, type TrafficOptions, trafficOutsideBytes } from "@vnic/traffic/core"
import { type IdealHostOptions, makeIdealHost } from "@vnic/traffic/testing"

export const MS_PS = 1e9
export const SECOND_PS = 1e12

const FRAME_CAPACITY = 4096
const FRAME_SLOT_BYTES = 2048

type HostChanges = Partial<Pick<IdealHostOptions, "isDropped" | "isDamaged" | "delayedAckPs">>
type Settings = Pick<TrafficOptions, "traffic"> & Partial<TrafficOptions> & { readonly host?: HostChanges }

export function makeIdealWorld(settings: Settings) {
  const { capture, host: hostChanges, ...options } = settings
  const timeline = makeTimeline()
  const outsideBytes = trafficOutsideBytes(capture) + FRAME_CAPACITY * FRAME_SLOT_BYTES + 4096
  const memory = makeMemory(1 << 20, outsideBytes)
  const frames = makeFramePool(memory, FRAME_CAPACITY)
  const queueCount = options.queueCount ?? 8
  const timestamps = options.traffic.kind === "closed-loop" && options.traffic.timestamps
  const host = makeIdealHost({ timeline, memory, frames, queueCount, timestamps, ...hostChanges })
  const traffic = makeTraffic({
    timeline,
    memory,
    frames,
    wire: host,
    seed: 1,
    link: { rateBitsPerSecond: 10e9, mtuBytes: 1500 },
    queueCount,
    receiverMac: [2, 0, 0, 0, 0, 2],
    check: "all",
    ...(capture === undefined ? {} : { capture }),
    ...options
  })
  host.connect(traffic)
  const run = (durationPs: number) => timeline.runUntil(timeline.nowPs + durationPs, Infinity)
  /** Warm-up, window, stop, and everything that is still under way. */
  const measure = (warmUpPs: number, durationPs: number) => {
    traffic.measure(timeline.nowPs + warmUpPs, durationPs)
    traffic.start()
    run(warmUpPs + durationPs)
    traffic.stop()
    run(2 * SECOND_PS)
    return traffic.throughput()
  }
  return { timeline, memory, frames, host, traffic, run, measure }
}

export const closedLoop = (changes: Partial<Extract<TrafficOptions["traffic"], { kind: "closed-loop" }>> = {}) =>
  ({
    kind: "closed-loop",
    streams: 16,
    placement: "even",
    windowBytes: 65_536,
    timestamps: false,
    ...changes
  }) as const

export const openLoop = (changes: Partial<Extract<TrafficOptions["traffic"], { kind: "open-loop" }>> = {}) =>
  ({
    kind: "open-loop",
    rateBitsPerSecond: "line",
    arrivals: "constant",
    frameBytes: 1518,
    flows: 16,
    placement: "even",
    ...changes
  }) as const

export const replay = (rateBitsPerSecond: number | "line" | "as-captured", capture: Capture) => ({
  traffic: { kind: "replay", capture: "capture.pcap", rateBitsPerSecond } as const,
  capture,
  keepFrames: true
})
