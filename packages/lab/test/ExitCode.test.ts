/**
 * Exit code 3: results are there, and a check on them failed.
 *
 * Goal: a failed check is seen by whoever runs the command, and the results are written all the same. Method:
 * the command's own end of a run, with workers replaced by ones that give back a result with findings.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest"
import { runCommand } from "../src/cli/run.ts"
import { CheckFailed, RunFailed } from "../src/Errors.ts"
import type { RunOutput, RunRequest } from "../src/node/protocol.ts"
import type { RunResult } from "../src/Result.ts"
import { builtin, runOf } from "./support/scenarios.ts"

const runAll = vi.hoisted(() => vi.fn<(requests: ReadonlyArray<RunRequest>) => unknown>())
vi.mock("../src/node/pool.ts", () => ({ runAll }))

const folder = mkdtempSync(join(tmpdir(), "vnic-exit-"))
afterAll(() => rmSync(folder, { recursive: true }))
beforeEach(() => vi.spyOn(console, "log").mockReturnValue(undefined))

const sound = await runOf(builtin("smoke", "direct", ["measure={warmUp: 0 ms, duration: 1 ms}"]))

/** Workers that give back these checks, but for those of the runs that fail. */
const workersGive = (checks: RunResult["checks"], failing: ReadonlyArray<string> = []): void => {
  runAll.mockImplementation((requests) =>
    Effect.succeed(
      requests.map(({ name }): Result.Result<RunOutput, RunFailed> =>
        failing.includes(name)
          ? Result.fail(new RunFailed({ run: name, reason: "out of memory" }))
          : Result.succeed({ result: { ...sound, name, checks } })
      )
    )
  )
}

const command = async (json: string, only: ReadonlyArray<string> = ["direct"]): Promise<unknown> => {
  const input = {
    scenario: "smoke",
    only,
    set: [],
    seed: Option.none(),
    json: Option.some(join(folder, json)),
    reproducible: true,
    quiet: true
  }
  const exit = await Effect.runPromiseExit(runCommand(input).pipe(Effect.provide(NodeServices.layer)))
  return Exit.isSuccess(exit) ? undefined : Cause.squash(exit.cause)
}

describe("the command", () => {
  const clean = { corruptFrames: 0, leakedMappings: 0, debugFindings: 0, faults: 0, unsettled: 0 }

  it.each([
    [{ ...clean, corruptFrames: 1 }, "check failed: direct: 1 corrupt frame"],
    [{ ...clean, leakedMappings: 2 }, "check failed: direct: 2 leaked mappings"],
    [{ ...clean, debugFindings: 1 }, "check failed: direct: 1 finding of DMA debug"],
    [{ ...clean, faults: 3 }, "check failed: direct: 3 DMA faults"]
  ])("fails with 3 and writes what was measured: %j", async (checks, message) => {
    workersGive(checks)
    const name = `${Object.values(checks).join("")}.json`
    const error = await command(name)
    expect(error).toBeInstanceOf(CheckFailed)
    expect((error as CheckFailed).message).toBe(message)
    expect((error as CheckFailed)[Runtime.errorExitCode]).toBe(3)
    expect(JSON.parse(readFileSync(join(folder, name), "utf8")).runs[0].checks).toEqual(checks)
  })

  it("succeeds without findings", async () => {
    workersGive(clean)
    expect(await command("good.json")).toBeUndefined()
    expect(JSON.parse(readFileSync(join(folder, "good.json"), "utf8")).failed).toEqual([])
  })

  it("fails when a run failed, and writes the results of the others with its name and the reason", async () => {
    workersGive(clean, ["page-chunk"])
    const error = await command("failed.json", ["direct", "page-chunk"])
    expect(error).toMatchObject({ message: "run page-chunk failed: out of memory" })
    expect(error).not.toHaveProperty([Runtime.errorExitCode], 0)
    const { failed, runs } = JSON.parse(readFileSync(join(folder, "failed.json"), "utf8"))
    expect(runs.map(({ name }: RunResult) => name)).toEqual(["direct"])
    expect(failed).toEqual([{ name: "page-chunk", reason: "out of memory" }])
  })
})
