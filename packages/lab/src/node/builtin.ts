/** Scenario files: those that are published with the package, and those of the user. */
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { InputUnreadable, ScenarioNotFound } from "../Errors.ts"
import { reasonOf } from "./output.ts"
import { readStdin, STANDARD, STDIN_NAME } from "./stdin.ts"

const FOLDER = fileURLToPath(new URL("../../scenarios/", import.meta.url))
const EXTENSION = ".yaml"

const read = Effect.fnUntraced(function* (file: string, fileName: string) {
  const files = yield* FileSystem.FileSystem
  const text = yield* files
    .readFileString(file)
    .pipe(Effect.mapError((error) => new InputUnreadable({ file: fileName, reason: reasonOf(error) })))
  return { fileName, text }
})

/** Names of the built-in scenarios. */
export const builtinNames = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const entries = yield* files
    .readDirectory(FOLDER)
    .pipe(Effect.mapError((error) => new InputUnreadable({ file: FOLDER, reason: reasonOf(error) })))
  return entries
    .filter((name) => name.endsWith(EXTENSION))
    .map((name) => name.slice(0, -EXTENSION.length))
    .toSorted()
})

/** The text of a built-in scenario; whoever would take a file as well says so. */
export const readBuiltin = Effect.fnUntraced(function* (name: string, mayBeFile = false) {
  const path = yield* Path.Path
  const known = yield* builtinNames
  if (!known.includes(name)) return yield* new ScenarioNotFound({ name, known, mayBeFile })
  return yield* read(path.join(FOLDER, `${name}${EXTENSION}`), `${name}${EXTENSION}`)
})

/** A scenario's text, the name that messages use for it, and its file if that is one of the user's. */
interface ScenarioText {
  readonly fileName: string
  readonly text: string
  readonly file?: string
}

/** The text of a file, or of a built-in scenario if there is no such file; `-` is standard input. */
export const readScenario = Effect.fnUntraced(function* (fileOrName: string) {
  if (fileOrName === STANDARD) {
    const stdin: ScenarioText = { fileName: STDIN_NAME, text: new TextDecoder().decode(yield* readStdin) }
    return stdin
  }
  const files = yield* FileSystem.FileSystem
  const exists = yield* files.exists(fileOrName).pipe(Effect.orElseSucceed(() => false))
  const isFile = exists && !(yield* builtinNames).includes(fileOrName)
  const found: ScenarioText = yield* isFile ? read(fileOrName, fileOrName) : readBuiltin(fileOrName, true)
  return isFile ? { ...found, file: fileOrName } : found
})
