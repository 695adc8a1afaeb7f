/**
 * Simulated frames delivered per wall second, each configuration in a process of its own. The whole path
 * runs: bytes copied, addresses translated, allocator and hypercalls executed, accounts kept. Of each frame
 * length, headers, sequence and one rotating 64-byte line of payload are checked; the row `all bytes` checks
 * everything, as `run` and the tests do. Then nanoseconds of an IOVA allocator's operations (packages/dma-api/bench).
 *
 *     pnpm bench [--tiny] [--repeats N] [--only TEXT] [--json FILE]
 *
 * Repeats go round the configurations in turns, so that a noisy machine disturbs all alike. A row shows
 * the median and the best; CPU is the process's own time, which a busy machine disturbs less.
 */
import { spawnSync } from "node:child_process"
import { existsSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import { enableCompileCache, getCompileCacheDir } from "node:module"
import { fileURLToPath } from "node:url"
import { readArguments } from "./arguments.ts"
import { configurations, type Sample } from "./configurations.ts"

/** Of an allocator's operation. */
interface OperationSample {
  readonly nsPerOperation: number
}

const scenarioWorker = fileURLToPath(new URL("one.ts", import.meta.url))
const allocatorWorker = fileURLToPath(new URL("../../dma-api/bench/one.ts", import.meta.url))

// Stripped sources come from the compile cache, as they do for the workers of a run (bin/worker.js).
enableCompileCache()
const environment = { ...process.env, NODE_COMPILE_CACHE: getCompileCacheDir() }

/** What a process of its own prints. */
function runWorker(worker: string, words: ReadonlyArray<string>): unknown {
  const run = spawnSync(process.execPath, [worker, ...words], {
    encoding: "utf8",
    env: environment,
    stdio: ["ignore", "pipe", "inherit"]
  })
  if (run.status !== 0) throw new Error(`the benchmark of ${words[0] ?? worker} failed`)
  return JSON.parse(run.stdout)
}

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
const millions = (value: number): string => (value / 1e6).toFixed(3).padStart(8)
const nanoseconds = (value: number): string => value.toFixed(1).padStart(8)

const configurationNames = configurations.map(({ name }) => name)
const operationNames = runWorker(allocatorWorker, []) as ReadonlyArray<string>

function refuse(problem: string): never {
  console.error(problem)
  process.exit(1)
}

const read = readArguments(process.argv.slice(2), [...configurationNames, ...operationNames])
if ("problem" in read) refuse(read.problem)
const { isTiny, json, only, repeats } = read
const partial = `${json}.partial`
if (json !== undefined) {
  // A file that cannot be written is found out before anything is measured.
  try {
    if (existsSync(json) && !statSync(json).isFile()) refuse(`--json ${json}: not a file`)
    writeFileSync(partial, "")
  } catch (error) {
    refuse(`--json ${json}: cannot be written: ${error instanceof Error ? error.message : String(error)}`)
  }
  process.on("exit", () => rmSync(partial, { force: true }))
  process.on("SIGINT", () => process.exit(130))
}

/** Measures what is chosen of the rows of a worker, in rounds. */
function measureAll<A>(worker: string, names: ReadonlyArray<string>): ReadonlyMap<string, ReadonlyArray<A>> {
  const samples = new Map<string, Array<A>>(names.filter((name) => name.includes(only)).map((name) => [name, []]))
  const [first] = samples.keys()
  // What fills the cache is not measured.
  if (first !== undefined) runWorker(worker, [first, "tiny"])
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const [name, own] of samples) own.push(runWorker(worker, [name, isTiny ? "tiny" : "full"]) as A)
  }
  return samples
}

const frameSamples = measureAll<Sample>(scenarioWorker, configurationNames)
if (frameSamples.size > 0) console.log("million frames delivered     median    best   per CPU s")
const frameRows = [...frameSamples].map(([name, samples]) => {
  const rates = samples.map((sample) => sample.frames / sample.wallSeconds)
  const perCpu = samples.map((sample) => sample.frames / sample.cpuSeconds)
  console.log(
    `${name.padEnd(26)} ${millions(median(rates))}${millions(Math.max(...rates))}${millions(Math.max(...perCpu))}`
  )
  return { name, framesPerSecond: Math.round(median(rates)) }
})

const operationSamples = measureAll<OperationSample>(allocatorWorker, operationNames)
if (operationSamples.size > 0) console.log("nanoseconds an operation                median    best")
const operationRows = [...operationSamples].map(([name, samples]) => {
  const costs = samples.map(({ nsPerOperation }) => nsPerOperation)
  console.log(`${name.padEnd(38)}${nanoseconds(median(costs))}${nanoseconds(Math.min(...costs))}`)
  return { name, nsPerOperation: Number(median(costs).toFixed(1)) }
})

if (json !== undefined) {
  writeFileSync(partial, `${JSON.stringify([...frameRows, ...operationRows], null, 2)}\n`)
  renameSync(partial, json)
}
