/** Settings of the JavaScript engine for long runs. */
import { setFlagsFromString } from "node:v8"

/**
 * Lets V8 inline more than it does by default. A frame's path is long and flat: each event crosses a dozen small
 * functions once, and what they cost is mostly the calls (docs/decisions/0014-speed.md).
 */
export const inlineMore = (): void => {
  setFlagsFromString("--max-inlined-bytecode-size-cumulative=3000")
  setFlagsFromString("--min-inlining-frequency=0.01")
}
