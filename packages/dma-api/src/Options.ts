/** The part of a scenario that describes the DMA API. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { AllocatorName, BackendName, FlushGranularity, FlushName } from "./core/index.ts"

/** IOVA allocators by name, each with the line that a list shows. */
export const allocatorDescriptions = {
  identity: "no allocation: memory at its own address, one entry for each page",
  bitmap: "next fit in one bitmap under one lock, as pseries had it in 2012",
  "bitmap-pool": "bitmap in four pools and one for large requests, pseries since 2012",
  rbtree: "red-black tree under one lock, walked from the top, as x86 had it in 2013",
  "rbtree-rcache": "the tree of today, behind magazines of each CPU and a depot",
  "augmented-rbtree": "red-black tree that knows the largest gap below each node",
  maple: "B-tree with wide nodes and a search for gaps, as proposed in 2026",
  ring: "constant time for what is freed in the order of its allocation"
} as const satisfies Record<AllocatorName, string>

/** What a caller may have to know of an allocator before anything runs. */
export interface AllocatorTraits {
  /** Does it choose addresses? Without a choice a mapping's address is that of its memory. */
  readonly hasChoice: boolean
  /** May operations take more steps the longer ranges have come and gone, though not more are in use? */
  readonly maySlowDown: boolean
}

/** Traits of the allocators by name. Behind magazines a tree is hardly searched, and so does not slow down. */
export const allocatorTraits: Readonly<Record<AllocatorName, AllocatorTraits>> = {
  identity: { hasChoice: false, maySlowDown: false },
  bitmap: { hasChoice: true, maySlowDown: false },
  "bitmap-pool": { hasChoice: true, maySlowDown: false },
  rbtree: { hasChoice: true, maySlowDown: true },
  "rbtree-rcache": { hasChoice: true, maySlowDown: false },
  "augmented-rbtree": { hasChoice: true, maySlowDown: true },
  maple: { hasChoice: true, maySlowDown: true },
  ring: { hasChoice: true, maySlowDown: false }
}

/** Flush policies by name, likewise. */
export const flushDescriptions = {
  strict: "every unmap invalidates and waits",
  "lazy-global": "one list of 250 unmaps or 10 ms, then everything at once, as x86 in 2013",
  "lazy-per-cpu": "a queue of 255 unmaps a CPU or 10 ms, then everything at once, as today"
} as const satisfies Record<FlushName, string>

/** Backends by name, likewise. */
export const backendDescriptions = {
  iommu: "every map is given bus addresses and table entries of its own",
  direct: "bus addresses are physical ones",
  window: "all of memory is mapped once at an offset, which maps add",
  bounce: "every buffer is copied through memory set aside for it (swiotlb)"
} as const satisfies Record<BackendName, string>

const names = <A extends string>(record: Readonly<Record<A, unknown>>): ReadonlyArray<A> =>
  Object.keys(record) as Array<A>

const withDefault = <S extends Schema.Top>(schema: S, value: S["Encoded"]) =>
  schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

/** Backend, allocator, flush policy and checks; without `iommu` only backend and checks are used. */
export const DmaOptions = Schema.Struct({
  backend: withDefault(Schema.Literals(names(backendDescriptions)), "iommu"),
  allocator: withDefault(Schema.Literals(names(allocatorDescriptions)), "bitmap"),
  /** Of the bitmap only, and only with a strict flush: other locks are never held across the table write. */
  lockAcrossTableWrite: withDefault(Schema.Literals(["both", "unmap", "none"]), "both"),
  /** Lazy ones need a table whose removed entries stay cached. */
  flush: withDefault(Schema.Literals(names(flushDescriptions)), "strict"),
  /** What a strict flush invalidates. */
  flushGranularity: withDefault(Schema.Literals(["page", "domain"] satisfies ReadonlyArray<FlushGranularity>), "page"),
  debug: withDefault(Schema.Boolean, true)
})
export type DmaOptions = typeof DmaOptions.Type
