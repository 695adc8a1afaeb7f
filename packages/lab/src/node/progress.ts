/** One line on stderr that says how far the runs are, if somebody can see it. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

const ERASE_LINE = "\r\u001b[K"
const INTERVAL_MS = 100

/** Tells how far each run is, by its index and a fraction of 1; the line is erased when the scope closes. */
export const progressLine = (
  names: ReadonlyArray<string>,
  isWanted: boolean
): Effect.Effect<(index: number, fraction: number) => void, never, Scope.Scope> => {
  const { stderr } = process
  if (!isWanted || !stderr.isTTY) return Effect.succeed(() => undefined)
  const fractions = names.map(() => 0)
  let writtenAtMs = 0
  const update = (index: number, fraction: number): void => {
    fractions[index] = fraction
    const nowMs = performance.now()
    if (nowMs - writtenAtMs < INTERVAL_MS && fraction < 1) return
    writtenAtMs = nowMs
    const parts = names.map((name, position) => `${name} ${Math.floor(fractions[position]! * 100)}%`)
    stderr.write(`${ERASE_LINE}${parts.join("  ").slice(0, Math.max(1, (stderr.columns ?? 80) - 1))}`)
  }
  return Effect.acquireRelease(Effect.succeed(update), () => Effect.sync(() => void stderr.write(ERASE_LINE)))
}
