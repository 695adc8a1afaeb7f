/** What the pages of the generated reference have in common. */

export interface Page {
  /** File name below docs/reference. */
  readonly name: string
  readonly text: string
}

/** A page from its parts, with the notice that it is generated. */
export const page = (name: string, title: string, from: string, parts: ReadonlyArray<string>): Page => {
  const notice = `<!-- Generated from ${from} by \`pnpm run docs\`. Do not edit. -->`
  return { name, text: `${[`# ${title}`, notice, ...parts].join("\n\n")}\n` }
}

/** Text that stands for itself in a cell of a table. */
const escaped = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ").replaceAll("<", "&lt;")

/** A table; cells may hold Markdown, but no line ends. */
export const table = (
  heads: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  rightAligned: ReadonlyArray<string> = []
): string => {
  const line = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`
  const rule = heads.map((head) => (rightAligned.includes(head) ? "--:" : "---"))
  return [line(heads), line(rule), ...rows.map((cells) => line(cells.map(escaped)))].join("\n")
}

/** Code inside of a sentence or a cell. */
export const code = (text: string): string => (text === "" ? "" : `\`${text}\``)

/** The same text with a capital at its beginning. */
export const capitalized = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1)
