/** Captures that are replayed. */
import { readCapture } from "@vnic/traffic"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { InputUnreadable } from "../Errors.ts"
import { reasonOf } from "./output.ts"
import { readStdin, STDIN_NAME } from "./stdin.ts"

const readBytes = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  return yield* files
    .readFile(file)
    .pipe(Effect.mapError((error) => new InputUnreadable({ file, reason: reasonOf(error) })))
})

/** The bytes of a capture that can be replayed, and its records. */
export const readCaptureFile = Effect.fnUntraced(function* (file: string) {
  const bytes = yield* readBytes(file)
  return { bytes, capture: yield* readCapture(file, bytes) }
})

/** The same from standard input. */
export const readCaptureStdin = Effect.gen(function* () {
  const bytes = yield* readStdin
  return { bytes, capture: yield* readCapture(STDIN_NAME, bytes) }
})
