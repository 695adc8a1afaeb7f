import * as Effect from "effect/Effect"
import { expect, it } from "vitest"
import { pages, program } from "./main.ts"

it("one mapping is live while the device writes, and the bytes arrive where the table says", async () => {
  expect(await Effect.runPromise(program)).toEqual({ busAddr: 0x1_0040, arrived: 0xa5, live: 1 })
})

it("each page is handed out once, as long as there are any, and comes back", () => {
  const taken = Array.from({ length: 33 }, () => pages.allocate(0) / pages.pageSizeBytes)
  expect(taken).toEqual([...Array.from({ length: 32 }, (_, index) => 32 + index), -1 / pages.pageSizeBytes])
  for (const page of taken.slice(0, 32)) pages.free(page * pages.pageSizeBytes)
  expect([pages.allocate(1), pages.allocate(0)]).toEqual([-1, 63 * pages.pageSizeBytes])
  pages.free(63 * pages.pageSizeBytes)
})
