import { spawn, spawnSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, describe, expect, it } from "vitest"
import { strategyDescriptions } from "@vnic/driver"
import { isOldNode } from "../src/node/nodeVersion.ts"

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url))
const TIMEOUT_MS = 60_000
const folder = mkdtempSync(join(tmpdir(), "vnic-cli-"))
afterAll(() => rmSync(folder, { recursive: true }))

interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the real command; `interruptWhen` sends Ctrl-C, or another signal, as soon as it holds. */
const vnic = (
  args: ReadonlyArray<string>,
  interruptWhen?: () => boolean,
  signal: NodeJS.Signals = "SIGINT",
  stdin?: string | Uint8Array
): Promise<Outcome> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder })
    child.stdin.end(stdin)
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (data) => (stdout += data))
    child.stderr.on("data", (data) => (stderr += data))
    const poll = setInterval(() => {
      if (interruptWhen?.() !== true) return
      clearInterval(poll)
      child.kill(signal)
    }, 1)
    child.on("close", (code) => {
      clearInterval(poll)
      resolve({ code, stdout, stderr })
    })
  })

const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content)
  return name
}

describe("the command", { timeout: TIMEOUT_MS }, () => {
  it("shows its help", async () => {
    const { code, stderr, stdout } = await vnic(["--help"])
    expect([code, stderr]).toEqual([0, ""])
    for (const name of ["run", "replay", "list", "show", "schema"]) expect(stdout).toContain(`  ${name} `)
  })

  it("lists what there is, a line each", async () => {
    const { code, stdout } = await vnic(["list"])
    expect(code).toBe(0)
    for (const name of ["cascardo-2013", "smoke", "page-chunk", "bitmap", "power7-pseries"]) {
      expect(stdout).toMatch(new RegExp(`^  ${name} +\\S.+$`, "mu"))
    }
    // Whole, where no terminal cuts them.
    expect(stdout).toContain("two buffers a frame, mapped when posted, unmapped when given up\n")
    expect((await vnic(["list", "strategies"])).stdout).not.toContain("bitmap")
  })

  it("shows a scenario that can be run as it is, and its schema", async () => {
    const { stdout } = await vnic(["show", "smoke"])
    const copy = file("copy.yaml", stdout)
    expect((await vnic(["run", copy, "--only", "direct", "--quiet"])).code).toBe(0)
    expect(JSON.parse((await vnic(["schema"])).stdout)).toMatchObject({ type: "object" })
  })

  it("prints a table within 80 columns", async () => {
    const { code, stderr, stdout } = await vnic(["run", "smoke"])
    expect([code, stderr]).toEqual([0, ""])
    const lines = stdout.trimEnd().split("\n")
    expect(lines.map((line) => line.split(" ")[0])).toEqual([
      "smoke",
      "strategy",
      "direct",
      "map-per-packet",
      "page-chunk",
      "0"
    ])
    expect(lines.every((line) => line.length <= 80)).toBe(true)
  })
})

describe("results", { timeout: TIMEOUT_MS }, () => {
  it("are JSON and nothing else on stdout, the same bytes each time", async () => {
    const args = ["run", "smoke", "--only", "page-chunk", "--seed", "7", "--json", "-", "--reproducible"]
    const [one, other] = [await vnic(args), await vnic(args)]
    expect(one.stdout).toBe(other.stdout)
    const result = JSON.parse(one.stdout)
    expect(Object.keys(result)).toEqual([
      "schemaVersion",
      "kind",
      "scenario",
      "version",
      "seed",
      "settings",
      "runs",
      "failed"
    ])
    expect(result).toMatchObject({
      kind: "run",
      scenario: "smoke",
      seed: 7,
      settings: { seed: 7 }
    })
    expect(result.runs.map(({ name }: { name: string }) => name)).toEqual(["page-chunk"])
  })

  it("go to a file under its own name only", async () => {
    const { code, stdout } = await vnic(["run", "smoke", "--only", "direct", "--json", "result.json", "--quiet"])
    expect([code, stdout]).toEqual([0, ""])
    expect(JSON.parse(readFileSync(join(folder, "result.json"), "utf8")).wall.seconds).toBeGreaterThan(0)
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([])
  })

  it.each([0o600, 0o664])("keep the mode of the file that they replace", async (mode) => {
    const name = file("replaced.json", "")
    chmodSync(join(folder, name), mode)
    expect((await vnic(["run", "smoke", "--only", "direct", "--json", name, "--quiet"])).code).toBe(0)
    expect(statSync(join(folder, name)).mode & 0o777).toBe(mode)
  })
})

describe("bad input", { timeout: TIMEOUT_MS }, () => {
  const cases: ReadonlyArray<readonly [args: ReadonlyArray<string>, message: string]> = [
    [["run", "smok"], "smok: no such file, and no built-in scenario of that name; did you mean smoke?"],
    [["show", "cascardo"], "cascardo: no built-in scenario; did you mean cascardo-2013?"],
    [["run", "smoke", "--seed", "abc"], "--seed: abc is not a count; write a whole number from 0 to 4294967295"],
    [["run", "smoke", "--only", "page-chnk"], "--only page-chnk: smoke has no such run; did you mean page-chunk?"],
    // What is wrong with runs that were not asked for does not hide it.
    [
      ["run", "smoke", "--only", "page-chnk", "--set", "dma.backend=window"],
      "--only page-chnk: smoke has no such run; did you mean page-chunk?"
    ],
    [
      ["run", "smoke", "--set", "nic.rx.descriptors=100"],
      "--set nic.rx.descriptors: 100 is not a multiple of 8; 96 or 104 would do"
    ],
    [
      ["run", "smoke", "--json", "missing/result.json"],
      "missing/result.json: cannot be written: no such file or folder"
    ],
    [["run", "smoke", "--json", "."], ".: cannot be written: it is a folder"],
    [["run", "smoke", "--json", ""], "--json: needs a file, or - for stdout"],
    [["replay", "missing.pcap"], "missing.pcap: cannot be read: no such file or folder"],
    [
      ["replay", "missing.pcap", "--strategy", "page"],
      "--strategy: page is not map-per-packet, page-chunk or direct; did you mean page-chunk?"
    ],
    [["replay", "missing.pcap", "--rate", "1 Gbps"], "--rate: 1 Gbps: Gbps is not a unit of rate; did you mean Gb/s?"],
    [["replay", "missing.pcap", "--rate", "-1 Gb/s"], "--rate: -1 Gb/s is too small; at least 1 b/s"]
  ]
  it.each(cases)("%j", async (args, message) => {
    expect(await vnic(args)).toEqual({ code: 1, stdout: "", stderr: `${message}\n` })
  })

  it("names file, line and field of each problem", async () => {
    const name = file("mine.yaml", "seed: 1\nnic: { rx: { descriptors: 100 } }\nlink: { mtu: 1500 }\n")
    const { code, stderr } = await vnic(["run", name])
    expect(code).toBe(1)
    expect(stderr.trimEnd().split("\n")).toEqual([
      "mine.yaml:2:27 nic.rx.descriptors: 100 is not a multiple of 8; 96 or 104 would do",
      "mine.yaml:3:14 link.mtu: 1500 has no unit; a size needs B, KiB, MiB, GiB or TiB, as in 64 KiB"
    ])
  })

  it("of the command line names the nearest flag", async () => {
    const flag = await vnic(["run", "smoke", "--jsn", "-"])
    expect([flag.code, flag.stdout]).toEqual([1, ""])
    expect(flag.stderr).toMatch(/--jsn.*--json/u)
    const command = await vnic(["lst"])
    expect(command.code).toBe(1)
    expect(command.stderr).toMatch(/lst.*list/u)
    expect((await vnic(["run"])).code).toBe(1)
  })

  const fileHeader = (linkType: number) => [
    0xd4,
    0xc3,
    0xb2,
    0xa1,
    2,
    0,
    4,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    4,
    0,
    linkType,
    0,
    0,
    0
  ]
  const record = [...Array.from({ length: 8 }, () => 0), 60, 0, 0, 0, 60, 0, 0, 0]
  const captures: ReadonlyArray<readonly [content: string | Uint8Array, message: string]> = [
    ["", "byte 0: 0 bytes; expected a pcap file of 24 bytes or more"],
    [
      "not a capture",
      "byte 0: magic number 6e6f7420; expected classic pcap, " +
        "which begins with a1b2c3d4 or a1b23c4d in either byte order"
    ],
    [
      Uint8Array.of(0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28),
      "byte 0: pcapng; expected classic pcap; convert with editcap -F pcap"
    ],
    [Uint8Array.from(fileHeader(113)), "byte 20: link type 113; expected link type 1, Ethernet"],
    [Uint8Array.from(fileHeader(1)), "byte 24: no frame; expected at least one"],
    [
      Uint8Array.from([...fileHeader(1), ...record, 1, 2, 3]),
      "byte 40, record 1: 3 bytes before the end of the file; expected the record's 60"
    ]
  ]
  it.each(captures)("of a capture says where and what is needed: %j", async (content, message) => {
    const { code, stderr, stdout } = await vnic(["replay", file("bad.pcap", content), "--out", "out.pcap"])
    expect([code, stdout, stderr]).toEqual([1, "", `bad.pcap: ${message}\n`])
    expect(existsSync(join(folder, "out.pcap"))).toBe(false)
  })

  it("of a scenario that replays a capture names the capture", async () => {
    const name = file("replay.yaml", "traffic: { kind: replay, capture: gone.pcap }\n")
    const { code, stderr } = await vnic(["run", name])
    const where = "replay.yaml:1:35 traffic.capture"
    expect([code, stderr]).toEqual([1, `${where}: gone.pcap: cannot be read: no such file or folder\n`])
  })
})

/** The first frames of a real capture. */
const fewFrames = (count: number): Uint8Array => {
  const bytes = readFileSync(new URL("captures/web-and-udp-mix.pcap", import.meta.url))
  let end = 24
  for (let frame = 0; frame < count; frame++) end += 16 + bytes.readUInt32LE(end + 8)
  return bytes.subarray(0, end)
}

describe("captures and standard streams", { timeout: TIMEOUT_MS }, () => {
  it("of a scenario lie beside its file, those of --set where the command runs", async () => {
    mkdirSync(join(folder, "shared"), { recursive: true })
    file("shared/few.pcap", fewFrames(20))
    const name = file("shared/few.yaml", "traffic: { kind: replay, capture: few.pcap }\n")
    const { code, stdout } = await vnic(["run", name, "--json", "-"])
    expect([code, JSON.parse(stdout).runs[0].frames.delivered]).toEqual([0, 20])
    const elsewhere = await vnic(["run", name, "--set", "traffic.capture=few.pcap"])
    expect(elsewhere.stderr).toBe("--set traffic.capture: few.pcap: cannot be read: no such file or folder\n")
    const text =
      "traffic: { kind: replay, capture: gone.pcap }\nruns: { a: {}, b: { traffic.capture: few.yaml }, c: {} }"
    const bad = await vnic(["run", file("shared/bad.yaml", text)])
    expect(bad.stderr.trimEnd().split("\n")).toEqual([
      "shared/bad.yaml:1:35 traffic.capture: shared/gone.pcap: cannot be read: no such file or folder",
      expect.stringMatching(/^shared\/bad\.yaml:2:38 traffic\.capture: shared\/few\.yaml: byte 0: magic number /u)
    ])
  })

  it("are read and written with -, and only one thing goes to stdout", async () => {
    const capture = fewFrames(20)
    const settings = ["--set", "nic.queues=2", "--seed", "3", "--reproducible"]
    const json = await vnic(
      ["replay", "-", ...settings, "--json", "-", "--out", "few-out.pcap"],
      undefined,
      "SIGINT",
      capture
    )
    expect(JSON.parse(json.stdout)).toMatchObject({ seed: 3, settings: { nic: { queues: 2 } }, failed: [] })
    expect(JSON.parse(json.stdout)).not.toHaveProperty("wall")
    const out = await vnic(["replay", "-", ...settings, "--out", "-"], undefined, "SIGINT", capture)
    expect([out.code, out.stderr]).toEqual([0, ""])
    expect(out.stdout).toBe(readFileSync(join(folder, "few-out.pcap")).toString())
    const both = await vnic(["replay", "-", "--json", "-", "--out", "-"], undefined, "SIGINT", capture)
    expect([both.code, both.stderr]).toEqual([1, "--out: is the same file as --json\n"])
    const run = await vnic(["run", "-", "--quiet"], undefined, "SIGINT", "sed: 1")
    expect([run.code, run.stderr]).toEqual([1, "stdin:1:1 sed: sed is not a known key; did you mean seed?\n"])
    const kind = await vnic(["replay", "few-out.pcap", "--set", "traffic.kind=open-loop"])
    expect(kind.stderr).toBe("--set: the traffic of a replay is its capture; for other traffic there is vnic run\n")
  })

  it("are never what was read: neither the scenario nor a capture that it names, nor by a link to one", async () => {
    const scenario = file("reads.yaml", "traffic: { kind: replay, capture: reads.pcap }\nruns: { a: {} }\n")
    const capture = file("reads.pcap", fewFrames(20))
    symlinkSync("reads.pcap", join(folder, "link.pcap"))
    const contents = () => [scenario, capture].map((name) => readFileSync(join(folder, name)))
    const before = contents()
    for (const [target, what] of [
      [scenario, "scenario that is run"],
      [capture, "capture that is replayed"],
      ["link.pcap", "capture that is replayed"]
    ] as const) {
      const { code, stderr } = await vnic(["run", scenario, "--json", target])
      expect([code, stderr]).toEqual([1, `--json: is the ${what}\n`])
    }
    const replay = await vnic(["replay", capture, "--json", capture])
    expect([replay.code, replay.stderr]).toEqual([1, "--json: is the capture that is replayed\n"])
    expect(contents()).toEqual(before)
  })

  it("are named in full where they lead to a pipe", async () => {
    const { code, stdout } = await vnic(["run", "smoke", "--only", "direct", "--json", "/dev/stdout", "--quiet"])
    expect([code, JSON.parse(stdout).failed]).toEqual([0, []])
  })

  it("are told of in the help, with all strategies and kinds", async () => {
    const help = (await vnic(["replay", "--help"])).stdout
    for (const name of [...Object.keys(strategyDescriptions), "4 queues with 16384", "--set", "--seed", "--quiet"]) {
      expect(help).toContain(name)
    }
    expect((await vnic(["list", "--help"])).stdout).toContain("scenarios, strategies, allocators or profiles")
  })
})

describe("interruption", { timeout: TIMEOUT_MS }, () => {
  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("by %s leaves no file behind and ends with 130", async (signal) => {
    const isRunning = () => readdirSync(folder).some((name) => name.endsWith(".tmp"))
    const args = ["run", "cascardo-2013", "--json", "interrupted.json"]
    const { code, stderr, stdout } = await vnic(args, isRunning, signal)
    expect([code, stdout, stderr]).toEqual([130, "", "interrupted; nothing was written\n"])
    expect(readdirSync(folder).filter((name) => name.includes("interrupted"))).toEqual([])
  })

  it("by a reader that has seen enough is no failure", async () => {
    const child = spawn(process.execPath, [MAIN, "schema"], { stdio: ["ignore", "pipe", "pipe"] })
    let stderr = ""
    child.stderr.on("data", (data) => (stderr += data))
    child.stdout.destroy()
    const code = await new Promise((resolve) => child.on("close", resolve))
    expect([code, stderr]).toEqual([0, ""])
  })
})

describe("the version of Node", () => {
  it("is named by the workspace's own entry where it cannot run the sources", () => {
    const entry = fileURLToPath(new URL("../bin/vnic.js", import.meta.url))
    // What a Node that is too old does: it does not strip types.
    const old = spawnSync(process.execPath, ["--no-experimental-strip-types", entry, "--help"], { encoding: "utf8" })
    const message = `vnic needs Node 22.19 or newer, which runs TypeScript; this is Node ${process.versions.node}\n`
    expect([old.status, old.stdout, old.stderr]).toEqual([1, "", message])
    const { status, stdout } = spawnSync(process.execPath, [entry, "--version"], { encoding: "utf8" })
    expect([status, stdout]).toEqual([0, expect.stringContaining("vnic v")])
  })

  it.each([
    ["20.19.0", true],
    ["22.18.3", true],
    ["22.19.0", false],
    ["24.21.0", false]
  ])("%s", (version, isOld) => expect(isOldNode(version)).toBe(isOld))
})
