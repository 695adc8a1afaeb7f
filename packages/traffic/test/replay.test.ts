import { type Capture, findReplayMisfit, readCapture, type Replay, writeCapture } from "@vnic/traffic/core"
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { makeIdealWorld, MS_PS, replay, SECOND_PS } from "./idealWorld.ts"

const load = (name: string): Capture => {
  const bytes = new Uint8Array(readFileSync(new URL(`fixtures/${name}.pcap`, import.meta.url)))
  const result = readCapture(bytes)
  if ("problem" in result) throw new Error(result.problem.found)
  return result.capture
}
const iperf = load("iperf3-16-streams-mtu1500-part")
const web = load("web-and-udp-mix-part")

const run = (capture: Capture, rate: number | "line" | "as-captured", host = {}, seed = 1) => {
  const world = makeIdealWorld({ ...replay(rate, capture), host, seed })
  world.traffic.measure(0, 4 * SECOND_PS)
  world.traffic.start()
  world.run(4 * SECOND_PS)
  const written = readCapture(world.traffic.deliveredCapture())
  return { ...world, source: world.traffic.source as Replay, report: world.traffic.throughput(), written }
}

const bytesOf = (capture: Capture, index: number) => {
  const at = capture.offsets[index]!
  return capture.bytes.subarray(at, at + capture.keptBytes[index]!)
}

describe.each([
  ["iperf3", iperf],
  ["web and UDP", web]
])("a replay of %s", (_, capture) => {
  it("delivers every frame byte for byte, in link order", () => {
    const { frames, report, traffic, written } = run(capture, "line")
    expect(report.frames).toMatchObject({ offered: capture.frameCount, delivered: capture.frameCount, corrupt: 0 })
    expect(traffic.isDrained).toBe(true)
    expect(frames.inUse).toBe(0)
    if ("problem" in written) throw new Error(written.problem.found)
    const out = written.capture
    expect(out.frameCount).toBe(capture.frameCount)
    for (let index = 0; index < capture.frameCount; index++) {
      const length = Math.max(60, capture.lengthBytes[index]!)
      expect(out.lengthBytes[index]).toBe(length)
      expect(out.keptBytes[index]).toBe(length)
      const kept = bytesOf(capture, index)
      expect(bytesOf(out, index).subarray(0, kept.length)).toEqual(kept)
    }
  })

  it("as captured keeps the stamps and never passes the line", () => {
    const { source, report } = run(capture, "as-captured")
    expect(report.frames.delivered).toBe(capture.frameCount)
    let freePs = 0
    for (let index = 0; index < capture.frameCount; index++) {
      const wirePs = (Math.max(60, capture.lengthBytes[index]!) + 24) * 800
      const startPs = Math.max(freePs, capture.stampsPs[index]!)
      expect(source.lastBitsPs[index]).toBe(startPs + wirePs - 12 * 800)
      freePs = startPs + wirePs
    }
    expect(source.durationPs).toBe(freePs)
  })

  it("is written with stamps that go on from the capture's first", () => {
    const startPs = 7 * MS_PS
    const world = makeIdealWorld(replay("as-captured", capture))
    world.traffic.measure(startPs, 4 * SECOND_PS)
    world.run(startPs)
    world.traffic.start()
    world.run(5 * SECOND_PS)
    const written = readCapture(world.traffic.deliveredCapture())
    if ("problem" in written) throw new Error(written.problem.found)
    const { origin } = written.capture
    const first = capture.origin
    expect(first.seconds).toBeGreaterThan(1e9)
    // The first frame's last bit is behind its first by what it takes on the wire.
    const aheadNs = (origin.seconds - first.seconds) * 1e9 + origin.nanoseconds - first.nanoseconds
    expect(aheadNs).toBe(Math.floor(((Math.max(60, capture.lengthBytes[0]!) + 12) * 800) / 1000))
  })

  it("at a rate spreads wire bits evenly", () => {
    const { source } = run(capture, 1e9)
    const last = capture.frameCount - 1
    let bits = 0
    for (let index = 0; index < last; index++) bits += (Math.max(60, capture.lengthBytes[index]!) + 24) * 8
    const begin = source.lastBitsPs[last]! - (Math.max(60, capture.lengthBytes[last]!) + 12) * 800
    expect(Math.abs(begin - bits * 1000)).toBeLessThanOrEqual(1)
  })

  it("at the line's rate leaves no gap", () => {
    const { source } = run(capture, "line")
    let durationPs = 0
    for (const length of capture.lengthBytes) durationPs += (Math.max(60, length) + 24) * 800
    expect(source.lastBitsPs[capture.frameCount - 1]).toBe(durationPs - 12 * 800)
    expect(source.durationPs).toBe(durationPs)
  })

  it("fills what was cut off as the seed says", () => {
    const filesOf = (seed: number) => run(capture, "line", {}, seed).traffic.deliveredCapture()
    expect(filesOf(1)).toEqual(filesOf(1))
    expect(filesOf(1)).not.toEqual(filesOf(2))
  })

  it("knows what was dropped and what was damaged", () => {
    const { host, report, written } = run(capture, "line", {
      isDropped: (frame: number) => frame % 17 === 3,
      isDamaged: (frame: number) => frame % 19 === 5
    })
    expect(report.frames.offered).toBe(report.frames.delivered + host.framesDropped)
    expect(report.frames.corrupt).toBe(host.framesDamaged)
    expect(written).toHaveProperty("capture.frameCount", report.frames.delivered - report.frames.corrupt)
  })

  it("can be stopped", () => {
    const world = makeIdealWorld(replay("as-captured", capture))
    world.traffic.start()
    world.run(0.01 * MS_PS)
    world.traffic.stop()
    const sent = (world.traffic.source as Replay).framesSent
    world.run(4 * SECOND_PS)
    expect(world.traffic.isDrained).toBe(true)
    expect(world.host.framesArrived).toBe(sent)
    expect(sent).toBeLessThan(capture.frameCount)
  })
})

describe("the time that a replay takes", () => {
  const misfit = (rateBitsPerSecond: number | "line", link = 10e9) =>
    findReplayMisfit(
      web,
      { rateBitsPerSecond: link, mtuBytes: 1500 },
      { kind: "replay", capture: "web", rateBitsPerSecond }
    )
  const bits = [...web.lengthBytes].reduce((sum, length) => sum + (Math.max(60, length) + 24) * 8, 0)

  it("ends where times are no longer exact", () => {
    // The last frame's own time is the link's.
    const lastBits = (Math.max(60, web.lengthBytes.at(-1)!) + 24) * 8
    const least = Math.ceil((bits - lastBits) / 8999)
    expect(misfit(least)).toBeUndefined()
    expect(misfit(1)).toEqual({ reason: "ReplayTooLong", asked: expect.closeTo(bits - lastBits, 0), limit: 9000 })
    expect(misfit("line")).toBeUndefined()
    expect(misfit("line", bits / 9001)?.asked).toBeCloseTo(9001, 3)
  })
})

describe("goodput of a replay", () => {
  it("is the payload of TCP and UDP", () => {
    const { report } = run(web, "as-captured")
    let payloadBytes = 0
    for (let index = 0; index < web.frameCount; index++) {
      const bytes = bytesOf(web, index)
      if (bytes[12] !== 8 || bytes[13] !== 0) continue
      const l4 = 14 + (bytes[14]! & 15) * 4
      const l4Bytes = ((bytes[16]! << 8) | bytes[17]!) - (l4 - 14)
      payloadBytes += bytes[23] === 17 ? l4Bytes - 8 : l4Bytes - (bytes[l4 + 12]! >> 4) * 4
    }
    expect(report.goodputBits).toBe(payloadBytes * 8)
    expect(payloadBytes).toBeGreaterThan(100_000)
  })

  it.each([
    ["TCP, as said", 6, 1000, 54, 1014, 1000 - 40],
    ["UDP, as said", 17, 1000, 54, 1014, 1000 - 28],
    ["TCP, padding is none", 6, 46, 60, 60, 46 - 40],
    ["TCP of which the header says more than there is", 6, 65_535, 54, 1014, 1000 - 40],
    ["UDP of which the header says more than there is", 17, 65_535, 60, 60, 46 - 28],
    ["a short frame, padded on the wire", 17, 65_535, 50, 50, 36 - 28],
    ["headers that say less than they take", 6, 20, 60, 60, 0]
  ])("is what a frame holds: %s", (_, protocol, totalBytes, keptBytes, lengthBytes, payloadBytes) => {
    const bytes = new Uint8Array(64)
    bytes.set([8, 0, 0x45, 0, totalBytes >> 8, totalBytes & 0xff], 12)
    bytes[23] = protocol
    bytes[46] = 0x50
    const file = writeCapture({
      frameCount: 1,
      origin: { seconds: 0, nanoseconds: 0 },
      stampsPs: new Float64Array(1),
      offsets: [0],
      lengthBytes: [keptBytes],
      bytes
    })
    const read = readCapture(file)
    if ("problem" in read) throw new Error(read.problem.found)
    const { report } = run({ ...read.capture, lengthBytes: Int32Array.of(lengthBytes) }, "line")
    expect(report.goodputBits).toBe(payloadBytes * 8)
  })
})

describe("frames that were captured whole", () => {
  it("are sent whole, short ones padded", () => {
    const lengths = [14, 59, 60, 61, 127, 128, 129, 1514]
    const bytes = Uint8Array.from({ length: 1514 }, (_, index) => index * 5 + 1)
    const file = writeCapture({
      frameCount: lengths.length,
      origin: { seconds: 0, nanoseconds: 0 },
      stampsPs: new Float64Array(lengths.length),
      offsets: lengths.map(() => 0),
      lengthBytes: lengths,
      bytes
    })
    const read = readCapture(file)
    if ("problem" in read) throw new Error(read.problem.found)
    const { report, written } = run(read.capture, "line")
    expect(report.frames).toMatchObject({ delivered: 8, corrupt: 0, padded: 2 })
    if ("problem" in written) throw new Error(written.problem.found)
    lengths.forEach((length, index) => {
      const expected = new Uint8Array(Math.max(60, length))
      expected.set(bytes.subarray(0, length))
      expect(bytesOf(written.capture, index)).toEqual(expected)
    })
  })
})
