#!/usr/bin/env node
// The `vnic` command in the workspace, where it runs from its TypeScript sources. A Node that cannot run those fails
// before their first line, so this file is plain JavaScript that any Node can read.
import * as nodeModule from "node:module"

if (process.features.typescript) {
  // Before the first of them is read: what the cache has needs no stripping of types, and no stripper.
  nodeModule.enableCompileCache()
  await import("../src/main.ts")
} else {
  console.error(`vnic needs Node 22.19 or newer, which runs TypeScript; this is Node ${process.versions.node}`)
  process.exitCode = 1
}
