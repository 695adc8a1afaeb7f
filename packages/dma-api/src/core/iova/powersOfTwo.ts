/** Sizes and alignments of ranges are powers of two of pages, up to 2^30. */

/** Is it one, however large? Bit operations look at 32 bits alone: above them the lower ones must be 0. */
export const isPowerOfTwo = (count: number): boolean => {
  if (count >= 2 ** 32) return count % 2 ** 32 === 0 && isPowerOfTwo(count / 2 ** 32)
  return count > 0 && Number.isInteger(count) && (count & (count - 1)) === 0
}

/** The order of the least power of two that is not below `pages`. */
export const orderFrom = (pages: number): number => 32 - Math.clz32(pages - 1)

/** The least power of two that is not below `pages`. */
export const powerOfTwoFrom = (pages: number): number => 1 << (32 - Math.clz32(pages - 1))

/** The least multiple of a power of two that is not below `page`. */
const alignUp = (page: number, alignment: number): number => (page + alignment - 1) & -alignment

/** The order of the largest naturally aligned power of two of pages in [first, end), or -1 when that is empty. */
export const largestOrderIn = (first: number, end: number): number => {
  if (first >= end) return -1
  // One as long as the gap may stick out at either side; one of half that fits always.
  const order = 31 - Math.clz32(end - first)
  return alignUp(first, 1 << order) + (1 << order) <= end ? order : order - 1
}
