import { expect, it } from "vitest"
import { readArguments } from "../bench/arguments.ts"

const NAMES = ["page-chunk 64", "direct 1518", "alloc+free maple"]
const read = (line: string) => readArguments(line === "" ? [] : line.split(" "), NAMES)

it("are few, and may be left out", () => {
  expect(read("")).toEqual({ isTiny: false, repeats: 3, only: "", json: undefined })
  expect(read("--tiny")).toEqual({ isTiny: true, repeats: 1, only: "", json: undefined })
  expect(read("--json a=b --only=maple --repeats 5 --tiny")).toEqual({
    isTiny: true,
    repeats: 5,
    only: "maple",
    json: "a=b"
  })
})

const USAGE = "bench [--tiny] [--repeats N] [--only TEXT] [--json FILE]"

it.each([
  ["--tyni", `--tyni is unknown: ${USAGE}`],
  ["page-chunk", `page-chunk is unknown: ${USAGE}`],
  ["--tiny=yes", `--tiny=yes is unknown: ${USAGE}`],
  ["--json", `--json needs a value: ${USAGE}`],
  ["--only=", `--only needs a value: ${USAGE}`],
  ["--only a --only b", "--only is given twice"],
  ["--repeats x", "--repeats x: write a whole number from 1 to 1000"],
  ["--repeats 0", "--repeats 0: write a whole number from 1 to 1000"],
  ["--repeats 1.5", "--repeats 1.5: write a whole number from 1 to 1000"],
  ["--only nonsense", `--only nonsense: no row has this in its name; rows are ${NAMES.join(", ")}`]
])("%s is refused", (line, problem) => expect(read(line)).toEqual({ problem }))
