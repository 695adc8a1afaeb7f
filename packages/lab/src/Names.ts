/** Names: which ones runs may have, and the nearest ones, for messages about those that are misspelt. */

/** Longest name of a run. */
export const RUN_NAME_CHARACTERS_MAX = 64
/** What a terminal shows, and shows as it is written. */
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u

/** Whether a run may have this name: tables, messages and terminals show it. */
export const isRunName = (name: string): boolean =>
  name.length <= RUN_NAME_CHARACTERS_MAX && PRINTABLE.test(name) && name.trim() === name

/** What is wrong with a name that no run may have. */
export const runNameProblem = (name: string): string =>
  `"${abridged(name)}" is no name for a run; ` +
  `write 1 to ${RUN_NAME_CHARACTERS_MAX} printable characters, with no space at either end`

const SHOWN_LENGTH = 32

/** Text in a message: cut, since a file that is no scenario must not be printed by way of complaining about it. */
export const abridged = (text: string): string => {
  const shown =
    PRINTABLE.test(text) || text === "" ? text : JSON.stringify(text).slice(1, -1).replaceAll(HIDDEN, escaped)
  return shown.length <= SHOWN_LENGTH ? shown : `${shown.slice(0, SHOWN_LENGTH - 1)}…`
}

const HIDDEN = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu

/** Of a character that JSON does not escape, and a terminal would not show. */
const escaped = (character: string): string => `\\u{${character.codePointAt(0)!.toString(16)}}`

/** Insertions, deletions, replacements and swaps of neighbours that turn one word into the other. */
const editDistance = (from: string, to: string): number => {
  let beforeLast: Array<number> = []
  let last = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= to.length; column += 1) {
      const same = from[row - 1] === to[column - 1]
      let distance = Math.min(current[column - 1]! + 1, last[column]! + 1, last[column - 1]! + (same ? 0 : 1))
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      if (swapped) distance = Math.min(distance, beforeLast[column - 2]! + 1)
      current.push(distance)
    }
    beforeLast = last
    last = current
  }
  return last[to.length]!
}

/** The name that was probably meant, if any is near enough. */
export const nearestName = (written: string, names: ReadonlyArray<string>): string | undefined => {
  const folded = written.toLowerCase()
  let nearest: string | undefined
  let nearestDistance = Math.max(1, Math.round(written.length * 0.4)) + 1
  for (const name of names) {
    const known = name.toLowerCase()
    // A beginning of a name is how people shorten it.
    const distance = written.length > 2 && known.startsWith(folded) ? 1 : editDistance(folded, known)
    if (distance < nearestDistance) {
      nearest = name
      nearestDistance = distance
    }
  }
  return nearest
}

/** `a, b or c`. */
export const alternatives = (names: ReadonlyArray<string>): string =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`

/** The end of a message about an unknown name: the nearest one, or all there are. */
export const suggestion = (written: string, names: ReadonlyArray<string>): string => {
  const nearest = nearestName(written, names)
  return nearest === undefined ? `use ${alternatives(names)}` : `did you mean ${nearest}?`
}
