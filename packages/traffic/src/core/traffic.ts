/**
 * One link with its traffic: source, link, sink and meters, put together from settings as a scenario gives
 * them. The host's side takes what arrives to `streamSink` (closed loop, above TCP) or `frameSink` (open
 * loop and replay, whole frames).
 */
import {
  ETHERNET_HEADER_SIZE_BYTES,
  FRAME_CHECK_SIZE_BYTES,
  type MacAddress,
  type StreamEndpoints
} from "@vnic/net-stack/core"
import { fail, type FramePool, type Memory, RUN_SECONDS_MAX, type Timeline } from "@vnic/sim/core"
import { type ClosedLoop, makeClosedLoop, segmentBytesOf, windowBytesMaxOf } from "./closedLoop.ts"
import { DATAGRAM_SINK_OUTSIDE_BYTES, type DatagramSink, makeDatagramSink } from "./datagramSink.ts"
import { type Link, makeLink } from "./link.ts"
import { DeliveryMeter } from "./meters.ts"
import { IMIX_FRAME_BYTES, makeOpenLoop, type OpenLoop } from "./openLoop.ts"
import { makePattern, type Pattern, PATTERN_OUTSIDE_BYTES } from "./pattern.ts"
import { type Capture, type CaptureFrames, writeCapture } from "./pcap.ts"
import { findFlowEndpoints, findStreamEndpoints, type Placement, type PlacementOptions } from "./placement.ts"
import type { Wire } from "./ports.ts"
import { makeReplay, type Replay, replayDurationPs, replayOutsideBytes, type ReplayRate } from "./replay.ts"
import { makeReplaySink, type ReplaySink } from "./replaySink.ts"
import { type ReportInput, throughputReport, type ThroughputReport, type ThroughputSample } from "./report.ts"
import { throughputSamples } from "./report.ts"
import type { Check } from "./sink.ts"
import { makeStreamSink, type StreamSink } from "./streamSink.ts"
import { Window } from "./window.ts"

export interface LinkSettings {
  readonly rateBitsPerSecond: number
  /** Largest IP datagram. */
  readonly mtuBytes: number
}

export interface ClosedLoopSettings {
  readonly kind: "closed-loop"
  readonly streams: number
  readonly placement: Placement
  readonly windowBytes: number
  readonly timestamps: boolean
  /** Whole length of a full segment's frame with check sequence; without it the MTU decides. */
  readonly frameBytes?: number
}

export interface OpenLoopSettings {
  readonly kind: "open-loop"
  readonly rateBitsPerSecond: number | "line"
  readonly arrivals: "constant" | "poisson"
  readonly frameBytes: number | "imix"
  readonly flows: number
  readonly placement: Placement
}

export interface ReplaySettings {
  readonly kind: "replay"
  /** Name of the capture; its records come in `TrafficOptions.capture`. */
  readonly capture: string
  readonly rateBitsPerSecond: ReplayRate
}

export type TrafficSettings = ClosedLoopSettings | OpenLoopSettings | ReplaySettings

export interface TrafficOptions {
  readonly timeline: Timeline
  readonly memory: Memory
  readonly frames: FramePool
  readonly wire: Wire
  readonly seed: number
  readonly link: LinkSettings
  readonly traffic: TrafficSettings
  /** Records of the capture that a replay names. */
  readonly capture?: Capture
  /** Receive queues that the device spreads flows over. */
  readonly queueCount: number
  readonly receiverMac: MacAddress
  readonly check: Check
  /** Keep delivered frames of a replay, to be written to a file. */
  readonly keepFrames?: boolean
  /** Open loop: frames that a receive queue can hold in memory, which is its descriptors. */
  readonly framesHeldPerQueue?: number
  readonly propagationPs?: number
  readonly startSpreadPs?: number
  readonly retransmissionTimeoutPs?: number
}

/** Storage that the traffic needs outside the host's memory. */
export const trafficOutsideBytes = (capture: Capture | undefined): number =>
  PATTERN_OUTSIDE_BYTES + DATAGRAM_SINK_OUTSIDE_BYTES + (capture === undefined ? 0 : replayOutsideBytes(capture))

/** Why settings describe no traffic. */
export interface TrafficMisfit {
  readonly reason:
    | "FrameTooShort"
    | "FrameTooLong"
    | "WindowTooSmall"
    | "WindowTooLarge"
    | "PlacementImpossible"
    | "ReplayTooLong"
  readonly asked: number
  /** What would do; the number of queues where no port lands on some queue. */
  readonly limit: number
}

const SECOND_PS = 1e12
/** Ethernet header and check sequence around an IP datagram. */
const FRAMING_BYTES = ETHERNET_HEADER_SIZE_BYTES + FRAME_CHECK_SIZE_BYTES
/** Why a capture cannot be replayed like this, in seconds, or undefined. */
export function findReplayMisfit(
  capture: Capture,
  link: LinkSettings,
  { rateBitsPerSecond }: ReplaySettings
): TrafficMisfit | undefined {
  const asked = replayDurationPs(capture, rateBitsPerSecond, link.rateBitsPerSecond) / SECOND_PS
  return asked <= RUN_SECONDS_MAX ? undefined : { reason: "ReplayTooLong", asked, limit: RUN_SECONDS_MAX }
}

/** The first reason why these options describe no traffic, or undefined. */
export function findTrafficMisfit(options: TrafficOptions): TrafficMisfit | undefined {
  const { link, traffic } = options
  if (traffic.kind === "replay") {
    return options.capture === undefined ? undefined : findReplayMisfit(options.capture, link, traffic)
  }
  const frameBytes = traffic.frameBytes === "imix" ? IMIX_FRAME_BYTES.at(-1)! : traffic.frameBytes
  const limit = link.mtuBytes + FRAMING_BYTES
  if (frameBytes !== undefined && frameBytes > limit) return { reason: "FrameTooLong", asked: frameBytes, limit }
  const misfit = traffic.kind === "closed-loop" ? findWindowMisfit(link, traffic) : undefined
  if (misfit !== undefined) return misfit
  if (findFlowEndpoints(placementOf(options, flowCountOf(traffic))) !== undefined) return undefined
  return { reason: "PlacementImpossible", asked: flowCountOf(traffic), limit: options.queueCount }
}

function findWindowMisfit(link: LinkSettings, traffic: ClosedLoopSettings): TrafficMisfit | undefined {
  const { windowBytes: asked, streams } = traffic
  const segmentBytes = segmentBytesOf(link.mtuBytes, traffic.timestamps, traffic.frameBytes)
  if (segmentBytes < 1) {
    const frameBytes = traffic.frameBytes ?? link.mtuBytes + FRAMING_BYTES
    return { reason: "FrameTooShort", asked: frameBytes, limit: frameBytes + 1 - segmentBytes }
  }
  if (asked < segmentBytes) return { reason: "WindowTooSmall", asked, limit: segmentBytes }
  const limit = windowBytesMaxOf(streams, segmentBytes)
  return asked <= limit ? undefined : { reason: "WindowTooLarge", asked, limit }
}

const flowCountOf = (traffic: ClosedLoopSettings | OpenLoopSettings): number =>
  traffic.kind === "closed-loop" ? traffic.streams : traffic.flows

const placementOf = (options: TrafficOptions, flowCount: number): PlacementOptions => ({
  wire: options.wire,
  flowCount,
  queueCount: options.queueCount,
  placement: options.traffic.kind === "replay" ? "random" : options.traffic.placement,
  seed: options.seed,
  receiverMac: options.receiverMac
})

const NO_FRAMES: CaptureFrames = {
  frameCount: 0,
  origin: { seconds: 0, nanoseconds: 0 },
  stampsPs: new Float64Array(0),
  offsets: [],
  lengthBytes: [],
  bytes: new Uint8Array(0)
}

interface Parts {
  readonly source: ClosedLoop | OpenLoop | Replay
  readonly streamSink: StreamSink | undefined
  readonly frameSink: DatagramSink | ReplaySink | undefined
  readonly replaySink?: ReplaySink
}

export class Traffic {
  declare readonly kind: TrafficSettings["kind"]
  /** `transmit` and `departPs` of it are the device's way out. */
  declare readonly link: Link
  declare readonly window: Window
  declare readonly meter: DeliveryMeter
  declare readonly pattern: Pattern
  declare readonly source: ClosedLoop | OpenLoop | Replay
  /** Where the host's TCP receiver takes segments, in a closed loop. */
  declare readonly streamSink: StreamSink | undefined
  /** Where the host takes whole frames, in an open loop or a replay. */
  declare readonly frameSink: DatagramSink | ReplaySink | undefined
  declare private readonly replaySink: ReplaySink | undefined
  declare private readonly timeline: Timeline

  constructor(options: TrafficOptions) {
    const { timeline, memory, frames, wire } = options
    this.kind = options.traffic.kind
    this.timeline = timeline
    this.window = new Window()
    this.meter = new DeliveryMeter(this.window)
    this.pattern = makePattern(memory, options.seed)
    this.link = makeLink({
      timeline,
      memory,
      frames,
      wire,
      window: this.window,
      rateBitsPerSecond: options.link.rateBitsPerSecond,
      propagationPs: options.propagationPs ?? 0
    })
    const parts = this.makeParts(options)
    this.source = parts.source
    this.streamSink = parts.streamSink
    this.frameSink = parts.frameSink
    this.replaySink = parts.replaySink
    this.link.attach(parts.source, parts.source)
  }

  private makeParts(options: TrafficOptions): Parts {
    if (options.traffic.kind === "closed-loop") return this.makeClosedLoop(options, options.traffic)
    if (options.traffic.kind === "open-loop") return this.makeOpenLoop(options, options.traffic)
    return this.makeReplay(options, options.traffic)
  }

  private makeClosedLoop(options: TrafficOptions, settings: ClosedLoopSettings): Parts {
    const { retransmissionTimeoutPs, startSpreadPs, check } = options
    const endpoints = findStreamEndpoints(placementOf(options, settings.streams))
    if (endpoints === undefined) fail("no port lands on some queue")
    const source = makeClosedLoop({
      ...this.shared(options),
      endpoints,
      windowBytes: settings.windowBytes,
      segmentBytes: segmentBytesOf(options.link.mtuBytes, settings.timestamps, settings.frameBytes),
      timestamps: settings.timestamps,
      ...(startSpreadPs === undefined ? {} : { startSpreadPs }),
      ...(retransmissionTimeoutPs === undefined ? {} : { retransmissionTimeoutPs })
    })
    const { meter, pattern } = this
    const streamSink = makeStreamSink({ memory: options.memory, meter, pattern, source, check })
    return { source, streamSink, frameSink: undefined }
  }

  private makeOpenLoop(options: TrafficOptions, settings: OpenLoopSettings): Parts {
    const endpoints = findFlowEndpoints(placementOf(options, settings.flows))
    if (endpoints === undefined) fail("no port lands on some queue")
    const { arrivals, frameBytes, rateBitsPerSecond } = settings
    const { framesHeldPerQueue, queueCount } = options
    const source = makeOpenLoop({
      ...this.shared(options),
      endpoints,
      arrivals,
      frameBytes,
      rateBitsPerSecond,
      queueCount,
      ...(framesHeldPerQueue === undefined ? {} : { framesHeldPerQueue })
    })
    const { meter, pattern } = this
    const frameSink = makeDatagramSink({ memory: options.memory, meter, pattern, source, check: options.check })
    return { source, streamSink: undefined, frameSink }
  }

  private makeReplay(options: TrafficOptions, settings: ReplaySettings): Parts {
    const { capture, wire } = options
    if (capture === undefined) fail("a replay without its capture")
    const { rateBitsPerSecond } = settings
    const source = makeReplay({ ...this.shared(options), wire, capture, rateBitsPerSecond })
    const keepFrames = options.keepFrames ?? false
    const { meter, pattern } = this
    const replaySink = makeReplaySink({ memory: options.memory, meter, pattern, source, keepFrames })
    return { source, streamSink: undefined, frameSink: replaySink, replaySink }
  }

  private shared(options: TrafficOptions) {
    const { timeline, memory, frames, seed } = options
    return { timeline, memory, frames, seed, link: this.link, pattern: this.pattern }
  }

  /** The addresses of both ends; the host's receiver is built from them. Undefined but in a closed loop. */
  get streamEndpoints(): StreamEndpoints | undefined {
    return this.source.kind === "closed-loop" ? this.source.endpoints : undefined
  }

  /** Traffic begins now. */
  start(): void {
    this.source.start()
  }

  /** Sources send nothing new from now on. */
  stop(): void {
    this.source.stop()
  }

  /** After `stop`, or when a replay has come to its end: nothing is under way on this side of the device. */
  get isDrained(): boolean {
    return this.source.isDrained && this.link.isQuiet
  }

  /** The last bits that pass the wire in [openPs, openPs + durationPs) are measured. Call before openPs. */
  measure(openPs: number, durationPs: number): void {
    this.window.open(openPs, durationPs)
  }

  throughput(): ThroughputReport {
    return throughputReport(this.reportInput())
  }

  /** The window's parts that are over. */
  samples(): ReadonlyArray<ThroughputSample> {
    return throughputSamples(this.reportInput(), this.timeline.clock[0]!)
  }

  /** A capture file of the frames that a replay has delivered, in link order; without frames otherwise. */
  deliveredCapture(): Uint8Array {
    return writeCapture(this.replaySink?.delivered() ?? NO_FRAMES)
  }

  private reportInput(): ReportInput {
    const { link, meter, source } = this
    const sink = this.streamSink ?? this.frameSink
    if (sink === undefined) fail("traffic without a sink")
    const sender = source.kind === "closed-loop" ? source.sender.counters() : undefined
    return {
      link,
      meter,
      counters: sink.counters(),
      framesPadded: link.framesPadded + (source.kind === "replay" ? source.framesPadded : 0),
      framesLostAtSender: source.kind === "open-loop" ? source.framesLostAtSender : 0,
      retransmissions: {
        segments: sender?.segmentsRetransmitted ?? 0,
        fast: sender?.fastRetransmits ?? 0,
        timeouts: sender?.timeouts ?? 0
      }
    }
  }
}

/** The traffic that `options` describe; throws where `findTrafficMisfit` finds a reason. */
export const makeTraffic = (options: TrafficOptions): Traffic => new Traffic(options)
