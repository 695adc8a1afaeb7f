/**
 * The lock across the table write, `dma.lockAcrossTableWrite`: a matter of the bitmap with a strict flush. What is not
 * written there means the bitmap's `both`; with anything else it means `none`.
 */
import type { Change } from "./Overrides.ts"
import { isSection } from "./ScenarioSource.ts"

const KEY = "lockAcrossTableWrite"
/** What the setting is good for; also what `dma` has where these are not written. */
const HOLDER = { allocator: "bitmap", flush: "strict" } as const

/** Whether there is a lock that can be held across the table write. */
export const hasTableLock = (dma: { readonly allocator: unknown; readonly flush: unknown }): boolean =>
  dma.allocator === HOLDER.allocator && dma.flush === HOLDER.flush

const ownDma = (root: Readonly<Record<string, unknown>>): Record<string, unknown> | undefined => {
  const dma = Object.hasOwn(root, "dma") ? root["dma"] : undefined
  return isSection(dma) ? dma : undefined
}

/** Where changes give `dma` what has no such lock, the setting is taken out: it was about something else. */
export const leaveTableLock = (root: Readonly<Record<string, unknown>>, changes: ReadonlyArray<Change>): void => {
  const isLeft = changes.some(
    ({ path: [section, name, ...rest], value }) =>
      section === "dma" && rest.length === 0 && (name === "allocator" || name === "flush") && value !== HOLDER[name]
  )
  if (isLeft) delete ownDma(root)?.[KEY]
}

/** Writes `none` where nothing is written and there is no such lock. */
export const defaultTableLock = (root: Readonly<Record<string, unknown>>): void => {
  const dma = ownDma(root)
  if (dma !== undefined && !Object.hasOwn(dma, KEY) && !hasTableLock({ ...HOLDER, ...dma })) dma[KEY] = "none"
}
