/** What the benchmark measures. */
export interface Configuration {
  readonly name: string
  /** Settings on top of the built-in scenario. */
  readonly settings: ReadonlyArray<string>
  readonly run: "direct" | "map-per-packet" | "page-chunk"
  readonly payloadCheck: "all" | "line"
  /** Simulated time of the measured window: some seconds of wall time. */
  readonly durationMs: number
}

/** One measured window. */
export interface Sample {
  readonly frames: number
  readonly wallSeconds: number
  readonly cpuSeconds: number
}

/** DMA debug is a tool for finding faults: like its kernel namesake it is off where speed counts. */
const QUICK = ["dma.debug=false"]
/** 64 segments of 6 bytes: the two streams of a queue fit into its ring. */
const SMALL_FRAMES = [...QUICK, "traffic.frame=64 B", "traffic.window=384 B"]

export const configurations: ReadonlyArray<Configuration> = [
  { name: "page-chunk 1518", run: "page-chunk", settings: QUICK, payloadCheck: "line", durationMs: 4000 },
  { name: "map-per-packet 1518", run: "map-per-packet", settings: QUICK, payloadCheck: "line", durationMs: 8000 },
  { name: "direct 1518", run: "direct", settings: QUICK, payloadCheck: "line", durationMs: 4000 },
  { name: "page-chunk 64", run: "page-chunk", settings: SMALL_FRAMES, payloadCheck: "line", durationMs: 2000 },
  { name: "page-chunk 1518 all bytes", run: "page-chunk", settings: QUICK, payloadCheck: "all", durationMs: 2000 },
  { name: "page-chunk 1518 DMA debug", run: "page-chunk", settings: [], payloadCheck: "line", durationMs: 2000 }
]
