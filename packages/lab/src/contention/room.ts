/** Whether a study's live mappings fit into the address space; found out before anything runs. */
import { allocatorTraits, rangesThatFit } from "@vnic/dma-api"
import { VTD_WINDOW_BYTES } from "@vnic/iommu"
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

/** Pages of a platform's address space that a device with this mask reaches. */
const reachablePages = (line: Line, maskBits: number): number => {
  const windowBytes = iommuKindOf(line.profile) === "vtd" ? VTD_WINDOW_BYTES : TCE_WINDOW_BYTES
  return Math.min(2 ** maskBits, windowBytes) / 2 ** PAGE_SHIFT
}

/** Mappings of this size that a line can keep: as many as there are addresses, or buffers where those are the addresses. */
const mappingsThatFit = (line: Line, maskBits: number, granulePages: number): number => {
  const windowPages = reachablePages(line, maskBits)
  if (hasOwnBuffers(line)) {
    return Math.floor((Math.min(windowPages, BUFFER_PAGES_MAX) - BELOW_BUFFERS_PAGES) / granulePages)
  }
  return rangesThatFit(line.allocator, windowPages, PAGE_SHIFT, granulePages)
}

/** Throws `FlagInvalid` when a line cannot hold what its threads keep mapped. */
export const checkRoom = ({ granulePages, lines, maskBits, pattern, threads }: Settings): void => {
  const most = Math.max(...threads)
  for (const line of lines) {
    if (line.path === "direct") continue
    const given = mappingsThatFit(line, maskBits, granulePages)
    const slots = slotsOf(pattern)
    if (slots * most <= given) continue
    const fitting = Math.max(0, Math.floor(given / slots))
    const count = (value: number): string => Math.max(0, value).toLocaleString("en")
    throw new FlagInvalid({
      flag: `--pattern ${pattern.name}`,
      reason:
        `${inThreads(most)} would keep ${count(slots * most)} mappings and ${line.name} has room for ${count(given)}; ` +
        (fitting > 0 ? `${inThreads(fitting)} fit` : "use fewer slots, a smaller granule or a wider mask")
    })
  }
}
