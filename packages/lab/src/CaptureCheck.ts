/** Whether a file is a capture that can be replayed; found out before anything runs. */
import { CaptureInvalid } from "./Errors.ts"

const FILE_HEADER_BYTES = 24
const RECORD_HEADER_BYTES = 16
const ETHERNET_LINK_TYPE = 1
const LONGEST_FRAME_BYTES = 262_144
const PCAPNG_MAGIC = 0x0a0d0d0a
const MICROSECOND_MAGIC = 0xa1b2c3d4
const NANOSECOND_MAGIC = 0xa1b23c4d

/** What is wrong with a capture, or undefined if every record is whole. */
export const captureProblem = (file: string, bytes: Uint8Array): CaptureInvalid | undefined => {
  const reason = problemIn(bytes)
  return reason === undefined ? undefined : new CaptureInvalid({ file, reason })
}

const problemIn = (bytes: Uint8Array): string | undefined => {
  if (bytes.length === 0) return "is empty; a classic pcap file of Ethernet frames is needed"
  if (bytes.length < 4) return "is not a capture; a classic pcap file of Ethernet frames is needed"
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isMagic = (littleEndian: boolean): boolean =>
    [MICROSECOND_MAGIC, NANOSECOND_MAGIC].includes(view.getUint32(0, littleEndian))
  if (view.getUint32(0) === PCAPNG_MAGIC) {
    return "is pcapng; classic pcap is needed: convert it with `editcap -F nsecpcap IN OUT`"
  }
  const littleEndian = isMagic(true)
  if (!littleEndian && !isMagic(false)) return "is not a capture; a classic pcap file of Ethernet frames is needed"
  if (bytes.length < FILE_HEADER_BYTES) return `is truncated: ${bytes.length} of ${FILE_HEADER_BYTES} bytes of header`
  const linkType = view.getUint32(20, littleEndian) & 0x0fff_ffff
  if (linkType !== ETHERNET_LINK_TYPE) {
    return `holds frames of link type ${linkType}; Ethernet (link type ${ETHERNET_LINK_TYPE}) is needed`
  }
  return recordProblem(view, littleEndian)
}

const recordProblem = (view: DataView, littleEndian: boolean): string | undefined => {
  let offset = FILE_HEADER_BYTES
  let record = 0
  while (offset < view.byteLength) {
    record += 1
    const left = view.byteLength - offset
    if (left < RECORD_HEADER_BYTES) return truncated(record, offset)
    const keptBytes = view.getUint32(offset + 8, littleEndian)
    const frameBytes = view.getUint32(offset + 12, littleEndian)
    if (keptBytes > frameBytes || frameBytes > LONGEST_FRAME_BYTES) {
      return `is damaged: record ${record} at byte ${offset} claims ${keptBytes} of ${frameBytes} bytes`
    }
    if (left < RECORD_HEADER_BYTES + keptBytes) return truncated(record, offset)
    offset += RECORD_HEADER_BYTES + keptBytes
  }
  return record === 0 ? "holds no frames" : undefined
}

const truncated = (record: number, offset: number): string =>
  `is truncated: it ends inside record ${record}, which begins at byte ${offset}`
