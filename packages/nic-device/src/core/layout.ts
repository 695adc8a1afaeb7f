/**
 * Constants that several modules of the core share. A module whose hot path uses them takes local copies:
 * imported and exported names cost a load and a check at each use.
 *
 * For the same reason the hot methods of the core are fields that hold a function: V8 then compiles each with
 * its object, and the arrays in that, as constants (about a fifth of the time of a received frame).
 */

/** Bytes of the frame check sequence. */
export const FCS_BYTES = 4
/** Shortest frame without FCS. */
export const FRAME_MIN_BYTES = 60
/** Bytes of the Ethernet header. */
export const ETHERNET_HEADER_BYTES = 14
/** 2^32, the weight of the upper half of a bus address. */
export const TWO_TO_32 = 4294967296
/** Room of an array that is used often: longer than V8 keeps inside its heap, where addresses move. */
export const HOT_LENGTH = 16

/** Directions of the bus. Device to host: writes, read requests. */
export const UP = 0
/** Host to device: read completions. */
export const DOWN = 1

/** Bit of a tag that says transmit. */
export const TAG_TX_BIT = 1 << 30
/** Lowest bit of a tag's queue. */
export const TAG_QUEUE_SHIFT = 16

/** What the receive side finds out about a frame: indices into its result. The queue. */
export const RSS_QUEUE = 0
/** RSS type and packet type, in place for word 0 of the write-back. */
export const RSS_TYPES = 1
/** Word 1 of the write-back: hash, or IP identification. */
export const RSS_WORD = 2
/** Checksum status, in place for word 2 of the write-back. */
export const RSS_STATUS = 3

/** A posted write's record: words of it, and what those behind the payload are. */
export const RECORD_WORDS = 8
/** Queue, or RECORD_VOID. */
export const RECORD_QUEUE = 4
export const RECORD_INDEX = 5
export const RECORD_COUNT = 6
export const RECORD_LENGTH = 7
/** In place of the queue: nobody wants this write any more. */
export const RECORD_VOID = -1
/** Writes under way beyond which an engine starts nothing new. */
export const POSTED_LIMIT = 512
