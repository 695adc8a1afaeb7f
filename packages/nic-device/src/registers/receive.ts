import { bank, bit, bits, describing, type RegisterDefinition } from "./register.ts"

const register = describing("receive", "RW", "ixgbe_type.h of DPDK; reset values of the Vigor model")

const QUEUES = 128
/** Receive queues from 64 on sit in a second bank. */
const receiveQueues = (offset: number) => ({
  count: QUEUES,
  stride: 0x40,
  further: bank(0x0c000 + offset, 0x40, 64, 64)
})

const RINGS: ReadonlyArray<RegisterDefinition> = [
  register("RDBAL", 0x01000, "Bus address of a receive ring, low half", {
    ...receiveQueues(0x01000),
    writable: 0xffffff80
  }),
  register("RDBAH", 0x01004, "Bus address of a receive ring, high half", receiveQueues(0x01004)),
  register("RDLEN", 0x01008, "Length of a receive ring in bytes, a multiple of 128", {
    ...receiveQueues(0x01008),
    writable: 0x000fff80
  }),
  register("DCA_RXCTRL", 0x0100c, "Direct cache access of a receive queue; storage only", {
    ...receiveQueues(0x0100c),
    mirror: bank(0x02200, 4, 16),
    reset: 0xb200
  }),
  register("RDH", 0x01010, "Head of a receive ring: the next descriptor to be written back", {
    ...receiveQueues(0x01010),
    writable: 0xffff
  }),
  register("SRRCTL", 0x01014, "Split and replication receive control of a queue", {
    ...receiveQueues(0x01014),
    mirror: bank(0x02100, 4, 16),
    reset: 0x402,
    fields: [
      bits("BSIZEPACKET", 0, 5, "size of the packet buffers in KiB"),
      bits("BSIZEHEADER", 8, 6, "size of the header buffers in 64 bytes"),
      bits("RDMTS", 22, 3, "threshold of free descriptors for an interrupt; storage only"),
      bits("DESCTYPE", 25, 3, "0 legacy, 1 advanced with one buffer, 5 advanced with split always"),
      bit("DROP_EN", 28, "drop frames for which there is no descriptor, rather than keep them waiting")
    ]
  }),
  register("RDT", 0x01018, "Tail of a receive ring: one past the last descriptor the device may use", {
    ...receiveQueues(0x01018),
    writable: 0xffff
  }),
  register("RXDCTL", 0x01028, "Receive descriptor control of a queue", {
    ...receiveQueues(0x01028),
    fields: [
      bit("ENABLE", 25, "on; reads the actual state"),
      bit("SWFLSH", 26, "write back what is pending", "SC"),
      bit("VME", 30, "strip VLAN tags; storage only")
    ]
  }),
  register("RSCCTL", 0x0102c, "Receive side coalescing of a queue; storage only", receiveQueues(0x0102c))
]

const FILTERS: ReadonlyArray<RegisterDefinition> = [
  register("RXCSUM", 0x05000, "Receive checksum control", {
    fields: [
      bit("IPPCSE", 12, "checksum of fragments; storage only"),
      bit("PCSD", 13, "the write-back carries the RSS hash in place of IP identification and checksum")
    ]
  }),
  register("RFCTL", 0x05008, "Receive filter control; storage only"),
  register("FCTRL", 0x05080, "Filter control", {
    fields: [
      bit("SBP", 1, "store bad packets; storage only"),
      bit("MPE", 8, "accept all multicast"),
      bit("UPE", 9, "accept all unicast"),
      bit("BAM", 10, "accept broadcast")
    ]
  }),
  register("VLNCTRL", 0x05088, "VLAN control; storage only", { reset: 0x8100 }),
  register("MCSTCTRL", 0x05090, "Multicast control", {
    fields: [bits("MO", 0, 2, "which 12 bits of the address index MTA"), bit("MFE", 2, "use MTA")]
  }),
  register("ETQF", 0x05128, "EtherType queue filter; storage only", { count: 8 }),
  register("MTA", 0x05200, "Multicast table: 4096 bits", { count: 128 }),
  register("RETA", 0x05c00, "Redirection table: four entries of 4 bits, one a byte", {
    count: 32,
    mirror: bank(0x0eb00, 4, 32),
    writable: 0x0f0f0f0f
  }),
  register("RSSRK", 0x05c80, "RSS key, 40 bytes, the first in the lowest byte", {
    count: 10,
    mirror: bank(0x0eb80, 4, 10)
  }),
  register("MRQC", 0x05818, "Multiple receive queues", {
    mirror: bank(0x0ec80, 4, 1),
    fields: [
      bits("MRQE", 0, 4, "0 off, 1 RSS"),
      bit("TCP_IPV4", 16, "hash addresses and ports of TCP on IPv4"),
      bit("IPV4", 17, "hash addresses of IPv4"),
      bit("TCP_IPV6_EX", 18, "hash TCP on IPv6 with extension headers"),
      bit("IPV6_EX", 19, "hash IPv6 with extension headers"),
      bit("IPV6", 20, "hash addresses of IPv6"),
      bit("TCP_IPV6", 21, "hash addresses and ports of TCP on IPv6"),
      bit("UDP_IPV4", 22, "hash addresses and ports of UDP on IPv4"),
      bit("UDP_IPV6", 23, "hash addresses and ports of UDP on IPv6"),
      bit("UDP_IPV6_EX", 24, "hash UDP on IPv6 with extension headers")
    ]
  }),
  register("VFTA", 0x0a000, "VLAN filter table; storage only", { count: 128 }),
  register("RAL", 0x0a200, "Receive address, low four bytes, the first in the lowest byte", {
    stride: 8,
    count: 128,
    mirror: bank(0x05400, 8, 16)
  }),
  register("RAH", 0x0a204, "Receive address, high two bytes", {
    stride: 8,
    count: 128,
    mirror: bank(0x05404, 8, 16),
    writable: 0x8000ffff,
    fields: [bits("ADDRESS", 0, 16, "bytes 4 and 5"), bit("AV", 31, "the address is valid")]
  }),
  register("MPSAR", 0x0a600, "Pools of a receive address; storage only", { count: 256 }),
  register("PSRTYPE", 0x0ea00, "Headers that a split looks for; only 0 is modelled", {
    count: 64,
    mirror: bank(0x05480, 4, 16)
  }),
  register("FTQF", 0x0e600, "Five-tuple queue filter; storage only", { count: 128 }),
  register("PFVLVF", 0x0f100, "VLAN of a pool; storage only", { count: 64 }),
  register("PFVLVFB", 0x0f200, "Pools of a VLAN; storage only", { count: 128 }),
  register("PFUTA", 0x0f400, "Unicast table; storage only", { count: 128 })
]

const GLOBAL: ReadonlyArray<RegisterDefinition> = [
  register("RXCTRL", 0x03000, "Receive control", { fields: [bit("RXEN", 0, "receiver on")] }),
  register("RTRUP2TC", 0x03020, "Traffic class of a user priority; storage only"),
  register("RSCDBU", 0x03028, "Receive side coalescing, data buffer unit; storage only"),
  register("RDRXCTL", 0x02f00, "Receive DMA control", {
    reset: 0x00108808,
    // DMAIDONE is the device's.
    writable: 0xfffffff7,
    fields: [
      bit("CRCSTRIP", 1, "strip the FCS; must equal HLREG0.RXCRCSTRP"),
      bit("DMAIDONE", 3, "the DMA engines are initialised", "RO"),
      bits("RSCFRSTSIZE", 17, 5, "write 0"),
      bit("RSCACKC", 25, "write 1"),
      bit("FCOE_WRFIX", 26, "write 1")
    ]
  }),
  register("PFQDE", 0x02f04, "Queue drop enable of a pool; storage only"),
  register("RXPBSIZE", 0x03c00, "Size of a receive packet buffer", {
    count: 8,
    resetOfFirst: 0x80000,
    writable: 0x000ffc00,
    fields: [bits("SIZE", 10, 10, "KiB")]
  }),
  register("HLREG0", 0x04240, "MAC control", {
    reset: 0x08012c0b,
    fields: [
      bit("TXCRCEN", 0, "append the FCS"),
      bit("RXCRCSTRP", 1, "strip the FCS"),
      bit("JUMBOEN", 2, "frames up to MAXFRS rather than 1518 bytes"),
      bit("TXPADEN", 10, "pad short frames"),
      bit("LPBK", 15, "loop back; storage only")
    ]
  }),
  register("MAXFRS", 0x04268, "Longest frame with FCS, when HLREG0.JUMBOEN is set", {
    reset: 0x05ee0000,
    source: "Snabb; the reset value is a choice",
    fields: [bits("MFS", 16, 16, "bytes")]
  }),
  register("SECRXCTRL", 0x08d00, "Receive security control", {
    reset: 1,
    fields: [bit("RX_DIS", 1, "pause the receive path while it is set up")]
  }),
  register("SECRXSTAT", 0x08d04, "Receive security status", {
    access: "RO",
    reset: 1,
    fields: [bit("RDY", 0, "the receive path is idle")]
  }),
  register("RQSMR", 0x02300, "Statistics sets of four receive queues, one a byte", { count: 32, writable: 0x0f0f0f0f })
]

/** Rings, filters, RSS and the receive path's global registers. */
export const RECEIVE_REGISTERS: ReadonlyArray<RegisterDefinition> = [...RINGS, ...FILTERS, ...GLOBAL]
