/** The command line: names, flags and help. What the commands do is loaded when one of them runs. */
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import type { NodeServices } from "../node/services.ts"

/** As many runs as the built-in scenarios have; how many a file has is not known before it is read. */
const RUNS_EXPECTED = 3

/** Lets the threads of runs load while the command loads. */
const withThreads = async <M>(count: number, load: () => Promise<M>): Promise<M> => {
  const { startThreads } = await import("../node/threads.ts")
  startThreads(count)
  return load()
}

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

const set = Flag.String("set").pipe(
  Flag.withMetavar("path=value"),
  Flag.withDescription("Change a setting in all runs, as in nic.queues=4; may be repeated"),
  Flag.atLeast(0)
)

const seed = Flag.String("seed").pipe(
  Flag.withMetavar("N"),
  Flag.withDescription("Seed in place of the scenario's"),
  Flag.optional
)

const reproducible = Flag.Boolean("reproducible").pipe(
  Flag.withoutNegation,
  Flag.withDefault(false),
  Flag.withDescription("Leave wall-clock times out of the results, so that equal runs give equal bytes")
)

const quiet = Flag.Boolean("quiet").pipe(
  Flag.withoutNegation,
  Flag.withDefault(false),
  Flag.withDescription("Print no table and no progress")
)

const run = Command.make(
  "run",
  {
    scenario: Argument.String("file|name").pipe(
      Argument.withDescription("A scenario file, the name of a built-in scenario, or - for stdin")
    ),
    only: Flag.String("only").pipe(
      Flag.withMetavar("RUN"),
      Flag.withDescription("Only this run of the scenario; may be repeated"),
      Flag.atLeast(0)
    ),
    set,
    seed,
    json,
    reproducible,
    quiet
  },
  (input) =>
    handle(
      () => withThreads(input.only.length || RUNS_EXPECTED, () => import("./run.ts")),
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
    capture: Argument.String("capture.pcap").pipe(
      Argument.withDescription("A classic pcap file of Ethernet frames, or - for stdin")
    ),
    strategy: Flag.String("strategy").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDescription("map-per-packet (default), page-chunk or direct"),
      Flag.optional
    ),
    rate: Flag.String("rate").pipe(
      Flag.withMetavar("RATE"),
      Flag.withDescription("as-captured (default), line, or a rate as in '1 Gb/s'"),
      Flag.optional
    ),
    out: Flag.String("out").pipe(
      Flag.withMetavar("FILE|-"),
      Flag.withDescription("Write the frames that were delivered as a capture, with - to stdout and nothing else"),
      Flag.optional
    ),
    set,
    seed,
    json,
    reproducible,
    quiet
  },
  (input) =>
    handle(
      () => withThreads(1, () => import("./replay.ts")),
      (module) => module.replayCommand(input)
    )
).pipe(
  Command.withDescription(
    "Send the frames of a real capture through the device.\n" +
      "The world is the default one, but for 4 queues with 16384 receive descriptors each, and frames that\n" +
      "wait in the device where they find none (nic.rx.dropEnable=false)."
  ),
  Command.withShortDescription("Send the frames of a real capture through the device"),
  Command.withExamples([
    { command: "vnic replay capture.pcap --strategy page-chunk --rate line --out delivered.pcap" },
    { command: "vnic replay capture.pcap --set nic.rx.dropEnable=true --set nic.rx.descriptors=512" }
  ])
)

const optionalText = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

const optionalNumber = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar("N"), Flag.withDescription(description), Flag.optional)

const contention = Command.make(
  "contention",
  {
    line: optionalText("line", "NAME,…|all", "Lines to draw, by name (default: all)"),
    threads: optionalText("threads", "N,…", "Numbers of threads (default: 1,2,4 and so on to 1024)"),
    ops: optionalNumber("ops", "Map and unmap pairs of each thread (default: 1000000)"),
    pattern: optionalText("pattern", "NAME", "once (default), fifo:N, two-rings:N or random:N"),
    granule: optionalNumber("granule", "IOMMU pages of 4 KiB that a call maps (default: 1)"),
    direction: optionalText("direction", "NAME", "bidirectional (default), to-device or from-device"),
    maskBits: optionalNumber("mask-bits", "Address bits of the device, 20 to 32 (default: 32)"),
    delay: optionalText("delay", "TIME", "Busy-wait between map and unmap, as in '5 us'"),
    flush: optionalText("flush", "POLICY", "strict, lazy-global or lazy-per-cpu; not for TCE tables"),
    profile: optionalText("profile", "NAME", "Platform in place of each line's own"),
    seed: optionalNumber("seed", "Seed of phases, loops and random lifetimes (default: 1)"),
    exact: Flag.Boolean("exact").pipe(
      Flag.withoutNegation,
      Flag.withDefault(false),
      Flag.withDescription("Simulate every pair of every point")
    ),
    json,
    plot: optionalText("plot", "FILE.svg|.png", "Draw time against threads, both axes logarithmic"),
    reproducible,
    quiet
  },
  (input) =>
    handle(
      () => import("./contention.ts"),
      (module) => module.contentionCommand(input)
    )
).pipe(
  Command.withDescription("Time map and unmap against the number of threads, a line for each allocator"),
  Command.withExamples([
    { command: "vnic contention --plot contention.svg", description: "Every line, 1 to 1024 threads" },
    { command: "vnic contention --line bitmap,bitmap-outside --threads 1,8,32 --pattern fifo:512" }
  ])
)

const list = Command.make(
  "list",
  {
    kind: Argument.Literals("kind", ["scenarios", "strategies", "allocators", "profiles"]).pipe(
      Argument.withDescription("scenarios, strategies, allocators or profiles; all of them without it"),
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
  Command.withSubcommands([run, replay, contention, list, show, schema])
)
