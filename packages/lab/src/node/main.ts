/** Runs the command on Node: services, messages, exit codes. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as CliError from "effect/cli/CliError"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { vnic } from "../cli/command.ts"
import { layerPresentation } from "../cli/presenter.ts"
import { joinNegative } from "../cli/words.ts"
import { version } from "./version.ts"

/** One message for each problem, and never a stack trace. */
const messageOf = (cause: Cause.Cause<unknown>): string | undefined => {
  if (Cause.hasInterruptsOnly(cause)) return "interrupted; nothing was written"
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (error === undefined) {
    const defect = Cause.squash(cause)
    return `internal error: ${defect instanceof Error ? defect.message : String(defect)}`
  }
  if (CliError.isCliError(error)) return undefined
  return error instanceof Error ? error.message : String(error)
}

/**
 * A reader that has seen enough, such as `head`, closes the pipe; that is no failure, and the command goes on to
 * its end. Anything else, such as a full disk, is said once and fails the command, whose files stay whole.
 */
const tolerateClosedPipes = (): void => {
  let isSaid = false
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE" || isSaid) return
      isSaid = true
      process.exitCode = 1
      if (stream === process.stdout) console.error(`the output cannot be written: ${error.message}`)
    })
  }
}

/** A terminal that is closed interrupts the command as Ctrl-C does, so that no temporary file stays behind. */
const interruptOnHangUp = (): void => {
  process.on("SIGHUP", () => {
    // Nobody listens any more when the command is over.
    if (!process.emit("SIGTERM")) process.exit(1)
  })
}

/** Runs the command with these arguments and ends the process with its exit code. */
export const main = (args: ReadonlyArray<string>): void => {
  tolerateClosedPipes()
  interruptOnHangUp()
  const program = Command.runWith(vnic, { version })(joinNegative(args)).pipe(
    Effect.onExit((exit) => {
      const message = Exit.isFailure(exit) ? messageOf(exit.cause) : undefined
      return message === undefined ? Effect.void : Console.error(message)
    }),
    Effect.provide(layerPresentation)
  )
  // A command line asks for services that only prompts and flags with files use; there are none of these here, and each
  // command brings the services of its own, which need not be loaded for a page of help.
  NodeRuntime.runMain(program as Effect.Effect<void, unknown>, { disableErrorReporting: true })
}
