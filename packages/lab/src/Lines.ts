/** Text in lines of a terminal. */

/** Width of a terminal that everything is printed for. */
export const COLUMNS = 80

/** A space at which no line is broken, as between a name and its number. */
export const FIXED_SPACE = "\u{a0}"

/** Where an indent leaves less room for words, they do without it. */
const ROOM_MIN = 4

/**
 * Text in lines no longer than `columns`, broken between words; those after the first begin with `indent`. Nothing is
 * left out: a word that is longer than a line goes on in the next one.
 */
export const wrapped = (text: string, columns: number, indent: string): string => {
  const lines: Array<string> = []
  const width = Math.max(1, columns)
  const hanging = width - indent.length >= ROOM_MIN ? indent : ""
  let rest = text
  while (rest.length > width) {
    const space = rest.lastIndexOf(" ", width)
    const begin = lines.length === 0 ? 0 : hanging.length
    const end = space > begin ? space : width
    lines.push(rest.slice(0, end))
    rest = hanging + rest.slice(end).replace(/^ +/u, "")
  }
  return [...lines, rest].map((line) => line.replace(/ +$/u, "").replaceAll(FIXED_SPACE, " ")).join("\n")
}
