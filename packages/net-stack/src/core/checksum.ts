/**
 * The Internet checksum [RFC 1071]: the one's complement of the one's complement sum of 16-bit words.
 * Sums are carried unfolded as int32 (the largest IPv4 datagram's stays below 2^31), added in any order, and
 * folded once at the end. A part that starts at an odd distance from the sum's start must be byte-swapped.
 */

/** Adds `lengthBytes` bytes at `offset` to an unfolded sum; a last odd byte is padded with zero. */
export const addBytes = (sum: number, bytes: Uint8Array, offset: number, lengthBytes: number): number => {
  const end = offset + (lengthBytes & ~1)
  let total = sum
  for (let index = offset; index < end; index += 2) total += (bytes[index]! << 8) | bytes[index + 1]!
  if ((lengthBytes & 1) !== 0) total += bytes[end]! << 8
  return total
}

/** Adds both halves of a 32-bit field. */
export const addInt32 = (sum: number, value: number): number => sum + (value >>> 16) + (value & 0xffff)

/** The 16-bit one's complement sum of an unfolded one. */
export const fold = (sum: number): number => {
  const once = (sum & 0xffff) + (sum >>> 16)
  return (once & 0xffff) + (once >>> 16)
}

/** What goes into a checksum field. */
export const checksumOf = (sum: number): number => ~fold(sum) & 0xffff

/** True when data that include their own checksum field add up to all ones. */
export const isSumValid = (sum: number): boolean => fold(sum) === 0xffff

/** A sum as it would be had its part started one byte later [RFC 1071 2(B)]. */
export const swapSum = (sum: number): number => {
  const folded = fold(sum)
  return ((folded & 0xff) << 8) | (folded >> 8)
}

/** The pseudo header of TCP and UDP over IPv4 [RFC 9293 3.1, RFC 768]; addresses as int32. */
export const pseudoHeaderSum = (source: number, destination: number, protocol: number, lengthBytes: number): number =>
  addInt32(addInt32(protocol + lengthBytes, source), destination)

/** A checksum after one 16-bit word of its data has changed [RFC 1624, equation 3]. */
export const updateChecksum = (checksum: number, before: number, after: number): number =>
  checksumOf((~checksum & 0xffff) + (~before & 0xffff) + after)
