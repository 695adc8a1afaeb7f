/** Whether a study's live mappings fit into the address space; found out before anything runs. */
import { allocatorTraits, POOLED_SHARE, SMALL_PAGES_MAX } from "@vnic/dma-api"
import { FlagInvalid } from "../Errors.ts"
import type { Line } from "./lines.ts"
import { slotsOf } from "./patterns.ts"
import { inThreads, iommuKindOf, type Settings } from "./settings.ts"

/** log2 of the IOMMU page on every platform here. */
const PAGE_SHIFT = 12
/** The window that every pseries partition has: 1 GiB of 4 KiB pages. */
export const TCE_WINDOW_BYTES = 2 ** 30
/** Simulated memory that a buffer of its own for each mapping may take: addresses stay below 2^31. */
const BUFFER_PAGES_MAX = (2 ** 31 - 2 ** 26) / 2 ** PAGE_SHIFT
/** Page tables, lists and queues that lie below the buffers. */
const BELOW_BUFFERS_PAGES = 2 ** 14

/** Does each live mapping need memory of its own, because its address follows from it? */
export const hasOwnBuffers = (line: Line): boolean =>
  line.path === "table" || (line.path === "dma" && !allocatorTraits[line.allocator].hasChoice)

/** IOMMU pages that a line's allocator takes for one mapping. */
const pagesTaken = (line: Line, granulePages: number): number => {
  const isRounded = line.path === "dma" && allocatorTraits[line.allocator].isSizeAligned
  return isRounded ? 2 ** Math.ceil(Math.log2(granulePages)) : granulePages
}

/** IOMMU pages that a line has for mappings of this size; the first page is never handed out. */
const pagesGiven = (line: Line, windowPages: number, granulePages: number): number => {
  if (hasOwnBuffers(line)) return Math.min(windowPages, BUFFER_PAGES_MAX) - BELOW_BUFFERS_PAGES
  if (!allocatorTraits[line.allocator].hasPools) return windowPages - 1
  return Math.floor(windowPages * (granulePages > SMALL_PAGES_MAX ? 1 - POOLED_SHARE : POOLED_SHARE)) - 1
}

/** Pages of a platform's address space that a device with this mask reaches. */
const reachablePages = (line: Line, maskBits: number): number => {
  const reachBytes = Math.min(2 ** maskBits, 2 ** 48)
  return (iommuKindOf(line.profile) === "vtd" ? reachBytes : Math.min(reachBytes, TCE_WINDOW_BYTES)) / 2 ** PAGE_SHIFT
}

/** Throws `FlagInvalid` when a line cannot hold what its threads keep mapped. */
export const checkRoom = ({ granulePages, lines, maskBits, pattern, threads }: Settings): void => {
  const most = Math.max(...threads)
  for (const line of lines) {
    if (line.path === "direct") continue
    const windowPages = reachablePages(line, maskBits)
    const given = pagesGiven(line, windowPages, granulePages)
    const perThread = slotsOf(pattern) * pagesTaken(line, granulePages)
    if (perThread * most <= given) continue
    const fitting = Math.max(0, Math.floor(given / perThread))
    const count = (value: number): string => Math.max(0, value).toLocaleString("en")
    throw new FlagInvalid({
      flag: `--pattern ${pattern.name}`,
      reason:
        `${inThreads(most)} would keep ${count(perThread * most)} pages mapped and ${line.name} has ${count(given)}; ` +
        (fitting > 0 ? `${inThreads(fitting)} fit` : "use fewer slots, a smaller granule or a wider mask")
    })
  }
}
