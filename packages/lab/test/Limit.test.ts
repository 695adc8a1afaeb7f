/**
 * Goal: what is named as the limit is what would have to become faster. One window is described by the use of its
 * resources, and then changed in one respect after another.
 */
import { describe, expect, it } from "vitest"
import { limitOf, ringBalance, type WindowUse } from "../src/Limit.ts"

const cpu = (workShare: number, busyShare = workShare) => ({ busyShare, workShare })

/** Nothing is full, nothing lost. */
const calm: WindowUse = {
  wires: { inbound: 0.5, outbound: 0.1 },
  bus: { up: 0.4, down: 0.1 },
  locks: [
    ["tree", 0.3],
    ["queue", 0.6]
  ],
  cpus: [cpu(0.2), cpu(0.3)],
  frames: { passed: 1000, delivered: 1000, taken: 1000 }
}

const limit = (change: Partial<WindowUse>) => limitOf({ ...calm, ...change }, "offered load")
const named = (resource: string, busyShare: number, busiest = resource) => ({ resource, busyShare, busiest })

describe("a full resource", () => {
  it.each([
    ["wire", { wires: { inbound: 0.98, outbound: 0.1 } }],
    ["outbound wire", { wires: { inbound: 0.5, outbound: 0.98 } }],
    ["bus to host", { bus: { up: 0.98, down: 0.1 } }],
    ["bus to device", { bus: { up: 0.4, down: 0.98 } }],
    [
      "tree",
      {
        locks: [
          ["tree", 0.98],
          ["queue", 0.6]
        ]
      }
    ],
    ["CPU 1", { cpus: [cpu(0.2), cpu(0.98)] }]
  ] satisfies ReadonlyArray<readonly [string, Partial<WindowUse>]>)("is the limit: %s", (resource, change) => {
    expect(limit(change)).toEqual(named(resource, 0.98))
  })

  it("is so from 97 % on, and with 34 frames or more; else the busiest is told, but nothing blamed", () => {
    const locks = (share: number): WindowUse["locks"] => [["tree", share]]
    expect(limit({ locks: locks(0.97) })).toEqual(named("tree", 0.97))
    expect(limit({ locks: locks(0.969) })).toEqual(named("offered load", 0.969, "tree"))
    const few = { passed: 33, delivered: 33, taken: 33 }
    expect(limit({ frames: few, locks: locks(1) })).toEqual(named("too few frames", 1, "tree"))
  })

  it("is the busiest of several, and of equally busy ones the one farthest along a frame's way", () => {
    const bus = { up: 0.99, down: 0.1 }
    expect(limit({ wires: { inbound: 1, outbound: 0.1 }, bus }).resource).toBe("wire")
    expect(limit({ wires: { inbound: 0.9899, outbound: 0.1 }, bus }).resource).toBe("bus to host")
    expect(limit({ wires: { inbound: 0.99005, outbound: 0.1 }, bus }).resource).toBe("bus to host")
    expect(limit({ locks: [["tree", 1]], cpus: [cpu(0.99995), cpu(0.5)] }).resource).toBe("CPU 0")
  })

  it("is named in the plural when it is a CPU and others are as full", () => {
    expect(limit({ cpus: [cpu(0.99), cpu(1)] })).toEqual(named("CPUs", 1, "CPU 1"))
    expect(limit({ cpus: [cpu(0.96), cpu(1)] })).toEqual(named("CPU 1", 1))
  })
})

describe("a full wire", () => {
  const wires = { inbound: 1, outbound: 0.1 }
  const lost = { passed: 1000, delivered: 989, taken: 989 }

  it("is not the limit when more than 1 % of its frames are dropped", () => {
    expect(limit({ wires, frames: { passed: 1000, delivered: 990, taken: 990 } }).resource).toBe("wire")
    expect(limit({ wires, frames: lost })).toEqual(named("dropped frames", 1, "wire"))
    expect(limit({ wires, frames: lost, cpus: [cpu(0.98), cpu(0.1)] })).toEqual(named("CPU 0", 0.98))
  })

  it("nor when its frames only fill rings before something that is full", () => {
    const filling = { passed: 1000, delivered: 1000, taken: 900 }
    expect(limit({ wires, frames: filling, locks: [["tree", 0.98]] })).toEqual(named("tree", 0.98))
    expect(limit({ wires, frames: filling })).toEqual(named("wire", 1))
    expect(limit({ wires, locks: [["tree", 0.98]] })).toEqual(named("wire", 1))
  })
})

describe("where nothing is full", () => {
  it("CPUs without time left wait for locks", () => {
    const cpus = [cpu(0.5, 1), cpu(0.5, 1)]
    expect(limit({ cpus })).toEqual(named("waits for locks", 0.6, "queue"))
    expect(limit({ cpus: [cpu(0.5, 0.96), cpu(0.5, 0.96)] }).resource).toBe("offered load")
    expect(limit({ cpus: [cpu(0.96, 0.98)] }).resource).toBe("offered load")
  })

  it("and there is but one lock, they wait for that", () => {
    const locks: WindowUse["locks"] = [
      ["tree", 0.95],
      ["queue", 0]
    ]
    expect(limit({ cpus: [cpu(0.5, 1)], locks })).toEqual(named("tree", 0.95))
  })

  it("losses are blamed, not what is outside", () => {
    expect(limit({ frames: { passed: 1000, delivered: 900, taken: 900 } })).toEqual(
      named("dropped frames", 0.6, "queue")
    )
  })
})

describe("rings", () => {
  it("fill, run empty, or neither", () => {
    expect([ringBalance(100, 94), ringBalance(100, 95), ringBalance(100, 105), ringBalance(100, 106)]).toEqual([
      -1, 0, 0, 1
    ])
    expect(ringBalance(0, 0)).toBe(0)
  })
})
