import { bit, bits, describing, type RegisterDefinition } from "./register.ts"

const register = describing("transmit", "RW", "ixgbe_type.h of DPDK; reset values of the Vigor model")

const queues = { count: 128, stride: 0x40 }

/** Transmit rings and the transmit path's global registers. */
export const TRANSMIT_REGISTERS: ReadonlyArray<RegisterDefinition> = [
  register("TDBAL", 0x06000, "Bus address of a transmit ring, low half", { ...queues, writable: 0xffffff80 }),
  register("TDBAH", 0x06004, "Bus address of a transmit ring, high half", queues),
  register("TDLEN", 0x06008, "Length of a transmit ring in bytes, a multiple of 128", {
    ...queues,
    writable: 0x000fff80
  }),
  register("DCA_TXCTRL", 0x0600c, "Direct cache access of a transmit queue; storage only", {
    ...queues,
    reset: 0x2a00
  }),
  register("TDH", 0x06010, "Head of a transmit ring: the next descriptor to be done", { ...queues, writable: 0xffff }),
  register("TDT", 0x06018, "Tail of a transmit ring: one past the last valid descriptor", {
    ...queues,
    writable: 0xffff
  }),
  register("TXDCTL", 0x06028, "Transmit descriptor control of a queue", {
    ...queues,
    fields: [
      bits("PTHRESH", 0, 7, "prefetch when fewer are on chip; storage only"),
      bits("HTHRESH", 8, 7, "and at least so many are in the ring; storage only"),
      bits("WTHRESH", 16, 7, "write back so many at once; 0: each that asks for it"),
      bit("ENABLE", 25, "on; reads the actual state"),
      bit("SWFLSH", 26, "write back what is pending", "SC")
    ]
  }),
  register("TDWBAL", 0x06038, "Bus address for head write-back, low half", {
    ...queues,
    fields: [bit("HEAD_WB_EN", 0, "write the head there in place of descriptors")]
  }),
  register("TDWBAH", 0x0603c, "Bus address for head write-back, high half", queues),
  register("RTTDCS", 0x04900, "Transmit arbitration", {
    reset: 0x00c00000,
    fields: [bit("ARBDIS", 6, "arbiter off while sizes change")]
  }),
  register("TXPBTHRESH", 0x04950, "Threshold of a transmit packet buffer in KiB; storage only", {
    count: 8,
    resetOfFirst: 0x96
  }),
  register("DMATXCTL", 0x04a80, "Transmit DMA control", {
    reset: 0x81000004,
    fields: [bit("TE", 0, "transmit on"), bit("GDV", 3, "double VLAN; storage only")]
  }),
  register("DTXTCPFLGL", 0x04a88, "TCP flags of segments, first and middle; storage only"),
  register("DTXTCPFLGH", 0x04a8c, "TCP flags of segments, last; storage only"),
  register("DTXMXSZRQ", 0x08100, "Transmit data reads under way at most", {
    reset: 0x10,
    writable: 0xfff,
    fields: [bits("MAX_BYTES_NUM_REQ", 0, 12, "in 256 bytes")]
  }),
  register("MTQC", 0x08120, "Multiple transmit queues; storage only"),
  register("TQSM", 0x08600, "Statistics sets of four transmit queues, one a byte", {
    count: 32,
    writable: 0x0f0f0f0f
  }),
  register("SECTXCTRL", 0x08800, "Transmit security control; storage only"),
  register("SECTXSTAT", 0x08804, "Transmit security status", {
    access: "RO",
    reset: 1,
    fields: [bit("RDY", 0, "the transmit path is idle")]
  }),
  register("TXPBSIZE", 0x0cc00, "Size of a transmit packet buffer", {
    count: 8,
    resetOfFirst: 0x28000,
    writable: 0x000ffc00,
    fields: [bits("SIZE", 10, 10, "KiB")]
  })
]
