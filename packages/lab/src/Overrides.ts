/** Changes by dotted path: those of a run (`driver.strategy: page-chunk`) and those of the command line (`--set`). */
import { parseDocument } from "yaml"
import type { Problem } from "./Errors.ts"
import { abridged } from "./Names.ts"
import { exactNumber, type FieldPath, isSection, PARSE, type ScenarioSource } from "./ScenarioSource.ts"

/** One changed field, and where the change is written. */
export interface Change {
  readonly path: FieldPath
  readonly value: unknown
  /** Whether a flag of the command line stands for this field alone. */
  readonly isFlag?: true
  /** Where the field, or a field inside the changed section, is written. */
  readonly locate: (inside: FieldPath, part: "key" | "value") => string
}

/** A run as it is written: its name, and what it changes. */
export interface WrittenRun {
  readonly name: string
  readonly changes: ReadonlyArray<Change>
}

/** Plain data of a world together with what is needed to say where its fields come from. */
export interface World {
  readonly source: ScenarioSource
  readonly root: Record<string, unknown>
  /** All that was changed, what wins last. */
  readonly changes: ReadonlyArray<Change>
  /** The run whose world it is, if the file has runs. */
  readonly run: WrittenRun | undefined
}

/**
 * What a change of a section comes to: changes of the settings in it, since what it does not name stays as it is. A
 * section with a kind is another one from then on, and is changed as a whole.
 */
const settingsOf = (change: Change): ReadonlyArray<Change> => {
  const { locate, path, value } = change
  if (!isSection(value) || Object.hasOwn(value, "kind") || Object.keys(value).length === 0) return [change]
  return Object.entries(value).flatMap(([name, inner]) =>
    settingsOf({
      ...change,
      path: [...path, name],
      value: inner,
      locate: (inside, part) => locate([name, ...inside], part)
    })
  )
}

/** The changes of a run, in the order of the file. */
export const runChanges = (
  source: ScenarioSource,
  run: string,
  overrides: Readonly<Record<string, unknown>>
): ReadonlyArray<Change> =>
  Object.entries(overrides).flatMap(([dotted, value]) =>
    settingsOf({
      path: dotted.split("."),
      value,
      locate: (inside, part) => source.locate(["runs", run, dotted, ...inside], part)
    })
  )

/** Settings that a run writes twice, or by themselves and in a section that it writes as a whole: one would be lost. */
export const overlaps = (changes: ReadonlyArray<Change>): ReadonlyArray<Problem> =>
  changes.flatMap(({ locate, path }, index) => {
    const isLost = (other: Change, at: number): boolean =>
      touches(other.path, path) &&
      (other.path.length < path.length || (other.path.length === path.length && at < index))
    const whole = changes.find(isLost)
    if (whole === undefined) return []
    const isTwice = whole.path.length === path.length
    const message = isTwice
      ? "the run writes it twice; write it once"
      : `the run writes all of ${whole.path.join(".")} as well; write it in there`
    return [{ where: locate([], "key"), path: path.join("."), message }]
  })

/** What settings of the command line come by that have no flag of their own. */
const SET = "--set"

/** A setting of the command line: `path=value`, or one that has a flag of its own. */
export type Setting = string | { readonly flag: string; readonly path: string; readonly value: unknown }

/** Reads a setting; the value of a text is read as in a file. */
export const readSetting = (setting: Setting): ReadonlyArray<Change> | { readonly problem: Problem } => {
  if (typeof setting !== "string") {
    const { flag, path, value } = setting
    return [{ path: path.split("."), value, isFlag: true, locate: () => flag }]
  }
  const text = setting
  const equals = text.indexOf("=")
  const path = text.slice(0, equals).trim().split(".")
  const document = parseDocument(text.slice(equals + 1), PARSE)
  if (equals < 1 || document.errors.length > 0) {
    const message = "write path=value, as in nic.rx.descriptors=512 or link.mtu='1500 B'"
    return { problem: { where: `${SET} ${abridged(text)}`, path: "", message } }
  }
  if (path[0] === "runs") {
    const message = "a setting changes all runs; write runs in a file, and choose among them with --only"
    return { problem: { where: SET, path: path.join("."), message } }
  }
  const value: unknown = document.toJS({ maxAliasCount: 0, reviver: exactNumber })
  return settingsOf({ path, value, locate: () => SET })
}

/** What a flag of its own and another setting say both: one would be lost. */
export const repetitions = (changes: ReadonlyArray<Change>): ReadonlyArray<Problem> =>
  changes
    .filter(({ isFlag }) => isFlag)
    .flatMap((flag) =>
      changes
        .filter((other) => other !== flag && touches(other.path, flag.path))
        .map(({ locate, path }) => ({
          where: locate([], "key"),
          path: path.join("."),
          message: `is what ${flag.locate([], "key")} says as well; write one of them`
        }))
    )

/** Changes one field in place, or says why it cannot be. */
export const applyChange = (root: Record<string, unknown>, { path, value }: Change): string | undefined => {
  let parent = root
  for (const [depth, name] of path.slice(0, -1).entries()) {
    const next = Object.hasOwn(parent, name) ? parent[name] : undefined
    if (next !== undefined && !isSection(next)) {
      return `${path.slice(0, depth + 1).join(".")} has no settings inside it`
    }
    const inner: Record<string, unknown> = next ?? {}
    define(parent, name, inner)
    parent = inner
  }
  define(parent, path.at(-1)!, structuredClone(value))
  return undefined
}

/** A key such as `__proto__` is data like any other. */
const define = (target: Record<string, unknown>, key: string, value: unknown): void => {
  Object.defineProperty(target, key, {
    value,
    configurable: true,
    enumerable: true,
    writable: true
  })
}

const writes = (change: Change, path: FieldPath): boolean =>
  change.path.length <= path.length && touches(change.path, path)

/** The last change that writes a field; if nothing writes it, the last one that writes beside or inside of it. */
export const changeOf = ({ changes, source }: World, path: FieldPath): Change | undefined => {
  const writer = changes.findLast((change) => writes(change, path))
  if (writer !== undefined) return writer
  for (let depth = path.length; depth > 0; depth--) {
    const near = path.slice(0, depth)
    if (isWritten(source.root, near)) return undefined
    const change = changes.findLast((one) => touches(one.path, near))
    if (change !== undefined) return change
  }
  return undefined
}

const isWritten = (root: unknown, path: FieldPath): boolean => {
  let value = root
  return path.every((name) => {
    if (!isSection(value) || !Object.hasOwn(value, name)) return false
    value = value[name]
    return true
  })
}

/** Who wrote the value that a field has in a world, from the farthest to the nearest of those who may. */
export const WRITERS = ["nobody", "file", "run", "command line"] as const
export type Writer = (typeof WRITERS)[number]

/** Who wrote a field, or a field inside a section; nobody did where it has its default. */
export const writerOf = ({ changes, root, run, source }: World, path: FieldPath): Writer => {
  if (!isWritten(root, path)) return "nobody"
  const change = changes.findLast((one) =>
    writes(one, path) ? isWritten(one.value, path.slice(one.path.length)) : touches(one.path, path)
  )
  if (change !== undefined) return run?.changes.includes(change) === true ? "run" : "command line"
  return isWritten(source.root, path) ? "file" : "nobody"
}

/** Where a field of a world is written: in the last change that writes it or comes near, else in the file. */
export const locateIn = (world: World, path: FieldPath, part: "key" | "value"): string => {
  const change = changeOf(world, path)
  if (change === undefined) return world.source.locate(path, part)
  return writes(change, path) ? change.locate(path.slice(change.path.length), part) : change.locate([], "key")
}

/** Whether one path is the other, or inside of it. */
export const touches = (one: FieldPath, other: FieldPath): boolean => {
  const depth = Math.min(one.length, other.length)
  return one.slice(0, depth).every((name, index) => name === other[index])
}
