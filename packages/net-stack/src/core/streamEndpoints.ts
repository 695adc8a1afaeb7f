/**
 * Who talks to whom: the addresses that the two ends of N one-way flows share. Both ends are built from
 * one such value, so they cannot disagree.
 */
import { assert } from "@vnic/sim/core"
import type { MacAddress } from "./ethernet.ts"
import { STREAM_COUNT_MAX } from "./flowTable.ts"
import { ipv4Address } from "./ipv4.ts"

/** One end of every flow: one station with one address, and a port each. */
export interface FlowEnd {
  readonly mac: MacAddress
  /** IPv4 address, int32 in network order. */
  readonly ip: number
  /** Port of each flow. */
  readonly ports: ArrayLike<number>
}

export interface FlowEndpoints {
  readonly sender: FlowEnd
  readonly receiver: FlowEnd
}

/** One end of every TCP stream. */
export interface StreamEnd extends FlowEnd {
  /** Sequence number of the first byte that this end would send, of each stream (int32). */
  readonly initialSequences: ArrayLike<number>
}

export interface StreamEndpoints {
  readonly sender: StreamEnd
  readonly receiver: StreamEnd
}

/** First port of the range that Linux gives to clients (net.ipv4.ip_local_port_range). */
const CLIENT_PORT_FIRST = 32768
/** The port that iperf3 listens on. */
const SERVER_PORT = 5201

/** How many flows the endpoints describe. */
export const flowCountOf = (endpoints: FlowEndpoints): number => {
  const count = endpoints.sender.ports.length
  assert(count >= 1 && count <= STREAM_COUNT_MAX, "stream count out of range")
  assert(endpoints.receiver.ports.length === count, "the two ends have different numbers of ports")
  return count
}

/** How many streams the endpoints describe. */
export const streamCountOf = (endpoints: StreamEndpoints): number => {
  const count = flowCountOf(endpoints)
  assert(endpoints.sender.initialSequences.length === count, "a sender's sequence number is missing")
  assert(endpoints.receiver.initialSequences.length === count, "a receiver's sequence number is missing")
  return count
}

/** Endpoints with private addresses, consecutive client ports and one server port, as iperf3 has them. */
export const makeStreamEndpoints = (
  streamCount: number,
  senderPorts: ArrayLike<number> = Int32Array.from({ length: streamCount }, (_, index) => CLIENT_PORT_FIRST + index)
): StreamEndpoints => ({
  sender: {
    mac: [0x02, 0, 0, 0, 0, 0x01],
    ip: ipv4Address(10, 0, 0, 1),
    ports: senderPorts,
    initialSequences: Int32Array.from({ length: streamCount }, (_, index) => Math.imul(index + 1, 0x10325477))
  },
  receiver: {
    mac: [0x02, 0, 0, 0, 0, 0x02],
    ip: ipv4Address(10, 0, 0, 2),
    ports: new Int32Array(streamCount).fill(SERVER_PORT),
    initialSequences: Int32Array.from({ length: streamCount }, (_, index) => Math.imul(index + 1, 0x67452301))
  }
})
