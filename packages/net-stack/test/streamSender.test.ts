import * as Core from "@vnic/net-stack/core"
import { dissect } from "@vnic/net-stack/testing"
import { beforeEach, describe, expect, test } from "vitest"

const MSS = 100
const ISS = -250
const endpoints: Core.StreamEndpoints = {
  sender: { mac: [2, 0, 0, 0, 0, 1], ip: 0x0a000001, ports: [1000, 1001], initialSequences: [ISS, ISS] },
  receiver: { mac: [2, 0, 0, 0, 0, 2], ip: 0x0a000002, ports: [5201, 5201], initialSequences: [7, 8] }
}
const clock = new Float64Array(1)
const frame = new Uint8Array(128)
const options = { endpoints, windowBytes: 850, segmentBytes: MSS, timestamps: false, tcpChecksum: true, clock }
let sender: Core.StreamSender

/** An acknowledgement for everything before `offset`. */
const acknowledge = (stream: number, offset: number, flags = 0x10): number => {
  Core.writeEthernetHeader(frame, 0, endpoints.sender.mac, endpoints.receiver.mac, Core.ETHERTYPE_IPV4)
  Core.writeIpv4Header(frame, 14, 40, 1, Core.IP_PROTOCOL_TCP, endpoints.receiver.ip, endpoints.sender.ip)
  Core.writeTcpHeader(frame, 34, 5201, endpoints.sender.ports[stream]!, 7, (ISS + offset) | 0, flags, 1000)
  return sender.onAck(frame, 0, 54)
}

/** Offsets, in segments, of everything that the stream may send now. */
const sendAll = (stream: number): ReadonlyArray<number> => {
  const sent: Array<number> = []
  while (sender.canSend(stream)) sent.push(sender.nextSegment(stream) / MSS)
  return sent
}

beforeEach(() => {
  clock[0] = 0
  sender = Core.makeStreamSender(options)
})

describe("window", () => {
  test("holds whole segments, of each stream", () => {
    expect(sender.windowBytes).toBe(800)
    expect(sendAll(0)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(sendAll(1)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(sender.outstanding(0)).toBe(800)
  })

  test("opens by what is acknowledged", () => {
    sendAll(1)
    expect(acknowledge(1, 2 * MSS)).toBe(1)
    expect(sender).toMatchObject({ ackEvents: Core.WINDOW_OPENED, ackedBytes: 2 * MSS })
    expect(sendAll(1)).toEqual([8, 9])
    expect(sender.outstanding(1)).toBe(800)
  })

  test("a segment beyond it is refused", () => {
    sendAll(0)
    expect(() => sender.nextSegment(0)).toThrow("beyond the window")
  })

  test("after stop nothing new is sent", () => {
    sendAll(0)
    sender.stop()
    acknowledge(0, 8 * MSS)
    expect(sender.canSend(0)).toBe(false)
    expect(sender.allAcked()).toBe(true)
    expect(sender.nextDeadlinePs()).toBe(Infinity)
  })
})

describe("fast retransmit", () => {
  test("on the third duplicate acknowledgement, once", () => {
    sendAll(0)
    for (const events of [Core.DUPLICATE_ACK, Core.DUPLICATE_ACK, Core.DUPLICATE_ACK | Core.RETRANSMISSION_DUE]) {
      acknowledge(0, 0)
      expect(sender.ackEvents).toBe(events)
    }
    expect(sendAll(0)).toEqual([0])
    expect(sender.isRetransmission).toBe(true)
    acknowledge(0, 0)
    expect(sendAll(0)).toEqual([])
  })

  test("partial acknowledgements send the next hole, until all that was outstanding is acknowledged", () => {
    sendAll(0)
    for (let duplicate = 0; duplicate < 3; duplicate++) acknowledge(0, 0)
    sendAll(0)
    acknowledge(0, 3 * MSS)
    expect(sender.ackEvents).toBe(Core.WINDOW_OPENED | Core.RETRANSMISSION_DUE)
    expect(sendAll(0)).toEqual([3, 8, 9, 10])
    acknowledge(0, 8 * MSS)
    expect(sender.ackEvents).toBe(Core.WINDOW_OPENED)
    expect(sender.counters()).toMatchObject({ fastRetransmits: 1, segmentsRetransmitted: 2, timeouts: 0 })
  })

  test("the first segment after a recovery may be lost as well", () => {
    sendAll(0)
    for (let duplicate = 0; duplicate < 3; duplicate++) acknowledge(0, 0)
    sendAll(0)
    acknowledge(0, 8 * MSS)
    sendAll(0)
    for (let duplicate = 0; duplicate < 3; duplicate++) acknowledge(0, 8 * MSS)
    expect(sendAll(0)).toEqual([8])
  })

  test("not when nothing is outstanding, nor for old or impossible acknowledgements", () => {
    acknowledge(0, 0)
    expect(sender.ackEvents).toBe(0)
    sendAll(0)
    acknowledge(0, 4 * MSS)
    acknowledge(0, 2 * MSS)
    expect(sender.ackEvents).toBe(Core.ACK_IGNORED)
    acknowledge(0, 99 * MSS)
    expect(sender.ackEvents).toBe(Core.ACK_IGNORED)
    expect(sender.counters()).toMatchObject({ acksIgnored: 2, acksDuplicate: 0 })
  })
})

describe("time-out", () => {
  test("goes back to the first unacknowledged segment after 200 ms", () => {
    clock[0] = 1e9
    sendAll(0)
    expect(sender.nextDeadlinePs()).toBe(201e9)
    clock[0] = 2e9
    acknowledge(0, 2 * MSS)
    expect(sender.nextDeadlinePs()).toBe(202e9)
    clock[0] = 202e9
    expect(sender.expire()).toBe(0)
    expect(sender.expire()).toBe(Core.STREAM_NONE)
    expect(sendAll(0)).toEqual([2])
    expect(sender.nextDeadlinePs()).toBe(402e9)
  })

  test("nine in a row end a stream of a stopped sender, and only of a stopped one", () => {
    const expireAll = (times: number): void => {
      for (let time = 0; time < times; time++) {
        clock[0] = sender.nextDeadlinePs()
        while (sender.expire() !== Core.STREAM_NONE);
        sendAll(0)
        sendAll(1)
      }
    }
    sendAll(0)
    sendAll(1)
    expireAll(20)
    acknowledge(1, MSS)
    sender.stop()
    expect([sender.outstanding(0), sender.outstanding(1)]).toEqual([8 * MSS, 7 * MSS])
    expireAll(1)
    // What made progress is tried on.
    expect([sender.outstanding(0), sender.outstanding(1)]).toEqual([0, 7 * MSS])
    expireAll(Core.ORPHAN_RETRIES_MAX)
    expect([sender.allAcked(), sender.nextDeadlinePs()]).toEqual([true, Infinity])
    expect(sender.counters().streamsGivenUp).toBe(2)
    acknowledge(0, 8 * MSS)
    expect([sender.ackEvents, sender.canSend(0)]).toEqual([Core.ACK_IGNORED, false])
  })

  test("what the receiver turns out to hold is not sent again", () => {
    sendAll(0)
    clock[0] = 200e9
    sender.expire()
    expect(sender.nextSegment(0)).toBe(0)
    acknowledge(0, 6 * MSS)
    expect(sendAll(0)).toEqual([6, 7])
  })

  test("ends a recovery: what follows goes in order", () => {
    sendAll(0)
    for (let duplicate = 0; duplicate < 3; duplicate++) acknowledge(0, 0)
    clock[0] = 200e9
    expect(sender.expire()).toBe(0)
    expect(sendAll(0)).toEqual([0])
    acknowledge(0, MSS)
    expect(sender.ackEvents).toBe(Core.WINDOW_OPENED)
    expect(sendAll(0)).toEqual([1, 2])
  })

  test("duplicates of what was sent twice start no recovery", () => {
    sendAll(0)
    clock[0] = 200e9
    sender.expire()
    sendAll(0)
    acknowledge(0, 8 * MSS)
    sendAll(0)
    for (let duplicate = 0; duplicate < 9; duplicate++) acknowledge(0, 8 * MSS)
    expect(sender.canSend(0)).toBe(false)
    expect(sender.counters().fastRetransmits).toBe(0)
    acknowledge(0, 9 * MSS)
    for (let duplicate = 0; duplicate < 3; duplicate++) acknowledge(0, 9 * MSS)
    expect(sender.counters().fastRetransmits).toBe(1)
  })

  test("after stop, lost segments are still sent again", () => {
    sendAll(0)
    sender.stop()
    clock[0] = 200e9
    sender.expire()
    const sent = [...sendAll(0)]
    while (!sender.allAcked()) {
      acknowledge(0, (sent.at(-1)! + 1) * MSS)
      sent.push(...sendAll(0))
    }
    expect(sent).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(sender.canSend(0)).toBe(false)
  })

  /** What may be outstanding, in segments, after each acknowledgement of the oldest segment. */
  const windowsOf = (acks: number): ReadonlyArray<number> => {
    let unacked = 0
    let sentEnd = 0
    const send = () => {
      sentEnd = sendAll(0).reduce((end, segment) => Math.max(end, segment + 1), sentEnd)
      return sentEnd - unacked
    }
    const windows = [send()]
    for (let ack = 0; ack < acks; ack++) {
      acknowledge(0, ++unacked * MSS)
      windows.push(send())
    }
    return windows
  }

  test("begins a slow start to half of what was under way, then a segment a window until that is whole", () => {
    sendAll(0)
    clock[0] = 200e9
    sender.expire()
    const windows = windowsOf(60)
    expect(windows.slice(0, 4)).toEqual([1, 2, 3, 4])
    const rises = windows.slice(1).map((size, index) => size - windows[index]!)
    expect(Math.max(...rises)).toBe(1)
    // Windows of 4, 5, 6 and 7 take about that many acknowledgements each.
    expect(Math.abs(windows.indexOf(8) - (3 + 4 + 5 + 6 + 7))).toBeLessThanOrEqual(2)
    expect(windows.at(-1)).toBe(8)
    for (let duplicate = 0; duplicate < 3; duplicate++) acknowledge(0, 60 * MSS)
    expect(sendAll(0)).toEqual([60])
    // The window is whole again, and stays so.
    acknowledge(0, 68 * MSS)
    expect(sendAll(0)).toHaveLength(8)
  })

  test("of the same segment again leaves the threshold", () => {
    sendAll(0)
    for (const nowPs of [200e9, 400e9, 600e9]) {
      clock[0] = nowPs
      sender.expire()
      expect(sendAll(0)).toEqual([0])
    }
    expect(windowsOf(4)).toEqual([0, 2, 3, 4, 4])
  })

  test("is followed by fast retransmits of what is lost again, with half the window", () => {
    sendAll(0)
    clock[0] = 200e9
    sender.expire()
    windowsOf(3)
    for (let duplicate = 0; duplicate < 3; duplicate++) acknowledge(0, 3 * MSS)
    expect(sender.ackEvents).toBe(Core.DUPLICATE_ACK | Core.RETRANSMISSION_DUE)
    expect(sendAll(0)).toEqual([3])
    // Seven were sent; their acknowledgement ends the recovery.
    acknowledge(0, 7 * MSS)
    expect(sender.counters()).toMatchObject({ fastRetransmits: 1, timeouts: 1 })
    expect(sendAll(0)).toEqual([7, 8])
  })

  test("the window is halved to two segments at the least", () => {
    sendAll(0)
    clock[0] = 200e9
    sender.expire()
    expect(windowsOf(1)).toEqual([1, 2])
    for (let duplicate = 0; duplicate < 3; duplicate++) acknowledge(0, MSS)
    expect(sendAll(0)).toEqual([1])
    // 200 bytes, and by 50, 40, 35 and 31 more: from one segment on the third would still be below 300.
    let sentEnd = 3
    const windows = [3, 4, 5, 6].map((unacked) => {
      acknowledge(0, unacked * MSS)
      sentEnd += sendAll(0).length
      return sentEnd - unacked
    })
    expect(windows).toEqual([2, 2, 3, 3])
  })

  test("is not put off by a recovery that goes on and on", () => {
    sendAll(0)
    for (let duplicate = 0; duplicate < 3; duplicate++) acknowledge(0, 0)
    for (const [nowPs, deadlinePs] of [
      [40e9, 240e9],
      [80e9, 240e9],
      [120e9, 240e9]
    ] as const) {
      clock[0] = nowPs
      acknowledge(0, (nowPs / 40e9) * MSS)
      expect(sendAll(0)[0]).toBe(nowPs / 40e9)
      expect(sender.nextDeadlinePs()).toBe(deadlinePs)
    }
    acknowledge(0, 8 * MSS)
    expect(sender.nextDeadlinePs()).toBe(320e9)
  })
})

describe("headers", () => {
  test("byte for byte, without options", () => {
    const bytes = new Uint8Array(200).fill(0xee)
    expect(sender.writeHeader(1, MSS, MSS, 0x1234, bytes, 5)).toBe(54)
    // Sequence -250 + 100 = 0xffffff6a; acknowledgement 8; window 0xffff.
    expect(Buffer.from(bytes.slice(5, 59)).toString("hex")).toBe(
      "020000000002" +
        "020000000001" +
        "0800" +
        "4500008c" +
        "00004000" +
        "4006266a" +
        "0a000001" +
        "0a000002" +
        "03e9" +
        "1451" +
        "ffffff6a" +
        "00000008" +
        "5010ffff" +
        "718d" +
        "0000"
    )
    expect([bytes[4], bytes[59]]).toEqual([0xee, 0xee])
  })

  test("count the IP identification up and carry time stamps", () => {
    sender = Core.makeStreamSender({ ...options, timestamps: true })
    clock[0] = 12_345e9
    const bytes = new Uint8Array(66 + MSS)
    sender.writeHeader(0, 0, MSS, 0, bytes, 0)
    expect(sender.writeHeader(0, MSS, MSS, 0, bytes, 0)).toBe(66)
    const fields = dissect(bytes, 0, bytes.length)
    expect(fields.ipv4).toMatchObject({ identification: 1, totalLengthBytes: 152, isChecksumValid: true })
    expect(fields.tcp).toMatchObject({ timestamp: { value: 12_345, echo: 0 }, isChecksumValid: true })
  })

  test("keep their other fields when the IP identification wraps", () => {
    const bytes = new Uint8Array(54 + MSS)
    for (let frames = 0; frames < 65_537; frames++) sender.writeHeader(0, 0, MSS, 0, bytes, 0)
    const fields = dissect(bytes, 0, bytes.length)
    expect(fields.ipv4).toMatchObject({ identification: 0, totalLengthBytes: 140, isChecksumValid: true })
  })

  test("leave the TCP checksum to hardware when asked", () => {
    sender = Core.makeStreamSender({ ...options, tcpChecksum: false })
    const bytes = new Uint8Array(54)
    sender.writeHeader(0, 0, MSS, 0, bytes, 0)
    expect(Core.readUint16(bytes, 50)).toBe(0)
  })
})

describe("what is not an acknowledgement of these streams", () => {
  test.each([
    ["a SYN", 0x12],
    ["no ACK flag", 0x00],
    ["a reset", 0x14]
  ])("%s", (_, flags) => {
    sendAll(0)
    expect(acknowledge(0, MSS, flags)).toBe(Core.STREAM_NONE)
    expect(sender.counters().framesUnknown).toBe(1)
  })

  test("a segment that carries data repeats no acknowledgement", () => {
    sendAll(0)
    acknowledge(0, 0)
    Core.writeIpv4Header(frame, 14, 44, 1, Core.IP_PROTOCOL_TCP, endpoints.receiver.ip, endpoints.sender.ip)
    expect(sender.onAck(frame, 0, 58)).toBe(0)
    expect(sender.ackEvents).toBe(0)
  })
})

describe("options that contradict each other are refused", () => {
  test.each([
    [{ ...options, windowBytes: MSS - 1 }, "send window"],
    [{ ...options, segmentBytes: 0 }, "segment size"],
    [{ ...options, retransmissionTimeoutPs: 0 }, "time-out"]
  ])("%#", (wrong, message) => {
    expect(() => Core.makeStreamSender(wrong)).toThrow(message)
  })
})
