/** `vnic list`. */
import { allocatorDescriptions } from "@vnic/dma-api"
import { strategyDescriptions } from "@vnic/driver"
import { profileSummaries } from "@vnic/sim"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { builtinNames, readBuiltin } from "../node/builtin.ts"
import { lineColumns } from "../node/terminal.ts"
import { parseScenario } from "../Scenario.ts"
import { wrapped } from "../Lines.ts"

/** What can be listed. */
export type ListKind = "scenarios" | "strategies" | "allocators" | "profiles"

type Row = readonly [name: string, about: string]

const scenarioRows = Effect.gen(function* () {
  const names = yield* builtinNames
  return yield* Effect.forEach(names, (name) =>
    readBuiltin(name).pipe(
      Effect.flatMap(({ fileName, text }) => parseScenario(text, fileName)),
      Effect.map(({ base }): Row => [name, base.about])
    )
  )
})

const rowsOf = {
  scenarios: scenarioRows,
  strategies: Effect.succeed(Object.entries(strategyDescriptions)),
  allocators: Effect.succeed(Object.entries(allocatorDescriptions)),
  profiles: Effect.succeed(profileSummaries.map(({ about, name }): Row => [name, about]))
}

const render = (kind: string, rows: ReadonlyArray<Row>): string => {
  const columns = lineColumns()
  const width = Math.max(...rows.map(([name]) => name.length))
  const indent = " ".repeat(width + 4)
  return [kind, ...rows.map(([name, about]) => wrapped(`  ${name.padEnd(width)}  ${about}`, columns, indent))].join(
    "\n"
  )
}

/** Prints one kind, or all of them, a line for each name. */
export const listCommand = Effect.fnUntraced(function* ({ kind }: { readonly kind: Option.Option<ListKind> }) {
  const kinds: ReadonlyArray<ListKind> = Option.match(kind, {
    onNone: () => ["scenarios", "strategies", "allocators", "profiles"],
    onSome: (one) => [one]
  })
  const parts: Array<string> = []
  for (const one of kinds) parts.push(render(one, yield* rowsOf[one]))
  yield* Console.log(parts.join("\n"))
})
