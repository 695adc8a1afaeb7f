import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { MAP_ADDRESS_SPACE_FULL, TO_DEVICE, type MakeAllocator } from "@vnic/dma-api/core"
import { MASK_32, setUp } from "./support/setup.ts"
import * as Effect from "effect/Effect"

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8")
const examples = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1]!)

// Inside the package, so that the examples' imports are found as a reader's would be, and where git does not look.
const output = join(import.meta.dirname, "../dist")
mkdirSync(output, { recursive: true })
const folder = mkdtempSync(join(output, "readme-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** Runs an example as a module, with its named constants exported. */
async function run(index: number, names: ReadonlyArray<string>): Promise<Record<string, unknown>> {
  const file = join(folder, `example-${index}.ts`)
  writeFileSync(file, `${examples[index]!}\n${names.length > 0 ? `export { ${names.join(", ")} }` : ""}\n`)
  return (await import(/* @vite-ignore */ file)) as Record<string, unknown>
}

/** What is looked at of the allocator of one's own: a module runs once. */
const OWN = ["addresses", "table", "bump"]

describe("the examples of the README", () => {
  it("the first one is short, runs, and does what its comments say", async () => {
    expect(examples).toHaveLength(3)
    expect(examples[0]!.split("\n").filter((line) => line.trim() !== "").length).toBeLessThanOrEqual(20)
    const { busAddr, dma, entries } = await run(0, ["busAddr", "dma", "entries"])
    expect(busAddr).toBe(0x8000_0040)
    expect((entries as Map<number, number>).size).toBe(0)
    expect((dma as { snapshot(): object }).snapshot()).toMatchObject({ maps: 1, unmaps: 1, live: 0, findings: 0 })
  })

  it("the Effect one runs", async () => {
    const { program } = await run(1, [])
    expect(await Effect.runPromise(program as Effect.Effect<number>)).toBe(0x1000)
  })

  it("the allocator of one's own never reuses an address", async () => {
    const { addresses, table } = await run(2, OWN)
    const { windowStart } = table as { windowStart: number }
    expect((addresses as Array<number>).map((busAddr) => (busAddr - windowStart) / 4096)).toEqual([1, 2])
  })

  it("and hands out all that any table has behind it, and no more", async () => {
    const { bump } = (await run(2, OWN)) as { readonly bump: MakeAllocator }
    const reserved = [
      { firstPage: 30, pageCount: 4 },
      { firstPage: 3, pageCount: 2 }
    ]
    for (const windowStart of [0, 0x1_0000, 0x7_b000, 2 ** 31]) {
      const { dma, table } = setUp("iommu", { allocator: bump }, { windowStart, pageCount: 40, reserved })
      const device = dma.attach("disk0", MASK_32)
      const isMapped = () => !device.mappingError(device.mapSingle(0, 0x2000, 64, TO_DEVICE))
      while (isMapped());
      expect(table.entries.size).toBe(windowStart === 0 ? 33 : 34)
      expect(device.failure[0]).toBe(MAP_ADDRESS_SPACE_FULL)
    }
  })
})
