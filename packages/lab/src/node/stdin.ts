/** Standard input, which is what `-` names where a file is read. */
import * as Effect from "effect/Effect"
import { InputUnreadable } from "../Errors.ts"

/** The name of standard input, and of standard output where a file is written; a file of this name is `./-`. */
export const STANDARD = "-"

/** What messages call it. */
export const STDIN_NAME = "stdin"

/** All of it. */
export const readStdin: Effect.Effect<Uint8Array, InputUnreadable> = Effect.tryPromise({
  try: async () => {
    const chunks: Array<Uint8Array> = []
    for await (const chunk of process.stdin) chunks.push(chunk)
    return new Uint8Array(Buffer.concat(chunks))
  },
  catch: (error) => new InputUnreadable({ file: STDIN_NAME, reason: String(error) })
})
