import { describe, expect, it } from "vitest"
import { MICROSOFT_KEY, receiveQueueOf, toeplitz } from "@vnic/nic-device/core"
import {
  MRQC,
  MRQC_IPV4_BIT,
  MRQC_IPV6_BIT,
  MRQC_TCP_IPV4_BIT,
  MRQC_TCP_IPV6_BIT,
  MRQC_TCP_IPV6_EX_BIT,
  MRQC_UDP_IPV4_BIT,
  MRQE_RSS,
  RETA,
  RSS_TYPE_IPV4,
  RSS_TYPE_IPV6,
  RSS_TYPE_NONE,
  RSS_TYPE_TCP_IPV4,
  RSS_TYPE_TCP_IPV6,
  RSS_TYPE_TCP_IPV6_EX,
  RSS_TYPE_UDP_IPV4,
  RSSRK,
  RXCSUM,
  RXCSUM_PCSD_BIT
} from "@vnic/nic-device/registers"
import { bringUp, type DeviceBench, makeDeviceBench } from "@vnic/nic-device/testing"
import { ethernet, ipv4, ipv6, plainFrame, tcpIpv4, tcpIpv6, udpIpv4 } from "./support/packets.ts"
import { startRing } from "./support/ring.ts"

/** Microsoft's verification suite: source, destination, hash of addresses, hash with ports. */
const IPV4_VECTORS = [
  ["66.9.149.187", 2794, "161.142.100.80", 1766, 0x323e8fc2, 0x51ccc178],
  ["199.92.111.2", 14230, "65.69.140.83", 4739, 0xd718262a, 0xc626b0ea],
  ["24.19.198.95", 12898, "12.22.207.184", 38024, 0xd2d0a5de, 0x5c2b394a],
  ["38.27.205.30", 48228, "209.142.163.6", 2217, 0x82989176, 0xafc7327f],
  ["153.39.163.191", 44251, "202.188.127.2", 1303, 0x5d1809c5, 0x10e828a2]
] as const
const IPV6_VECTORS = [
  ["3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x2cc18cd5, 0x40207d3d],
  ["3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0x0f0c461c, 0xdde51bbf],
  ["3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024, 0x4b61e985, 0x02d1feef]
] as const

const portBytes = (source: number, destination: number) => [
  source >> 8,
  source & 255,
  destination >> 8,
  destination & 255
]
const ipNumber = (text: string): number => new DataView(Uint8Array.from(ipv4(text)).buffer).getInt32(0)

/** A device that hashes by these bits of MRQC into 16 queues, all of which have rings. */
function rssBench(hashes: number): {
  bench: DeviceBench
  receive: (bytes: Array<number>) => readonly [number, number, number]
} {
  const bench = makeDeviceBench()
  bringUp(bench)
  const { device } = bench
  for (let word = 0; word < 10; word++) {
    let value = 0
    for (let byte = 0; byte < 4; byte++) value |= MICROSOFT_KEY[4 * word + byte]! << (8 * byte)
    device.writeRegister(RSSRK(word), value)
  }
  for (let word = 0; word < 32; word++) {
    const entry = (byte: number) => ((4 * word + byte) % 16) << (8 * byte)
    device.writeRegister(RETA(word), entry(0) | entry(1) | entry(2) | entry(3))
  }
  device.writeRegister(RXCSUM, RXCSUM_PCSD_BIT)
  device.writeRegister(MRQC, hashes === 0 ? 0 : hashes | MRQE_RSS)
  const rings = Array.from({ length: 16 }, (_, queue) => startRing(bench, { queue }))
  for (const ring of rings) ring.post(7)
  const receive = (bytes: Array<number>): readonly [number, number, number] => {
    const frame = bench.frame(bytes)
    const predicted = device.queueOfFrame(frame)
    device.frameArrived(frame)
    bench.run(1e7)
    const ring = rings.find((candidate) => candidate.take() !== undefined)!
    expect(predicted).toBe(ring.queue)
    const words = ring.lastWords()
    return [ring.queue, words[0]! & 0xf, words[1]! >>> 0]
  }
  return { bench, receive }
}

describe("the Toeplitz hash", () => {
  it("gives the published values", () => {
    for (const [source, sourcePort, destination, destinationPort, addresses, ports] of IPV4_VECTORS) {
      const input = [...ipv4(source), ...ipv4(destination)]
      expect(toeplitz(MICROSOFT_KEY, input) >>> 0).toBe(addresses)
      expect(toeplitz(MICROSOFT_KEY, [...input, ...portBytes(sourcePort, destinationPort)]) >>> 0).toBe(ports)
    }
    for (const [source, sourcePort, destination, destinationPort, addresses, ports] of IPV6_VECTORS) {
      const input = [...ipv6(source), ...ipv6(destination)]
      expect(toeplitz(MICROSOFT_KEY, input) >>> 0).toBe(addresses)
      expect(toeplitz(MICROSOFT_KEY, [...input, ...portBytes(sourcePort, destinationPort)]) >>> 0).toBe(ports)
    }
  })

  it("chooses the queue by its low seven bits", () => {
    const queues = Array.from({ length: 128 }, (_, entry) => entry % 16)
    for (const [source, sourcePort, destination, destinationPort, , hash] of IPV4_VECTORS) {
      const queue = receiveQueueOf(
        MICROSOFT_KEY,
        queues,
        ipNumber(source),
        ipNumber(destination),
        sourcePort,
        destinationPort
      )
      expect(queue).toBe((hash & 127) % 16)
    }
  })
})

describe("receive side scaling in the device", () => {
  it("hashes TCP on IPv4 and IPv6 with ports as published", () => {
    const { bench, receive } = rssBench(MRQC_TCP_IPV4_BIT | MRQC_TCP_IPV6_BIT)
    for (const [source, sourcePort, destination, destinationPort, , hash] of IPV4_VECTORS) {
      const frame = tcpIpv4({ ip: source, port: sourcePort }, { ip: destination, port: destinationPort })
      expect(receive(frame)).toEqual([(hash & 127) % 16, RSS_TYPE_TCP_IPV4, hash])
      const predicted = bench.device.receiveQueueOf(
        ipNumber(source),
        ipNumber(destination),
        sourcePort,
        destinationPort
      )
      expect(predicted).toBe((hash & 127) % 16)
    }
    for (const [source, sourcePort, destination, destinationPort, , hash] of IPV6_VECTORS) {
      const frame = tcpIpv6({ ip: source, port: sourcePort }, { ip: destination, port: destinationPort })
      expect(receive(frame)).toEqual([(hash & 127) % 16, RSS_TYPE_TCP_IPV6, hash])
    }
  })

  it("falls back to addresses alone for fragments, other protocols and ports that are not asked for", () => {
    const { receive } = rssBench(MRQC_TCP_IPV4_BIT | MRQC_IPV4_BIT | MRQC_IPV6_BIT)
    const [source, sourcePort, destination, destinationPort, hash] = IPV4_VECTORS[0]
    const from = { ip: source, port: sourcePort }
    const to = { ip: destination, port: destinationPort }
    const expected = [(hash & 127) % 16, RSS_TYPE_IPV4, hash]
    expect(receive(tcpIpv4(from, to, [], { fragment: 0x2000 }))).toEqual(expected)
    expect(receive(tcpIpv4(from, to, [], { fragment: 7 }))).toEqual(expected)
    expect(receive(tcpIpv4(from, to, [], { protocol: 47 }))).toEqual(expected)
    expect(receive(udpIpv4(from, to))).toEqual(expected)
    const [source6, port6, destination6, destinationPort6, hash6] = IPV6_VECTORS[0]
    const frame6 = tcpIpv6({ ip: source6, port: port6 }, { ip: destination6, port: destinationPort6 })
    expect(receive(frame6)).toEqual([(hash6 & 127) % 16, RSS_TYPE_IPV6, hash6])
  })

  it("hashes UDP, options and extension headers when they are asked for", () => {
    const { receive } = rssBench(MRQC_TCP_IPV4_BIT | MRQC_UDP_IPV4_BIT | MRQC_TCP_IPV6_EX_BIT)
    const [source, sourcePort, destination, destinationPort, , hash] = IPV4_VECTORS[1]
    const from = { ip: source, port: sourcePort }
    const to = { ip: destination, port: destinationPort }
    expect(receive(udpIpv4(from, to))).toEqual([(hash & 127) % 16, RSS_TYPE_UDP_IPV4, hash])
    expect(receive(tcpIpv4(from, to, [], { options: true }))).toEqual([(hash & 127) % 16, RSS_TYPE_TCP_IPV4, hash])
    const [source6, port6, destination6, destinationPort6, , hash6] = IPV6_VECTORS[2]
    const frame6 = tcpIpv6({ ip: source6, port: port6 }, { ip: destination6, port: destinationPort6 }, true)
    expect(receive(frame6)).toEqual([(hash6 & 127) % 16, RSS_TYPE_TCP_IPV6_EX, hash6])
  })

  it("leaves everything else, and everything without RSS, to queue 0", () => {
    const [source, sourcePort, destination, destinationPort] = IPV4_VECTORS[2]
    const frame = tcpIpv4({ ip: source, port: sourcePort }, { ip: destination, port: destinationPort })
    expect(rssBench(0).receive(frame)).toEqual([0, RSS_TYPE_NONE, 0])
    const { receive } = rssBench(MRQC_TCP_IPV4_BIT)
    expect(receive(plainFrame(60))).toEqual([0, RSS_TYPE_NONE, 0])
    expect(receive(udpIpv4({ ip: source, port: 1 }, { ip: destination, port: 2 }))).toEqual([0, RSS_TYPE_NONE, 0])
    // An IPv4 header that lies about its length.
    expect(receive(ethernet(0x0800, [0x42, ...frame.slice(15)]))).toEqual([0, RSS_TYPE_NONE, 0])
  })

  it("reads headers that lie partly in the frame's body", () => {
    const { bench, receive } = rssBench(MRQC_TCP_IPV4_BIT)
    const [source, sourcePort, destination, destinationPort, , hash] = IPV4_VECTORS[3]
    const bytes = tcpIpv4(
      { ip: source, port: sourcePort },
      { ip: destination, port: destinationPort },
      Array(80).fill(7)
    )
    const body = bench.memory.reserveOutside(256)
    for (const head of [0, 5, 14, 20, 33, 37, 53]) {
      const frame = bench.frame(bytes.slice(0, head))
      bench.memory.bytes.set(bytes.slice(head), body)
      bench.frames.bodyOffset[frame] = body
      bench.frames.bodyBytes[frame] = bytes.length - head
      if (head >= 14) expect(bench.device.queueOfFrame(frame)).toBe((hash & 127) % 16)
      bench.device.frameArrived(frame)
      bench.run(1e7)
    }
    expect(bench.device.counters().rx.deliveredByQueue[(hash & 127) % 16]).toBe(7)
    expect(receive(bytes)[2]).toBe(hash)
  })
})
