/** What a stream sender is told and what it counts. */
import type { StreamEndpoints } from "./streamEndpoints.ts"

export interface StreamSenderOptions {
  readonly endpoints: StreamEndpoints
  /** Bytes that may be outstanding, rounded down to whole segments. */
  readonly windowBytes: number
  /** Payload of every segment. */
  readonly segmentBytes: number
  /** True when segments carry the time-stamp option. */
  readonly timestamps: boolean
  /** False leaves the TCP checksum zero, and `payloadSum` unread: for receivers that do not look at it. */
  readonly tcpChecksum: boolean
  /** clock[0] is now, in picoseconds; whoever owns the time writes it. */
  readonly clock: Float64Array
  readonly retransmissionTimeoutPs?: number
}

export interface StreamSenderCounters {
  readonly segments: number
  readonly segmentsRetransmitted: number
  readonly fastRetransmits: number
  readonly timeouts: number
  /** Streams of which a stopped sender gave up what was outstanding. */
  readonly streamsGivenUp: number
  readonly acks: number
  readonly acksDuplicate: number
  readonly acksIgnored: number
  readonly framesUnknown: number
}
