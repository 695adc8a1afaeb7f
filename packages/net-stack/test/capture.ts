import { readFileSync } from "node:fs"

/** A captured frame: how long it was on the wire (without FCS), and the bytes that were kept of it. */
export interface CapturedFrame {
  readonly sizeBytes: number
  readonly bytes: Uint8Array
}

/** The first 50 frames of a real iperf3 run: neighbour discovery, ARP, and TCP with time stamps. */
export const capturedFrames = (): ReadonlyArray<CapturedFrame> =>
  readFileSync(new URL("./fixtures/iperf3-first-50-frames.txt", import.meta.url), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [size, hex] = line.split(" ")
      return { sizeBytes: Number(size), bytes: Uint8Array.from(Buffer.from(hex!, "hex")) }
    })
