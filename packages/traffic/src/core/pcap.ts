/**
 * Capture files in the classic pcap format [draft-ietf-opsawg-pcap]: reading all four variants (micro- and
 * nanosecond stamps, both byte orders) and writing one (nanosecond, little-endian).
 *
 * A file that cannot be read is a result, not an exception: a problem says where it lies and what would do.
 */
import { RUN_SECONDS_MAX } from "@vnic/sim/core"

const FILE_HEADER_BYTES = 24
const RECORD_HEADER_BYTES = 16
const VERSION_MAJOR = 2
const VERSION_MINOR = 4
const LINK_TYPE_ETHERNET = 1
/** The upper bits of the link-type field say whether frames carry check sequences. */
const LINK_TYPE_MASK = 0xffff
const CHECK_SEQUENCE_FLAG = 0x0400_0000
const SNAP_LENGTH_WRITTEN = 262_144

const MAGIC_MICROSECONDS = 0xa1b2c3d4
const MAGIC_NANOSECONDS = 0xa1b23c4d
const MAGIC_PCAPNG = 0x0a0d0d0a
/** First two bytes of a gzip file. */
const MAGIC_GZIP = 0x1f8b

const ETHERNET_HEADER_BYTES = 14
/** Without check sequence: an MTU of 1500, and four bytes more with a VLAN tag. */
const FRAME_BYTES_MAX = 1514
const VLAN_FRAME_BYTES_MAX = 1518
const CHECK_BYTES = 4
const TYPE_OFFSET = 12
const TYPE_VLAN = 0x8100

const NANOSECONDS_PER_SECOND = 1e9
const PS_PER_NS = 1000
const SECOND_PS = 1e12

export type CaptureReason =
  | "TooShort"
  | "NotPcap"
  | "PcapNg"
  | "Compressed"
  | "Version"
  | "NotEthernet"
  | "HasCheckSequences"
  | "Truncated"
  | "RecordTooLong"
  | "FrameTooShort"
  | "FrameTooLong"
  | "BadStamp"
  | "TooLongSpan"
  | "Empty"

/** What is wrong with a capture, and where. */
export interface CaptureProblem {
  readonly reason: CaptureReason
  /** Byte in the file. */
  readonly offset: number
  /** Record, counted from 1; 0 for the file's header. */
  readonly record: number
  /** What was found. */
  readonly found: string
  /** What would be right. */
  readonly expected: string
}

/** An instant since the epoch. In picoseconds it would be more than a double holds exactly. */
export interface Stamp {
  readonly seconds: number
  readonly nanoseconds: number
}

/** The records of a capture; arrays are indexed by record, from 0. */
export interface Capture {
  readonly frameCount: number
  /** The first record's stamp. */
  readonly origin: Stamp
  /** Stamps relative to `origin`, picoseconds; never falling, see `stampsFalling`. */
  readonly stampsPs: Float64Array
  /** Where the record's bytes begin in the file, and how many there are. */
  readonly offsets: Float64Array
  readonly keptBytes: Int32Array
  /** Length of the frame on the wire, without check sequence. */
  readonly lengthBytes: Int32Array
  /** Records whose stamp was earlier than their predecessor's; they have the predecessor's. */
  readonly stampsFalling: number
  readonly isNanosecond: boolean
  readonly isLittleEndian: boolean
  /** The file. */
  readonly bytes: Uint8Array
}

export type CaptureResult = { readonly capture: Capture } | { readonly problem: CaptureProblem }

interface FileHeader {
  readonly isNanosecond: boolean
  readonly isLittleEndian: boolean
  readonly snapLengthBytes: number
}

/** Reads a whole file. Never throws, whatever the bytes are. */
export function readCapture(bytes: Uint8Array): CaptureResult {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const header = readFileHeader(view)
  if ("problem" in header) return header
  const frameCount = countRecords(view, header)
  const capture = {
    frameCount,
    origin: { seconds: 0, nanoseconds: 0 },
    stampsPs: new Float64Array(frameCount),
    offsets: new Float64Array(frameCount),
    keptBytes: new Int32Array(frameCount),
    lengthBytes: new Int32Array(frameCount),
    stampsFalling: 0,
    isNanosecond: header.isNanosecond,
    isLittleEndian: header.isLittleEndian,
    bytes
  }
  const problem = readRecords(view, header, capture)
  return problem === undefined ? { capture } : { problem }
}

function readFileHeader(view: DataView): FileHeader | { readonly problem: CaptureProblem } {
  const problem = (reason: CaptureReason, offset: number, found: string, expected: string) => ({
    problem: { reason, offset, record: 0, found, expected }
  })
  const size = view.byteLength
  if (size < 4) return problem("TooShort", 0, `${size} bytes`, `a pcap file of ${FILE_HEADER_BYTES} bytes or more`)
  const magic = view.getUint32(0, true)
  const swapped = view.getUint32(0, false)
  if (magic === MAGIC_PCAPNG) return problem("PcapNg", 0, "pcapng", "classic pcap; convert with editcap -F pcap")
  if (view.getUint16(0) === MAGIC_GZIP) return problem("Compressed", 0, "gzip", "classic pcap; unpack with gunzip")
  const isLittleEndian = magic === MAGIC_MICROSECONDS || magic === MAGIC_NANOSECONDS
  const value = isLittleEndian ? magic : swapped
  if (value !== MAGIC_MICROSECONDS && value !== MAGIC_NANOSECONDS) {
    const found = `magic number ${swapped.toString(16).padStart(8, "0")}`
    return problem("NotPcap", 0, found, "classic pcap, which begins with a1b2c3d4 or a1b23c4d in either byte order")
  }
  if (size < FILE_HEADER_BYTES) {
    return problem("TooShort", size, `${size} bytes`, `a pcap file of ${FILE_HEADER_BYTES} bytes or more`)
  }
  const major = view.getUint16(4, isLittleEndian)
  if (major !== VERSION_MAJOR) return problem("Version", 4, `version ${major}`, `version ${VERSION_MAJOR}`)
  const linkField = view.getUint32(20, isLittleEndian)
  const linkType = linkField & LINK_TYPE_MASK
  if (linkType !== LINK_TYPE_ETHERNET) {
    return problem("NotEthernet", 20, `link type ${linkType}`, `link type ${LINK_TYPE_ETHERNET}, Ethernet`)
  }
  if ((linkField & CHECK_SEQUENCE_FLAG) !== 0) {
    return problem("HasCheckSequences", 20, "frames with check sequences", "frames without; strip with editcap -C -4")
  }
  return {
    isNanosecond: value === MAGIC_NANOSECONDS,
    isLittleEndian,
    snapLengthBytes: view.getUint32(16, isLittleEndian)
  }
}

/** Records up to the end of the file, a last incomplete one included. */
function countRecords(view: DataView, header: FileHeader): number {
  let count = 0
  let offset = FILE_HEADER_BYTES
  while (offset < view.byteLength) {
    count++
    if (offset + RECORD_HEADER_BYTES > view.byteLength) break
    offset += RECORD_HEADER_BYTES + view.getUint32(offset + 8, header.isLittleEndian)
  }
  return count
}

interface MutableCapture {
  readonly frameCount: number
  origin: Stamp
  readonly stampsPs: Float64Array
  readonly offsets: Float64Array
  readonly keptBytes: Int32Array
  readonly lengthBytes: Int32Array
  stampsFalling: number
}

function readRecords(view: DataView, header: FileHeader, capture: MutableCapture): CaptureProblem | undefined {
  const { isLittleEndian, isNanosecond } = header
  const unitsPerSecond = isNanosecond ? NANOSECONDS_PER_SECOND : NANOSECONDS_PER_SECOND / 1000
  let offset = FILE_HEADER_BYTES
  let firstSeconds = 0
  let latestPs = 0
  for (let index = 0; index < capture.frameCount; index++) {
    const problem = findRecordProblem(view, header, offset, index + 1)
    if (problem !== undefined) return problem
    const seconds = view.getUint32(offset, isLittleEndian)
    const fraction = view.getUint32(offset + 4, isLittleEndian)
    if (index === 0) {
      firstSeconds = seconds
      capture.origin = { seconds, nanoseconds: fraction * (NANOSECONDS_PER_SECOND / unitsPerSecond) }
    }
    const stampPs = (seconds - firstSeconds) * SECOND_PS + fraction * (SECOND_PS / unitsPerSecond)
    if (stampPs - capture.stampsPs[0]! > RUN_SECONDS_MAX * SECOND_PS) {
      const found = `a stamp ${seconds - firstSeconds} s behind the first`
      return { reason: "TooLongSpan", offset, record: index + 1, found, expected: `at most ${RUN_SECONDS_MAX} s` }
    }
    if (index === 0) latestPs = stampPs
    else if (stampPs < latestPs) capture.stampsFalling++
    else latestPs = stampPs
    capture.stampsPs[index] = latestPs
    capture.offsets[index] = offset + RECORD_HEADER_BYTES
    capture.keptBytes[index] = view.getUint32(offset + 8, isLittleEndian)
    capture.lengthBytes[index] = view.getUint32(offset + 12, isLittleEndian)
    offset += RECORD_HEADER_BYTES + capture.keptBytes[index]!
  }
  if (capture.frameCount === 0) {
    return { reason: "Empty", offset, record: 0, found: "no frame", expected: "at least one" }
  }
  const firstPs = capture.stampsPs[0]!
  for (let index = 0; index < capture.frameCount; index++) capture.stampsPs[index]! -= firstPs
  return undefined
}

function findRecordProblem(
  view: DataView,
  header: FileHeader,
  offset: number,
  record: number
): CaptureProblem | undefined {
  const { isLittleEndian, isNanosecond, snapLengthBytes } = header
  const problem = (reason: CaptureReason, at: number, found: string, expected: string): CaptureProblem => ({
    reason,
    offset: at,
    record,
    found,
    expected
  })
  const left = view.byteLength - offset
  if (left < RECORD_HEADER_BYTES) {
    return problem("Truncated", offset, `${left} bytes of a record's header`, `${RECORD_HEADER_BYTES}`)
  }
  const units = isNanosecond ? NANOSECONDS_PER_SECOND : NANOSECONDS_PER_SECOND / 1000
  const fraction = view.getUint32(offset + 4, isLittleEndian)
  if (fraction >= units) return problem("BadStamp", offset + 4, `a fraction of ${fraction}`, `less than ${units}`)
  const kept = view.getUint32(offset + 8, isLittleEndian)
  const length = view.getUint32(offset + 12, isLittleEndian)
  if (snapLengthBytes !== 0 && kept > snapLengthBytes) {
    const expected = `at most the snap length of ${snapLengthBytes}`
    return problem("RecordTooLong", offset + 8, `a record of ${kept} bytes`, expected)
  }
  if (kept > length) {
    return problem(
      "RecordTooLong",
      offset + 8,
      `${kept} bytes kept of a frame of ${length}`,
      "no more than the frame has"
    )
  }
  if (kept > left - RECORD_HEADER_BYTES) {
    const found = `${left - RECORD_HEADER_BYTES} bytes before the end of the file`
    return problem("Truncated", offset + RECORD_HEADER_BYTES, found, `the record's ${kept}`)
  }
  if (length < ETHERNET_HEADER_BYTES) {
    const expected = `at least ${ETHERNET_HEADER_BYTES}, an Ethernet header`
    return problem("FrameTooShort", offset + 12, `a frame of ${length} bytes`, expected)
  }
  const typeAt = offset + RECORD_HEADER_BYTES + TYPE_OFFSET
  const isTagged = kept >= ETHERNET_HEADER_BYTES && view.getUint16(typeAt) === TYPE_VLAN
  const longest = isTagged ? VLAN_FRAME_BYTES_MAX : FRAME_BYTES_MAX
  if (length > longest) {
    const limit = isTagged ? `${longest} with a VLAN tag` : `${longest}, or ${VLAN_FRAME_BYTES_MAX} with a VLAN tag`
    const remedy =
      length === longest + CHECK_BYTES
        ? "if it has its check sequence, strip that with editcap -C -4"
        : "capture with segmentation offloads off"
    const expected = `at most ${limit}; ${remedy}`
    return problem("FrameTooLong", offset + 12, `a frame of ${length} bytes`, expected)
  }
  return undefined
}

/** Whole frames to be written, in the order in which they are written. */
export interface CaptureFrames {
  readonly frameCount: number
  /** The instant that stamps count from. */
  readonly origin: Stamp
  /** Stamps relative to `origin`, picoseconds; written in whole nanoseconds, rounded down. */
  readonly stampsPs: Float64Array
  /** Where each frame begins in `bytes`, and its length. */
  readonly offsets: ArrayLike<number>
  readonly lengthBytes: ArrayLike<number>
  readonly bytes: Uint8Array
}

/** The file that holds these frames: nanosecond stamps, little-endian. */
export function writeCapture(frames: CaptureFrames): Uint8Array {
  const { bytes, frameCount, lengthBytes, offsets, origin, stampsPs } = frames
  let size = FILE_HEADER_BYTES
  for (let index = 0; index < frameCount; index++) size += RECORD_HEADER_BYTES + lengthBytes[index]!
  const file = new Uint8Array(size)
  const view = new DataView(file.buffer)
  view.setUint32(0, MAGIC_NANOSECONDS, true)
  view.setUint16(4, VERSION_MAJOR, true)
  view.setUint16(6, VERSION_MINOR, true)
  view.setUint32(16, SNAP_LENGTH_WRITTEN, true)
  view.setUint32(20, LINK_TYPE_ETHERNET, true)
  let at = FILE_HEADER_BYTES
  for (let index = 0; index < frameCount; index++) {
    const length = lengthBytes[index]!
    const nanoseconds = origin.nanoseconds + Math.floor(stampsPs[index]! / PS_PER_NS)
    view.setUint32(at, origin.seconds + Math.floor(nanoseconds / NANOSECONDS_PER_SECOND), true)
    view.setUint32(at + 4, nanoseconds % NANOSECONDS_PER_SECOND, true)
    view.setUint32(at + 8, length, true)
    view.setUint32(at + 12, length, true)
    file.set(bytes.subarray(offsets[index]!, offsets[index]! + length), at + RECORD_HEADER_BYTES)
    at += RECORD_HEADER_BYTES + length
  }
  return file
}
