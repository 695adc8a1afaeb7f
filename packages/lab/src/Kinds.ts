/** Sections that come in several kinds, each with settings of its own: `kind` says which one is written. */
import * as SchemaAST from "effect/SchemaAST"
import type { Change } from "./Overrides.ts"
import { type FieldPath, isSection } from "./ScenarioSource.ts"

const fieldsOf = (ast: SchemaAST.AST): ReadonlyArray<{ readonly name: string; readonly type: SchemaAST.AST }> => {
  const written = SchemaAST.toEncoded(ast)
  if (!SchemaAST.isObjects(written)) return []
  return written.propertySignatures.map(({ name, type }) => ({ name: String(name), type }))
}

/** The kind that a section is by its schema. */
export const kindOf = (ast: SchemaAST.AST): string | undefined => {
  const kind = fieldsOf(ast).find(({ name }) => name === "kind")?.type
  return kind !== undefined && SchemaAST.isLiteral(kind) ? String(kind.literal) : undefined
}

/** The settings of each kind of the section at a path; empty where it does not come in kinds. */
const settingsByKind = (world: SchemaAST.AST, path: FieldPath): ReadonlyMap<unknown, ReadonlySet<string>> => {
  let section: SchemaAST.AST | undefined = world
  for (const key of path) section = section && fieldsOf(section).find(({ name }) => name === key)?.type
  const kinds = section !== undefined && SchemaAST.isUnion(section) ? section.types : []
  return new Map(kinds.map((kind) => [kindOf(kind), new Set(fieldsOf(kind).map(({ name }) => name))]))
}

/** The kinds that know all these settings of a section; all kinds where none does. */
export const kindsWith = (kinds: ReadonlyArray<SchemaAST.AST>, keys: ReadonlyArray<string>): ReadonlyArray<string> => {
  const knows = (ast: SchemaAST.AST): boolean => {
    const known = fieldsOf(ast).map(({ name }) => name)
    return keys.every((key) => known.includes(key))
  }
  const fitting = kinds.filter(knows)
  return (fitting.length > 0 ? fitting : kinds).map(kindOf).filter((kind) => kind !== undefined)
}

const sectionAt = (root: Record<string, unknown>, path: FieldPath): Record<string, unknown> | undefined => {
  let value: unknown = root
  for (const name of path) value = isSection(value) && Object.hasOwn(value, name) ? value[name] : undefined
  return isSection(value) ? value : undefined
}

/** The kind that a section says it is. */
export const writtenKind = (root: Record<string, unknown>, name: string): unknown => sectionAt(root, [name])?.["kind"]

/**
 * Gives a section that does not say its kind the default one, unless it has settings that only other kinds know, or was
 * of another kind before it was written anew: then the kind was forgotten.
 */
export const defaultKind = (
  world: SchemaAST.AST,
  root: Record<string, unknown>,
  [name, kind]: readonly [section: string, kind: string],
  before: unknown = undefined
): void => {
  const section = sectionAt(root, [name])
  if (section === undefined || Object.hasOwn(section, "kind")) return
  if (before !== undefined && before !== kind) return
  const settings = settingsByKind(world, [name])
  const others = [...settings.values()].flatMap((known) => [...known])
  const isOther = (key: string): boolean => others.includes(key) && settings.get(kind)?.has(key) !== true
  if (!Object.keys(section).some(isOther)) section["kind"] = kind
}

/**
 * Where changes give a section another kind, what only its old kind knows is taken out of it: whoever asks for another
 * kind has no use for it. What both kinds know stays, and so does what neither does, to be reported.
 */
export const leaveKinds = (
  world: SchemaAST.AST,
  root: Record<string, unknown>,
  changes: ReadonlyArray<Change>
): void => {
  for (const { path, value } of changes) {
    if (path.at(-1) !== "kind") continue
    const section = sectionAt(root, path.slice(0, -1))
    const settings = settingsByKind(world, path.slice(0, -1))
    const next = settings.get(value)
    if (section === undefined || next === undefined) continue
    for (const key of settings.get(section["kind"]) ?? []) if (!next.has(key)) delete section[key]
  }
}
