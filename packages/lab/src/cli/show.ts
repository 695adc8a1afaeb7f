/** `vnic show` and `vnic schema`. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { readBuiltin } from "../node/builtin.ts"
import { scenarioJsonSchema } from "../ScenarioSchema.ts"

/** Prints a built-in scenario as it is written. */
export const showCommand = Effect.fnUntraced(function* ({ name }: { readonly name: string }) {
  const { text } = yield* readBuiltin(name)
  yield* Console.log(text.trimEnd())
})

/** Prints the JSON Schema of scenario files. */
export const schemaCommand = Effect.suspend(() => Console.log(JSON.stringify(scenarioJsonSchema(), null, 2)))
