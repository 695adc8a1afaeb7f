/**
 * The reference of the results is of the results.
 *
 * Goal: no field without a meaning, and no meaning without a field. Method: envelopes of real runs, on both platforms
 * and with a run that failed, are taken apart into paths.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import { envelopeOf } from "../src/cli/envelope.ts"
import { RunFailed } from "../src/Errors.ts"
import { resultMeanings } from "../src/ResultMeanings.ts"
import { parseScenario } from "../src/Scenario.ts"
import { runOf, world } from "./support/scenarios.ts"

const scenario = Effect.runSync(parseScenario("{}", "mine.yaml"))

/** Paths of what is in a result, each entry of a list under the same one; settings have a reference of their own. */
const fields = (value: unknown, path: string): ReadonlyArray<string> => {
  if (typeof value !== "object" || value === null || path === "settings") return [path]
  if (Array.isArray(value)) return value.flatMap((entry) => fields(entry, `${path}[]`))
  const prefix = path === "" ? "" : `${path}.`
  return Object.entries(value).flatMap(([key, entry]) => fields(entry, prefix + key))
}

describe("the meanings of results", () => {
  it("are those of every field, and of no other", async () => {
    const measure = { warmUp: "0 ps", duration: "1 ms" }
    const sandyBridge = { profile: "x86-sandybridge", iommu: { kind: "vtd" }, dma: { allocator: "rbtree" } }
    const results = await Promise.all(
      [{}, sandyBridge].map((platform) => runOf(world({ ...platform, measure, nic: { queues: 1 } })))
    )
    const failure = Result.fail(new RunFailed({ run: "b", reason: "no memory" }))
    const envelope = envelopeOf(scenario, [...results.map((result) => Result.succeed({ result })), failure], 2)
    const found = new Set(fields(envelope, ""))
    expect([...found].toSorted()).toEqual(Object.keys(resultMeanings).toSorted())
  })

  it("say of what in simulated time a quantity is, and its unit", () => {
    for (const [field, { span, unit }] of Object.entries(resultMeanings)) {
      if (/Ns\b|^runs\[\]\.(?:latencyNs|cpu\.nsPerFrame)/u.test(field)) expect([field, unit]).toEqual([field, "ns"])
      if (unit !== "" && !field.startsWith("wall.")) expect([field, span]).not.toEqual([field, ""])
    }
  })
})
