import { describe, expect, it } from "vitest"
import {
  BPRC,
  DESCTYPE_LEGACY,
  EICR,
  EICR_PCI_BIT,
  EICR_RX_MISS_BIT,
  FCTRL,
  FCTRL_BAM_BIT,
  FCTRL_MPE_BIT,
  FCTRL_UPE_BIT,
  GPRC,
  HLREG0,
  HLREG0_JUMBOEN_BIT,
  MAXFRS,
  MAXFRS_MFS_SHIFT,
  MCSTCTRL,
  MCSTCTRL_MFE_BIT,
  MPRC,
  MTA,
  QPRDC,
  RDH,
  RDT,
  ROC,
  RUC,
  RXCTRL,
  RXD_WB_DD_BIT,
  RXD_WB_EOP_BIT,
  RXD_WB_IPCS_BIT,
  RXD_WB_L4CS_BIT,
  RXD_WB_PACKET_IPV4_BIT,
  RXD_WB_PACKET_TCP_BIT,
  RXD_WB_SPH_BIT,
  RXDCTL,
  RXDCTL_ENABLE_BIT,
  RXMPC,
  RXPBSIZE,
  SRRCTL,
  TPR
} from "@vnic/nic-device/registers"
import { bringUp, type DeviceBench, makeDeviceBench } from "@vnic/nic-device/testing"
import { BROADCAST, DEVICE_ADDRESS, ethernet, plainFrame, tcpIpv4 } from "./support/packets.ts"
import { type RingShape, startRing } from "./support/ring.ts"

const SETTLE_PS = 1e7
const TX_RINGS = 0x200000
const TX_DATA = 0x300000

function benchWithRing(shape: RingShape = {}) {
  const bench = makeDeviceBench()
  bringUp(bench)
  const ring = startRing(bench, shape)
  const arrive = (bytes: Array<number>): void => bench.device.frameArrived(bench.frame(bytes))
  return { bench, ring, arrive, device: bench.device }
}

const balance = ({ device, frames }: DeviceBench) => {
  const { rx } = device.counters()
  const dropped = Object.values(rx.dropped).reduce((sum, count) => sum + count, 0)
  return { isBalanced: rx.arrived === rx.delivered + dropped + rx.inFlight, inFlight: rx.inFlight, held: frames.inUse }
}

describe("a received frame", () => {
  it("is written whole, then its descriptor: length, DD, EOP, and the head moves", () => {
    const { bench, ring, arrive, device } = benchWithRing()
    ring.post(7)
    arrive(plainFrame(1514))
    expect(ring.take()).toBeUndefined()
    bench.run(SETTLE_PS)
    expect(ring.take()).toEqual(plainFrame(1514))
    const words = ring.lastWords()
    expect(words[2]! & (RXD_WB_DD_BIT | RXD_WB_EOP_BIT)).toBe(RXD_WB_DD_BIT | RXD_WB_EOP_BIT)
    expect(words[3]! & 0xffff).toBe(1514)
    expect(device.readRegister(RDH(0))).toBe(1)
    expect(balance(bench)).toEqual({ isBalanced: true, inFlight: 0, held: 0 })
  })

  it("is seen in memory after its bus time and the latency of a write", () => {
    const { bench, ring, arrive } = benchWithRing()
    ring.post(7)
    bench.run(SETTLE_PS)
    const startPs = bench.timeline.nowPs
    arrive(plainFrame(1024))
    // Four writes of 256 bytes and one of 16, 24 bytes of header each, 250 ps a byte; then 300 ns.
    const expectedPs = (1024 + 16 + 5 * 24) * 250 + 300_000
    bench.run(expectedPs - 1)
    expect(ring.take()).toBeUndefined()
    bench.run(1)
    expect(bench.timeline.nowPs).toBe(startPs + expectedPs)
    expect(ring.take()).toEqual(plainFrame(1024))
  })

  it("waits for its descriptor's fetch, for the bus, and for a slow translation", () => {
    const { bench, ring, arrive } = benchWithRing()
    bench.busMaster.latencyPs[0] = 150_000
    ring.post(7)
    const startPs = bench.timeline.nowPs
    arrive(plainFrame(60))
    // Two events: the descriptors have come, the frame is in memory.
    bench.timeline.runUntil(Infinity, 2)
    // Request 24 bytes up; seven descriptors and a header down; read latency and translation; then the write.
    const fetchedPs = 24 * 250 + (7 * 16 + 20) * 250 + 600_000 + 150_000
    expect(bench.timeline.nowPs - startPs).toBe(fetchedPs + (60 + 16 + 2 * 24) * 250 + 300_000 + 150_000)
    expect(ring.take()).toEqual(plainFrame(60))
  })

  it("does not wait for what is sent while that waits for its descriptors", () => {
    const { bench, ring, arrive } = benchWithRing()
    const tails = 4
    ring.post(7)
    for (let queue = 1; queue <= tails; queue++) {
      const base = TX_RINGS + queue * 0x1000
      bench.driver.startTx({ queue, base, descriptors: 16 })
      bench.driver.writeTxDescriptor(base, 0, TX_DATA, 60, 60)
    }
    bench.run(1e7)
    for (let queue = 1; queue <= tails; queue++) bench.driver.setTxTail(queue, 1)
    arrive(plainFrame(60))
    // Their requests are before it on the way up, nothing else is.
    const seenPs = (tails * 24 + 60 + 16 + 2 * 24) * 250 + 300_000
    bench.run(seenPs - 1)
    expect(ring.take()).toBeUndefined()
    bench.run(1)
    expect(ring.take()).toEqual(plainFrame(60))
  })

  it("carries packet type, checksum status and hash type", () => {
    const { bench, ring, arrive } = benchWithRing()
    ring.post(7)
    arrive(tcpIpv4({ ip: "10.0.0.2", port: 5001 }, { ip: "10.0.0.1", port: 40000 }))
    bench.run(SETTLE_PS)
    ring.take()
    const words = ring.lastWords()
    expect(words[0]).toBe(RXD_WB_PACKET_IPV4_BIT | RXD_WB_PACKET_TCP_BIT)
    // Without RXCSUM.PCSD word 1 is the IP identification.
    expect(words[1]).toBe(0xabcd)
    expect(words[2]! & (RXD_WB_IPCS_BIT | RXD_WB_L4CS_BIT)).toBe(RXD_WB_IPCS_BIT | RXD_WB_L4CS_BIT)
  })

  it("is split after BSIZEHEADER bytes with DESCTYPE 5", () => {
    const { bench, ring, arrive } = benchWithRing({ headerBytes: 512, packetBytes: 1024 })
    ring.post(7)
    for (const length of [60, 511, 512, 513, 1514]) {
      arrive(plainFrame(length, length))
      bench.run(SETTLE_PS)
      expect(ring.take()).toEqual(plainFrame(length, length))
      const words = ring.lastWords()
      expect((words[0]! >>> 21) & 0x3ff).toBe(Math.min(length, 512))
      expect(words[0]! & RXD_WB_SPH_BIT).not.toBe(0)
      expect(words[3]).toBe(Math.max(0, length - 512))
    }
  })

  it("spills over descriptors when it is longer than a buffer, EOP on the last only", () => {
    const { bench, ring, arrive, device } = benchWithRing({ packetBytes: 1024 })
    device.writeRegister(HLREG0, device.readRegister(HLREG0) | HLREG0_JUMBOEN_BIT)
    device.writeRegister(MAXFRS, 9018 << MAXFRS_MFS_SHIFT)
    ring.post(7)
    const bytes = plainFrame(1100, 3)
    arrive(bytes)
    arrive(bytes.slice(0, 1024))
    bench.run(SETTLE_PS)
    expect(bench.driver.descriptor(ring.base, 0)[2]).toBe(RXD_WB_DD_BIT)
    expect(bench.driver.descriptor(ring.base, 0)[3]).toBe(1024)
    expect(bench.driver.descriptor(ring.base, 1)[3]).toBe(76)
    expect(ring.take()).toEqual(bytes)
    expect(ring.take()).toEqual(bytes.slice(0, 1024))
    expect(device.readRegister(RDH(0))).toBe(3)
    // Five of seven left: a frame with a body of 5 KiB takes them all, and the next finds none.
    const long = bench.frame(plainFrame(100))
    bench.frames.bodyOffset[long] = 0
    bench.frames.bodyBytes[long] = 4 * 1024 - 100
    device.frameArrived(long)
    arrive(plainFrame(60))
    bench.run(SETTLE_PS)
    expect(device.counters().rx.delivered).toBe(3)
    expect(device.counters().rx.dropped.noDescriptor).toBe(1)
    expect(balance(bench)).toEqual({ isBalanced: true, inFlight: 0, held: 0 })
  })

  it("leaves the address of a legacy descriptor alone", () => {
    const { bench, ring, arrive, device } = benchWithRing()
    device.writeRegister(SRRCTL(0), 2 | (DESCTYPE_LEGACY << 25))
    ring.post(7)
    const before = bench.driver.descriptor(ring.base, 0)
    arrive(plainFrame(90))
    bench.run(SETTLE_PS)
    const after = bench.driver.descriptor(ring.base, 0)
    expect([after[0], after[1], after[2], after[3]]).toEqual([before[0], before[1], 90, 3])
  })

  it("is padded when it is shorter than Ethernet allows", () => {
    const { bench, ring, arrive, device } = benchWithRing()
    ring.post(7)
    arrive(plainFrame(20))
    bench.run(SETTLE_PS)
    expect(ring.take()).toEqual([...plainFrame(20), ...Array(40).fill(0)])
    expect(device.counters().rx.padded).toBe(1)
    arrive([1, 2, 3])
    expect(device.counters().rx.dropped.undersize).toBe(1)
    expect(device.readRegister(RUC)).toBe(1)
  })
})

describe("the MAC", () => {
  const other = [0x02, 0, 0, 0, 0, 9]
  const multicast = [0x01, 0x00, 0x5e, 0x00, 0x12, 0x34]
  const payload = Array.from({ length: 46 }, () => 5)

  it("takes its own address and, by FCTRL, broadcast, multicast and everything", () => {
    const { bench, ring, arrive, device } = benchWithRing()
    ring.post(7)
    const isTaken = (to: Array<number>): boolean => {
      arrive(ethernet(0x88b5, payload, to))
      bench.run(SETTLE_PS)
      return ring.take() !== undefined
    }
    device.writeRegister(FCTRL, 0)
    expect([DEVICE_ADDRESS, BROADCAST, multicast, other].map(isTaken)).toEqual([true, false, false, false])
    ring.post(1)
    device.writeRegister(FCTRL, FCTRL_BAM_BIT)
    expect([BROADCAST, multicast, other].map(isTaken)).toEqual([true, false, false])
    ring.post(1)
    device.writeRegister(FCTRL, FCTRL_MPE_BIT | FCTRL_UPE_BIT)
    expect([BROADCAST, multicast, other].map(isTaken)).toEqual([false, true, true])
    device.writeRegister(FCTRL, 0)
    // Bits 47:36 of the address index the table.
    device.writeRegister(MCSTCTRL, MCSTCTRL_MFE_BIT)
    const index = (0x3412 >> 4) & 0xfff
    device.writeRegister(MTA(index >> 5), 1 << (index & 31))
    ring.post(2)
    expect([multicast, [...multicast.slice(0, 5), 0x44]].map(isTaken)).toEqual([true, false])
    expect([device.readRegister(BPRC), device.readRegister(MPRC)]).toEqual([1, 2])
    expect(device.counters().rx.dropped.filtered).toBe(7)
    expect(device.readRegister(TPR)).toBe(12)
    expect(device.readRegister(GPRC)).toBe(5)
    expect(balance(bench)).toEqual({ isBalanced: true, inFlight: 0, held: 0 })
  })

  it("refuses what is too long, and takes one VLAN tag more, or two", () => {
    const { bench, ring, arrive, device } = benchWithRing()
    /** A frame of so many bytes with FCS that begins with so many tags. */
    const tagged = (tags: number, withFcs: number): Array<number> => {
      const inner = Array.from({ length: tags }, (_, tag) => [0, 5, ...(tag < tags - 1 ? [0x81, 0] : [8, 0])]).flat()
      const filler = Array.from({ length: withFcs - 4 - 14 - inner.length }, () => 1)
      return ethernet(tags > 0 ? 0x8100 : 0x0800, [...inner, ...filler])
    }
    ring.post(7)
    const limits = [1518, 1522, 1526, 1526]
    for (const [tags, most] of limits.entries()) {
      for (const withFcs of [most, most + 1]) arrive(tagged(tags, withFcs))
      bench.run(SETTLE_PS)
      expect([ring.take()?.length, ring.take()]).toEqual([most - 4, undefined])
      expect(device.counters().rx.dropped.oversize).toBe(tags + 1)
    }
    expect(device.readRegister(ROC)).toBe(limits.length)
  })

  it("drops everything while the receiver or the queue is off", () => {
    const { bench, arrive, device } = benchWithRing()
    device.writeRegister(RXCTRL, 0)
    arrive(plainFrame(60))
    device.writeRegister(RXCTRL, 1)
    device.writeRegister(RXDCTL(0), 0)
    arrive(plainFrame(60))
    const { dropped } = device.counters().rx
    expect([dropped.receiverDisabled, dropped.queueDisabled]).toEqual([1, 1])
    expect(balance(bench)).toEqual({ isBalanced: true, inFlight: 0, held: 0 })
  })
})

describe("the frame pool", () => {
  it("is told of the frames that come to memory, in their order, and not of those that are dropped", () => {
    const { bench, ring, arrive } = benchWithRing({ isDropping: true, packetBytes: 1024 })
    const stored: Array<[length: number, queue: number]> = []
    bench.frames.stored = (frame, queue) => stored.push([bench.frames.lengthBytes(frame), queue])
    ring.post(4)
    for (const length of [60, 1100, 62, 63, 64]) arrive(plainFrame(length))
    bench.run(SETTLE_PS)
    expect(stored).toEqual([
      [60, 0],
      [1100, 0],
      [62, 0]
    ])
  })
})

describe("without a descriptor", () => {
  it("a frame is dropped and counted for its queue when DROP_EN is set", () => {
    const { bench, ring, arrive, device } = benchWithRing({ isDropping: true })
    ring.post(2)
    for (let count = 0; count < 5; count++) arrive(plainFrame(60, count))
    bench.run(SETTLE_PS)
    expect(device.counters().rx.dropped.noDescriptor).toBe(3)
    expect(device.readRegister(QPRDC(0))).toBe(3)
    expect([ring.take(), ring.take(), ring.take()]).toEqual([plainFrame(60, 0), plainFrame(60, 1), undefined])
    expect(balance(bench)).toEqual({ isBalanced: true, inFlight: 0, held: 0 })
  })

  it("frames wait in order when it is not, hold back other queues, and go on when the tail moves", () => {
    const { bench, ring, arrive, device } = benchWithRing({ isDropping: false })
    ring.post(1)
    for (let count = 0; count < 5; count++) arrive(plainFrame(60, count))
    bench.run(SETTLE_PS)
    expect(ring.take()).toEqual(plainFrame(60, 0))
    expect(ring.take()).toBeUndefined()
    expect(device.counters().rx.inFlight).toBe(4)
    ring.post(2)
    bench.run(SETTLE_PS)
    expect([ring.take(), ring.take(), ring.take()]).toEqual([plainFrame(60, 1), plainFrame(60, 2), undefined])
    ring.post(5)
    bench.run(SETTLE_PS)
    expect([ring.take(), ring.take(), ring.take()]).toEqual([plainFrame(60, 3), plainFrame(60, 4), undefined])
    expect(balance(bench)).toEqual({ isBalanced: true, inFlight: 0, held: 0 })
  })

  it("a full packet buffer misses frames, counts them and says so", () => {
    const { bench, ring, arrive, device } = benchWithRing({ isDropping: false })
    device.writeRegister(RXPBSIZE(0), 4 << 10)
    for (let count = 0; count < 10; count++) arrive(plainFrame(1024, count))
    expect(device.counters().rx.dropped.packetBufferFull).toBe(6)
    expect(device.readRegister(RXMPC(0))).toBe(6)
    expect(device.readRegister(EICR) & EICR_RX_MISS_BIT).not.toBe(0)
    ring.post(7)
    bench.run(SETTLE_PS)
    expect([0, 1, 2, 3].map(() => ring.take()?.length)).toEqual([1024, 1024, 1024, 1024])
    expect(balance(bench)).toEqual({ isBalanced: true, inFlight: 0, held: 0 })
  })

  it("frames that wait for a queue are dropped when it is switched off", () => {
    const { bench, arrive, device } = benchWithRing({ isDropping: false })
    arrive(plainFrame(60))
    device.writeRegister(RXDCTL(0), 0)
    expect(device.counters().rx.dropped.queueDisabled).toBe(1)
    expect(balance(bench)).toEqual({ isBalanced: true, inFlight: 0, held: 0 })
  })
})

describe("a fault", () => {
  // Accesses: the descriptor fetch, the frame's bytes, the write-back.
  for (const [faultAt, name] of [
    [1, "fetch"],
    [2, "data write"],
    [3, "write-back"]
  ] as const) {
    it(`of a ${name} sets EICR.PCI and stops the queue until it is enabled again`, () => {
      const { bench, ring, arrive, device } = benchWithRing()
      bench.busMaster.faultAt = bench.busMaster.accesses + faultAt
      ring.post(7)
      arrive(plainFrame(60))
      bench.run(SETTLE_PS)
      arrive(plainFrame(60))
      bench.run(SETTLE_PS)
      expect(device.readRegister(EICR) & EICR_PCI_BIT).not.toBe(0)
      expect(device.counters().rx.dropped.fault).toBe(2)
      expect(balance(bench)).toEqual({ isBalanced: true, inFlight: 0, held: 0 })
      device.writeRegister(RXDCTL(0), 0)
      device.writeRegister(RDT(0), 0)
      device.writeRegister(RDH(0), 0)
      device.writeRegister(RXDCTL(0), RXDCTL_ENABLE_BIT)
      device.writeRegister(RDT(0), 7)
      arrive(plainFrame(61))
      bench.run(SETTLE_PS)
      expect(device.counters().rx.delivered).toBe(1)
    })
  }
})
