/**
 * What the pages for readers promise is true.
 *
 * Goal: a reader who copies an example or believes a table is not let down. Method: the table of the README is the
 * golden one; every fence of TypeScript in the README, the guides and the packages' READMEs is a module of its own
 * that has sound types, runs, and prints what its `// =>` comments say; every fence of YAML is a valid scenario, and
 * every `--set` a valid setting; every link leads to a heading or a file.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { posix } from "node:path"
import { parseScenario } from "@vnic/lab"
import * as Effect from "effect/Effect"
import { afterAll, describe, expect, it } from "vitest"
import { filesBelow, ROOT, textOf } from "../scripts/lib/sources.ts"

const GOLDEN = "packages/lab/test/golden/cascardo-2013.txt"
const SCENARIO = "packages/lab/scenarios/cascardo-2013.yaml"

const written = filesBelow("").filter((path) => path.endsWith(".md"))
/** Pages whose fences are for copying. */
const guides = written.filter((path) => /^(?:README\.md|docs\/guides\/.*|packages\/[^/]+\/README\.md)$/u.test(path))

interface Fence {
  /** Page and line, for messages. */
  readonly where: string
  readonly language: string
  readonly text: string
}

const fencesOf = (path: string): ReadonlyArray<Fence> => {
  const page = textOf(path)
  return [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gmu)].map((match) => ({
    where: `${path}:${page.slice(0, match.index).split("\n").length}`,
    language: match[1]!,
    text: match[2]!
  }))
}

const fences = guides.flatMap(fencesOf)
const inLanguage = (language: string): ReadonlyArray<Fence> => fences.filter((fence) => fence.language === language)

describe("the headline table of the README", () => {
  it("is the golden table", () => {
    const headline = /<!-- headline -->\s*```text\n([\s\S]*?)```\s*<!-- \/headline -->/u.exec(textOf("README.md"))
    expect(headline?.[1]?.trim()).toBe(textOf(GOLDEN).trim())
  })
})

describe("examples in TypeScript", () => {
  // Inside lab, which may import every package, and in a folder that Git and the checks do not look into.
  const parent = `${ROOT}packages/lab/dist`
  mkdirSync(parent, { recursive: true })
  const folder = mkdtempSync(`${parent}/examples-`)
  afterAll(() => rmSync(folder, { recursive: true }))
  const examples = inLanguage("ts").map((fence, index) => ({ ...fence, file: `${folder}/example${index}.ts` }))
  for (const { file, text } of examples) writeFileSync(file, text)

  const run = (words: ReadonlyArray<string>): { readonly status: number | null; readonly stdout: string } => {
    const { error, status, stderr, stdout } = spawnSync(process.execPath, words, { encoding: "utf8", timeout: 60_000 })
    if (error !== undefined) throw error
    return { status, stdout: status === 0 ? stdout : stdout + stderr }
  }

  for (const { file, text, where } of examples) {
    it(`${where} runs and prints what it says`, () => {
      const promised = [...text.matchAll(/\/\/ => (.*)$/gmu)].map((match) => match[1]!)
      const { status, stdout } = run([file])
      expect({ status, lines: stdout.split("\n").filter((line) => line !== "") }).toEqual({
        status: 0,
        lines: promised
      })
    })
  }

  it("have sound types", () => {
    const project = `${folder}/tsconfig.json`
    const compilerOptions = {
      composite: false,
      declarationMap: false,
      noEmit: true,
      // An example may name what a reader goes on with.
      noUnusedLocals: false,
      noUnusedParameters: false,
      rootDir: ROOT,
      allowImportingTsExtensions: true,
      rewriteRelativeImportExtensions: false
    }
    writeFileSync(project, JSON.stringify({ extends: `${ROOT}tsconfig.base.json`, compilerOptions, include: ["*.ts"] }))
    const { stdout } = run([`${ROOT}node_modules/typescript/bin/tsc`, "-p", project, "--pretty", "false"])
    const placed = examples.reduce((lines, { file, where }) => lines.replaceAll(posix.basename(file), where), stdout)
    expect(placed).toBe("")
  })
})

describe("scenarios", () => {
  for (const { text, where } of inLanguage("yaml")) {
    it(`${where} is valid`, () => Effect.runPromise(Effect.asVoid(parseScenario(text, where))))
  }

  it("can be changed by the settings that pages show", async () => {
    const settings = inLanguage("sh").flatMap(({ text }) =>
      [...text.matchAll(/--set (?:'([^']+)'|(\S+))/gu)].map((match) => match[1] ?? match[2]!)
    )
    const base = readFileSync(ROOT + SCENARIO, "utf8")
    expect(settings.length).toBeGreaterThan(0)
    for (const setting of settings) await Effect.runPromise(parseScenario(base, setting, [setting]))
  })
})

/** The name by which a heading is linked to. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{Letter}\p{Number}\s_-]/gu, "")
    .replaceAll(" ", "-")

const anchorsOf = (path: string): ReadonlyArray<string> =>
  [...textOf(path).matchAll(/^#+ (.*)$/gmu)].map((match) => anchorOf(match[1]!.replaceAll(/\]\([^)]*\)/gu, "]")))

describe("links", () => {
  it("lead to files that exist, and to headings in them", () => {
    const broken = written.flatMap((path) =>
      [...textOf(path).matchAll(/\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)/gu)].flatMap((match) => {
        const target = match[1] === "" ? path : posix.join(posix.dirname(path), match[1]!)
        if (!existsSync(ROOT + target)) return [`${path} links to ${target}`]
        const anchor = match[2]
        if (anchor === undefined || !target.endsWith(".md") || anchorsOf(target).includes(anchor)) return []
        return [`${path} links to ${target}#${anchor}`]
      })
    )
    expect(broken).toEqual([])
  })

  it("lead to sources that have the names which stand behind the link", () => {
    const missing = written.flatMap((path) =>
      [...textOf(path).matchAll(/\]\(([^)\s]+\.ts)\)\s+`(\w+)`/gu)]
        .filter((match) => !textOf(posix.join(posix.dirname(path), match[1]!)).includes(match[2]!))
        .map((match) => `${path}: ${match[1]} has no ${match[2]}`)
    )
    expect(missing).toEqual([])
  })
})
