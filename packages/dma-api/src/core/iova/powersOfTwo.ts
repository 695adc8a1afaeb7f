/** Sizes and alignments of ranges are powers of two of pages, up to 2^30; a range is aligned on the bus. */

const ALIGNMENT_MAX = 2 ** 30

/** Is it one, however large? Bit operations look at 32 bits alone: above them the lower ones must be 0. */
export const isPowerOfTwo = (count: number): boolean => {
  if (count >= 2 ** 32) return count % 2 ** 32 === 0 && isPowerOfTwo(count / 2 ** 32)
  return count > 0 && Number.isInteger(count) && (count & (count - 1)) === 0
}

/** The order of the least power of two that is not below `pages`. */
export const orderFrom = (pages: number): number => 32 - Math.clz32(pages - 1)

/** The least power of two that is not below `pages`. */
export const powerOfTwoFrom = (pages: number): number => 1 << (32 - Math.clz32(pages - 1))

/**
 * Pages from a window's first one, page `startPage` of the bus, to the next that is a multiple of whatever is asked
 * for: what is aligned on the bus is counted from there.
 */
export const alignedPageOf = (startPage: number): number =>
  (ALIGNMENT_MAX - (startPage % ALIGNMENT_MAX)) % ALIGNMENT_MAX

/** The first page of a window, not below `page`, that is aligned on the bus; `origin` is the window's aligned page. */
export const alignUp = (page: number, alignment: number, origin: number): number =>
  page + ((origin - page) & (alignment - 1))

/** The last one that is not above `page`. */
export const alignDown = (page: number, alignment: number, origin: number): number =>
  page - ((page - origin) & (alignment - 1))

/** The order of the largest power of two of pages in [first, end) that is aligned on the bus; -1 of nothing. */
export const largestOrderIn = (first: number, end: number, origin: number): number => {
  if (first >= end) return -1
  // One as long as the gap may stick out at either side; one of half that fits always.
  const order = 31 - Math.clz32(end - first)
  return alignUp(first, 1 << order, origin) + (1 << order) <= end ? order : order - 1
}
