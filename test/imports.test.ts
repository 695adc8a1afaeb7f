/**
 * Who may import whom, checked on the text of every source.
 *
 * Goal: the package graph and the two faces of each package hold, whatever an editor's auto-import suggests. Method:
 * each rule is put to every file of the workspace and must find nothing; beside it, a planted violation must be found.
 */
import { existsSync } from "node:fs"
import { posix } from "node:path"
import { describe, expect, it } from "vitest"
import { stabilityIn, stabilityOf } from "./support/effectStability.ts"
import { IMPORT_RULES, MAY_IMPORT } from "./support/importRules.ts"
import { packageOf } from "../scripts/lib/imports.ts"
import { filesBelow, manifestOf, ROOT, sourceFile, textOf, workspaceSources } from "../scripts/lib/sources.ts"

const sources = workspaceSources()
const homes = Object.keys(MAY_IMPORT)

describe("every source", () => {
  for (const [name, rule] of Object.entries(IMPORT_RULES)) {
    it(name, () => expect(sources.flatMap(rule)).toEqual([]))
  }

  it("belongs to a package of the graph", () => {
    const found = new Set(filesBelow("packages").map((path) => path.split("/")[1]))
    expect([...found].toSorted()).toEqual(homes.toSorted())
  })
})

/** A source that breaks one rule, and the words of the message. */
const PLANTED: ReadonlyArray<readonly [rule: string, path: string, text: string, message: string]> = [
  [
    "graph",
    "packages/iommu/src/Iommu.ts",
    'import { Dma } from "@vnic/dma-api"',
    "iommu must not import @vnic/dma-api"
  ],
  ["graph", "packages/driver/src/core/a.ts", 'import { a } from "@vnic/nic-device/core"', "driver must not import"],
  ["graph", "packages/sim/src/a.ts", 'export * from "@vnic/sim/core"', "its own package by name"],
  ["exports", "packages/lab/src/a.ts", 'import { a } from "@vnic/sim/internal"', "not among the package's exports"],
  ["doubles", "packages/lab/src/a.ts", 'import { a } from "@vnic/sim/testing"', "test doubles are for tests"],
  ["relative", "packages/sim/src/core/a.ts", 'import "../../../iommu/src/index.ts"', "leaves the package"],
  ["relative", "packages/sim/test/a.ts", 'import { a } from "/opt/sim/a.ts"', "absolute path"],
  ["relative", "packages/sim/src/a.ts", "const a = import(name)", "computed"],
  ["relative", "packages/sim/src/a.ts", 'export type { A } from "./missing.ts"', "does not exist"],
  ["relative", "scripts/a.ts", 'import { a } from "../packages/sim/src/index.ts"', "by its path"],
  [
    "cores import",
    "packages/sim/src/core/a.ts",
    'import type { Effect } from "effect/Effect"',
    "must not import effect"
  ],
  ["cores import", "packages/sim/src/core/a.ts", 'import { a } from "../Options.ts"', "outside of the core"],
  [
    "cores import",
    "packages/nic-device/src/registers/a.ts",
    'import { a } from "@vnic/sim"',
    "must not import @vnic/sim"
  ],
  ["cores are", "packages/sim/src/core/a.ts", "const t = Date.now()", "Date in a core"],
  ["cores are", "packages/sim/src/core/a.ts", "const t = `${Math.log2(8)}`", "Math.log2 in a core"],
  ["cores are", "packages/sim/src/core/a.ts", "const t = 1_000n", "1_000n in a core"],
  ["cores are", "packages/sim/src/core/a.ts", "const run = async () => 1", "async in a core"],
  ["Node is", "packages/lab/src/Run.ts", 'import { a } from "node:fs"', "imports node:fs"],
  ["Node is", "packages/lab/src/Run.ts", 'import * as a from "@effect/platform-node/NodeWorker"', "NodeWorker"],
  ["Node's", "packages/lab/src/Run.ts", "const a = process.argv", "process exists in Node only"],
  ["module by module", "packages/lab/src/Run.ts", 'import { Effect } from "effect"', "all of effect"],
  ["stable", "packages/sim/src/a.ts", 'import * as Path from "effect/Path"', "effect/Path is unstable as a whole"],
  ["values", "packages/lab/src/Run.ts", 'import { type A, makeA } from "@vnic/sim/core"', "must not import values"]
]

describe("a planted violation is found", () => {
  for (const [rule, path, text, message] of PLANTED) {
    it(`${rule}: ${text}`, () => {
      const named = Object.entries(IMPORT_RULES).filter(([name]) => name.includes(rule))
      const found = named.flatMap(([, check]) => check(sourceFile(path, `\n${text}\n`)))
      expect(found).toEqual([expect.stringContaining(message)])
      expect(found[0]).toContain(`${path}:2 `)
    })
  }

  it("and words in comments and strings are not", () => {
    const text = `// import "effect"; Date, 5n\nconst a = 'import { b } from "effect"'\nconst r = /console.log(1n)/u\n`
    const file = sourceFile("packages/sim/src/core/a.ts", text)
    expect(Object.values(IMPORT_RULES).flatMap((rule) => rule(file))).toEqual([])
  })
})

describe("stability of effect", () => {
  it("is read from each export, and the module has the best of them", () => {
    const text = [
      '/**\n * Head.\n * @stability unstable\n */\nimport type * as a from "./a.ts"',
      "/**\n * @stability unstable\n */\nexport declare function one(a: string): void;",
      "/**\n * @stability stable\n */\nexport declare function one(a: number): void;",
      "/**\n * @stability experimental\n */\nexport declare const two: number;"
    ].join("\n")
    const stability = stabilityIn(text)
    expect(stability?.module).toBe("stable")
    expect(stability?.exports).toEqual(
      new Map([
        ["one", "stable"],
        ["two", "experimental"]
      ])
    )
  })

  it("is found in the installed package", () => {
    expect(stabilityOf("effect/Effect")?.module).toBe("stable")
    expect(stabilityOf("effect/Effect")?.exports.get("succeed")).toBe("stable")
    expect(stabilityOf("effect/cli/Command")?.module).toBe("unstable")
    expect(stabilityOf("effect/Schema")?.exports.size).toBeGreaterThan(300)
  })
})

describe("lab as a library", () => {
  it("runs in a browser: nothing that it loads comes near Node", () => {
    const byPath = new Map(sources.map((file) => [file.path, file]))
    const reached = new Set<string>()
    const visit = (path: string): void => {
      const file = byPath.get(path)
      if (file === undefined || reached.has(path)) return
      reached.add(path)
      for (const { specifier, isTypeOnly } of file.imports) {
        if (specifier.startsWith(".") && !isTypeOnly) visit(posix.join(posix.dirname(path), specifier))
      }
    }
    visit("packages/lab/src/index.ts")
    expect([...reached].filter((path) => /src\/(?:node\/|main\.ts)/u.test(path))).toEqual([])
  })
})

describe.each(homes)("package.json of %s", (home) => {
  const manifest = manifestOf(home)
  const importedBy = (areas: ReadonlyArray<string>): ReadonlySet<string> =>
    new Set(
      sources
        .filter((file) => file.home === home && areas.includes(file.area))
        .flatMap((file) => file.imports.map(({ specifier }) => specifier))
        .filter((specifier) => !/^(?:\.|\/|node:|<)/u.test(specifier))
        .map(packageOf)
        .filter((name) => name !== manifest.name)
    )
  const runtime = [...Object.keys(manifest.dependencies ?? {}), ...Object.keys(manifest.peerDependencies ?? {})]

  it("declares what the sources import, and nothing else", () => {
    const imported = importedBy(["core", "face", "testing"])
    expect([...imported].toSorted()).toEqual(runtime.toSorted())
  })

  it("declares what tests and benchmarks import", () => {
    const declared = [...runtime, ...Object.keys(manifest.devDependencies ?? {})]
    expect([...importedBy(["test", "bench"])].filter((name) => !declared.includes(name))).toEqual([])
  })

  it("exports files that exist", () => {
    const missing = Object.values(manifest.exports ?? {}).filter(
      (path) => !existsSync(`${ROOT}packages/${home}/${path}`)
    )
    expect(missing).toEqual([])
  })

  it("has the project references of its dependencies", () => {
    const config: { readonly references: ReadonlyArray<{ readonly path: string }> } = JSON.parse(
      textOf(`packages/${home}/tsconfig.json`)
    )
    const ours = runtime.filter((name) => name.startsWith("@vnic/")).map((name) => name.replace("@vnic/", "../"))
    expect(config.references.map(({ path }) => path).toSorted()).toEqual(ours.toSorted())
  })
})
