/** Nearest names, for messages about misspelt ones. */

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
