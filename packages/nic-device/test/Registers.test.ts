import { describe, expect, it } from "vitest"
import * as Registers from "@vnic/nic-device/registers"
import {
  array,
  offsetOf,
  REGISTER_WINDOW_BYTES,
  type RegisterDefinition,
  registerNamed,
  REGISTERS
} from "@vnic/nic-device/registers"

/** Typed again from the public headers, not from the table: name, index, offset. */
const KNOWN: ReadonlyArray<readonly [string, number, number]> = [
  ["CTRL", 0, 0x00000],
  ["STATUS", 0, 0x00008],
  ["CTRL_EXT", 0, 0x00018],
  ["EEC", 0, 0x10010],
  ["EERD", 0, 0x10014],
  ["SWSM", 0, 0x10140],
  ["FWSM", 0, 0x10148],
  ["SW_FW_SYNC", 0, 0x10160],
  ["EICR", 0, 0x00800],
  ["EICS", 0, 0x00808],
  ["EIMS", 0, 0x00880],
  ["EIMC", 0, 0x00888],
  ["EIAC", 0, 0x00810],
  ["EIAM", 0, 0x00890],
  ["EIMS_EX", 1, 0x00aa4],
  ["EIMC_EX", 0, 0x00ab0],
  ["EIAM_EX", 1, 0x00ad4],
  ["EITR", 0, 0x00820],
  ["EITR", 23, 0x0087c],
  ["EITR", 24, 0x12300],
  ["EITR", 63, 0x1239c],
  ["IVAR", 0, 0x00900],
  ["IVAR", 7, 0x0091c],
  ["IVAR_MISC", 0, 0x00a00],
  ["GPIE", 0, 0x00898],
  ["RXCTRL", 0, 0x03000],
  ["FCTRL", 0, 0x05080],
  ["HLREG0", 0, 0x04240],
  ["RDRXCTL", 0, 0x02f00],
  ["MAXFRS", 0, 0x04268],
  ["RXPBSIZE", 1, 0x03c04],
  ["RDBAL", 0, 0x01000],
  ["RDBAH", 1, 0x01044],
  ["RDLEN", 2, 0x01088],
  ["RDH", 3, 0x010d0],
  ["RDT", 15, 0x013d8],
  ["RDT", 64, 0x0d018],
  ["SRRCTL", 5, 0x01154],
  ["RXDCTL", 15, 0x013e8],
  ["RXDCTL", 127, 0x0dfe8],
  ["DCA_RXCTRL", 2, 0x0108c],
  ["RXCSUM", 0, 0x05000],
  ["MRQC", 0, 0x05818],
  ["RSSRK", 9, 0x05ca4],
  ["RETA", 31, 0x05c7c],
  ["RAL", 0, 0x0a200],
  ["RAH", 127, 0x0a5fc],
  ["MTA", 127, 0x053fc],
  ["DMATXCTL", 0, 0x04a80],
  ["RTTDCS", 0, 0x04900],
  ["DTXMXSZRQ", 0, 0x08100],
  ["TXPBSIZE", 0, 0x0cc00],
  ["TDBAL", 0, 0x06000],
  ["TDLEN", 1, 0x06048],
  ["TDH", 15, 0x063d0],
  ["TDT", 127, 0x07fd8],
  ["TXDCTL", 3, 0x060e8],
  ["TDWBAL", 1, 0x06078],
  ["AUTOC", 0, 0x042a0],
  ["LINKS", 0, 0x042a4],
  ["GPRC", 0, 0x04074],
  ["GPTC", 0, 0x04080],
  ["GORCL", 0, 0x04088],
  ["GOTCH", 0, 0x04094],
  ["RXMPC", 0, 0x03fa0],
  ["QPRDC", 15, 0x017f0],
  ["QPRC", 1, 0x01070],
  ["QPTC", 2, 0x08688],
  ["QBTCL", 1, 0x08708],
  ["RQSMR", 3, 0x0230c],
  ["TQSM", 0, 0x08600],
  ["CRCERRS", 0, 0x04000],
  ["ROC", 0, 0x040ac],
  ["BPRC", 0, 0x04078]
]

const addressesOf = (definition: RegisterDefinition): Array<number> => {
  const own = Array.from({ length: definition.count }, (_, index) => offsetOf(definition, index))
  const { mirror } = definition
  if (mirror === undefined) return own
  return [...own, ...Array.from({ length: mirror.count }, (_, index) => mirror.offset + index * mirror.stride)]
}

describe("the register table", () => {
  it("has every name once, and no two registers at one address", () => {
    expect(new Set(REGISTERS.map(({ name }) => name)).size).toBe(REGISTERS.length)
    const addresses = REGISTERS.flatMap(addressesOf)
    expect(new Set(addresses).size).toBe(addresses.length)
  })

  it("keeps every register aligned and inside the window", () => {
    for (const offset of REGISTERS.flatMap(addressesOf)) {
      expect(offset % 4).toBe(0)
      expect(offset).toBeLessThan(REGISTER_WINDOW_BYTES)
      expect(offset).toBeGreaterThanOrEqual(0)
    }
  })

  it("agrees with offsets that were typed independently", () => {
    for (const [name, index, offset] of KNOWN) {
      expect([name, index, offsetOf(registerNamed(name), index)]).toEqual([name, index, offset])
      expect([name, array(name)(index)]).toEqual([name, offset])
    }
  })

  it("says what every register is and where it was read, and its fields do not overlap", () => {
    for (const { about, fields, name, source } of REGISTERS) {
      expect([name, about.length > 0, source.length > 0]).toEqual([name, true, true])
      let seen = 0
      for (const field of fields) {
        expect(field.shift + field.bits).toBeLessThanOrEqual(32)
        const mask = field.bits === 32 ? -1 : ((1 << field.bits) - 1) << field.shift
        expect([name, field.name, seen & mask]).toEqual([name, field.name, 0])
        seen |= mask
      }
    }
  })

  it("exports offsets and fields that are the table's", () => {
    for (const [exported, value] of Object.entries(Registers)) {
      const definition = REGISTERS.find(({ name }) => name === exported)
      if (definition === undefined) continue
      const first = typeof value === "function" ? (value as (index: number) => number)(0) : value
      expect([exported, first]).toEqual([exported, definition.offset])
    }
  })

  it("agrees with bits that were typed independently", () => {
    expect(Registers.CTRL_RST_BIT).toBe(0x04000000)
    expect(Registers.RXDCTL_ENABLE_BIT).toBe(0x02000000)
    expect(Registers.TXDCTL_ENABLE_BIT).toBe(0x02000000)
    expect(Registers.SRRCTL_DROP_EN_BIT).toBe(0x10000000)
    expect(Registers.SRRCTL_DESCTYPE_MASK).toBe(0x0e000000)
    expect(Registers.SRRCTL_BSIZEPACKET_MASK).toBe(0x1f)
    expect(Registers.SRRCTL_BSIZEHEADER_MASK).toBe(0x3f00)
    expect(Registers.FCTRL_BAM_BIT).toBe(0x400)
    expect(Registers.FCTRL_UPE_BIT).toBe(0x200)
    expect(Registers.RDRXCTL_DMAIDONE_BIT).toBe(8)
    expect(Registers.EEC_AUTO_RD_BIT).toBe(0x200)
    expect(Registers.LINKS_UP_BIT).toBe(0x40000000)
    expect(Registers.GPIE_MSIX_MODE_BIT).toBe(0x10)
    expect(Registers.GPIE_EIAME_BIT).toBe(0x40000000)
    expect(Registers.EITR_INTERVAL_MASK).toBe(0xff8)
    expect(Registers.EICR_RX_MISS_BIT).toBe(0x20000)
    expect(Registers.EICR_PCI_BIT).toBe(0x40000)
    expect(Registers.EICR_LSC_BIT).toBe(0x100000)
    expect(Registers.MRQC_TCP_IPV4_BIT).toBe(0x10000)
    expect(Registers.RXCSUM_PCSD_BIT).toBe(0x2000)
    expect(Registers.AUTOC_AN_RESTART_BIT).toBe(0x1000)
  })
})
