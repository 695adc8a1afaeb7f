import { findFlowEndpoints, findStreamEndpoints, type PlacementOptions } from "@vnic/traffic/core"
import { FakeQueues } from "@vnic/traffic/testing"
import { describe, expect, it } from "vitest"

const queues = new FakeQueues(8)
const wire = {
  deliver: () => undefined,
  queueOfFrame: () => 0,
  receiveQueueOf: queues.receiveQueueOf.bind(queues)
}
const options = (changes: Partial<PlacementOptions> = {}): PlacementOptions => ({
  wire,
  flowCount: 16,
  queueCount: 8,
  placement: "even",
  seed: 1,
  receiverMac: [2, 0, 0, 0, 0, 9],
  ...changes
})

const queuesOf = (from: PlacementOptions) => {
  const { receiver, sender } = findStreamEndpoints(from)!
  return Array.from(sender.ports, (port, stream) =>
    wire.receiveQueueOf(sender.ip, receiver.ip, port, receiver.ports[stream]!)
  )
}

describe("placement", () => {
  it("even puts two streams on each queue for every seed", () => {
    const expected = Array.from({ length: 16 }, (_, stream) => stream % 8)
    const seen = new Set<string>()
    for (let seed = 0; seed < 100; seed++) {
      expect(queuesOf(options({ seed }))).toEqual(expected)
      seen.add(String(Array.from(findStreamEndpoints(options({ seed }))!.sender.ports)))
    }
    expect(seen.size).toBe(100)
  })

  it("random does not", () => {
    const occupied = Array.from(
      { length: 50 },
      (_, seed) => new Set(queuesOf(options({ seed, placement: "random" }))).size
    )
    expect(Math.min(...occupied)).toBeLessThan(8)
  })

  it("never gives two flows the same addresses", () => {
    const { receiver, sender } = findFlowEndpoints(options({ flowCount: 65_536 }))!
    const pairs = new Set(Array.from(sender.ports, (port, flow) => port * 65_536 + receiver.ports[flow]!))
    expect(pairs.size).toBe(65_536)
    expect(receiver.mac).toEqual([2, 0, 0, 0, 0, 9])
  })

  it("is impossible where no port lands on a queue", () => {
    expect(findFlowEndpoints(options({ wire: { ...wire, receiveQueueOf: () => 0 } }))).toBeUndefined()
    expect(findFlowEndpoints(options({ wire: { ...wire, receiveQueueOf: () => 0 }, queueCount: 1 }))).toBeDefined()
  })
})
