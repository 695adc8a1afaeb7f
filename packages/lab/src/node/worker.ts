/** Entry of a worker. Compiled modules are kept between runs: loading is most of what a short run takes. */
import * as nodeModule from "node:module"

nodeModule.enableCompileCache()
await import("./serve.ts")
