/** Flags that name a file to be written. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { FlagInvalid } from "../Errors.ts"
import { openOutput } from "../node/output.ts"
import { STANDARD } from "../node/stdin.ts"

/** A file by the flag that names it, or by what it is to the command. */
export interface NamedFile {
  readonly name: string
  readonly file: string | undefined
}

/** Opens what a flag names, if it was given. */
export const openFlag = Effect.fnUntraced(function* (flag: string, file: string | undefined) {
  if (file === "") return yield* new FlagInvalid({ flag, reason: "needs a file, or - for stdout" })
  return file === undefined ? undefined : yield* openOutput(file)
})

/** No file is written that was read, or that a flag before names as well; a link is the file that it leads to. */
export const refuseOverwriting = Effect.fnUntraced(function* (
  outputs: ReadonlyArray<NamedFile>,
  inputs: ReadonlyArray<NamedFile> = []
) {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const whole = (file: string) => files.realPath(file).pipe(Effect.orElseSucceed(() => path.resolve(file)))
  const taken = new Map<string, string>()
  for (const { file, name } of inputs) {
    if (file !== undefined && file !== STANDARD) taken.set(yield* whole(file), `is the ${name}`)
  }
  for (const { file, name } of outputs) {
    if (file === undefined) continue
    const target = yield* whole(file)
    const reason = taken.get(target)
    if (reason !== undefined) return yield* new FlagInvalid({ flag: name, reason })
    taken.set(target, `is the same file as ${name}`)
  }
})
