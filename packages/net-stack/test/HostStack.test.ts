/** The host's stack: it books time, hands payload up, answers, and keeps its transmit buffers in order. */
import { ACCOUNT_STACK, PAGE_NONE, type SimulationCore } from "@vnic/sim/core"
import { soloWorld } from "@vnic/sim/testing"
import { Simulation } from "@vnic/sim"
import * as Core from "@vnic/net-stack/core"
import { HostStack } from "@vnic/net-stack"
import { beforeEach, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const FRAME_PS = 2_500_000
const MSS = 100
const WINDOW_BYTES = 1000
const HEAD_BYTES = 80
const endpoints = Core.makeStreamEndpoints(2)

interface Delivery {
  readonly stream: number
  readonly offset: number
  readonly payload: ReadonlyArray<number>
  readonly atPs: number
}

let world: SimulationCore
let stack: Core.HostStack
let deliveries: Array<Delivery>
let frames: Array<number>
let foreign: number
let sent: Array<number>
let isSendRefused: boolean
let refusals: number
let ackDelayPs: number
let headPhys: number
let bodyPhys: number

const bytesAt = (phys: number, sizeBytes: number) => Array.from(world.memory.bytes.subarray(phys, phys + sizeBytes))

const application: Core.Application = {
  nowPs: new Float64Array(1),
  deliverStream: (stream, offset, _payloadBytes, _newBytes, phys0, bytes0, phys1, bytes1) => {
    const payload = [...bytesAt(phys0, bytes0), ...bytesAt(phys1, bytes1)]
    deliveries.push({ stream, offset, payload, atPs: application.nowPs[0]! })
  },
  deliverFrame: (queue) => void frames.push(queue),
  deliverForeign: () => void foreign++
}

const makeStack = (frameJitterShare = 0) =>
  Core.makeHostStack({ ...world, prng: world.prng(1), framePs: FRAME_PS, frameJitterShare })

const listen = (streams = true) =>
  stack.listen({
    application,
    receiver: streams
      ? Core.makeStreamReceiver({
          endpoints,
          windowBytes: WINDOW_BYTES,
          timestamps: false,
          delayedAckPs: ackDelayPs,
          clock: world.timeline.clock
        })
      : undefined,
    send: (queue, phys) => {
      if (isSendRefused) {
        refusals++
        return false
      }
      sent.push(queue)
      stack.transmitted(phys)
      return true
    }
  })

/** Puts a segment into memory in two pieces and lets the stack receive it; returns the answer's length. */
function receive(stream: number, offset: number, payload: ReadonlyArray<number>): number {
  const { bytes } = world.memory
  const frame = new Uint8Array(54 + payload.length)
  const { receiver, sender } = endpoints
  Core.writeEthernetHeader(frame, 0, receiver.mac, sender.mac, Core.ETHERTYPE_IPV4)
  Core.writeIpv4Header(frame, 14, frame.length - 14, 1, Core.IP_PROTOCOL_TCP, sender.ip, receiver.ip)
  const sequence = (sender.initialSequences[stream]! + offset) | 0
  Core.writeTcpHeader(frame, 34, sender.ports[stream]!, receiver.ports[stream]!, sequence, 7, 0x10, 1000)
  frame.set(payload, 54)
  const headBytes = Math.min(HEAD_BYTES, frame.length)
  bytes.set(frame.subarray(0, headBytes), headPhys)
  bytes.set(frame.subarray(headBytes), bodyPhys)
  return stack.receive(0, 3, headPhys, headBytes, bodyPhys, frame.length - headBytes)
}

const payloadOf = (first: number) => Array.from({ length: MSS }, (_, index) => (first + index) & 0xff)

beforeEach(() => {
  world = soloWorld()
  headPhys = world.pages.allocate(0)
  bodyPhys = headPhys + 4096
  stack = makeStack()
  deliveries = []
  frames = []
  foreign = 0
  sent = []
  isSendRefused = false
  refusals = 0
  ackDelayPs = 40e9
})

describe("receiving", () => {
  it("hands payload up from both pieces, after the stack's time", () => {
    listen()
    expect(receive(1, 0, payloadOf(1))).toBe(0)
    expect(deliveries).toEqual([{ stream: 1, offset: 0, payload: payloadOf(1), atPs: FRAME_PS }])
    expect(world.cpus.ledger[ACCOUNT_STACK]).toBe(FRAME_PS)
  })

  it("lets frames go that nobody listens for", () => {
    expect(receive(0, 0, payloadOf(0))).toBe(0)
    expect(stack.framesUnheard).toBe(1)
    expect(deliveries).toEqual([])
  })

  it("tells of frames that belong to no stream", () => {
    listen()
    world.memory.bytes.fill(0, headPhys, headPhys + 64)
    expect(stack.receive(0, 0, headPhys, 60, bodyPhys, 0)).toBe(0)
    expect(foreign).toBe(1)
  })

  it("hands whole frames up where there are no streams", () => {
    listen(false)
    expect(receive(0, 0, payloadOf(0))).toBe(0)
    expect(frames).toEqual([3])
  })

  it("spreads its time evenly around the mean, in whole picoseconds", () => {
    stack = makeStack(0.2)
    listen(false)
    const times: Array<number> = []
    for (let count = 0; count < 2000; count++) {
      const before = world.cpus.ledger[ACCOUNT_STACK]!
      receive(0, 0, payloadOf(0))
      times.push(world.cpus.ledger[ACCOUNT_STACK]! - before)
    }
    expect(times.every(Number.isInteger)).toBe(true)
    expect(Math.min(...times)).toBeGreaterThanOrEqual(0.8 * FRAME_PS)
    expect(Math.max(...times)).toBeLessThan(1.2 * FRAME_PS)
    const mean = times.reduce((sum, time) => sum + time, 0) / times.length
    // 2,000 draws of a uniform spread: the mean's standard error is 0.26 % of frame time.
    expect(Math.abs(mean / FRAME_PS - 1)).toBeLessThan(0.011)
  })
})

describe("answering", () => {
  it("acknowledges every second segment with a whole frame in a buffer of its own", () => {
    listen()
    receive(0, 0, payloadOf(0))
    const sizeBytes = receive(0, MSS, payloadOf(1))
    expect(sizeBytes).toBe(54)
    expect(stack.buffersOut).toBe(1)
    const segment = new Core.TcpSegment()
    expect(segment.parse(world.memory.bytes, stack.answerPhys[0]!, sizeBytes)).toBe(Core.PARSE_SOUND)
    stack.transmitted(stack.answerPhys[0]!)
    expect(stack.buffersOut).toBe(0)
  })

  it("sends a delayed acknowledgement when its time has come, once, where its stream arrived", () => {
    listen()
    receive(1, 0, payloadOf(0))
    world.timeline.runUntil(39e9, Infinity)
    expect(sent).toEqual([])
    world.timeline.runUntil(1e12, Infinity)
    expect(sent).toEqual([3])
    expect(stack.buffersOut).toBe(0)
  })

  it("sends each delayed acknowledgement at its own time, however close they are", () => {
    ackDelayPs = 20e6
    listen()
    const late = 3e6
    receive(0, 0, payloadOf(0))
    world.timeline.runUntil(late, Infinity)
    receive(1, 0, payloadOf(0))
    world.timeline.runUntil(20e6, Infinity)
    expect(sent.length).toBe(1)
    world.timeline.runUntil(20e6 + late - 1, Infinity)
    expect(sent.length).toBe(1)
    world.timeline.runUntil(20e6 + late, Infinity)
    expect(sent.length).toBe(2)
  })

  it("tries one that nobody takes again, once a millisecond, and holds no other back for it", () => {
    ackDelayPs = 20e6
    listen()
    isSendRefused = true
    receive(0, 0, payloadOf(0))
    world.timeline.runUntil(20e6, Infinity)
    expect([refusals, stack.buffersOut]).toEqual([1, 0])
    isSendRefused = false
    world.timeline.runUntil(30e6, Infinity)
    receive(1, 0, payloadOf(0))
    world.timeline.runUntil(50e6, Infinity)
    expect(sent.length).toBe(1)
    world.timeline.runUntil(20e6 + 1e9 - 1, Infinity)
    expect(sent.length).toBe(1)
    world.timeline.runUntil(1e12, Infinity)
    expect([sent.length, refusals, stack.answersDropped, stack.buffersOut]).toEqual([2, 1, 0, 0])
  })

  it("tries one for which there is no memory again", () => {
    listen()
    const taken: Array<number> = []
    for (let page = world.pages.allocate(0); page !== PAGE_NONE; page = world.pages.allocate(0)) taken.push(page)
    receive(0, 0, payloadOf(0))
    world.timeline.runUntil(41e9, Infinity)
    expect(sent).toEqual([])
    for (const page of taken) world.pages.free(page)
    world.timeline.runUntil(1e12, Infinity)
    expect([sent.length, stack.answersDropped]).toEqual([1, 0])
  })

  it("gives an answer up where there is no memory for it, and counts it once however often it is tried", () => {
    listen()
    while (world.pages.allocate(0) !== PAGE_NONE);
    for (const stream of [0, 1]) {
      receive(stream, 0, payloadOf(0))
      expect(receive(stream, MSS, payloadOf(1))).toBe(0)
    }
    expect(deliveries.length).toBe(4)
    world.timeline.runUntil(1e12, Infinity)
    expect(sent).toEqual([])
    stack.close()
    expect(stack.answersDropped).toBe(2)
  })

  it("counts no answer that waits for memory and goes out later", () => {
    listen()
    const held: Array<number> = []
    for (let page = world.pages.allocate(0); page !== PAGE_NONE; page = world.pages.allocate(0)) held.push(page)
    receive(0, 0, payloadOf(0))
    expect(receive(0, MSS, payloadOf(1))).toBe(0)
    world.timeline.runUntil(60e9, Infinity)
    for (const page of held) world.pages.free(page)
    world.timeline.runUntil(1e12, Infinity)
    expect(sent).toHaveLength(1)
    stack.close()
    expect(stack.answersDropped).toBe(0)
  })

  it("counts an answer that only its segment asked for, when there is no memory for it", () => {
    listen()
    while (world.pages.allocate(0) !== PAGE_NONE);
    // Beyond a hole: a duplicate acknowledgement, which no timer sends.
    expect(receive(0, MSS, payloadOf(1))).toBe(0)
    expect(stack.answersDropped).toBe(1)
  })

  it("gives its pages back at the end", () => {
    const before = world.pages.pagesUsed
    listen()
    receive(0, 0, payloadOf(0))
    receive(0, MSS, payloadOf(1))
    expect(world.pages.pagesUsed).toBeGreaterThan(before)
    stack.transmitted(stack.answerPhys[0]!)
    stack.close()
    expect(world.pages.pagesUsed).toBe(before)
  })
})

describe("the service", () => {
  const simulation = Layer.sync(Simulation, () => {
    const core = soloWorld()
    const never = Effect.never
    return { core, setEnd: () => never, runSlice: never, runUntil: () => never, now: never, eventsRun: never }
  })

  it.effect("is new for every build, and listens when told to", () =>
    Effect.gen(function* () {
      const { core, counters, listen: start } = yield* HostStack
      expect(yield* counters).toBe(undefined)
      const streams = { endpoints, windowBytes: WINDOW_BYTES, timestamps: false, ackDelayPs: 1 }
      yield* start({ application, send: () => false, streams })
      expect((yield* counters)?.segments).toBe(0)
      expect(core.framesUnheard).toBe(0)
    }).pipe(Effect.provide(HostStack.layer.pipe(Layer.provide(simulation))))
  )
})
