/**
 * Broken invariants throw, always on. The throw sits out of line with a constant text, so that an
 * assertion costs about a nanosecond in the hot loops (no message is built on the way).
 */
export function fail(text: string): never {
  throw new Error(`invariant broken: ${text}`)
}

/** Throws `text` when `condition` does not hold. */
export function assert(condition: boolean, text: string): asserts condition {
  if (!condition) fail(text)
}
