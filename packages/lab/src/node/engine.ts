/** Settings of the JavaScript engine for long runs. */
import { setFlagsFromString } from "node:v8"

/** Simulated time from which on a run gains more than it loses: compiling takes longer, modules are compiled anew. */
const LONG_RUN_PS = 500e9

/**
 * Lets V8 inline more than it does by default, for a run of this simulated length. A frame's path is long and flat:
 * each event crosses a dozen small functions once, and what they cost is mostly the calls
 * (docs/decisions/0014-speed.md).
 */
export const inlineMoreFor = (simulatedPs: number): void => {
  if (simulatedPs < LONG_RUN_PS) return
  setFlagsFromString("--max-inlined-bytecode-size-cumulative=3000")
  setFlagsFromString("--min-inlining-frequency=0.01")
}
