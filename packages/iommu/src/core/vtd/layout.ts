/**
 * VT-d's structures in memory, legacy mode: root and context entries, second-stage entries, and descriptors of
 * the invalidation queue. All are little-endian 64-bit words, handled as a low and a high 32-bit half.
 * [Linux 6.12 drivers/iommu/intel/iommu.h and dmar.c; 6.19 drivers/iommu/generic_pt/fmt/vtdss.h]
 */

/** Every table is one page of this size. */
export const VTD_PAGE_BYTES = 4096
export const VTD_PAGE_SHIFT = 12

/** Second-stage entry: the device may read, may write. An entry with neither is not present. */
export const STAGE_READ = 1
export const STAGE_WRITE = 2
export const STAGE_PRESENT = STAGE_READ | STAGE_WRITE
/** A leaf above the lowest level: 2 MiB at level 2, 1 GiB at level 3. */
export const STAGE_LARGE = 1 << 7
/** Bits 12 and up of a low half: the address's. */
export const ADDRESS_MASK = ~0xfff
/** Entries of a second-stage table, 8 bytes each: nine bits of the address a level. */
export const STAGE_ENTRIES = 512
export const STAGE_BITS = 9
/** Leaves are possible up to this level. */
export const LEAF_LEVEL_MAX = 3
/** 4 KiB pages of one entry, by its level. Index 0 is not used. */
export const PAGES_OF_LEVEL = Float64Array.of(0, 1, 2 ** 9, 2 ** 18, 2 ** 27, 2 ** 36)

/** Root and context tables have 256 entries of 16 bytes: by bus, and by device and function. */
export const CONTEXT_ENTRY_WORDS = 4
export const CONTEXT_PRESENT = 1
/** Bits 2-3 of a context entry's low half: translate by second-stage tables, or pass through. */
export const CONTEXT_TYPE_SHIFT = 2
export const CONTEXT_TYPE_MASK = 3
export const TYPE_MULTI_LEVEL = 0
export const TYPE_PASS_THROUGH = 2
/** Address width: levels less two, in bits 64-66. */
export const CONTEXT_WIDTH_MASK = 7
export const LEVELS_MIN = 3
export const LEVELS_MAX = 5
/** Domain id: bits 72-87. */
export const CONTEXT_DOMAIN_SHIFT = 8
export const DOMAIN_MASK = 0xffff
/** Reserved: bits 1-11 of a root entry; bits 4-11 of a context entry; its bits 71 and 88-127. */
export const ROOT_RESERVED_MASK = 0xffe
export const CONTEXT_RESERVED_MASK = 0xff0
export const CONTEXT_HIGH_RESERVED_MASK = 0xff000080 | 0

/** Invalidation queue: 256 descriptors of 16 bytes, one page. */
export const QUEUE_ENTRIES = 256
export const DESCRIPTOR_WORDS = 4
/** Types of descriptors: bits 0-3. */
export const DESCRIPTOR_TYPE_MASK = 0xf
export const DESCRIPTOR_CONTEXT = 1
export const DESCRIPTOR_IOTLB = 2
export const DESCRIPTOR_WAIT = 5
/** Bits 4-5 of an invalidation: how much. */
export const GRANULARITY_SHIFT = 4
export const GRANULARITY_MASK = 3
export const GRANULARITY_GLOBAL = 1
export const GRANULARITY_DOMAIN = 2
export const GRANULARITY_PAGE = 3
/** Bits 16-31 of an invalidation: its domain. */
export const DESCRIPTOR_DOMAIN_SHIFT = 16
/** Bits 64-69 of a page-selective one: log2 of the pages of its block. Hardware takes up to 2^18. */
export const ADDRESS_MASK_FIELD = 0x3f
export const BLOCK_ORDER_MAX = 18
/** Bit 5 of a wait descriptor: write the status data (bits 32-63) to the status address (bits 66-127). */
export const WAIT_STATUS_WRITE = 1 << 5

/**
 * Pages whose addresses are interrupt messages and no memory, on a PC: 0xFEE00000 to 0xFEEFFFFF. What a device sends
 * there is never translated. [Linux 6.12 drivers/iommu/intel/iommu.c intel_iommu_get_resv_regions]
 */
export const INTERRUPT_FIRST_PAGE = 0xfee00
export const INTERRUPT_PAGES = 0x100

/** Fault reason codes. A page that is not present is reported as 5 or 6: as the permission that it lacks. */
export const FAULT_ROOT_NOT_PRESENT = 1
export const FAULT_CONTEXT_NOT_PRESENT = 2
export const FAULT_CONTEXT_INVALID = 3
export const FAULT_BEYOND_WIDTH = 4
export const FAULT_NO_WRITE = 5
export const FAULT_NO_READ = 6
export const FAULT_TABLE_POINTER = 7
export const FAULT_ROOT_POINTER = 8
export const FAULT_CONTEXT_POINTER = 9
export const FAULT_ROOT_RESERVED = 0xa
export const FAULT_CONTEXT_RESERVED = 0xb
export const FAULT_ENTRY_RESERVED = 0xc
/** An address of interrupt messages, or a translation to one. [QEMU hw/i386/intel_iommu_internal.h] */
export const FAULT_INTERRUPT_ADDRESS = 0xe
