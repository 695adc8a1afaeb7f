/** The command line of the benchmark. */

/** What is asked for. */
export interface Arguments {
  readonly isTiny: boolean
  readonly repeats: number
  /** Rows whose names have this in them. */
  readonly only: string
  readonly json: string | undefined
}

const USAGE = "bench [--tiny] [--repeats N] [--only TEXT] [--json FILE]"
const REPEATS = 3
const REPEATS_MAX = 1000

/** Reads the words after the program's name, or says what is wrong with them. `names` are those of all rows. */
export function readArguments(
  words: ReadonlyArray<string>,
  names: ReadonlyArray<string>
): Arguments | { readonly problem: string } {
  const values = new Map<string, string>()
  let isTiny = false
  for (let index = 0; index < words.length; index++) {
    const [flag = "", ...rest] = words[index]!.split("=")
    if (flag === "--tiny" && rest.length === 0) {
      isTiny = true
      continue
    }
    if (!["--repeats", "--only", "--json"].includes(flag)) return { problem: `${words[index]} is unknown: ${USAGE}` }
    const value = rest.length > 0 ? rest.join("=") : words[++index]
    if (value === undefined || value === "") return { problem: `${flag} needs a value: ${USAGE}` }
    if (values.has(flag)) return { problem: `${flag} is given twice` }
    values.set(flag, value)
  }

  const repeats = values.get("--repeats") ?? String(isTiny ? 1 : REPEATS)
  if (!/^[1-9]\d*$/u.test(repeats) || Number(repeats) > REPEATS_MAX) {
    return { problem: `--repeats ${repeats}: write a whole number from 1 to ${REPEATS_MAX}` }
  }
  const only = values.get("--only") ?? ""
  if (!names.some((name) => name.includes(only))) {
    return { problem: `--only ${only}: no row has this in its name; rows are ${names.join(", ")}` }
  }
  return { isTiny, repeats: Number(repeats), only, json: values.get("--json") }
}
