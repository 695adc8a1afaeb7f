import { describe, expect, it } from "vitest"
import { FIXED_SPACE, wrapped } from "../src/Lines.ts"

describe("a text in lines", () => {
  it("is as it was where there is room", () => {
    expect(wrapped("  name    about", 15, "")).toBe("  name    about")
    expect(wrapped("  name    about", Infinity, "")).toBe("  name    about")
    expect(wrapped("name  ", 10, "")).toBe("name")
  })

  it("is broken between words, and goes on behind the indent", () => {
    expect(wrapped("  name  some words about it", 14, "        ")).toBe(
      "  name  some\n        words\n        about\n        it"
    )
  })

  it("is not broken at a fixed space", () => {
    expect(wrapped(`lost: one${FIXED_SPACE}1, two${FIXED_SPACE}22`, 14, "  ")).toBe("lost: one 1,\n  two 22")
  })

  it("has all of its words where there is room for a few letters only, or for none", () => {
    for (const columns of [0, 1, 3, 8, 9]) {
      const lines = wrapped("  name  some words about it", columns, "        ").split("\n")
      expect(lines.join("").replaceAll(" ", "")).toBe("namesomewordsaboutit")
      expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(Math.max(1, columns))
    }
  })

  it("has all of a word that is longer than a line", () => {
    expect(wrapped("a 1234567890abc", 6, "  ")).toBe("a\n  1234\n  5678\n  90ab\n  c")
  })
})
