import * as Effect from "effect/Effect"
import { expect, it } from "vitest"
import { program } from "./main.ts"

it("one mapping is live while the device writes, and the bytes arrive where the table says", async () => {
  expect(await Effect.runPromise(program)).toEqual({ busAddr: 0x1_0040, arrived: 0xa5, live: 1 })
})
