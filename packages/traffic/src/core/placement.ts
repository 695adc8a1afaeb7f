/**
 * Which ports the flows have, and so which receive queue each of them lands on: the hash of a flow's
 * addresses decides, as on a real machine, so ports are tried until they fit.
 */
import { type FlowEndpoints, ipv4Address, type MacAddress, type StreamEndpoints } from "@vnic/net-stack/core"
import { assert, makePrng, type Prng } from "@vnic/sim/core"
import type { Wire } from "./ports.ts"

/** `even`: flow k lands on queue k modulo the number of queues. `random`: ports are drawn. */
export type Placement = "even" | "random"

export interface PlacementOptions {
  readonly wire: Wire
  readonly flowCount: number
  readonly queueCount: number
  readonly placement: Placement
  readonly seed: number
  /** The device's station address. */
  readonly receiverMac: MacAddress
}

/** The client ports that Linux hands out, net.ipv4.ip_local_port_range. */
const CLIENT_PORT_FIRST = 32768
const CLIENT_PORT_COUNT = 60999 - CLIENT_PORT_FIRST + 1
/** What the flows connect to: the port that iperf3 listens on, and the ones behind it for very many flows. */
const SERVER_PORT = 5201
/** Flows that share a server port: few enough that every queue still has free client ports. */
const FLOWS_PER_SERVER_PORT = 8192

const SENDER_MAC: MacAddress = [0x02, 0, 0, 0, 0, 0x01]
const SENDER_IP = ipv4Address(10, 0, 0, 1)
const RECEIVER_IP = ipv4Address(10, 0, 0, 2)

const PRNG_STREAM_PORTS = 0x706f_7274
const PRNG_STREAM_SEQUENCES = 0x7365_7175

/** Endpoints of UDP flows, or undefined when the device's hash puts no port on some queue. */
export function findFlowEndpoints(options: PlacementOptions): FlowEndpoints | undefined {
  const { flowCount, queueCount, placement } = options
  assert(flowCount >= 1 && flowCount <= 65_536, "flow count out of range")
  assert(queueCount >= 1, "a device has one queue at least")
  const senderPorts = new Int32Array(flowCount)
  const receiverPorts = new Int32Array(flowCount)
  const prng = makePrng(options.seed, PRNG_STREAM_PORTS)
  let isTaken = new Uint8Array(CLIENT_PORT_COUNT)
  for (let flow = 0; flow < flowCount; flow++) {
    if (flow % FLOWS_PER_SERVER_PORT === 0) isTaken = new Uint8Array(CLIENT_PORT_COUNT)
    const serverPort = SERVER_PORT + Math.floor(flow / FLOWS_PER_SERVER_PORT)
    const queue = placement === "even" ? flow % queueCount : QUEUE_ANY
    const port = findPort(options.wire, prng, isTaken, serverPort, queue)
    if (port === PORT_NONE) return undefined
    senderPorts[flow] = port
    receiverPorts[flow] = serverPort
  }
  return {
    sender: { mac: SENDER_MAC, ip: SENDER_IP, ports: senderPorts },
    receiver: { mac: options.receiverMac, ip: RECEIVER_IP, ports: receiverPorts }
  }
}

/** Endpoints of TCP streams with sequence numbers drawn from the seed. */
export function findStreamEndpoints(options: PlacementOptions): StreamEndpoints | undefined {
  const flows = findFlowEndpoints(options)
  if (flows === undefined) return undefined
  const prng = makePrng(options.seed, PRNG_STREAM_SEQUENCES)
  const draw = () => Int32Array.from({ length: options.flowCount }, () => prng.next())
  return {
    sender: { ...flows.sender, initialSequences: draw() },
    receiver: { ...flows.receiver, initialSequences: draw() }
  }
}

const QUEUE_ANY = -1
const PORT_NONE = -1

/** The first free client port from a drawn one on that lands on `queue`; it is taken from then on. */
function findPort(wire: Wire, prng: Prng, isTaken: Uint8Array, serverPort: number, queue: number): number {
  const first = prng.below(CLIENT_PORT_COUNT)
  for (let step = 0; step < CLIENT_PORT_COUNT; step++) {
    const index = (first + step) % CLIENT_PORT_COUNT
    if (isTaken[index] !== 0) continue
    const port = CLIENT_PORT_FIRST + index
    if (queue !== QUEUE_ANY && wire.receiveQueueOf(SENDER_IP, RECEIVER_IP, port, serverPort) !== queue) continue
    isTaken[index] = 1
    return port
  }
  return PORT_NONE
}
