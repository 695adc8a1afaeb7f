/** Frames for tests, as arrays of bytes without FCS. */

export const DEVICE_ADDRESS = [0x02, 0x00, 0x00, 0x82, 0x59, 0x90]
const PEER_ADDRESS = [0x02, 0x00, 0x00, 0x00, 0x00, 0x01]
export const BROADCAST = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]

export interface Endpoint {
  readonly ip: string
  readonly port: number
}

/** Bytes of a dotted IPv4 address. */
export const ipv4 = (text: string): Array<number> => text.split(".").map(Number)

/** Bytes of an IPv6 address. */
export function ipv6(text: string): Array<number> {
  const [left, right] = text.split("::")
  const groups = (part: string | undefined): Array<number> =>
    part === undefined || part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16))
  const head = groups(left)
  const tail = groups(right)
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => 0)
  return [...head, ...zeros, ...tail].flatMap(word)
}

const word = (value: number): Array<number> => [value >> 8, value & 0xff]

/** An Ethernet frame to the device, or to another address. */
export const ethernet = (type: number, payload: ReadonlyArray<number>, to = DEVICE_ADDRESS): Array<number> => [
  ...to,
  ...PEER_ADDRESS,
  ...word(type),
  ...payload
]

const TCP = 6
const UDP = 17

/** Ports, and then enough of a TCP or UDP header. */
const transport = (source: Endpoint, destination: Endpoint, payload: ReadonlyArray<number>): Array<number> => [
  ...word(source.port),
  ...word(destination.port),
  ...word(8 + payload.length),
  0x12,
  0x34,
  ...Array.from({ length: 12 }, () => 0),
  ...payload
]

export interface Ipv4Changes {
  readonly protocol?: number
  readonly fragment?: number
  readonly options?: boolean
}

/** A TCP frame on IPv4, or what the changes make of it. */
export function tcpIpv4(
  source: Endpoint,
  destination: Endpoint,
  payload: ReadonlyArray<number> = [],
  changes: Ipv4Changes = {}
): Array<number> {
  const options = changes.options === true ? [1, 1, 1, 0] : []
  const body = transport(source, destination, payload)
  const header = [
    0x45 + options.length / 4,
    0,
    ...word(20 + options.length + body.length),
    0xab,
    0xcd,
    ...word(changes.fragment ?? 0x4000),
    64,
    changes.protocol ?? TCP,
    0,
    0,
    ...ipv4(source.ip),
    ...ipv4(destination.ip),
    ...options
  ]
  return ethernet(0x0800, [...header, ...body])
}

/** A UDP frame on IPv4. */
export const udpIpv4 = (source: Endpoint, destination: Endpoint): Array<number> =>
  tcpIpv4(source, destination, [], { protocol: UDP })

/** A TCP frame on IPv6, behind a hop-by-hop header when asked for. */
export function tcpIpv6(source: Endpoint, destination: Endpoint, isExtended = false): Array<number> {
  const extension = isExtended ? [TCP, 0, 1, 4, 0, 0, 0, 0] : []
  const body = [...extension, ...transport(source, destination, [])]
  const header = [
    0x60,
    0,
    0,
    0,
    ...word(body.length),
    isExtended ? 0 : TCP,
    64,
    ...ipv6(source.ip),
    ...ipv6(destination.ip)
  ]
  return ethernet(0x86dd, [...header, ...body])
}

/** A frame of `length` bytes to the device, no IP, whose bytes differ from those of other seeds. */
export const plainFrame = (length: number, seed = 0): Array<number> =>
  ethernet(
    0x88b5,
    Array.from({ length: length - 14 }, (_, index) => (index * 7 + seed * 31 + (index >> 8)) & 0xff)
  )
