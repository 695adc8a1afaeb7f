/** What is known of the terminal. */

const COLUMNS = 80

/** Characters of a line on stdout; no limit where it goes to a file or a pipe. */
export const lineColumns = (): number => {
  const { columns, isTTY } = process.stdout
  // A terminal that does not know its width says 0.
  return isTTY ? columns || COLUMNS : Infinity
}
