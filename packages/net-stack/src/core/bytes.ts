/**
 * Network byte order: big-endian fields in a flat memory [RFC 1700]. Whole 32-bit fields travel as int32,
 * so that sequence numbers and addresses stay small integers; compare them by `(a - b) | 0`.
 */

/** An unsigned 16-bit field. */
export const readUint16 = (bytes: Uint8Array, offset: number): number => (bytes[offset]! << 8) | bytes[offset + 1]!

/** A 32-bit field as int32. */
export const readInt32 = (bytes: Uint8Array, offset: number): number =>
  (bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!

/** Stores the low 16 bits of `value`. */
export const writeUint16 = (bytes: Uint8Array, offset: number, value: number): void => {
  bytes[offset] = value >> 8
  bytes[offset + 1] = value
}

/** Stores the low 32 bits of `value`. */
export const writeInt32 = (bytes: Uint8Array, offset: number, value: number): void => {
  bytes[offset] = value >> 24
  bytes[offset + 1] = value >> 16
  bytes[offset + 2] = value >> 8
  bytes[offset + 3] = value
}

/** Copies a short field (an address) without making a view. */
export const writeBytes = (bytes: Uint8Array, offset: number, field: ArrayLike<number>): void => {
  for (let index = 0; index < field.length; index++) bytes[offset + index] = field[index]!
}
