/** Flags that name a file to be written. */
import * as Effect from "effect/Effect"
import { FlagInvalid } from "../Errors.ts"
import { openOutput } from "../node/output.ts"

/** Opens what a flag names, if it was given. */
export const openFlag = Effect.fnUntraced(function* (flag: string, file: string | undefined) {
  if (file === "") return yield* new FlagInvalid({ flag, reason: "needs a file, or - for stdout" })
  return file === undefined ? undefined : yield* openOutput(file)
})
