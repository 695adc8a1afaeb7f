/** Every `MODEL:` comment of the sources as a page. */
import { type SourceFile, workspaceSources } from "../lib/sources.ts"
import { type Page, page } from "./page.ts"

/** The deviations that a comment states: each ends at the next one, at an empty line, or with the comment. */
export const deviationsIn = (comment: string): ReadonlyArray<string> =>
  comment
    .split(/\n\s*\n/u)
    .flatMap((paragraph) => paragraph.split(/\bMODEL:\s+/u).slice(1))
    .map((words) => words.replaceAll(/\s+/gu, " ").trim())

const sentence = (words: string): string => {
  const text = words.slice(0, 1).toUpperCase() + words.slice(1)
  return /[.!?]$/u.test(text) ? text : `${text}.`
}

const entries = ({ path, scan }: SourceFile): ReadonlyArray<string> => {
  const link = `[${path.replace(/^packages\/[^/]+\/src\//u, "")}](../../${path})`
  return scan.comments.flatMap(({ text }) => deviationsIn(text)).map((words) => `- ${sentence(words)} (${link})`)
}

const ABOUT = `Where the model differs on purpose from the hardware or the software that it stands for, and what
follows. Each entry is a \`MODEL:\` comment of the source that is named behind it.`

/** docs/reference/model-deviations.md */
export const modelDeviationsPage = (): Page => {
  const sources = workspaceSources().filter(({ area }) => ["core", "face", "testing"].includes(area))
  const homes = [...new Set(sources.map(({ home }) => home))].toSorted()
  const chapters = homes.flatMap((home) => {
    const lines = sources.filter((file) => file.home === home).flatMap(entries)
    return lines.length === 0 ? [] : [`## ${home}`, lines.join("\n")]
  })
  return page("model-deviations.md", "Deviations of the model", "the sources", [ABOUT, ...chapters])
}
