/** Settings that are written where nothing depends on them: somebody expects an effect that they cannot have. */
import type { Conflict } from "./Combinations.ts"
import { locateIn, type World, writerOf } from "./Overrides.ts"
import type { ResolvedScenario } from "./Scenario.ts"

/** What some settings need, and why they have no effect in a world that has it not. */
interface Need {
  readonly settings: ReadonlyArray<string>
  /** The settings of the world that leave these without effect, as a message says them. */
  readonly without: (scenario: ResolvedScenario) => string | undefined
}

const NEEDS: ReadonlyArray<Need> = [
  {
    settings: ["measure.warmUp", "measure.duration"],
    without: ({ traffic }) =>
      traffic.kind === "replay" ? "traffic.kind replay, whose window is the whole capture" : undefined
  },
  {
    settings: ["link.mtu"],
    without: ({ traffic }) =>
      traffic.kind === "replay" ? "traffic.kind replay, whose frames have their length" : undefined
  },
  {
    settings: ["iommu.window", "iommu.multiTce"],
    without: ({ iommu }) => (iommu.kind === "tce" ? undefined : `iommu.kind ${iommu.kind}`)
  },
  {
    settings: ["dma.allocator", "dma.flush", "dma.lockAcrossTableWrite", "dma.flushGranularity"],
    without: ({ dma }) => (dma.backend === "iommu" ? undefined : `dma.backend ${dma.backend}`)
  },
  {
    settings: ["dma.flushGranularity"],
    without: ({ iommu }) => (iommu.kind === "vtd" ? undefined : `iommu.kind ${iommu.kind}`)
  },
  {
    settings: ["dma.flushGranularity"],
    without: ({ dma }) => (dma.flush === "strict" ? undefined : `dma.flush ${dma.flush}`)
  }
]

const SETTINGS = [...new Set(NEEDS.flatMap(({ settings }) => settings))]

const idleWith = (scenario: ResolvedScenario, setting: string): string | undefined => {
  for (const { settings, without } of NEEDS) {
    const reason = settings.includes(setting) ? without(scenario) : undefined
    if (reason !== undefined) return reason
  }
  return undefined
}

/** A world whose settings are all good. */
export interface GoodWorld {
  readonly world: World
  readonly scenario: ResolvedScenario
}

/** A setting as it is written in one place, in one of the worlds that it is written for. */
interface Written {
  readonly world: World
  readonly place: string
  readonly setting: string
  readonly reason: string | undefined
}

const writtenIn = (worlds: ReadonlyArray<GoodWorld>): ReadonlyArray<Written> =>
  worlds.flatMap(({ scenario, world }) =>
    SETTINGS.flatMap((setting) => {
      const path = setting.split(".")
      if (writerOf(world, path) === "nobody") return []
      const place = `${locateIn(world, path, "key")} ${setting}`
      return [{ world, place, setting, reason: idleWith(scenario, setting) }]
    })
  )

/** Of what is written that which has no effect there or in any other world that it is written for. */
const unused = (written: ReadonlyArray<Written>, elsewhere: ReadonlyArray<Written> = []): ReadonlyArray<Written> => {
  const inUse = [...written, ...elsewhere].filter(({ reason }) => reason === undefined)
  const used = new Set(inUse.map(({ place }) => place))
  return written.filter(({ place }) => !used.has(place))
}

/** One of those that are written in one place. */
const firstOfPlaces = (written: ReadonlyArray<Written>): ReadonlyArray<Written> =>
  written.filter(({ place }, index) => written.findIndex((other) => other.place === place) === index)

/**
 * What is written, and has an effect in none of the worlds that it is written for. `others` are those of the file
 * alone: what the command line leaves without effect there is not to blame. They are made only if anything is idle.
 */
export const findIdle = (
  worlds: ReadonlyArray<GoodWorld>,
  others: () => ReadonlyArray<GoodWorld>
): ReadonlyArray<{ readonly world: World; readonly conflict: Conflict }> => {
  const idle = unused(writtenIn(worlds))
  if (idle.length === 0) return []
  return firstOfPlaces(unused(idle, writtenIn(others()))).map(({ reason, setting, world }) => {
    const message = `has no effect with ${reason}; leave it out`
    return { world, conflict: { path: setting.split("."), part: "key", message, involves: [setting] } }
  })
}
