/** Draws whole worlds: every setting of a scenario that a run depends on. */
import { makePrng } from "@vnic/sim/core"

const STREAM = 0x776f_726c
const OTHER_STREAM = 0x6f74_6872

/** A scenario as it would be written, drawn by a seed; not every draw is possible. */
export const drawWorld = (seed: number): Record<string, unknown> => {
  const prng = makePrng(seed, STREAM)
  const between = (low: number, high: number): number => low + Math.floor(prng.uniform() * (high - low + 1))
  const pick = <A>(...values: ReadonlyArray<A>): A => values[between(0, values.length - 1)]!
  const strategy = pick("map-per-packet", "page-chunk", "direct")
  const isDirect = strategy === "direct" || pick(true, false, false, false, false)
  // Backends that came later have a stream of their own, so that the other draws stay what they were.
  const isOther = makePrng(seed, OTHER_STREAM).uniform() < 0.4
  const queues = pick(1, 2, 3, 4, 8, 16)
  const placement = pick("even", "random", "random")
  const flows = placement === "even" ? queues * between(1, 4) : between(1, 64)
  const frame = pick("64 B", "65 B", `${between(66, 1517)} B`, "1518 B")
  const closedLoop = {
    kind: "closed-loop",
    streams: flows,
    placement,
    window: `${pick(2, 8, 16, 64, 256)} KiB`,
    timestamps: pick(true, false),
    ackDelay: pick("1 ms", "40 ms"),
    ...(pick(true, false) ? { frame: `${between(72, 1518)} B` } : {})
  }
  const openLoop = {
    kind: "open-loop",
    rate: pick("line", "1 Gb/s", "4 Gb/s", "8 Gb/s"),
    arrivals: pick("constant", "poisson"),
    sizes: pick("imix", frame),
    flows,
    placement
  }
  const translated = (lockAcrossTableWrite: string) =>
    isOther ? { backend: "window", debug: true } : { backend: "iommu", lockAcrossTableWrite, debug: true }
  return {
    seed,
    measure: { warmUp: pick("0 ms", "1 ms"), duration: pick("1 ms", "2 ms") },
    nic: {
      queues,
      rx: { descriptors: 8 * pick(1, 2, between(1, 64), 128), dropEnable: pick(true, false) },
      tx: { descriptors: 8 * pick(1, 2, between(1, 64), 64) },
      interruptInterval: `${2 * pick(0, 1, 8, 100)} us`
    },
    host: { memory: "128 MiB", cpus: Math.min(32, queues * pick(1, 1, 2) + pick(0, 1)) },
    iommu: isDirect ? { kind: "none" } : { kind: "tce", window: pick("256 MiB", "1 GiB"), multiTce: pick(true, false) },
    dma: isDirect ? { backend: isOther ? "bounce" : "direct" } : translated(pick("both", "unmap", "none")),
    driver: { strategy, budget: pick(1, 8, 64, 300), tx: { small: pick("copy", "map") } },
    traffic: pick(true, false) ? closedLoop : openLoop
  }
}
