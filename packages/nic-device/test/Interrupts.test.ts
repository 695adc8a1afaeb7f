import { describe, expect, it } from "vitest"
import {
  AUTOC,
  AUTOC_AN_RESTART_BIT,
  EIAC,
  EIAM,
  EIAM_EX,
  EICR,
  EICR_LSC_BIT,
  EICR_OTHER_BIT,
  EICR_TCP_TIMER_BIT,
  EICS,
  EICS_EX,
  EIMC,
  EIMC_EX,
  EIMS,
  EIMS_EX,
  EITR,
  EITR_CNT_WDIS_BIT,
  EITR_STEP_PS,
  GPIE,
  GPIE_EIAME_BIT,
  GPIE_MSIX_MODE_BIT,
  GPIE_OCD_BIT,
  IVAR,
  IVAR_MISC
} from "@vnic/nic-device/registers"
import { LINK_UP_PS } from "@vnic/nic-device/core"
import { bringUp, makeDeviceBench } from "@vnic/nic-device/testing"
import { plainFrame } from "./support/packets.ts"
import { startRing } from "./support/ring.ts"

const VECTOR = 3

/** A device whose queue 0 raises vector 3. */
function interrupting() {
  const bench = makeDeviceBench()
  bringUp(bench)
  const { device } = bench
  const ring = startRing(bench, { descriptors: 64 })
  ring.post(63)
  bench.driver.setVectors(0, VECTOR, VECTOR + 1)
  bench.run(1e7)
  device.readRegister(EICR)
  const write = (offset: number, value: number): void => device.writeRegister(offset, value)
  const receive = (): void => {
    device.frameArrived(bench.frame(plainFrame(60)))
    bench.run(1e6)
  }
  return { bench, device, write, receive, vectors: bench.interrupts.vectors }
}

describe("a queue's cause", () => {
  it("sets its vector's bit, and fires only when that is unmasked", () => {
    const { device, receive, vectors, write } = interrupting()
    receive()
    expect(vectors).toEqual([])
    expect(device.readRegister(EICR)).toBe(1 << VECTOR)
    expect(device.readRegister(EICR)).toBe(0)
    write(EIMS, 1 << VECTOR)
    expect(vectors).toEqual([])
    receive()
    expect(vectors).toEqual([VECTOR])
  })

  it("that came while masked fires at the unmasking", () => {
    const { receive, vectors, write } = interrupting()
    receive()
    write(EIMS, 1 << VECTOR)
    expect(vectors).toEqual([VECTOR])
  })

  it("fires again at the next frame, cleared or not", () => {
    const { receive, vectors, write } = interrupting()
    write(EIMS, 1 << VECTOR)
    receive()
    receive()
    write(EIAC, 1 << VECTOR)
    receive()
    expect(vectors).toEqual([VECTOR, VECTOR, VECTOR])
  })

  it("clears itself with EIAC, masks itself with EIAM under EIAME", () => {
    const { device, receive, vectors, write } = interrupting()
    write(EIAC, 0xffff)
    write(EIAM, 0xffff)
    write(GPIE, GPIE_MSIX_MODE_BIT | GPIE_EIAME_BIT)
    write(EIMS, 0xffff)
    receive()
    expect(device.readRegister(EICR)).toBe(0)
    expect(device.readRegister(EIMS)).toBe(0xffff & ~(1 << VECTOR))
    receive()
    expect(vectors).toEqual([VECTOR])
    expect(device.readRegister(EICS)).toBe(1 << VECTOR)
    write(EIMS, 1 << VECTOR)
    expect(vectors).toEqual([VECTOR, VECTOR])
  })

  it("without an IVAR entry raises nothing", () => {
    const { device, receive, write } = interrupting()
    write(IVAR(0), 0)
    receive()
    expect(device.readRegister(EICR)).toBe(0)
  })

  it("is cleared by written ones alone with GPIE.OCD", () => {
    const { device, receive, write } = interrupting()
    write(GPIE, GPIE_MSIX_MODE_BIT | GPIE_OCD_BIT)
    receive()
    expect([device.readRegister(EICR), device.readRegister(EICR)]).toEqual([1 << VECTOR, 1 << VECTOR])
    write(EICR, 1 << VECTOR)
    expect(device.readRegister(EICR)).toBe(0)
  })
})

describe("masks", () => {
  it("are one through EIMS and EIMS_EX(0), and separate above bit 15", () => {
    const { device, write } = interrupting()
    write(EIMS_EX(0), 0x5 | (1 << 20))
    write(EIMS_EX(1), 0x80000001)
    expect(device.readRegister(EIMS)).toBe(5)
    write(EIMC, 1)
    expect(device.readRegister(EIMS_EX(0))).toBe(4 | (1 << 20))
    write(EIMC_EX(1), 1)
    expect(device.readRegister(EIMS_EX(1))).toBe(0x80000000 | 0)
    write(EIMS, EICR_LSC_BIT)
    expect(device.readRegister(EIMS)).toBe(4 | EICR_LSC_BIT)
    expect(device.readRegister(EIMS_EX(0))).toBe(4 | (1 << 20))
    write(EIAM_EX(0), 0x30007)
    expect(device.readRegister(EIAM)).toBe(7)
    write(EIMC, -1)
    expect(device.readRegister(EIMS)).toBe(0)
  })
})

describe("vectors above 15", () => {
  it("fire and clear themselves, and are not in EICR", () => {
    const { bench, device, receive, vectors, write } = interrupting()
    bench.driver.setVectors(0, 40, 41)
    write(EIMS_EX(1), 1 << 8)
    receive()
    write(EICS_EX(1), 1 << 8)
    expect(vectors).toEqual([40, 40])
    expect(device.readRegister(EICR)).toBe(0)
  })
})

describe("the throttle", () => {
  it("lets the first message out at once and the next when the interval is over", () => {
    const { bench, vectors, write } = interrupting()
    const intervalPs = 8 * EITR_STEP_PS
    write(EITR(VECTOR), 8 << 3)
    write(EIAC, 0xffff)
    write(EIMS, 1 << VECTOR)
    const startPs = bench.timeline.nowPs
    for (let count = 0; count < 10; count++) {
      write(EICS, 1 << VECTOR)
      bench.run(intervalPs / 4)
    }
    expect(bench.interrupts.atPs.map((atPs) => atPs - startPs)).toEqual([0, intervalPs, 2 * intervalPs])
    expect(vectors).toEqual([VECTOR, VECTOR, VECTOR])
  })

  it("holds an unmasking back too, and forgets what was masked or cleared meanwhile", () => {
    const { bench, device, vectors, write } = interrupting()
    const intervalPs = 4 * EITR_STEP_PS
    write(EITR(VECTOR), 4 << 3)
    write(EIMS, 1 << VECTOR)
    write(EICS, 1 << VECTOR)
    write(EICS, 1 << VECTOR)
    write(EIMC, 1 << VECTOR)
    bench.run(intervalPs)
    expect(vectors.length).toBe(1)
    write(EIMS, 1 << VECTOR)
    expect(vectors.length).toBe(2)
    write(EICS, 1 << VECTOR)
    device.readRegister(EICR)
    bench.run(intervalPs)
    expect(vectors.length).toBe(2)
  })

  it("starts anew when EITR is written, unless CNT_WDIS asks to leave it alone", () => {
    const { bench, vectors, write } = interrupting()
    write(EITR(VECTOR), 100 << 3)
    write(EIMS, 1 << VECTOR)
    write(EICS, 1 << VECTOR)
    write(EICS, 1 << VECTOR)
    write(EITR(VECTOR), (1 << 3) | EITR_CNT_WDIS_BIT)
    bench.run(EITR_STEP_PS)
    expect(vectors.length).toBe(1)
    write(EITR(VECTOR), 1 << 3)
    expect(vectors.length).toBe(2)
  })
})

describe("other causes", () => {
  const restart = (write: (offset: number, value: number) => void): void => write(AUTOC, AUTOC_AN_RESTART_BIT)

  it("go to the vector of IVAR_MISC", () => {
    const { bench, device, vectors, write } = interrupting()
    write(IVAR_MISC, (9 | 0x80) << 8)
    write(EIMS, EICR_LSC_BIT)
    restart(write)
    expect(vectors).toEqual([9])
    bench.run(LINK_UP_PS)
    expect(vectors).toEqual([9, 9])
    expect(device.readRegister(EICR) & EICR_LSC_BIT).not.toBe(0)
    expect(device.readRegister(EICR)).toBe(0)
  })

  it("clear and mask themselves by EIAC and EIAM", () => {
    const { device, vectors, write } = interrupting()
    write(IVAR_MISC, (9 | 0x80) << 8)
    write(GPIE, GPIE_MSIX_MODE_BIT | GPIE_EIAME_BIT)
    write(EIAC, EICR_LSC_BIT)
    write(EIAM, EICR_LSC_BIT)
    write(EIMS, EICR_LSC_BIT)
    restart(write)
    expect(vectors).toEqual([9])
    expect(device.readRegister(EICR)).toBe(0)
    expect(device.readRegister(EIMS)).toBe(0)
  })
})

describe("EICR.OTHER", () => {
  it("says that a cause above the queues' is set and not masked, and cannot be set, masked or cleared itself", () => {
    const { device, receive, write } = interrupting()
    write(GPIE, GPIE_OCD_BIT)
    receive()
    write(EICS, EICR_LSC_BIT | EICR_TCP_TIMER_BIT)
    const set = (1 << VECTOR) | EICR_LSC_BIT | EICR_TCP_TIMER_BIT
    expect(device.readRegister(EICR)).toBe(set)
    write(EIMS, EICR_TCP_TIMER_BIT | EICR_OTHER_BIT)
    expect([device.readRegister(EICR), device.readRegister(EIMS)]).toEqual([set, EICR_TCP_TIMER_BIT])
    write(EIMS, EICR_LSC_BIT)
    write(EICR, EICR_OTHER_BIT)
    expect(device.readRegister(EICR)).toBe(set | EICR_OTHER_BIT)
    write(EICR, EICR_LSC_BIT)
    write(EICS, EICR_OTHER_BIT)
    expect(device.readRegister(EICR)).toBe((1 << VECTOR) | EICR_TCP_TIMER_BIT)
  })
})

describe("causes that software sets", () => {
  it("are unmasked by EIAM, and fire once", () => {
    const { device, vectors, write } = interrupting()
    write(IVAR_MISC, (9 | 0x80) << 8)
    write(EIAM, (1 << VECTOR) | EICR_LSC_BIT)
    write(EICS, (1 << VECTOR) | (1 << (VECTOR + 1)) | EICR_LSC_BIT)
    expect(device.readRegister(EIMS)).toBe((1 << VECTOR) | EICR_LSC_BIT)
    expect(vectors).toEqual([VECTOR, 9])
    write(EIAM_EX(1), 1 << 8)
    write(EICS_EX(1), 1 << 8)
    expect(device.readRegister(EIMS_EX(1))).toBe(1 << 8)
    expect(vectors).toEqual([VECTOR, 9, 40])
  })

  it("mask themselves by EIAM under EIAME, where they were not masked", () => {
    const { device, vectors, write } = interrupting()
    write(GPIE, GPIE_MSIX_MODE_BIT | GPIE_EIAME_BIT)
    write(EIAM, 1 << VECTOR)
    write(EIMS, 1 << VECTOR)
    write(EICS, 1 << VECTOR)
    expect(device.readRegister(EIMS)).toBe(0)
    expect(vectors).toEqual([VECTOR])
  })
})

describe("without MSI-X", () => {
  it("every cause fires vector 0, and a read of EICR masks by EIAM", () => {
    const { device, receive, vectors, write } = interrupting()
    write(GPIE, 0)
    write(EIAM, 0xffff)
    write(EIMS, 0xffff | EICR_LSC_BIT)
    receive()
    expect(vectors).toEqual([0])
    expect(device.readRegister(EICR)).toBe(1 << VECTOR)
    expect(device.readRegister(EIMS)).toBe(EICR_LSC_BIT)
    write(AUTOC, AUTOC_AN_RESTART_BIT)
    expect(vectors).toEqual([0, 0])
  })
})
