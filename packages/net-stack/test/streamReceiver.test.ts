import * as Core from "@vnic/net-stack/core"
import { dissect } from "@vnic/net-stack/testing"
import { beforeEach, describe, expect, test } from "vitest"

const MSS = 100
const ISS = -150
const endpoints: Core.StreamEndpoints = {
  sender: { mac: [2, 0, 0, 0, 0, 1], ip: 0x0a000001, ports: [1000, 1001], initialSequences: [ISS, ISS] },
  receiver: { mac: [2, 0, 0, 0, 0, 2], ip: 0x0a000002, ports: [5201, 5201], initialSequences: [7, 8] }
}
const clock = new Float64Array(1)
const frame = new Uint8Array(256)
const ack = new Uint8Array(128)
let receiver: Core.StreamReceiver
let timestamp = 0

/** A frame of stream `stream` whose payload begins `offset` bytes into it; returns its size. */
const writeFrame = (stream: number, offset: number, payloadBytes = MSS, flags = 0x10): number => {
  Core.writeEthernetHeader(frame, 0, endpoints.receiver.mac, endpoints.sender.mac, Core.ETHERTYPE_IPV4)
  const totalBytes = 20 + 32 + payloadBytes
  Core.writeIpv4Header(frame, 14, totalBytes, 1, Core.IP_PROTOCOL_TCP, endpoints.sender.ip, endpoints.receiver.ip)
  Core.writeTcpHeader(frame, 34, endpoints.sender.ports[stream]!, 5201, (ISS + offset) | 0, 7, flags, 1000)
  Core.writeTcpTimestampOption(frame, 34, timestamp, 0)
  return 14 + totalBytes
}

const take = (stream: number, offset: number, payloadBytes = MSS, flags = 0x10): number => {
  const sizeBytes = writeFrame(stream, offset, payloadBytes, flags)
  return receiver.onSegment(frame, 0, sizeBytes)
}

const ackFields = (stream: number) => dissect(ack, 0, receiver.buildAck(stream, ack, 0))
const ackedOffset = (stream: number): number => (ackFields(stream).tcp!.acknowledgement - ISS) | 0

beforeEach(() => {
  clock[0] = 0
  timestamp = 0
  receiver = Core.makeStreamReceiver({ endpoints, windowBytes: 1000, timestamps: true, clock })
})

describe("acknowledgements", () => {
  test("every second segment, the first one delayed", () => {
    expect(take(0, 0)).toBe(Core.IN_ORDER | Core.ACK_LATER)
    expect(take(0, MSS)).toBe(Core.IN_ORDER | Core.ACK_NOW)
    expect(ackedOffset(0)).toBe(2 * MSS)
    expect(receiver.nextDeadlinePs()).toBe(Infinity)
    expect(take(0, 2 * MSS)).toBe(Core.IN_ORDER | Core.ACK_LATER)
  })

  test("streams count for themselves", () => {
    expect(take(0, 0)).toBe(Core.IN_ORDER | Core.ACK_LATER)
    expect(take(1, 0)).toBe(Core.IN_ORDER | Core.ACK_LATER)
    expect(receiver.stream).toBe(1)
  })

  test("the delayed one is due after 40 ms", () => {
    clock[0] = 1e9
    take(1, 0)
    expect(receiver.ackDeadlinesPs[1]).toBe(41e9)
    expect(receiver.nextDeadlinePs()).toBe(41e9)
    clock[0] = 41e9 - 1
    expect(receiver.dueAck()).toBe(Core.STREAM_NONE)
    clock[0] = 41e9
    expect(receiver.dueAck()).toBe(1)
    expect(ackedOffset(1)).toBe(MSS)
    expect(receiver.dueAck()).toBe(Core.STREAM_NONE)
  })

  test("one at once for each segment beyond a hole, all the same, and one when the hole is filled", () => {
    take(0, 0)
    take(0, MSS)
    receiver.buildAck(0, ack, 0)
    for (const offset of [3, 4, 5]) {
      expect(take(0, offset * MSS)).toBe(Core.OUT_OF_ORDER | Core.ACK_NOW)
      expect(receiver).toMatchObject({ newBytes: MSS, deliveredBytes: 0 })
      expect(ackedOffset(0)).toBe(2 * MSS)
    }
    expect(take(0, 2 * MSS)).toBe(Core.IN_ORDER | Core.ACK_NOW)
    expect(receiver).toMatchObject({ newBytes: MSS, deliveredBytes: 4 * MSS })
    expect(ackedOffset(0)).toBe(6 * MSS)
  })

  test("one at once when a part of a hole is filled", () => {
    take(0, 2 * MSS)
    take(0, 4 * MSS)
    receiver.buildAck(0, ack, 0)
    expect(take(0, 0)).toBe(Core.IN_ORDER | Core.ACK_NOW)
    expect(ackedOffset(0)).toBe(MSS)
  })

  test("one at once for what has arrived before", () => {
    take(0, 0)
    expect(take(0, 0)).toBe(Core.DUPLICATE | Core.ACK_NOW)
    take(0, 2 * MSS)
    expect(take(0, 2 * MSS)).toBe(Core.DUPLICATE | Core.ACK_NOW)
    expect(receiver).toMatchObject({ newBytes: 0, deliveredBytes: 0 })
  })

  test("a segment that overlaps what has arrived brings the rest", () => {
    take(0, 0)
    take(0, 150, 50)
    expect(take(0, 50, 120)).toBe(Core.IN_ORDER | Core.ACK_NOW)
    expect(receiver).toMatchObject({ newBytes: 50, deliveredBytes: 100 })
  })

  test("as a frame, byte for byte", () => {
    timestamp = 0x01020304
    take(0, 0)
    take(0, MSS)
    clock[0] = 5e9
    expect(receiver.buildAck(0, ack, 0)).toBe(66)
    // Sequence 7; acknowledgement -150 + 200 = 50; window 1000 = 0x03e8; time stamp 5 ms, echo of the first.
    expect(Buffer.from(ack.slice(0, 66)).toString("hex")).toBe(
      "020000000001" +
        "020000000002" +
        "0800" +
        "45000034" +
        "00004000" +
        "400626c2" +
        "0a000002" +
        "0a000001" +
        "1451" +
        "03e8" +
        "00000007" +
        "00000032" +
        "801003e8" +
        "4256" +
        "0000" +
        "0101080a" +
        "00000005" +
        "01020304"
    )
    const fields = ackFields(0)
    expect(fields.ipv4).toMatchObject({ isChecksumValid: true, identification: 1 })
    expect(fields.tcp!.isChecksumValid).toBe(true)
  })

  test("echo the time stamp of the oldest segment that they are for", () => {
    timestamp = 10
    take(0, 0)
    timestamp = 11
    take(0, MSS)
    expect(ackFields(0).tcp!.timestamp!.echo).toBe(10)
    timestamp = 12
    take(0, 3 * MSS)
    expect(ackFields(0).tcp!.timestamp!.echo).toBe(10)
    timestamp = 13
    take(0, 2 * MSS)
    expect(ackFields(0).tcp!.timestamp!.echo).toBe(13)
  })
})

test("a window's every other segment is held, however many there are", () => {
  const segments = 1000
  receiver = Core.makeStreamReceiver({ endpoints, windowBytes: segments * MSS, timestamps: true, clock })
  for (let index = 1; index < segments; index += 2) {
    for (const stream of [0, 1]) expect(take(stream, index * MSS)).toBe(Core.OUT_OF_ORDER | Core.ACK_NOW)
  }
  for (let index = 0; index < segments; index += 2) {
    for (const stream of [0, 1]) {
      expect(take(stream, index * MSS)).toBe(Core.IN_ORDER | Core.ACK_NOW)
      expect(receiver).toMatchObject({ newBytes: MSS, deliveredBytes: 2 * MSS })
    }
  }
  expect([receiver.hasHole(0), receiver.hasHole(1)]).toEqual([false, false])
  expect(receiver.counters().segmentsDiscarded).toBe(0)
})

describe("what a receiver does not take", () => {
  test("a segment beyond the window", () => {
    expect(take(0, 901)).toBe(Core.DISCARDED | Core.ACK_NOW)
    expect(take(0, 900)).toBe(Core.OUT_OF_ORDER | Core.ACK_NOW)
  })

  test("a segment without payload changes nothing", () => {
    expect(take(0, 0, 0)).toBe(0)
    expect(receiver.stream).toBe(0)
    expect(receiver.nextDeadlinePs()).toBe(Infinity)
  })

  test.each([
    ["another port", 35, 1],
    ["another protocol", 12, 0x86],
    ["a SYN", 47, 0x02]
  ])("%s is unknown", (_, offset, value) => {
    const sizeBytes = writeFrame(0, 0)
    frame[offset] = value
    expect(receiver.onSegment(frame, 0, sizeBytes)).toBe(Core.UNKNOWN)
    expect(receiver.stream).toBe(Core.STREAM_NONE)
    expect(receiver.counters().framesUnknown).toBe(1)
  })

  test.each([
    ["UDP", Core.IP_PROTOCOL_UDP, 0x0a000001, 0x0a000002],
    ["another sender", Core.IP_PROTOCOL_TCP, 0x0a000003, 0x0a000002],
    ["another receiver", Core.IP_PROTOCOL_TCP, 0x0a000001, 0x0a000003]
  ])("%s is unknown", (_, protocol, source, destination) => {
    const sizeBytes = writeFrame(0, 0)
    Core.writeIpv4Header(frame, 14, sizeBytes - 14, 1, protocol, source, destination)
    expect(receiver.onSegment(frame, 0, sizeBytes)).toBe(Core.UNKNOWN)
  })

  test.each([
    ["a wrong IP checksum", 24, 0x55],
    ["IP version 5", 14, 0x55],
    ["an IP header that is too short", 14, 0x44],
    ["a total length beyond the frame", 16, 0x01],
    ["a TCP header that is too short", 46, 0x40],
    ["a TCP header beyond the datagram", 46, 0xf0]
  ])("%s is malformed", (_, offset, value) => {
    const sizeBytes = writeFrame(0, 0, 4)
    frame[offset] = value
    expect(receiver.onSegment(frame, 0, sizeBytes)).toBe(Core.MALFORMED)
  })

  test.each([13, 53, 60])("a frame cut off at %i bytes is malformed", (sizeBytes) => {
    writeFrame(0, 0)
    expect(receiver.onSegment(frame, 0, sizeBytes)).toBe(Core.MALFORMED)
  })

  test("a fragment is unknown", () => {
    const sizeBytes = writeFrame(0, 0)
    Core.writeUint16(frame, 20, 0x2000)
    Core.writeUint16(frame, 24, 0)
    Core.writeUint16(frame, 24, Core.checksumOf(Core.addBytes(0, frame, 14, 20)))
    expect(receiver.onSegment(frame, 0, sizeBytes)).toBe(Core.UNKNOWN)
  })
})

describe("frames of other shapes", () => {
  test("IP options before the TCP header, at an odd offset in memory", () => {
    const sizeBytes = writeFrame(0, 0)
    const memory = new Uint8Array(512)
    memory.set(frame.slice(0, 34), 3)
    memory.set([1, 1, 1, 0], 37)
    memory.set(frame.slice(34, sizeBytes), 41)
    memory[17] = 0x46
    Core.writeUint16(memory, 19, sizeBytes - 14 + 4)
    Core.writeUint16(memory, 27, 0)
    Core.writeUint16(memory, 27, Core.checksumOf(Core.addBytes(0, memory, 17, 24)))
    expect(receiver.onSegment(memory, 3, sizeBytes + 4)).toBe(Core.IN_ORDER | Core.ACK_LATER)
    expect(receiver).toMatchObject({ payloadFrameOffset: 70, payloadSizeBytes: MSS, payloadSequenceOffset: 0 })
  })

  test("padding behind the datagram is not payload", () => {
    const sizeBytes = writeFrame(0, 0, 2)
    expect(receiver.onSegment(frame, 0, sizeBytes + 9)).toBe(Core.IN_ORDER | Core.ACK_LATER)
    expect(receiver.payloadSizeBytes).toBe(2)
  })
})

describe("options that contradict each other are refused", () => {
  const options = { endpoints, windowBytes: 1000, timestamps: true, clock }
  test.each([
    [{ ...options, windowBytes: 0 }, "receive window"],
    [{ ...options, segmentsPerAck: 0 }, "acknowledgement policy"],
    [{ ...options, endpoints: { ...endpoints, sender: { ...endpoints.sender, ports: [1] } } }, "numbers of ports"],
    [{ ...options, endpoints: { ...endpoints, sender: { ...endpoints.sender, ports: [1, 1] } } }, "same ports"],
    [
      { ...options, endpoints: { ...endpoints, sender: { ...endpoints.sender, initialSequences: [] } } },
      "sequence number is missing"
    ]
  ])("%#", (wrong, message) => {
    expect(() => Core.makeStreamReceiver(wrong)).toThrow(message)
  })
})
