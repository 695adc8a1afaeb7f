/** The scanner under the workspace's rules: what it must not be fooled by. */
import { describe, expect, it } from "vitest"
import { COMPUTED, importsOf } from "../scripts/lib/imports.ts"
import { lineAt, scan } from "../scripts/lib/scanner.ts"

const squeezed = (text: string): string => text.replace(/ +/gu, " ").trim()

describe("scan", () => {
  it.each([
    ["line comment", "a // b", "a"],
    ["block comment", "a /* b */ c", "a c"],
    ["comment signs in strings", "f(\"// b\", '/* c')", "f(\" \", ' ')"],
    ["escaped quotes", String.raw`f("a\"b") // c`, 'f(" ")'],
    ["template", "f(`a // ${b + `c ${d}`} e`) // f", "f(` ${b + ` ${d}`} `)"],
    ["braces in templates", "f(`${{ a: 1 }.a} // b`)", "f(`${{ a: 1 }.a} `)"],
    ["regular expression", String.raw`a = /\/\/ "[/"]/u // b`, "a ="],
    ["division", "a / b // c", "a / b"],
    ["regular expression as an argument", "f(/'/, b)", "f( , b)"],
    ["regular expression after return", "return /`/u.test(a)", "return .test(a)"]
  ])("%s", (_, source, bare) => {
    const views = scan(source)
    expect(squeezed(views.bare)).toBe(bare)
    expect(views.bare).toHaveLength(source.length)
    expect(views.code).toHaveLength(source.length)
  })

  it("keeps line ends", () => {
    const source = "/* a\n b */\n`c\n${d}`\n// e\nf"
    const { bare } = scan(source)
    expect(bare.split("\n")).toHaveLength(source.split("\n").length)
    expect(lineAt(source, bare.indexOf("f"))).toBe(6)
  })

  it("gives comments without their signs, line comments together", () => {
    const { comments } = scan("/**\n * One.\n * Two.\n */\n// three\n// four\na // five\n")
    expect(comments.map(({ text, line, lastLine }) => ({ text, line, lastLine }))).toEqual([
      { text: "One.\nTwo.", line: 1, lastLine: 4 },
      { text: "three\nfour", line: 5, lastLine: 6 },
      { text: "five", line: 7, lastLine: 7 }
    ])
  })
})

describe("importsOf", () => {
  const all = { name: "*", isType: false }

  it.each([
    ['import * as A from "a"', [{ ...all, local: "A" }], false],
    ['import type * as A from "a"', [{ name: "*", local: "A", isType: true }], true],
    [
      'import { b, type C } from "a"',
      [
        { name: "b", local: "b", isType: false },
        { name: "C", local: "C", isType: true }
      ],
      false
    ],
    [
      'import {\n  type B,\n  type C as D\n} from "a"',
      [
        { name: "B", local: "B", isType: true },
        { name: "C", local: "D", isType: true }
      ],
      true
    ],
    [
      'import b, { c } from "a"',
      [
        { name: "c", local: "c", isType: false },
        { name: "default", local: "b", isType: false }
      ],
      false
    ],
    ['import "a"', [], false],
    ['export * from "a"', [{ ...all, local: "*" }], false],
    ['export type { B } from "a"', [{ name: "B", local: "B", isType: true }], true],
    ['const b = await import("a")', [{ ...all, local: "*" }], false],
    ['type B = typeof import("a")', [{ name: "*", local: "*", isType: true }], true]
  ])("%s", (source, names, isTypeOnly) => {
    expect(importsOf(source)).toEqual([expect.objectContaining({ specifier: "a", names, isTypeOnly })])
  })

  it("sees what is computed, and nothing in texts", () => {
    expect(importsOf("import(a)").map(({ specifier }) => specifier)).toEqual([COMPUTED])
    expect(importsOf('import.meta.url\nArray.from("a")\nconst b = `import "c"`\nexport const from = 1')).toEqual([])
    expect(importsOf('export const a = 1\nconst b = { from: "c" }')).toEqual([])
  })
})
