/** Finds the functions of a source and how long they are, by their braces. */
import { lineAt } from "../../scripts/lib/scanner.ts"
import type { SourceFile } from "../../scripts/lib/sources.ts"

export interface FunctionSpan {
  /** What the line says on which the function begins. */
  readonly head: string
  readonly line: number
  readonly lineCount: number
  /** The function that it is handed to, as in `describe.each`; "" if none. */
  readonly callee: string
}

const CONTROL = new Set(["if", "for", "while", "switch", "catch", "with"])
/** From the parameters' end to the body: nothing, or a return type without braces. */
const BEFORE_BODY = /\)\s*(?::\s*[^;{}=()]*(?:\([^;{}=()]*\)[^;{}=()]*)?)?$/u

/** All functions, methods and block-bodied arrow functions of a file, inner ones too. */
export const functionsOf = ({ scan, text }: SourceFile): ReadonlyArray<FunctionSpan> => {
  const { bare } = scan
  const lines = text.split("\n")
  const open: Array<number | undefined> = []
  const spans: Array<FunctionSpan> = []
  for (let at = 0; at < bare.length; at += 1) {
    if (bare[at] === "{") open.push(startOfFunction(bare, at))
    if (bare[at] !== "}") continue
    const start = open.pop()
    if (start === undefined) continue
    const line = lineAt(bare, start)
    const lineCount = lineAt(bare, at) - line + 1
    spans.push({ head: lines[line - 1]!.trim(), line, lineCount, callee: calleeOf(bare, start) })
  }
  return spans
}

/** Where the function begins whose body opens at this brace, if one does. */
const startOfFunction = (bare: string, brace: number): number | undefined => {
  const before = bare.slice(Math.max(0, brace - 2000), brace).trimEnd()
  const end = Math.max(0, brace - 2000) + before.length
  if (before.endsWith("=>")) return arrowParameters(bare, end - 2)
  const tail = BEFORE_BODY.exec(before)
  if (tail === null) return undefined
  const close = end - tail[0].length
  const parameters = openingOf(bare, close)
  const word = /([\w$]+)\s*(?:<[^()]*>)?\s*$/u.exec(bare.slice(Math.max(0, parameters - 200), parameters))?.[1]
  return word !== undefined && CONTROL.has(word) ? undefined : parameters
}

/** Name of the function whose arguments this position is among. */
const calleeOf = (bare: string, position: number): string => {
  let depth = 0
  let at = position - 1
  for (; at >= 0 && depth < 1; at -= 1) {
    if (")]}".includes(bare[at]!)) depth -= 1
    if ("([{".includes(bare[at]!)) depth += 1
  }
  if (bare[at + 1] !== "(") return ""
  // A table of cases may stand between the name and these arguments.
  const before = bare.slice(0, at + 1).trimEnd()
  const end = before.endsWith(")") ? openingOf(before, before.length - 1) : before.length
  return /[\w$.]*$/u.exec(before.slice(0, end))![0]
}

/** Position of the parenthesis that the one at `close` closes. */
const openingOf = (bare: string, close: number): number => {
  let depth = 0
  for (let at = close; at >= 0; at -= 1) {
    if (bare[at] === ")") depth += 1
    if (bare[at] === "(") depth -= 1
    if (depth === 0) return at
  }
  return 0
}

/** Where the parameters begin that end before an arrow. */
const arrowParameters = (bare: string, arrow: number): number => {
  const from = Math.max(0, arrow - 500)
  const end = /\)\s*(?::[^;{}=()]*)?$/u.exec(bare.slice(from, arrow))
  return end === null ? arrow : openingOf(bare, from + end.index)
}
