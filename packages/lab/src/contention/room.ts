/** Whether a study's live mappings fit into the address space; found out before anything runs. */
import { allocatorTraits, rangesThatFit } from "@vnic/dma-api"
import { VTD_RESERVED, VTD_WINDOW_BYTES } from "@vnic/iommu"
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

/** A platform's address space, and what a device with this mask reaches of it. */
const roomOf = (line: Line, maskBits: number) => {
  const isVtd = iommuKindOf(line.profile) === "vtd"
  const pageCount = (isVtd ? VTD_WINDOW_BYTES : TCE_WINDOW_BYTES) / 2 ** PAGE_SHIFT
  const reach = Math.min(pageCount, 2 ** (maskBits - PAGE_SHIFT))
  return { pageCount, pageShift: PAGE_SHIFT, reach, reserved: isVtd ? VTD_RESERVED : [] }
}

/** Mappings of this size that a line can keep: as many as there are addresses, or buffers where those decide. */
const mappingsThatFit = (line: Line, maskBits: number, granulePages: number): number => {
  const room = roomOf(line, maskBits)
  if (hasOwnBuffers(line)) {
    return Math.floor((Math.min(room.reach, BUFFER_PAGES_MAX) - BELOW_BUFFERS_PAGES) / granulePages)
  }
  return rangesThatFit(line.allocator, room, granulePages)
}

const counted = (value: number): string => value.toLocaleString("en")

const inPages = (count: number): string => (count === 1 ? "1 page" : `${counted(count)} pages`)

/** Where no slot can be spared: with single pages there would be room, or the mask is too narrow for those too. */
const flagToBlame = (line: Line, { granulePages, maskBits }: Settings, needed: number): string =>
  granulePages > 1 && mappingsThatFit(line, maskBits, 1) >= needed
    ? `--granule ${granulePages}`
    : `--mask-bits ${maskBits}`

/** Throws `FlagInvalid` when a line cannot hold what its threads keep mapped; it names a flag that was given. */
export const checkRoom = (settings: Settings): void => {
  const { granulePages, lines, maskBits, pattern, threads } = settings
  const most = Math.max(...threads)
  const slots = slotsOf(pattern)
  for (const line of lines) {
    if (line.path === "direct") continue
    const given = mappingsThatFit(line, maskBits, granulePages)
    if (slots * most <= given) continue
    if (given < 1) {
      throw new FlagInvalid({
        flag: flagToBlame(line, settings, 1),
        reason: `${line.name} has no room for one mapping of ${inPages(granulePages)} below 2^${maskBits}`
      })
    }
    const fitting = Math.floor(given / slots)
    throw new FlagInvalid({
      flag: slots > 1 ? `--pattern ${pattern.name}` : flagToBlame(line, settings, most),
      reason:
        `${inThreads(most)} would keep ${counted(slots * most)} mappings and ${line.name} has room for ` +
        `${counted(given)}; ` +
        (fitting > 0 ? `${inThreads(fitting)} fit` : "use fewer slots, a smaller granule or a wider mask")
    })
  }
}
