/** What is written when a run fails: the results of the others, and its name with the reason. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { expect, it } from "vitest"
import { envelopeOf } from "../src/cli/envelope.ts"
import { RunFailed } from "../src/Errors.ts"
import type { RunResult } from "../src/Result.ts"
import { parseScenario } from "../src/Scenario.ts"

const scenario = Effect.runSync(parseScenario("runs: { a: {}, b: {}, c: {} }", "mine.yaml"))
const result = (name: string) => Result.succeed({ result: { name, frames: { delivered: 5 } } as RunResult })

it("keeps the results of the runs that ended, and says which did not", () => {
  const failure = Result.fail(new RunFailed({ run: "b", reason: "no memory" }))
  const { failed, runs, wall } = envelopeOf(scenario, [result("a"), failure, result("c")], 2)
  expect(runs.map(({ name }) => name)).toEqual(["a", "c"])
  expect(failed).toEqual([{ name: "b", reason: "no memory" }])
  expect(wall).toEqual({ seconds: 2, framesPerSecond: 5 })
})

it("has the same keys when all went well", () => {
  const envelope = envelopeOf(scenario, [result("a")], undefined)
  expect(envelope.failed).toEqual([])
  expect("wall" in envelope).toBe(false)
})
