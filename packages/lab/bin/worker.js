// A worker's entry in the workspace, where the sources are TypeScript.
//
// Node strips types in WebAssembly, whose memory grows as it does so; from then on V8 checks at every access to a typed
// array of that thread that its buffer has not been detached, which costs a sixth of the speed. Stripped sources come
// from the compile cache instead when it has them, and this file needs no stripping itself.
import { enableCompileCache } from "node:module"

enableCompileCache()
await import("../src/node/worker.ts")
