/**
 * The least memory and the least window that messages name: worlds of that size are taken, and work.
 *
 * Method: small worlds ask for too little, are given what the message names, and run under audit: frames arrive, no
 * frame is dropped for want of a buffer, and everything comes to rest. A little less is refused.
 */
import { allocatorDescriptions } from "@vnic/dma-api"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { describe, expect, it } from "vitest"
import { parseScenario } from "../src/Scenario.ts"
import { audited } from "./support/audit.ts"
import { world } from "./support/scenarios.ts"

type Settings = Readonly<Record<string, string>>

const shapes = [
  { cpus: 1, queues: 1, rx: 8, tx: 512 },
  { cpus: 3, queues: 2, rx: 104, tx: 16 }
] as const

const written = (shape: (typeof shapes)[number], rest: object) => ({
  measure: { warmUp: "0 ms", duration: "1 ms" },
  nic: { queues: shape.queues, rx: { descriptors: shape.rx }, tx: { descriptors: shape.tx } },
  host: { cpus: shape.cpus, memory: "256 MiB" },
  traffic: { kind: "closed-loop", streams: 2 * shape.queues, window: "16 KiB" },
  ...rest
})

const settingsOf = (settings: Settings): ReadonlyArray<string> =>
  Object.entries(settings).map(([path, value]) => `${path}=${value}`)

/** What the message about a setting says, or undefined where the world is taken. */
const messageOf = (file: object, settings: Settings): string | undefined => {
  const exit = Effect.runSyncExit(parseScenario(JSON.stringify(file), "mine", settingsOf(settings)).pipe(Effect.flip))
  return Exit.isSuccess(exit) ? exit.value.message : undefined
}

/** The least values that may be written. */
const LEAST: Settings = { "host.memory": "1 MiB", "iommu.window": "64 KiB" }

/** The value that is named where the least is too little. */
const namedFor = (file: object, settings: Settings, path: keyof typeof LEAST): string => {
  const message = messageOf(file, { ...settings, [path]: LEAST[path]! })
  if (message === undefined) return LEAST[path]!
  return /(?:at least|;) (\d+ \w+)(?: of memory would do|,|$| with)/u.exec(message)![1]!
}

const kibOf = (size: string): number => Number.parseInt(size, 10) * (size.endsWith("MiB") ? 1024 : 1)

const check = async (file: object, settings: Settings): Promise<void> => {
  const { runs } = Effect.runSync(parseScenario(JSON.stringify(file), "mine", settingsOf(settings)))
  const exit = await audited(runs[0]!.scenario, { seed: 1 })
  if (Exit.isFailure(exit)) throw new Error(JSON.stringify(settings), { cause: Cause.squash(exit.cause) })
  const { complaints, result } = exit.value
  const { answersDropped, delivered, dropped } = result.frames
  const isFlowing = delivered > 20 && result.checks.unsettled === 0
  const starved = { noReceiveBuffer: dropped.noReceiveBuffer, answersDropped }
  const expected = { complaints: [], isFlowing: true, starved: { noReceiveBuffer: 0, answersDropped: 0 } }
  expect({ settings, complaints, isFlowing, starved }).toEqual({ settings, ...expected })
}

const ways = (["map-per-packet", "page-chunk"] as const).flatMap((strategy) =>
  (["copy", "map"] as const).map((small) => ({ strategy, small }))
)

describe.each(ways)("what is named for $strategy, answers by $small,", ({ small, strategy }) => {
  const driver = { strategy, tx: { small } }

  it.each(Object.keys(allocatorDescriptions))("lets a window of TCEs work, %s", async (allocator) => {
    for (const shape of shapes) {
      const file = written(shape, { driver, dma: { allocator } })
      // Where memory lies at its own address, what is named of the two depends on the other: the table is memory too.
      const first = allocator === "identity" ? namedFor(file, {}, "host.memory") : "256 MiB"
      const enough = namedFor(file, { "host.memory": first }, "iommu.window")
      const memory = namedFor(file, { "iommu.window": enough }, "host.memory")
      const window = namedFor(file, { "host.memory": memory }, "iommu.window")
      const less = { "host.memory": memory, "iommu.window": `${kibOf(window) - 64} KiB` }
      expect(messageOf(file, less)).toContain("iommu.window")
      await check(file, { "iommu.window": window, "host.memory": memory })
    }
  })

  it("lets a host with VT-d work", async () => {
    const profile = "x86-sandybridge"
    for (const allocator of ["bitmap", "rbtree-rcache", "identity"]) {
      const file = written(shapes[1], { profile, driver, dma: { allocator }, iommu: { kind: "vtd" } })
      await check(file, { "host.memory": namedFor(file, {}, "host.memory") })
    }
  })

  it("lets a bounce buffer hold what it must", async () => {
    for (const profile of ["power7-pseries", "x86-sandybridge"]) {
      const file = written(shapes[1], { profile, driver, dma: { backend: "bounce" }, iommu: { kind: "none" } })
      await check(file, { "host.memory": namedFor(file, {}, "host.memory") })
    }
  })
})

describe("a bounce buffer that no memory makes large enough", () => {
  it("is said to need shorter rings", () => {
    const nic = { queues: 8, rx: { descriptors: 4096 } }
    const rest = { dma: { backend: "bounce" }, iommu: { kind: "none" }, driver: { strategy: "map-per-packet" } }
    expect(messageOf({ nic, ...rest }, {})).toMatch(/with map-per-packet; shorter rings$/u)
    expect(() => world({ nic: { queues: 2 }, ...rest })).not.toThrow()
  })
})
