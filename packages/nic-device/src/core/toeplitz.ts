/**
 * The Toeplitz hash of receive side scaling: for each set bit of the input, highest first, the 32 bits of
 * the key that start at that bit's position are added (exclusive or).
 */

/** Bytes of the key. */
export const KEY_BYTES = 40
/** Longest input: two IPv6 addresses and two ports. */
export const TOEPLITZ_INPUT_BYTES = 36
/** Entries of the redirection table. */
export const INDIRECTION_ENTRIES = 128

/** The key that Microsoft's verification suite uses. */
export const MICROSOFT_KEY: ReadonlyArray<number> = [
  0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
  0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
  0x01, 0xfa
]

/** The 32 key bits from bit `first` on; bits past the end are 0. */
function window(key: ArrayLike<number>, first: number): number {
  const byte = first >> 3
  const shift = first & 7
  let value = 0
  for (let index = 0; index < 4; index++) value = (value << 8) | (key[byte + index] ?? 0)
  return shift === 0 ? value : (value << shift) | ((key[byte + 4] ?? 0) >> (8 - shift))
}

/** Hash of `bytes`, bit by bit, as int32. */
export function toeplitz(key: ArrayLike<number>, bytes: ArrayLike<number>): number {
  let hash = 0
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    if (((bytes[bit >> 3]! >> (7 - (bit & 7))) & 1) === 1) hash ^= window(key, bit)
  }
  return hash
}

/** Fills table[position * 256 + byte] with what a byte at a position of the input adds to the hash. */
export function makeToeplitzTable(key: ArrayLike<number>, table: Int32Array): void {
  for (let position = 0; position < TOEPLITZ_INPUT_BYTES; position++) {
    const row = position * 256
    table[row] = 0
    for (let bit = 0; bit < 8; bit++) {
      const high = 1 << bit
      const added = window(key, 8 * position + 7 - bit)
      for (let low = 0; low < high; low++) table[row + high + low] = table[row + low]! ^ added
    }
  }
}

/** Hash of `sizeBytes` from `at` on, which stand from `position` on in the input. */
export function toeplitzByTable(
  table: Int32Array,
  position: number,
  bytes: Uint8Array,
  at: number,
  sizeBytes: number
): number {
  let hash = 0
  let row = position << 8
  for (let index = 0; index < sizeBytes; index++) {
    hash ^= table[row + bytes[at + index]!]!
    row += 256
  }
  return hash
}

/** The queue of a TCP connection on IPv4 under a key and a redirection table; addresses as int32. */
export function receiveQueueOf(
  key: ArrayLike<number>,
  queues: ArrayLike<number>,
  srcIp: number,
  dstIp: number,
  srcPort: number,
  dstPort: number
): number {
  const input = new Uint8Array(12)
  const view = new DataView(input.buffer)
  view.setInt32(0, srcIp)
  view.setInt32(4, dstIp)
  view.setUint16(8, srcPort)
  view.setUint16(10, dstPort)
  return queues[toeplitz(key, input) & (queues.length - 1)]!
}
