/** The text of a scenario as plain data that remembers where each key and value is written. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml"
import type { Problem } from "./Errors.ts"

/** Path of a field from the top of the file. */
export type FieldPath = ReadonlyArray<string>

/** Parsed text, without any meaning yet. */
export interface ScenarioSource {
  readonly fileName: string
  /** The whole document as plain data. */
  readonly root: Record<string, unknown>
  /** `mine.yaml:4:22` of a key or a value; of the nearest enclosing key if the field is not written. */
  readonly locate: (path: FieldPath, part: "key" | "value") => string
}

/** True for a section: a mapping that is not a list. */
export const isSection = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Reads YAML (JSON is YAML too), or says where the text breaks its rules. */
export const readSource = (text: string, fileName: string): ScenarioSource | ReadonlyArray<Problem> => {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const at = (offset: number): string => {
    const { col, line } = lines.linePos(offset)
    return `${fileName}:${line}:${col}`
  }
  if (document.errors.length > 0) {
    return document.errors.map((error) => ({
      where: at(error.pos[0]),
      path: "",
      message: sentence(error.message)
    }))
  }
  const root = toPlain(() => document.toJS({ maxAliasCount: 100 }))
  if (!isSection(root)) {
    const message = "a scenario is a mapping of settings; `vnic show smoke` prints one to start from"
    return [{ where: `${fileName}:1:1`, path: "", message }]
  }

  const follow = (node: Node | null | undefined): Node | null | undefined =>
    isAlias(node) ? node.resolve(document) : node
  const locate = (path: FieldPath, part: "key" | "value"): string => {
    let node = follow(document.contents)
    let offset = node?.range?.[0] ?? 0
    for (const [depth, name] of path.entries()) {
      const isLast = depth === path.length - 1
      if (isSeq(node)) {
        const item = node.items[Number(name)] as Node | undefined
        offset = item?.range?.[0] ?? offset
        node = follow(item)
        continue
      }
      const pair = isMap(node) ? node.items.find(({ key }) => isScalar(key) && String(key.value) === name) : undefined
      if (pair === undefined) break
      const key = pair.key as Node
      const value = pair.value as Node | null
      const wanted = isLast && part === "value" && value !== null ? value : key
      offset = wanted.range?.[0] ?? offset
      node = follow(value)
    }
    return at(offset)
  }
  return { fileName, root, locate }
}

/** Aliases that multiply beyond reason throw; such a document has no meaning as a scenario. */
const toPlain = (convert: () => unknown): unknown => {
  try {
    return convert()
  } catch {
    return undefined
  }
}

const sentence = (message: string): string => message.split("\n")[0]!.replace(/:$/u, "")
