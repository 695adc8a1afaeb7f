/** What the installed effect package promises: the `@stability` tags of its modules and of what they export. */
import { existsSync, readFileSync } from "node:fs"
import { ROOT } from "../../scripts/lib/sources.ts"

/** stable keeps to semantic versions, unstable may break in a minor version, experimental in a patch. */
export type Stability = "stable" | "unstable" | "experimental"

export interface ModuleStability {
  /** The best tag of its exports: a module that is not stable is so as a whole. */
  readonly module: Stability
  /** The tag of each export; the best one where overloads differ. */
  readonly exports: ReadonlyMap<string, Stability>
}

const BEST_FIRST: ReadonlyArray<Stability> = ["stable", "unstable", "experimental"]

const TAGGED = /^\/\*\*(?:(?!\*\/)[^])*?@stability (\w+)(?:(?!\*\/)[^])*\*\/\s*/u.source
const DECLARED = /export\s+(?:declare\s+)?(?:abstract\s+)?(?:function|const|class|interface|type|namespace)\s+([\w$]+)/u
const LISTED = /(?:[\w$]+\s+as\s+)?([\w$]+)\s*[,}]/u
const EXPORT = new RegExp(`${TAGGED}(?:${DECLARED.source}|${LISTED.source})`, "gmu")

/** Reads the tags from the text of a module's declarations. */
export const stabilityIn = (declarations: string): ModuleStability | undefined => {
  const exports = new Map<string, Stability>()
  for (const [, tag, declared, listed] of declarations.matchAll(EXPORT)) {
    const name = declared ?? listed!
    if (exports.get(name) !== "stable") exports.set(name, tag as Stability)
  }
  const tags = new Set(exports.values())
  const module = BEST_FIRST.find((tag) => tags.has(tag))
  return module === undefined ? undefined : { module, exports }
}

const known = new Map<string, ModuleStability | undefined>()

/** The tags of `effect/Schema` and the like; undefined when there is no such module or it has none. */
export const stabilityOf = (specifier: string): ModuleStability | undefined => {
  if (!known.has(specifier)) {
    const path = `${ROOT}node_modules/effect/dist/${specifier.replace(/^effect\//u, "")}.d.ts`
    known.set(specifier, existsSync(path) ? stabilityIn(readFileSync(path, "utf8")) : undefined)
  }
  return known.get(specifier)
}
