import { FlowTable, portPair, STREAM_NONE } from "@vnic/net-stack/core"
import { fc, test as property } from "@fast-check/vitest"
import { describe, expect, test } from "vitest"

describe("flow table", () => {
  property.prop([fc.uniqueArray(fc.integer(), { minLength: 1, maxLength: 300 }), fc.array(fc.integer())])(
    "finds what was inserted and nothing else",
    (pairs, others) => {
      const table = new FlowTable(pairs.length)
      pairs.forEach((ports, stream) => table.insert(ports, stream))
      pairs.forEach((ports, stream) => expect(table.lookup(ports)).toBe(stream))
      for (const ports of others) if (!pairs.includes(ports)) expect(table.lookup(ports)).toBe(STREAM_NONE)
    }
  )

  test("two streams with the same ports are refused, and so is one too many", () => {
    const table = new FlowTable(2)
    table.insert(portPair(1, 2), 0)
    expect(() => table.insert(portPair(1, 2), 1)).toThrow("same ports")
    table.insert(portPair(2, 1), 1)
    expect(() => table.insert(portPair(3, 3), 2)).toThrow("flow table is full")
  })
})
