import { bank, describing, type RegisterDefinition } from "./register.ts"

const register = describing("statistics", "RC", "ixgbe_type.h of DPDK; access modes of Snabb")

/**
 * Counters. A read returns and clears.
 * MODEL: 32-bit counters wrap. Of a pair the read of the low half clears the low 32 bits, the read of the
 * high half clears both: what the chip does is not public.
 */
export const STATISTICS_REGISTERS: ReadonlyArray<RegisterDefinition> = [
  register("CRCERRS", 0x04000, "frames with a wrong FCS"),
  register("ILLERRC", 0x04004, "illegal symbols"),
  register("ERRBC", 0x04008, "error bytes"),
  register("MSPDC", 0x04010, "MAC short packets"),
  register("MLFC", 0x04034, "MAC local faults"),
  register("MRFC", 0x04038, "MAC remote faults"),
  register("RLEC", 0x04040, "frames with a wrong length field"),
  register("LXONTXC", 0x03f60, "link XON sent"),
  register("LXOFFTXC", 0x03f68, "link XOFF sent"),
  register("LXONRXCNT", 0x041a4, "link XON received"),
  register("LXOFFRXCNT", 0x041a8, "link XOFF received"),
  register("RXMPC", 0x03fa0, "frames missed because a packet buffer was full", { count: 8 }),
  register("PRC64", 0x0405c, "good frames received of 64 bytes"),
  register("PRC127", 0x04060, "good frames received of 65 to 127 bytes"),
  register("PRC255", 0x04064, "good frames received of 128 to 255 bytes"),
  register("PRC511", 0x04068, "good frames received of 256 to 511 bytes"),
  register("PRC1023", 0x0406c, "good frames received of 512 to 1023 bytes"),
  register("PRC1522", 0x04070, "good frames received of 1024 bytes and more"),
  register("GPRC", 0x04074, "good frames received, those missed later among them"),
  register("BPRC", 0x04078, "broadcast frames received"),
  register("MPRC", 0x0407c, "multicast frames received"),
  register("GPTC", 0x04080, "good frames transmitted"),
  register("GORCL", 0x04088, "good bytes received with FCS, low"),
  register("GORCH", 0x0408c, "good bytes received with FCS, high"),
  register("GOTCL", 0x04090, "good bytes transmitted with FCS, low"),
  register("GOTCH", 0x04094, "good bytes transmitted with FCS, high"),
  register("RUC", 0x040a4, "undersized frames"),
  register("RFC", 0x040a8, "fragments"),
  register("ROC", 0x040ac, "oversized frames"),
  register("RJC", 0x040b0, "jabber"),
  register("TORL", 0x040c0, "bytes received in all, low"),
  register("TORH", 0x040c4, "bytes received in all, high"),
  register("TPR", 0x040d0, "frames received in all"),
  register("TPT", 0x040d4, "frames transmitted in all"),
  register("PTC64", 0x040d8, "frames transmitted of 64 bytes"),
  register("PTC127", 0x040dc, "frames transmitted of 65 to 127 bytes"),
  register("PTC255", 0x040e0, "frames transmitted of 128 to 255 bytes"),
  register("PTC511", 0x040e4, "frames transmitted of 256 to 511 bytes"),
  register("PTC1023", 0x040e8, "frames transmitted of 512 to 1023 bytes"),
  register("PTC1522", 0x040ec, "frames transmitted of 1024 bytes and more"),
  register("MPTC", 0x040f0, "multicast frames transmitted"),
  register("BPTC", 0x040f4, "broadcast frames transmitted"),
  register("XEC", 0x04120, "checksum errors"),
  register("FCCRC", 0x05118, "FCoE frames with a wrong FCS"),
  register("RXNFGPC", 0x041b0, "good frames received, not filtered"),
  register("RXDGPC", 0x02f50, "frames written to memory"),
  register("RXDGBCL", 0x02f54, "bytes written to memory, low"),
  register("RXDGBCH", 0x02f58, "bytes written to memory, high"),
  register("SSVPC", 0x08780, "frames that a switch filter held back"),
  register("TXDGPC", 0x087a0, "frames read from memory"),
  register("TXDGBCL", 0x087a4, "bytes read from memory, low"),
  register("TXDGBCH", 0x087a8, "bytes read from memory, high"),
  register("QPRC", 0x01030, "frames received of a statistics set", { count: 16, stride: 0x40 }),
  register("QBRCL", 0x01034, "bytes received of a statistics set, low", { count: 16, stride: 0x40 }),
  register("QBRCH", 0x01038, "bytes received of a statistics set, high", { count: 16, stride: 0x40 }),
  register("QPRDC", 0x01430, "frames dropped for want of a descriptor", { count: 16, stride: 0x40 }),
  register("QPTC", 0x08680, "frames transmitted of a statistics set", {
    count: 16,
    mirror: bank(0x06030, 0x40, 16)
  }),
  register("QBTCL", 0x08700, "bytes transmitted of a statistics set, low", { count: 16, stride: 8 }),
  register("QBTCH", 0x08704, "bytes transmitted of a statistics set, high", { count: 16, stride: 8 })
]
