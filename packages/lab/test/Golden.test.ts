/**
 * The built-in scenario's table and results, as they are checked in.
 *
 * Goal: no change of code changes a published result unnoticed. Method: the real command's output is compared
 * with the files in golden/, which it can write.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, describe, expect, it } from "vitest"

const NAME = "cascardo-2013"
const UPDATE = "VNIC_UPDATE_GOLDEN"
const HOW = `if the change is meant, run \`${UPDATE}=1 pnpm --filter @vnic/lab test Golden\` and commit the result`

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url))
const GOLDEN = fileURLToPath(new URL("golden/", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "vnic-golden-"))
afterAll(() => rmSync(folder, { recursive: true }))

const resultsOf = (): { readonly table: string; readonly json: string } => {
  const file = join(folder, "result.json")
  const args = [MAIN, "run", NAME, "--reproducible", "--json", file]
  const { status, stderr, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" })
  expect([status, stderr]).toEqual([0, ""])
  // The version changes with every release, the results do not.
  const { version: _, ...results } = JSON.parse(readFileSync(file, "utf8"))
  return { table: stdout, json: `${JSON.stringify(results, null, 2)}\n` }
}

describe(NAME, () => {
  it("is what is checked in", () => {
    const { json, table } = resultsOf()
    if (process.env[UPDATE] !== undefined) {
      mkdirSync(GOLDEN, { recursive: true })
      writeFileSync(`${GOLDEN}${NAME}.txt`, table)
      writeFileSync(`${GOLDEN}${NAME}.json`, json)
    }
    expect({ HOW, table }).toEqual({ HOW, table: readFileSync(`${GOLDEN}${NAME}.txt`, "utf8") })
    expect({ HOW, json }).toEqual({ HOW, json: readFileSync(`${GOLDEN}${NAME}.json`, "utf8") })
    for (const line of table.split("\n")) expect(line.length).toBeLessThanOrEqual(80)
  })
})
