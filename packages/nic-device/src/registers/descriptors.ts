/**
 * Descriptors: four 32-bit words each, little-endian. `RXD` receive, `TXD` transmit; `_WB` what the device
 * writes back. `_BIT` and `_MASK` are in place, `_SHIFT` the lowest bit. Source: ixgbe_type.h of DPDK.
 */

/** Bytes and words of one descriptor. */
export const DESCRIPTOR_BYTES = 16
export const DESCRIPTOR_WORDS = 4
/** Most queues that this model enables in each direction. */
export const QUEUE_COUNT = 16

// Advanced receive, read format: words 0 and 1 the packet buffer, words 2 and 3 the header buffer.
export const RXD_PACKET_LOW_WORD = 0
export const RXD_PACKET_HIGH_WORD = 1
export const RXD_HEADER_LOW_WORD = 2
export const RXD_HEADER_HIGH_WORD = 3

// Advanced receive, write-back, word 0.
export const RXD_WB_RSS_TYPE_MASK = 0xf
export const RSS_TYPE_NONE = 0
export const RSS_TYPE_TCP_IPV4 = 1
export const RSS_TYPE_IPV4 = 2
export const RSS_TYPE_TCP_IPV6 = 3
export const RSS_TYPE_IPV6_EX = 4
export const RSS_TYPE_IPV6 = 5
export const RSS_TYPE_TCP_IPV6_EX = 6
export const RSS_TYPE_UDP_IPV4 = 7
export const RSS_TYPE_UDP_IPV6 = 8
export const RSS_TYPE_UDP_IPV6_EX = 9
export const RXD_WB_PACKET_IPV4_BIT = 1 << 4
export const RXD_WB_PACKET_IPV4_OPTIONS_BIT = 1 << 5
export const RXD_WB_PACKET_IPV6_BIT = 1 << 6
export const RXD_WB_PACKET_IPV6_EXTENSIONS_BIT = 1 << 7
export const RXD_WB_PACKET_TCP_BIT = 1 << 8
export const RXD_WB_PACKET_UDP_BIT = 1 << 9
export const RXD_WB_PACKET_SCTP_BIT = 1 << 10
export const RXD_WB_HEADER_LENGTH_SHIFT = 21
export const RXD_WB_HEADER_LENGTH_MASK = 0x3ff << 21
export const RXD_WB_SPH_BIT = 1 << 31
// Word 1: RSS hash (RXCSUM.PCSD = 1), else IP identification and fragment checksum.
// Word 2: status and errors.
export const RXD_WB_DD_BIT = 1 << 0
export const RXD_WB_EOP_BIT = 1 << 1
export const RXD_WB_VP_BIT = 1 << 3
export const RXD_WB_UDPCS_BIT = 1 << 4
export const RXD_WB_L4CS_BIT = 1 << 5
export const RXD_WB_IPCS_BIT = 1 << 6
export const RXD_WB_PIF_BIT = 1 << 7
export const RXD_WB_RXE_BIT = 1 << 29
export const RXD_WB_L4E_BIT = 1 << 30
export const RXD_WB_IPE_BIT = 1 << 31
// Word 3: length in the packet buffer, VLAN tag.
export const RXD_WB_LENGTH_MASK = 0xffff
export const RXD_WB_VLAN_SHIFT = 16

// Legacy receive, write-back: words 0 and 1 unchanged.
export const RXD_LEGACY_LENGTH_MASK = 0xffff
export const RXD_LEGACY_DD_BIT = 1 << 0
export const RXD_LEGACY_EOP_BIT = 1 << 1
export const RXD_LEGACY_L4CS_BIT = 1 << 5
export const RXD_LEGACY_IPCS_BIT = 1 << 6

// Transmit data: words 0 and 1 the buffer, word 2 length and command, word 3 status and packet length.
export const TXD_LENGTH_MASK = 0xffff
export const TXD_DTYP_MASK = 0xf << 20
export const TXD_DTYP_CONTEXT = 2 << 20
export const TXD_DTYP_DATA = 3 << 20
export const TXD_EOP_BIT = 1 << 24
export const TXD_IFCS_BIT = 1 << 25
export const TXD_RS_BIT = 1 << 27
export const TXD_DEXT_BIT = 1 << 29
export const TXD_VLE_BIT = 1 << 30
export const TXD_TSE_BIT = 1 << 31
export const TXD_PAYLEN_SHIFT = 14
// Transmit write-back: word 3.
export const TXD_WB_DD_BIT = 1 << 0

/** Descriptors of a transmit queue that the device holds on chip; also the most that one packet may have. */
export const TX_DESCRIPTORS_ON_CHIP = 40
