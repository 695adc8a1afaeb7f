/** Entry of a worker. Compiled modules are kept between runs: loading is most of what a short run takes. */
import * as nodeModule from "node:module"
import { parentPort } from "node:worker_threads"

nodeModule.enableCompileCache()
const { serve } = await import("./serve.ts")
// What is compiled under other settings of the engine, which a long run changes, would not be taken next time.
nodeModule.flushCompileCache()
// What this thread said before its taker listens would be lost: it begins when it is told to.
parentPort!.once("message", serve)
