/** The text of a scenario as plain data that remembers where each key and value is written. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml"
import type { Problem } from "./Errors.ts"
import { abridged } from "./Names.ts"

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

/** How YAML is parsed: whole numbers as they are written, however long. */
export const PARSE = { prettyErrors: false, intAsBigInt: true } as const

/** A number, unless digits of it would be lost: that is no value of any setting, and is shown as it is written. */
export const exactNumber = (_key: unknown, value: unknown): unknown =>
  typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value

/** Reads YAML (JSON is YAML too), or says where the text breaks its rules. */
export const readSource = (text: string, fileName: string): ScenarioSource | ReadonlyArray<Problem> => {
  const lines = new LineCounter()
  const document = parseDocument(text, { ...PARSE, lineCounter: lines, uniqueKeys: false })
  const at = (offset: number): string => {
    const { col, line } = lines.linePos(offset)
    return `${fileName}:${line}:${col}`
  }
  if (document.errors.length > 0) {
    return document.errors.map((error) => ({
      where: at(error.pos[0]),
      path: "",
      message: error.code === "MULTIPLE_DOCS" ? ONE_DOCUMENT : sentence(error.message)
    }))
  }
  const repeated = repeatedKeys(document.contents, [])
  if (repeated.length > 0) {
    return repeated.map(({ firstOffset, offset, path }) => ({
      where: at(offset),
      path: path.map(abridged).join("."),
      message: `is written twice, here and in line ${lines.linePos(firstOffset).line}`
    }))
  }
  const root = toPlain(() => document.toJS({ maxAliasCount: 100, reviver: exactNumber }))
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

/** A key that a mapping has already. */
interface RepeatedKey {
  readonly path: FieldPath
  readonly offset: number
  readonly firstOffset: number
}

/** All of them, wherever they are written; the library would say that there is one, and not which. */
const repeatedKeys = (node: unknown, path: FieldPath): ReadonlyArray<RepeatedKey> => {
  if (isSeq(node)) return node.items.flatMap((item, index) => repeatedKeys(item, [...path, String(index)]))
  if (!isMap(node)) return []
  const offsets = new Map<string, number>()
  return node.items.flatMap(({ key, value }) => {
    if (!isScalar(key)) return []
    const inside = [...path, String(key.value)]
    const offset = key.range?.[0] ?? 0
    const firstOffset = offsets.get(String(key.value))
    if (firstOffset !== undefined) return [{ path: inside, offset, firstOffset }]
    offsets.set(String(key.value), offset)
    return repeatedKeys(value, inside)
  })
}

const ONE_DOCUMENT = "a scenario is one document; what begins with this --- is another"

/** Aliases that multiply beyond reason throw; such a document has no meaning as a scenario. */
const toPlain = (convert: () => unknown): unknown => {
  try {
    return convert()
  } catch {
    return undefined
  }
}

const sentence = (message: string): string => message.split("\n")[0]!.replace(/:$/u, "")
