#!/usr/bin/env node
// The `vnic` command in the workspace, where it runs from its TypeScript sources. A Node that cannot run those fails
// before their first line, so this file is plain JavaScript that any Node can read.
if (process.features.typescript) {
  await import("../src/main.ts")
} else {
  console.error(`vnic needs Node 22.19 or newer, which runs TypeScript; this is Node ${process.versions.node}`)
  process.exitCode = 1
}
