/** Captures that are replayed. */
import { readCapture } from "@vnic/traffic"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { InputUnreadable } from "../Errors.ts"
import { reasonOf } from "./output.ts"

/** The bytes of a capture that can be replayed. */
export const readCaptureFile = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  const bytes = yield* files
    .readFile(file)
    .pipe(Effect.mapError((error) => new InputUnreadable({ file, reason: reasonOf(error) })))
  yield* readCapture(file, bytes)
  return bytes
})
