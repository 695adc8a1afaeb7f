/** Result files: written under a temporary name, renamed when whole, removed when anything goes wrong. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import type * as Scope from "effect/Scope"
import { OutputUnwritable } from "../Errors.ts"
import { STANDARD } from "./stdin.ts"

/** A file that is known to be writable and does not exist under its own name yet; or stdout, a device, a pipe. */
export interface OutputFile {
  readonly commit: (content: string | Uint8Array) => Effect.Effect<void, OutputUnwritable>
}

/** Of a file's mode, who may do what with it. */
const MODE_BITS = 0o777

/** Why the file system refused, in words. */
export const reasonOf = (error: PlatformError): string => {
  switch (error.reason._tag) {
    case "NotFound":
      return "no such file or folder"
    case "PermissionDenied":
      return "permission denied"
    case "BadResource":
      return "not a file"
    default: {
      const cause = error.reason.cause
      return cause instanceof Error
        ? cause.message.replace(/^[A-Z]+: /u, "").replace(/,.*$/u, "")
        : error.reason.message
    }
  }
}

/** A reader that closes the pipe is no failure, and what else goes wrong is said by whoever listens to the stream. */
const writeToStdout = (content: string | Uint8Array): Effect.Effect<void> =>
  Effect.callback((resume) => void process.stdout.write(content, () => resume(Effect.void)))

/** Makes the temporary file beside the target, so that what cannot be written is known before anything runs. */
export const openOutput = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<OutputFile, OutputUnwritable, FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  // Opened by its name stdout would be written from its beginning, or not at all where it is a socket.
  if (file === STANDARD || file === "/dev/stdout") return { commit: writeToStdout }
  const unwritable = (reason: string) => new OutputUnwritable({ file, reason })
  const refused = (error: PlatformError) => unwritable(reasonOf(error))
  // A link's own file is replaced, not the link.
  const target = yield* files.realPath(path.resolve(file)).pipe(Effect.orElseSucceed(() => path.resolve(file)))
  const temporary = path.join(path.dirname(target), `.${path.basename(target)}.${process.pid}.tmp`)

  // By the name that was given: what /dev/stdout leads to, where that is a pipe, has no path of its own.
  const existing = yield* files.stat(path.resolve(file)).pipe(Effect.option)
  if (existing._tag === "Some" && existing.value.type === "Directory") return yield* unwritable("it is a folder")
  const write = (name: string, content: string | Uint8Array) =>
    typeof content === "string" ? files.writeFileString(name, content) : files.writeFile(name, content)
  if (existing._tag === "Some" && existing.value.type !== "File") {
    // A pipe or a device takes what is written; there is nothing to replace.
    return { commit: (content) => write(path.resolve(file), content).pipe(Effect.mapError(refused)) }
  }
  if (existing._tag === "Some") yield* files.access(target, { writable: true }).pipe(Effect.mapError(refused))
  yield* Effect.acquireRelease(
    files.writeFile(temporary, new Uint8Array(0), { flag: "wx" }).pipe(Effect.mapError(refused)),
    () => files.remove(temporary, { force: true }).pipe(Effect.ignore)
  )
  // Whoever may read the file that is replaced, and nobody else, may read what replaces it.
  if (existing._tag === "Some") {
    yield* files.chmod(temporary, existing.value.mode & MODE_BITS).pipe(Effect.mapError(refused))
  }
  return {
    commit: (content) =>
      write(temporary, content).pipe(
        Effect.andThen(files.rename(temporary, target)),
        Effect.mapError(refused),
        Effect.uninterruptible
      )
  }
})
