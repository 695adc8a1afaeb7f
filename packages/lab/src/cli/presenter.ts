/** How the command shows its help and what was wrong with a command line. */
import * as Console from "effect/Console"
import * as CliConfig from "effect/cli/CliConfig"
import type * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Layer from "effect/Layer"

/** One line: a message that goes over several is for a page of help, not for a mistake. */
const oneLine = (error: CliError.NonShowHelpErrors): string => error.message.trim().replaceAll(/\s*\n\s*/gu, " ")

const presenter: CliOutput.Presenter = {
  present: (event) => {
    if (event._tag !== "InvalidInvocation") return CliOutput.defaultPresenter.present(event)
    const help = [...event.commandPath, "--help"].join(" ")
    const lines = event.errors.map((error) => oneLine(error))
    return Console.error([...lines, `See ${help}`].join("\n"))
  }
}

/** Only help and version beside the command's own flags; mistakes on stderr, without a page of help. */
export const layerPresentation = Layer.merge(
  CliOutput.layerPresenter(presenter),
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version] })
)
