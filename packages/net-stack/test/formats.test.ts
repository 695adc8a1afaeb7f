import * as Core from "@vnic/net-stack/core"
import { dissect } from "@vnic/net-stack/testing"
import { describe, expect, test } from "vitest"
import { capturedFrames } from "./capture.ts"

const hex = (bytes: Uint8Array, offset: number, sizeBytes: number): string =>
  Buffer.from(bytes.slice(offset, offset + sizeBytes)).toString("hex")

const MAC_A = [0x02, 0, 0, 0, 0, 0x0a]
const MAC_B = [0x02, 0, 0, 0, 0, 0x0b]
const IP_A = Core.ipv4Address(192, 168, 0, 1)
const IP_B = Core.ipv4Address(192, 168, 0, 199)

describe("headers, byte for byte", () => {
  test("Ethernet", () => {
    const bytes = new Uint8Array(20)
    expect(Core.writeEthernetHeader(bytes, 3, MAC_B, MAC_A, Core.ETHERTYPE_IPV4)).toBe(14)
    expect(hex(bytes, 0, 20)).toBe("000000" + "02000000000b" + "02000000000a" + "0800" + "000000")
    expect(Core.readEtherType(bytes, 3)).toBe(0x0800)
  })

  test("IPv4", () => {
    const bytes = new Uint8Array(24)
    expect(Core.writeIpv4Header(bytes, 2, 20, 0, Core.IP_PROTOCOL_UDP, IP_A, IP_B)).toBe(20)
    // 4500 + 0014 + 4000 + 4011 + c0a8 + 0001 + c0a8 + 00c7 = 2473d; 473d + 2 = 473f; ~473f = b8c0
    expect(hex(bytes, 2, 20)).toBe("4500001400004000" + "4011" + "b8c0" + "c0a80001" + "c0a800c7")
    expect(Core.isIpv4HeaderValid(bytes, 2, 20)).toBe(true)
    expect(Core.isIpv4HeaderValid(bytes, 2, 19)).toBe(false)
    expect(Core.isIpv4Fragment(bytes, 2)).toBe(false)
    bytes[10] = 63
    expect(Core.isIpv4HeaderValid(bytes, 2, 20)).toBe(false)
  })

  test("UDP, with and without data of odd length", () => {
    const bytes = new Uint8Array(40)
    Core.writeIpv4Header(bytes, 0, 31, 0, Core.IP_PROTOCOL_UDP, IP_A, IP_B)
    Core.writeUdpHeader(bytes, 20, 53, 1024, 3)
    bytes.set([1, 2, 3], 28)
    expect(Core.isUdpChecksumValid(bytes, 0, 20)).toBe(true)
    Core.writeUdpChecksum(bytes, 0, 20)
    // c0a8 + 0001 + c0a8 + 00c7 + 0011 + 000b + 0035 + 0400 + 000b + 0102 + 0300 = 18a76; 8a77; ~ = 7588
    expect(hex(bytes, 20, 11)).toBe("0035" + "0400" + "000b" + "7588" + "010203")
    expect(Core.isUdpChecksumValid(bytes, 0, 20)).toBe(true)
    bytes[30] = 4
    expect(Core.isUdpChecksumValid(bytes, 0, 20)).toBe(false)
  })

  test("a UDP checksum that comes out as zero is sent as all ones", () => {
    const bytes = new Uint8Array(30)
    Core.writeIpv4Header(bytes, 0, 30, 0, Core.IP_PROTOCOL_UDP, 0, 0)
    Core.writeUdpHeader(bytes, 20, 0, 0, 2)
    Core.writeUint16(bytes, 28, 0xffff - 17 - 10 - 10)
    Core.writeUdpChecksum(bytes, 0, 20)
    expect(hex(bytes, 26, 2)).toBe("ffff")
    expect(Core.isUdpChecksumValid(bytes, 0, 20)).toBe(true)
  })

  test("TCP, with the time-stamp option", () => {
    const bytes = new Uint8Array(60)
    Core.writeIpv4Header(bytes, 0, 52, 0, Core.IP_PROTOCOL_TCP, IP_A, IP_B)
    Core.writeTcpHeader(bytes, 20, 5201, 32768, -2, 1, 1 << Core.TCP_ACK_BIT, 0x1234)
    expect(hex(bytes, 20, 20)).toBe("1451" + "8000" + "fffffffe" + "00000001" + "5010" + "1234" + "0000" + "0000")
    expect(Core.writeTcpTimestampOption(bytes, 20, 7, 9)).toBe(32)
    expect(hex(bytes, 32, 20)).toBe("8010" + "1234" + "0000" + "0000" + "0101080a" + "00000007" + "00000009")
    Core.writeTcpChecksum(bytes, 0, 20, 32)
    expect(Core.isTcpChecksumValid(bytes, 0, 20, 32)).toBe(true)
    expect(dissect(frameAround(bytes, 52), 0, 66).tcp).toEqual({
      sourcePort: 5201,
      destinationPort: 32768,
      sequence: 0xfffffffe,
      acknowledgement: 1,
      flags: 0x10,
      window: 0x1234,
      timestamp: { value: 7, echo: 9 },
      isChecksumValid: true
    })
    expect(Core.findTcpTimestamp(bytes, 20, 32)).toBe(42)
  })

  test.each([
    ["none", "00000000"],
    ["cut off", "0101080a"],
    ["length zero", "08000000"],
    ["length beyond the header", "0305010103"],
    ["a lone kind byte", "01010108"]
  ])("a time-stamp option that is not there: %s", (_, options) => {
    const bytes = new Uint8Array(40)
    const optionBytes = Buffer.from(options, "hex")
    bytes.set(optionBytes, 20)
    expect(Core.findTcpTimestamp(bytes, 0, 20 + optionBytes.length)).toBe(Core.TCP_TIMESTAMP_NONE)
  })

  test("ARP request and reply", () => {
    const bytes = new Uint8Array(128)
    expect(Core.writeArpRequest(bytes, 0, MAC_A, IP_A, IP_B)).toBe(42)
    expect(hex(bytes, 0, 42)).toBe(
      "ffffffffffff02000000000a0806" + "0001080006040001" + "02000000000ac0a80001" + "000000000000c0a800c7"
    )
    expect(Core.isArpValid(bytes, 14, 28)).toBe(true)
    expect(Core.isArpValid(bytes, 14, 27)).toBe(false)
    expect(Core.writeArpReply(bytes, 64, 0, MAC_B)).toBe(42)
    expect(hex(bytes, 64, 42)).toBe(
      "02000000000a02000000000b0806" + "0001080006040002" + "02000000000bc0a800c7" + "02000000000ac0a80001"
    )
    expect(Core.readArpOperation(bytes, 78)).toBe(Core.ARP_REPLY)
  })

  test("an ARP reply may overwrite its request", () => {
    const bytes = new Uint8Array(42)
    Core.writeArpRequest(bytes, 0, MAC_A, IP_A, IP_B)
    Core.writeArpReply(bytes, 0, 0, MAC_B)
    expect(Core.readArpTargetIp(bytes, 14)).toBe(IP_A)
    expect(Core.readArpSenderIp(bytes, 14)).toBe(IP_B)
  })

  test("ICMP echo", () => {
    const bytes = new Uint8Array(12)
    bytes.set([0xab, 0xcd], 8)
    expect(Core.writeIcmpEchoHeader(bytes, 0, Core.ICMP_ECHO_REQUEST, 0x1234, 5, 2)).toBe(8)
    // 0800 + 1234 + 0005 + abcd = c606; ~ = 39f9
    expect(hex(bytes, 0, 10)).toBe("0800" + "39f9" + "1234" + "0005" + "abcd")
    expect(Core.isIcmpValid(bytes, 0, 10)).toBe(true)
    expect(Core.isIcmpValid(bytes, 0, 7)).toBe(false)
    expect([Core.readIcmpType(bytes, 0), Core.readIcmpIdentifier(bytes, 0), Core.readIcmpSequence(bytes, 0)]).toEqual([
      8, 0x1234, 5
    ])
  })
})

/** The IPv4 datagram at the start of `datagram` behind an Ethernet header. */
const frameAround = (datagram: Uint8Array, sizeBytes: number): Uint8Array => {
  const frame = new Uint8Array(14 + sizeBytes)
  Core.writeEthernetHeader(frame, 0, MAC_B, MAC_A, Core.ETHERTYPE_IPV4)
  frame.set(datagram.slice(0, sizeBytes), 14)
  return frame
}

describe("real frames", () => {
  const frames = capturedFrames()

  test("are of the kinds that were captured", () => {
    const types = frames.map(({ bytes }) => Core.readEtherType(bytes, 0))
    expect(types.filter((type) => type === Core.ETHERTYPE_IPV6)).toHaveLength(6)
    expect(types.filter((type) => type === Core.ETHERTYPE_ARP)).toHaveLength(2)
    expect(types.filter((type) => type === Core.ETHERTYPE_IPV4)).toHaveLength(42)
  })

  test("IPv6 neighbour discovery", () => {
    const [solicitation, report] = frames
    expect(Core.isIpv6HeaderValid(solicitation!.bytes, 14, 72)).toBe(true)
    expect(Core.isIpv6HeaderValid(solicitation!.bytes, 14, 71)).toBe(false)
    expect(Core.readIpv6NextHeader(solicitation!.bytes, 14)).toBe(Core.IP_PROTOCOL_ICMPV6)
    expect(Core.readIpv6PayloadLengthBytes(report!.bytes, 14)).toBe(36)
  })

  test("ARP: the question and its answer", () => {
    const [request, reply] = frames.filter(({ bytes }) => Core.readEtherType(bytes, 0) === Core.ETHERTYPE_ARP)
    const written = new Uint8Array(128)
    written.set(request!.bytes)
    const mac = reply!.bytes.slice(6, 12)
    expect(Core.writeArpReply(written, 64, 0, mac)).toBe(reply!.sizeBytes)
    expect(hex(written, 64, 42)).toBe(hex(reply!.bytes, 0, 42))
  })

  test("TCP: the parser sees what an independent one sees, and checksums hold", () => {
    const segment = new Core.TcpSegment()
    let wholeFrames = 0
    for (const { bytes, sizeBytes } of frames) {
      if (Core.readEtherType(bytes, 0) !== Core.ETHERTYPE_IPV4) {
        expect(segment.parse(bytes, 0, sizeBytes)).toBe(Core.PARSE_FOREIGN)
        continue
      }
      expect(segment.parse(bytes, 0, sizeBytes)).toBe(Core.PARSE_SOUND)
      expect(segment.headerSizeBytes + segment.payloadSizeBytes).toBe(sizeBytes)
      if (sizeBytes !== bytes.length) continue
      wholeFrames++
      const { tcp, payload } = dissect(bytes, 0, sizeBytes)
      expect(tcp).toMatchObject({
        sourcePort: segment.ports >>> 16,
        destinationPort: segment.ports & 0xffff,
        sequence: segment.sequence >>> 0,
        acknowledgement: segment.acknowledgement >>> 0,
        flags: segment.flags,
        isChecksumValid: true
      })
      expect(payload.length).toBe(segment.payloadSizeBytes)
      expect(Core.isTcpChecksumValid(bytes, 14, 34, sizeBytes - 34)).toBe(true)
      const timestamp = Core.readInt32(bytes, segment.timestampOffset + 2) >>> 0
      expect(tcp?.timestamp?.value).toBe(timestamp)
    }
    expect(wholeFrames).toBe(34)
  })

  test("an acknowledgement that is written like a captured one has the same bytes", () => {
    const { bytes, sizeBytes } = frames[10]!
    const fields = dissect(bytes, 0, sizeBytes)
    const written = new Uint8Array(sizeBytes)
    Core.writeEthernetHeader(written, 0, bytes.slice(0, 6), bytes.slice(6, 12), Core.ETHERTYPE_IPV4)
    Core.writeIpv4Header(
      written,
      14,
      sizeBytes - 14,
      fields.ipv4!.identification,
      Core.IP_PROTOCOL_TCP,
      Core.ipv4Address(10, 7, 0, 1),
      Core.ipv4Address(10, 7, 0, 2)
    )
    const tcp = fields.tcp!
    Core.writeTcpHeader(
      written,
      34,
      tcp.sourcePort,
      tcp.destinationPort,
      tcp.sequence | 0,
      tcp.acknowledgement | 0,
      tcp.flags,
      tcp.window
    )
    Core.writeTcpTimestampOption(written, 34, tcp.timestamp!.value | 0, tcp.timestamp!.echo | 0)
    Core.writeTcpChecksum(written, 14, 34, 32)
    expect(hex(written, 0, sizeBytes)).toBe(hex(bytes, 0, sizeBytes))
  })
})
