/**
 * Style as a test.
 *
 * Goal: what the house has agreed on is checked, not remembered. Method: each rule is put to every source of the
 * workspace and must find nothing but the exceptions listed here; an exception that is not needed any more fails too.
 */
import { existsSync } from "node:fs"
import { posix } from "node:path"
import { describe, expect, it } from "vitest"
import { functionsOf } from "./support/functions.ts"
import { deviationsIn } from "../scripts/docs/modelDeviations.ts"
import { filesBelow, ROOT, sourceFile, textOf, workspaceSources } from "../scripts/lib/sources.ts"
import { noMachinePaths, TIDY_RULES } from "./support/tidyRules.ts"

/** Findings that may stay, by their beginning, each with the reason. */
const EXCEPTIONS: ReadonlyArray<{ readonly finding: string; readonly reason: string }> = []

const isExcepted = (finding: string): boolean => EXCEPTIONS.some((exception) => finding.startsWith(exception.finding))

const sources = workspaceSources()

describe("every source", () => {
  for (const [name, rule] of Object.entries(TIDY_RULES)) {
    it(name, () => expect(sources.flatMap(rule).filter((finding) => !isExcepted(finding))).toEqual([]))
  }

  it("names no folder of somebody's machine, nor does any other file", () => {
    const isText = (path: string): boolean => /\.(?:ts|md|json|ya?ml|html|css|sh)$/u.test(path)
    const files = filesBelow("").filter(isText)
    expect(files.flatMap((path) => noMachinePaths(path, textOf(path)))).toEqual([])
  })

  it("is linked to by paths that exist", () => {
    const pages = filesBelow("").filter((path) => path.endsWith(".md"))
    const broken = pages.flatMap((path) =>
      [...textOf(path).matchAll(/\]\((?![a-z]+:|#)([^)#\s]+)/gu)]
        .map((match) => posix.join(posix.dirname(path), match[1]!))
        .filter((target) => !existsSync(ROOT + target))
        .map((target) => `${path} links to ${target}`)
    )
    expect(broken).toEqual([])
  })

  it("needs every exception", () => {
    const found = Object.values(TIDY_RULES).flatMap((rule) => sources.flatMap(rule))
    const unneeded = EXCEPTIONS.filter(({ finding }) => !found.some((line) => line.startsWith(finding)))
    expect(unneeded).toEqual([])
  })
})

const CORE = "packages/sim/src/core/thing.ts"
/** A file that the core shows. */
const PRNG = "packages/sim/src/core/prng.ts"
const longBody = "  a()\n".repeat(70)

/** A source that breaks one rule, and the words of the message. */
const PLANTED: ReadonlyArray<readonly [rule: string, path: string, text: string, message: string]> = [
  ["a file", CORE, "a()\n".repeat(401), "401 lines"],
  ["a function", CORE, `/** A. */\nexport function a(b: number): void {\n${longBody}}`, "72 lines"],
  ["a function", CORE, `const a = (b: () => void): Map<number, string> => {\n${longBody}}`, "72 lines"],
  ["a function", CORE, `class A {\n  a(\n    b: number\n  ): asserts b {\n${longBody}  }\n}`, "74 lines"],
  ["a line", CORE, `const a = "${"b".repeat(120)}"`, "132 columns"],
  ["unfinished", CORE, ["/** TO", "DO: later */"].join(""), "finish it"],
  ["comments", CORE, "// const a = b", "code in a comment"],
  ["comments", CORE, "// this.count += 1", "code in a comment"],
  ["comments", CORE, "// if (a) return b", "code in a comment"],
  ["comments", CORE, "// Says why.\n// cpus.unlock(cpu,lock)", `${CORE}:2 code in a comment`],
  ["names", CORE, "const addr = 1", "physAddr"],
  ["names", CORE, "const psLatency = 1", "the unit last"],
  ["names", CORE, "const latencyPicoseconds = 1", "Ps for picoseconds"],
  ["names", CORE, "const numQueues = 1", "Count at the end"],
  ["names", CORE, "const queueIdx = 1", "Index in full"],
  ["names", CORE, "const isNotEmpty = true", "positive"],
  ["names", CORE, "const srcBuffer = 1", "source and target"],
  ["files", "packages/sim/src/core/my-thing.ts", "", "camelCase"],
  ["files", "packages/sim/src/simulation.ts", "", "PascalCase"],
  ["looked for", "packages/sim/try.ts", "", "outside of src"],
  ["MODEL", CORE, "/** MODEL differs. */", "a deviation is written"],
  ["documented", PRNG, "export const makePrng = (a: number): Prng => a", "makePrng is exported"],
  ["documented", PRNG, "export class Prng {}", "Prng is exported"],
  ["documented", PRNG, "/** Of the file. */\n\nconst a = 1\nexport function b() {}", "b is exported"]
]

describe("a planted violation is found", () => {
  for (const [rule, path, text, message] of PLANTED) {
    it(`${rule}: ${text.slice(0, 60)}`, () => {
      const named = Object.entries(TIDY_RULES).filter(([name]) => name.includes(rule))
      expect(named.flatMap(([, check]) => check(sourceFile(path, text)))).toEqual([expect.stringContaining(message)])
    })
  }

  it("a folder of a machine", () => {
    const folder = ["", "home", "me", "vnic"].join("/")
    expect(noMachinePaths("a.md", `see ${folder}`)).toHaveLength(1)
    expect(noMachinePaths("a.md", "see https://example.org/home/me and docs/work/a")).toEqual([])
  })
})

describe("deviations of the model", () => {
  it("end at the next one, at an empty line, or with the comment", () => {
    const comment = "A thing. MODEL: it is\nround, always. MODEL: and blue\n\nMore. MODEL: last"
    expect(deviationsIn(comment)).toEqual(["it is round, always.", "and blue", "last"])
    expect(deviationsIn("A model: none.")).toEqual([])
  })
})

describe("what is good is left alone", () => {
  const good = `/** A thing. MODEL: it never wears out, which flatters it. */
// The window is full (see [82599 7.1.9]); count = head - tail + 1.
// Returns when the last bit has left, as \`link.send(frame)\` says.
export class Thing {
  readonly framesPerSecond = 1
  readonly bytesReceived = 1
  readonly nsPerFrame = 1
  if(count: number): void {}
}

/** Sums. */
export const sum = (values: ReadonlyArray<number>): number => values.reduce((one, other) => one + other, 0)

export const TABLE = (1 + 2) * 3
`

  it("by every rule", () => {
    const file = sourceFile(CORE, good)
    expect(Object.values(TIDY_RULES).flatMap((rule) => rule(file))).toEqual([])
  })

  it("control flow is no function", () => {
    const file = sourceFile(CORE, "if (a) {\n}\nfor (const b of c(d)) {\n}\nswitch (e) {\n}\nwhile (f()) {\n}")
    expect(functionsOf(file)).toEqual([])
  })
})
