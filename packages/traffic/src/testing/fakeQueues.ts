/** A stand-in for a device's hash: spreads flows evenly enough, and IP frames like their flows. */
import {
  ETHERNET_HEADER_SIZE_BYTES,
  ETHERTYPE_IPV4,
  readEtherType,
  readInt32,
  readIpv4Destination,
  readIpv4HeaderSizeBytes,
  readIpv4Source
} from "@vnic/net-stack/core"
import type { Frame, FramePool, Memory } from "@vnic/sim/core"

const HASH_MULTIPLIER = 0x9e3779b1 | 0

export class FakeQueues {
  readonly queueCount: number

  constructor(queueCount: number) {
    this.queueCount = queueCount
  }

  receiveQueueOf(sourceIp: number, destinationIp: number, sourcePort: number, destinationPort: number): number {
    const key = Math.imul(sourceIp ^ destinationIp, HASH_MULTIPLIER) ^ ((sourcePort << 16) | destinationPort)
    const hash = Math.imul(key ^ (key >>> 16), HASH_MULTIPLIER)
    return (hash >>> 16) % this.queueCount
  }

  /** Of IPv4 frames by addresses and what stands where the ports are; 0 for all others. */
  queueOfFrame(memory: Memory, frames: FramePool, frame: Frame): number {
    const at = frames.headOffset(frame)
    if (readEtherType(memory.bytes, at) !== ETHERTYPE_IPV4) return 0
    const ip = at + ETHERNET_HEADER_SIZE_BYTES
    const ports = readInt32(memory.bytes, ip + readIpv4HeaderSizeBytes(memory.bytes, ip))
    const source = readIpv4Source(memory.bytes, ip)
    return this.receiveQueueOf(source, readIpv4Destination(memory.bytes, ip), ports >>> 16, ports & 0xffff)
  }
}
