/** The words of a command line, before they are read. */

/**
 * Joins a flag with a negative quantity after it, as in `--rate '-1 Gb/s'`, which would be read as flags of one letter
 * each. No flag begins with a digit.
 */
export const joinNegative = (words: ReadonlyArray<string>): ReadonlyArray<string> => {
  const joined: Array<string> = []
  for (const word of words) {
    const flag = joined.at(-1)
    const isValue = /^-\.?\d/u.test(word) && flag !== undefined && /^--[a-z][a-z-]*$/u.test(flag)
    if (isValue) joined[joined.length - 1] = `${flag}=${word}`
    else joined.push(word)
  }
  return joined
}
