/** Finds what a module imports, from its text. */
import { lineAt, scan } from "./scanner.ts"

/** One name of an import or export clause, as the other module calls it; `*` for all of it. */
export interface ImportedName {
  readonly name: string
  readonly local: string
  readonly isType: boolean
}

export interface Import {
  readonly specifier: string
  readonly line: number
  readonly kind: "import" | "export" | "dynamic"
  /** Empty for an import that only runs the module. */
  readonly names: ReadonlyArray<ImportedName>
  /** Vanishes when the types are stripped. */
  readonly isTypeOnly: boolean
}

/** An import whose module is computed: no rule can be checked on it. */
export const COMPUTED = "<computed>"

const FROM =
  /(?<![\w$.])(import|export)\s+(type\s+)?((?:[\w$*,\s]|\{[^{}]*\})+?)\s*(?<=[\s}])from\s*(["'])([^"'\n]+)\4/gu
const SIDE_EFFECT = /(?<![\w$.])import\s*(["'])([^"'\n]+)\1/gu
const CALL = /(?<![\w$])(typeof\s+)?(?<!\.)(?:import|require)\s*\(\s*(?:(["'])([^"'\n]+)\2\s*[,)])?/gu

/** All imports and re-exports of a module, in the order of its text by kind. */
export const importsOf = (source: string): ReadonlyArray<Import> => {
  const { code, bare } = scan(source)
  const found: Array<Import> = []
  // A match inside a string or template is blank in the bare view.
  const isCode = (position: number): boolean => bare[position] === code[position] && bare[position] !== " "
  for (const match of code.matchAll(FROM)) {
    if (!isCode(match.index)) continue
    const [, kind, type, clause, , specifier] = match
    const names = namesOf(clause!, type !== undefined)
    found.push({
      specifier: specifier!,
      line: lineAt(source, match.index),
      kind: kind === "export" ? "export" : "import",
      names,
      isTypeOnly: names.length > 0 && names.every(({ isType }) => isType)
    })
  }
  for (const match of code.matchAll(SIDE_EFFECT)) {
    if (!isCode(match.index)) continue
    const line = lineAt(source, match.index)
    found.push({ specifier: match[2]!, line, kind: "import", names: [], isTypeOnly: false })
  }
  for (const match of code.matchAll(CALL)) {
    if (!isCode(match.index)) continue
    const isTypeOnly = match[1] !== undefined
    const names = [{ name: "*", local: "*", isType: isTypeOnly }]
    const line = lineAt(source, match.index)
    found.push({ specifier: match[3] ?? COMPUTED, line, kind: "dynamic", names, isTypeOnly })
  }
  return found
}

const namesOf = (clause: string, isType: boolean): ReadonlyArray<ImportedName> => {
  const names: Array<ImportedName> = []
  const braces = /\{([^{}]*)\}/u.exec(clause)
  for (const part of braces?.[1]!.split(",") ?? []) {
    const match = /^\s*(type\s+)?([\w$]+)(?:\s+as\s+([\w$]+))?\s*$/u.exec(part)
    if (match === null) continue
    const [, type, name, local] = match
    names.push({ name: name!, local: local ?? name!, isType: isType || type !== undefined })
  }
  for (const part of clause.replace(/\{[^{}]*\}/u, "").split(",")) {
    const all = /^\s*\*(?:\s+as\s+([\w$]+))?\s*$/u.exec(part)
    const single = /^\s*([\w$]+)\s*$/u.exec(part)
    if (all !== null) names.push({ name: "*", local: all[1] ?? "*", isType })
    else if (single !== null) names.push({ name: "default", local: single[1]!, isType })
  }
  return names
}

/** The package of a specifier: `@vnic/sim` of `@vnic/sim/core`, `effect` of `effect/Effect`. */
export const packageOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/")
