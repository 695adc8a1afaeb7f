/** What sources of this workspace look like, as rules in the form of the import rules. */
import { existsSync } from "node:fs"
import { posix } from "node:path"
import { functionsOf } from "./functions.ts"
import type { Rule } from "./importRules.ts"
import { importsOf } from "../../scripts/lib/imports.ts"
import { lineAt } from "../../scripts/lib/scanner.ts"
import { ROOT, type SourceFile, textOf } from "../../scripts/lib/sources.ts"

const FILE_LINES_MAX = 400
const FUNCTION_LINES_MAX = 70
const COLUMNS_MAX = 120

const at = (file: SourceFile, line: number, message: string): string => `${file.path}:${line} ${message}`

const shortFiles: Rule = (file) => {
  const lineCount = file.text.trimEnd().split("\n").length
  return lineCount > FILE_LINES_MAX ? [at(file, lineCount, `${lineCount} lines; at most ${FILE_LINES_MAX}`)] : []
}

/** Suites of tests are lists of tests, however long; everything else is a function. */
const SUITE = /^describe(?:\.\w+)*$/u

const shortFunctions: Rule = (file) =>
  functionsOf(file)
    .filter(({ callee, lineCount }) => lineCount > FUNCTION_LINES_MAX && !SUITE.test(callee))
    .map(({ head, line, lineCount }) => at(file, line, `${lineCount} lines, at most ${FUNCTION_LINES_MAX}: ${head}`))

const shortLines: Rule = (file) =>
  file.text.split("\n").flatMap((line, index) => {
    const columns = [...line].length
    return columns > COLUMNS_MAX ? [at(file, index + 1, `${columns} columns; at most ${COLUMNS_MAX}`)] : []
  })

const UNFINISHED = /\b(?:TO[-_ ]?DO|FIXME|XXX|HACK)\b/u

const nothingUnfinished: Rule = (file) =>
  file.scan.comments
    .filter(({ text }) => UNFINISHED.test(text))
    .map(({ line, text }) => at(file, line, `${UNFINISHED.exec(text)![0]} in a comment: finish it, or open an issue`))

/** What only code looks like. A formula or a call in a sentence is none. */
const CODE: ReadonlyArray<RegExp> = [
  /^(?:const|let|var)\s+[\w${[][^.]*[=:]/u,
  /^(?:import|export)\s.*["'{}]/u,
  /^(?:if|for|while|switch)\s*\(.*\)\s*(?:\{|return\b|continue\b|break\b|[\w.]+\()/u,
  /^\}?\s*else\b.*\{$/u,
  /^(?:return|await|throw|yield\*?)\s+[\w.[\]!]+\(.*\)$/u,
  /^(?:this\.)?[\w.]+\([^ ]*\)(?:\.[\w.]+\(.*\))*;?$/u,
  /^this\.[\w.[\]!]+\s*[-+*/|&^]?=\s/u,
  /^(?:expect|console\.\w+|assert)\(/u,
  /[;{]$/u,
  /^\}[);,]*$/u
]

const noDeadCode: Rule = (file) =>
  file.scan.comments
    .filter(({ kind }) => kind === "line")
    .flatMap(({ line, text }) =>
      text.split("\n").flatMap((words, index) => {
        const looksDead = CODE.some((pattern) => pattern.test(words.trim()))
        return looksDead ? [at(file, line + index, `code in a comment: ${words.trim()}`)] : []
      })
    )

/** Words that are spelt otherwise in this house, each with what to write. */
interface BannedName {
  readonly pattern: RegExp
  readonly instead: string
  /** Files that the rule concerns; all if absent. */
  readonly concerns?: (file: SourceFile) => boolean
}

const isWire = ({ home }: SourceFile): boolean => home === "net-stack"

const BANNED_NAMES: ReadonlyArray<BannedName> = [
  {
    pattern: /\baddr\b/gu,
    instead: "the name of its space: physAddr, busAddr, pfn",
    concerns: (file) => !isWire(file)
  },
  {
    pattern: /\b(?:ps|ns|us|ms|usec|nsec|msec|gbps|mbps)(?!Per[A-Z])[A-Z][a-z]\w*\b/gu,
    instead: "the unit last, as in latencyPs"
  },
  {
    pattern: /\b[a-z]\w*(?:Picos|Picoseconds|PicoSeconds|Kbs|Kilobytes|Megabytes)\b/gu,
    instead: "Ps for picoseconds, Bytes for sizes"
  },
  { pattern: /\b(?:num|nr|cnt)(?!Runs\b)[A-Z]\w*\b/gu, instead: "Count at the end, as in queueCount" },
  { pattern: /\b[a-z]\w*(?:Cnt|Nr)\b/gu, instead: "Count or Index in full" },
  { pattern: /\b[a-z]\w*Idx\b|\bidx\b/gu, instead: "Index in full, as in queueIndex" },
  { pattern: /\b[a-z]\w*Sz\b/gu, instead: "SizeBytes" },
  { pattern: /\b(?:isNot|hasNo|hasNot|notIs|cannot)(?=[A-Z])\w*\b/gu, instead: "a positive predicate, as in isFull" },
  {
    pattern: /\b(?:src|dst|dest)(?!(?:Ip|Port|Mac|Addr)\w*\b)(?:[A-Z]\w*)?\b/gu,
    instead: "source and target; src and dst are fields of packet headers",
    concerns: (file) => !isWire(file)
  }
]

const houseNames: Rule = (file) =>
  BANNED_NAMES.filter(({ concerns }) => concerns === undefined || concerns(file)).flatMap(({ instead, pattern }) =>
    [...file.scan.bare.matchAll(pattern)].map((match) =>
      at(file, lineAt(file.text, match.index), `${match[0]}: write ${instead}`)
    )
  )

/** Public modules are nouns in PascalCase; what is inside in camelCase; tests and doubles in either. */
const fileNames: Rule = (file) => {
  const [, inside, name] = /^(?:packages\/[^/]+\/)?(.*?)([^/]+)\.ts$/u.exec(file.path)!
  const parts = name!.split(".")
  const isPublic = file.area === "face" && inside === "src/" && !["index", "main", "registers"].includes(name!)
  const isEither = file.area === "test" || file.area === "testing"
  const first = isPublic ? "A-Z" : isEither ? "A-Za-z" : "a-z"
  const pattern = new RegExp(`^[${first}][A-Za-z\\d]*$`, "u")
  // A profile's file has the profile's name.
  if (inside!.endsWith("/profiles/")) return []
  const isCommand = file.area === "workspace" && /^[a-z\d]+(?:-[a-z\d]+)*$/u.test(parts[0]!)
  if (pattern.test(parts[0]!) || isCommand) return []
  return [at(file, 1, `the file's name is not in ${isPublic ? "PascalCase" : "camelCase"}`)]
}

/** Sources, tests and benchmarks have their folders. Files that nothing needs are found by knip. */
const filePlaces: Rule = (file) =>
  file.area === "stray" ? [at(file, 1, "a source outside of src, test and bench")] : []

const MODEL_BROKEN = /\bMODEL\b(?!: \S)|\bModel:|\bMODEL: *$/mu

const modelComments: Rule = (file) =>
  file.scan.comments
    .filter(({ text }) => MODEL_BROKEN.test(text.replaceAll("\n", " ")))
    .filter(() => file.area !== "workspace")
    .map(({ line }) => at(file, line, "a deviation is written `MODEL: what differs, and what follows`"))

const EXPORTED =
  /^export\s+(?:abstract\s+)?(?:(function\*?|class)\s+([\w$]+)|const\s+([\w$]+)\s*(?::[^=]*)?=\s*(?:<[^=]*>\s*)?\()/gmu

/** Is this export of a core's file among those that the package shows? */
const isShown = ({ path }: SourceFile, name: string): boolean => {
  const [, folder, inside] = /^(packages\/[^/]+\/src)\/(.*)$/u.exec(path)!
  const index = [`${folder}/core/index.ts`, `${folder}/registers.ts`].filter((face) => existsSync(ROOT + face))
  return index.some((face) =>
    importsOf(textOf(face)).some(({ kind, names, specifier }) => {
      const target = posix.join(posix.dirname(face), specifier).slice(folder!.length + 1)
      return kind === "export" && target === inside && names.some((shown) => ["*", name].includes(shown.name))
    })
  )
}

/** What a core shows is explained where it is declared; the first class of a file by the file's own head. */
const documentedCore: Rule = (file) => {
  if (file.area !== "core") return []
  const { code, bare, comments } = file.scan
  const blocks = comments.filter(({ kind }) => kind === "block")
  let hasHead = blocks.some(({ line }) => line === 1)
  return [...code.matchAll(EXPORTED)].flatMap((match) => {
    const name = match[2] ?? match[3]!
    if (match[3] !== undefined && !isArrow(bare, match.index + match[0].length - 1)) return []
    const isNoun = hasHead && match[1] === "class"
    if (isNoun) hasHead = false
    // A docstring speaks for the declarations that follow it without an empty line.
    const isDocumented = blocks.some(
      ({ end }) => end <= match.index && !/\n\s*\n/u.test(file.text.slice(end, match.index))
    )
    const isOverload = new RegExp(`function\\*?\\s+${name}\\b[^{]*$`, "u").test(code.slice(0, match.index).slice(-600))
    if (isNoun || isDocumented || isOverload || !isShown(file, name)) return []
    return [at(file, lineAt(file.text, match.index), `${name} is exported without a docstring`)]
  })
}

/** Do the parentheses that open here hold the parameters of an arrow function? */
const isArrow = (bare: string, open: number): boolean => {
  let depth = 0
  for (let position = open; position < bare.length; position += 1) {
    if (bare[position] === "(") depth += 1
    if (bare[position] === ")") depth -= 1
    if (depth === 0) return /^\)\s*(?::[^=]*(?:=>[^=]*)?)?=>/u.test(bare.slice(position, position + 300))
  }
  return false
}

/** A path that exists on one machine only. */
const MACHINE_PATH = /(?<![\w.~/-])\/(?:home|root|Users|work|tmp|mnt|private)\/[\w-]/u

/** No file names a folder of somebody's machine. */
export const noMachinePaths = (path: string, text: string): ReadonlyArray<string> =>
  text.split("\n").flatMap((line, index) => (MACHINE_PATH.test(line) ? [`${path}:${index + 1} ${line.trim()}`] : []))

export const TIDY_RULES: Readonly<Record<string, Rule>> = {
  [`a file has at most ${FILE_LINES_MAX} lines`]: shortFiles,
  [`a function has at most ${FUNCTION_LINES_MAX} lines`]: shortFunctions,
  [`a line has at most ${COLUMNS_MAX} columns`]: shortLines,
  "nothing is left unfinished": nothingUnfinished,
  "no code is left in comments": noDeadCode,
  "names are those of the house": houseNames,
  "files are named after their noun": fileNames,
  "sources lie where they are looked for": filePlaces,
  "deviations from hardware are marked MODEL:": modelComments,
  "what a core exports is documented": documentedCore
}
