/** The sources of the workspace, and which part of it each belongs to. */
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { type Import, importsOf } from "./imports.ts"
import { type Scan, scan } from "./scanner.ts"

/** Folder of the workspace, with a slash at its end. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url))

/**
 * Where a file belongs. core: the plain inside of a package, and nic-device's registers; testing: public test doubles;
 * face: the rest of a package's sources; workspace: what belongs to no package; stray: where no source should be.
 */
export type Area = "core" | "testing" | "face" | "test" | "bench" | "workspace" | "stray"

export interface SourceFile {
  /** From the workspace's folder, with slashes. */
  readonly path: string
  readonly text: string
  readonly area: Area
  /** Name of its package's folder, or "". */
  readonly home: string
  readonly scan: Scan
  readonly imports: ReadonlyArray<Import>
}

/** A source file made from its text. */
export const sourceFile = (path: string, text: string): SourceFile => ({
  path,
  text,
  area: areaOf(path),
  home: /^packages\/([^/]+)\//u.exec(path)?.[1] ?? "",
  scan: scan(text),
  imports: importsOf(text)
})

const areaOf = (path: string): Area => {
  const inside = /^packages\/[^/]+\/(.*)$/u.exec(path)?.[1]
  if (inside === undefined) return "workspace"
  if (/^src\/(?:core\/|registers\/|registers\.ts$)/u.test(inside)) return "core"
  if (inside.startsWith("src/testing/")) return "testing"
  if (inside.startsWith("src/")) return "face"
  if (inside.startsWith("test/")) return "test"
  if (inside.startsWith("bench/")) return "bench"
  return "stray"
}

const SKIPPED = new Set(["node_modules", "dist", "coverage"])

/** All files below a folder of the workspace, in a fixed order; generated and hidden folders left out. */
export const filesBelow = (folder: string): ReadonlyArray<string> =>
  readdirSync(ROOT + folder, { withFileTypes: true })
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))
    .flatMap((entry) => {
      if (SKIPPED.has(entry.name) || entry.name.startsWith(".")) return []
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`
      return entry.isDirectory() ? filesBelow(path) : [path]
    })

/** The text of a file of the workspace. */
export const textOf = (path: string): string => readFileSync(ROOT + path, "utf8")

/** Every TypeScript file of the workspace. */
export const workspaceSources = (): ReadonlyArray<SourceFile> =>
  filesBelow("")
    .filter((path) => path.endsWith(".ts"))
    .map((path) => sourceFile(path, textOf(path)))

export interface Manifest {
  readonly name: string
  readonly exports?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

/** package.json of a package's folder. */
export const manifestOf = (home: string): Manifest => JSON.parse(textOf(`packages/${home}/package.json`))
