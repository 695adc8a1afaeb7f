/** Measures one configuration in this process and prints the sample as JSON. */
import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import { runScenario } from "../src/Run.ts"
import { inlineMoreFor } from "../src/node/engine.ts"
import { parseScenario, resolveRuns } from "../src/Scenario.ts"
import { configurations } from "./configurations.ts"

const [, , name, size] = process.argv
const configuration = configurations.find((one) => one.name === name)
if (configuration === undefined) throw new Error(`no such configuration: ${name}`)
const durationMs = size === "tiny" ? 20 : configuration.durationMs
const text = readFileSync(new URL("../scenarios/cascardo-2013.yaml", import.meta.url), "utf8")
const settings = [...configuration.settings, "measure.warmUp=200 ms", `measure.duration=${durationMs} ms`]

const measured = Effect.gen(function* () {
  const runs = resolveRuns(yield* parseScenario(text, "cascardo-2013.yaml", settings))
  const { scenario } = runs.find((run) => run.name === configuration.run)!
  // As workers do.
  inlineMoreFor(scenario.measure.warmUpPs + scenario.measure.durationPs)
  let frames = 0
  let wallMs = 0
  let cpu = { user: 0, system: 0 }
  yield* runScenario(scenario, {
    seed: 1,
    payloadCheck: configuration.payloadCheck,
    onWindow: (edge, delivered) => {
      const sign = edge === "begin" ? -1 : 1
      frames += sign * delivered
      wallMs += sign * performance.now()
      cpu = process.cpuUsage(edge === "begin" ? undefined : cpu)
    }
  })
  return { frames, wallSeconds: wallMs / 1000, cpuSeconds: (cpu.user + cpu.system) / 1e6 }
})

console.log(JSON.stringify(await Effect.runPromise(measured)))
