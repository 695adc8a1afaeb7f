import { fc, test as property } from "@fast-check/vitest"
import { describe, expect, it } from "vitest"
import { RegisterWrites } from "../src/RegisterWrites.ts"

const makeDevice = () => {
  const seen: Array<readonly [offset: number, value: number]> = []
  return { seen, writeRegister: (offset: number, value: number) => void seen.push([offset, value]) }
}

describe("register writes on their way", () => {
  it("go in groups, and a group of none does not go", () => {
    const writes = new RegisterWrites()
    const device = makeDevice()
    expect(writes.endGroup()).toBe(false)
    writes.add(0x1000, 1)
    writes.add(0x2000, -1)
    expect(writes.endGroup()).toBe(true)
    expect(writes.endGroup()).toBe(false)
    writes.add(0x3000, 3)
    writes.arrive(device)
    expect(device.seen).toEqual([
      [0x1000, 1],
      [0x2000, -1]
    ])
  })

  property.prop([fc.array(fc.record({ writes: fc.integer({ min: 1, max: 90 }), arrivals: fc.nat(3) }))], {
    numRuns: 50
  })("arrive in order however many there are", (steps) => {
    const writes = new RegisterWrites()
    const device = makeDevice()
    const groups: Array<Array<readonly [number, number]>> = []
    const expected: Array<readonly [number, number]> = []
    let number = 0
    for (const step of steps) {
      const group = Array.from({ length: step.writes }, () => [0x1_0000 - (++number & 0xff), number] as const)
      for (const [offset, value] of group) writes.add(offset, value)
      expect(writes.endGroup()).toBe(true)
      groups.push(group)
      for (let count = 0; count < step.arrivals && groups.length > 0; count++) {
        expected.push(...groups.shift()!)
        writes.arrive(device)
      }
    }
    expect(device.seen).toEqual(expected)
  })
})
