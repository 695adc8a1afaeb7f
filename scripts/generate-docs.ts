/**
 * Writes docs/reference from what the code says of itself. With --check it writes nothing and fails when a page is not
 * what it would write.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { cliPage } from "./docs/cli.ts"
import { dmaDebugPage } from "./docs/dmaDebug.ts"
import { modelDeviationsPage } from "./docs/modelDeviations.ts"
import { profilesPage } from "./docs/profiles.ts"
import { registersPage } from "./docs/registers.ts"
import { resultsPage } from "./docs/results.ts"
import { scenarioPage } from "./docs/scenario.ts"
import { ROOT } from "./lib/sources.ts"

const FOLDER = "docs/reference/"
const isCheck = process.argv.includes("--check")

const pages = [
  registersPage(),
  scenarioPage(),
  resultsPage(),
  profilesPage(),
  dmaDebugPage(),
  modelDeviationsPage(),
  await cliPage()
]
const written = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "")
const stale = pages.filter(({ name, text }) => written(ROOT + FOLDER + name) !== text)

if (isCheck) {
  for (const { name } of stale) console.error(`${FOLDER}${name} is stale: run \`pnpm run docs\` and commit the result`)
  process.exitCode = stale.length === 0 ? 0 : 1
} else {
  mkdirSync(ROOT + FOLDER, { recursive: true })
  for (const { name, text } of stale) writeFileSync(ROOT + FOLDER + name, text)
  console.log(`${pages.length} pages, ${stale.length} of them changed: ${stale.map(({ name }) => name).join(", ")}`)
}
