import { bank, bit, bits, describing, type RegisterDefinition } from "./register.ts"

const register = describing("general", "RW", "ixgbe_type.h of DPDK; reset values of the Vigor model")

/** General control, EEPROM, semaphores, PCIe. */
export const GENERAL_REGISTERS: ReadonlyArray<RegisterDefinition> = [
  register("CTRL", 0x00000, "Device control", {
    mirror: bank(0x00004, 4, 1),
    fields: [
      bit("MASTER_DISABLE", 2, "no new requests on the bus; STATUS shows when the pending ones are done"),
      bit("LRST", 3, "link reset: as RST, for the link and the queues", "SC"),
      bit("RST", 26, "reset: queues off, registers to their reset values", "SC")
    ]
  }),
  register("STATUS", 0x00008, "Device status", {
    access: "RO",
    fields: [
      bits("LAN_ID", 2, 2, "port of the device"),
      bit("LINK_UP", 7, "the link is up"),
      bit("MASTER_ENABLE", 19, "requests on the bus may be pending")
    ]
  }),
  register("CTRL_EXT", 0x00018, "Extended device control", {
    fields: [
      bit("PFRSTD", 14, "reset done, for virtual functions"),
      bit("NS_DIS", 16, "no snoop disabled"),
      bit("RO_DIS", 17, "relaxed ordering disabled"),
      bit("DRV_LOAD", 28, "a driver has the device")
    ]
  }),
  register("ESDP", 0x00020, "Software definable pins", { reset: 0x4 }),
  register("I2CCTL", 0x00028, "Pins of the two-wire bus to the optical module", { reset: 0xf }),
  register("LEDCTL", 0x00200, "Lights", { reset: 0x05040100 }),
  register("TCPTIMER", 0x0004c, "Timer that raises EICR.TCP_TIMER; storage only"),
  register("EEC", 0x10010, "EEPROM control", {
    access: "RO",
    reset: 0x1730,
    fields: [
      bit("EE_PRES", 8, "an EEPROM is present"),
      bit("AUTO_RD", 9, "the EEPROM has been read after reset"),
      bits("EE_SIZE", 11, 4, "words = 2^(size + 6)")
    ]
  }),
  register("EERD", 0x10014, "EEPROM read: a write with START reads one word", {
    fields: [
      bit("START", 0, "begin"),
      bit("DONE", 1, "DATA is valid", "RO"),
      bits("ADDRESS", 2, 14, "word address"),
      bits("DATA", 16, 16, "the word")
    ]
  }),
  register("SWSM", 0x10140, "Software semaphore", {
    fields: [
      bit("SMBI", 0, "reads 0 once, and is set by that read"),
      bit("SWESMBI", 1, "reads 1 when a written 1 was granted")
    ]
  }),
  register("FWSM", 0x10148, "Firmware semaphore", {
    access: "RO",
    reset: 0x8040,
    fields: [bit("FW_VALID", 15, "firmware runs"), bits("EXT_ERR", 19, 6, "0: the EEPROM was good")]
  }),
  register("FACTPS", 0x10150, "Function power state", { reset: 0x4 }),
  register("SW_FW_SYNC", 0x10160, "Semaphores between software and firmware"),
  register("GCR", 0x11000, "PCIe control", {
    fields: [bits("TIMEOUT", 12, 4, "completion time-out"), bit("RESEND", 16, "resend after a completion time-out")]
  }),
  register("GCR_EXT", 0x11050, "Extended PCIe control", {
    fields: [bit("BUFFERS_CLEAR", 30, "empty the buffers"), bit("MSIX_EN", 31, "MSI-X of virtual functions")]
  })
]
