/**
 * A frame as an object: for tests and traces, which want every field by name and both checksums verified.
 * It reads through a DataView at the offsets of the RFCs and shares no code with the core's parsers, so
 * that a mistake in one of them cannot hide behind the same mistake in the other.
 */

export interface TcpFields {
  readonly sourcePort: number
  readonly destinationPort: number
  readonly sequence: number
  readonly acknowledgement: number
  readonly flags: number
  readonly window: number
  readonly timestamp: { readonly value: number; readonly echo: number } | undefined
  readonly isChecksumValid: boolean
}

export interface UdpFields {
  readonly sourcePort: number
  readonly destinationPort: number
  readonly lengthBytes: number
  readonly isChecksumValid: boolean
}

export interface Dissection {
  /** "02:00:00:00:00:01" */
  readonly destinationMac: string
  readonly sourceMac: string
  readonly etherType: number
  readonly ipv4:
    | {
        readonly totalLengthBytes: number
        readonly identification: number
        readonly ttl: number
        readonly protocol: number
        readonly isChecksumValid: boolean
        /** "10.0.0.1" */
        readonly source: string
        readonly destination: string
      }
    | undefined
  readonly tcp: TcpFields | undefined
  readonly udp: UdpFields | undefined
  /** What TCP or UDP carries; empty for anything else. */
  readonly payload: Uint8Array
}

/** One's complement sum of whole 16-bit words, folded after every addition. */
const sumOf = (words: Iterable<number>): number => {
  let sum = 0
  for (const word of words) {
    sum += word
    if (sum > 0xffff) sum -= 0xffff
  }
  return sum
}

const wordsOf = (view: DataView, from: number, lengthBytes: number): Array<number> =>
  Array.from({ length: Math.ceil(lengthBytes / 2) }, (_, index) =>
    2 * index + 1 < lengthBytes ? view.getUint16(from + 2 * index) : view.getUint8(from + 2 * index) * 256
  )

const macAt = (view: DataView, from: number): string =>
  Array.from({ length: 6 }, (_, index) =>
    view
      .getUint8(from + index)
      .toString(16)
      .padStart(2, "0")
  ).join(":")

const ipAt = (view: DataView, from: number): string =>
  Array.from({ length: 4 }, (_, index) => view.getUint8(from + index)).join(".")

const isLayer4SumValid = (view: DataView, protocol: number, from: number, lengthBytes: number): boolean =>
  sumOf([...wordsOf(view, 26, 8), protocol, lengthBytes, ...wordsOf(view, from, lengthBytes)]) === 0xffff

const timestampOf = (view: DataView, from: number, end: number): TcpFields["timestamp"] => {
  let offset = from
  while (offset < end) {
    const kind = view.getUint8(offset)
    if (kind === 0) return undefined
    if (kind === 8) return { value: view.getUint32(offset + 2), echo: view.getUint32(offset + 6) }
    offset += kind === 1 ? 1 : view.getUint8(offset + 1)
  }
  return undefined
}

/** Takes the frame of `sizeBytes` (without FCS) at `offset` apart. Contradictory lengths throw. */
export const dissect = (bytes: Uint8Array, offset: number, sizeBytes: number): Dissection => {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, sizeBytes)
  const etherType = view.getUint16(12)
  const link = { destinationMac: macAt(view, 0), sourceMac: macAt(view, 6), etherType }
  const nothing = { ipv4: undefined, tcp: undefined, udp: undefined, payload: new Uint8Array(0) }
  if (etherType !== 0x0800) return { ...link, ...nothing }
  const ipHeaderBytes = (view.getUint8(14) & 15) * 4
  const ipv4 = {
    totalLengthBytes: view.getUint16(16),
    identification: view.getUint16(18),
    ttl: view.getUint8(22),
    protocol: view.getUint8(23),
    isChecksumValid: sumOf(wordsOf(view, 14, ipHeaderBytes)) === 0xffff,
    source: ipAt(view, 26),
    destination: ipAt(view, 30)
  }
  const start = 14 + ipHeaderBytes
  const lengthBytes = ipv4.totalLengthBytes - ipHeaderBytes
  const payloadFrom = (headerBytes: number) => bytes.slice(offset + start + headerBytes, offset + start + lengthBytes)
  if (ipv4.protocol === 6) {
    const headerBytes = (view.getUint8(start + 12) >> 4) * 4
    const tcp = {
      sourcePort: view.getUint16(start),
      destinationPort: view.getUint16(start + 2),
      sequence: view.getUint32(start + 4),
      acknowledgement: view.getUint32(start + 8),
      flags: view.getUint8(start + 13),
      window: view.getUint16(start + 14),
      timestamp: timestampOf(view, start + 20, start + headerBytes),
      isChecksumValid: isLayer4SumValid(view, 6, start, lengthBytes)
    }
    return { ...link, ipv4, tcp, udp: undefined, payload: payloadFrom(headerBytes) }
  }
  if (ipv4.protocol === 17) {
    const udp = {
      sourcePort: view.getUint16(start),
      destinationPort: view.getUint16(start + 2),
      lengthBytes: view.getUint16(start + 4),
      isChecksumValid: view.getUint16(start + 6) === 0 || isLayer4SumValid(view, 17, start, lengthBytes)
    }
    return { ...link, ipv4, tcp: undefined, udp, payload: payloadFrom(8) }
  }
  return { ...link, ...nothing, ipv4 }
}
