/**
 * Bringing the device up and down, against a device that does as a script says. Order: [82599 4.6.3 to 4.6.8];
 * what each poll does when its bit never comes; what is left when there is no memory for the rings.
 */
import { describe, expect, it } from "vitest"
import {
  CTRL,
  CTRL_LRST_BIT,
  CTRL_RST_BIT,
  EEC,
  EEC_AUTO_RD_BIT,
  EITR,
  EITR_INTERVAL_SHIFT,
  FCTRL,
  FCTRL_MPE_BIT,
  FCTRL_UPE_BIT,
  LINKS,
  LINKS_UP_BIT,
  RAH,
  RAL,
  RDLEN,
  RDRXCTL,
  RDRXCTL_DMAIDONE_BIT,
  RETA,
  RXCTRL,
  RXCTRL_RXEN_BIT,
  RXDCTL,
  RXDCTL_ENABLE_BIT,
  SRRCTL,
  SRRCTL_DROP_EN_BIT,
  TDLEN,
  TXDCTL,
  TXDCTL_ENABLE_BIT
} from "@vnic/nic-device/registers"
import { frameOf, makeDriverWorld, NOTHING_LEFT, type ScriptedDevice } from "@vnic/driver/testing"

const times = (count: number, name: (index: number) => string) => Array.from({ length: count }, (_, at) => name(at))

describe("bring-up", () => {
  it("writes the registers in the datasheet's order", () => {
    const world = makeDriverWorld()
    world.start()
    const expected = [
      ["EIMC", "CTRL", "EIMC", "AUTOC"],
      ["RXCTRL", "RAL[0]", "RAH[0]", "HLREG0", "RDRXCTL", "FCTRL"],
      times(10, (word) => `RSSRK[${word}]`),
      times(32, (word) => `RETA[${word}]`),
      ["RXCSUM", "MRQC", "PSRTYPE[0]"],
      ["SRRCTL[0]", "RDBAL[0]", "RDBAH[0]", "RDLEN[0]", "RDH[0]", "RDT[0]", "DCA_RXCTRL[0]", "CTRL_EXT"],
      ["RTTDCS", "DTXMXSZRQ", "RTTDCS", "TDBAL[0]", "TDBAH[0]", "TDLEN[0]", "TDH[0]", "TDT[0]", "TXDCTL[0]"],
      ["DMATXCTL", "GPIE", "EIAC", "EIAM", "IVAR[0]", "EITR[0]"],
      ["RXDCTL[0]", "TXDCTL[0]", "RDT[0]", "RXCTRL", "EIMS"]
    ]
    expect(world.device.registers.written()).toEqual(expected.flat())
  })

  it("hands a queue's descriptors over when it reads as on, and lets frames in when all queues are", () => {
    const world = makeDriverWorld({ queues: 3 })
    world.start()
    const { accesses } = world.device.registers
    const find = (kind: string, register: string, has: (value: number) => boolean) =>
      accesses.findLastIndex((access) => access.kind === kind && access.register === register && has(access.value))
    const lastRxen = find("write", "RXCTRL", () => true)
    expect(accesses[lastRxen]!.value & RXCTRL_RXEN_BIT).not.toBe(0)
    const firstRxen = accesses.findIndex(({ kind, register }) => kind === "write" && register === "RXCTRL")
    expect(accesses[firstRxen]!.value & RXCTRL_RXEN_BIT).toBe(0)
    expect(firstRxen).toBeLessThan(accesses.findIndex(({ register }) => register === "FCTRL"))
    const transmitOn = find("write", "DMATXCTL", () => true)
    for (let queue = 0; queue < 3; queue++) {
      const isOn = (value: number) => (value & RXDCTL_ENABLE_BIT) !== 0
      const rxOn = find("read", `RXDCTL[${queue}]`, isOn)
      const txOn = find("read", `TXDCTL[${queue}]`, isOn)
      const tail = find("write", `RDT[${queue}]`, (value) => value === 7)
      expect(transmitOn).toBeLessThan(find("write", `TXDCTL[${queue}]`, isOn))
      expect(Math.max(rxOn, txOn)).toBeLessThan(tail)
      expect(tail).toBeLessThan(lastRxen)
    }
    expect(lastRxen).toBeLessThan(find("write", "EIMS", (value) => value === 7))
  })

  it("tells the device what it was asked for", () => {
    const world = makeDriverWorld({
      queues: 3,
      rxDescriptors: 16,
      txDescriptors: 24,
      dropEnable: false,
      promiscuous: true,
      interruptIntervalPs: 16_384_000
    })
    world.start()
    const { registers } = world.device
    expect(registers.peek(RDLEN(2))).toBe(16 * 16)
    expect(registers.peek(TDLEN(2))).toBe(24 * 16)
    expect(registers.peek(SRRCTL(1)) & SRRCTL_DROP_EN_BIT).toBe(0)
    expect(registers.peek(FCTRL) & FCTRL_UPE_BIT & ~FCTRL_MPE_BIT).not.toBe(0)
    expect(registers.peek(EITR(2)) >> EITR_INTERVAL_SHIFT).toBe(8)
    expect(registers.peek(RAL(0)) >>> 0).toBe(0x8200_0002)
    expect(registers.peek(RAH(0)) >>> 0).toBe(0x8000_9059)
    const entries = times(32, (word) => {
      const bytes = registers.peek(RETA(word))
      return [0, 8, 16, 24].map((shift) => (bytes >>> shift) & 0xff).join("")
    }).join("")
    expect(entries).toBe("012".repeat(43).slice(0, 128))
    expect(world.device.bufferBytes(0)).toEqual([512, 1024])
    expect([0, 1, 2].map((queue) => world.device.posted(queue).length)).toEqual([15, 15, 15])
  })
})

const MS_PS = 1e9
const RESET = CTRL_RST_BIT | CTRL_LRST_BIT

/** A poll: the bits that are waited for, what they show until then, how often and how long it looks. */
const BRING_UP_POLLS = [
  ["reset", "CTRL", CTRL, RESET, RESET, 1000, 10_000_000],
  ["EEPROM auto-read", "EEC", EEC, EEC_AUTO_RD_BIT, 0, 100, MS_PS],
  ["DMA initialisation", "RDRXCTL", RDRXCTL, RDRXCTL_DMAIDONE_BIT, 0, 100, MS_PS],
  ["enabling", "RXDCTL[1]", RXDCTL(1), RXDCTL_ENABLE_BIT, 0, 10, MS_PS],
  ["enabling", "TXDCTL[1]", TXDCTL(1), TXDCTL_ENABLE_BIT, 0, 10, MS_PS],
  ["link", "LINKS", LINKS, LINKS_UP_BIT, 0, 10_000, MS_PS]
] as const

const SHUTDOWN_POLLS = [
  ["disabling", "RXDCTL[0]", RXDCTL(0), RXDCTL_ENABLE_BIT, RXDCTL_ENABLE_BIT, 10, MS_PS],
  ["disabling", "TXDCTL[1]", TXDCTL(1), TXDCTL_ENABLE_BIT, TXDCTL_ENABLE_BIT, 10, MS_PS]
] as const

const newDriver = (world: ReturnType<typeof makeDriverWorld>) => {
  const made = world.make()
  if ("step" in made) throw new Error("no ring memory")
  return made
}

describe.each(BRING_UP_POLLS)("bring-up, %s of %s", (step, register, offset, mask, bits, polls, everyPs) => {
  const setUp = (tell: (device: ScriptedDevice) => void) => {
    const world = makeDriverWorld({ queues: 2 })
    tell(world.device)
    return { world, driver: newDriver(world) }
  }

  it("fails by name when the bit never comes, and a shutdown gives everything back", () => {
    const { driver, world } = setUp(({ registers }) => registers.stuck(offset, mask, bits))
    expect(driver.bringUp()).toEqual({ step, register, waitedPs: polls * everyPs })
    // No descriptor is handed over to a queue that is not on.
    expect(world.device.posted(1)).toHaveLength(step === "link" ? 7 : 0)
    expect(world.device.delayedPs).toBeGreaterThanOrEqual(polls * everyPs)
    world.device.registers.honest(offset)
    expect(driver.shutdown()).toBeUndefined()
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })

  it("waits to the end of its time, and not longer", () => {
    // One read before each poll's wait and one at the end; those before that only modify the register.
    const reads = { RDRXCTL: 0, "RXDCTL[1]": 1, "TXDCTL[1]": 1 }[register as string] ?? 0
    const { driver } = setUp(({ registers }) => registers.late(offset, mask, bits, reads + polls))
    expect(driver.bringUp()).toBeUndefined()
    const late = setUp(({ registers }) => registers.late(offset, mask, bits, reads + polls + 1))
    expect(late.driver.bringUp()).toMatchObject({ step, register })
  })
})

describe.each(SHUTDOWN_POLLS)("shutdown, %s of %s", (step, register, offset, mask, bits, polls, everyPs) => {
  it("says so when the queue stays on, and gives everything back all the same", () => {
    const world = makeDriverWorld({ queues: 2 })
    const driver = world.start()
    world.device.registers.stuck(offset, mask, bits)
    expect(driver.shutdown()).toEqual({ step, register, waitedPs: polls * everyPs })
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })
})

describe("a device that lies", () => {
  it("about a queue that is on gets no frame in, and leaves nothing behind", () => {
    const world = makeDriverWorld()
    world.device.registers.lie(RXDCTL(0), RXDCTL_ENABLE_BIT, RXDCTL_ENABLE_BIT)
    const driver = world.start()
    expect(world.device.deliver(0, frameOf(60))).toBe(false)
    // It never reads as off, either.
    expect(driver.shutdown()).toMatchObject({ register: "RXDCTL[0]" })
    expect(world.leftovers()).toEqual(NOTHING_LEFT)
  })

  it("about a queue that is off is caught in the act", () => {
    const world = makeDriverWorld()
    const driver = world.start()
    const { registers } = world.device
    registers.lie(RXDCTL(0), RXDCTL_ENABLE_BIT, 0)
    expect(driver.shutdown()).toBeUndefined()
    registers.poke(RXCTRL, RXCTRL_RXEN_BIT)
    expect(world.device.deliver(0, frameOf(60))).toBe(false)
    expect(world.device.memory.faults.length).toBeGreaterThan(0)
    expect(world.findings()[0]).toMatchObject({ kind: "accessOutsideMapping", device: "nic0" })
  })
})

describe("memory for the rings", () => {
  const QUEUES = 3
  const sizes = [16 * 16, 24 * 16, 24 * 128]
  const world = () => makeDriverWorld({ queues: QUEUES, rxDescriptors: 16, txDescriptors: 24 })

  it.each(times(3 * QUEUES, (at) => `${at + 1}`))(
    "allocation %s fails: nothing is left, and the size is named",
    (n) => {
      const { leftovers, make, simulation } = bound(world())
      simulation.pages.failAt = Number(n)
      expect(make()).toEqual({ step: "ring memory", sizeBytes: sizes[(Number(n) - 1) % 3] })
      expect(leftovers()).toEqual(NOTHING_LEFT)
    }
  )

  it.each(times(3 * QUEUES, (at) => `${at + 1}`))("map %s is refused: the same", (n) => {
    const { leftovers, make, table } = bound(world())
    table.refuseAt = Number(n)
    expect(make()).toEqual({ step: "ring memory", sizeBytes: sizes[(Number(n) - 1) % 3] })
    expect(leftovers()).toEqual(NOTHING_LEFT)
  })

  const bound = (made: ReturnType<typeof makeDriverWorld>) => ({
    simulation: made.simulation,
    table: made.table,
    make: () => made.make(),
    leftovers: () => made.leftovers()
  })
})
