/**
 * Who owns a buffer: random interleavings of frames, late write-backs, polls, transmissions, reports and failures,
 * against the plainest oracle there is. Every frame goes up byte for byte and in order, or is counted as dropped;
 * no buffer is at once the stack's and the device's; everything lent comes back.
 */
import { fc, test } from "@fast-check/vitest"
import { describe, expect } from "vitest"
import { BODY_BUFFER_BYTES, HEAD_BUFFER_BYTES, type NetDriver, type NetDriverOptions } from "@vnic/driver/core"
import { frameOf, makeDriverWorld, NOTHING_LEFT, type ReceivedFrame, type TestWorld } from "@vnic/driver/testing"

const QUEUES = 2

type Event =
  | { readonly kind: "deliver"; readonly queue: number; readonly sizeBytes: number; readonly isLate: boolean }
  | { readonly kind: "writeBack"; readonly queue: number; readonly count: number }
  | { readonly kind: "run"; readonly durationPs: number }
  | { readonly kind: "settle" }
  | { readonly kind: "transmit"; readonly queue: number; readonly sizeBytes: number }
  | { readonly kind: "send" | "report"; readonly queue: number }
  | { readonly kind: "noPage" | "noMap"; readonly nth: number }

const queue = fc.nat({ max: QUEUES - 1 })
const sizes = fc.oneof(
  fc.integer({ min: 0, max: 1536 }),
  fc.constantFrom(0, 1, 60, 104, 105, 511, 512, 513, 1514, 1536)
)
const events: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("deliver" as const), queue, sizeBytes: sizes, isLate: fc.boolean() })
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("writeBack" as const), queue, count: fc.integer({ min: 1, max: 4 }) })
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("run" as const), durationPs: fc.nat({ max: 10_000_000 }) }) },
  { weight: 2, arbitrary: fc.constant({ kind: "settle" } as const) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("transmit" as const),
      queue,
      sizeBytes: fc.integer({ min: 1, max: 1514 })
    })
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("send" as const, "report" as const), queue }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("noPage" as const, "noMap" as const),
      nth: fc.integer({ min: 1, max: 4 })
    })
  }
)

const settings: fc.Arbitrary<Partial<NetDriverOptions> & { cpuCount: number; systemPageBytes: number }> = fc.record({
  strategy: fc.constantFrom("map-per-packet" as const, "page-chunk" as const),
  small: fc.constantFrom("copy" as const, "map" as const),
  budget: fc.constantFrom(1, 3, 64),
  cpuCount: fc.constantFrom(1, 2),
  systemPageBytes: fc.constantFrom(4096, 65536)
})

/** A range of host memory. */
type Range = readonly [start: number, end: number]

const isOverlapping = ([start, end]: Range, [otherStart, otherEnd]: Range) => start < otherEnd && otherStart < end

/** What should have happened. */
class Oracle {
  readonly world: TestWorld
  readonly driver: NetDriver
  /** Frames that the device took, by queue; and the buffers of those whose descriptors are late. */
  private readonly delivered: ReadonlyArray<Array<Uint8Array>> = Array.from({ length: QUEUES }, () => [])
  private readonly given: ReadonlyArray<Array<Uint8Array>> = Array.from({ length: QUEUES }, () => [])
  private readonly sent: ReadonlyArray<Array<Uint8Array>> = Array.from({ length: QUEUES }, () => [])
  private number = 0

  constructor(world: TestWorld) {
    this.world = world
    this.driver = world.start()
    world.stack.onReceive = (frame) => this.received(frame)
    world.stack.answer = ({ bytes }) => (bytes.length % 5 === 1 ? bytes.subarray(0, 200) : undefined)
  }

  /** The device's buffers, as they stand in host memory. */
  private deviceRanges(): ReadonlyArray<Range> {
    const { device, table } = this.world
    return [0, 1].flatMap((queue) =>
      device.posted(queue).flatMap(({ bodyBus, headBus }): Array<Range> => {
        const head = table.translate(headBus)
        const body = table.translate(bodyBus)
        if (head === undefined || body === undefined) throw new Error("a posted buffer that is not mapped")
        return [
          [head, head + HEAD_BUFFER_BYTES],
          [body, body + BODY_BUFFER_BYTES]
        ]
      })
    )
  }

  private received({ bodyPhys, headPhys }: ReceivedFrame): void {
    const up: ReadonlyArray<Range> = [
      [headPhys, headPhys + HEAD_BUFFER_BYTES],
      [bodyPhys, bodyPhys + BODY_BUFFER_BYTES]
    ]
    for (const range of this.deviceRanges()) {
      if (up.some((piece) => isOverlapping(piece, range))) throw new Error("a buffer is both posted and up")
    }
  }

  run(event: Event): void {
    const { device, simulation, stack, table } = this.world
    switch (event.kind) {
      case "deliver": {
        const frame = frameOf(event.sizeBytes, this.number++)
        if (device.deliver(event.queue, frame, { isLate: event.isLate })) this.delivered[event.queue]!.push(frame)
        return
      }
      case "writeBack":
        return device.writeBack(event.queue, event.count)
      case "run":
        return device.delay(event.durationPs)
      case "settle":
        return this.world.settle()
      case "transmit": {
        if (stack.lent.size > 30) return
        const frame = frameOf(event.sizeBytes, this.number++)
        this.driver.napi.send(event.queue, stack.lend(frame), frame.length)
        this.given[event.queue]!.push(frame)
        return
      }
      case "send":
        this.sent[event.queue]!.push(...device.send(event.queue))
        return
      case "report":
        return device.report(event.queue)
      case "noPage":
        simulation.pages.failAt = event.nth
        return
      case "noMap":
        table.refuseAt = event.nth
    }
  }

  /** Everything comes to rest, and is what it should be. */
  check(): void {
    const { device, simulation, stack, table } = this.world
    simulation.pages.failAt = 0
    table.refuseAt = 0
    for (let queue = 0; queue < QUEUES; queue++) device.writeBack(queue)
    this.world.settle()
    let missing = 0
    for (let queue = 0; queue < QUEUES; queue++) {
      const up = stack.received.filter((frame) => frame.queue === queue).map(({ bytes }) => bytes.join())
      const delivered = this.delivered[queue]!.map((bytes) => bytes.join())
      expect(isSubsequence(up, delivered)).toBe(true)
      missing += delivered.length - up.length
      this.sent[queue]!.push(...device.send(queue))
      this.checkSent(queue)
    }
    expect(missing).toBe(this.driver.statistics().framesDroppedNoBuffer)
    const ranges = this.deviceRanges()
    for (const [index, range] of ranges.entries()) {
      expect(ranges.slice(index + 1).some((other) => isOverlapping(range, other))).toBe(false)
    }
    expect(this.driver.shutdown()).toBeUndefined()
    expect(this.world.leftovers()).toEqual(NOTHING_LEFT)
  }

  /** What the stack gave leaves in order; answers of polls stand in between. */
  private checkSent(queue: number): void {
    const given = this.given[queue]!.map((bytes) => bytes.join())
    const sent = this.sent[queue]!.map((bytes) => bytes.join())
    const answers = this.delivered[queue]!.map((bytes) => bytes.subarray(0, 200).join())
    // Several queues of one CPU share its ring for what is sent outside of polls.
    const all = [...this.given.flat().map((bytes) => bytes.join()), ...answers]
    expect(sent.filter((frame) => !all.includes(frame))).toEqual([])
    if (this.world.simulation.cpus.count !== QUEUES) return
    const own = sent.filter((frame) => given.includes(frame))
    expect(isSubsequence(own, given)).toBe(true)
  }
}

/** Is one list the other with some of it left out? */
function isSubsequence(part: ReadonlyArray<string>, whole: ReadonlyArray<string>): boolean {
  let at = 0
  for (const item of whole) if (part[at] === item) at++
  return at === part.length
}

describe("ownership", () => {
  test.prop([settings, fc.array(events, { maxLength: 80 })], { numRuns: 100 })(
    "is never shared, and nothing is lost",
    (options, script) => {
      const oracle = new Oracle(makeDriverWorld({ queues: QUEUES, ...options }))
      for (const event of script) oracle.run(event)
      oracle.check()
    }
  )
})
