/** Lengths of frames and times on the wire, as far as a scenario decides them. */
import { ETHERNET_HEADER_SIZE_BYTES, FRAME_CHECK_SIZE_BYTES, wireBits } from "@vnic/net-stack"
import { segmentBytesOf as segmentBytes } from "@vnic/traffic"
import type { ResolvedScenario } from "./Scenario.ts"

const PS_PER_SECOND = 1e12

/** Length without check sequence of every frame of data, where all have the same. */
const dataFrameBytesOf = ({ link, traffic }: ResolvedScenario): number | undefined => {
  if (traffic.kind === "replay" || traffic.frameBytes === "imix") return undefined
  if (traffic.frameBytes === undefined) return link.mtuBytes + ETHERNET_HEADER_SIZE_BYTES
  return traffic.frameBytes - FRAME_CHECK_SIZE_BYTES
}

/** TCP payload of a full segment in a closed loop. */
export const segmentBytesOf = ({ link, traffic }: ResolvedScenario): number =>
  traffic.kind === "closed-loop"
    ? segmentBytes(link.mtuBytes, traffic.timestamps, traffic.frameBytes)
    : segmentBytes(link.mtuBytes, false, undefined)

/**
 * The measured window. Where all frames are of one length it is a whole number of frames at line rate, by
 * less than a frame shorter than what the scenario says: a full wire then has exactly so many last bits in it
 * wherever it begins, and no result is above what the wire can carry.
 */
export const windowPsOf = (scenario: ResolvedScenario): number => {
  const { durationPs } = scenario.measure
  const frameBytes = dataFrameBytesOf(scenario)
  if (frameBytes === undefined) return durationPs
  const framePs = (wireBits(frameBytes) * PS_PER_SECOND) / scenario.link.rateBitsPerSecond
  if (durationPs < framePs) return durationPs
  return Math.floor(Math.floor(durationPs / framePs) * framePs)
}
