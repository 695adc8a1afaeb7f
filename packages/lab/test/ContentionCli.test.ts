/**
 * `vnic contention` as a command.
 *
 * Goal: files hold what was asked for, the table fits a terminal, and what goes wrong leaves nothing behind.
 * Method: the real command in a folder of its own.
 */
import { spawn } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, describe, expect, it } from "vitest"
import type { ContentionEnvelope } from "../src/contention/contentionResult.ts"

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url))
const TIMEOUT_MS = 60_000
const SMALL = ["contention", "--threads", "1,4", "--ops", "1000"]
const folder = mkdtempSync(join(tmpdir(), "vnic-contention-"))
afterAll(() => rmSync(folder, { recursive: true }))

const read = (name: string): string => readFileSync(join(folder, name), "utf8")

/** Runs the command; `interruptWhen` sends Ctrl-C as soon as it holds. */
const vnic = (args: ReadonlyArray<string>, interruptWhen?: () => boolean) =>
  new Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>((resolve) => {
    const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (data) => (stdout += data))
    child.stderr.on("data", (data) => (stderr += data))
    const poll = setInterval(() => {
      if (interruptWhen?.() !== true) return
      clearInterval(poll)
      child.kill("SIGINT")
    }, 1)
    child.on("close", (code) => {
      clearInterval(poll)
      resolve({ code, stdout, stderr })
    })
  })

describe("the command", { timeout: TIMEOUT_MS }, () => {
  it("prints seconds of every line within 80 columns", async () => {
    const { code, stderr, stdout } = await vnic(SMALL)
    expect([code, stderr]).toEqual([0, ""])
    const lines = stdout.trimEnd().split("\n")
    expect(lines.every((line) => line.length <= 80)).toBe(true)
    expect(lines).toHaveLength(16)
    for (const line of lines.slice(2, 15)) expect(line).toMatch(/^[a-z\d-]+ +[\de.-]+ +[\de.-]+$/u)
  })

  it("prints what is behind the points of one line", async () => {
    const { stdout } = await vnic([...SMALL, "--line", "bitmap"])
    const lines = stdout.trimEnd().split("\n")
    expect(lines[1]).toMatch(/^threads .* waiting .* hcalls$/u)
    expect(lines.every((line) => line.length <= 80)).toBe(true)
    expect(lines).toHaveLength(5)
  })

  it("writes the envelope, the same bytes each time", async () => {
    const args = [...SMALL, "--line", "ring,rbtree", "--pattern", "random:8", "--json", "-", "--reproducible"]
    const [one, other] = [await vnic(args), await vnic(args)]
    expect(one.stdout).toBe(other.stdout)
    const envelope = JSON.parse(one.stdout) as ContentionEnvelope
    expect(envelope).toMatchObject({ schemaVersion: 1, kind: "contention", seed: 1, refused: [] })
    expect(envelope).not.toHaveProperty("wall")
    expect(envelope.settings).toMatchObject({
      lines: [{ name: "rbtree" }, { name: "ring" }],
      pattern: "random:8",
      ops: 1000
    })
    expect(envelope.points.map(({ line, pattern, profile, threads }) => [line, profile, pattern, threads])).toEqual([
      ["rbtree", "power7-pseries", "random:8", 1],
      ["rbtree", "power7-pseries", "random:8", 4],
      ["ring", "power7-pseries", "random:8", 1],
      ["ring", "power7-pseries", "random:8", 4]
    ])
    for (const { opsPerSecond, pairs, seconds } of envelope.points) expect(opsPerSecond * seconds).toBeCloseTo(pairs, 6)
  })

  it("draws, as SVG with a legend and as PNG", async () => {
    expect((await vnic([...SMALL, "--plot", "chart.svg", "--quiet"])).stdout).toBe("")
    const svg = read("chart.svg")
    expect(svg).toMatch(/^<svg /u)
    for (const word of ["direct", "augmented-rbtree", "rbtree-x86-lazy", "time (s)", "threads", "once"]) {
      expect(svg).toContain(word)
    }
    expect((await vnic([...SMALL, "--line", "direct", "--plot", "chart.png"])).code).toBe(0)
    expect(readFileSync(join(folder, "chart.png")).subarray(1, 4).toString()).toBe("PNG")
  })

  it("says first what an exact study takes", async () => {
    const { stderr } = await vnic([...SMALL, "--line", "direct", "--exact"])
    expect(stderr).toMatch(/^5,000 pairs in 2 points, about \d+ s\n$/u)
  })
})

describe("nothing is left behind", { timeout: TIMEOUT_MS }, () => {
  it.each([
    [["--json", "refused.json", "--line", "bitmp"], "--line: bitmp is unknown; did you mean bitmap?"],
    [["--json", ""], "--json: needs a file"],
    [["--plot", "chart.pdf"], "--plot: chart.pdf is neither .svg nor .png"],
    [
      ["--json", "refused.json", "--plot", "none/chart.svg"],
      "none/chart.svg: cannot be written: no such file or folder"
    ],
    [["--json", "one.svg", "--plot", "./one.svg"], "--plot: is the same file as --json"],
    [["--pattern", "fifo:512", "--threads", "1024"], "480 threads fit"]
  ])("by %j", async (args, message) => {
    const before = readdirSync(folder)
    const { code, stderr, stdout } = await vnic(["contention", ...args])
    expect([code, stdout]).toEqual([1, ""])
    expect(stderr).toContain(message)
    expect(stderr.trimEnd().split("\n")).toHaveLength(1)
    expect(readdirSync(folder)).toEqual(before)
  })

  it("by Ctrl-C", async () => {
    writeFileSync(join(folder, "old.json"), "old")
    const isUnderWay = (): boolean => readdirSync(folder).some((name) => name.endsWith(".tmp"))
    const { code, stderr } = await vnic(["contention", "--exact", "--json", "old.json"], isUnderWay)
    expect(code).toBe(130)
    expect(stderr).toContain("interrupted; nothing was written")
    expect(read("old.json")).toBe("old")
    expect(isUnderWay()).toBe(false)
  })
})
