/** From the issues of a Schema to messages that name a field and say what would be right. */
import * as SchemaAST from "effect/SchemaAST"
import type * as SchemaIssue from "effect/SchemaIssue"
import { kindOf, kindsWith } from "./Kinds.ts"
import { abridged, alternatives, nearestName, suggestion } from "./Names.ts"
import { type FieldPath, isSection } from "./ScenarioSource.ts"

/** A problem of one field, before it is known where the field is written. */
export interface FieldProblem {
  readonly path: FieldPath
  /** Whether the key itself is wrong, or its value. */
  readonly part: "key" | "value"
  readonly message: string
}

/** Every problem in an issue. The data that was decoded is needed to show values. */
export const fieldProblems = (issue: SchemaIssue.Issue, data: unknown): ReadonlyArray<FieldProblem> => {
  const problems: Array<FieldProblem> = []
  const visit = (part: SchemaIssue.Issue, path: FieldPath): void => {
    switch (part._tag) {
      case "Pointer":
        return visit(part.issue, [...path, ...part.path.map(String)])
      case "Filter": {
        const message = part.issue._tag === "InvalidValue" ? messageOf(part.issue) : undefined
        const ofCheck = part.filter.annotations?.["message"]
        if (message !== undefined || typeof ofCheck !== "string") return visit(part.issue, path)
        return void problems.push({ path, part: "value", message: `${shown(valueAt(data, path))} ${ofCheck}` })
      }
      case "Encoding":
        return visit(part.issue, path)
      case "Composite":
        for (const inner of part.issues) visit(inner, path)
        return
      case "AnyOf":
        if (part.issues.length === 1) return visit(part.issues[0]!, path)
        return void problems.push(alternativeProblem(part.ast, path, valueAt(data, path)))
      case "UnexpectedKey":
        return void problems.push({
          path,
          part: "key",
          message: unknownKey(path.at(-1) ?? "", part.ast)
        })
      case "MissingKey":
        return void problems.push(missingKey(path, part.annotations?.["messageMissingKey"], data))
      case "InvalidType":
        return void problems.push({
          path,
          part: "value",
          message: wrongType(part.ast, valueAt(data, path))
        })
      default:
        return void problems.push({
          path,
          part: "value",
          message: messageOf(part) ?? (valueAt(data, path) === "" ? "is empty" : "is not valid")
        })
    }
  }
  visit(issue, [])
  return problems
}

const messageOf = (issue: SchemaIssue.Issue): string | undefined => {
  const annotations = "annotations" in issue ? issue.annotations : undefined
  return typeof annotations?.["message"] === "string" ? annotations["message"] : undefined
}

/** The value at a path, as far as the data goes. */
const valueAt = (data: unknown, path: FieldPath): unknown => {
  let value = data
  for (const name of path) {
    if (typeof value !== "object" || value === null) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return value
}

const unknownKey = (key: string, ast: SchemaAST.AST): string => {
  const known = SchemaAST.isObjects(ast) ? ast.propertySignatures.map(({ name }) => String(name)) : []
  return `${abridged(key)} is not a known key; ${suggestion(key, known)}`
}

/** What a section lacks is said of the kind that needs it, which is written where the key is not. */
const missingKey = (path: FieldPath, what: unknown, data: unknown): FieldProblem => {
  const kindPath = [...path.slice(0, -1), "kind"]
  const kind = valueAt(data, kindPath)
  if (typeof kind !== "string") return { path, part: "key", message: "is missing" }
  const needed = typeof what === "string" ? `${path.join(".")}, ${what}` : path.join(".")
  return { path: kindPath, part: "value", message: `${kind} needs ${needed}` }
}

/** A value that fits none of several: an unknown word, or a section of unknown kind. */
const alternativeProblem = (ast: SchemaAST.Union, path: FieldPath, value: unknown): FieldProblem => {
  const words = ast.types.flatMap((type) => (SchemaAST.isLiteral(type) ? [String(type.literal)] : []))
  if (words.length > 0) return { path, part: "value", message: unknownWord(words, value) }
  const kinds = ast.types.map(kindOf).filter((kind) => kind !== undefined)
  if (kinds.length === 0 || !isSection(value)) {
    return { path, part: "value", message: `${shown(value)} is not a section with settings` }
  }
  const kindPath = [...path, "kind"]
  return "kind" in value
    ? { path: kindPath, part: "value", message: unknownWord(kinds, value["kind"]) }
    : {
        path: kindPath,
        part: "key",
        message: `is missing; use ${alternatives(kindsWith(ast.types, Object.keys(value)))}`
      }
}

const unknownWord = (words: ReadonlyArray<string>, value: unknown): string => {
  const nearest = typeof value === "string" ? nearestName(value, words) : undefined
  const hint = nearest === undefined ? "" : `; did you mean ${nearest}?`
  return `${shown(value)} is not ${alternatives(words)}${hint}`
}

const wrongType = (ast: SchemaAST.AST, value: unknown): string => {
  // A message that is set on a number stands at its first check, that of being finite.
  const message = ast.annotations?.["message"] ?? ast.checks?.[0].annotations?.["message"]
  if (typeof message === "string") return `${shownOfText(value)} ${message}`
  if (SchemaAST.isUnion(ast)) return alternativeProblem(ast, [], value).message
  if (SchemaAST.isLiteral(ast)) return unknownWord([String(ast.literal)], value)
  if (SchemaAST.isBoolean(ast)) return `${shownOfText(value)} is not true or false`
  if (SchemaAST.isString(ast)) return `${shown(value)} is not text`
  return `${shown(value)} is not a section with settings`
}

/** What is text where it would be something else without its quotes. */
const shownOfText = (value: unknown): string =>
  typeof value === "string" && /^(?:[-+]?\.?\d.*|true|false)$/su.test(value)
    ? `'${shown(value)}', a text,`
    : shown(value)

const shown = (value: unknown): string => {
  if (value === null || value === undefined) return "nothing"
  if (Array.isArray(value)) return "a list"
  if (typeof value === "object") return "a section"
  return abridged(String(value))
}
