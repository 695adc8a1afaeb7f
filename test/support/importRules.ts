/**
 * Who may import whom.
 *
 * A rule takes a source file and returns what is wrong with it, one line for each place. The rules say nothing about
 * files that they do not concern, so every rule can be put to every file.
 */
import { existsSync } from "node:fs"
import { posix } from "node:path"
import { stabilityOf } from "./effectStability.ts"
import { COMPUTED, type Import, packageOf } from "../../scripts/lib/imports.ts"
import { lineAt } from "../../scripts/lib/scanner.ts"
import { manifestOf, ROOT, type SourceFile } from "../../scripts/lib/sources.ts"

export type Rule = (file: SourceFile) => ReadonlyArray<string>

const SCOPE = "@vnic/"

/** The package graph. A name with a slash opens that one export of a package only. */
export const MAY_IMPORT: Readonly<Record<string, ReadonlyArray<string>>> = {
  sim: [],
  iommu: ["sim"],
  "dma-api": ["sim"],
  "nic-device": ["sim"],
  "net-stack": ["sim"],
  driver: ["sim", "dma-api", "nic-device/registers"],
  traffic: ["sim", "net-stack"],
  lab: ["sim", "iommu", "dma-api", "nic-device", "net-stack", "driver", "traffic"]
}

/** Packages whose names begin like this may be imported only where Node is. */
const NODE_PACKAGES = /^(?:node:|@effect\/platform-node$)/u

const isProduct = ({ area }: SourceFile): boolean => area === "core" || area === "face" || area === "testing"
const mayUseNode = ({ path }: SourceFile): boolean => /^packages\/lab\/src\/(?:main\.ts$|node\/)/u.test(path)

const at = (file: SourceFile, line: number, message: string): string => `${file.path}:${line} ${message}`

/** A rule about single imports; a check returns what is wrong, or undefined. */
const eachImport =
  (check: (file: SourceFile, imported: Import) => string | undefined): Rule =>
  (file) =>
    file.imports.flatMap((imported) => {
      const message = check(file, imported)
      return message === undefined ? [] : [at(file, imported.line, message)]
    })

/** `core` of `@vnic/sim/core`; "" for the package itself. */
const exportOf = (specifier: string): string => specifier.slice(packageOf(specifier).length + 1)

/** Packages import each other along the graph. */
const packageGraph = eachImport((file, { specifier }) => {
  if (file.home === "" || !specifier.startsWith(SCOPE)) return undefined
  const allowed = MAY_IMPORT[file.home]
  if (allowed === undefined) return `the package ${file.home} is not in the graph of test/support/importRules.ts`
  const target = packageOf(specifier).slice(SCOPE.length)
  const isOwn = target === file.home
  if (isOwn) return isProduct(file) ? `imports its own package by name; use a relative path` : undefined
  if (allowed.includes(target) || allowed.includes(specifier.slice(SCOPE.length))) return undefined
  return `${file.home} must not import ${specifier}; it may import ${allowed.join(", ") || "none of ours"}`
})

/** What is imported of another package is in its exports. */
const openExports = eachImport((_, { specifier }) => {
  if (!specifier.startsWith(SCOPE)) return undefined
  const home = packageOf(specifier).slice(SCOPE.length)
  if (!(home in MAY_IMPORT)) return `there is no package ${specifier}`
  const name = exportOf(specifier)
  const key = name === "" ? "." : `./${name}`
  return key in (manifestOf(home).exports ?? {}) ? undefined : `${specifier} is not among the package's exports`
})

/** Test doubles of other packages are for tests. A service may hold its own, for its `layerTest`. */
const doublesInTestsOnly = eachImport((file, { isTypeOnly, specifier }) => {
  if ((file.area !== "core" && file.area !== "face") || isTypeOnly) return undefined
  const isDouble = specifier.startsWith(SCOPE) && exportOf(specifier) === "testing"
  return isDouble ? `imports ${specifier}: test doubles are for tests` : undefined
})

const resolved = (file: SourceFile, specifier: string): string =>
  posix.join(posix.dirname(file.path), specifier).replace(/^\.\//u, "")

/** Relative imports name an existing file with its extension and stay in the package; none has an absolute path. */
const relativePaths = eachImport((file, { specifier }) => {
  if (specifier === COMPUTED) return isProduct(file) ? "imports a module whose name is computed" : undefined
  if (specifier.startsWith("/") || specifier.startsWith("file:")) return `imports the absolute path ${specifier}`
  if (!specifier.startsWith(".")) return undefined
  const target = resolved(file, specifier)
  if (file.home !== "" && !target.startsWith(`packages/${file.home}/`)) return `${specifier} leaves the package`
  if (file.home === "" && target.startsWith("packages/")) return `${specifier} reaches into a package by its path`
  if (isProduct(file) && !target.startsWith(`packages/${file.home}/src/`)) return `${specifier} leaves src`
  return existsSync(ROOT + target) ? undefined : `${specifier} does not exist`
})

/** The plain inside imports plain code only. */
const plainCore = eachImport((file, { specifier }) => {
  if (file.area !== "core") return undefined
  if (specifier.startsWith(".")) {
    const target = resolved(file, specifier).slice(`packages/${file.home}/src/`.length)
    if (/^(?:core\/|registers\/|registers\.ts$)/u.test(target)) return undefined
    return `${specifier} is outside of the core`
  }
  if (specifier.startsWith(SCOPE) && ["core", "registers"].includes(exportOf(specifier))) return undefined
  return `a core must not import ${specifier}; only @vnic/*/core and @vnic/nic-device/registers`
})

/** Node appears at lab's edge only; everything else runs in a browser too. */
const nodeAtTheEdge = eachImport((file, { specifier }) => {
  if (!isProduct(file) || mayUseNode(file) || !NODE_PACKAGES.test(nodeOrPackage(specifier))) return undefined
  return `imports ${specifier}: Node belongs to packages/lab/src/main.ts and packages/lab/src/node/`
})

const nodeOrPackage = (specifier: string): string => (specifier.startsWith("node:") ? specifier : packageOf(specifier))

/** Effect's modules are imported one by one: loading all of them takes a quarter of a second. */
const deepEffectImports = eachImport((file, { specifier }) => {
  if (!isProduct(file)) return undefined
  const isBarrel = /^(?:effect|effect\/[a-z][\w-]*|@effect\/platform-node)$/u.test(specifier)
  return isBarrel ? `imports all of ${specifier}; import single modules, as in effect/Effect` : undefined
})

/** Libraries are built on what effect promises to keep; only lab, the program, may use more. */
const stableEffect: Rule = (file) => {
  if (!isProduct(file) || file.home === "lab") return []
  return file.imports.flatMap((imported) => {
    if (packageOf(imported.specifier) !== "effect" || imported.specifier === "effect") return []
    const stability = stabilityOf(imported.specifier)
    if (stability === undefined) return [at(file, imported.line, `${imported.specifier} has no stability tag`)]
    if (stability.module !== "stable") {
      return [at(file, imported.line, `${imported.specifier} is ${stability.module} as a whole`)]
    }
    return usedNames(file, imported).flatMap(({ name, line }) => {
      const tag = stability.exports.get(name)
      return tag === undefined || tag === "stable" ? [] : [at(file, line, `${imported.specifier}: ${name} is ${tag}`)]
    })
  })
}

/** What a file uses of an imported module, each name once. */
const usedNames = (
  file: SourceFile,
  imported: Import
): ReadonlyArray<{ readonly name: string; readonly line: number }> =>
  imported.names.flatMap(({ local, name }) => {
    if (name !== "*") return [{ name, line: imported.line }]
    const members = new Map<string, number>()
    for (const match of file.scan.bare.matchAll(new RegExp(`(?<![\\w$.])${local}\\.([\\w$]+)`, "gu"))) {
      if (!members.has(match[1]!)) members.set(match[1]!, lineAt(file.text, match.index))
    }
    return [...members].map(([member, line]) => ({ name: member, line }))
  })

/** The product runs through the Effect faces: lab takes types of a core, and no values. */
const labUsesFaces = eachImport((file, { isTypeOnly, specifier }) => {
  const isConcerned = file.home === "lab" && (isProduct(file) || file.area === "bench")
  if (!isConcerned || isTypeOnly || !specifier.startsWith(SCOPE) || exportOf(specifier) !== "core") return undefined
  return `lab must not import values from ${specifier}; use the package's Effect face, or import type`
})

/** Words that no core may contain, each with what is wrong about it. */
const IMPURE: ReadonlyArray<readonly [pattern: RegExp, reason: string]> = [
  [/(?<![\w$.])(?:Date|performance|Intl)\b/gu, "depends on the clock or the machine"],
  [/\.(?:localeCompare|toLocale\w+)\b/gu, "depends on the machine"],
  [
    /\bMath\.(?:random|log\w*|exp\w*|pow|cbrt|hypot|a?sinh?|a?cosh?|a?tanh?|atan2)\b/gu,
    "is not the same on every machine, or not seeded; use sim's"
  ],
  // Powers of two are exact on every machine.
  [/(?<!(?<![\w$.])2\s*)\*\*=?/gu, "is not specified to the bit"],
  [/(?<![\w$.])(?:console|process|globalThis|crypto)(?=\s*[.[])/gu, "reaches outside of the simulation"],
  // Not a method of that name, which has a return type or a body behind its parameters.
  [/(?<![\w$.])(?:setTimeout|setInterval|setImmediate|queueMicrotask)\s*\((?![^()]*\)\s*[:{])/gu, "is wall-clock time"],
  [/(?<![\w$.])(?:async|await)\b(?!\s*[:=,)?])|(?<![\w$.])Promise\b/gu, "does not belong into synchronous code"],
  [/(?<![\w$.])\d[\d_]*n\b|(?<![\w$])0[xob][\da-f_]+n\b/giu, "is a BigInt, which allocates"],
  [/\bBig(?:Int|Uint)64Array\b|\bBigInt\b|\b[gs]etBig(?:Int|Uint)64\b/gu, "is a BigInt, which allocates"],
  [/(?<![\w$.])(?:WeakRef|FinalizationRegistry)\b/gu, "depends on the garbage collector"]
]

/** A core is synchronous, deterministic and alone. */
const pureCore: Rule = (file) => {
  if (file.area !== "core") return []
  return IMPURE.flatMap(([pattern, reason]) =>
    [...file.scan.bare.matchAll(pattern)].map((match) =>
      at(file, lineAt(file.text, match.index), `${match[0]} in a core: it ${reason}`)
    )
  )
}

/** Globals that only Node has stay where Node is. */
const noNodeGlobals: Rule = (file) => {
  if (!isProduct(file) || mayUseNode(file)) return []
  const globals = /(?<![\w$.])(?:process|Buffer|__dirname|__filename)(?=\s*[.[(])/gu
  return [...file.scan.bare.matchAll(globals)].map((match) =>
    at(file, lineAt(file.text, match.index), `${match[0]} exists in Node only`)
  )
}

export const IMPORT_RULES: Readonly<Record<string, Rule>> = {
  "packages import each other along the graph": packageGraph,
  "packages are entered through their exports": openExports,
  "product code does not use test doubles": doublesInTestsOnly,
  "relative imports exist and stay in their package": relativePaths,
  "cores import cores and registers only": plainCore,
  "cores are synchronous, deterministic and alone": pureCore,
  "Node is imported at lab's edge only": nodeAtTheEdge,
  "Node's globals are used at lab's edge only": noNodeGlobals,
  "effect is imported module by module": deepEffectImports,
  "libraries use stable effect only": stableEffect,
  "lab imports no values from a core": labUsesFaces
}
