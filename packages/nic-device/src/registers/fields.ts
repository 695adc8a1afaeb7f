/** Fields of the registers: `_BIT` one bit in place, `_MASK` several in place, `_SHIFT` their lowest bit. */
import { bitOf, maskOf, shiftOf } from "./table.ts"

export const CTRL_MASTER_DISABLE_BIT = bitOf("CTRL", "MASTER_DISABLE")
export const CTRL_LRST_BIT = bitOf("CTRL", "LRST")
export const CTRL_RST_BIT = bitOf("CTRL", "RST")
export const STATUS_LINK_UP_BIT = bitOf("STATUS", "LINK_UP")
export const STATUS_MASTER_ENABLE_BIT = bitOf("STATUS", "MASTER_ENABLE")
export const CTRL_EXT_NS_DIS_BIT = bitOf("CTRL_EXT", "NS_DIS")
export const CTRL_EXT_DRV_LOAD_BIT = bitOf("CTRL_EXT", "DRV_LOAD")
export const EEC_EE_PRES_BIT = bitOf("EEC", "EE_PRES")
export const EEC_AUTO_RD_BIT = bitOf("EEC", "AUTO_RD")
export const EERD_START_BIT = bitOf("EERD", "START")
export const EERD_DONE_BIT = bitOf("EERD", "DONE")
export const EERD_ADDRESS_SHIFT = shiftOf("EERD", "ADDRESS")
export const EERD_DATA_SHIFT = shiftOf("EERD", "DATA")
export const SWSM_SMBI_BIT = bitOf("SWSM", "SMBI")
export const SWSM_SWESMBI_BIT = bitOf("SWSM", "SWESMBI")

export const EICR_RTXQ_MASK = maskOf("EICR", "RTXQ")
export const EICR_RX_MISS_BIT = bitOf("EICR", "RX_MISS")
export const EICR_PCI_BIT = bitOf("EICR", "PCI")
export const EICR_LSC_BIT = bitOf("EICR", "LSC")
export const EICR_TCP_TIMER_BIT = bitOf("EICR", "TCP_TIMER")
export const EICR_OTHER_BIT = bitOf("EICR", "OTHER")
export const EITR_INTERVAL_MASK = maskOf("EITR", "INTERVAL")
export const EITR_INTERVAL_SHIFT = shiftOf("EITR", "INTERVAL")
export const EITR_CNT_WDIS_BIT = bitOf("EITR", "CNT_WDIS")
/** One step of EITR.INTERVAL at 10 Gb/s, picoseconds. */
export const EITR_STEP_PS = 2_048_000
export const GPIE_MSIX_MODE_BIT = bitOf("GPIE", "MSIX_MODE")
export const GPIE_OCD_BIT = bitOf("GPIE", "OCD")
export const GPIE_EIMEN_BIT = bitOf("GPIE", "EIMEN")
export const GPIE_EIAME_BIT = bitOf("GPIE", "EIAME")
export const GPIE_PBA_SUPPORT_BIT = bitOf("GPIE", "PBA_SUPPORT")
/** Valid bit of one byte of IVAR and IVAR_MISC. */
export const IVAR_ALLOC_VAL_BIT = bitOf("IVAR", "INT_ALLOC_VAL_0")
/** Vector field of one byte of IVAR and IVAR_MISC. */
export const IVAR_ALLOC_MASK = maskOf("IVAR", "INT_ALLOC_0")

export const RXCTRL_RXEN_BIT = bitOf("RXCTRL", "RXEN")
export const FCTRL_MPE_BIT = bitOf("FCTRL", "MPE")
export const FCTRL_UPE_BIT = bitOf("FCTRL", "UPE")
export const FCTRL_BAM_BIT = bitOf("FCTRL", "BAM")
export const HLREG0_TXCRCEN_BIT = bitOf("HLREG0", "TXCRCEN")
export const HLREG0_RXCRCSTRP_BIT = bitOf("HLREG0", "RXCRCSTRP")
export const HLREG0_JUMBOEN_BIT = bitOf("HLREG0", "JUMBOEN")
export const HLREG0_TXPADEN_BIT = bitOf("HLREG0", "TXPADEN")
export const MAXFRS_MFS_SHIFT = shiftOf("MAXFRS", "MFS")
export const RDRXCTL_CRCSTRIP_BIT = bitOf("RDRXCTL", "CRCSTRIP")
export const RDRXCTL_DMAIDONE_BIT = bitOf("RDRXCTL", "DMAIDONE")
export const RDRXCTL_RSCFRSTSIZE_MASK = maskOf("RDRXCTL", "RSCFRSTSIZE")
export const RDRXCTL_RSCACKC_BIT = bitOf("RDRXCTL", "RSCACKC")
export const RDRXCTL_FCOE_WRFIX_BIT = bitOf("RDRXCTL", "FCOE_WRFIX")
export const RXPBSIZE_SIZE_SHIFT = shiftOf("RXPBSIZE", "SIZE")
export const RXPBSIZE_SIZE_MASK = maskOf("RXPBSIZE", "SIZE")
export const SRRCTL_BSIZEPACKET_MASK = maskOf("SRRCTL", "BSIZEPACKET")
export const SRRCTL_BSIZEHEADER_MASK = maskOf("SRRCTL", "BSIZEHEADER")
export const SRRCTL_BSIZEHEADER_SHIFT = shiftOf("SRRCTL", "BSIZEHEADER")
export const SRRCTL_DESCTYPE_MASK = maskOf("SRRCTL", "DESCTYPE")
export const SRRCTL_DESCTYPE_SHIFT = shiftOf("SRRCTL", "DESCTYPE")
export const SRRCTL_DROP_EN_BIT = bitOf("SRRCTL", "DROP_EN")
/** Values of SRRCTL.DESCTYPE. */
export const DESCTYPE_LEGACY = 0
export const DESCTYPE_ADVANCED_ONE_BUFFER = 1
export const DESCTYPE_ADVANCED_SPLIT_ALWAYS = 5
/** Units of the two buffer sizes. */
export const BSIZEPACKET_STEP_BYTES = 1024
export const BSIZEHEADER_STEP_BYTES = 64
export const RXDCTL_ENABLE_BIT = bitOf("RXDCTL", "ENABLE")
export const RXDCTL_SWFLSH_BIT = bitOf("RXDCTL", "SWFLSH")
/** To be cleared, says the datasheet; its default is 1. */
export const DCA_RXCTRL_MUST_CLEAR_BIT = 1 << 12
export const RXCSUM_PCSD_BIT = bitOf("RXCSUM", "PCSD")
export const MRQC_MRQE_MASK = maskOf("MRQC", "MRQE")
export const MRQE_RSS = 1
export const MRQC_TCP_IPV4_BIT = bitOf("MRQC", "TCP_IPV4")
export const MRQC_IPV4_BIT = bitOf("MRQC", "IPV4")
export const MRQC_TCP_IPV6_EX_BIT = bitOf("MRQC", "TCP_IPV6_EX")
export const MRQC_IPV6_EX_BIT = bitOf("MRQC", "IPV6_EX")
export const MRQC_IPV6_BIT = bitOf("MRQC", "IPV6")
export const MRQC_TCP_IPV6_BIT = bitOf("MRQC", "TCP_IPV6")
export const MRQC_UDP_IPV4_BIT = bitOf("MRQC", "UDP_IPV4")
export const MRQC_UDP_IPV6_BIT = bitOf("MRQC", "UDP_IPV6")
export const MRQC_UDP_IPV6_EX_BIT = bitOf("MRQC", "UDP_IPV6_EX")
export const RAH_AV_BIT = bitOf("RAH", "AV")
export const MCSTCTRL_MO_MASK = maskOf("MCSTCTRL", "MO")
export const MCSTCTRL_MFE_BIT = bitOf("MCSTCTRL", "MFE")

export const DMATXCTL_TE_BIT = bitOf("DMATXCTL", "TE")
export const RTTDCS_ARBDIS_BIT = bitOf("RTTDCS", "ARBDIS")
export const TXPBSIZE_SIZE_SHIFT = shiftOf("TXPBSIZE", "SIZE")
export const TXDCTL_ENABLE_BIT = bitOf("TXDCTL", "ENABLE")
export const TXDCTL_SWFLSH_BIT = bitOf("TXDCTL", "SWFLSH")
export const TXDCTL_PTHRESH_SHIFT = shiftOf("TXDCTL", "PTHRESH")
export const TXDCTL_HTHRESH_SHIFT = shiftOf("TXDCTL", "HTHRESH")
export const TXDCTL_WTHRESH_SHIFT = shiftOf("TXDCTL", "WTHRESH")
export const TXDCTL_WTHRESH_MASK = maskOf("TXDCTL", "WTHRESH")
export const TDWBAL_HEAD_WB_EN_BIT = bitOf("TDWBAL", "HEAD_WB_EN")

export const AUTOC_AN_RESTART_BIT = bitOf("AUTOC", "AN_RESTART")
export const AUTOC_LMS_MASK = maskOf("AUTOC", "LMS")
export const AUTOC_LMS_SHIFT = shiftOf("AUTOC", "LMS")
export const LINKS_UP_BIT = bitOf("LINKS", "UP")
export const LINKS_SPEED_MASK = maskOf("LINKS", "SPEED")
export const LINKS_SPEED_SHIFT = shiftOf("LINKS", "SPEED")
/** LINKS_SPEED of 10 Gb/s. */
export const LINKS_SPEED_10G = 3
export const MSCA_MDICMD_BIT = bitOf("MSCA", "MDICMD")
