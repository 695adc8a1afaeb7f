/**
 * Real captures through the whole world.
 *
 * Goal: with every strategy and at every rate, each frame of a capture comes out byte for byte, in link order,
 * completed and padded as documented. Method: the frames that were delivered are compared with the capture
 * itself, read here by code of its own; the command writes the same file.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { afterAll, describe, expect, it } from "vitest"
import { replayScenario } from "../src/ReplayScenario.ts"
import { runOf } from "./support/scenarios.ts"

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "vnic-replay-"))
afterAll(() => rmSync(folder, { recursive: true }))

const STRATEGIES = ["direct", "map-per-packet", "page-chunk"] as const
const RATES = ["as-captured", "line", "1 Gb/s"] as const
/** Frames, and those under 60 bytes among them. */
const CAPTURES = {
  "iperf3-16-streams-mtu1500.pcap": { frames: 15_000, padded: 2 },
  "web-and-udp-mix.pcap": { frames: 20_000, padded: 4 }
} as const

const pathOf = (name: string): string => fileURLToPath(new URL(`captures/${name}`, import.meta.url))

interface Record {
  /** Since the beginning of the second in which the capture begins. */
  readonly stampNs: number
  readonly lengthBytes: number
  readonly kept: Uint8Array
}

/** The second in which a capture begins. */
const beginOf = (file: Uint8Array): number => new DataView(file.buffer, file.byteOffset).getUint32(24, true)

/** Records of a little-endian capture with nanosecond stamps. */
const recordsOf = (file: Uint8Array, beginSeconds: number): ReadonlyArray<Record> => {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  expect(view.getUint32(0, true)).toBe(0xa1b23c4d)
  expect(view.getUint32(20, true)).toBe(1)
  const records: Array<Record> = []
  for (let at = 24; at < file.length;) {
    const keptBytes = view.getUint32(at + 8, true)
    records.push({
      stampNs: (view.getUint32(at, true) - beginSeconds) * 1e9 + view.getUint32(at + 4, true),
      lengthBytes: view.getUint32(at + 12, true),
      kept: file.subarray(at + 16, at + 16 + keptBytes)
    })
    at += 16 + keptBytes
  }
  return records
}

/** What each delivered frame must be, as one string per difference. */
const differences = (sent: ReadonlyArray<Record>, delivered: ReadonlyArray<Record>): ReadonlyArray<string> =>
  sent.flatMap((record, index) => {
    const frame = delivered[index]
    if (frame === undefined) return [`frame ${index} is missing`]
    const wanted = Math.max(record.lengthBytes, 60)
    if (frame.lengthBytes !== wanted || frame.kept.length !== wanted) return [`frame ${index}: length`]
    if (Buffer.compare(frame.kept.subarray(0, record.kept.length), record.kept) !== 0) return [`frame ${index}: bytes`]
    if (frame.kept.subarray(record.lengthBytes).some((byte) => byte !== 0)) return [`frame ${index}: padding`]
    if (index > 0 && frame.stampNs <= delivered[index - 1]!.stampNs) return [`frame ${index}: stamp`]
    return []
  })

describe.each(Object.entries(CAPTURES))("%s", (name, expected) => {
  const capture = new Uint8Array(readFileSync(pathOf(name)))
  const begin = beginOf(capture)
  const sent = recordsOf(capture, begin)

  it("is what these tests were written for", () => {
    expect(sent.length).toBe(expected.frames)
    expect(sent.filter(({ lengthBytes }) => lengthBytes < 60).length).toBe(expected.padded)
  })

  describe.each(STRATEGIES)("%s", (strategy) => {
    it.each(RATES)("%s", async (rate) => {
      const { runs } = Effect.runSync(replayScenario({ capture: name, strategy, rate }))
      let written = new Uint8Array(0)
      const result = await runOf(runs[0]!.scenario, {
        capture,
        onDelivered: (bytes) => void (written = new Uint8Array(bytes))
      })
      const { delivered, dropped, offered, padded } = result.frames
      expect({ delivered, offered, padded }).toEqual({
        delivered: expected.frames,
        offered: expected.frames,
        padded: expected.padded
      })
      expect(Object.values(dropped).every((count) => count === 0)).toBe(true)
      expect(result.checks).toEqual({ corruptFrames: 0, leakedMappings: 0, debugFindings: 0, faults: 0, unsettled: 0 })
      const frames = recordsOf(written, begin)
      expect(frames.length).toBe(sent.length)
      expect(differences(sent, frames)).toEqual([])
      expect(cutOffBytes(sent, frames)).toBe(true)
      // The delivered frames open beside the capture: a stamp is the capture's first and the time since then.
      const aheadNs = frames[0]!.stampNs - sent[0]!.stampNs
      expect(aheadNs).toBeGreaterThan(0)
      expect(aheadNs).toBeLessThan(10_000)
      if (rate === "as-captured") expect(timingErrorNs(sent, frames)).toBeLessThan(100_000)
    })
  })
})

/** Bytes that the snap length cut off are filled, and not with one value. */
const cutOffBytes = (sent: ReadonlyArray<Record>, frames: ReadonlyArray<Record>): boolean => {
  const index = sent.findIndex(({ kept, lengthBytes }) => lengthBytes >= kept.length + 64)
  const filled = frames[index]!.kept.subarray(sent[index]!.kept.length)
  return new Set(filled).size > 16
}

/** Farthest that a frame left behind its own time, from the first on. Frames that were recorded together queue. */
const timingErrorNs = (sent: ReadonlyArray<Record>, frames: ReadonlyArray<Record>): number => {
  const [sentNs, framesNs] = [sent[0]!.stampNs, frames[0]!.stampNs]
  return Math.max(...sent.map(({ stampNs }, index) => Math.abs(frames[index]!.stampNs - framesNs - stampNs + sentNs)))
}

describe("the command", () => {
  it.each([
    [["--rate", "1 b/s"], "--rate: 1 b/s"],
    [["--set", "traffic.rate=1 b/s"], "--set traffic.rate: 1 b/s"]
  ])("refuses a rate at which time would end: %j", (flags, place) => {
    const args = ["replay", pathOf("web-and-udp-mix.pcap"), ...flags, "--json", "late.json"]
    const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8", cwd: folder })
    const expected = "takes 54,763,377 simulated seconds, and time ends at 9000; 6090 b/s would do"
    expect([status, stderr]).toEqual([1, `${place} ${expected}\n`])
    expect(existsSync(join(folder, "late.json"))).toBe(false)
  })

  it("writes the same frames, whole and with nanosecond stamps", async () => {
    const name = "web-and-udp-mix.pcap"
    const out = join(folder, "out.pcap")
    const args = ["replay", pathOf(name), "--strategy", "page-chunk", "--rate", "line", "--out", out, "--json", "-"]
    const { status, stderr, stdout } = spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8", cwd: folder })
    expect([status, stderr]).toEqual([0, ""])
    expect(JSON.parse(stdout).runs[0].frames).toMatchObject({ offered: 20_000, delivered: 20_000, padded: 4 })
    const capture = new Uint8Array(readFileSync(pathOf(name)))
    const begin = beginOf(capture)
    const delivered = new Uint8Array(readFileSync(out))
    expect(differences(recordsOf(capture, begin), recordsOf(delivered, begin))).toEqual([])
    const { runs } = Effect.runSync(replayScenario({ capture: name, strategy: "page-chunk", rate: "line" }))
    let written = new Uint8Array(0)
    await runOf(runs[0]!.scenario, { capture, onDelivered: (bytes) => void (written = new Uint8Array(bytes)) })
    expect(Buffer.compare(written, delivered)).toBe(0)
  })
})
