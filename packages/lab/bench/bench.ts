/**
 * Simulated frames delivered per wall second, each configuration in a process of its own. The whole path
 * runs: bytes copied, addresses translated, allocator and hypercalls executed, accounts kept. Of each frame
 * length, headers, sequence and one rotating 64-byte line of payload are checked; the row `all bytes` checks
 * everything, as `run` and the tests do.
 *
 *     pnpm bench [--tiny] [--repeats N] [--only TEXT] [--json FILE]
 *
 * Repeats go round the configurations in turns, so that a noisy machine disturbs all alike. A row shows
 * the median and the best; CPU is the process's own time, which a busy machine disturbs less.
 */
import { spawnSync } from "node:child_process"
import { writeFileSync, renameSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { configurations, type Sample } from "./configurations.ts"

interface Arguments {
  readonly isTiny: boolean
  readonly repeats: number
  readonly only: string
  readonly json: string | undefined
}

function readArguments(words: ReadonlyArray<string>): Arguments {
  const valueOf = (flag: string): string | undefined => {
    const index = words.indexOf(flag)
    return index < 0 ? undefined : words[index + 1]
  }
  const isTiny = words.includes("--tiny")
  return {
    isTiny,
    repeats: Number(valueOf("--repeats") ?? (isTiny ? 1 : 3)),
    only: valueOf("--only") ?? "",
    json: valueOf("--json")
  }
}

function measure(name: string, isTiny: boolean): Sample {
  const worker = fileURLToPath(new URL("one.ts", import.meta.url))
  const run = spawnSync(process.execPath, [worker, name, isTiny ? "tiny" : "full"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"]
  })
  if (run.status !== 0) throw new Error(`the benchmark of ${name} failed`)
  return JSON.parse(run.stdout) as Sample
}

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
const millions = (value: number): string => (value / 1e6).toFixed(3).padStart(8)

const { isTiny, json, only, repeats } = readArguments(process.argv.slice(2))
const chosen = configurations.map(({ name }) => name).filter((name) => name.includes(only))
const samples = new Map<string, Array<Sample>>(chosen.map((name) => [name, []]))
for (let repeat = 0; repeat < repeats; repeat++) {
  for (const name of chosen) samples.get(name)!.push(measure(name, isTiny))
}

console.log("million frames delivered     median    best   per CPU s")
const rows = chosen.map((name) => {
  const rates = samples.get(name)!.map((sample) => sample.frames / sample.wallSeconds)
  const perCpu = samples.get(name)!.map((sample) => sample.frames / sample.cpuSeconds)
  console.log(
    `${name.padEnd(26)} ${millions(median(rates))}${millions(Math.max(...rates))}${millions(Math.max(...perCpu))}`
  )
  return { name, framesPerSecond: Math.round(median(rates)) }
})
if (json !== undefined) {
  writeFileSync(`${json}.partial`, `${JSON.stringify(rows, null, 2)}\n`)
  renameSync(`${json}.partial`, json)
}
