/** The help texts of the `vnic` command as a page. */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { ROOT } from "../lib/sources.ts"
import { type Page, page } from "./page.ts"

const run = promisify(execFile)

const helpOf = async (command: ReadonlyArray<string>): Promise<string> => {
  const env = { ...process.env, NO_COLOR: "1", COLUMNS: "120" }
  const { stdout } = await run(process.execPath, [`${ROOT}packages/lab/src/main.ts`, ...command, "--help"], { env })
  return stdout
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n")
    .trim()
}

/** The names under SUBCOMMANDS of a help text. */
const subcommandsIn = (help: string): ReadonlyArray<string> => {
  const section = /^SUBCOMMANDS\n((?: .*\n?)+)/mu.exec(help)?.[1] ?? ""
  return [...section.matchAll(/^ {2}([a-z][\w-]*)/gmu)].map((match) => match[1]!)
}

const chapter = (command: ReadonlyArray<string>, help: string): string =>
  [`## ${["vnic", ...command].join(" ")}`, `\`\`\`text\n${help}\n\`\`\``].join("\n\n")

/** docs/reference/cli.md */
export const cliPage = async (): Promise<Page> => {
  const help = await helpOf([])
  const commands = subcommandsIn(help)
  const helps = await Promise.all(commands.map((command) => helpOf([command])))
  const chapters = commands.map((command, index) => chapter([command], helps[index]!))
  return page("cli.md", "The vnic command", "the command's own help", [chapter([], help), ...chapters])
}
