#!/usr/bin/env node
/** The `vnic` command. Little is loaded here; commands load what they need. */
import * as nodeModule from "node:module"
import { isOldNode } from "./node/nodeVersion.ts"

if (isOldNode(process.versions.node)) {
  console.error(`vnic needs Node 22.19 or newer; this is Node ${process.versions.node}`)
  process.exit(1)
}
// Compiled modules are kept between calls: what a short command spends its time on is loading.
nodeModule.enableCompileCache()
const { main } = await import("./node/main.ts")
main(process.argv.slice(2))
