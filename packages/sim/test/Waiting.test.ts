import { fc, test } from "@fast-check/vitest"
import { describe, expect } from "vitest"
import { NaiveScheduler } from "@vnic/sim/testing"
import { runOnCpus, sharedWorlds, worlds } from "./support/programs.ts"

describe("the waiting mechanism against a scheduler with an event per step", () => {
  test.prop([worlds], { numRuns: 2000 })("same grants, same times, same ledgers", ({ programs, startsPs, options }) => {
    const expected = new NaiveScheduler(programs, startsPs, options).run()
    expect(runOnCpus(programs, startsPs, options)).toEqual(expected)
  })

  test.prop([sharedWorlds], { numRuns: 2000 })("the same where CPUs share cores", ({ programs, startsPs, options }) => {
    const expected = new NaiveScheduler(programs, startsPs, options).run()
    expect(runOnCpus(programs, startsPs, options)).toEqual(expected)
  })

  test.prop([worlds, fc.integer({ min: 1, max: 7 })], { numRuns: 200 })(
    "the same run in slices of any length",
    ({ programs, startsPs, options }, eventsPerSlice) => {
      const whole = runOnCpus(programs, startsPs, options)
      expect(runOnCpus(programs, startsPs, options, eventsPerSlice)).toEqual(whole)
    }
  )

  test.prop([worlds], { numRuns: 500 })(
    "a CPU that is alone is never made to wait",
    ({ programs, startsPs, options }) => {
      const [only] = programs
      const { locks, grants } = runOnCpus([only!], startsPs, { ...options, coreOf: [0] })
      for (const lock of locks) expect(lock).toMatchObject({ waitPs: 0, contended: 0 })
      for (const grant of grants) expect(grant.startPs - grant.atPs).toBe(options.lockAcquirePs)
    }
  )
})
