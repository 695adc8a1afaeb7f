import { describe, expect, it } from "vitest"
import {
  AUTOC,
  AUTOC_AN_RESTART_BIT,
  CTRL,
  CTRL_LRST_BIT,
  CTRL_MASTER_DISABLE_BIT,
  CTRL_RST_BIT,
  DCA_RXCTRL,
  DTXMXSZRQ,
  EEC,
  EEC_AUTO_RD_BIT,
  EEC_EE_PRES_BIT,
  EERD,
  EERD_ADDRESS_SHIFT,
  EERD_DATA_SHIFT,
  EERD_DONE_BIT,
  EERD_START_BIT,
  EICR,
  EICR_LSC_BIT,
  FWSM,
  GORCH,
  GORCL,
  GPRC,
  LINKS,
  LINKS_SPEED_10G,
  LINKS_SPEED_MASK,
  LINKS_SPEED_SHIFT,
  LINKS_UP_BIT,
  MRQC,
  MSCA,
  MSCA_MDICMD_BIT,
  QPRC,
  RAH,
  RAH_AV_BIT,
  RAL,
  RDBAL,
  RDH,
  RDLEN,
  RDRXCTL,
  RDRXCTL_DMAIDONE_BIT,
  RDT,
  REGISTERS,
  offsetOf,
  RXDCTL,
  RXDCTL_ENABLE_BIT,
  RXPBSIZE,
  SECRXSTAT,
  SRRCTL,
  STATUS,
  STATUS_LINK_UP_BIT,
  STATUS_MASTER_ENABLE_BIT,
  SWSM,
  SWSM_SMBI_BIT,
  TDH,
  TXDCTL,
  TXDCTL_ENABLE_BIT,
  TXPBSIZE,
  RQSMR
} from "@vnic/nic-device/registers"
import { LINK_UP_PS, RESET_PS } from "@vnic/nic-device/core"
import { bringUp, makeDeviceBench } from "@vnic/nic-device/testing"
import { plainFrame } from "./support/packets.ts"
import { startRing } from "./support/ring.ts"

describe("registers", () => {
  it("hold their reset values, and store what is writable", () => {
    const { device } = makeDeviceBench()
    expect(device.readRegister(SRRCTL(3))).toBe(0x402)
    expect(device.readRegister(RXPBSIZE(0))).toBe(0x80000)
    expect(device.readRegister(TXPBSIZE(0))).toBe(0x28000)
    device.writeRegister(RDBAL(0), 0x12345fff)
    expect(device.readRegister(RDBAL(0))).toBe(0x12345f80)
    device.writeRegister(RDLEN(0), -1)
    expect(device.readRegister(RDLEN(0))).toBe(0x000fff80)
    device.writeRegister(DTXMXSZRQ, 0xffff)
    expect(device.readRegister(DTXMXSZRQ)).toBe(0xfff)
    device.writeRegister(FWSM, 0)
    expect(device.readRegister(FWSM)).toBe(0x8040)
  })

  it("are one at both of their addresses", () => {
    const { device } = makeDeviceBench()
    for (const definition of REGISTERS) {
      const { access, mirror } = definition
      if (mirror === undefined || access !== "RW" || definition.name === "CTRL") continue
      for (let index = 0; index < mirror.count; index++) {
        const offset = mirror.offset + index * mirror.stride
        device.writeRegister(offset, 0x00000100 * (index % 16))
        expect(device.readRegister(offsetOf(definition, index))).toBe(device.readRegister(offset))
        device.writeRegister(offsetOf(definition, index), 0x00000004)
        expect(device.readRegister(offset)).toBe(device.readRegister(offsetOf(definition, index)))
      }
    }
    device.writeRegister(0x02100 + 4 * 5, 0x1234)
    expect(device.readRegister(0x01014 + 0x40 * 5)).toBe(0x1234)
    device.writeRegister(0x0ec80, 1)
    expect(device.readRegister(MRQC)).toBe(1)
  })

  it("outside the table read 0, take nothing and are counted", () => {
    const { device } = makeDeviceBench()
    for (const offset of [0x1fffc, 0x0000c, 3, -4, 0x20000, 0x12345678]) {
      device.writeRegister(offset, -1)
      expect(device.readRegister(offset)).toBe(0)
    }
    expect(device.counters().unlistedRegisterAccesses).toBe(12)
  })

  it("self-clear and self-answer where drivers wait for it", () => {
    const { device } = makeDeviceBench()
    expect(device.readRegister(EEC) & EEC_AUTO_RD_BIT).not.toBe(0)
    expect(device.readRegister(EEC) & EEC_EE_PRES_BIT).not.toBe(0)
    device.writeRegister(RDRXCTL, 0)
    expect(device.readRegister(RDRXCTL) & RDRXCTL_DMAIDONE_BIT).not.toBe(0)
    expect(device.readRegister(SECRXSTAT) & 1).toBe(1)
    device.writeRegister(MSCA, MSCA_MDICMD_BIT | 5)
    expect(device.readRegister(MSCA)).toBe(5)
    expect(device.readRegister(SWSM) & SWSM_SMBI_BIT).toBe(0)
    expect(device.readRegister(SWSM) & SWSM_SMBI_BIT).toBe(SWSM_SMBI_BIT)
    device.writeRegister(SWSM, 0)
    expect(device.readRegister(SWSM) & SWSM_SMBI_BIT).toBe(0)
    expect(device.readRegister(STATUS) & STATUS_MASTER_ENABLE_BIT).not.toBe(0)
    device.writeRegister(CTRL, CTRL_MASTER_DISABLE_BIT)
    expect(device.readRegister(STATUS) & STATUS_MASTER_ENABLE_BIT).toBe(0)
  })

  it("show the EEPROM: address, and words that add up to 0xBABA", () => {
    const { device } = makeDeviceBench()
    const word = (address: number): number => {
      device.writeRegister(EERD, (address << EERD_ADDRESS_SHIFT) | EERD_START_BIT)
      expect(device.readRegister(EERD) & EERD_DONE_BIT).not.toBe(0)
      return device.readRegister(EERD) >>> EERD_DATA_SHIFT
    }
    expect([word(0), word(1), word(2)]).toEqual([0x0002, 0x8200, 0x9059])
    const words = Array.from({ length: 0x40 }, (_, address) => word(address))
    expect(words.reduce((sum, value) => sum + value, 0) & 0xffff).toBe(0xbaba)
    expect(device.readRegister(RAL(0))).toBe(0x82000002 | 0)
    expect(device.readRegister(RAH(0))).toBe(0x00009059 | RAH_AV_BIT | 0)
  })
})

describe("reset", () => {
  it("takes its time, clears itself, and puts everything back", () => {
    const bench = makeDeviceBench()
    bringUp(bench)
    const { device } = bench
    startRing(bench, { queue: 2 }).post(7)
    device.frameArrived(bench.frame(plainFrame(100)))
    device.writeRegister(CTRL, CTRL_RST_BIT | CTRL_LRST_BIT)
    expect(device.readRegister(CTRL) & CTRL_RST_BIT).not.toBe(0)
    bench.run(RESET_PS)
    expect(device.readRegister(CTRL) & (CTRL_RST_BIT | CTRL_LRST_BIT)).toBe(0)
    expect(device.readRegister(RXDCTL(2))).toBe(0)
    expect(device.readRegister(RDBAL(2))).toBe(0)
    expect(device.readRegister(RDT(2))).toBe(0)
    expect(device.readRegister(DCA_RXCTRL(2))).toBe(0xb200)
    expect(bench.frames.inUse).toBe(0)
  })

  it("loses the frames that are under way, and counts them", () => {
    const bench = makeDeviceBench()
    bringUp(bench)
    const { device } = bench
    const ring = startRing(bench, { isDropping: false })
    ring.post(3)
    for (let count = 0; count < 5; count++) device.frameArrived(bench.frame(plainFrame(100, count)))
    device.writeRegister(CTRL, CTRL_RST_BIT)
    bench.run(1e9)
    const { rx } = device.counters()
    expect([rx.arrived, rx.delivered, rx.dropped.reset, rx.inFlight]).toEqual([5, 0, 5, 0])
    expect(ring.take()).toBeUndefined()
    expect(bench.frames.inUse).toBe(0)
    expect(device.readRegister(GPRC)).toBe(0)
  })
})

describe("the link", () => {
  it("comes up by itself, goes down and up on a restart, and says so", () => {
    const { device, run } = makeDeviceBench()
    expect(device.readRegister(LINKS) & LINKS_UP_BIT).toBe(0)
    run(LINK_UP_PS)
    const links = device.readRegister(LINKS)
    expect(links & LINKS_UP_BIT).not.toBe(0)
    expect((links & LINKS_SPEED_MASK) >>> LINKS_SPEED_SHIFT).toBe(LINKS_SPEED_10G)
    expect(device.readRegister(STATUS) & STATUS_LINK_UP_BIT).not.toBe(0)
    expect(device.readRegister(EICR) & EICR_LSC_BIT).not.toBe(0)
    device.writeRegister(AUTOC, device.readRegister(AUTOC) | AUTOC_AN_RESTART_BIT)
    expect(device.readRegister(AUTOC) & AUTOC_AN_RESTART_BIT).toBe(0)
    expect(device.readRegister(LINKS) & LINKS_UP_BIT).toBe(0)
    run(LINK_UP_PS)
    expect(device.readRegister(LINKS) & LINKS_UP_BIT).not.toBe(0)
  })

  it("lets no frame in while it is down", () => {
    const bench = makeDeviceBench()
    bench.driver.bringUp()
    startRing(bench).post(7)
    bench.device.frameArrived(bench.frame(plainFrame(100)))
    expect(bench.device.counters().rx.dropped.linkDown).toBe(1)
    expect(bench.frames.inUse).toBe(0)
  })
})

describe("queues", () => {
  it("read back their enable bits, also when they were not on; those that are not modelled never are", () => {
    const { device } = makeDeviceBench()
    for (let queue = 0; queue < 128; queue++) {
      device.writeRegister(RXDCTL(queue), RXDCTL_ENABLE_BIT)
      device.writeRegister(TXDCTL(queue), TXDCTL_ENABLE_BIT)
      const isModelled = queue < 16
      expect((device.readRegister(RXDCTL(queue)) & RXDCTL_ENABLE_BIT) !== 0).toBe(isModelled)
      expect((device.readRegister(TXDCTL(queue)) & TXDCTL_ENABLE_BIT) !== 0).toBe(isModelled)
      device.writeRegister(RXDCTL(queue), 0)
      device.writeRegister(TXDCTL(queue), 0)
      expect(device.readRegister(RXDCTL(queue)) & RXDCTL_ENABLE_BIT).toBe(0)
      expect(device.readRegister(TXDCTL(queue)) & TXDCTL_ENABLE_BIT).toBe(0)
    }
  })

  it("stay enabled until their last write-back is in memory, and then begin at the head again", () => {
    const bench = makeDeviceBench()
    bringUp(bench)
    const { device } = bench
    const ring = startRing(bench)
    ring.post(7)
    // The descriptors are on chip, so that the frame is on its way to memory at once.
    bench.run(1e6)
    device.frameArrived(bench.frame(plainFrame(100)))
    device.writeRegister(RXDCTL(0), 0)
    expect(device.readRegister(RXDCTL(0)) & RXDCTL_ENABLE_BIT).not.toBe(0)
    bench.run(1e7)
    expect(device.readRegister(RXDCTL(0)) & RXDCTL_ENABLE_BIT).toBe(0)
    expect(ring.take()).toEqual(plainFrame(100))
    expect(device.readRegister(RDH(0))).toBe(1)
    device.frameArrived(bench.frame(plainFrame(100)))
    expect(device.counters().rx.dropped.queueDisabled).toBe(1)
    device.writeRegister(RXDCTL(0), RXDCTL_ENABLE_BIT)
    device.frameArrived(bench.frame(plainFrame(200, 1)))
    bench.run(1e7)
    expect(ring.take()).toEqual(plainFrame(200, 1))
  })

  it("let the head be written while they are off only", () => {
    const { device } = makeDeviceBench()
    device.writeRegister(RDH(1), 5)
    device.writeRegister(TDH(1), 6)
    expect([device.readRegister(RDH(1)), device.readRegister(TDH(1))]).toEqual([5, 6])
    device.writeRegister(RXDCTL(1), RXDCTL_ENABLE_BIT)
    device.writeRegister(TXDCTL(1), TXDCTL_ENABLE_BIT)
    device.writeRegister(RDH(1), 0)
    device.writeRegister(TDH(1), 0)
    expect([device.readRegister(RDH(1)), device.readRegister(TDH(1))]).toEqual([5, 6])
  })
})

describe("statistics", () => {
  it("clear on read, high halves with their low ones", () => {
    const bench = makeDeviceBench()
    bringUp(bench)
    const { device } = bench
    startRing(bench).post(7)
    for (let count = 0; count < 3; count++) device.frameArrived(bench.frame(plainFrame(96)))
    bench.run(1e7)
    expect(device.readRegister(GPRC)).toBe(3)
    expect(device.readRegister(GPRC)).toBe(0)
    expect(device.readRegister(GORCL)).toBe(300)
    expect(device.readRegister(GORCL)).toBe(0)
    device.frameArrived(bench.frame(plainFrame(96)))
    expect(device.readRegister(GORCH)).toBe(0)
    expect(device.readRegister(GORCL)).toBe(0)
    expect(device.counters().rx.arrived).toBe(4)
  })

  it("go to the set that the queue belongs to", () => {
    const bench = makeDeviceBench()
    bringUp(bench)
    const { device } = bench
    startRing(bench).post(7)
    const receive = () => {
      device.frameArrived(bench.frame(plainFrame(96)))
      bench.run(1e7)
    }
    receive()
    device.writeRegister(RQSMR(0), 5)
    receive()
    receive()
    expect([device.readRegister(QPRC(0)), device.readRegister(QPRC(5))]).toEqual([1, 2])
  })
})
