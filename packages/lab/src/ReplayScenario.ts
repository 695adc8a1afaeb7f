/** The world that a capture is replayed in when nothing but the capture is given. */
import * as Effect from "effect/Effect"
import { FlagInvalid } from "./Errors.ts"
import type { Setting } from "./Overrides.ts"
import { parseScenario } from "./Scenario.ts"

/**
 * A capture comes through whole at any rate: one flow of it may be sent at line rate to one queue whose CPU keeps
 * up with a tenth of that, so rings are as long as they can be, and what finds them empty waits in the packet
 * buffer. Four such rings with each buffer mapped by itself take half of the window of 1 GiB.
 */
const NIC = { queues: 4, rx: { descriptors: 16384, dropEnable: false } }

/** What is asked for on the command line, in its words. */
export interface ReplayRequest {
  readonly capture: string
  readonly strategy: string | undefined
  readonly rate: string | undefined
  /** Further settings, which win over the others. */
  readonly settings?: ReadonlyArray<Setting>
}

/** The default world with long rings, and a capture for traffic. */
export const replayScenario = Effect.fnUntraced(function* ({ capture, rate, settings, strategy }: ReplayRequest) {
  const changes: Array<Setting> = []
  if (rate !== undefined) changes.push({ flag: "--rate", path: "traffic.rate", value: rate })
  if (strategy !== undefined) changes.push({ flag: "--strategy", path: "driver.strategy", value: strategy })
  changes.push(...(settings ?? []))
  const untranslated = strategy === "direct" ? { iommu: { kind: "none" }, dma: { backend: "direct" } } : {}
  const traffic = { kind: "replay", capture }
  const text = JSON.stringify({ about: "Replay of a capture", nic: NIC, ...untranslated, traffic })
  const scenario = yield* parseScenario(text, "replay", changes)
  const { traffic: sent } = scenario.base
  if (sent.kind === "replay" && sent.capture === capture) return scenario
  return yield* new FlagInvalid({
    flag: "--set",
    reason: "the traffic of a replay is its capture; for other traffic there is vnic run"
  })
})
