/**
 * Measures one row in this process and prints it as JSON; without a name, prints the names of all.
 *
 *     node packages/dma-api/bench/one.ts ["alloc+free maple 10000" [tiny]]
 *
 * Operations are called in rounds, as the clock costs more than one of them; of the rounds the median is taken, which
 * hardly knows of those that a busy machine interrupted.
 */
import { measure } from "mitata"
import { rows } from "./rows.ts"

const TINY_NS = 20e6
const FULL_NS = 1000e6
/** Operations in a round. */
const ROUND = 2048

const [, , name, size] = process.argv
if (name === undefined) {
  console.log(JSON.stringify(rows.map((row) => row.name)))
} else {
  const row = rows.find((candidate) => candidate.name === name)
  if (row === undefined) throw new Error(`no such row: ${name}`)
  const { operation, unitsPerOperation } = row.setUp()
  const round = (): void => {
    for (let count = 0; count < ROUND; count++) operation()
  }
  const { p50 } = await measure(round, { min_cpu_time: size === "tiny" ? TINY_NS : FULL_NS })
  const units = ROUND * unitsPerOperation()
  console.log(JSON.stringify({ nsPerOperation: p50 / units }))
}
