import { bank, bit, bits, describing, type RegisterDefinition, type RegisterField } from "./register.ts"

const register = describing("interrupt", "RW", "ixgbe_type.h of DPDK; access modes of Snabb")

const CAUSES: ReadonlyArray<RegisterField> = [
  bits("RTXQ", 0, 16, "causes of the queues, by way of IVAR"),
  bit("FLOW_DIR", 16, "flow director"),
  bit("RX_MISS", 17, "a frame was missed because a packet buffer was full"),
  bit("PCI", 18, "PCI exception: a bus access of the device failed"),
  bit("MAILBOX", 19, "mailbox of a virtual function"),
  bit("LSC", 20, "the link came up or went down"),
  bit("TCP_TIMER", 30, "TCP timer")
]
/** Of EICR alone; nobody sets, masks or clears it. */
const OTHER = bit("OTHER", 31, "one of bits 29:16 is set and not masked; read only")

/** Causes, masks, moderation and vectors. */
export const INTERRUPT_REGISTERS: ReadonlyArray<RegisterDefinition> = [
  register("EICR", 0x00800, "Interrupt causes; a read clears (unless GPIE.OCD), a written 1 clears too", {
    access: "RC",
    fields: [...CAUSES, OTHER]
  }),
  register("EICS", 0x00808, "Sets causes", { access: "W1S", fields: CAUSES }),
  register("EIAC", 0x00810, "Causes that clear themselves when their vector fires", { fields: CAUSES }),
  register("EITR", 0x00820, "Throttle of a vector", {
    count: 129,
    // The first 24 sit in the chip's old place, the others in a bank of their own.
    further: bank(0x12300, 4, 105, 24),
    fields: [
      bits("INTERVAL", 3, 9, "least time between two interrupts, in 2.048 us"),
      bit("LLI_MOD", 15, "moderate low-latency interrupts too"),
      bit("CNT_WDIS", 31, "this write leaves the running interval alone")
    ]
  }),
  register("EIMS", 0x00880, "Interrupt mask: a written 1 enables", { access: "W1S", fields: CAUSES }),
  register("EIMC", 0x00888, "Interrupt mask: a written 1 disables", { access: "W1C", fields: CAUSES }),
  register("EIAM", 0x00890, "Causes that mask themselves when their vector fires, and unmask when EICS sets them", {
    fields: CAUSES
  }),
  register("EITRSEL", 0x00894, "Choice of throttles for virtual functions; storage only"),
  register("GPIE", 0x00898, "General purpose interrupt enable", {
    fields: [
      bit("MSIX_MODE", 4, "one message for each vector; else all causes share vector 0"),
      bit("OCD", 5, "other clear disable: EICR clears by written ones only"),
      bit("EIMEN", 6, "EICS sets causes at once"),
      bit("EIAME", 30, "auto-mask by EIAM applies to MSI-X"),
      bit("PBA_SUPPORT", 31, "pending bits of MSI-X")
    ]
  }),
  register("IVAR", 0x00900, "Vectors of two queues: bytes RX 2n, TX 2n, RX 2n+1, TX 2n+1", {
    count: 64,
    fields: [
      bits("INT_ALLOC_0", 0, 6, "vector of RX queue 2n"),
      bit("INT_ALLOC_VAL_0", 7, "that byte is valid"),
      bits("INT_ALLOC_1", 8, 6, "vector of TX queue 2n"),
      bit("INT_ALLOC_VAL_1", 15, "that byte is valid"),
      bits("INT_ALLOC_2", 16, 6, "vector of RX queue 2n + 1"),
      bit("INT_ALLOC_VAL_2", 23, "that byte is valid"),
      bits("INT_ALLOC_3", 24, 6, "vector of TX queue 2n + 1"),
      bit("INT_ALLOC_VAL_3", 31, "that byte is valid")
    ]
  }),
  register("IVAR_MISC", 0x00a00, "Vectors of the other causes", {
    fields: [
      bits("INT_ALLOC_0", 0, 7, "vector of the TCP timer"),
      bit("INT_ALLOC_VAL_0", 7, "that byte is valid"),
      bits("INT_ALLOC_1", 8, 7, "vector of all other causes"),
      bit("INT_ALLOC_VAL_1", 15, "that byte is valid")
    ]
  }),
  register("EICS_EX", 0x00a90, "Sets causes of 32 vectors", { count: 2, access: "W1S" }),
  register("EIMS_EX", 0x00aa0, "Mask of 32 vectors: a written 1 enables; bits 15:0 of the first are EIMS's", {
    count: 2,
    access: "W1S"
  }),
  register("EIMC_EX", 0x00ab0, "Mask of 32 vectors: a written 1 disables", { count: 2, access: "W1C" }),
  register("EIAM_EX", 0x00ad0, "Auto-mask of 32 vectors; bits 15:0 of the first are EIAM's", { count: 2 })
]
