import { makeStreamEndpoints, STREAM_NONE } from "@vnic/net-stack/core"
import { HostStack, layer } from "@vnic/net-stack"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

const options = {
  endpoints: makeStreamEndpoints(2),
  windowBytes: 65_536,
  timestamps: false,
  clock: new Float64Array(1)
}

describe("HostStack", () => {
  it.effect("is the plain receiver, a new one for every build of the layer", () =>
    Effect.gen(function* () {
      const first = yield* Effect.provide(HostStack, layer(options))
      const second = yield* Effect.provide(HostStack, layer(options))
      expect(first.streamCount).toBe(2)
      expect(first.dueAck()).toBe(STREAM_NONE)
      expect(first).not.toBe(second)
    })
  )
})
