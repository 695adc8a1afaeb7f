/** Lengths of frames and times on the wire, as far as a scenario decides them. */
import type { ResolvedScenario } from "./Scenario.ts"

const PS_PER_SECOND = 1e12
const BITS = 8
const ETHERNET_BYTES = 14 + 4
/** IPv4 and TCP headers without options. */
const HEADER_BYTES = 20 + 20
const TIMESTAMP_OPTION_BYTES = 12
/** Preamble, start of frame and gap. */
const OVERHEAD_BYTES = 8 + 12
const FRAME_BYTES_MIN = 64

/** Length with check sequence of every frame of data, where all have the same. */
const dataFrameBytesOf = ({ link, traffic }: ResolvedScenario): number | undefined => {
  if (traffic.kind === "replay" || traffic.frameBytes === "imix") return undefined
  return traffic.frameBytes ?? link.mtuBytes + ETHERNET_BYTES
}

/** TCP payload of a full segment in a closed loop. */
export const segmentBytesOf = ({ link, traffic }: ResolvedScenario): number => {
  const isClosedLoop = traffic.kind === "closed-loop"
  const frameBytes = (isClosedLoop ? traffic.frameBytes : undefined) ?? link.mtuBytes + ETHERNET_BYTES
  const optionBytes = isClosedLoop && traffic.timestamps ? TIMESTAMP_OPTION_BYTES : 0
  return frameBytes - ETHERNET_BYTES - HEADER_BYTES - optionBytes
}

/**
 * The measured window. Where all frames are of one length it is a whole number of frames at line rate, by
 * less than a frame shorter than what the scenario says: a full wire then has exactly so many last bits in it
 * wherever it begins, and no result is above what the wire can carry.
 */
export const windowPsOf = (scenario: ResolvedScenario): number => {
  const { durationPs } = scenario.measure
  const frameBytes = dataFrameBytesOf(scenario)
  if (frameBytes === undefined) return durationPs
  const bits = (Math.max(frameBytes, FRAME_BYTES_MIN) + OVERHEAD_BYTES) * BITS
  const framePs = (bits * PS_PER_SECOND) / scenario.link.rateBitsPerSecond
  if (durationPs < framePs) return durationPs
  return Math.floor(Math.floor(durationPs / framePs) * framePs)
}
