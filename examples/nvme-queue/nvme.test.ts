import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { ALLOCATOR_NAMES } from "@vnic/dma-api/core"
import { describe, expect, it } from "vitest"
import { run } from "./run.ts"

const ROUNDS = 3

describe.each(ALLOCATOR_NAMES)("the queue pairs with %s", (allocator) => {
  it("bring every block back, without a fault, a leak or a finding", () => {
    expect(run(allocator, ROUNDS).wrong).toEqual({ bytes: 0, faults: 0, leaks: 0, findings: 0 })
  })
})

it("an allocator costs more than none, and one lock across the hypercall costs most", () => {
  const perSecond = ALLOCATOR_NAMES.map((allocator) => run(allocator, ROUNDS).perSecond)
  expect(Math.max(...perSecond)).toBe(perSecond[ALLOCATOR_NAMES.indexOf("identity")])
  expect(Math.min(...perSecond)).toBe(perSecond[ALLOCATOR_NAMES.indexOf("bitmap")])
})

it("prints the table of its README", () => {
  const [, table] = readFileSync(join(import.meta.dirname, "README.md"), "utf8").match(/```text\n([\s\S]*?)```/u)!
  expect(execFileSync(process.execPath, ["main.ts"], { cwd: import.meta.dirname, encoding: "utf8" })).toBe(table)
})
