/** The command line: names, flags and help. What the commands do is loaded when one of them runs. */
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import type { NodeServices } from "../node/services.ts"

/** Loads a command and the platform's services, and runs it. */
const handle = <M, E>(
  load: () => Promise<M>,
  start: (module: M) => Effect.Effect<void, E, NodeServices>
): Effect.Effect<void, E> =>
  Effect.gen(function* () {
    const [module, { layer }] = yield* Effect.promise(() => Promise.all([load(), import("../node/services.ts")]))
    yield* Effect.provide(start(module), layer)
  })

const json = Flag.String("json").pipe(
  Flag.withMetavar("FILE|-"),
  Flag.withDescription("Write the results as JSON to a file, or to stdout and nothing else with -"),
  Flag.optional
)

const run = Command.make(
  "run",
  {
    scenario: Argument.String("file|name").pipe(
      Argument.withDescription("A scenario file, or the name of a built-in scenario")
    ),
    only: Flag.String("only").pipe(
      Flag.withMetavar("RUN"),
      Flag.withDescription("Only this run of the scenario; may be repeated"),
      Flag.atLeast(0)
    ),
    set: Flag.String("set").pipe(
      Flag.withMetavar("path=value"),
      Flag.withDescription("Change a setting in all runs, as in nic.queues=4; may be repeated"),
      Flag.atLeast(0)
    ),
    seed: Flag.Int("seed").pipe(
      Flag.withMetavar("N"),
      Flag.withDescription("Seed in place of the scenario's"),
      Flag.optional
    ),
    json,
    reproducible: Flag.Boolean("reproducible").pipe(
      Flag.withoutNegation,
      Flag.withDefault(false),
      Flag.withDescription("Leave wall-clock times out of the results, so that equal runs give equal bytes")
    ),
    quiet: Flag.Boolean("quiet").pipe(
      Flag.withoutNegation,
      Flag.withDefault(false),
      Flag.withDescription("Print no table and no progress")
    )
  },
  (input) =>
    handle(
      () => import("./run.ts"),
      (module) => module.runCommand(input)
    )
).pipe(
  Command.withDescription("Run a scenario and print what each of its runs costs"),
  Command.withExamples([
    { command: "vnic run cascardo-2013", description: "The three strategies of the talk" },
    { command: "vnic run smoke --only page-chunk --set nic.queues=4 --json result.json" }
  ])
)

const replay = Command.make(
  "replay",
  {
    capture: Argument.String("capture.pcap").pipe(Argument.withDescription("A classic pcap file of Ethernet frames")),
    strategy: Flag.String("strategy").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDescription("Receive-buffer strategy (default: map-per-packet)"),
      Flag.optional
    ),
    rate: Flag.String("rate").pipe(
      Flag.withMetavar("RATE"),
      Flag.withDescription("as-captured (default), line, or a rate as in '1 Gb/s'"),
      Flag.optional
    ),
    out: Flag.String("out").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Write the frames that were delivered as a capture"),
      Flag.optional
    ),
    json
  },
  (input) =>
    handle(
      () => import("./replay.ts"),
      (module) => module.replayCommand(input)
    )
).pipe(Command.withDescription("Send the frames of a real capture through the device"))

const list = Command.make(
  "list",
  {
    kind: Argument.Literals("kind", ["scenarios", "strategies", "allocators", "profiles"]).pipe(
      Argument.withDescription("One kind only"),
      Argument.optional
    )
  },
  (input) =>
    handle(
      () => import("./list.ts"),
      (module) => module.listCommand(input)
    )
).pipe(Command.withDescription("List what there is to choose from"))

const show = Command.make(
  "show",
  { name: Argument.String("name").pipe(Argument.withDescription("Name of a built-in scenario")) },
  (input) =>
    handle(
      () => import("./show.ts"),
      (module) => module.showCommand(input)
    )
).pipe(Command.withDescription("Print a built-in scenario as YAML, to copy and edit"))

const schema = Command.make("schema", {}, () =>
  handle(
    () => import("./show.ts"),
    (module) => module.schemaCommand
  )
).pipe(Command.withDescription("Print the JSON Schema of scenario files, for editors"))

/** The whole command. */
export const vnic = Command.make("vnic").pipe(
  Command.withDescription("A simulated 10GbE NIC with its driver, DMA API and IOMMU: what does a choice cost?"),
  Command.withSubcommands([run, replay, list, show, schema])
)
